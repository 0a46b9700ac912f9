//! Finding the warden, or starting one.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use messor_linux::Pid;
use messor_linux::spawn::{Launch, Session, Stdio};
use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::client::{Config, WardenError};
use crate::message::VERSION;
use crate::socket::check_peer;

/// A connection, and the warden where it was started for it: a child that is to be reaped.
pub(crate) struct Found {
    pub stream: UnixStream,
    pub started: Option<Pid>,
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> WardenError {
    let what = what.into();
    move |source| WardenError::Failed { what, source }
}

pub(crate) fn connect_or_start(config: &Config) -> Result<Found, WardenError> {
    let directory = &config.runtime_dir;
    let named = directory.display();
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, how, Mode::empty())
        .map_err(|error| failed(format!("open '{named}'"))(error.into()))?;
    // By way of the open directory, as a socket's path may have no more than 107 bytes.
    let below = |name: &str| -> PathBuf { format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()).into() };
    // Two agents that start at the same time must not both start one.
    let lock = File::options().create(true).truncate(false).write(true).open(below("warden.lock"));
    let lock = lock.map_err(failed(format!("open '{named}/warden.lock'")))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| failed(format!("lock '{named}/warden.lock'"))(error.into()))?;
    let name = format!("warden.{VERSION}.sock");
    let path = below(&name);
    match UnixStream::connect(&path) {
        Ok(stream) => {
            check_peer(&stream).map_err(failed(format!("trust '{named}/{name}'")))?;
            return Ok(Found { stream, started: None });
        }
        // Nobody listens any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(&path).map_err(failed(format!("remove '{named}/{name}'")))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(format!("connect to '{named}/{name}'"))(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed(format!("listen at '{named}/{name}'")))?;
    // Others could do nothing with it (their user is asked for); they need not even try.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(failed(format!("protect '{named}/{name}'")))?;
    let started = start(config, OwnedFd::from(listener))?;
    let stream = UnixStream::connect(&path).map_err(failed(format!("connect to '{named}/{name}'")))?;
    Ok(Found { stream, started: Some(started) })
}

/// With nothing of this process but the socket: no environment, no other descriptors, no signal ignored or blocked.
fn start(config: &Config, listener: OwnedFd) -> Result<Pid, WardenError> {
    let mut arguments = config.arguments.clone();
    arguments.push(format!("--listen={}", listener.as_raw_fd()).into());
    for cgroup in &config.cgroups {
        let mut argument = OsString::from("--cgroup=");
        argument.push(cgroup);
        arguments.push(argument);
    }
    let launch = Launch {
        program: config.program.clone().into(),
        arguments,
        directory: Some("/".into()),
        stdin: Stdio::Null,
        stdout: Stdio::Null,
        stderr: Stdio::Null,
        session: Session::New,
        keep: vec![listener],
        ..Launch::default()
    };
    launch.start().map_err(|error| failed("start the warden")(io::Error::other(error)))
}
