//! Small questions about the states of tasks.

use messor_proto::mesos::TaskState;

/// Whether nothing comes after this state. A task that is unreachable, or unknown, may come back.
pub fn is_terminal_task(state: TaskState) -> bool {
    use TaskState::*;
    match state {
        TaskFinished | TaskFailed | TaskKilled | TaskError | TaskLost | TaskDropped | TaskGone
        | TaskGoneByOperator => true,
        TaskStaging | TaskStarting | TaskRunning | TaskKilling | TaskUnreachable | TaskUnknown => false,
    }
}
