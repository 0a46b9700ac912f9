//! Many frameworks beside each other: each launches its share of the tasks on what it is offered, and declines the rest.

use std::sync::Arc;

use super::{expect_metric, grouped, kilobytes, millis};
use crate::board::{Board, Count};
use crate::figures::{Figures, Recorder};
use crate::fleet::{Fleet, Life};
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{Api, Plan, STEP_TIME, Scheduler};
use crate::usage::Meter;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub frameworks: usize,
    pub agents: usize,
    pub tasks: usize,
}

pub fn run(programs: &Programs, kind: Kind, size: Size, figures: &mut Figures) -> Result<(), String> {
    let Size { frameworks, agents, tasks } = size;
    let master = Master::start(programs, kind, &[])?;
    let board = Arc::new(Board::default());
    let fleet = Fleet::listen(&board, agents, tasks, Life::Stay)?;
    fleet.connect(master.address)?;
    let before = master.memory()?;
    let meter = Meter::start(master.pid())?;
    let mut schedulers = Vec::with_capacity(frameworks);
    for number in 0..frameworks {
        let share = number * tasks / frameworks..(number + 1) * tasks / frameworks;
        let plan =
            Plan { first: share.start, tasks: share.len(), tasks_per_offer: share.len(), ..Plan::default() };
        schedulers.push(Scheduler::subscribe(&board, master.address, Api::Http, plan, None)?);
    }
    board.wait(Count::Subscribed, frameworks as u64, STEP_TIME, "frameworks subscribe")?;
    // There is nothing to offer before all of them are there, or the first would be offered everything.
    fleet.register()?;
    for count in [Count::Launched, Count::Running, Count::RunningAcknowledged] {
        board.wait(count, tasks as u64, STEP_TIME, "tasks launch")?;
    }
    let span = meter.stop()?;
    let after = master.memory()?;
    expect_metric(&master, "master/frameworks_active", frameworks)?;
    expect_metric(&master, "master/tasks_running", tasks)?;
    board.close()?;
    drop((schedulers, fleet));
    let size =
        format!("{} frameworks, {} agents, {} tasks", grouped(frameworks), grouped(agents), grouped(tasks));
    let mut recorder = Recorder { figures, kind, workload: "frameworks", size };
    recorder.less("until all tasks run", "s", span.wall.as_secs_f64(), None);
    recorder.less("CPU", "ms/task", millis(span.master) / tasks as f64, None);
    let memory = kilobytes(after.anonymous_bytes, before.anonymous_bytes, frameworks);
    recorder.less("memory, agents and tasks included", "KB/framework", memory, None);
    recorder.span(span);
    Ok(())
}
