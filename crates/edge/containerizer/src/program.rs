//! `mesos-containerizer launch`: starts the first process of a container as a ContainerLaunchInfo says.
//!
//! The agent does without it: it has the warden, which is `mesos-containerizer warden`. It is here for those that call it by
//! name. Without `--runtime_directory` it becomes the command; with it, it stays, passes signals on, and notes the exit
//! status in `status` there.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use messor_flags::{FlagError, LaunchFlags, Request};
use messor_linux::inherited;
use messor_linux::limits::{Limit, LimitError};
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::signals::{self, SignalFd};
use messor_linux::spawn::{Launch, SpawnError};
use messor_linux::users::{Identity, UserError};
use messor_linux::{Exit, Pid, Signal, wait};
use messor_proto::mesos::{CommandInfo, slave::ContainerLaunchInfo};
use messor_proto::{JsonError, Version, Wire};

use crate::launching;

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error("say what to do: mesos-containerizer launch --launch_info=JSON")]
    NoCommand,
    #[error("not supported yet: '{0}'; only 'launch' is")]
    Subcommand(String),
    #[error("--launch_info is required: give a ContainerLaunchInfo as JSON")]
    NoLaunchInfo,
    #[error("--launch_info is not a ContainerLaunchInfo: {0}")]
    LaunchInfo(#[from] JsonError),
    #[error("not supported yet: '{0}' in --launch_info, as only posix containers are built")]
    Unsupported(&'static str),
    #[error("--launch_info has no command with a value")]
    NoValue,
    #[error("--pipe_read and --pipe_write go together: give both or none")]
    OnePipe,
    #[error("the agent did not say to begin, so it has probably ended")]
    NotReleased,
    #[error("the command '{command}' to run before could not: {reason}")]
    Before { command: String, reason: String },
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("'{path}': {source}")]
    File { path: String, source: io::Error },
    #[error("could not execute '{program}': {source}")]
    Execute { program: String, source: io::Error },
    #[error("the command cannot be watched: {0}")]
    Watch(io::Error),
}

/// The program; `args` are the words after its name.
pub fn main(args: &[String]) -> ExitCode {
    // Not for people: an agent starts it.
    if let Some(("warden", args)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return messor_warden::main(args);
    }
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mesos-containerizer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode, ProgramError> {
    let parsed = match messor_flags::parse::<LaunchFlags>(args, &messor_log::Surroundings)? {
        Request::Run(parsed) => parsed,
        Request::Help(text) | Request::Version(text) => {
            println!("{text}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    for warning in &parsed.warnings {
        eprintln!("mesos-containerizer: {warning}");
    }
    match parsed.positional.first().map(String::as_str) {
        Some("launch") => launch(&parsed.flags),
        Some(other) => Err(ProgramError::Subcommand(other.to_owned())),
        None => Err(ProgramError::NoCommand),
    }
}

fn launch(flags: &LaunchFlags) -> Result<ExitCode, ProgramError> {
    let directory = flags.runtime_directory.as_ref().map(|directory| PathBuf::from(directory.as_str()));
    let status = directory.map(|directory| StatusFile::open(&directory)).transpose()?;
    let result = prepare(flags).and_then(|plan| match &status {
        Some(status) => plan.attend(status),
        None => plan.replace(),
    });
    if let (Err(_), Some(status)) = (&result, &status) {
        // Whoever waits for the container learns that it failed; why is on standard error.
        status.write(Exit::Exited(1))?;
    }
    result
}

/// Everything that is wrong with the request is found before anything is done.
fn prepare(flags: &LaunchFlags) -> Result<Plan, ProgramError> {
    let text = flags.launch_info.as_ref().ok_or(ProgramError::NoLaunchInfo)?;
    let info = ContainerLaunchInfo::from_json(text.as_str().as_bytes(), Version::V0)?;
    if let Some(field) = unsupported(&info) {
        return Err(ProgramError::Unsupported(field));
    }
    let command = info.command.as_ref().ok_or(ProgramError::NoValue)?;
    let directory = info.working_directory.as_ref().map(PathBuf::from);
    let (program, arguments) =
        launching::program(command, directory.as_deref()).ok_or(ProgramError::NoValue)?;
    match (flags.pipe_read, flags.pipe_write) {
        (Some(read), Some(write)) => wait_for_release(read, write)?,
        (None, None) => {}
        _ => return Err(ProgramError::OnePipe),
    }
    for command in &info.pre_exec_commands {
        run_before(command)?;
    }
    if let Some(directory) = &directory {
        std::fs::create_dir_all(directory).map_err(|source| of_file(directory, source))?;
    }
    let identity =
        info.user.as_deref().map(|user| Identity::of(user, &info.supplementary_groups)).transpose()?;
    let environment = match &info.environment {
        Some(environment) => {
            let pairs = environment.variables.iter().map(|one| (one.name.clone(), one.value().to_owned()));
            launching::environment(&pairs.collect::<Vec<_>>())
        }
        None => std::env::vars_os().collect(),
    };
    Ok(Plan {
        program,
        arguments,
        environment,
        directory,
        identity,
        limits: info.rlimits.as_ref().map(launching::limits).transpose()?.unwrap_or_default(),
        no_new_privileges: info.no_new_privileges(),
    })
}

/// The first field that asks for more than a posix container.
fn unsupported(info: &ContainerLaunchInfo) -> Option<&'static str> {
    let fields = [
        ("rootfs", info.rootfs.is_some()),
        ("enter_namespaces", !info.enter_namespaces.is_empty()),
        ("clone_namespaces", !info.clone_namespaces.is_empty()),
        ("mounts", !info.mounts.is_empty()),
        ("masked_paths", !info.masked_paths.is_empty()),
        ("file_operations", !info.file_operations.is_empty()),
        ("seccomp_profile", info.seccomp_profile.is_some()),
        ("effective_capabilities", info.effective_capabilities.is_some()),
        ("bounding_capabilities", info.bounding_capabilities.is_some()),
        ("tty_slave_path", info.tty_agent_path.is_some()),
    ];
    fields.iter().find(|(_, is_set)| *is_set).map(|(name, _)| *name)
}

/// Blocks until the agent writes a byte.
fn wait_for_release(read: i32, write: i32) -> Result<(), ProgramError> {
    let taken = |number: i32| {
        let path = format!("descriptor {number}");
        inherited::take(number).map_err(|source| ProgramError::File { path, source })
    };
    // As long as this process holds the writing end too, the agent's death would not end the reading.
    drop(taken(write)?);
    File::from(taken(read)?).read_exact(&mut [0]).map_err(|_| ProgramError::NotReleased)
}

fn run_before(command: &CommandInfo) -> Result<(), ProgramError> {
    let (program, arguments) = launching::program(command, None).ok_or(ProgramError::NoValue)?;
    let failed = |reason: String| ProgramError::Before { command: command.value().to_owned(), reason };
    let mut process = Command::new(&program);
    process.arg0(&arguments[0]).args(&arguments[1..]);
    match process.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn of_file(path: &Path, source: io::Error) -> ProgramError {
    ProgramError::File { path: path.display().to_string(), source }
}

/// A command that is ready to be started.
struct Plan {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    identity: Option<Identity>,
    limits: Vec<Limit>,
    no_new_privileges: bool,
}

impl Plan {
    /// Becomes the command; only an error comes back.
    fn replace(self) -> Result<ExitCode, ProgramError> {
        let failed =
            |source| ProgramError::Execute { program: self.program.to_string_lossy().into_owned(), source };
        for limit in &self.limits {
            limit.set().map_err(failed)?;
        }
        if let Some(identity) = &self.identity {
            identity.assume().map_err(failed)?;
        }
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(|error| failed(error.into()))?;
        }
        let mut command = Command::new(&self.program);
        command.arg0(&self.arguments[0]).args(&self.arguments[1..]);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Err(failed(command.exec()))
    }

    /// Starts the command and stays until it has ended, as the one that signals are meant for.
    fn attend(self, status: &StatusFile) -> Result<ExitCode, ProgramError> {
        const FORWARDED: [Signal; 8] = [
            Signal::HUP,
            Signal::INT,
            Signal::QUIT,
            Signal::TERM,
            Signal::USR1,
            Signal::USR2,
            Signal::WINCH,
            Signal::CONT,
        ];
        let mut watched = FORWARDED.to_vec();
        watched.push(Signal::CHILD);
        let arrived = SignalFd::new(&watched).map_err(ProgramError::Watch)?;
        let pid = Launch {
            program: self.program,
            arguments: self.arguments,
            environment: self.environment,
            directory: self.directory,
            identity: self.identity,
            limits: self.limits,
            no_new_privileges: self.no_new_privileges,
            ..Launch::default()
        }
        .start()?;
        let exit = follow(&arrived, pid).map_err(ProgramError::Watch)?;
        status.write(exit)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn follow(arrived: &SignalFd, child: Pid) -> io::Result<Exit> {
    let ended = wait::pid_descriptor(child).ok();
    loop {
        let mut awaited = vec![PollFd::new(arrived, PollFlags::IN)];
        awaited.extend(ended.as_ref().map(|descriptor| PollFd::new(descriptor, PollFlags::IN)));
        poll(&mut awaited, None)?;
        while let Some(signal) = arrived.read()? {
            if signal != Signal::CHILD {
                // It may have ended in the meantime.
                let _ = signals::send(child, signal);
            }
        }
        // Orphans that were adopted end here too.
        while let Some(reaped) = wait::reap_any()? {
            if reaped.pid == child {
                return Ok(reaped.exit);
            }
        }
    }
}

/// Where the exit status is noted, in the form of wait(2) and as a decimal number.
struct StatusFile {
    path: PathBuf,
    file: File,
}

impl StatusFile {
    fn open(directory: &Path) -> Result<StatusFile, ProgramError> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = directory.join("status");
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        match file {
            Ok(file) => Ok(StatusFile { path, file }),
            Err(source) => Err(of_file(&path, source)),
        }
    }

    fn write(&self, exit: Exit) -> Result<(), ProgramError> {
        let text = exit.to_wait_status().to_string();
        (&self.file).write_all(text.as_bytes()).map_err(|source| of_file(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &[&str]) -> String {
        run(&args.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        assert!(error(&[]).contains("mesos-containerizer launch"));
        assert_eq!(error(&["mount"]), "not supported yet: 'mount'; only 'launch' is");
        assert!(error(&["launch"]).contains("--launch_info is required"));
        assert!(error(&["launch", "--launch_info={}"]).contains("no command"));
        let rootfs = r#"--launch_info={"rootfs": "/x", "command": {"value": "true"}}"#;
        assert!(error(&["launch", rootfs]).contains("not supported yet: 'rootfs'"));
        let good = r#"--launch_info={"command": {"value": "true"}}"#;
        assert!(error(&["launch", good, "--pipe_read=5"]).contains("go together"));
    }

    #[test]
    fn the_status_of_the_command_is_noted() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = format!("--runtime_directory={}", directory.path().display());
        let status = || std::fs::read_to_string(directory.path().join("status")).unwrap();
        let info = r#"--launch_info={"command": {"value": "exit 3"}}"#;
        let words = ["launch", info, runtime.as_str()].map(str::to_owned);
        run(&words).unwrap();
        assert_eq!(status(), "768");

        let info = r#"--launch_info={"command": {"shell": false, "value": "/no/such/program"}}"#;
        assert!(error(&["launch", info, &runtime]).contains("could not execute '/no/such/program'"));
        assert_eq!(status(), "256");
    }

    #[test]
    fn what_comes_before_must_succeed() {
        let info =
            r#"--launch_info={"pre_exec_commands": [{"value": "exit 2"}], "command": {"value": "true"}}"#;
        assert!(error(&["launch", info]).contains("'exit 2' to run before could not: exit status: 2"));
    }
}
