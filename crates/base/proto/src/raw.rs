//! Messages as they lie in the bytes, for those who must hand on what they do not know: a file that a newer version
//! wrote keeps its fields when this version writes it again.

use crate::binary::{Items, Problem, Value, put_tag, put_varint};
use crate::table::MessageTable;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawField<'a> {
    pub number: u32,
    /// What is in it, if it is a message, a text or bytes.
    pub chunk: Option<&'a [u8]>,
    /// All of it, with its tag.
    pub bytes: &'a [u8],
}

/// The fields of a message one by one.
pub fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<RawField<'_>, Problem>> {
    let mut items = Items { rest: bytes };
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken {
            return None;
        }
        let before = items.rest;
        let item = items.next();
        broken = item.is_err();
        let whole = &before[..before.len() - items.rest.len()];
        item.transpose().map(|item| {
            item.map(|item| RawField {
                number: item.number,
                chunk: match item.value {
                    Value::Chunk(chunk) => Some(chunk),
                    _ => None,
                },
                bytes: whole,
            })
        })
    })
}

/// Appends a field that holds a message, a text or bytes.
pub fn put(out: &mut Vec<u8>, number: u32, chunk: &[u8]) {
    put_head(out, number, chunk.len());
    out.extend_from_slice(chunk);
}

/// What stands before so many bytes of such a field.
pub fn put_head(out: &mut Vec<u8>, number: u32, length: usize) {
    put_tag(out, number, 2);
    put_varint(out, length as u64);
}

/// The fields that the table does not have, as they lie in the bytes.
pub(crate) fn unknown(table: &MessageTable, bytes: &[u8]) -> Vec<u8> {
    let strange = |field: &RawField<'_>| table.by_number(field.number).is_none();
    fields(bytes).filter_map(Result::ok).filter(strange).flat_map(|field| field.bytes).copied().collect()
}
