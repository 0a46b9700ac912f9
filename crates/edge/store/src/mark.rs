//! How much of a .log file was safe on disk, in a small file beside it. Without it a file that was cut at its end looks like
//! one whose last write a crash interrupted, and what was acknowledged would be gone without a word.
//!
//! It is written after the sync that it tells of and not synced itself, so it may be behind, and never ahead. LevelDB
//! does not know it; where it is missing nothing is said.

use crate::error::StoreError;
use crate::files::{AppendFile, Files};
use crate::loading::io;
use crate::names::mark_name;
use crate::wire::checksum;

/// Digits, a space, the checksum of the digits, and a line break: always as long, so that it is overwritten in one piece.
const LENGTH: usize = 20 + 1 + 8 + 1;

fn text(bytes: u64) -> String {
    let digits = format!("{bytes:020}");
    let sum = checksum(&[digits.as_bytes()]);
    format!("{digits} {sum:08x}\n")
}

fn parse(found: &[u8]) -> Option<u64> {
    let bytes = std::str::from_utf8(found).ok()?.get(..20)?.parse().ok()?;
    (text(bytes).as_bytes() == found).then_some(bytes)
}

pub(crate) struct Mark(Box<dyn AppendFile>);

impl Mark {
    /// A new one, safe once the directory is.
    pub fn create(files: &dyn Files, number: u64, bytes: u64) -> Result<Mark, StoreError> {
        let name = mark_name(number);
        let mut file = files.create(&name).map_err(io(files, &name, "make"))?;
        file.append(text(bytes).as_bytes()).map_err(io(files, &name, "write to"))?;
        file.sync().map_err(io(files, &name, "sync"))?;
        Ok(Mark(file))
    }

    pub fn set(&mut self, bytes: u64) -> std::io::Result<()> {
        self.0.overwrite(text(bytes).as_bytes())
    }
}

/// What is marked, if that can be read: it is a second look, and no part of the log.
pub(crate) fn read(files: &dyn Files, names: &[String], number: u64) -> Result<Option<u64>, StoreError> {
    let name = mark_name(number);
    if !names.contains(&name) {
        return Ok(None);
    }
    let file = files.open(&name).map_err(io(files, &name, "open"))?;
    let size = file.size().map_err(io(files, &name, "read"))?;
    let mut found = vec![0; LENGTH];
    let marked = if size == LENGTH as u64 {
        file.read_at(0, &mut found).map_err(io(files, &name, "read"))?;
        parse(&found)
    } else {
        None
    };
    if marked.is_none() {
        tracing::warn!(
            "{} is not as it should be and counts for nothing",
            files.path().join(&name).display()
        );
    }
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_right_or_none() {
        for bytes in [0, 1, 4711, u64::MAX] {
            let right = text(bytes);
            assert_eq!((right.len(), parse(right.as_bytes())), (LENGTH, Some(bytes)));
            for at in 0..LENGTH {
                for bit in 0..8 {
                    let mut wrong = right.clone().into_bytes();
                    wrong[at] ^= 1 << bit;
                    assert_eq!(parse(&wrong), None);
                }
            }
        }
    }
}
