//! A master that holds a large cluster for as long as somebody wants to look at it: the tests of the web page do.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::board::{Board, Count};
use crate::fleet::Life;
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{Api, Plan, STEP_TIME, Scheduler};
use crate::workloads::{expect_metric, registered};

/// Starts a master, registers `agents` simulated ones and launches `tasks` tasks that stay; then prints `HOST:PORT` on a
/// line and waits for the end of its standard input.
pub fn run(programs: &Programs, agents: usize, tasks: usize) -> Result<(), String> {
    let master = Master::start(programs, Kind::Messor, &[])?;
    let board = Arc::new(Board::default());
    let fleet = registered(&master, &board, agents, tasks, Life::Stay)?;
    let plan = Plan { first: 0, tasks, tasks_per_offer: tasks.div_ceil(agents), ..Plan::default() };
    let scheduler = Scheduler::subscribe(&board, master.address, Api::Http, plan, None)?;
    // Programs that were built to be debugged take their time.
    board.wait(Count::RunningAcknowledged, tasks as u64, STEP_TIME * 4, "tasks launch")?;
    expect_metric(&master, "master/tasks_running", tasks)?;
    println!("{}", master.address);
    std::io::stdout().flush().map_err(|error| format!("nobody reads: {error}"))?;
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).map_err(|error| format!("standard input: {error}"))?;
    board.close()?;
    drop((scheduler, fleet));
    Ok(())
}
