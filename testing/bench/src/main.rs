//! `cargo run --release -p messor-bench -- allocator [--shape NAME]... [--runs N] [--rounds N] [--json]`
//!
//! `--shape`, as often as one likes: only these; `--list` names them. `--rounds`: how often agents are offered and
//! declined in a run, in place of the shape's own number.
//!
//! `cargo run --release -p messor-bench -- compare` plays the workloads against Apache Mesos 1.11.0 and Messor in turns;
//! `WORKLOAD [--real]` plays one against one of them.
//!
//! `cargo run --release -p messor-bench -- containers`, as root: an agent with the linux launcher, of the binary that MESSOR_BIN
//! names, which should be a release build. `--seconds`: how long idle containers are watched.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use messor_bench::allocator::{self, SHAPES};
use messor_bench::arguments::Arguments;
use messor_bench::compare::{WORKLOADS, Work, play};
use messor_bench::containers;
use messor_bench::masters::{Kind, Programs};
use rustix::process::{Resource, getrlimit, setrlimit};

// As in `messor`, or the figures would be another program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: messor-bench allocator [--shape NAME]... [--runs N] [--rounds N] [--json] [--list]
       messor-bench containers [--count N] [--parallel N] [--idle N] [--pod N] [--isolation NAMES] [--seconds N]
       messor-bench compare [--only WORKLOAD]... [--runs N] [--json] [--smallest]
       messor-bench growth [--real] [--agents N] [--tasks N] [--runs N]    four sizes, these the largest
       messor-bench WORKLOAD [--real] [--both] [--runs N] [--json] [sizes]
workloads and their sizes:
       registration  --agents N
       launch        --agents N --tasks N [--stay] [--driver]    --stay: tasks do not end; --driver: by libprocess
       reads         --agents N --tasks N --completed N --clients N --rounds N
       failover      --agents N --tasks N
       offers        --agents N --rounds N
       updates       --agents N --tasks N
       subscribers   --subscribers N --agents N --tasks N
       idle          --seconds N
--messor FILE: the binary, instead of target/release/messor";

/// Why nothing was measured, or what was wrong.
enum Failure {
    Usage(String),
    Fault(String),
}

fn allocator(mut arguments: Arguments) -> Result<(), Failure> {
    let understood = (|| {
        let mut options = allocator::Options::default();
        let json = arguments.flag("--json");
        if arguments.flag("--list") {
            for shape in SHAPES {
                println!("{}", shape.name);
            }
            return Ok(None);
        }
        for name in arguments.values::<String>("--shape")? {
            if !SHAPES.iter().any(|shape| shape.name == name) {
                return Err(format!("there is no shape '{name}': see --list"));
            }
            options.shapes.push(name);
        }
        options.runs = arguments.number("--runs", options.runs)?;
        options.rounds = arguments.value("--rounds")?;
        if options.rounds == Some(0) {
            return Err("--rounds is a number from 1".to_string());
        }
        arguments.finish()?;
        Ok(Some((options, json)))
    })();
    let Some((options, json)) = understood.map_err(Failure::Usage)? else { return Ok(()) };
    let report = allocator::run(&options).map_err(Failure::Fault)?;
    if json {
        println!("{}", report.to_json())
    } else {
        print!("{report}")
    }
    Ok(())
}

fn containers(mut arguments: Arguments) -> Result<(), Failure> {
    let understood = (|| {
        let usual = containers::Options::default();
        let options = containers::Options {
            count: arguments.number("--count", usual.count)?,
            parallel: arguments.number("--parallel", usual.parallel)?,
            idle: arguments.number("--idle", usual.idle)?,
            pod: arguments.number("--pod", usual.pod)?,
            isolation: arguments.value("--isolation")?.unwrap_or(usual.isolation),
            watch: Duration::from_secs(arguments.number("--seconds", 10)? as u64),
        };
        arguments.finish().map(|()| options)
    })();
    let figures = containers::run(&understood.map_err(Failure::Usage)?).map_err(Failure::Fault)?;
    print!("{figures}");
    Ok(())
}

struct Order {
    programs: Programs,
    kinds: Vec<Kind>,
    works: Vec<Work>,
    runs: usize,
    json: bool,
}

fn order(command: &str, mut arguments: Arguments) -> Result<Order, String> {
    let mut programs = Programs::default();
    if let Some(path) = arguments.value::<PathBuf>("--messor")? {
        programs.messor = path;
    }
    let json = arguments.flag("--json");
    let (kinds, works, default_runs) = if command == "compare" {
        let mut names = arguments.values::<String>("--only")?;
        if let Some(name) = names.iter().find(|name| !WORKLOADS.contains(&name.as_str())) {
            return Err(format!("'{name}' is not measured; there are {}", WORKLOADS.join(", ")));
        }
        if names.is_empty() {
            names = WORKLOADS.map(String::from).to_vec();
        }
        let works = if arguments.flag("--smallest") {
            Work::smallest()
        } else {
            names.iter().flat_map(|name| Work::compared(name)).collect()
        };
        (vec![Kind::Real, Kind::Messor], works, 3)
    } else {
        let kinds = if arguments.flag("--both") {
            vec![Kind::Real, Kind::Messor]
        } else if arguments.flag("--real") {
            vec![Kind::Real]
        } else {
            vec![Kind::Messor]
        };
        (kinds, Work::named(command, &mut arguments)?, 1)
    };
    let runs = arguments.number("--runs", default_runs)?;
    arguments.finish()?;
    Ok(Order { programs, kinds, works, runs, json })
}

fn workloads(command: &str, arguments: Arguments) -> Result<(), Failure> {
    let Order { programs, kinds, works, runs, json } = order(command, arguments).map_err(Failure::Usage)?;
    for kind in &kinds {
        programs.check(*kind).map_err(Failure::Fault)?;
    }
    raise_limits()?;
    let (figures, faults) = play(&programs, &kinds, &works, runs);
    if json {
        print!("{}", figures.to_json_lines())
    } else {
        print!("{figures}")
    }
    told(&faults)
}

fn raise_limits() -> Result<(), Failure> {
    // Subscribers are connections; what is started here inherits the limit.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|error| Failure::Fault(format!("no more open files: {error}")))
}

fn growth(mut arguments: Arguments) -> Result<(), Failure> {
    let understood = (|| {
        let kind = if arguments.flag("--real") { Kind::Real } else { Kind::Messor };
        let size = (arguments.number("--agents", 8000)?, arguments.number("--tasks", 160_000)?);
        let runs = arguments.number("--runs", 1)?;
        let mut programs = Programs::default();
        if let Some(path) = arguments.value::<PathBuf>("--messor")? {
            programs.messor = path;
        }
        arguments.finish()?;
        Ok((programs, kind, size, runs))
    })();
    let (programs, kind, size, runs) = understood.map_err(Failure::Usage)?;
    programs.check(kind).map_err(Failure::Fault)?;
    raise_limits()?;
    let (table, faults) = messor_bench::growth::run(&programs, kind, size, runs);
    print!("{table}");
    told(&faults)
}

fn told(faults: &[String]) -> Result<(), Failure> {
    match faults.len() {
        0 => Ok(()),
        count => Err(Failure::Fault(format!("{count} of the runs went wrong: {}", faults.join("; ")))),
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let arguments = Arguments::new(words);
    let outcome = match command.as_str() {
        "allocator" => allocator(arguments),
        "containers" => containers(arguments),
        "growth" => growth(arguments),
        command => workloads(command, arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            eprintln!("messor-bench: {error}\n{USAGE}");
            ExitCode::from(64)
        }
        Err(Failure::Fault(error)) => {
            eprintln!("messor-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
