//! Reads JSON into the binary form of a message, by its table: prost then makes the struct. So one reader
//! serves all messages and both versions, and the generated code stays small.
//!
//! What is taken is what Mesos takes: unknown fields are passed over, `null` is unset, one bare value stands
//! for an array of one, strings are read as numbers and booleans where such are wanted, fractions are cut off
//! integers, unknown enum names are unset unless required, and of a key given twice the last counts.
//! A number beyond the range of its field is refused here, where Mesos would wrap it around.

use std::fmt::Write;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::scan::{Number, Scanner};
use super::{JsonError, MAX_DEPTH, MAX_REPEATED_KEYS};
use crate::Version;
use crate::binary::{Items, Numbering, carry_duration, put_tag, put_varint};
use crate::table::{EnumTable, Field, Kind, Label, MessageTable};

/// The v0-numbered bytes of the message that `text` holds.
pub fn object(table: &'static MessageTable, text: &[u8], version: Version) -> Result<Vec<u8>, JsonError> {
    let mut reader = Reader::new(text, version)?;
    if reader.scan.peek() != Some(b'{') {
        reader.whole(MAX_DEPTH)?;
        return Err(JsonError::NotAnObject);
    }
    reader.fields(table).map_err(|fault| fault.told())?;
    reader.scan.finish()?;
    Ok(reader.out)
}

/// The bytes of each message of an array.
pub fn list(table: &'static MessageTable, text: &[u8], version: Version) -> Result<Vec<Vec<u8>>, JsonError> {
    let mut reader = Reader::new(text, version)?;
    if reader.scan.peek() != Some(b'[') {
        reader.whole(MAX_DEPTH)?;
        return Err(JsonError::NotAnArray);
    }
    reader.scan.at += 1;
    reader.depth -= 1;
    let mut items = Vec::new();
    if !reader.scan.empty(b']') {
        loop {
            if reader.scan.peek() != Some(b'{') {
                return Err(JsonError::NotAnArray);
            }
            reader.fields(table).map_err(|fault| fault.under(Step::Index(items.len())).told())?;
            items.push(std::mem::take(&mut reader.out));
            if !reader.scan.more(b']')? {
                break;
            }
        }
    }
    reader.scan.finish()?;
    Ok(items)
}

/// `google.protobuf.Duration`, which v1 has in one place where v0 has `DurationInfo`.
static DURATION: MessageTable = MessageTable {
    name: "google.protobuf.Duration",
    fields: &[duration_field(1, "seconds", Kind::Int64), duration_field(2, "nanos", Kind::Int32)],
    by_number: &[0, 1],
    required: 0,
    checked: false,
    differs: false,
};

const fn duration_field(number: u32, name: &'static str, kind: Kind) -> Field {
    let label = Label::Optional;
    Field { number, v1_number: number, name, v1_name: name, label, kind, duration: false }
}

/// Base64 as Mesos takes it: what stands behind the padding is not looked at, nor is its length.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

enum Step {
    Field(&'static str),
    Index(usize),
    Key(String),
}

/// An error and the way to it, innermost first.
struct Fault {
    error: JsonError,
    path: Vec<Step>,
}

impl From<JsonError> for Box<Fault> {
    fn from(error: JsonError) -> Self {
        Box::new(Fault { error, path: Vec::new() })
    }
}

impl Fault {
    fn under(mut self: Box<Self>, step: Step) -> Box<Fault> {
        self.path.push(step);
        self
    }

    /// A problem with the value at hand.
    fn of(problem: impl Into<String>) -> Box<Fault> {
        JsonError::Field { field: String::new(), problem: problem.into() }.into()
    }

    fn told(self) -> JsonError {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            let dot = if path.is_empty() { "" } else { "." };
            let _ = match step {
                Step::Field(name) => write!(path, "{dot}{name}"),
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(key) => write!(path, "[{key:?}]"),
            };
        }
        match self.error {
            JsonError::Missing(name) if path.is_empty() => JsonError::Missing(name),
            JsonError::Missing(name) => JsonError::Missing(format!("{path}.{name}")),
            JsonError::Field { problem, .. } => JsonError::Field { field: path, problem },
            other => other,
        }
    }
}

struct Reader<'a> {
    scan: Scanner<'a>,
    version: Version,
    /// How many more levels may open.
    depth: u32,
    /// Keys that were given twice, so far.
    repeated_keys: u32,
    out: Vec<u8>,
    /// Where strings with escapes are put together.
    scratch: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8], version: Version) -> Result<Reader<'a>, JsonError> {
        std::str::from_utf8(text).map_err(|error| JsonError::Syntax {
            at: error.valid_up_to(),
            problem: "the text is not UTF-8",
        })?;
        let out = Vec::with_capacity(text.len() / 2);
        let scan = Scanner::new(text);
        Ok(Reader { scan, version, depth: MAX_DEPTH, repeated_keys: 0, out, scratch: Vec::new() })
    }

    /// Passes over a document that is not of the wanted kind, to tell bad JSON from that.
    fn whole(&mut self, depth: u32) -> Result<(), JsonError> {
        self.scan.skip(&mut self.scratch, depth)?;
        self.scan.finish()
    }

    fn open(&mut self) -> Result<(), JsonError> {
        self.depth = self.depth.checked_sub(1).ok_or(JsonError::TooDeep)?;
        self.scan.at += 1;
        Ok(())
    }

    /// The object that begins at the scanner, as fields of `table`.
    fn fields(&mut self, table: &'static MessageTable) -> Result<(), Box<Fault>> {
        self.open()?;
        let start = self.out.len();
        let (mut given, mut set, mut expected) = (0_u64, 0_u64, 0);
        if !self.scan.empty(b'}') {
            loop {
                self.scan.key()?;
                let name = self.scan.string(&mut self.scratch)?;
                let found = table.by_name(name.unwrap_or(&self.scratch), self.version, expected);
                self.scan.expect(b':', "a colon is expected")?;
                match found {
                    None => self.scan.skip(&mut self.scratch, self.depth)?,
                    Some(index) => {
                        let field = &table.fields[index];
                        let bit = 1 << index;
                        if given & bit != 0 {
                            self.forget(start, field.number)?;
                            set &= !bit;
                        }
                        given |= bit;
                        expected = index + 1;
                        let read = self.value(field);
                        if read.map_err(|fault| fault.under(Step::Field(field.name(self.version))))? {
                            set |= bit;
                        }
                    }
                }
                if !self.scan.more(b'}')? {
                    break;
                }
            }
        }
        self.depth += 1;
        let missing = table.required & !set;
        if missing != 0 {
            let field = &table.fields[missing.trailing_zeros() as usize];
            return Err(JsonError::Missing(field.name(self.version).to_string()).into());
        }
        Ok(())
    }

    /// Takes out what an earlier key of the same name left behind `start`.
    fn forget(&mut self, start: usize, number: u32) -> Result<(), JsonError> {
        self.repeated_keys += 1;
        if self.repeated_keys > MAX_REPEATED_KEYS {
            return Err(JsonError::TooManyRepeatedKeys);
        }
        let written = self.out.split_off(start);
        let mut items = Items { rest: &written };
        loop {
            let before = written.len() - items.rest.len();
            // What this reader wrote is well-formed, so that it ends with None.
            let Ok(Some(item)) = items.next() else { return Ok(()) };
            if item.number != number {
                self.out.extend_from_slice(&written[before..written.len() - items.rest.len()]);
            }
        }
    }

    /// One value of a field; false where it leaves the field unset.
    fn value(&mut self, field: &'static Field) -> Result<bool, Box<Fault>> {
        match self.scan.peek() {
            Some(b'"') => self.string(field),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.scan.number()?;
                put_number(&mut self.out, field, number)?;
                Ok(true)
            }
            Some(b'{') => match (field.kind, field.label) {
                (Kind::Message(entry), Label::Map) => self.map(field, entry),
                (Kind::Message(table), _) => self.message(field, table),
                _ => Err(Fault::of(format!("{} is expected, not an object", wanted(field)))),
            },
            Some(b'[') => match field.label {
                Label::Repeated | Label::Map => self.array(field),
                _ => Err(Fault::of(format!("{} is expected, not an array", wanted(field)))),
            },
            Some(b't') => {
                self.scan.literal("true")?;
                put_boolean(&mut self.out, field, true)?;
                Ok(true)
            }
            Some(b'f') => {
                self.scan.literal("false")?;
                put_boolean(&mut self.out, field, false)?;
                Ok(true)
            }
            Some(b'n') => {
                self.scan.literal("null")?;
                Ok(false)
            }
            _ => Err(self.scan.error("a value is expected").into()),
        }
    }

    fn array(&mut self, field: &'static Field) -> Result<bool, Box<Fault>> {
        self.open()?;
        if !self.scan.empty(b']') {
            let mut index = 0;
            loop {
                self.value(field).map_err(|fault| fault.under(Step::Index(index)))?;
                index += 1;
                if !self.scan.more(b']')? {
                    break;
                }
            }
        }
        self.depth += 1;
        Ok(true)
    }

    fn message(&mut self, field: &'static Field, table: &'static MessageTable) -> Result<bool, Box<Fault>> {
        put_tag(&mut self.out, field.number, 2);
        let at = self.out.len();
        self.out.push(0);
        if field.duration && self.version == Version::V1 {
            self.fields(&DURATION)?;
            let carried = carry_duration(&self.out[at + 1..], Numbering::V0);
            let carried = carried.map_err(|problem| Fault::of(problem.to_string()))?;
            self.out.truncate(at + 1);
            self.out.extend_from_slice(&carried);
        } else {
            self.fields(table)?;
        }
        self.seal(at);
        Ok(true)
    }

    /// Writes the length of what follows `at`, where one byte is kept for it.
    fn seal(&mut self, at: usize) {
        let length = self.out.len() - at - 1;
        if length < 0x80 {
            self.out[at] = length as u8;
            return;
        }
        let mut prefix = Vec::with_capacity(10);
        put_varint(&mut prefix, length as u64);
        let end = self.out.len();
        self.out.resize(end + prefix.len() - 1, 0);
        self.out.copy_within(at + 1..end, at + prefix.len());
        self.out[at..at + prefix.len()].copy_from_slice(&prefix);
    }

    /// An object whose keys are those of a map field.
    fn map(&mut self, field: &'static Field, entry: &'static MessageTable) -> Result<bool, Box<Fault>> {
        self.open()?;
        let value = match entry.by_number(2) {
            Some(index) => &entry.fields[index],
            None => return Err(Fault::of("maps of this kind are not supported")),
        };
        if !self.scan.empty(b'}') {
            loop {
                self.scan.key()?;
                put_tag(&mut self.out, field.number, 2);
                let at = self.out.len();
                self.out.push(0);
                let name = self.scan.string(&mut self.scratch)?.unwrap_or(&self.scratch);
                put_tag(&mut self.out, 1, 2);
                put_varint(&mut self.out, name.len() as u64);
                let from = self.out.len();
                self.out.extend_from_slice(name);
                let to = self.out.len();
                self.scan.expect(b':', "a colon is expected")?;
                let read = match self.value(value) {
                    // A null leaves the entry with an empty message, which may lack something.
                    Ok(false) => match value.kind {
                        Kind::Message(inner) if inner.required != 0 => {
                            let field = &inner.fields[inner.required.trailing_zeros() as usize];
                            Err(JsonError::Missing(field.name(self.version).to_string()).into())
                        }
                        _ => Ok(()),
                    },
                    Ok(true) => Ok(()),
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = read {
                    let key = String::from_utf8_lossy(&self.out[from..to]).into_owned();
                    return Err(fault.under(Step::Key(key)));
                }
                self.seal(at);
                if !self.scan.more(b'}')? {
                    break;
                }
            }
        }
        self.depth += 1;
        Ok(true)
    }

    fn string(&mut self, field: &'static Field) -> Result<bool, Box<Fault>> {
        let text = self.scan.string(&mut self.scratch)?.unwrap_or(&self.scratch);
        let out = &mut self.out;
        match field.kind {
            Kind::Text => put_chunk(out, field.number, text),
            Kind::Bytes => put_chunk(out, field.number, &decode_base64(text)?),
            Kind::Enum(table) => match table.number_of(text, self.version) {
                Some(number) => put_integer(out, field.number, i64::from(number) as u64),
                None if field.label == Label::Required => return Err(unknown(table, text)),
                None => return Ok(false),
            },
            Kind::Bool => match text.trim_ascii_start() {
                b"true" => put_boolean(out, field, true)?,
                b"false" => put_boolean(out, field, false)?,
                _ => return Err(Fault::of("neither true nor false")),
            },
            Kind::Double if text == b"Infinity" => put_double(out, field.number, f64::INFINITY),
            Kind::Double if text == b"-Infinity" => put_double(out, field.number, f64::NEG_INFINITY),
            Kind::Message(_) => {
                return Err(Fault::of(format!("{} is expected, not a string", wanted(field))));
            }
            _ => {
                let number = std::str::from_utf8(text.trim_ascii_start()).ok().and_then(Number::parse);
                let number = number.ok_or_else(|| Fault::of(format!("{} is expected", wanted(field))))?;
                put_number(out, field, number)?;
            }
        }
        Ok(true)
    }
}

fn unknown(table: &EnumTable, text: &[u8]) -> Box<Fault> {
    Fault::of(format!("no {} is named {:?}", table.name, String::from_utf8_lossy(text)))
}

fn wanted(field: &Field) -> &'static str {
    match field.kind {
        Kind::Double => "a number",
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => "an integer",
        Kind::Bool => "true or false",
        Kind::Text => "a string",
        Kind::Bytes => "a base64 string",
        Kind::Enum(_) => "a name",
        Kind::Message(_) => "an object",
    }
}

fn put_chunk(out: &mut Vec<u8>, number: u32, chunk: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, chunk.len() as u64);
    out.extend_from_slice(chunk);
}

fn put_integer(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 0);
    put_varint(out, value);
}

fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_boolean(out: &mut Vec<u8>, field: &Field, value: bool) -> Result<(), Box<Fault>> {
    if !matches!(field.kind, Kind::Bool) {
        return Err(Fault::of(format!("{} is expected, not {value}", wanted(field))));
    }
    put_integer(out, field.number, u64::from(value));
    Ok(())
}

fn put_number(out: &mut Vec<u8>, field: &Field, number: Number) -> Result<(), Box<Fault>> {
    let (low, high) = match field.kind {
        Kind::Double => {
            let value = match number {
                Number::Signed(value) => value as f64,
                Number::Unsigned(value) => value as f64,
                Number::Double(value) => value,
            };
            put_double(out, field.number, value);
            return Ok(());
        }
        Kind::Int32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        Kind::Int64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        Kind::Uint32 => (0, i128::from(u32::MAX)),
        Kind::Uint64 => (0, i128::from(u64::MAX)),
        _ => return Err(Fault::of(format!("{} is expected, not a number", wanted(field)))),
    };
    // The fraction is cut off; `as` keeps to the range of the type, which is beyond every field's.
    let value = match number {
        Number::Signed(value) => i128::from(value),
        Number::Unsigned(value) => i128::from(value),
        Number::Double(value) => value as i128,
    };
    if value < low || value > high {
        return Err(Fault::of(format!("a number from {low} to {high} is expected")));
    }
    put_integer(out, field.number, value as u64);
    Ok(())
}

fn decode_base64(text: &[u8]) -> Result<Vec<u8>, Box<Fault>> {
    let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    let mut letters: Vec<u8> = Vec::with_capacity(end);
    letters.extend(text[..end].iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != 0x0b));
    if letters.len() % 4 == 1 {
        // Six bits make no byte; Mesos drops them.
        let last = letters.pop();
        if last.is_some_and(|last| !last.is_ascii_alphanumeric() && last != b'+' && last != b'/') {
            return Err(Fault::of("not base64"));
        }
    }
    LENIENT.decode(&letters).map_err(|error| Fault::of(format!("not base64: {error}")))
}
