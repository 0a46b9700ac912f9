//! The laws of status update streams: by examples, and by random events against a model.

mod examples;
mod laws;

use messor_proto::mesos::internal::StatusUpdate;
use messor_proto::mesos::{self, TaskState, TaskStatus};
use messor_types::{FrameworkId, TaskId};
use messor_updates::Key;

pub fn key(task: &str) -> Key {
    Key { framework: FrameworkId::from("framework"), task: TaskId::from(task) }
}

pub fn uuid(number: u64) -> Vec<u8> {
    let mut uuid = vec![0; 8];
    uuid.extend(number.to_be_bytes());
    uuid
}

pub fn update(task: &str, number: u64, state: TaskState) -> StatusUpdate {
    StatusUpdate {
        framework_id: mesos::FrameworkId { value: "framework".into() },
        executor_id: None,
        agent_id: None,
        status: TaskStatus {
            task_id: mesos::TaskId { value: task.into() },
            state: state.into(),
            ..TaskStatus::default()
        },
        timestamp: 0.0,
        uuid: Some(uuid(number)),
        latest_state: None,
    }
}
