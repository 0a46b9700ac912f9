//! The binary form as such: a walk over the bytes of a message by its table, to find missing required fields
//! (prost reads them as zeros without a word) and to carry the two messages whose numbers differ between v0
//! and v1 from one numbering to the other. Knows nothing of the structs.
//!
//! Work and memory are linear in the input. Messages nest at most [`MAX_DEPTH`] levels, as in prost.

use std::borrow::Cow;

use thiserror::Error;

use crate::Version;
use crate::table::{Kind, Label, MessageTable};

/// As deep as prost decodes.
pub const MAX_DEPTH: u32 = 100;

/// A message that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot decode {message}: {problem}")]
pub struct DecodeError {
    pub message: &'static str,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("the required field {0} is missing")]
    Missing(String),
    #[error("{0}")]
    Malformed(String),
    #[error("messages are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

impl Problem {
    pub(crate) fn malformed(text: &str) -> Problem {
        Problem::Malformed(text.to_string())
    }
}

/// What prost itself refuses, such as a string that is not UTF-8.
pub(crate) fn refused(table: &MessageTable, error: &prost::DecodeError) -> DecodeError {
    DecodeError { message: table.name, problem: Problem::Malformed(error.to_string()) }
}

/// One field as it lies in the bytes.
pub(crate) struct Item<'a> {
    pub number: u32,
    pub wire: u8,
    pub value: Value<'a>,
    /// What follows the tag, a length included.
    pub payload: &'a [u8],
}

pub(crate) enum Value<'a> {
    Varint(u64),
    Chunk(&'a [u8]),
    Other,
}

/// Reads fields one by one.
pub(crate) struct Items<'a> {
    pub rest: &'a [u8],
}

impl<'a> Items<'a> {
    #[inline]
    pub fn next(&mut self) -> Result<Option<Item<'a>>, Problem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let wire = (key & 7) as u8;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| Problem::malformed("a field's number is out of range"))?;
        let before = self.rest;
        let value = match wire {
            0 => Value::Varint(self.varint()?),
            2 => {
                let length = self.varint()?;
                Value::Chunk(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            _ => {
                self.skip(wire, number, MAX_DEPTH)?;
                Value::Other
            }
        };
        let payload = &before[..before.len() - self.rest.len()];
        Ok(Some(Item { number, wire, value, payload }))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let split = self.rest.split_at_checked(length);
        let (chunk, rest) = split.ok_or_else(|| Problem::malformed("a field is cut off"))?;
        self.rest = rest;
        Ok(chunk)
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Problem> {
        // Tags and lengths are one byte, nearly all of them.
        match self.rest {
            [byte @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Problem::malformed("a number is cut off or too long"))
    }

    fn skip(&mut self, wire: u8, number: u32, depth: u32) -> Result<(), Problem> {
        match wire {
            0 => drop(self.varint()?),
            1 => drop(self.take(8)?),
            2 => {
                let length = self.varint()?;
                self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
            }
            3 => loop {
                let depth = depth.checked_sub(1).ok_or(Problem::TooDeep)?;
                let key = self.varint()?;
                let inner = u32::try_from(key >> 3).unwrap_or(0);
                if key & 7 == 4 {
                    if inner == number {
                        return Ok(());
                    }
                    return Err(Problem::malformed("a group ends that did not begin"));
                }
                self.skip((key & 7) as u8, inner, depth)?;
            },
            5 => drop(self.take(4)?),
            _ => return Err(Problem::malformed("a field has an unknown wire type")),
        }
        Ok(())
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// A problem and the way to it, innermost first.
struct Fault {
    problem: Problem,
    path: Vec<String>,
}

impl From<Problem> for Box<Fault> {
    fn from(problem: Problem) -> Self {
        Box::new(Fault { problem, path: Vec::new() })
    }
}

/// Finds the first missing required field. An unknown value of a required enum counts as missing, because
/// protobuf keeps it apart as unknown.
///
/// A singular message that is sent in two pieces must be complete in each: protobuf would merge first, but
/// nobody writes that.
pub(crate) fn check(table: &'static MessageTable, bytes: &[u8], version: Version) -> Result<(), DecodeError> {
    walk(table, bytes, version, MAX_DEPTH).map_err(|fault| {
        let Fault { problem, mut path } = *fault;
        path.reverse();
        let problem = match problem {
            Problem::Missing(field) => {
                path.push(field);
                Problem::Missing(path.join("."))
            }
            Problem::Malformed(text) if !path.is_empty() => {
                Problem::Malformed(format!("in {}: {text}", path.join(".")))
            }
            other => other,
        };
        DecodeError { message: table.name, problem }
    })
}

fn walk(table: &MessageTable, bytes: &[u8], version: Version, depth: u32) -> Result<(), Box<Fault>> {
    if !table.checked {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(Problem::TooDeep)?;
    let mut seen = 0_u64;
    let mut items = Items { rest: bytes };
    while let Some(item) = items.next()? {
        let Some(index) = table.by_number(item.number) else { continue };
        let field = &table.fields[index];
        let present = match (field.kind, &item.value) {
            (Kind::Enum(known), Value::Varint(number)) => known.knows(*number as i32),
            (Kind::Message(inner), Value::Chunk(chunk)) => {
                if let Err(mut fault) = walk(inner, chunk, version, depth) {
                    fault.path.push(match field.label {
                        Label::Repeated | Label::Map => {
                            let before = &bytes[..bytes.len() - items.rest.len()];
                            format!("{}[{}]", field.name(version), occurrences(before, item.number) - 1)
                        }
                        _ => field.name(version).to_string(),
                    });
                    return Err(fault);
                }
                true
            }
            _ => true,
        };
        seen |= u64::from(present) << index;
    }
    let missing = table.required & !seen;
    if missing != 0 {
        let field = &table.fields[missing.trailing_zeros() as usize];
        return Err(Problem::Missing(field.name(version).to_string()).into());
    }
    Ok(())
}

fn occurrences(bytes: &[u8], number: u32) -> usize {
    let mut items = Items { rest: bytes };
    let mut count = 0;
    while let Ok(Some(item)) = items.next() {
        count += usize::from(item.number == number);
    }
    count
}

/// The bytes in v0's numbering, which the structs have.
pub(crate) fn normalise<'a>(
    table: &'static MessageTable,
    bytes: &'a [u8],
    version: Version,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    if version != Version::V1 || !table.differs {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let outcome = rewrite(table, bytes, Numbering::V0, MAX_DEPTH, &mut out);
    outcome.map_err(|problem| DecodeError { message: table.name, problem })?;
    Ok(Cow::Owned(out))
}

/// The bytes that prost made, in the numbering of `version`.
pub(crate) fn renumber(table: &'static MessageTable, bytes: Vec<u8>, version: Version) -> Vec<u8> {
    if version != Version::V1 || !table.differs {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len() + 16);
    match rewrite(table, &bytes, Numbering::V1, MAX_DEPTH, &mut out) {
        Ok(()) => out,
        // Only messages nested too deep come here, and these differ nowhere within.
        Err(_) => bytes,
    }
}

/// Which numbers the fields are to have.
#[derive(Clone, Copy)]
pub(crate) enum Numbering {
    V0,
    V1,
}

fn rewrite(
    table: &MessageTable,
    bytes: &[u8],
    to: Numbering,
    depth: u32,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let depth = depth.checked_sub(1).ok_or(Problem::TooDeep)?;
    let mut items = Items { rest: bytes };
    while let Some(item) = items.next()? {
        let index = match to {
            Numbering::V0 => table.fields.iter().position(|field| field.v1_number == item.number),
            Numbering::V1 => table.by_number(item.number),
        };
        let Some(field) = index.map(|index| &table.fields[index]) else { continue };
        let number = match to {
            Numbering::V0 => field.number,
            Numbering::V1 => field.v1_number,
        };
        if number == 0 {
            continue;
        }
        put_tag(out, number, item.wire);
        match (field.kind, item.value) {
            (Kind::Message(_), Value::Chunk(chunk)) if field.duration => {
                put_chunk(out, &carry_duration(chunk, to)?);
            }
            (Kind::Message(inner), Value::Chunk(chunk)) if inner.differs => {
                let mut carried = Vec::with_capacity(chunk.len() + 16);
                rewrite(inner, chunk, to, depth, &mut carried)?;
                put_chunk(out, &carried);
            }
            _ => out.extend_from_slice(item.payload),
        }
    }
    Ok(())
}

fn put_chunk(out: &mut Vec<u8>, chunk: &[u8]) {
    put_varint(out, chunk.len() as u64);
    out.extend_from_slice(chunk);
}

/// `google.protobuf.Duration` (seconds, nanos) to `DurationInfo` (nanoseconds) or back.
pub(crate) fn carry_duration(bytes: &[u8], to: Numbering) -> Result<Vec<u8>, Problem> {
    let mut numbers = [0_i64; 2];
    let mut given = [false; 2];
    let mut items = Items { rest: bytes };
    while let Some(item) = items.next()? {
        if let (1 | 2, Value::Varint(value)) = (item.number, item.value) {
            numbers[item.number as usize - 1] = value as i64;
            given[item.number as usize - 1] = true;
        }
    }
    let mut out = Vec::new();
    match to {
        Numbering::V0 => {
            let nanos = numbers[0].checked_mul(1_000_000_000).and_then(|sum| sum.checked_add(numbers[1]));
            let nanos = nanos.ok_or_else(|| Problem::malformed("a duration is longer than 292 years"))?;
            put_tag(&mut out, 1, 0);
            put_varint(&mut out, nanos as u64);
        }
        // A DurationInfo without its field stays what it is: incomplete.
        Numbering::V1 if !given[0] => {}
        Numbering::V1 => {
            for (number, value) in [(1, numbers[0] / 1_000_000_000), (2, numbers[0] % 1_000_000_000)] {
                if value != 0 {
                    put_tag(&mut out, number, 0);
                    put_varint(&mut out, value as u64);
                }
            }
        }
    }
    Ok(out)
}
