//! Where what a container writes to standard output and error goes: the files of its sandbox, or loggers that rotate
//! these. It must not know how logs are rotated.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use messor_linux::spawn::{Launch as Start, Session, SpawnError};
use messor_linux::users::Identity;
use messor_logger::{Settings, SettingsError, Stream};
use messor_proto::mesos::slave::ContainerLaunchInfo;
use rustix::pipe::PipeFlags;
use tokio::runtime::Handle;

use crate::containerizer::Config;
use crate::fetching::{Program, is_passed_on};
use crate::processes;
use crate::sandbox::{self, SandboxError};

const PROGRAM: &str = "mesos-logrotate-logger";

/// `--container_logger`.
#[derive(Clone, Debug, Default)]
pub enum Logger {
    /// Plain files, which grow.
    #[default]
    Sandbox,
    /// Two processes a container, which outlive the agent.
    Logrotate(Settings),
}

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the logger did not start: {0}")]
    Start(#[from] SpawnError),
    #[error("the logger did not start: {0}")]
    Pipe(#[from] io::Error),
}

/// Standard output and error of a container, for it to write to. To be called where the runtime is known, on a thread
/// that may wait.
pub(crate) fn outputs(
    info: &ContainerLaunchInfo,
    root: &Path,
    sandbox: &Path,
    identity: Option<&Identity>,
    config: &Config,
) -> Result<(OwnedFd, OwnedFd), LoggingError> {
    // Also for a logger, so that there are files where people look for them.
    let open = |name| sandbox::open_output(root, sandbox, name, identity);
    let (stdout, stderr) = (open("stdout")?, open("stderr")?);
    let Logger::Logrotate(settings) = &config.logger else { return Ok((stdout.into(), stderr.into())) };
    let variables = info.environment.iter().flat_map(|environment| &environment.variables);
    let pairs = variables.map(|variable| (variable.name.as_str(), variable.value()));
    let (out, err) = settings.of_container(pairs)?;
    let user = identity.and(info.user.as_deref());
    let start = |stream: Stream, name: &str| start(&stream, &sandbox.join(name), user, settings, config);
    // Where the second does not start, the first one ends with its pipe.
    Ok((start(out, "stdout")?, start(err, "stderr")?))
}

fn start(
    stream: &Stream,
    file: &Path,
    user: Option<&str>,
    settings: &Settings,
    config: &Config,
) -> Result<OwnedFd, LoggingError> {
    let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let program = Program::find(settings.launcher_dir.as_ref().unwrap_or(&config.launcher_dir), PROGRAM)?;
    let mut arguments = vec![OsString::from(program.name)];
    arguments.extend(stream.arguments(file, user, settings));
    let pid = Start {
        arguments,
        environment: std::env::vars_os().filter(|(name, _)| is_passed_on(name)).collect(),
        directory: Some(PathBuf::from("/")),
        stdin: File::from(reading).into(),
        stdout: messor_linux::spawn::Stdio::Null,
        // What it has to say is said in the agent's log.
        session: Session::New,
        ..Start::new(program.path)
    }
    .start()?
    .as_raw_pid();
    Handle::current().spawn(async move {
        let ended = processes::ended(pid).await.and_then(|()| processes::reap(pid));
        if let Err(error) = ended {
            tracing::warn!("The end of the logger {pid} cannot be told: {error}");
        }
    });
    Ok(writing)
}
