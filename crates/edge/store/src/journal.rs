//! LevelDB's log format, which its .log files and its MANIFEST have: records in fragments, each with a checksum, in
//! blocks of 32 KB. Must not know what a record says.
//!
//! Where LevelDB by itself would go on behind a record that is not right, this reader says that the file is damaged.
//! The one thing it lets pass is what a crash leaves: a last record that is not whole, or zeros up to the end.

use std::io;

use crate::files::{AppendFile, ReadFile};
use crate::wire::{Input, checksum};

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("at byte {offset}: {what}")]
    Damaged { offset: u64, what: &'static str },
}

/// A record, and where its first fragment begins.
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) data: Vec<u8>,
}

pub(crate) struct Reader<'a> {
    file: &'a dyn ReadFile,
    size: u64,
    block: Vec<u8>,
    /// Where the block begins in the file.
    start: u64,
    /// The next fragment in the block.
    at: usize,
    torn: Option<u64>,
}

enum Fragment {
    Piece { offset: u64, kind: u8, from: usize, to: usize },
    End,
    Torn { offset: u64 },
}

impl<'a> Reader<'a> {
    /// Reads from where a record begins, up to `size`.
    pub(crate) fn new(file: &'a dyn ReadFile, size: u64, offset: u64) -> Result<Reader<'a>, JournalError> {
        let block_bytes = BLOCK_BYTES as u64;
        let start = offset - offset % block_bytes;
        let mut reader =
            Reader { file, size, block: Vec::new(), start, at: (offset - start) as usize, torn: None };
        reader.load()?;
        Ok(reader)
    }

    /// Where a last record begins that is not whole, once the end is reached.
    pub(crate) fn torn(&self) -> Option<u64> {
        self.torn
    }

    fn load(&mut self) -> Result<(), JournalError> {
        let length = self.size.saturating_sub(self.start).min(BLOCK_BYTES as u64);
        self.block.resize(length as usize, 0);
        self.file.read_at(self.start, &mut self.block)?;
        Ok(())
    }

    fn is_last_block(&self) -> bool {
        self.start + self.block.len() as u64 >= self.size
    }

    /// The next record; `None` at the end, whole or torn.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, JournalError> {
        let mut begun: Option<Found> = None;
        loop {
            let (offset, kind, from, to) = match self.fragment()? {
                Fragment::Piece { offset, kind, from, to } => (offset, kind, from, to),
                Fragment::Torn { offset } => {
                    self.torn = Some(begun.map_or(offset, |begun| begun.offset));
                    return Ok(None);
                }
                Fragment::End => {
                    self.torn = begun.map(|begun| begun.offset);
                    return Ok(None);
                }
            };
            let piece = &self.block[from..to];
            // An empty beginning is left behind by old writers at the end of a block.
            if kind <= FIRST && begun.as_ref().is_some_and(|begun| !begun.data.is_empty()) {
                return Err(JournalError::Damaged {
                    offset,
                    what: "a record begins before the last one ended",
                });
            }
            match (kind, &mut begun) {
                (FULL, _) => return Ok(Some(Found { offset, data: piece.to_vec() })),
                (FIRST, _) => begun = Some(Found { offset, data: piece.to_vec() }),
                (MIDDLE | LAST, Some(found)) => found.data.extend_from_slice(piece),
                _ => return Err(JournalError::Damaged { offset, what: "a record without its beginning" }),
            }
            if kind == LAST {
                return Ok(begun);
            }
        }
    }

    fn fragment(&mut self) -> Result<Fragment, JournalError> {
        if BLOCK_BYTES - self.at < HEADER_BYTES {
            if self.is_last_block() {
                return Ok(Fragment::End);
            }
            self.start += BLOCK_BYTES as u64;
            self.at = 0;
            self.load()?;
        }
        let offset = self.start + self.at as u64;
        let damaged = |what| Err(JournalError::Damaged { offset, what });
        let rest = self.block.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Fragment::End);
        }
        if rest.len() < HEADER_BYTES {
            return Ok(Fragment::Torn { offset });
        }
        let (kept, length, kind) = header(rest);
        if kind == 0 && length == 0 && kept == 0 {
            return if self.is_zero_from_here()? {
                Ok(Fragment::Torn { offset })
            } else {
                damaged("zeros in the midst of the file")
            };
        }
        if self.at + HEADER_BYTES + length > BLOCK_BYTES {
            return damaged("a record is longer than its block");
        }
        if HEADER_BYTES + length > rest.len() {
            return if hides_records(rest) {
                damaged("the length of a record is wrong")
            } else {
                Ok(Fragment::Torn { offset })
            };
        }
        if kept != checksum(&[&rest[6..HEADER_BYTES + length]]) {
            return damaged("the checksum is wrong");
        }
        if !(FULL..=LAST).contains(&kind) {
            return damaged("a record of an unknown kind");
        }
        let from = self.at + HEADER_BYTES;
        self.at = from + length;
        Ok(Fragment::Piece { offset, kind, from, to: self.at })
    }

    fn is_zero_from_here(&self) -> Result<bool, JournalError> {
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        if !is_zero(&self.block[self.at..]) {
            return Ok(false);
        }
        let mut at = self.start + self.block.len() as u64;
        let mut block = vec![0; BLOCK_BYTES];
        while at < self.size {
            let part = &mut block[..(self.size - at).min(BLOCK_BYTES as u64) as usize];
            self.file.read_at(at, part)?;
            if !is_zero(part) {
                return Ok(false);
            }
            at += part.len() as u64;
        }
        Ok(true)
    }
}

/// Checksum, length and kind.
fn header(bytes: &[u8]) -> (u32, usize, u8) {
    let mut input = Input(bytes);
    let kept = input.fixed32().unwrap_or_default();
    let length = input.take(2).map_or(0, |two| usize::from(two[0]) | usize::from(two[1]) << 8);
    (kept, length, input.byte().unwrap_or_default())
}

/// Whether what seems to be one record that ends behind the end of the file is a whole one whose length was changed, or
/// has whole ones behind it. What a crash tore off has neither.
fn hides_records(rest: &[u8]) -> bool {
    let (kept, _, _) = header(rest);
    if kept == checksum(&[&rest[6..]]) {
        return true;
    }
    (0..rest.len().saturating_sub(HEADER_BYTES - 1)).any(|at| {
        let (kept, length, kind) = header(&rest[at..]);
        let end = at + HEADER_BYTES + length;
        (FULL..=LAST).contains(&kind) && end <= rest.len() && kept == checksum(&[&rest[at + 6..end]])
    })
}

/// Appends records.
pub(crate) struct Writer {
    file: Box<dyn AppendFile>,
    end: u64,
}

impl Writer {
    /// For an empty file.
    pub(crate) fn new(file: Box<dyn AppendFile>) -> Writer {
        Writer { file, end: 0 }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Says where the record begins.
    pub(crate) fn add(&mut self, record: &[u8]) -> io::Result<u64> {
        let mut bytes =
            Vec::with_capacity(record.len() + record.len() / BLOCK_BYTES * HEADER_BYTES + 2 * HEADER_BYTES);
        let mut used = (self.end % BLOCK_BYTES as u64) as usize;
        let mut rest = record;
        let mut begins = None;
        loop {
            if BLOCK_BYTES - used < HEADER_BYTES {
                bytes.resize(bytes.len() + BLOCK_BYTES - used, 0);
                used = 0;
            }
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - used - HEADER_BYTES));
            let kind =
                [if begins.is_none() { FIRST } else { MIDDLE }, if begins.is_none() { FULL } else { LAST }]
                    [usize::from(after.is_empty())];
            begins.get_or_insert(self.end + bytes.len() as u64);
            bytes.extend_from_slice(&checksum(&[&[kind], piece]).to_le_bytes());
            // A piece is shorter than a block.
            bytes.extend_from_slice(&(piece.len() as u16).to_le_bytes());
            bytes.push(kind);
            bytes.extend_from_slice(piece);
            used += HEADER_BYTES + piece.len();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        self.file.append(&bytes)?;
        let begins = begins.unwrap_or(self.end);
        self.end += bytes.len() as u64;
        Ok(begins)
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}
