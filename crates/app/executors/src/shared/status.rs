//! How an executor writes the status of a task. It must not know why the status changed.

use messor_proto::mesos::{ExecutorId, TaskInfo, TaskState, TaskStatus, task_status};
use messor_stdx::Time;

use super::check::{self, Verdict};

/// Ids and waiting times from a seed (the generator is SplitMix64, one for each half of an id).
#[derive(Clone, Debug)]
pub struct Stamps {
    state: [u64; 2],
}

impl Stamps {
    pub fn new(seed: [u64; 2]) -> Stamps {
        Stamps { state: seed }
    }

    /// A status from scratch: nothing of an earlier one is kept.
    pub fn status(
        &mut self,
        wall: Time,
        executor: &ExecutorId,
        info: &TaskInfo,
        state: TaskState,
    ) -> TaskStatus {
        TaskStatus {
            task_id: info.task_id.clone(),
            state: state as i32,
            source: Some(task_status::Source::Executor as i32),
            executor_id: Some(executor.clone()),
            timestamp: Some(wall.as_secs_f64()),
            uuid: Some(self.uuid()),
            // A task with a check always says so, even if nothing is known of it yet.
            check_status: info.check.as_ref().map(check::empty_status),
            ..TaskStatus::default()
        }
    }

    /// The same status, told anew: all of it is kept but for its stamps.
    pub fn again(&mut self, wall: Time, status: &TaskStatus) -> TaskStatus {
        TaskStatus { timestamp: Some(wall.as_secs_f64()), uuid: Some(self.uuid()), ..status.clone() }
    }

    /// The status after a result of a check, and whether the task is to be killed for it.
    pub fn after_check(&mut self, wall: Time, told: &TaskStatus, verdict: Verdict) -> (TaskStatus, bool) {
        let mut status = self.again(wall, told);
        match verdict {
            Verdict::Status(check_status) => {
                status.reason = Some(task_status::Reason::TaskCheckStatusUpdated as i32);
                status.check_status = Some(*check_status);
                (status, false)
            }
            Verdict::Health { healthy, kill } => {
                status.reason = Some(task_status::Reason::TaskHealthCheckStatusUpdated as i32);
                status.healthy = Some(healthy);
                (status, kill)
            }
        }
    }

    /// A number from 0 to 1.
    pub fn dice(&mut self) -> f64 {
        (next(&mut self.state[0]) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A random UUID (version 4).
    pub fn uuid(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16);
        for half in &mut self.state {
            bytes.extend(next(half).to_be_bytes());
        }
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }
}

/// A UUID as text.
pub fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// No update follows one of these states.
pub fn is_terminal(status: &TaskStatus) -> bool {
    matches!(
        TaskState::try_from(status.state),
        Ok(TaskState::TaskFinished | TaskState::TaskFailed | TaskState::TaskKilled)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_version_4_and_differ() {
        let mut stamps = Stamps::new([1, 2]);
        let ids: BTreeSet<Vec<u8>> = (0..1000).map(|_| stamps.uuid()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && id[6] >> 4 == 4 && id[8] >> 6 == 2));
        assert!((0..1000).map(|_| stamps.dice()).all(|dice| (0.0..1.0).contains(&dice)));
    }
}
