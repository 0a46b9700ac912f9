//! The allocator, in process, in the shapes of Apache Mesos's own benchmarks (its hierarchical_allocator_tests,
//! hierarchical_allocator_benchmarks and sorter_tests): only the machine is timed, without queues and threads.

pub(crate) mod cluster;
mod declining;
mod quota;
mod reservations;
mod sorter;

use crate::report::Report;

#[derive(Clone, Debug)]
pub struct Options {
    /// All, if none is named.
    pub shapes: Vec<String>,
    pub runs: usize,
    pub rounds: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { shapes: Vec::new(), runs: 5, rounds: None }
    }
}

/// What is measured, and how large.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Every offer is declined for ever.
    Declining { agents: usize, frameworks: usize, roles: usize, rounds: usize },
    /// A fifth of an agent for each role of the first sort, five agents for each of the other.
    Quota { small: usize, large: usize },
    /// One agent with four reserved resources for each role.
    Reservations { roles: usize, repetitions: usize },
    /// A tree of roles: of so many levels, each with so many below it.
    Sorter { agents: usize, levels: u32, branches: usize },
}

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub name: &'static str,
    pub kind: Kind,
}

const fn declining(
    name: &'static str,
    agents: usize,
    frameworks: usize,
    roles: usize,
    rounds: usize,
) -> Shape {
    Shape { name, kind: Kind::Declining { agents, frameworks, roles, rounds } }
}

pub const SHAPES: &[Shape] = &[
    declining("declining-1000x50", 1_000, 50, 1, 50),
    declining("declining-10000x1000", 10_000, 1_000, 1, 40),
    declining("declining-10000x1000-roles", 10_000, 1_000, 1_000, 40),
    declining("declining-50000x6000", 50_000, 6_000, 1, 10),
    Shape { name: "quota-3000", kind: Kind::Quota { small: 2_500, large: 500 } },
    Shape { name: "reservations-6400", kind: Kind::Reservations { roles: 1_600, repetitions: 20 } },
    Shape { name: "sorter-50000x1000", kind: Kind::Sorter { agents: 50_000, levels: 1, branches: 1_000 } },
    Shape { name: "sorter-50000x1092", kind: Kind::Sorter { agents: 50_000, levels: 6, branches: 3 } },
];

pub fn run(options: &Options) -> Result<Report, String> {
    let mut report = Report::default();
    for shape in SHAPES {
        if !options.shapes.is_empty() && !options.shapes.iter().any(|name| name == shape.name) {
            continue;
        }
        let mut kind = shape.kind;
        if let (Kind::Declining { rounds, .. }, Some(wanted)) = (&mut kind, options.rounds) {
            *rounds = wanted;
        }
        for _ in 0..options.runs {
            measure(shape.name, kind, &mut report)?;
        }
    }
    Ok(report)
}

pub fn measure(name: &str, kind: Kind, report: &mut Report) -> Result<(), String> {
    let outcome = match kind {
        Kind::Declining { agents, frameworks, roles, rounds } => {
            declining::measure(name, agents, frameworks, roles, rounds, report)
        }
        Kind::Quota { small, large } => quota::measure(name, small, large, report),
        Kind::Reservations { roles, repetitions } => reservations::measure(name, roles, repetitions, report),
        Kind::Sorter { agents, levels, branches } => sorter::measure(name, agents, levels, branches, report),
    };
    outcome.map_err(|error| format!("{name}: {error}"))
}

pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
