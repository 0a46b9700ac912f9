//! Sorted tables (.ldb, older .sst), which LevelDB makes of .log files. They are read only: what is written here stays
//! in .log files. Must not know what keys and values mean.

use std::borrow::Cow;

use crate::files::ReadFile;
use crate::wire::{Input, checksum};

const FOOTER_BYTES: u64 = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Kind of compression and checksum behind each block.
const TRAILER_BYTES: usize = 5;
/// Sequence and kind behind each key.
const TAG_BYTES: usize = 8;
/// Far above what a record of the log can be.
const BLOCK_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("at byte {offset}: {what}")]
    Damaged { offset: u64, what: &'static str },
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

fn handle(input: &mut Input<'_>) -> Option<Handle> {
    Some(Handle { offset: input.varint()?, size: input.varint()? })
}

/// An entry of a table; no value means that the key is deleted.
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) value: Option<Vec<u8>>,
}

fn damaged<T>(offset: u64, what: &'static str) -> Result<T, TableError> {
    Err(TableError::Damaged { offset, what })
}

/// The blocks with entries, in order.
pub(crate) fn blocks(file: &dyn ReadFile) -> Result<Vec<Handle>, TableError> {
    let size = file.size()?;
    let Some(at) = size.checked_sub(FOOTER_BYTES) else { return damaged(size, "a table without its end") };
    let mut footer = [0; FOOTER_BYTES as usize];
    file.read_at(at, &mut footer)?;
    let magic = u64::from_le_bytes(footer[40..].try_into().unwrap_or_default());
    if magic != MAGIC {
        return damaged(at + 40, "the end of a table is not there");
    }
    let mut input = Input(&footer[..40]);
    let Some((_meta, index)) = handle(&mut input).zip(handle(&mut input)) else {
        return damaged(at, "the end of a table is not readable");
    };
    let contents = read_block(file, index)?;
    let mut found = Vec::new();
    for (_, value) in
        pairs(&contents).ok_or(TableError::Damaged { offset: index.offset, what: "a bad index" })?
    {
        match handle(&mut Input(&value)) {
            Some(block) => found.push(block),
            None => return damaged(index.offset, "a bad index"),
        }
    }
    Ok(found)
}

/// The entries of one block.
pub(crate) fn entries(file: &dyn ReadFile, block: Handle) -> Result<Vec<Entry>, TableError> {
    let bad = TableError::Damaged { offset: block.offset, what: "a block that is not readable" };
    let contents = read_block(file, block)?;
    let mut found = Vec::new();
    for (mut key, value) in pairs(&contents).ok_or(bad)? {
        let Some(tag) = key.len().checked_sub(TAG_BYTES).map(|at| key.split_off(at)) else {
            return damaged(block.offset, "a key that is too short");
        };
        let tag = u64::from_le_bytes(tag.try_into().unwrap_or_default());
        let value = match tag & 0xff {
            0 => None,
            1 => Some(value),
            _ => return damaged(block.offset, "an entry of an unknown kind"),
        };
        found.push(Entry { key, sequence: tag >> 8, value });
    }
    Ok(found)
}

/// Keys and values of a block without its trailer.
fn pairs(contents: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let count_at = contents.len().checked_sub(4)?;
    let restarts = Input(&contents[count_at..]).fixed32()? as usize;
    let end = count_at.checked_sub(restarts.checked_mul(4)?)?;
    let mut input = Input(&contents[..end]);
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while !input.is_empty() {
        let (shared, own, length) = (input.length()?, input.length()?, input.length()?);
        let before = found.last().map_or(&[][..], |(key, _)| key);
        let mut key = before.get(..shared)?.to_vec();
        key.extend_from_slice(input.take(own)?);
        found.push((key, input.take(length)?.to_vec()));
    }
    Some(found)
}

fn read_block(file: &dyn ReadFile, block: Handle) -> Result<Vec<u8>, TableError> {
    let Handle { offset, size } = block;
    let end = offset.checked_add(size).and_then(|end| end.checked_add(TRAILER_BYTES as u64));
    if size > BLOCK_BYTES_MAX || end.is_none_or(|end| end > file.size().unwrap_or(0)) {
        return damaged(offset, "a block that reaches out of the file");
    }
    let mut bytes = vec![0; size as usize + TRAILER_BYTES];
    file.read_at(offset, &mut bytes)?;
    let (data, trailer) = bytes.split_at(size as usize);
    if Input(&trailer[1..]).fixed32() != Some(checksum(&[data, &trailer[..1]])) {
        return damaged(offset, "the checksum is wrong");
    }
    let contents = match trailer[0] {
        0 => Cow::Borrowed(data),
        1 => {
            let limit = snap::raw::decompress_len(data).unwrap_or(usize::MAX);
            if limit as u64 > BLOCK_BYTES_MAX {
                return damaged(offset, "a block that is too large");
            }
            match snap::raw::Decoder::new().decompress_vec(data) {
                Ok(plain) => Cow::Owned(plain),
                Err(_) => return damaged(offset, "a block that cannot be unpacked"),
            }
        }
        _ => return damaged(offset, "a compression that is not known"),
    };
    Ok(contents.into_owned())
}
