//! Batches of changes, each of which is one record of a .log file. Must not know what keys and values mean.

use crate::wire::{Input, put_slice};

const DELETED: u8 = 0;
const VALUE: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch<'a> {
    /// The number of its first change; each further one has the next.
    pub(crate) sequence: u64,
    pub(crate) changes: Vec<Change<'a>>,
}

impl<'a> Batch<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&(self.changes.len() as u32).to_le_bytes());
        for change in &self.changes {
            match change {
                Change::Put { key, value } => {
                    bytes.push(VALUE);
                    put_slice(&mut bytes, key);
                    put_slice(&mut bytes, value);
                }
                Change::Delete { key } => {
                    bytes.push(DELETED);
                    put_slice(&mut bytes, key);
                }
            }
        }
        bytes
    }

    /// `None` if it is no batch.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Batch<'a>> {
        let mut input = Input(bytes);
        let sequence = input.fixed64()?;
        let count = input.fixed32()?;
        let mut changes = Vec::new();
        while !input.is_empty() {
            changes.push(match input.byte()? {
                VALUE => Change::Put { key: input.slice()?, value: input.slice()? },
                DELETED => Change::Delete { key: input.slice()? },
                _ => return None,
            });
        }
        (changes.len() == count as usize).then_some(Batch { sequence, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_back_and_half_a_one_does_not() {
        let changes =
            vec![Change::Put { key: b"0000000001", value: &[7; 300] }, Change::Delete { key: b"0000000000" }];
        let batch = Batch { sequence: 9, changes };
        let bytes = batch.encode();
        assert_eq!(Batch::decode(&bytes), Some(batch));
        for end in 0..bytes.len() {
            assert_eq!(Batch::decode(&bytes[..end]), None);
        }
    }
}
