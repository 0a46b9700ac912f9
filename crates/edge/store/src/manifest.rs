//! The MANIFEST: which tables and which .log files a database consists of, as a list of changes. Must not know what
//! is in them.

use std::collections::BTreeSet;

use crate::wire::{Input, put_slice, put_varint};

const COMPARATOR: u64 = 1;
const JOURNAL: u64 = 2;
const NEXT_FILE: u64 = 3;
const LAST_SEQUENCE: u64 = 4;
const COMPACT_POINTER: u64 = 5;
const TABLE_GONE: u64 = 6;
const TABLE: u64 = 7;
const JOURNAL_BEFORE: u64 = 9;

/// The order of keys: that of their bytes. No other is known.
const BYTEWISE: &[u8] = b"leveldb.BytewiseComparator";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// .log files from this number on count.
    pub(crate) journal: u64,
    /// One more .log file that counts, if it is not 0.
    pub(crate) journal_before: u64,
    pub(crate) next_file: u64,
    pub(crate) last_sequence: u64,
    /// Number and size.
    pub(crate) tables: BTreeSet<(u64, u64)>,
}

impl Manifest {
    /// Takes a record in; what is wrong with it, if anything is.
    pub(crate) fn apply(&mut self, record: &[u8]) -> Result<(), &'static str> {
        let mut input = Input(record);
        while !input.is_empty() {
            self.apply_field(&mut input).ok_or("a change that is not whole")??;
        }
        Ok(())
    }

    fn apply_field(&mut self, input: &mut Input<'_>) -> Option<Result<(), &'static str>> {
        match input.varint()? {
            COMPARATOR => {
                if input.slice()? != BYTEWISE {
                    return Some(Err("its keys are in an order that is not known here"));
                }
            }
            JOURNAL => self.journal = input.varint()?,
            JOURNAL_BEFORE => self.journal_before = input.varint()?,
            NEXT_FILE => self.next_file = input.varint()?,
            LAST_SEQUENCE => self.last_sequence = input.varint()?,
            COMPACT_POINTER => {
                input.varint()?;
                input.slice()?;
            }
            TABLE_GONE => {
                input.varint()?;
                let number = input.varint()?;
                self.tables.retain(|(other, _)| *other != number);
            }
            TABLE => {
                input.varint()?;
                let (number, size) = (input.varint()?, input.varint()?);
                input.slice()?;
                input.slice()?;
                // A table that moves to another level is taken out there and put in here, in one change of either order.
                self.tables.retain(|(other, _)| *other != number);
                self.tables.insert((number, size));
            }
            _ => return Some(Err("a change of an unknown kind")),
        }
        Some(Ok(()))
    }

    /// One record that says it all, for a database without tables.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, COMPARATOR);
        put_slice(&mut bytes, BYTEWISE);
        for (field, number) in [
            (JOURNAL, self.journal),
            (JOURNAL_BEFORE, self.journal_before),
            (NEXT_FILE, self.next_file),
            (LAST_SEQUENCE, self.last_sequence),
        ] {
            put_varint(&mut bytes, field);
            put_varint(&mut bytes, number);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_and_strange_ones_are_refused() {
        let manifest = Manifest { journal: 7, next_file: 300, last_sequence: 1 << 40, ..Manifest::default() };
        let bytes = manifest.encode();
        let mut back = Manifest::default();
        assert_eq!(back.apply(&bytes), Ok(()));
        assert_eq!(back, manifest);
        assert!(back.apply(&bytes[..bytes.len() - 1]).is_err());
        assert!(back.apply(&[8]).is_err());
        assert!(back.apply(b"\x01\x08varint64").is_err());
    }
}
