//! What a store found on its disk, gathered record by record, without the entries themselves.

use messor_proto::mesos::internal::log::Record;
use messor_proto::mesos::internal::log::{Action, Metadata, action, metadata, record};

use crate::positions::Positions;

/// Give it each record of the store in any order; an empty store is `Restored::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub metadata: Metadata,
    /// The first position that is not truncated.
    pub begin: u64,
    /// The last position that was written.
    pub end: u64,
    pub learned: Positions,
    pub unlearned: Positions,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("a record of the log has the type {0}, which is unknown")]
    Type(i32),
    #[error("a record of the log has nothing of its type in it")]
    Empty,
}

impl Default for Restored {
    fn default() -> Restored {
        Restored {
            metadata: Metadata { status: metadata::Status::Empty.into(), promised: 0 },
            begin: 0,
            end: 0,
            learned: Positions::default(),
            unlearned: Positions::default(),
        }
    }
}

impl Restored {
    pub fn add(&mut self, record: &Record) -> Result<(), RecordError> {
        match record::Type::try_from(record.r#type).map_err(|_| RecordError::Type(record.r#type))? {
            record::Type::Metadata => self.metadata = record.metadata.ok_or(RecordError::Empty)?,
            // From before there was metadata: such a replica voted.
            record::Type::Promise => {
                let promised = record.promise.ok_or(RecordError::Empty)?.proposal;
                self.metadata = Metadata { status: metadata::Status::Voting.into(), promised };
            }
            record::Type::Action => self.add_action(record.action.as_ref().ok_or(RecordError::Empty)?),
        }
        Ok(())
    }

    fn add_action(&mut self, action: &Action) {
        let position = action.position;
        let (into, out_of) = if action.learned() {
            self.begin = self.begin.max(truncates_to(action).unwrap_or(0));
            (&mut self.learned, &mut self.unlearned)
        } else {
            (&mut self.unlearned, &mut self.learned)
        };
        into.insert(position, position);
        out_of.remove(position, position);
        self.end = self.end.max(position);
    }
}

/// Where the log begins once this action is learned, if it says so. A tombstone says that its position was truncated.
pub(crate) fn truncates_to(action: &Action) -> Option<u64> {
    match action.r#type.map(action::Type::try_from) {
        Some(Ok(action::Type::Truncate)) => {
            // No log is truncated beyond what truncates it.
            action.truncate.map(|truncate| truncate.to.min(action.position))
        }
        Some(Ok(action::Type::Nop)) if action.nop.is_some_and(|nop| nop.tombstone()) => {
            Some(action.position.saturating_add(1))
        }
        _ => None,
    }
}
