//! Starting a program: exactly this program, arguments, environment, descriptors and user, and an exact error when it
//! could not be started.
//!
//! Between fork and exec the child makes async-signal-safe system calls only; whatever they need is prepared before.
//! Who asks for it has a child that shares the memory of this process until then, as by vfork(2): to copy the page tables
//! of an agent costs more than all else of a start.
//! The rejected alternative, std::process::Command with pre_exec, allocates in places, inherits signal dispositions and
//! does not say which step failed.

mod child;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::process::Pid;

use self::child::{GO, Plan, REPORT_BYTES, THREAD_BYTES};
use crate::limits::Limit;
use crate::users::Identity;

#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("the {0} of the program to start contains a NUL byte")]
    Nul(&'static str),
    #[error("an environment variable without a name, or with '=' in its name, cannot be passed on: '{0}'")]
    VariableName(String),
    #[error("could not prepare the descriptors of '{program}'")]
    Prepare { program: String, source: io::Error },
    #[error("could not fork for '{program}'")]
    Fork { program: String, source: io::Error },
    #[error("could not {step} '{program}': {source}")]
    Step { program: String, step: Step, source: io::Error },
    #[error("'{program}' was not let go on: {source}")]
    Held { program: String, source: io::Error },
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    NewSession,
    Limits,
    Descriptors,
    Directory,
    Groups,
    Group,
    User,
    NoNewPrivileges,
    Execute,
    Terminal,
}

const STEPS: [Step; 10] = [
    Step::NewSession,
    Step::Limits,
    Step::Descriptors,
    Step::Directory,
    Step::Groups,
    Step::Group,
    Step::User,
    Step::NoNewPrivileges,
    Step::Execute,
    Step::Terminal,
];

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Step::NewSession => "make a new session for",
            Step::Limits => "set the resource limits of",
            Step::Descriptors => "set the descriptors of",
            Step::Directory => "enter the working directory of",
            Step::Groups => "set the supplementary groups of",
            Step::Group => "switch to the group of",
            Step::User => "switch to the user of",
            Step::NoNewPrivileges => "drop privileges to come for",
            Step::Execute => "execute",
            Step::Terminal => "set the controlling terminal of",
        })
    }
}

/// One of the three standard descriptors of the child.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's.
    #[default]
    Inherit,
    /// /dev/null.
    Null,
    /// This one.
    Descriptor(OwnedFd),
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        Stdio::Descriptor(file.into())
    }
}

impl From<OwnedFd> for Stdio {
    fn from(descriptor: OwnedFd) -> Stdio {
        Stdio::Descriptor(descriptor)
    }
}

/// The session and process group the child starts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Session {
    /// The caller's.
    #[default]
    Same,
    /// The caller's session, but a process group of its own.
    NewGroup,
    /// A session of its own, without a terminal.
    New,
}

/// A program to be started.
#[derive(Debug, Default)]
pub struct Launch {
    /// A path, or a name without '/' that is looked for in the PATH of `environment`.
    pub program: OsString,
    /// The whole argument vector, its first entry included, which need not be the program's name.
    pub arguments: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// The caller's working directory where it is not given.
    pub directory: Option<PathBuf>,
    pub stdin: Stdio,
    pub stdout: Stdio,
    pub stderr: Stdio,
    pub session: Session,
    /// Standard input is a terminal, and becomes the controlling one; it needs [`Session::New`].
    pub controls_terminal: bool,
    /// Left alone where it is that of the caller already.
    pub identity: Option<Identity>,
    pub limits: Vec<Limit>,
    pub no_new_privileges: bool,
    /// Descriptors the child gets under the numbers they have here (3 or more). All others are closed.
    pub keep: Vec<OwnedFd>,
    /// The child shares the memory of this process until it executes, which saves much where this process is large. The
    /// kernel counts who waits for it as load: so it is for children that are let go on soon. Without effect on one that
    /// changes its user, who could reach into this process.
    pub shares_memory: bool,
}

impl Launch {
    pub fn new(program: impl Into<OsString>) -> Launch {
        let program = program.into();
        Launch { arguments: vec![program.clone()], program, ..Launch::default() }
    }

    /// `sh -c command`.
    pub fn shell(command: impl Into<OsString>) -> Launch {
        let mut launch = Launch::new("sh");
        launch.arguments.extend([OsString::from("-c"), command.into()]);
        launch
    }

    pub fn argument(mut self, argument: impl Into<OsString>) -> Launch {
        self.arguments.push(argument.into());
        self
    }

    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Launch {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it. When this answers with a process, the program has been executed; it is the caller's to reap.
    pub fn start(self) -> Result<Pid, SpawnError> {
        self.start_when(|_| Ok(()))
    }

    /// Starts it, but executes the program only when `ready` has seen its process and agrees. If the caller's process
    /// ends before that, the child ends as well.
    pub fn start_when(self, ready: impl FnOnce(Pid) -> io::Result<()>) -> Result<Pid, SpawnError> {
        let program = self.program.to_string_lossy().into_owned();
        let (reading, gate, mut plan) = Plan::new(&self)?;
        let started = if plan.may_share_memory() {
            // A thread of its own, as it stands still until the child has executed.
            let fork = |source| SpawnError::Fork { program: program.clone(), source };
            std::thread::scope(|scope| {
                let starter = std::thread::Builder::new().name("starter".into()).stack_size(THREAD_BYTES);
                let starter = starter.spawn_scoped(scope, move || plan.start_in_memory()).map_err(fork)?;
                let followed = follow(reading, gate, ready);
                match starter.join() {
                    Ok(Ok(pid)) => Ok((pid, followed)),
                    Ok(Err(source)) => Err(fork(source)),
                    Err(_) => Err(fork(io::Error::other("its thread panicked"))),
                }
            })?
        } else {
            let answer = plan.fork();
            let pid = answer.map_err(|source| SpawnError::Fork { program: program.clone(), source })?;
            // Closes this side's copy of the writing end, so that reading it ends when the child executes.
            drop(plan);
            (pid, follow(reading, gate, ready))
        };
        let (pid, followed) = started;
        let error = match followed {
            Followed::Started => return Ok(pid),
            Followed::Failed(step, code) => {
                let step = STEPS.get(usize::from(step)).copied().unwrap_or(Step::Execute);
                SpawnError::Step { program, step, source: io::Error::from_raw_os_error(code) }
            }
            Followed::Held(source) => SpawnError::Held { program, source },
            Followed::Silent => {
                let source = io::Error::other("the child ended before it said anything");
                SpawnError::Fork { program, source }
            }
        };
        // It is ending, and reaped here, for the caller never learns of it.
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        {}
        Err(error)
    }
}

/// What became of a child.
enum Followed {
    /// The program was executed.
    Started,
    /// A step failed, with an error number.
    Failed(u8, i32),
    /// It was not let go on.
    Held(io::Error),
    /// Nothing was heard: it was killed at once, or never was.
    Silent,
}

/// Hears the number of the child, lets it go on, and waits until it has executed or failed.
fn follow(mut reading: File, mut gate: File, ready: impl FnOnce(Pid) -> io::Result<()>) -> Followed {
    let mut number = [0u8; 4];
    if read_all(&mut reading, &mut number) < number.len() {
        return Followed::Silent;
    }
    let Some(pid) = Pid::from_raw(i32::from_ne_bytes(number)) else { return Followed::Silent };
    let agreed = ready(pid).and_then(|()| gate.write_all(&[GO]));
    drop(gate);
    let mut report = [0u8; REPORT_BYTES];
    if read_all(&mut reading, &mut report) == REPORT_BYTES {
        let code = i32::from_ne_bytes([report[1], report[2], report[3], report[4]]);
        return Followed::Failed(report[0], code);
    }
    match agreed {
        Ok(()) => Followed::Started,
        Err(error) => Followed::Held(error),
    }
}

/// How many bytes there were.
fn read_all(file: &mut File, buffer: &mut [u8]) -> usize {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    length
}
