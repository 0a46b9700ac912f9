//! New agents register, all at once.

use std::sync::Arc;

use super::{expect_metric, grouped, kilobytes, millis};
use crate::board::{Board, Count};
use crate::figures::{Figures, Goal, Recorder};
use crate::fleet::{Fleet, Life};
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::STEP_TIME;
use crate::usage::Meter;

pub fn run(programs: &Programs, kind: Kind, agents: usize, figures: &mut Figures) -> Result<(), String> {
    let master = Master::start(programs, kind, &[])?;
    let board = Arc::new(Board::default());
    let fleet = Fleet::listen(&board, agents, 0, Life::Stay)?;
    fleet.connect(master.address)?;
    let before = master.memory()?;
    let meter = Meter::start(master.pid())?;
    fleet.register()?;
    board.wait(Count::Registered, agents as u64, STEP_TIME, "agents register")?;
    let span = meter.stop()?;
    let after = master.memory()?;
    expect_metric(&master, "master/slaves_active", agents)?;
    board.close()?;
    let size = format!("{} agents", grouped(agents));
    let mut recorder = Recorder { figures, kind, workload: "registration", size };
    recorder.more("rate", "agents/s", agents as f64 / span.wall.as_secs_f64(), None);
    recorder.less("CPU", "ms/agent", millis(span.master) / agents as f64, None);
    let memory = kilobytes(after.anonymous_bytes, before.anonymous_bytes, agents);
    recorder.less("memory", "KB/agent", memory, Some(Goal::AtMost(6.0)));
    recorder.span(span);
    Ok(())
}
