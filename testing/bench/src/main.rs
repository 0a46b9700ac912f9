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
use messor_bench::figures::{Fault, Figures};
use messor_bench::growth::{self, AXES};
use messor_bench::made::Made;
use messor_bench::masters::{Kind, Programs};
use messor_bench::report::Report;
use messor_bench::{codec, containers, counts, hot, inprocess, plots};
use rustix::process::{Resource, getrlimit, setrlimit};

// As in `messor`, or the figures would be another program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: messor-bench allocator [--shape NAME]... [--runs N] [--rounds N] [--json] [--list]
       messor-bench master [--shape NAME]... [--runs N] [--json] [--list]    in process: agents come back, /state
       messor-bench codec [--tasks N] [--rounds N] [--json]
       messor-bench counts [--record]      instructions of hot paths, by callgrind; more than before is an error
       messor-bench containers [--count N] [--parallel N] [--idle N] [--pod N] [--isolation NAMES] [--seconds N]
       messor-bench compare [--only WORKLOAD]... [--runs N] [--json] [--save FILE] [--smallest]
                           all workloads, medians of three (the largest sizes: one run); --save: JSON lines beside the table, after each run
       messor-bench growth [--real] [--axis AXIS]... [--agents N] [--tasks N] [--frameworks N] [--runs N] [--json]
                           four sizes, these the largest; an axis is agents, tasks, both or frameworks
       messor-bench plot --to FOLDER FILE...    SVGs of what compare and growth printed with --json
       messor-bench hold [--agents N] [--tasks N]    a master with them, until standard input ends; prints its address
       messor-bench WORKLOAD [--real] [--both] [--runs N] [--json] [--save FILE] [sizes]
workloads and their sizes:
       registration  --agents N
       launch        --agents N --tasks N [--stay] [--driver]    --stay: tasks do not end; --driver: by libprocess
       frameworks    --frameworks N --agents N --tasks N
       commands      --tasks N                                   with a real agent
       reads         --agents N --tasks N --completed N --clients N --rounds N [--state]    --state: /state alone, by one client
       failover      --agents N --tasks N
       offers        --agents N --rounds N
       updates       --agents N --tasks N
       subscribers   --subscribers N --agents N --tasks N
       idle          --seconds N
       agent         --seconds N                                 a real one that has nothing to do
       executor      --rounds N --seconds N                      of Messor alone
--messor FILE: the binary, instead of target/release/messor
--commit NAME: what the first line of --json and --save says was measured, instead of MESSOR_COMMIT or what git says";

/// Why nothing was measured, or what was wrong.
enum Failure {
    Usage(String),
    Fault(String),
}

/// Those that are named, or None where they were listed instead.
fn shapes<'a>(
    arguments: &mut Arguments,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<Option<Vec<String>>, String> {
    if arguments.flag("--list") {
        known.for_each(|name| println!("{name}"));
        return Ok(None);
    }
    let named = arguments.values::<String>("--shape")?;
    match named.iter().find(|name| !known.clone().any(|known| known == name.as_str())) {
        Some(name) => Err(format!("there is no shape '{name}': see --list")),
        None => Ok(Some(named)),
    }
}

/// What stands in the first line, where JSON is wanted.
fn json(arguments: &mut Arguments) -> Result<Option<Made>, String> {
    let made = Made::take(arguments)?;
    Ok(arguments.flag("--json").then_some(made))
}

fn show(report: &Report, json: Option<&Made>) {
    match json {
        Some(made) => println!("{}\n{}", made.to_json(), report.to_json()),
        None => print!("{report}"),
    }
}

fn allocator(mut arguments: Arguments) -> Result<(), Failure> {
    let understood = (|| {
        let mut options = allocator::Options::default();
        let json = json(&mut arguments)?;
        let Some(named) = shapes(&mut arguments, SHAPES.iter().map(|shape| shape.name))? else {
            return Ok(None);
        };
        options.shapes = named;
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
    show(&report, json.as_ref());
    Ok(())
}

fn codec(mut arguments: Arguments) -> Result<(), Failure> {
    let understood = (|| {
        let usual = codec::Options::default();
        let options = codec::Options {
            tasks: arguments.number("--tasks", usual.tasks)?,
            rounds: arguments.number("--rounds", usual.rounds)?,
        };
        let json = json(&mut arguments)?;
        arguments.finish().map(|()| (options, json))
    })();
    let (options, json) = understood.map_err(Failure::Usage)?;
    let report = codec::run(&options).map_err(Failure::Fault)?;
    show(&report, json.as_ref());
    Ok(())
}

fn master(mut arguments: Arguments) -> Result<(), Failure> {
    let understood = (|| {
        let mut options = inprocess::Options::default();
        let json = json(&mut arguments)?;
        let Some(named) = shapes(&mut arguments, inprocess::SHAPES.iter().map(|shape| shape.name))? else {
            return Ok(None);
        };
        options.shapes = named;
        options.runs = arguments.number("--runs", options.runs)?;
        arguments.finish()?;
        Ok(Some((options, json)))
    })();
    let Some((options, json)) = understood.map_err(Failure::Usage)? else { return Ok(()) };
    let report = inprocess::run(&options).map_err(Failure::Fault)?;
    show(&report, json.as_ref());
    Ok(())
}

fn counts(mut arguments: Arguments) -> Result<(), Failure> {
    let record = arguments.flag("--record");
    arguments.finish().map_err(Failure::Usage)?;
    if !counts::can_count() {
        return Err(Failure::Fault("no valgrind here: `apt-get install valgrind`".to_string()));
    }
    let program = std::env::current_exe().map_err(|error| Failure::Fault(error.to_string()))?;
    let all = counts::count(&program).map_err(Failure::Fault)?;
    print!("{}", counts::table(&all));
    if record {
        return counts::record(&all).map_err(Failure::Fault);
    }
    let worse: Vec<&str> = all.iter().filter(|count| count.is_worse()).map(|count| count.name).collect();
    match worse.is_empty() {
        true => Ok(()),
        false => Err(Failure::Fault(format!("more instructions than before: {}", worse.join(", ")))),
    }
}

fn plot(mut arguments: Arguments) -> Result<(), Failure> {
    let folder = arguments.value::<PathBuf>("--to").map_err(Failure::Usage)?;
    let folder = folder.ok_or_else(|| Failure::Usage("plot needs --to FOLDER".to_string()))?;
    let files: Vec<PathBuf> = arguments.rest().into_iter().map(PathBuf::from).collect();
    for path in plots::draw(&files, &folder).map_err(Failure::Fault)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// What `counts` starts under callgrind.
fn walk(mut words: impl Iterator<Item = String>) -> Result<(), Failure> {
    match (words.next(), words.next()) {
        (Some(name), None) => hot::walk(&name).map_err(Failure::Fault),
        _ => Err(Failure::Usage("walk takes the name of one path".to_string())),
    }
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
    /// Each with how often it is played.
    works: Vec<(Work, usize)>,
    json: bool,
    made: Made,
    /// Where JSON lines are kept beside the table.
    save: Option<PathBuf>,
}

fn order(command: &str, mut arguments: Arguments) -> Result<Order, String> {
    let mut programs = Programs::default();
    if let Some(path) = arguments.value::<PathBuf>("--messor")? {
        programs.messor = path;
    }
    let made = Made::take(&mut arguments)?;
    let json = arguments.flag("--json");
    let save = arguments.value::<PathBuf>("--save")?;
    let (kinds, works) = if command == "compare" {
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
        let works: Vec<_> = works.into_iter().map(|work| (work, work.compared_runs())).collect();
        (vec![Kind::Real, Kind::Messor], works)
    } else {
        let kinds = if arguments.flag("--both") {
            vec![Kind::Real, Kind::Messor]
        } else if arguments.flag("--real") {
            vec![Kind::Real]
        } else {
            vec![Kind::Messor]
        };
        let works = Work::named(command, &mut arguments)?;
        (kinds, works.into_iter().map(|work| (work, 1)).collect())
    };
    // What is named is of all of them.
    let runs = arguments.number_if_any("--runs")?;
    let works = works.into_iter().map(|(work, usual)| (work, runs.unwrap_or(usual))).collect();
    arguments.finish()?;
    Ok(Order { programs, kinds, works, json, made, save })
}

fn workloads(command: &str, arguments: Arguments) -> Result<(), Failure> {
    let Order { programs, kinds, works, json, made, save } =
        order(command, arguments).map_err(Failure::Usage)?;
    for kind in &kinds {
        programs.check(*kind).map_err(Failure::Fault)?;
    }
    raise_limits()?;
    let lines = |figures: &Figures| format!("{}\n{}", made.to_json(), figures.to_json_lines());
    let mut lost = None;
    let figures = play(&programs, &kinds, &works, |figures| {
        if let Some(path) = &save
            && let Err(error) = std::fs::write(path, lines(figures))
        {
            lost = Some(format!("{}: {error}", path.display()));
        }
    });
    if json {
        print!("{}", lines(&figures))
    } else {
        print!("{made}\n\n{figures}")
    }
    lost.map_or(Ok(()), |error| Err(Failure::Fault(error)))?;
    told(&figures.faults.iter().map(Fault::to_string).collect::<Vec<_>>())
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
        let made = Made::take(&mut arguments)?;
        let json = arguments.flag("--json");
        let mut axes = Vec::new();
        for name in arguments.values::<String>("--axis")? {
            let found = AXES.iter().find(|(known, _)| *known == name);
            axes.push(found.ok_or_else(|| format!("there is no axis '{name}'"))?.1);
        }
        if axes.is_empty() {
            axes = AXES.map(|(_, axis)| axis).to_vec();
        }
        let size = growth::Size {
            agents: arguments.number("--agents", 50_000)?,
            tasks: arguments.number("--tasks", 1_000_000)?,
            frameworks: arguments.number("--frameworks", 1000)?,
        };
        let runs = arguments.number("--runs", 1)?;
        let mut programs = Programs::default();
        if let Some(path) = arguments.value::<PathBuf>("--messor")? {
            programs.messor = path;
        }
        arguments.finish()?;
        Ok((programs, kind, axes, size, runs, json.then_some(made)))
    })();
    let (programs, kind, axes, size, runs, json) = understood.map_err(Failure::Usage)?;
    programs.check(kind).map_err(Failure::Fault)?;
    raise_limits()?;
    let (figures, faults) = growth::run(&programs, kind, &axes, size, runs);
    match json {
        Some(made) => print!("{}\n{}", made.to_json(), figures.to_json_lines()),
        None => print!("{figures}"),
    }
    told(&faults)
}

fn hold(mut arguments: Arguments) -> Result<(), Failure> {
    let understood = (|| {
        let mut programs = Programs::default();
        if let Some(path) = arguments.value::<PathBuf>("--messor")? {
            programs.messor = path;
        }
        let size = (arguments.number("--agents", 5000)?, arguments.number("--tasks", 100_000)?);
        arguments.finish()?;
        Ok((programs, size))
    })();
    let (programs, (agents, tasks)) = understood.map_err(Failure::Usage)?;
    raise_limits()?;
    messor_bench::hold::run(&programs, agents, tasks).map_err(Failure::Fault)
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
    if command == "walk" {
        return ended(walk(words));
    }
    let arguments = Arguments::new(words);
    let outcome = match command.as_str() {
        "allocator" => allocator(arguments),
        "master" => master(arguments),
        "codec" => codec(arguments),
        "containers" => containers(arguments),
        "counts" => counts(arguments),
        "growth" => growth(arguments),
        "plot" => plot(arguments),
        "hold" => hold(arguments),
        command => workloads(command, arguments),
    };
    ended(outcome)
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
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
