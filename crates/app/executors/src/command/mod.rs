//! The command executor. `settings` reads what it is told, `machine` (with `contract`, `link`, `check` and `status`) decides, and
//! `program` carries out, with `agent`, `probe`, `socket` and `start` for one outside thing each.

mod agent;
mod check;
mod contract;
mod link;
mod machine;
mod probe;
mod program;
mod settings;
mod socket;
mod start;
mod status;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use messor_flags::{ExecutorFlags, Request, Source};

/// Runs `mesos-executor` with these arguments (without the program's name) to its end.
///
/// It reads the environment of the process and blocks signals, so it must be called before any thread is started.
pub fn command_executor(args: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let flags = match messor_flags::parse::<ExecutorFlags>(&words, &Surroundings) {
        Ok(Request::Run(parsed)) => {
            parsed.warnings.iter().for_each(|warning| say(warning));
            parsed.flags
        }
        Ok(Request::Help(text) | Request::Version(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error),
    };
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let settings = match settings::read(&flags, variables) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    drop(flags);
    match program::run(settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    say(&text);
    ExitCode::FAILURE
}

/// A line for the sandbox's stderr. Nobody is left to tell when even that cannot be written.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("mesos-executor: {text}\n").as_bytes());
}

struct Surroundings;

impl Source for Surroundings {
    fn variables(&self) -> Vec<(String, String)> {
        let text = |word: OsString| word.into_string().ok();
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}
