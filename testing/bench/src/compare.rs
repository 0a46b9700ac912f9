//! Which workloads there are, with their sizes, and playing them: of one master, or of both in turns.

use std::any::Any;
use std::fmt;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::figures::{Fault, Figures};
use crate::fleet::Life;
use crate::masters::{self, Kind, Programs};
use crate::scheduler::Api;
use crate::workloads::{
    agents, commands, executors, failover, frameworks, idle, launch, offers, reads, registration,
    subscribers, updates,
};

/// By their names on the command line, in the order in which they are played.
pub const WORKLOADS: [&str; 12] = [
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
    "agent",
    "executor",
];

/// The largest sizes that are compared: so many agents, and so many with so many tasks.
const LARGE_REGISTRATION: usize = 50_000;
const LARGE_FAILOVER: (usize, usize) = (40_000, 400_000);

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
    Agent { quiet: Duration },
    Executor(executors::Size),
}

fn seconds(number: usize) -> Duration {
    Duration::from_secs(number as u64)
}

/// As the command line has it, and how large it is.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Launch(size) => write!(f, "launch of {} tasks", size.tasks),
            Work::Registration { agents } | Work::Offers { agents, .. } | Work::Failover { agents, .. } => {
                write!(f, "{} of {agents} agents", self.name())
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Work::Registration { .. } => "registration",
            Work::Launch(_) => "launch",
            Work::Frameworks(_) => "frameworks",
            Work::Commands { .. } => "commands",
            Work::Reads(_) => "reads",
            Work::Failover { .. } => "failover",
            Work::Offers { .. } => "offers",
            Work::Updates { .. } => "updates",
            Work::Subscribers(_) => "subscribers",
            Work::Idle { .. } => "idle",
            Work::Agent { .. } => "agent",
            Work::Executor(_) => "executor",
        }
    }

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
            Work::Agent { quiet } => agents::run(programs, kind, quiet, figures),
            Work::Executor(size) => executors::run(programs, kind, size, figures),
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
                clients: number("--clients", 20)?,
                rounds: number("--rounds", 3)?,
                // These may be none.
                running: arguments.value("--tasks")?.unwrap_or(100_000),
                completed: arguments.value("--completed")?.unwrap_or(100_000),
                state_alone: arguments.flag("--state"),
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
            "idle" => Work::Idle { quiet: seconds(number("--seconds", 5)?) },
            "agent" => Work::Agent { quiet: seconds(number("--seconds", 5)?) },
            "executor" => Work::Executor(executors::Size {
                rounds: number("--rounds", 5)?,
                quiet: seconds(number("--seconds", 5)?),
            }),
            other => return Err(format!("'{other}' is not measured")),
        };
        Ok(vec![work])
    }

    /// How often it is compared by default: once where 1.11.0 takes longest.
    pub fn compared_runs(self) -> usize {
        match self {
            Work::Registration { agents: LARGE_REGISTRATION } => 1,
            Work::Failover { agents, tasks } if (agents, tasks) == LARGE_FAILOVER => 1,
            _ => 3,
        }
    }

    /// What is compared: of each workload what takes some seconds, up to a minute for the larger ones.
    pub fn compared(name: &str) -> Vec<Work> {
        let launch = |agents, tasks, life, api| Work::Launch(launch::Size { agents, tasks, life, api });
        match name {
            "registration" => {
                [1000, 10_000, LARGE_REGISTRATION].map(|agents| Work::Registration { agents }).to_vec()
            }
            "launch" => vec![
                launch(1000, 10_000, Life::Finish, Api::Http),
                launch(1000, 10_000, Life::Finish, Api::Driver),
                launch(2000, 50_000, Life::Stay, Api::Http),
                launch(2000, 50_000, Life::Stay, Api::Driver),
            ],
            "frameworks" => {
                vec![Work::Frameworks(frameworks::Size { frameworks: 200, agents: 1000, tasks: 10_000 })]
            }
            "commands" => vec![Work::Commands { tasks: 200 }],
            "reads" => {
                let largest = reads::Size {
                    agents: 10_000,
                    running: 100_000,
                    completed: 100_000,
                    clients: 20,
                    rounds: 2,
                    state_alone: false,
                };
                let state = reads::Size { completed: 0, state_alone: true, ..largest };
                // The sizes of which the issue says what 1.11.0 takes.
                let running = reads::Size { agents: 2000, running: 50_000, ..state };
                let idle = reads::Size { running: 0, ..state };
                [largest, running, idle].map(Work::Reads).to_vec()
            }
            "failover" => {
                let sizes = [(10_000, 100_000), LARGE_FAILOVER];
                sizes.map(|(agents, tasks)| Work::Failover { agents, tasks }).to_vec()
            }
            "offers" => [1000, 10_000].map(|agents| Work::Offers { agents, rounds: 5 }).to_vec(),
            "updates" => vec![Work::Updates { agents: 1000, tasks: 100_000 }],
            "subscribers" => {
                vec![Work::Subscribers(subscribers::Size { subscribers: 1000, agents: 100, tasks: 200 })]
            }
            "idle" => vec![Work::Idle { quiet: seconds(5) }],
            "agent" => vec![Work::Agent { quiet: seconds(3) }],
            "executor" => vec![Work::Executor(executors::Size { rounds: 5, quiet: seconds(3) })],
            _ => Vec::new(),
        }
    }

    /// As small as can be, to see that it works.
    pub fn smallest() -> Vec<Work> {
        let launch = |life, api| Work::Launch(launch::Size { agents: 20, tasks: 50, life, api });
        let reads =
            reads::Size { agents: 20, running: 50, completed: 50, clients: 3, rounds: 1, state_alone: false };
        let idle = reads::Size { running: 0, completed: 0, state_alone: true, ..reads };
        vec![
            Work::Registration { agents: 20 },
            launch(Life::Finish, Api::Http),
            launch(Life::Finish, Api::Driver),
            launch(Life::Stay, Api::Http),
            launch(Life::Stay, Api::Driver),
            Work::Frameworks(frameworks::Size { frameworks: 5, agents: 20, tasks: 50 }),
            Work::Commands { tasks: 4 },
            Work::Reads(reads),
            Work::Reads(idle),
            Work::Failover { agents: 20, tasks: 50 },
            Work::Offers { agents: 20, rounds: 1 },
            Work::Updates { agents: 20, tasks: 50 },
            Work::Subscribers(subscribers::Size { subscribers: 5, agents: 20, tasks: 50 }),
            Work::Idle { quiet: Duration::from_millis(100) },
            Work::Agent { quiet: Duration::from_millis(50) },
            Work::Executor(executors::Size { rounds: 1, quiet: Duration::from_millis(50) }),
        ]
    }
}

/// Plays each as often as it says, the masters in turns. What goes wrong is one of the figures, and the rest is played all the same; `after` sees
/// what there is after each run, so that nothing is lost when the whole is ended.
pub fn play(
    programs: &Programs,
    kinds: &[Kind],
    works: &[(Work, usize)],
    mut after: impl FnMut(&Figures),
) -> Figures {
    let mut figures = Figures::default();
    let start = Instant::now();
    let mut done = 0;
    let all = works.iter().map(|(_, runs)| runs * kinds.len()).sum::<usize>();
    for (work, runs) in works {
        for run in 1..=*runs {
            for kind in kinds {
                done += 1;
                tell(&format!("{done}/{all}: {work}, {kind}, run {run} ({} s)", start.elapsed().as_secs()));
                let outcome = catch_unwind(AssertUnwindSafe(|| work.run(programs, *kind, &mut figures)));
                let died = masters::died().map(|status| format!("; the master had ended: {status}"));
                if let Err(what) = outcome.unwrap_or_else(|panic| Err(words(&*panic))) {
                    let what = what + &died.unwrap_or_default();
                    let fault = Fault { workload: work.name().to_string(), kind: *kind, run, what };
                    eprintln!("messor-bench: {fault}");
                    figures.faults.push(fault);
                }
                after(&figures);
            }
        }
    }
    figures
}

/// What is done now, for who watches.
fn tell(line: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{line}");
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without words"))
}
