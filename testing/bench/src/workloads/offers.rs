//! How long a scheduler waits for offers: after it revives, and after it declines without a filter.

use std::sync::Arc;
use std::time::Instant;

use super::{grouped, millis, registered};
use crate::board::{Board, Count};
use crate::figures::{Figures, Recorder};
use crate::fleet::Life;
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{Api, Plan, STEP_TIME, Scheduler};
use crate::usage::Meter;

const FOR_AN_HOUR_SECONDS: f64 = 3600.0;

pub fn run(
    programs: &Programs,
    kind: Kind,
    (agents, rounds): (usize, usize),
    figures: &mut Figures,
) -> Result<(), String> {
    let master = Master::start(programs, kind, &[])?;
    let board = Arc::new(Board::default());
    let fleet = registered(&master, &board, agents, 0, Life::Stay)?;
    let plan = Plan { keeps_offers: true, ..Plan::default() };
    let scheduler = Scheduler::subscribe(&board, master.address, Api::Http, plan, None)?;
    let mut offered = agents as u64;
    board.wait(Count::Offered, offered, STEP_TIME, "offers come")?;
    let size = format!("{} agents", grouped(agents));
    let mut recorder = Recorder { figures, kind, workload: "offers", size };
    let meter = Meter::start(master.pid())?;
    for _ in 0..rounds {
        let offers = checked(&scheduler, agents)?;
        scheduler.decline(&offers, FOR_AN_HOUR_SECONDS)?;
        let start = Instant::now();
        scheduler.revive()?;
        offered += agents as u64;
        board.wait(Count::Offered, offered, STEP_TIME, "offers come again")?;
        recorder.less("from decline and revive to all offers", "ms", millis(start.elapsed()), None);
    }
    let span = meter.stop()?;
    recorder.less("from decline and revive, CPU", "ms", millis(span.master) / rounds as f64, None);
    for _ in 0..rounds {
        let offers = checked(&scheduler, agents)?;
        let start = Instant::now();
        scheduler.decline(&offers, 0.0)?;
        offered += agents as u64;
        board.wait(Count::Offered, offered, STEP_TIME, "offers come again")?;
        recorder.less("from decline without a filter to all offers", "ms", millis(start.elapsed()), None);
    }
    recorder.span(span);
    board.close()?;
    drop(fleet);
    Ok(())
}

fn checked(scheduler: &Scheduler, agents: usize) -> Result<Vec<String>, String> {
    let mut offers = scheduler.take_offers();
    offers.sort();
    offers.dedup();
    if offers.len() != agents {
        return Err(format!("{} different offers for {agents} agents", offers.len()));
    }
    Ok(offers)
}
