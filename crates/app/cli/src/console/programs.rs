//! `mesos WORD` that is none of its own commands: the program mesos-WORD, as the `mesos` of Apache Mesos starts it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;

use super::arguments::{Arguments, Common};
use super::screen::{Screen, text};
use super::settings::Settings;
use super::{ConsoleError, USAGE_HINT};

const PREFIX: &str = "mesos-";
/// Programs that are told the master by a flag, which is that of `mesos` where they are not told another.
const OF_A_MASTER: [&str; 5] = ["ps", "cat", "tail", "scp", "execute"];

/// Names of its own commands.
fn own() -> Vec<String> {
    Arguments::command().get_subcommands().map(|one| one.get_name().to_owned()).collect()
}

/// The word of `mesos help WORD` that is a program's.
pub fn helped(words: &[String]) -> Option<String> {
    match words {
        [help, word] if help == "help" && !own().contains(word) && find(word).is_some() => Some(word.clone()),
        _ => None,
    }
}

/// Where programs are: beside the one that was called, where it was called by its place, then PATH.
fn folders() -> Vec<PathBuf> {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    // Called by its name alone it was found in PATH: the folder that we are in is none for programs.
    let beside = called.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = beside.and_then(|folder| folder.canonicalize().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside.into_iter().chain(std::env::split_paths(&path).filter(|folder| folder.is_absolute())).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn find(word: &str) -> Option<PathBuf> {
    // It is one name within a folder.
    if word.is_empty() || word.contains(['/', '\0']) {
        return None;
    }
    folders().into_iter().map(|folder| folder.join(format!("{PREFIX}{word}"))).find(|path| is_program(path))
}

/// The words that programs stand for.
fn known() -> BTreeSet<String> {
    let entries = folders().into_iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let programs = entries.filter(|entry| is_program(&entry.path()));
    programs.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(PREFIX)?.to_owned())).collect()
}

/// Becomes the program of the first word. It comes back only where that failed.
pub fn start(words: &[String], common: &Common) -> ConsoleError {
    let Some((word, rest)) = words.split_first() else {
        return ConsoleError::Wrong(USAGE_HINT.to_owned());
    };
    // What `mesos` takes of these is not the program's to know.
    if common.json || common.width.is_some() {
        return ConsoleError::Wrong(format!(
            "--json and --width are for commands of mesos, and not for {PREFIX}{word}"
        ));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let settings = match Settings::new(common, home.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return error.into(),
    };
    let has_own =
        rest.iter().any(|word| ["--master", "--help", "--version"].iter().any(|own| word.starts_with(own)));
    let flag = format!("--master={}", settings.master);
    let flag = (OF_A_MASTER.contains(&word.as_str()) && !has_own).then_some(flag);
    let words: Vec<String> = flag.into_iter().chain(rest.iter().cloned()).collect();
    run(word, &words, settings.is_said.then_some(settings.master.as_str()))
}

pub fn run(word: &str, words: &[String], master: Option<&str>) -> ConsoleError {
    let Some(program) = find(word) else {
        let known: Vec<String> = own().into_iter().chain(known()).collect();
        let near = messor_flags::nearest(word, known.iter().map(String::as_str));
        let next = near.map_or(USAGE_HINT.to_owned(), |near| format!("did you mean 'mesos {near}'?"));
        return ConsoleError::Wrong(format!(
            "there is no command '{word}', and no program {PREFIX}{word} in PATH; {next}"
        ));
    };
    let mut command = Command::new(&program);
    command.args(words.iter().map(OsString::from));
    if let Some(master) = master {
        command.env("MESOS_MASTER", master);
    }
    let error = command.exec();
    ConsoleError::Wrong(format!("{} does not start: {error}", program.display()))
}

/// `mesos config plugins`.
pub fn list(settings: &Settings, screen: &mut Screen<'_>) -> Result<(), ConsoleError> {
    let mut rows = screen.rows(&["NAME", "KIND", "DESCRIPTION"]);
    let command = Arguments::command();
    for group in command.get_subcommands() {
        let about = group.get_about().map(ToString::to_string).unwrap_or_default();
        rows.push([text(group.get_name()), text("command"), text(about)]);
    }
    let own = own();
    for word in known().into_iter().filter(|word| !own.contains(word)) {
        let path = find(&word).map_or(String::new(), |path| path.display().to_string());
        rows.push([text(word), text("program"), text(path)]);
    }
    for plugin in &settings.plugins {
        rows.push([text(plugin), text("not used"), text("Of the Python command line: no Python runs here")]);
    }
    Ok(screen.table(rows, "")?)
}
