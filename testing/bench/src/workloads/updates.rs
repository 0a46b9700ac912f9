//! Status updates of tasks that run already, each acknowledged by the scheduler, and reconciliation of all of them.

use std::sync::Arc;
use std::time::Instant;

use super::{grouped, millis, registered};
use crate::board::{Board, Count};
use crate::figures::{Figures, Recorder};
use crate::fleet::Life;
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{Api, Plan, STEP_TIME, Scheduler};
use crate::usage::Meter;

pub fn run(
    programs: &Programs,
    kind: Kind,
    (agents, tasks): (usize, usize),
    figures: &mut Figures,
) -> Result<(), String> {
    let master = Master::start(programs, kind, &[])?;
    let board = Arc::new(Board::default());
    let fleet = registered(&master, &board, agents, tasks, Life::Stay)?;
    let plan = Plan { first: 0, tasks, tasks_per_offer: tasks.div_ceil(agents), ..Plan::default() };
    let scheduler = Scheduler::subscribe(&board, master.address, Api::Http, plan, None)?;
    board.wait(Count::RunningAcknowledged, tasks as u64, STEP_TIME, "tasks launch")?;
    let size = format!("{} agents, {} tasks", grouped(agents), grouped(tasks));
    let mut recorder = Recorder { figures, kind, workload: "updates", size };

    let meter = Meter::start(master.pid())?;
    fleet.repeat(0..tasks, 0)?;
    board.wait(Count::RepeatedAcknowledged, tasks as u64, STEP_TIME, "updates are acknowledged")?;
    let span = meter.stop()?;
    let updates = tasks as f64;
    recorder.more("updates acknowledged", "updates/s", updates / span.wall.as_secs_f64(), None);
    recorder.less("an update, CPU", "ms", millis(span.master) / updates, None);
    recorder.span(span);

    let mut repeated = board.count(Count::Repeated);
    for (what, named) in [("reconcile, each task named", tasks), ("reconcile, all that are known", 0)] {
        let meter = Meter::start(master.pid())?;
        let start = Instant::now();
        scheduler.reconcile(0..named)?;
        repeated += tasks as u64;
        board.wait(Count::Repeated, repeated, STEP_TIME, what)?;
        recorder.less(what, "ms", millis(start.elapsed()), None);
        recorder.less(&format!("{what}, CPU"), "ms", millis(meter.stop()?.master), None);
    }
    board.close()
}
