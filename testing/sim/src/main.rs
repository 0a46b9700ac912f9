//! Runs the simulator.
//!
//! `cargo run -p messor-sim -- --seed 4711 --trace` replays one run; `--seconds 120` runs fresh seeds for so long on
//! every core and tells how many; `--from 1 --to 1000` runs these. With `--operations` there are reservations, volumes, quota,
//! drains and doubled messages too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use messor_sim::{Options, World};

fn main() -> ExitCode {
    let mut options = Options::of_seed(0);
    let (mut seconds, mut from, mut to) = (None, None, None);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--operations" {
            options.keepers = 2;
            continue;
        }
        if word == "--trace" {
            options.trace = true;
            continue;
        }
        let Some(value) = rest.next().and_then(|value| value.parse::<u64>().ok()) else { return usage() };
        match word.as_str() {
            "--seed" => options.seed = value,
            "--seconds" => seconds = Some(value),
            "--from" => from = Some(value),
            "--to" => to = Some(value),
            _ => return usage(),
        }
    }
    match (seconds, from, to) {
        (None, None, None) => one(options),
        (Some(seconds), None, None) => {
            // Fresh ones: what was run yesterday was found yesterday.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            many(&options, now.as_secs() * 1_000_000, u64::MAX, Duration::from_secs(seconds))
        }
        (None, Some(from), Some(to)) => many(&options, from, to, Duration::MAX),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: messor-sim [--operations] [--seed NUMBER] [--trace] | --seconds NUMBER | --from NUMBER --to NUMBER"
    );
    ExitCode::from(64)
}

fn one(options: Options) -> ExitCode {
    let seed = options.seed;
    let mut world = World::new(options);
    world.run();
    println!("seed {seed}: {:?}", world.report);
    ExitCode::SUCCESS
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    faults: u64,
    elections: u64,
    tasks: u64,
    operations: u64,
    doubled: u64,
    registry_writes: u64,
    simulated: Duration,
}

fn many(options: &Options, from: u64, to: u64, at_most: Duration) -> ExitCode {
    let start = Instant::now();
    let next = AtomicU64::new(from);
    let failed = Mutex::new(Vec::new());
    let sum = Mutex::new(Sum::default());
    let lock_failed = || failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while start.elapsed() < at_most && lock_failed().len() < 5 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > to {
                        return;
                    }
                    let run = || {
                        let mut world = World::new(Options { seed, trace: false, ..options.clone() });
                        world.run();
                        world.report
                    };
                    match catch_unwind(AssertUnwindSafe(run)) {
                        Ok(report) => {
                            let mut sum = sum.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                            sum.seeds += 1;
                            sum.faults += report.faults;
                            sum.elections += report.elections;
                            sum.tasks += report.tasks;
                            sum.operations += report.operations;
                            sum.doubled += report.doubled;
                            sum.registry_writes += report.registry_writes;
                            sum.simulated += report.simulated;
                        }
                        Err(_) => {
                            eprintln!("seed {seed} fails, as said above");
                            lock_failed().push(seed);
                        }
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    println!(
        "simulator: {} seeds, {:.0} simulated hours, {} faults, {} doubled messages, {} elections, {} registry writes, \
         {} tasks, {} operations; {:.0} s",
        sum.seeds,
        sum.simulated.as_secs_f64() / 3600.0,
        sum.faults,
        sum.doubled,
        sum.elections,
        sum.registry_writes,
        sum.tasks,
        sum.operations,
        start.elapsed().as_secs_f64()
    );
    let failed = failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    for seed in &failed {
        let operations = if options.keepers > 0 { " --operations" } else { "" };
        println!("failed: cargo run -p messor-sim --{operations} --seed {seed} --trace");
    }
    if failed.is_empty() && sum.seeds > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
