//! Tasks are launched on simulated agents, and run to their end or stay. Every update is acknowledged.

use std::sync::Arc;

use super::{expect_metric, grouped, kilobytes, millis, registered};
use crate::board::{Board, Count};
use crate::figures::{Figures, Goal, Recorder};
use crate::fleet::Life;
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{Api, Plan, STEP_TIME, Scheduler};
use crate::usage::Meter;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub agents: usize,
    pub tasks: usize,
    pub life: Life,
    pub api: Api,
}

pub fn run(programs: &Programs, kind: Kind, size: Size, figures: &mut Figures) -> Result<(), String> {
    let Size { agents, tasks, life, api } = size;
    let master = Master::start(programs, kind, &[])?;
    let board = Arc::new(Board::default());
    let fleet = registered(&master, &board, agents, tasks, life)?;
    let before = master.memory()?;
    let plan = Plan { first: 0, tasks, tasks_per_offer: tasks.div_ceil(agents), ..Plan::default() };
    // The first offers come with the subscription: their allocation is part of it.
    let meter = Meter::start(master.pid())?;
    let scheduler = Scheduler::subscribe(&board, master.address, api, plan, None)?;
    let last = match life {
        Life::Finish => Count::FinishedAcknowledged,
        Life::Stay => Count::RunningAcknowledged,
    };
    // Acknowledgements stand behind all launches in the scheduler's queue: each step has its own time.
    for count in [Count::Launched, Count::Running, last] {
        board.wait(count, tasks as u64, STEP_TIME, "tasks launch")?;
    }
    let span = meter.stop()?;
    let after = master.memory()?;
    board.wait(Count::RunningAcknowledged, tasks as u64, STEP_TIME, "tasks launch")?;
    match life {
        Life::Finish => expect_metric(&master, "master/tasks_finished", tasks)?,
        Life::Stay => expect_metric(&master, "master/tasks_running", tasks)?,
    }
    board.close()?;
    drop((scheduler, fleet));
    let end = if life == Life::Finish { "to their end" } else { "that stay" };
    let by = if api == Api::Http { "v1" } else { "v0" };
    let size = format!("{} agents, {} tasks {end}, {by}", grouped(agents), grouped(tasks));
    let mut recorder = Recorder { figures, kind, workload: "launch", size };
    let rate = tasks as f64 / span.wall.as_secs_f64();
    recorder.more("rate", "tasks/s", rate, Some(Goal::AtLeast(20_000.0)));
    recorder.less("CPU", "ms/task", millis(span.master) / tasks as f64, Some(Goal::Times(10.0)));
    if life == Life::Stay {
        let memory = kilobytes(after.anonymous_bytes, before.anonymous_bytes, tasks);
        recorder.less("memory", "KB/task", memory, Some(Goal::AtMost(3.0)));
    }
    recorder.span(span);
    Ok(())
}
