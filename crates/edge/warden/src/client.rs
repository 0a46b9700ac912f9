//! The agent's side.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use messor_linux::Exit;
use messor_linux::container::{Process, StartError};

/// Where the warden is found, and how it is started where there is none.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its socket is `warden.sock` there.
    pub runtime_dir: PathBuf,
    /// The program that is a warden when called with `arguments` (its name first, such as `mesos-containerizer warden`).
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// `cgroup.procs` files that a new warden enters, so that it does not end with the agent's own cgroup.
    pub cgroups: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    #[error("not supported yet: {0}")]
    NotSupported(&'static str),
    #[error("could not {what}: {source}")]
    Failed { what: String, source: io::Error },
    #[error(
        "the warden speaks version {theirs} of its protocol, this agent {ours}, and it still holds containers"
    )]
    Version { theirs: u8, ours: u8 },
    #[error("the warden serves another agent, process {0}")]
    Taken(i32),
}

/// A container's first process to be started.
#[derive(Debug, Default)]
pub struct Start {
    /// For messages, and to know it again after a restart of the agent.
    pub container: String,
    /// Where the wait status is noted, as a decimal number, once it ended: written aside, synced and renamed.
    pub status_file: PathBuf,
    /// Files that its pid is written to, likewise, before [`Warden::fork`] answers.
    pub pid_files: Vec<PathBuf>,
    pub process: Process,
}

/// How a process ended. Told once its status is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub pid: i32,
    pub container: String,
    /// None: nobody can know, as a warden that ended before had forked it and did not note it.
    pub exit: Option<Exit>,
}

/// What the warden tells by itself. Told on a thread of the client, which waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Ended(Ended),
    /// The warden ended. Its containers go on, and are watched from here; what it held and had not let go on is gone.
    Lost(String),
    /// Something for the log.
    Said(String),
}

/// A container that the warden had when it was connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub pid: i32,
    pub container: String,
}

/// A connection to the warden. All calls block, for as long as the forking and executing takes, and may come from any thread.
#[derive(Clone, Debug)]
pub struct Warden(());

impl Warden {
    pub fn connect_or_start(
        config: &Config,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Warden, WardenError> {
        let _ = (config, events);
        Err(WardenError::NotSupported("the warden"))
    }

    pub fn pid(&self) -> i32 {
        0
    }

    /// Those that the warden had and that go on. Their end is told, as of those that are forked now.
    pub fn known(&self) -> Vec<Known> {
        Vec::new()
    }

    /// Watches a process that no warden knows any more (see [`Warden::known`]): that of a warden that ended, or of Apache Mesos's
    /// agent. `status_file` is read when it ended.
    pub fn watch(&self, pid: i32, container: &str, status_file: Option<PathBuf>) -> io::Result<()> {
        let _ = (pid, container, status_file);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Forks the process, into its cgroups and namespaces, where it waits.
    pub fn fork(&self, start: Start) -> Result<Held, StartError> {
        let _ = start;
        Err(StartError::Lost(io::ErrorKind::Unsupported.into()))
    }

    /// Children of the warden that it did not fork: processes of containers whose parents ended. For the killing of trees.
    pub fn strays(&self) -> io::Result<Vec<i32>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A process that waits. It is killed when this is dropped.
#[derive(Debug)]
pub struct Held {
    pid: i32,
}

impl Held {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it go on, and answers when its program was executed or why it was not; in that case the process is gone and
    /// its end is not told as an event, though its status is noted (exit status 1, as of Apache Mesos's launcher).
    pub fn go_on(self) -> Result<(), StartError> {
        Err(StartError::Lost(io::ErrorKind::Unsupported.into()))
    }
}
