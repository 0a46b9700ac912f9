//! A master fails and starts again with its registry: all agents register again, with their tasks.

use std::sync::Arc;

use super::{expect_metric, grouped, kilobytes, millis, registered};
use crate::board::{Board, Count};
use crate::figures::{Figures, Goal, Recorder};
use crate::fleet::{Fleet, Life};
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{STEP_TIME, framework};
use crate::usage::Meter;

const BACK: &str = "all registered again";
/// What was published of Apache Mesos for so many agents and tasks, in seconds.
const PUBLISHED: [((usize, usize), f64); 2] = [((10_000, 100_000), 4.3), ((40_000, 400_000), 19.0)];

/// A master that has failed and is back, and its agents with what they will tell it: so many tasks that run and that are
/// completed.
pub(crate) struct FailedOver {
    pub master: Master,
    pub board: Arc<Board>,
    pub fleet: Fleet,
    pub messages: Vec<Vec<u8>>,
}

pub(crate) fn fail_over(
    programs: &Programs,
    kind: Kind,
    flags: &[String],
    agents: usize,
    (tasks, completed): (usize, usize),
) -> Result<FailedOver, String> {
    let mut master = Master::start(programs, kind, flags)?;
    let board = Arc::new(Board::default());
    let fleet = registered(&master, &board, agents, 0, Life::Stay)?;
    let messages = fleet.reregistrations(&framework(Some("bench-framework")), tasks, completed)?;
    board.close()?;
    master.restart()?;
    board.reopen();
    fleet.connect(master.address)?;
    Ok(FailedOver { master, board, fleet, messages })
}

pub fn run(
    programs: &Programs,
    kind: Kind,
    (agents, tasks): (usize, usize),
    figures: &mut Figures,
) -> Result<(), String> {
    let FailedOver { master, board, fleet, messages } = fail_over(programs, kind, &[], agents, (tasks, 0))?;
    let before = master.memory()?;
    let meter = Meter::start(master.pid())?;
    fleet.reregister(&messages)?;
    board.wait(Count::Reregistered, agents as u64, STEP_TIME, "agents register again")?;
    let span = meter.stop()?;
    let after = master.memory()?;
    expect_metric(&master, "master/slaves_active", agents)?;
    expect_metric(&master, "master/tasks_running", tasks)?;
    board.close()?;
    let size = format!("{} agents, {} tasks", grouped(agents), grouped(tasks));
    let mut recorder = Recorder { figures, kind, workload: "failover", size };
    recorder.less("start with the registry", "ms", millis(master.ready), None);
    recorder.less(BACK, "s", span.wall.as_secs_f64(), Some(Goal::Times(10.0)));
    if let Some((_, seconds)) = PUBLISHED.iter().find(|(of, ..)| *of == (agents, tasks)) {
        recorder.published(BACK, *seconds);
    }
    recorder.less("CPU", "s", span.master.as_secs_f64(), None);
    let memory = kilobytes(after.anonymous_bytes, before.anonymous_bytes, tasks);
    // The agents' connections are in it, what the master keeps of the registry is not.
    recorder.less("memory since the registry was recovered", "KB/task", memory, None);
    recorder.span(span);
    Ok(())
}
