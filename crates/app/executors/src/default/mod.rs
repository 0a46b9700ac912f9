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

use messor_flags::{DefaultExecutorFlags, Request};

use crate::shared::{Surroundings, settings, with_causes};

/// Runs `mesos-default-executor` with these arguments (without the program's name) to its end.
///
/// It reads the environment of the process and blocks signals, so it must be called before any thread is started.
pub fn default_executor(args: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match messor_flags::parse::<DefaultExecutorFlags>(&words, &Surroundings) {
        Ok(Request::Run(parsed)) => parsed.warnings.iter().for_each(|warning| say(warning)),
        Ok(Request::Help(text) | Request::Version(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error),
    }
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let settings = match settings::read_environment(variables) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    match program::run(settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    say(&with_causes(error));
    ExitCode::FAILURE
}

/// A line for the sandbox's stderr. Nobody is left to tell when even that cannot be written.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("mesos-default-executor: {text}\n").as_bytes());
}
