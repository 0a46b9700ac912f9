//! The steps of the generated writers. A key comes with the comma before it, so that a field is one append;
//! the first comma of an object or array is turned into its bracket at the end.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::number;
use crate::table::EnumTable;
use crate::{Version, Wire};

pub fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(key.as_bytes());
}

/// The key of a map's entry, which may hold anything.
pub fn map_key(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    string(out, name);
    out.push(b':');
}

pub fn close_object(out: &mut Vec<u8>, start: usize) {
    close(out, start, b'{', b'}');
}

pub fn close_array(out: &mut Vec<u8>, start: usize) {
    close(out, start, b'[', b']');
}

fn close(out: &mut Vec<u8>, start: usize, open: u8, close: u8) {
    match out.get_mut(start) {
        Some(comma) => *comma = open,
        None => out.push(open),
    }
    out.push(close);
}

pub fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    string(out, value);
}

pub fn bytes(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    base64(out, value);
}

pub fn boolean(out: &mut Vec<u8>, key: &str, value: bool) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

pub fn signed(out: &mut Vec<u8>, key: &str, value: i64) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub fn unsigned(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub fn double(out: &mut Vec<u8>, key: &str, value: f64) {
    out.extend_from_slice(key.as_bytes());
    number::double(out, value);
}

/// A number that the enum does not know is left out, as protobuf keeps it apart as unknown.
pub fn enumeration(out: &mut Vec<u8>, key: &str, table: &EnumTable, value: i32, version: Version) {
    if let Some(name) = table.name_of(value, version) {
        text(out, key, name);
    }
}

/// A duration that v1 has as `google.protobuf.Duration`.
pub fn duration(out: &mut Vec<u8>, key: &str, value: &crate::mesos::DurationInfo, version: Version) {
    out.extend_from_slice(key.as_bytes());
    if version != Version::V1 {
        return value.write_json(out, version);
    }
    let start = out.len();
    for (key, part) in [
        (",\"seconds\":", value.nanoseconds / 1_000_000_000),
        (",\"nanos\":", value.nanoseconds % 1_000_000_000),
    ] {
        if part != 0 {
            signed(out, key, part);
        }
    }
    close_object(out, start);
}

pub fn base64(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + value.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(value, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// For each byte: 0 as it is, `u` as `\u00XX`, else the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

pub fn string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let bytes = value.as_bytes();
    let mut copied = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[copied..index]);
        copied = index + 1;
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'0', b'0', high, low]);
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}
