//! What the registrar says and hears. Of the log it knows commands and answers alone.

use std::panic::Location;
use std::time::Duration;

use messor_proto::mesos::MasterInfo;
use messor_replog::{Answer, Command, Failure};
use messor_stdx::{Level, Time};

use crate::{Operation, State};

/// The registrar's settings; names are those of the flags.
#[derive(Clone, Debug)]
pub struct RegistrarConfig {
    pub registry_fetch_timeout: Duration,
    pub registry_store_timeout: Duration,
    /// Of the versions (UUIDs) that are written with each change. Two masters must not have the same.
    pub seed: u64,
}

impl RegistrarConfig {
    /// The defaults of Apache Mesos 1.11.0.
    pub fn new(seed: u64) -> RegistrarConfig {
        RegistrarConfig {
            registry_fetch_timeout: Duration::from_secs(60),
            registry_store_timeout: Duration::from_secs(20),
            seed,
        }
    }
}

/// What happens to a registrar.
#[derive(Clone, Debug)]
pub enum RegistrarEvent {
    /// This master was elected: read the registry and write its name into it. Comes once.
    Start {
        info: Box<MasterInfo>,
    },
    /// The master wants a change; answered by `Applied`, in order.
    Apply {
        ticket: u64,
        operation: Operation,
    },
    /// The log answers a command.
    Log {
        ticket: u64,
        outcome: Result<Answer, Failure>,
    },
    Timer(RegistrarTimer),
}

/// What a registrar wants done.
#[derive(Clone, Debug)]
pub enum RegistrarEffect {
    /// The registry is read, and the log has it that this master leads.
    Recovered(Box<State>),
    /// `Ok(true)`: the change is durable. `Ok(false)`: it does not fit the registry. `Err`: the registry is lost to us.
    Applied {
        ticket: u64,
        outcome: Result<bool, String>,
    },
    /// A command for the log; at most one is under way. Answered by `RegistrarEvent::Log`.
    Log {
        ticket: u64,
        command: Command,
    },
    SetTimer {
        timer: RegistrarTimer,
        at: Time,
    },
    CancelTimer {
        timer: RegistrarTimer,
    },
    /// The registry cannot be read or written any more: the master has to end at once. The last effect of all.
    Failed {
        reason: String,
    },
    /// A line for the log of the program.
    Say {
        level: Level,
        line: String,
        at: &'static Location<'static>,
    },
}

/// Timers of a registrar. Setting one again moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegistrarTimer {
    /// registry_fetch_timeout.
    Fetch,
    /// registry_store_timeout.
    Store,
}
