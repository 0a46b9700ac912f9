//! What a master costs that has nothing to do, and how long it takes to be ready.

use std::time::Duration;

use super::{megabytes, millis};
use crate::figures::{Figures, Goal, Recorder};
use crate::masters::{Kind, Master, Programs};
use crate::usage;

pub fn run(programs: &Programs, kind: Kind, quiet: Duration, figures: &mut Figures) -> Result<(), String> {
    let master = Master::start(programs, kind, &[])?;
    let ready = master.ready;
    let span = usage::at_rest(&[master.pid()], quiet)?;
    let memory = master.memory()?;
    let mut recorder = Recorder { figures, kind, workload: "idle", size: "a master alone".to_string() };
    recorder.less("ready", "ms", millis(ready), Some(Goal::AtMost(30.0)));
    recorder.less("anonymous memory", "MB", megabytes(memory.anonymous_bytes), Some(Goal::AtMost(5.0)));
    recorder.less("resident memory", "MB", megabytes(memory.resident_bytes), Some(Goal::AtMost(20.0)));
    recorder.less("CPU", "ms/s", span.master_rate(), None);
    recorder.span(span);
    Ok(())
}
