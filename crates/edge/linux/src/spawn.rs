//! Starting a program: exactly this program, arguments, environment, descriptors and user, and an exact error when it
//! could not be started.
//!
//! Between fork and exec the child makes async-signal-safe system calls only; whatever they need is prepared before.
//! The rejected alternative, std::process::Command with pre_exec, allocates in places, inherits signal dispositions and
//! does not say which step failed.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::process::{Pid, Signal};

use crate::limits::Limit;
use crate::users::Identity;

/// Where programs are looked for when the environment given to the child has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    ParentDeath,
    NoNewPrivileges,
    Execute,
    Terminal,
}

const STEPS: [Step; 11] = [
    Step::NewSession,
    Step::Limits,
    Step::Descriptors,
    Step::Directory,
    Step::Groups,
    Step::Group,
    Step::User,
    Step::ParentDeath,
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
            Step::ParentDeath => "tie to its parent",
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
    /// Sent to the child when the calling thread ends.
    pub parent_death_signal: Option<Signal>,
    pub no_new_privileges: bool,
    /// Descriptors the child gets under the numbers they have here (3 or more). All others are closed.
    pub keep: Vec<OwnedFd>,
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
        let (mut reading, gate, mut plan) = Plan::new(&self)?;
        let answer = plan.fork();
        let pid = answer.map_err(|source| SpawnError::Fork { program: program.clone(), source })?;
        // Closes this side's copy of the writing end, so that reading it ends when the child executes.
        drop(plan);
        let agreed = ready(pid).and_then(|()| {
            let mut gate = gate;
            gate.write_all(&[GO])
        });
        let mut report = [0u8; REPORT_BYTES];
        let mut length = 0;
        while length < REPORT_BYTES {
            match reading.read(&mut report[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if length < REPORT_BYTES && agreed.is_ok() {
            return Ok(pid);
        }
        // The child is ending: it is reaped here, for the caller never learns of it.
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        {}
        if length == REPORT_BYTES {
            let code = i32::from_ne_bytes([report[1], report[2], report[3], report[4]]);
            let step = STEPS.get(usize::from(report[0])).copied().unwrap_or(Step::Execute);
            return Err(SpawnError::Step { program, step, source: io::Error::from_raw_os_error(code) });
        }
        match agreed {
            Err(source) => Err(SpawnError::Held { program, source }),
            Ok(()) => Ok(pid),
        }
    }
}

/// The byte that lets the child go on.
const GO: u8 = 1;

/// How often a child that is held looks whether its parent is there: another child, forked at the same time, may have
/// the other end of its pipe as well, so that the end of the parent alone does not show there.
const PARENT_LOOK_MILLISECONDS: libc::c_int = 200;

/// The child's report of a failure: the step, and the error number.
const REPORT_BYTES: usize = 5;

/// All a child needs, made before the fork so that it allocates nothing. The strings are owned here; the vectors of
/// pointers point into them and end with a null.
struct Plan {
    _strings: Vec<CString>,
    programs: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    /// `/bin/sh PROGRAM ARGUMENTS...`, for a script without an interpreter line; slot 1 is filled in by the child.
    script: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    directory: Option<CString>,
    /// Copies of the three standard descriptors, all 3 or more, so that moving one never overwrites another.
    standard: [OwnedFd; 3],
    session: Session,
    controls_terminal: bool,
    identity: Option<Identity>,
    limits: Vec<Limit>,
    parent_death_signal: Option<Signal>,
    no_new_privileges: bool,
    keep: Vec<RawFd>,
    /// From the first to the last number: what the child has no need of.
    unneeded: Vec<(RawFd, RawFd)>,
    /// No descriptor of this process has a higher number.
    highest: RawFd,
    report: OwnedFd,
    /// The child goes on when something is read here; it has closed its copy of the other end.
    gate: OwnedFd,
    parent: libc::pid_t,
}

impl Plan {
    fn new(launch: &Launch) -> Result<(File, File, Plan), SpawnError> {
        let program = launch.program.to_string_lossy().into_owned();
        let prepare = |source: io::Error| SpawnError::Prepare { program: program.clone(), source };

        let programs = candidates(launch)?;
        let mut strings = Vec::with_capacity(launch.arguments.len() + launch.environment.len() + 1);
        let shell = string(OsStr::new("/bin/sh"), "name")?;
        let shell_pointer = shell.as_ptr();
        strings.push(shell);
        let mut arguments = Vec::with_capacity(launch.arguments.len() + 1);
        for argument in &launch.arguments {
            let argument = string(argument, "argument list")?;
            arguments.push(argument.as_ptr());
            strings.push(argument);
        }
        let mut script = vec![shell_pointer, ptr::null()];
        script.extend(arguments.iter().skip(1));
        script.push(ptr::null());
        arguments.push(ptr::null());
        let mut environment = Vec::with_capacity(launch.environment.len() + 1);
        for (name, value) in &launch.environment {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(SpawnError::VariableName(name.to_string_lossy().into_owned()));
            }
            let mut pair = name.clone();
            pair.push("=");
            pair.push(value);
            let pair = string(&pair, "environment")?;
            environment.push(pair.as_ptr());
            strings.push(pair);
        }
        environment.push(ptr::null());
        let directory = match &launch.directory {
            Some(directory) => Some(string(directory.as_os_str(), "working directory")?),
            None => None,
        };

        let standard = [
            standard(&launch.stdin, 0, false).map_err(prepare)?,
            standard(&launch.stdout, 1, true).map_err(prepare)?,
            standard(&launch.stderr, 2, true).map_err(prepare)?,
        ];
        let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| prepare(error.into()))?;
        let report = rustix::io::fcntl_dupfd_cloexec(&writing, 3).map_err(|error| prepare(error.into()))?;
        let (held, letting_go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| prepare(error.into()))?;
        let gate = rustix::io::fcntl_dupfd_cloexec(&held, 3).map_err(|error| prepare(error.into()))?;
        let letting_go =
            rustix::io::fcntl_dupfd_cloexec(&letting_go, 3).map_err(|error| prepare(error.into()))?;
        let me = rustix::process::geteuid().as_raw();
        let keep: Vec<RawFd> = launch.keep.iter().map(AsRawFd::as_raw_fd).collect();
        if keep.iter().any(|descriptor| *descriptor < 3) {
            return Err(prepare(io::Error::from(io::ErrorKind::InvalidInput)));
        }
        let plan = Plan {
            _strings: strings,
            programs,
            arguments,
            script,
            environment,
            directory,
            standard,
            session: launch.session,
            controls_terminal: launch.controls_terminal,
            identity: launch.identity.clone().filter(|identity| identity.uid != me),
            limits: launch.limits.clone(),
            parent_death_signal: launch.parent_death_signal,
            no_new_privileges: launch.no_new_privileges,
            unneeded: between(&[&keep[..], &[report.as_raw_fd(), gate.as_raw_fd()]].concat()),
            keep,
            highest: highest_descriptor().map_err(prepare)?,
            report,
            gate,
            parent: rustix::process::getpid().as_raw_nonzero().get(),
        };
        Ok((File::from(reading), File::from(letting_go), plan))
    }

    fn fork(&mut self) -> io::Result<Pid> {
        // No handler of this program may run in the child before the child has put them all back to the default.
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset fills `all` in, pthread_sigmask fills `before` in; both are read only after that. The child
        // branch calls nothing but `child`, which keeps to async-signal-safe calls and never returns.
        let pid = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            let pid = libc::fork();
            if pid == 0 {
                self.child();
            }
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
            if pid < 0 {
                return Err(error);
            }
            pid
        };
        Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::Other))
    }

    /// The child, from fork to exec.
    ///
    /// # Safety
    /// Only for the one thread of a process just forked: it never returns, and makes async-signal-safe calls only.
    unsafe fn child(&mut self) -> ! {
        // SAFETY: plain system calls, with pointers to strings, arrays and structures that `self` owns.
        unsafe {
            // The bare system call: the C library's refuses the two signals it keeps for itself, and those too may
            // have been inherited as ignored. All zero is the default action, no flags and an empty mask.
            let default = [0u64; 4];
            for signal in 1..=64 {
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<u64>(), 8);
            }
            let session = match self.session {
                Session::Same => 0,
                Session::NewGroup => libc::setpgid(0, 0),
                Session::New => libc::setsid(),
            };
            self.check(session >= 0, Step::NewSession);
            for limit in &self.limits {
                let value = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
                self.check(libc::setrlimit(limit.resource, &value) == 0, Step::Limits);
            }
            for (number, descriptor) in (0..).zip(&self.standard) {
                self.check(libc::dup2(descriptor.as_raw_fd(), number) >= 0, Step::Descriptors);
            }
            if self.controls_terminal {
                self.check(libc::ioctl(0, libc::TIOCSCTTY, 0) == 0, Step::Terminal);
            }
            self.close_others();
            if let Some(directory) = &self.directory {
                self.check(libc::chdir(directory.as_ptr()) == 0, Step::Directory);
            }
            if let Some(identity) = &self.identity {
                // The bare system calls: the C library's would look for other threads to change as well.
                let groups = identity.groups.as_ptr();
                let answer = libc::syscall(libc::SYS_setgroups, identity.groups.len(), groups);
                self.check(answer == 0, Step::Groups);
                let gid = identity.gid;
                self.check(libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0, Step::Group);
                let uid = identity.uid;
                self.check(libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0, Step::User);
            }
            // After the change of user, which forgets it.
            if let Some(signal) = self.parent_death_signal {
                self.check(libc::prctl(libc::PR_SET_PDEATHSIG, signal.as_raw()) == 0, Step::ParentDeath);
                if libc::getppid() != self.parent {
                    libc::_exit(127);
                }
            }
            if self.no_new_privileges {
                let answer = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                self.check(answer == 0, Step::NoNewPrivileges);
            }
            self.wait_for_go();
            let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
            self.execute()
        }
    }

    /// Waits until the parent lets this child go on, and ends it when the parent does not or is gone.
    ///
    /// # Safety
    /// As of [`Plan::child`].
    unsafe fn wait_for_go(&self) {
        // SAFETY: system calls with numbers, and pointers to what lies on this stack.
        unsafe {
            let mut awaited = libc::pollfd { fd: self.gate.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            loop {
                let ready = libc::poll(&mut awaited, 1, PARENT_LOOK_MILLISECONDS);
                if ready > 0 {
                    let mut byte = 0u8;
                    if libc::read(self.gate.as_raw_fd(), (&raw mut byte).cast(), 1) != 1 || byte != GO {
                        libc::_exit(127);
                    }
                    return;
                }
                if libc::getppid() != self.parent {
                    libc::_exit(127);
                }
            }
        }
    }

    /// Closes every descriptor from 3 on but those that are needed: while it waits, this process must not keep another's
    /// pipe open.
    ///
    /// # Safety
    /// As of [`Plan::child`].
    unsafe fn close_others(&self) {
        // SAFETY: system calls on numbers.
        unsafe {
            for (first, last) in &self.unneeded {
                let closed = libc::syscall(libc::SYS_close_range, *first, *last, 0);
                if closed != 0 {
                    // A kernel before 5.9.
                    for descriptor in *first..=(*last).min(self.highest) {
                        libc::close(descriptor);
                    }
                }
            }
            for descriptor in &self.keep {
                self.check(libc::fcntl(*descriptor, libc::F_SETFD, 0) == 0, Step::Descriptors);
            }
        }
    }

    /// Executes the first candidate that can be, as execvpe(3) chooses.
    ///
    /// # Safety
    /// As of [`Plan::child`].
    unsafe fn execute(&mut self) -> ! {
        // SAFETY: each vector of pointers ends with a null and points to strings owned by `self`.
        unsafe {
            let mut answer = libc::ENOENT;
            for program in &self.programs {
                libc::execve(program.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr());
                let mut error = *libc::__errno_location();
                if error == libc::ENOEXEC {
                    self.script[1] = program.as_ptr();
                    libc::execve(self.script[0], self.script.as_ptr(), self.environment.as_ptr());
                    error = *libc::__errno_location();
                }
                match error {
                    // Not there; a candidate that was there and could not be executed is the better error.
                    libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                    libc::EACCES => answer = error,
                    _ => {
                        answer = error;
                        break;
                    }
                }
            }
            self.fail(Step::Execute, answer)
        }
    }

    /// # Safety
    /// As of [`Plan::child`].
    unsafe fn check(&self, good: bool, step: Step) {
        if !good {
            // SAFETY: errno of this thread, and the caller's promise.
            unsafe { self.fail(step, *libc::__errno_location()) }
        }
    }

    /// Reports the failure to the parent and ends the child.
    ///
    /// # Safety
    /// As of [`Plan::child`].
    unsafe fn fail(&self, step: Step, code: i32) -> ! {
        let code = code.to_ne_bytes();
        let report = [step as u8, code[0], code[1], code[2], code[3]];
        // SAFETY: the buffer is as long as is said; a pipe takes so few bytes at once.
        unsafe {
            libc::write(self.report.as_raw_fd(), report.as_ptr().cast(), REPORT_BYTES);
            libc::_exit(127)
        }
    }
}

/// The paths to try for the program, in order.
fn candidates(launch: &Launch) -> Result<Vec<CString>, SpawnError> {
    if launch.program.as_bytes().contains(&b'/') {
        return Ok(vec![string(&launch.program, "name")?]);
    }
    if launch.program.is_empty() {
        return Ok(Vec::new());
    }
    let path =
        launch.environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let mut found = Vec::new();
    for directory in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        found.push(string(directory.join(&launch.program).as_os_str(), "name")?);
    }
    Ok(found)
}

fn string(text: &OsStr, what: &'static str) -> Result<CString, SpawnError> {
    CString::new(text.as_bytes()).map_err(|_| SpawnError::Nul(what))
}

/// A copy, numbered 3 or more, of what is to be the descriptor `number` of the child.
fn standard(stdio: &Stdio, number: RawFd, write: bool) -> io::Result<OwnedFd> {
    let null = || std::fs::OpenOptions::new().read(!write).write(write).open("/dev/null");
    let copy = |descriptor: RawFd| {
        // SAFETY: descriptors 0 to 2 are this process's own by convention and are only borrowed for the call, which
        // answers with an error where one is not open.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
        rustix::io::fcntl_dupfd_cloexec(borrowed, 3).map_err(io::Error::from)
    };
    match stdio {
        Stdio::Descriptor(descriptor) => copy(descriptor.as_raw_fd()),
        Stdio::Null => copy(null()?.as_raw_fd()),
        Stdio::Inherit => match copy(number) {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => copy(null()?.as_raw_fd()),
            answer => answer,
        },
    }
}

/// The numbers from 3 on between these.
fn between(needed: &[RawFd]) -> Vec<(RawFd, RawFd)> {
    let mut needed = needed.to_vec();
    needed.sort_unstable();
    let mut first = 3;
    let mut all = Vec::new();
    for number in needed.into_iter().chain([RawFd::MAX]) {
        if first < number {
            all.push((first, number - 1));
        }
        first = number.saturating_add(1).max(first);
    }
    all
}

/// The highest number of an open descriptor of this process.
fn highest_descriptor() -> io::Result<RawFd> {
    let mut highest = 3;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.parse().ok()) {
            highest = highest.max(number);
        }
    }
    Ok(highest)
}
