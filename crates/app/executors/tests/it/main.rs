//! The executors as processes, with a fake agent that speaks the executor API, and real commands.

mod agent;
mod checks;
mod containers;
mod groups;
mod life;
mod recovery;
mod run;

use messor_proto::mesos::{CommandInfo, DurationInfo, KillPolicy, TaskId, TaskInfo};

fn shell(command: &str) -> CommandInfo {
    CommandInfo { value: Some(command.to_string()), ..CommandInfo::default() }
}

fn task(command: &str) -> TaskInfo {
    TaskInfo {
        task_id: TaskId { value: "t".to_string() },
        command: Some(shell(command)),
        ..TaskInfo::default()
    }
}

fn milliseconds(milliseconds: i64) -> DurationInfo {
    DurationInfo { nanoseconds: milliseconds * 1_000_000 }
}

fn grace(milliseconds_long: i64) -> KillPolicy {
    KillPolicy { grace_period: Some(milliseconds(milliseconds_long)) }
}
