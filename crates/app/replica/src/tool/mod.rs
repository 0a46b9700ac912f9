//! `mesos-log`: initialize, read, replica, benchmark. What each does is in a file of its own.

mod benchmark;
mod offline;
mod replica;
mod text;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use messor_flags::{LogToolFlags, Program};
use messor_net::BindError;
use messor_runtime::Daemon;
use messor_store::StoreError;
use messor_zk::UrlError;

use crate::replica::StartError;

/// What a command of `mesos-log` can say when it fails.
#[derive(Debug, thiserror::Error)]
enum ToolError {
    #[error("--{0} is required")]
    Required(&'static str),
    #[error("--{flag} is not for '{command}'")]
    NotFor { flag: &'static str, command: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the log in {} is not empty: it is {status}; use --initialize=false to go on with it",
        path.display()
    )]
    NotEmpty { path: PathBuf, status: String },
    #[error("{flag}: {problem}")]
    Range { flag: &'static str, problem: String },
    #[error("--timeout is over: the command did not end within {}", messor_stdx::format_duration(*.0))]
    Timeout(Duration),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Listen(#[from] messor_runtime::Failure),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("--servers and --znode: {0}")]
    Servers(UrlError),
    #[error("ZooKeeper: {0}")]
    Group(String),
    #[error("cannot {action} {path}: {error}")]
    File { action: &'static str, path: String, error: std::io::Error },
    #[error("--input, line {line}: {error}")]
    Trace { line: usize, error: messor_stdx::NotationError },
    #[error("the log: {0}")]
    Log(String),
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

struct Command {
    name: &'static str,
    about: &'static str,
    /// Without those that all have.
    flags: &'static [&'static str],
    run: fn(&Daemon<LogToolFlags>) -> Result<(), ToolError>,
}

static COMMANDS: [Command; 4] = [
    Command {
        name: "benchmark",
        about: "Appends what a trace says and measures it.",
        flags: &["quorum", "path", "servers", "znode", "input", "output", "type", "initialize"],
        run: benchmark::run,
    },
    Command {
        name: "initialize",
        about: "Makes an empty log a member of a new one.",
        flags: &["path", "timeout"],
        run: offline::initialize,
    },
    Command {
        name: "read",
        about: "Prints what is in a log that no program uses.",
        flags: &["path", "from", "to", "timeout"],
        run: offline::read,
    },
    Command {
        name: "replica",
        about: "Runs a replica of a log.",
        flags: &["quorum", "path", "servers", "znode", "initialize"],
        run: replica::run,
    },
];

/// Of all commands, those that not each has.
const SPECIAL: [&str; 11] =
    ["path", "quorum", "servers", "znode", "initialize", "from", "to", "timeout", "input", "output", "type"];

/// The program; `words` are those after its name.
pub fn main(words: &[String]) -> ExitCode {
    let mut words = words.to_vec();
    if words.first().is_some_and(|word| word == "help") {
        words.remove(0);
        if words.is_empty() {
            return say(&usage(), ExitCode::SUCCESS);
        }
        words.truncate(1);
        words.push("--help".to_string());
    }
    let is_flag = |word: &String| word.starts_with('-');
    let command = match words.first() {
        None => return say(&usage(), ExitCode::FAILURE),
        // Before a command, only help means something.
        Some(word) if is_flag(word) => None,
        Some(_) => Some(words.remove(0)),
    };
    let found = command.as_ref().and_then(|name| COMMANDS.iter().find(|command| command.name == name));
    if let (Some(name), None) = (&command, found) {
        return say(
            &format!("{}: there is no command '{name}'\n\n{}", LogToolFlags::NAME, usage()),
            ExitCode::FAILURE,
        );
    }
    if let Some(word) = words.iter().find(|word| !is_flag(word)) {
        let text = format!("{}: '{word}' is no flag; give one command\n", LogToolFlags::NAME);
        return say(&text, ExitCode::FAILURE);
    }
    let daemon = match messor_runtime::start::<LogToolFlags>(&words, |flags| &flags.logging) {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    let Some(command) = found else { return say(&usage(), ExitCode::FAILURE) };
    let outcome = refuse_others(command, &daemon).and_then(|()| (command.run)(&daemon));
    daemon.logging.flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&format!("{} {}: {error}\n", LogToolFlags::NAME, command.name), ExitCode::FAILURE),
    }
}

fn usage() -> String {
    let mut text = format!("Usage: {} COMMAND [--flag=value]...\n\nCommands:\n\n", LogToolFlags::NAME);
    for command in &COMMANDS {
        text.push_str(&format!("  {:<12}{}\n", command.name, command.about));
    }
    text.push_str(&format!("\n'{} COMMAND --help' tells the flags.\n", LogToolFlags::NAME));
    text
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    // Nothing is left to tell anybody if standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}

fn refuse_others(command: &Command, daemon: &Daemon<LogToolFlags>) -> Result<(), ToolError> {
    let wrong = SPECIAL.iter().find(|flag| daemon.flags.given.has(flag) && !command.flags.contains(flag));
    match wrong {
        Some(flag) => Err(ToolError::NotFor { flag, command: command.name }),
        None => Ok(()),
    }
}

fn path(daemon: &Daemon<LogToolFlags>) -> Result<&Path, ToolError> {
    daemon.flags.path.as_ref().map(|path| Path::new(path.as_str())).ok_or(ToolError::Required("path"))
}

/// Does it on another thread, so that --timeout ends it whatever the disk does.
fn within<T: Send + 'static>(
    timeout: Option<Duration>,
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let Some(timeout) = timeout else { return work() };
    let (sender, outcome) = mpsc::channel();
    std::thread::spawn(move || {
        // Too late if nobody listens.
        let _ = sender.send(work());
    });
    outcome.recv_timeout(timeout).unwrap_or(Err(ToolError::Timeout(timeout)))
}
