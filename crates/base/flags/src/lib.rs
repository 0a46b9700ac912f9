//! Every flag of every program, defined once: parser, environment, help, man page, shell completion and the table
//! of what works are made of the same definitions (`flag_set!` in `macros`), and so are the structs that programs read.
//!
//! A program's flags stand in the file of its kind: `master`, `agent` with `containers`, `executor` (what the agent
//! starts), `tools` (what people start), `logging` and `libprocess` (what all share).
//!
//! A flag whose feature is missing is never silently ignored: see [`Status`].
//!
//! Must not know where the environment and files are: they come in through [`Source`].

mod agent;
mod checks;
mod common;
mod completion;
mod containers;
mod definition;
mod executor;
mod help;
mod libprocess;
mod logging;
mod macros;
mod man;
mod master;
mod parse;
mod programs;
mod suggest;
mod tools;
mod value;

pub use agent::AgentFlags;
pub use checks::AGENT_FEATURES;
pub use common::{CommonFlags, VersionFlags};
pub use completion::{Shell, completion};
pub use containers::{ContainerFlags, NetworkFlags, PortMappingFlags, isolators};
pub use definition::{Check, Flag, FlagSet, Kind, Positional, Prefix, Program, ProgramInfo, Status};
pub use executor::{
    CniPortMapperFlags, DefaultExecutorFlags, DockerExecutorFlags, ExecutorFlags, FetcherFlags, LaunchFlags,
    LogrotateFlags, MountFlags, SwitchboardFlags, TcpConnectFlags,
};
pub use help::help;
pub use libprocess::{LIBPROCESS, LibprocessFlags, MESOS, TLS, TlsFlags};
pub use logging::LoggingFlags;
pub use man::{man, roff, section};
pub use master::MasterFlags;
pub use parse::{FlagError, Given, Parsed, Request, Source, Values, parse, parse_environment, shown};
pub use programs::{Row, environments, programs, rows};
pub use suggest::nearest;
pub use tools::{
    CatFlags, ExecuteFlags, InitWrapperFlags, LocalFlags, LogToolFlags, PsFlags, ResolveFlags,
    SandboxFileFlags, SchedulerDriverFlags, ScpFlags, TailFlags, UsageFlags, names,
};
pub use value::{FlagValue, Json, List, Location, NumberMap, Secret, Size, TextMap};

/// What `--version` prints: the version of Apache Mesos that scripts ask for comes second, as it always did.
pub fn version() -> &'static str {
    concat!("mesos 1.11.0 (messor ", env!("CARGO_PKG_VERSION"), ")")
}
