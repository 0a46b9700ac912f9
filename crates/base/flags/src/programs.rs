//! The list of programs that are one binary, and rows about their flags for documents.

use crate::agent::AgentFlags;
use crate::definition::{Flag, Program, ProgramInfo, Status};
use crate::executor::{
    CniPortMapperFlags, DefaultExecutorFlags, DockerExecutorFlags, ExecutorFlags, FetcherFlags, LaunchFlags,
    LogrotateFlags, SwitchboardFlags, TcpConnectFlags,
};
use crate::libprocess::{LIBPROCESS, LibprocessFlags, MESOS, TLS, TlsFlags};
use crate::master::MasterFlags;
use crate::tools::{
    CatFlags, ExecuteFlags, InitWrapperFlags, LocalFlags, LogToolFlags, PsFlags, ResolveFlags,
    SchedulerDriverFlags, ScpFlags, TailFlags, UsageFlags,
};
use crate::{FlagSet, Positional, Prefix};

/// Every program that has flags here.
pub fn programs() -> Vec<ProgramInfo> {
    fn info<P: Program>() -> ProgramInfo {
        ProgramInfo::of::<P>()
    }
    vec![
        info::<MasterFlags>(),
        info::<AgentFlags>(),
        info::<LocalFlags>(),
        info::<ExecuteFlags>(),
        info::<ResolveFlags>(),
        info::<LogToolFlags>(),
        info::<PsFlags>(),
        info::<CatFlags>(),
        info::<TailFlags>(),
        info::<ScpFlags>(),
        info::<UsageFlags>(),
        info::<InitWrapperFlags>(),
        info::<ExecutorFlags>(),
        info::<DefaultExecutorFlags>(),
        info::<DockerExecutorFlags>(),
        info::<LaunchFlags>(),
        info::<FetcherFlags>(),
        info::<SwitchboardFlags>(),
        info::<LogrotateFlags>(),
        info::<TcpConnectFlags>(),
        info::<CniPortMapperFlags>(),
    ]
}

/// Sets that come from the environment alone.
pub fn environments() -> Vec<ProgramInfo> {
    fn info<S: FlagSet>(name: &'static str, about: &'static str, prefixes: &'static [Prefix]) -> ProgramInfo {
        ProgramInfo { name, about, prefixes, positional: Positional::Refused, gone: &[], tables: S::tables }
    }
    vec![
        info::<LibprocessFlags>("libprocess", "The address of every process.", LIBPROCESS),
        info::<TlsFlags>("libprocess TLS", "TLS of every process.", TLS),
        info::<SchedulerDriverFlags>("scheduler driver", "Drivers of schedulers.", MESOS),
    ]
}

/// A line of the table of flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub program: &'static str,
    pub flag: &'static str,
    pub alias: Option<&'static str>,
    pub default: Option<&'static str>,
    /// `works`, `not yet`, `no effect`, `not needed` or `refused`.
    pub status: &'static str,
    pub reason: &'static str,
}

/// A row for each flag of each program, for COMPATIBILITY.md.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for program in programs().into_iter().chain(environments()) {
        rows.extend(program.flags().map(|flag| row(program.name, flag)));
    }
    rows
}

fn row(program: &'static str, flag: &'static Flag) -> Row {
    let (status, reason) = match flag.status {
        Status::Works => ("works", ""),
        Status::NotYet(reason) => ("not yet", reason),
        Status::NoEffect(reason) => ("no effect", reason),
        Status::NotNeeded(reason) => ("not needed", reason),
        Status::Refused(reason) => ("refused", reason),
    };
    Row { program, flag: flag.name, alias: flag.alias, default: flag.default, status, reason }
}
