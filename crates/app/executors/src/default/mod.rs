//! The default executor: `machine` (with `contract`, `answers` and `calls`) decides, and `program` carries out, with `asks` for what is
//! asked of the agent and `probe` for checks.

mod answers;
mod asks;
mod calls;
mod contract;
mod machine;
mod probe;
mod program;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use messor_flags::DefaultExecutorFlags;

use crate::shared::program::execute;
use crate::shared::settings;

/// Runs `mesos-default-executor` with these arguments (without the program's name) to its end.
///
/// It reads the environment of the process and blocks signals, so it must be called before any thread is started.
pub fn default_executor(args: Vec<OsString>) -> ExitCode {
    execute::<DefaultExecutorFlags>(
        args,
        say,
        |_, variables| settings::read_environment(variables),
        program::run,
    )
}

/// A line for the sandbox's stderr. Nobody is left to tell when even that cannot be written.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("mesos-default-executor: {text}\n").as_bytes());
}
