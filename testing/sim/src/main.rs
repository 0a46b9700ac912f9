//! Runs the simulator.
//!
//! `cargo run -p messor-sim -- --seed 4711 --trace` replays one run; `--seconds 120` runs fresh seeds for so long on
//! every core (seconds of work: they take longer on a core that has better to do) and tells how many; `--from 1 --to 1000` runs these. With `--operations` there are reservations, volumes, quota,
//! drains and doubled messages too; with `--mixed` in every second run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use messor_sim::{KEEPERS, Options, Report, World};

fn main() -> ExitCode {
    let mut options = Options::of_seed(0);
    let (mut seconds, mut from, mut to, mut mixed) = (None, None, None, false);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--operations" {
            options = options.with_operations();
            continue;
        }
        if word == "--mixed" {
            mixed = true;
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
        (None, None, None) if !mixed => one(options),
        (Some(seconds), None, None) => {
            // Fresh ones: what was run yesterday was found yesterday.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            many(&options, mixed, now.as_secs() * 1_000_000, u64::MAX, Duration::from_secs(seconds))
        }
        (None, Some(from), Some(to)) => many(&options, mixed, from, to, Duration::MAX),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: messor-sim [--operations] --seed NUMBER [--trace]\n       \
         messor-sim [--operations | --mixed] (--seconds NUMBER | --from NUMBER --to NUMBER)"
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

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.faults += report.faults;
        self.elections += report.elections;
        self.tasks += report.tasks;
        self.operations += report.operations;
        self.doubled += report.doubled;
        self.registry_writes += report.registry_writes;
        self.simulated += report.simulated;
    }

    fn say(&self, kind: &str) {
        println!(
            "simulator{kind}: {} seeds, {:.0} simulated hours, {} faults, {} doubled messages, {} elections, \
             {} registry writes, {} tasks, {} operations",
            self.seeds,
            self.simulated.as_secs_f64() / 3600.0,
            self.faults,
            self.doubled,
            self.elections,
            self.registry_writes,
            self.tasks,
            self.operations,
        );
    }
}

/// What a run is like: with operations or without.
fn keepers(options: &Options, mixed: bool, seed: u64) -> usize {
    if mixed { if seed.is_multiple_of(2) { KEEPERS } else { 0 } } else { options.keepers }
}

/// How long this thread had a core for itself: `./test` lets the simulator have what others leave.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn many(options: &Options, mixed: bool, from: u64, to: u64, at_most: Duration) -> ExitCode {
    let start = Instant::now();
    let next = AtomicU64::new(from);
    let failed = Mutex::new(Vec::new());
    let sums = Mutex::new([Sum::default(), Sum::default()]);
    let lock_failed = || failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while worked() < at_most && lock_failed().len() < 5 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > to {
                        return;
                    }
                    let keepers = keepers(options, mixed, seed);
                    let run = || {
                        let mut world =
                            World::new(Options { seed, keepers, trace: false, ..options.clone() });
                        world.run();
                        world.report
                    };
                    match catch_unwind(AssertUnwindSafe(run)) {
                        Ok(report) => {
                            let mut sums = sums.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                            sums[usize::from(keepers > 0)].add(&report);
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
    let sums = sums.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (sum, kind) in sums.iter().zip(["", " with operations"]).filter(|(sum, _)| sum.seeds > 0) {
        sum.say(kind);
    }
    println!("simulator: {:.0} s", start.elapsed().as_secs_f64());
    let failed = failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    for seed in &failed {
        let operations = if keepers(options, mixed, *seed) > 0 { " --operations" } else { "" };
        println!("failed: cargo run -p messor-sim --{operations} --seed {seed} --trace");
    }
    if failed.is_empty() && sums.iter().any(|sum| sum.seeds > 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
