//! Which workloads there are, with their sizes, and playing them: of one master, or of both in turns.

use std::time::Duration;

use crate::arguments::Arguments;
use crate::figures::Figures;
use crate::fleet::Life;
use crate::masters::{Kind, Programs};
use crate::scheduler::Api;
use crate::workloads::{
    commands, failover, frameworks, idle, launch, offers, reads, registration, subscribers, updates,
};

/// By their names on the command line, in the order in which they are played.
pub const WORKLOADS: [&str; 10] = [
    "registration",
    "launch",
    "frameworks",
    "commands",
    "reads",
    "failover",
    "offers",
    "updates",
    "subscribers",
    "idle",
];

/// A workload with its size.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    Registration { agents: usize },
    Launch(launch::Size),
    Frameworks(frameworks::Size),
    Commands { tasks: usize },
    Reads(reads::Size),
    Failover { agents: usize, tasks: usize },
    Offers { agents: usize, rounds: usize },
    Updates { agents: usize, tasks: usize },
    Subscribers(subscribers::Size),
    Idle { quiet: Duration },
}

impl Work {
    pub fn run(self, programs: &Programs, kind: Kind, figures: &mut Figures) -> Result<(), String> {
        match self {
            Work::Registration { agents } => registration::run(programs, kind, agents, figures),
            Work::Launch(size) => launch::run(programs, kind, size, figures),
            Work::Frameworks(size) => frameworks::run(programs, kind, size, figures),
            Work::Commands { tasks } => commands::run(programs, kind, tasks, figures),
            Work::Reads(size) => reads::run(programs, kind, size, figures),
            Work::Failover { agents, tasks } => failover::run(programs, kind, (agents, tasks), figures),
            Work::Offers { agents, rounds } => offers::run(programs, kind, (agents, rounds), figures),
            Work::Updates { agents, tasks } => updates::run(programs, kind, (agents, tasks), figures),
            Work::Subscribers(size) => subscribers::run(programs, kind, size, figures),
            Work::Idle { quiet } => idle::run(programs, kind, quiet, figures),
        }
    }

    /// One that was named, with its size from the command line.
    pub fn named(name: &str, arguments: &mut Arguments) -> Result<Vec<Work>, String> {
        let mut number = |flag: &str, default| arguments.number(flag, default);
        let work = match name {
            "registration" => Work::Registration { agents: number("--agents", 10_000)? },
            "launch" => {
                let (agents, tasks) = (number("--agents", 1000)?, number("--tasks", 10_000)?);
                let life = if arguments.flag("--stay") { Life::Stay } else { Life::Finish };
                let api = if arguments.flag("--driver") { Api::Driver } else { Api::Http };
                Work::Launch(launch::Size { agents, tasks, life, api })
            }
            "frameworks" => Work::Frameworks(frameworks::Size {
                frameworks: number("--frameworks", 200)?,
                agents: number("--agents", 1000)?,
                tasks: number("--tasks", 10_000)?,
            }),
            "commands" => Work::Commands { tasks: number("--tasks", 200)? },
            "reads" => Work::Reads(reads::Size {
                agents: number("--agents", 10_000)?,
                running: number("--tasks", 100_000)?,
                completed: number("--completed", 100_000)?,
                clients: number("--clients", 20)?,
                rounds: number("--rounds", 3)?,
            }),
            "failover" => {
                Work::Failover { agents: number("--agents", 10_000)?, tasks: number("--tasks", 100_000)? }
            }
            "offers" => Work::Offers { agents: number("--agents", 1000)?, rounds: number("--rounds", 10)? },
            "updates" => {
                Work::Updates { agents: number("--agents", 1000)?, tasks: number("--tasks", 100_000)? }
            }
            "subscribers" => Work::Subscribers(subscribers::Size {
                subscribers: number("--subscribers", 1000)?,
                agents: number("--agents", 100)?,
                tasks: number("--tasks", 200)?,
            }),
            "idle" => Work::Idle { quiet: Duration::from_secs(number("--seconds", 5)? as u64) },
            other => return Err(format!("'{other}' is not measured")),
        };
        Ok(vec![work])
    }

    /// What is compared: of each workload what takes some seconds, up to a minute for the larger ones.
    pub fn compared(name: &str) -> Vec<Work> {
        let launch = |agents, tasks, life, api| Work::Launch(launch::Size { agents, tasks, life, api });
        match name {
            "registration" => [1000, 10_000].map(|agents| Work::Registration { agents }).to_vec(),
            "launch" => vec![
                launch(1000, 10_000, Life::Finish, Api::Http),
                launch(1000, 10_000, Life::Finish, Api::Driver),
                launch(2000, 50_000, Life::Stay, Api::Http),
            ],
            "frameworks" => {
                vec![Work::Frameworks(frameworks::Size { frameworks: 200, agents: 1000, tasks: 10_000 })]
            }
            "commands" => vec![Work::Commands { tasks: 200 }],
            "reads" => vec![Work::Reads(reads::Size {
                agents: 10_000,
                running: 100_000,
                completed: 100_000,
                clients: 20,
                rounds: 3,
            })],
            "failover" => vec![Work::Failover { agents: 10_000, tasks: 100_000 }],
            "offers" => [1000, 10_000].map(|agents| Work::Offers { agents, rounds: 5 }).to_vec(),
            "updates" => vec![Work::Updates { agents: 1000, tasks: 100_000 }],
            "subscribers" => {
                vec![Work::Subscribers(subscribers::Size { subscribers: 1000, agents: 100, tasks: 200 })]
            }
            "idle" => vec![Work::Idle { quiet: Duration::from_secs(5) }],
            _ => Vec::new(),
        }
    }

    /// As small as can be, to see that it works.
    pub fn smallest() -> Vec<Work> {
        let launch = |life, api| Work::Launch(launch::Size { agents: 20, tasks: 50, life, api });
        vec![
            Work::Registration { agents: 20 },
            launch(Life::Finish, Api::Http),
            launch(Life::Finish, Api::Driver),
            launch(Life::Stay, Api::Http),
            Work::Frameworks(frameworks::Size { frameworks: 5, agents: 20, tasks: 50 }),
            Work::Commands { tasks: 4 },
            Work::Reads(reads::Size { agents: 20, running: 50, completed: 50, clients: 3, rounds: 1 }),
            Work::Failover { agents: 20, tasks: 50 },
            Work::Offers { agents: 20, rounds: 1 },
            Work::Updates { agents: 20, tasks: 50 },
            Work::Subscribers(subscribers::Size { subscribers: 5, agents: 20, tasks: 50 }),
            Work::Idle { quiet: Duration::from_millis(100) },
        ]
    }
}

/// Plays each so often, the masters in turns. What goes wrong is told, and the rest is played all the same.
pub fn play(programs: &Programs, kinds: &[Kind], works: &[Work], runs: usize) -> (Figures, Vec<String>) {
    let mut figures = Figures::default();
    let mut faults = Vec::new();
    for work in works {
        for _ in 0..runs {
            for kind in kinds {
                if let Err(fault) = work.run(programs, *kind, &mut figures) {
                    eprintln!("messor-bench: {kind}, {work:?}: {fault}");
                    faults.push(format!("{kind}, {work:?}: {fault}"));
                }
            }
        }
    }
    (figures, faults)
}
