//! `mesos-containerizer launch`: starts the first process of a container as a ContainerLaunchInfo says; and `mount`, which
//! changes a mount.
//!
//! The agent does without both: it has the warden, which is `mesos-containerizer warden`. They are here for those that call
//! them by name. Without `--runtime_directory`, `launch` becomes the command; with it, it stays, passes signals on, and
//! notes the exit status in `status` there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use messor_flags::{FlagError, LaunchFlags, MountFlags, Parsed, Program, Request};
use messor_linux::container::{Enter, Namespaces, Process, StartError, Status, Stream};
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::signals::{self, SignalFd};
use messor_linux::spawn::Session;
use messor_linux::{Exit, Pid, Signal, inherited, mounts, wait};
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_proto::{JsonError, Version, Wire};

use crate::plan::{self, PlanError};

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error("say what to do: mesos-containerizer launch --launch_info=JSON")]
    NoCommand,
    #[error("'{0}' is not a command of mesos-containerizer: there are 'launch' and 'mount'")]
    Subcommand(String),
    #[error("--launch_info is required: give a ContainerLaunchInfo as JSON")]
    NoLaunchInfo,
    #[error("--launch_info is not a ContainerLaunchInfo: {0}")]
    LaunchInfo(#[from] JsonError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("--pipe_read and --pipe_write go together: give both or none")]
    OnePipe,
    #[error("the agent did not say to begin, so it has probably ended")]
    NotReleased,
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the terminal cannot be taken: {0}")]
    Terminal(io::Error),
    #[error("'{path}': {source}")]
    File { path: String, source: io::Error },
    #[error("the command cannot be watched: {0}")]
    Watch(io::Error),
    #[error("--operation is required: give make-rslave")]
    NoOperation,
    #[error("'{0}' is not an operation: give make-rslave")]
    Operation(String),
    #[error("--path is required: give the mount to make a slave, with all mounts below it")]
    NoPath,
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
    if args.first().is_some_and(|first| first == "mount") {
        return match parse::<MountFlags>(args)? {
            Some(parsed) => change_mount(&parsed.flags),
            None => Ok(ExitCode::SUCCESS),
        };
    }
    let Some(parsed) = parse::<LaunchFlags>(args)? else { return Ok(ExitCode::SUCCESS) };
    match parsed.positional.first().map(String::as_str) {
        Some("launch") => launch(&parsed.flags),
        Some(other) => Err(ProgramError::Subcommand(other.to_owned())),
        None => Err(ProgramError::NoCommand),
    }
}

/// None: help was asked for, and given.
fn parse<P: Program>(args: &[String]) -> Result<Option<Parsed<P>>, ProgramError> {
    let parsed = match messor_flags::parse::<P>(args, &messor_log::Surroundings)? {
        Request::Run(parsed) => parsed,
        Request::Help(text) | Request::Version(text) => {
            println!("{text}");
            return Ok(None);
        }
    };
    for warning in &parsed.warnings {
        eprintln!("mesos-containerizer: {warning}");
    }
    Ok(Some(parsed))
}

fn change_mount(flags: &MountFlags) -> Result<ExitCode, ProgramError> {
    match flags.operation.as_deref() {
        None => return Err(ProgramError::NoOperation),
        Some("make-rslave") => {}
        Some(other) => return Err(ProgramError::Operation(other.to_owned())),
    }
    let path = flags.path.as_ref().ok_or(ProgramError::NoPath)?;
    let path = Path::new(path.as_str());
    mounts::set_propagation(path, mounts::SLAVE, true).map_err(|source| of_file(path, source))?;
    Ok(ExitCode::SUCCESS)
}

fn launch(flags: &LaunchFlags) -> Result<ExitCode, ProgramError> {
    let directory = flags.runtime_directory.as_ref().map(|directory| PathBuf::from(directory.as_str()));
    // Held back from here on, so that a signal that comes before there is a command is passed on to it, too.
    let status = directory
        .map(|directory| {
            let arrived = forwarded()?;
            Ok::<_, ProgramError>((StatusFile::open(&directory)?, arrived))
        })
        .transpose()?;
    let result = prepare(flags).and_then(|process| match &status {
        Some((status, arrived)) => attend(process, status, arrived),
        None => Err(process.become_program().into()),
    });
    if let (Err(_), Some((status, _))) = (&result, &status) {
        // Whoever waits for the container learns that it failed; why is on standard error.
        status.write(Exit::Exited(1))?;
    }
    result
}

/// Everything that is wrong with the request is found before anything is done.
fn prepare(flags: &LaunchFlags) -> Result<Process, ProgramError> {
    let text = flags.launch_info.as_ref().ok_or(ProgramError::NoLaunchInfo)?;
    let mut info = ContainerLaunchInfo::from_json(text.as_str().as_bytes(), Version::V0)?;
    // Whoever called this has entered and made the namespaces. Only that of mounts is made anew here, so that those of the
    // caller are never changed.
    info.enter_namespaces.clear();
    let mounts = i32::try_from(Namespaces::MOUNT.flags()).unwrap_or_default();
    info.clone_namespaces.retain(|kind| *kind == mounts);
    let mut process = plan::process(&info, None)?;
    process.session = Session::Same;
    if info.environment.is_none() {
        process.environment = std::env::vars_os().collect();
    }
    if info.working_directory.is_none() {
        process.directory = std::env::current_dir().ok();
    }
    if flags.unshare_namespace_mnt {
        process.clone = process.clone | Namespaces::MOUNT;
    }
    if let Some(pid) = flags.namespace_mnt_target {
        process.enter = Some(Enter { pid, namespaces: Namespaces::MOUNT });
    }
    match (flags.pipe_read, flags.pipe_write) {
        (Some(read), Some(write)) => wait_for_release(read, write)?,
        (None, None) => {}
        _ => return Err(ProgramError::OnePipe),
    }
    if info.tty_agent_path.is_some() {
        rustix::process::ioctl_tiocsctty(io::stdin())
            .map_err(|error| ProgramError::Terminal(error.into()))?;
    }
    Ok(process)
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

fn of_file(path: &Path, source: io::Error) -> ProgramError {
    ProgramError::File { path: path.display().to_string(), source }
}

/// All signals that can be passed on, and the one that tells of children.
fn forwarded() -> Result<SignalFd, ProgramError> {
    let named = (1..32).filter_map(Signal::from_named_raw);
    let held: Vec<Signal> = named.filter(|signal| ![Signal::KILL, Signal::STOP].contains(signal)).collect();
    SignalFd::new(&held).map_err(ProgramError::Watch)
}

/// Starts the command and stays until it has ended, as the one that signals are meant for.
fn attend(mut process: Process, status: &StatusFile, arrived: &SignalFd) -> Result<ExitCode, ProgramError> {
    process.stdin = own(io::stdin())?;
    process.stdout = own(io::stdout())?;
    process.stderr = own(io::stderr())?;
    let (pid, init): (Pid, Option<Status>) = process.start()?;
    let exit = follow(arrived, pid).map_err(ProgramError::Watch)?;
    status.write(init.map_or(exit, |init| init.exit(exit)))?;
    Ok(ExitCode::SUCCESS)
}

/// One of the standard descriptors; /dev/null where it is not open.
fn own(stream: impl std::os::fd::AsFd) -> Result<Stream, ProgramError> {
    match stream.as_fd().try_clone_to_owned() {
        Ok(descriptor) => Ok(Stream::Descriptor(descriptor)),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
            Ok(Stream::Null)
        }
        Err(error) => Err(ProgramError::Watch(error)),
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
        // Of a run before there may be more.
        self.file.set_len(0).map_err(|source| of_file(&self.path, source))?;
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
        assert!(error(&["lunch"]).contains("'lunch' is not a command"));
        assert!(error(&["launch"]).contains("--launch_info is required"));
        assert!(error(&["launch", "--launch_info={}"]).contains("no value"));
        let good = r#"--launch_info={"command": {"value": "true"}}"#;
        assert!(error(&["launch", good, "--pipe_read=5"]).contains("go together"));
        assert!(error(&["mount"]).contains("--operation is required"));
        assert!(error(&["mount", "--operation=x", "--path=/"]).contains("'x' is not an operation"));
        assert!(error(&["mount", "--operation=make-rslave"]).contains("--path is required"));
    }
}
