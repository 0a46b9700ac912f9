//! `mesos-logrotate-logger`: from standard input to a log file, until standard input ends.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use messor_flags::LogrotateFlags;
use messor_linux::spawn::{Launch, Stdio};
use messor_linux::users::{Identity, UserError};
use messor_linux::wait;
use rustix::fs::{MemfdFlags, Mode, OFlags};

use crate::rotation::{Log, MARGIN_BYTES, Rotate, say};
use crate::settings::finds;

/// What a pipe holds at most, as a rule.
const BUFFER_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error("--logrotate_path: '{0}' is not there or cannot be run: install logrotate")]
    NoLogrotate(String),
    #[error("--log_filename: '{0}' is no name for a log")]
    Name(PathBuf),
    #[error("--log_filename: '{path}': {source}")]
    Log { path: PathBuf, source: io::Error },
    #[error("--user: {0}")]
    User(#[from] UserError),
    #[error("switching to the user '{user}' failed: {source}")]
    Switch { user: String, source: io::Error },
    #[error("the configuration of logrotate cannot be kept: {0}")]
    Configuration(io::Error),
    #[error("standard input cannot be read: {0}")]
    Read(io::Error),
}

/// The program; `args` are the words after its name.
pub fn main(args: &[String]) -> ExitCode {
    let flags: LogrotateFlags = match messor_log::flags(args, &messor_log::Surroundings, say) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &LogrotateFlags) -> Result<(), ProgramError> {
    if !finds(&flags.logrotate_path) {
        return Err(ProgramError::NoLogrotate(flags.logrotate_path.clone()));
    }
    // Whoever started it may end, and its terminal close. It leads a session already where it was started so.
    let _ = rustix::process::setsid();
    if let Some(user) = &flags.user {
        let identity = Identity::of(user, &[])?;
        identity.assume().map_err(|source| ProgramError::Switch { user: user.clone(), source })?;
    }
    let path = PathBuf::from(flags.log_filename.as_deref().unwrap_or_default());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ProgramError::Name(path));
    };
    // Later the directory is reached by this alone.
    let opened =
        rustix::fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let directory = opened.map_err(|error| ProgramError::Log { path: path.clone(), source: error.into() })?;
    let size = flags.max_size.0.saturating_sub(MARGIN_BYTES);
    let options = flags.logrotate_options.as_deref().unwrap_or_default();
    let text = configuration(name, options, size).ok_or_else(|| ProgramError::Name(path.clone()))?;
    let rotate = Logrotate {
        program: flags.logrotate_path.clone().into(),
        directory: directory.try_clone().map_err(ProgramError::Configuration)?,
        configuration: kept(&text).map_err(ProgramError::Configuration)?,
    };
    let mut log = Log::new(directory, Path::new(name), flags.max_size.0, rotate);
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                let written = log.write(&buffer[..count]);
                written.map_err(|source| ProgramError::Log { path: path.clone(), source })?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_input(&input).map_err(ProgramError::Read)?;
            }
            Err(error) => return Err(ProgramError::Read(error)),
        }
    }
}

/// The other end may have made the pipe non-blocking.
fn wait_for_input(input: &impl AsFd) -> io::Result<()> {
    use messor_linux::poll::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::new(input, PollFlags::IN)], None) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other.map(|_| ()),
    }
}

/// What logrotate is told, of a log in its working directory. None: there is no way to write this name.
fn configuration(name: &OsStr, options: &str, size: u64) -> Option<String> {
    let name = name.to_str()?;
    let mut quoted = String::new();
    for character in name.chars() {
        match character {
            // The end of the name to logrotate, quoted or not.
            '{' | '}' => return None,
            character if character.is_control() => return None,
            '*' | '?' | '[' | ']' | '\\' | '"' => quoted.extend(['\\', character]),
            character => quoted.push(character),
        }
    }
    Some(format!("\"{quoted}\" {{\n{options}\nsize {size}\n}}\n"))
}

/// A file in memory that nobody else can write.
fn kept(text: &str) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("logrotate.conf", MemfdFlags::empty())?);
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

struct Logrotate {
    program: OsString,
    directory: OwnedFd,
    configuration: File,
}

impl Rotate for Logrotate {
    fn rotate(&mut self) -> io::Result<()> {
        self.configuration.seek(SeekFrom::Start(0))?;
        let configuration = self.configuration.try_clone()?;
        let path = format!("/proc/self/fd/{}", configuration.as_raw_fd());
        let mut launch = Launch::new(self.program.clone());
        launch.arguments.extend(["--state", "/dev/null", &path].map(OsString::from));
        launch.environment = std::env::vars_os().collect();
        let directory = self.directory.try_clone()?;
        launch.directory = Some(PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())));
        launch.stdin = Stdio::Null;
        launch.stdout = Stdio::Null;
        launch.keep = vec![configuration.into(), directory];
        let pid = launch.start().map_err(io::Error::other)?;
        let exit = wait::wait(pid)?;
        if exit.success() { Ok(()) } else { Err(io::Error::other(format!("logrotate {exit}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn the_name_of_the_log_means_itself() {
        let text = |name: &str| configuration(OsStr::new(name), "rotate 2", 100);
        assert_eq!(text("stdout").unwrap(), "\"stdout\" {\nrotate 2\nsize 100\n}\n");
        assert!(text("a*\"b").unwrap().starts_with("\"a\\*\\\"b\" {"));
        for name in ["a{b", "a}", "a\nb"] {
            assert_eq!(text(name), None);
        }
        assert_eq!(configuration(OsStr::from_bytes(b"\xff"), "", 1), None);
    }
}
