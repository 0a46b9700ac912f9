//! A child from fork to exec: what it needs, made before, and what it does, which allocates nothing and takes no lock.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use rustix::process::Pid;

use super::{Launch, Session, SpawnError, Stdio, Step};
use crate::limits::Limit;
use crate::users::Identity;

/// Where programs are looked for when the environment given to the child has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The stack of the thread that starts a child, and that of the child until it executes.
pub(super) const THREAD_BYTES: usize = 64 * 1024;

/// The byte that lets the child go on.
pub(super) const GO: u8 = 1;

/// How often a child that is held looks whether its parent is there: another child, forked at the same time, may have
/// the other end of its pipe as well, so that the end of the parent alone does not show there.
const PARENT_LOOK_MILLISECONDS: libc::c_int = 200;

/// The child's report of a failure: the step, and the error number.
pub(super) const REPORT_BYTES: usize = 5;

/// All a child needs, made before the fork so that it allocates nothing. The strings are owned here; the vectors of
/// pointers point into them and end with a null.
pub(super) struct Plan {
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
    no_new_privileges: bool,
    shares_memory: bool,
    keep: Vec<RawFd>,
    /// From the first to the last number: what the child has no need of.
    unneeded: Vec<(RawFd, RawFd)>,
    /// No descriptor of this process has a higher number. Needed where the kernel closes no ranges.
    highest: RawFd,
    report: OwnedFd,
    /// The child goes on when something is read here; it has closed its copy of the other end.
    gate: OwnedFd,
    parent: libc::pid_t,
}

// SAFETY: the pointers are to strings that it owns itself, and go where these go.
unsafe impl Send for Plan {}

impl Plan {
    pub(super) fn new(launch: &Launch) -> Result<(File, File, Plan), SpawnError> {
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
            no_new_privileges: launch.no_new_privileges,
            shares_memory: launch.shares_memory,
            unneeded: between(&[&keep[..], &[report.as_raw_fd(), gate.as_raw_fd()]].concat()),
            keep,
            highest: if closes_ranges() { 0 } else { highest_descriptor().map_err(prepare)? },
            report,
            gate,
            parent: rustix::process::getpid().as_raw_nonzero().get(),
        };
        Ok((File::from(reading), File::from(letting_go), plan))
    }

    /// As long as nothing makes the child less trusted than this process.
    pub(super) fn may_share_memory(&self) -> bool {
        self.shares_memory && self.identity.is_none() && ends_alone()
    }

    /// Starts the child in the memory of this process; this thread stands still until it has executed or ended.
    pub(super) fn start_in_memory(&mut self) -> io::Result<Pid> {
        extern "C" fn run(plan: *mut libc::c_void) -> libc::c_int {
            // SAFETY: the plan of `start_in_memory`, whose thread stands still and touches nothing of it. This is the one thread
            // of the child, and all it calls is safe in a child that shares the memory of its parent: it allocates
            // nothing, takes no lock and writes to nothing but its stack, the plan and the errno of the thread that waits.
            unsafe { (*plan.cast::<Plan>()).child() }
        }
        // Pages of its own, of which the lowest is never touched.
        let mut stack = vec![0u128; THREAD_BYTES / size_of::<u128>()];
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset fills `all` in. No handler of this program may run in the child, and this thread ends soon,
        // so its mask need not be as before. The stack is aligned and stays until the child has left it.
        let pid = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
            let top = stack.as_mut_ptr_range().end;
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            libc::clone(run, top.cast(), flags, ptr::from_mut(self).cast())
        };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::Other))
    }

    pub(super) fn fork(&mut self) -> io::Result<Pid> {
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
            let me = libc::getpid().to_ne_bytes();
            libc::write(self.report.as_raw_fd(), me.as_ptr().cast(), me.len());
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

/// Whether a process that ends with a dump leaves those alone that share its memory: from Linux 5.16 on.
fn ends_alone() -> bool {
    static ALONE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ALONE.get_or_init(|| {
        let system = rustix::system::uname();
        is_since(&system.release().to_string_lossy(), (5, 16))
    })
}

/// Whether a release of the kernel, such as `6.1.0-18-amd64`, is this version or a later one.
fn is_since(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|sign: char| !sign.is_ascii_digit()).map(|number| number.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= version,
        _ => false,
    }
}

/// Whether the kernel is 5.9 or newer.
fn closes_ranges() -> bool {
    static CLOSES: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    // SAFETY: no descriptor has such a number, so none is closed.
    *CLOSES.get_or_init(|| unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_the_kernel_are_compared_by_their_numbers() {
        for release in ["5.16.0", "5.16-rc1", "6.1.0-18-amd64", "10.0"] {
            assert!(is_since(release, (5, 16)), "{release}");
        }
        for release in ["5.15.99", "5.9.0", "4.20", "5", "", "linux"] {
            assert!(!is_since(release, (5, 16)), "{release}");
        }
    }
}
