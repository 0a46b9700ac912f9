//! `mesos`: the command line of a cluster, over the v1 operator API of its master and agents.
//!
//! Each group of commands is a file; `arguments` is what may be said. What is printed for people may change, `--json` is
//! the API's own.

mod agents;
mod api;
mod arguments;
mod attach;
mod away;
mod frameworks;
mod keys;
mod lists;
mod maintenance;
mod manual;
mod pods;
mod programs;
mod reservations;
mod roles;
mod sandbox;
pub(crate) mod screen;
mod settings;
mod stream;
mod tasks;
#[cfg(test)]
mod tests;
mod wait;
mod watch;
mod words;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub(crate) use api::{AgentPlace, Api, ApiError};
use arguments::{Arguments, Config, Consent, Group};
pub use manual::{completion, manual};
pub(crate) use screen::Screen;
pub(crate) use settings::Settings;
use settings::SettingsError;

const USAGE: u8 = 64;
const USAGE_HINT: &str = "'mesos --help' lists commands, 'mesos config plugins' programs";

#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("there is no {what} '{name}'{}", hint(.known, .list))]
    Unknown { what: &'static str, name: String, known: Vec<String>, list: &'static str },
    #[error("'{name}' may be {}: give more of it", .found.join(" or "))]
    Ambiguous { name: String, found: Vec<String> },
    #[error("{0}")]
    Wrong(String),
    #[error("nobody can be asked here: add --yes to {0}")]
    Unasked(String),
    #[error("nothing was done")]
    Declined,
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("agent {0}, where the task ran, is not registered at the moment")]
    AgentAway(String),
    #[error("there is no '{path}' at {agent}: the task has not written it, or its sandbox was removed")]
    NoFile { path: String, agent: AgentPlace },
    #[error("it cannot be printed: {0}")]
    Print(#[from] io::Error),
}

impl ConsoleError {
    /// Whether trying again may help: somebody restarts, or nobody leads at the moment.
    fn may_pass(&self) -> bool {
        match self {
            ConsoleError::Api(error) => error.may_pass(),
            ConsoleError::AgentAway(_) => true,
            _ => false,
        }
    }
}

fn hint(known: &[String], list: &str) -> String {
    match known {
        [] => format!("; 'mesos {list}' shows those that there are"),
        [one] => format!("; did you mean {one}?"),
        some => format!("; did you mean one of {}?", some.join(", ")),
    }
}

/// The program; `words` are those after its name.
pub fn mesos(words: &[String]) -> ExitCode {
    // Also where the environment says something, which counts as an argument otherwise.
    if words.is_empty() {
        eprintln!("{}", Arguments::command().render_help());
        return ExitCode::from(USAGE);
    }
    if let Some(program) = programs::helped(words) {
        return finish(programs::run(&program, &["--help".to_owned()], None));
    }
    let arguments =
        match Arguments::try_parse_from(std::iter::once("mesos").chain(words.iter().map(String::as_str))) {
            Ok(arguments) => arguments,
            Err(error) => {
                let _ = error.print();
                return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            }
        };
    if let Group::Program(words) = &arguments.group {
        return finish(programs::start(words, &arguments.common));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut screen = Screen::new(arguments.common.json, arguments.common.width, &mut out);
    let done = run(&arguments, home.as_deref(), &mut screen).and_then(|status| {
        screen.out.flush()?;
        Ok(status)
    });
    match done {
        Ok(status) => ExitCode::from(status),
        // The reader has seen enough.
        Err(ConsoleError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = screen.out.flush();
            eprintln!("mesos: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is said of a program that did not take this one's place.
fn finish(error: ConsoleError) -> ExitCode {
    eprintln!("mesos: {error}");
    ExitCode::from(USAGE)
}

/// Answers with the exit status of a command that was run in a task; of all others it is 0.
fn run(arguments: &Arguments, home: Option<&Path>, screen: &mut Screen<'_>) -> Result<u8, ConsoleError> {
    let settings = match &arguments.group {
        Group::Completion { shell } => {
            manual::complete(*shell, &mut screen.out);
            return Ok(0);
        }
        _ => Settings::new(&arguments.common, home)?,
    };
    match arguments.group {
        Group::Config(Config::Show) => return show(&settings, screen).map(|()| 0),
        Group::Config(Config::Plugins) => return programs::list(&settings, screen).map(|()| 0),
        _ => {}
    }
    let mut console = Console { api: Api::new(&settings)?, principal: settings.principal, screen, status: 0 };
    match &arguments.group {
        Group::Agent(command) => console.agent(command),
        Group::Task(command) => console.task(command),
        Group::Framework(command) => console.framework(command),
        Group::Role(command) => console.role(command),
        Group::Quota(command) => console.quota(command),
        Group::Weights(command) => console.weights(command),
        Group::Maintenance(command) => console.maintenance(command),
        Group::Reserve(command) => console.reserve(command),
        Group::Volume(command) => console.volume(command),
        Group::Config(_) | Group::Completion { .. } | Group::Program(_) => Ok(()),
    }?;
    Ok(console.status)
}

fn show(settings: &Settings, screen: &mut Screen<'_>) -> Result<(), ConsoleError> {
    let file = settings.file.as_ref().map_or("none".to_string(), |file| file.display().to_string());
    let secret = if settings.authorization.is_some() { "given" } else { "none" };
    screen.details(&[
        ("File", file),
        ("Master", format!("{} ({})", settings.master, settings.said_by)),
        ("Principal", settings.principal.clone().unwrap_or_else(|| "none".to_string())),
        ("Secret", secret.to_string()),
    ])?;
    Ok(())
}

/// One command as it runs.
pub struct Console<'c, 'o> {
    pub(crate) api: Api,
    principal: Option<String>,
    pub(crate) screen: &'c mut Screen<'o>,
    /// The exit status of this program.
    status: u8,
}

impl<'c, 'o> Console<'c, 'o> {
    /// For programs that are told where the master is, and nothing else.
    pub fn of_master(master: &str, screen: &'c mut Screen<'o>) -> Result<Console<'c, 'o>, ConsoleError> {
        let settings = Settings::of_master(master, "--master");
        Ok(Console { api: Api::new(&settings)?, principal: None, screen, status: 0 })
    }
}

impl Console<'_, '_> {
    /// Goes on only if the user agrees.
    fn consent(&mut self, consent: Consent, question: &str) -> Result<(), ConsoleError> {
        if consent.yes {
            return Ok(());
        }
        match self.screen.agrees(question)? {
            Some(true) => Ok(()),
            Some(false) => Err(ConsoleError::Declined),
            None => Err(ConsoleError::Unasked(question.trim_end_matches('?').to_lowercase())),
        }
    }
}

/// The one of many that has exactly this name.
fn exactly<'t, T>(
    all: &'t [T],
    name: &str,
    what: &'static str,
    list: &'static str,
    of: impl Fn(&T) -> &str,
) -> Result<&'t T, ConsoleError> {
    all.iter().find(|one| of(one) == name).ok_or_else(|| {
        let known = messor_flags::nearest(name, all.iter().map(of));
        let known = known.map(str::to_owned).into_iter().collect();
        ConsoleError::Unknown { what, name: name.to_owned(), known, list }
    })
}

/// The one of many that is meant: by its whole name, by an end or a beginning of it, or by another name that it has.
fn one_of<'t, T>(
    all: &'t [T],
    name: &str,
    what: &'static str,
    list: &'static str,
    id: impl Fn(&T) -> &str,
    other: impl Fn(&T) -> &str,
) -> Result<&'t T, ConsoleError> {
    if let Some(found) = all.iter().find(|one| id(one) == name) {
        return Ok(found);
    }
    let also =
        |one: &&T| other(one) == name || id(one).ends_with(&format!("-{name}")) || id(one).starts_with(name);
    let found: Vec<&T> = all.iter().filter(|one| !name.is_empty() && also(one)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let near = messor_flags::nearest(name, all.iter().flat_map(|one| [id(one), other(one)]));
            let known = near.map(str::to_owned).into_iter().collect();
            Err(ConsoleError::Unknown { what, name: name.to_owned(), known, list })
        }
        several => {
            let found = several.iter().take(5).map(|one| id(one).to_owned()).collect();
            Err(ConsoleError::Ambiguous { name: name.to_owned(), found })
        }
    }
}
