//! The command executor: `machine` (with `contract`) decides, and `program` carries out.

mod contract;
mod machine;
mod program;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use messor_flags::ExecutorFlags;

use crate::shared::program::execute;
use crate::shared::settings;

/// Runs `mesos-executor` with these arguments (without the program's name) to its end.
///
/// It reads the environment of the process and blocks signals, so it must be called before any thread is started.
pub fn command_executor(args: Vec<OsString>) -> ExitCode {
    execute::<ExecutorFlags>(args, say, settings::read, program::run)
}

/// A line for the sandbox's stderr. Nobody is left to tell when even that cannot be written.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("mesos-executor: {text}\n").as_bytes());
}
