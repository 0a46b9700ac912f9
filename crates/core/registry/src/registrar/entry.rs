//! The registry as an entry of the log: a snapshot of the variable `registry`.

use messor_proto::mesos::internal::state::{Entry, Operation, operation};
use messor_proto::{Wire, WireEnum};

/// The name of the variable.
const NAME: &str = "registry";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryError {
    #[error("position {position} of the log holds no operation of a registry: {error}")]
    Unreadable { position: u64, error: messor_proto::DecodeError },
    #[error("position {position} of the log holds an operation of a kind that this version does not know")]
    Unknown { position: u64 },
    #[error(
        "position {position} of the log holds a difference, which no master of version 1.11.0 writes: start a \
         1.11.0 master once, so that it writes the whole registry"
    )]
    Difference { position: u64 },
}

/// What an entry does to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Snapshot(Vec<u8>),
    Expunged,
    /// It is about another variable.
    Other,
}

pub(super) fn snapshot(uuid: [u8; 16], registry: Vec<u8>) -> Vec<u8> {
    let entry = Entry { name: NAME.to_string(), uuid: uuid.to_vec(), value: registry };
    let snapshot = Some(operation::Snapshot { entry });
    Operation { r#type: operation::Type::Snapshot.number(), snapshot, ..Default::default() }.encode_bytes()
}

pub(super) fn read(position: u64, bytes: &[u8]) -> Result<Change, EntryError> {
    let operation =
        Operation::decode_checked(bytes).map_err(|error| EntryError::Unreadable { position, error })?;
    let of_ours = |name: &str, change: Change| if name == NAME { change } else { Change::Other };
    match (operation.r#type(), operation.snapshot, operation.diff, operation.expunge) {
        (operation::Type::Snapshot, Some(snapshot), _, _) => {
            Ok(of_ours(&snapshot.entry.name, Change::Snapshot(snapshot.entry.value)))
        }
        (operation::Type::Diff, _, Some(diff), _) if diff.entry.name == NAME => {
            Err(EntryError::Difference { position })
        }
        (operation::Type::Diff, _, Some(_), _) => Ok(Change::Other),
        (operation::Type::Expunge, _, _, Some(expunge)) => Ok(of_ours(&expunge.name, Change::Expunged)),
        _ => Err(EntryError::Unknown { position }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_are_written() {
        assert_eq!(read(7, &snapshot([1; 16], vec![2, 3])), Ok(Change::Snapshot(vec![2, 3])));
        assert!(matches!(read(7, b"\xff"), Err(EntryError::Unreadable { position: 7, .. })));
        let kind = |kind: operation::Type| Operation { r#type: kind.number(), ..Default::default() };
        assert_eq!(
            read(7, &kind(operation::Type::Diff).encode_bytes()),
            Err(EntryError::Unknown { position: 7 })
        );
        let entry = |name: &str| Entry { name: name.into(), uuid: vec![1; 16], value: vec![9] };
        let diff = |name: &str| Operation {
            diff: Some(operation::Diff { entry: entry(name) }),
            ..kind(operation::Type::Diff)
        };
        assert_eq!(read(7, &diff("registry").encode_bytes()), Err(EntryError::Difference { position: 7 }));
        assert_eq!(read(7, &diff("else").encode_bytes()), Ok(Change::Other));
        let expunge = |name: &str| Operation {
            expunge: Some(operation::Expunge { name: name.into() }),
            ..kind(operation::Type::Expunge)
        };
        assert_eq!(read(7, &expunge("registry").encode_bytes()), Ok(Change::Expunged));
        assert_eq!(read(7, &expunge("else").encode_bytes()), Ok(Change::Other));
    }
}
