//! What can go through a stream: status updates of tasks, and those of operations.

use std::fmt::Debug;

use messor_proto::mesos::internal::{
    StatusUpdate, StatusUpdateRecord, UpdateOperationStatusMessage, UpdateOperationStatusRecord,
    status_update_record, update_operation_status_record,
};
use messor_proto::mesos::{self, TaskState};
use messor_types::{FrameworkId, OperationUuid, TaskId, is_terminal_operation, is_terminal_task};

/// The stream of a task of a framework.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub framework: FrameworkId,
    pub task: TaskId,
}

/// What is on disk of a stream, one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a, U> {
    Update(&'a U),
    /// Of the update of this uuid.
    Acknowledgement(&'a [u8]),
}

/// An update that waits for an acknowledgement.
pub trait Update: Clone + Debug + PartialEq {
    /// Which stream it belongs to.
    type Key: Clone + Debug + Ord;
    /// How it lies on disk.
    type Record: Clone + Debug + PartialEq;

    /// By what it is acknowledged.
    fn uuid(&self) -> Option<&[u8]>;
    /// Whether nothing comes after it.
    fn is_terminal(&self) -> bool;
    fn record(&self) -> Self::Record;
    fn acknowledgement(uuid: &[u8]) -> Self::Record;
    /// None: the record contradicts its own type.
    fn entry(record: &Self::Record) -> Option<Entry<'_, Self>>;
}

impl Update for StatusUpdate {
    type Key = Key;
    type Record = StatusUpdateRecord;

    fn uuid(&self) -> Option<&[u8]> {
        self.uuid.as_deref()
    }

    fn is_terminal(&self) -> bool {
        TaskState::try_from(self.status.state).is_ok_and(is_terminal_task)
    }

    fn record(&self) -> StatusUpdateRecord {
        StatusUpdateRecord {
            r#type: status_update_record::Type::Update.into(),
            update: Some(self.clone()),
            uuid: None,
        }
    }

    fn acknowledgement(uuid: &[u8]) -> StatusUpdateRecord {
        StatusUpdateRecord {
            r#type: status_update_record::Type::Ack.into(),
            update: None,
            uuid: Some(uuid.to_vec()),
        }
    }

    fn entry(record: &StatusUpdateRecord) -> Option<Entry<'_, StatusUpdate>> {
        match status_update_record::Type::try_from(record.r#type).ok()? {
            status_update_record::Type::Update => record.update.as_ref().map(Entry::Update),
            status_update_record::Type::Ack => record.uuid.as_deref().map(Entry::Acknowledgement),
        }
    }
}

impl Update for UpdateOperationStatusMessage {
    type Key = OperationUuid;
    type Record = UpdateOperationStatusRecord;

    fn uuid(&self) -> Option<&[u8]> {
        self.status.uuid.as_ref().map(|uuid| uuid.value.as_slice())
    }

    fn is_terminal(&self) -> bool {
        is_terminal_operation(self.status.state())
    }

    fn record(&self) -> UpdateOperationStatusRecord {
        UpdateOperationStatusRecord {
            r#type: update_operation_status_record::Type::Update.into(),
            update: Some(self.clone()),
            uuid: None,
        }
    }

    fn acknowledgement(uuid: &[u8]) -> UpdateOperationStatusRecord {
        UpdateOperationStatusRecord {
            r#type: update_operation_status_record::Type::Ack.into(),
            update: None,
            uuid: Some(mesos::Uuid { value: uuid.to_vec() }),
        }
    }

    fn entry(record: &UpdateOperationStatusRecord) -> Option<Entry<'_, UpdateOperationStatusMessage>> {
        match update_operation_status_record::Type::try_from(record.r#type).ok()? {
            update_operation_status_record::Type::Update => record.update.as_ref().map(Entry::Update),
            update_operation_status_record::Type::Ack => {
                record.uuid.as_ref().map(|uuid| Entry::Acknowledgement(&uuid.value))
            }
        }
    }
}
