//! Forking a process into new namespaces, and following it until its program runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Pid;
use rustix::thread::LinkNameSpaceType;

use super::child;
use super::error::{StartError, Step};
use super::mounting::{self, at};
use super::process::{Namespaces, Process};
use super::report::{Progress, Reports};
use crate::Exit;
use crate::poll::{PollFd, PollFlags, poll};

/// The byte that lets a process go on.
pub(super) const GO: u8 = 1;

/// A process forked by [`Process::fork`]. It ends when this is dropped before it was let go on.
#[derive(Debug)]
pub struct Forked {
    pid: Pid,
    gate: Option<File>,
    reports: Reports,
    status: Option<Status>,
}

/// Where the init of a new PID namespace tells how the program ended, as it cannot end in the same way.
#[derive(Debug)]
pub struct Status(File);

impl Status {
    /// How the program ended, if its init, which ended so itself, said it.
    pub fn exit(mut self, init: Exit) -> Exit {
        let mut word = [0; 4];
        match self.0.read_exact(&mut word) {
            Ok(()) => Exit::from_wait_status(i32::from_ne_bytes(word)).unwrap_or(init),
            Err(_) => init,
        }
    }
}

impl Forked {
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it go on, once it is ready.
    pub fn let_go(&mut self) -> io::Result<()> {
        match self.gate.take() {
            Some(mut gate) => gate.write_all(&[GO]),
            None => Ok(()),
        }
    }

    /// Does not block; there may be something new when this is readable.
    pub fn progress(&mut self) -> io::Result<Progress> {
        self.reports.read()
    }

    /// Once its program runs.
    pub fn into_status(self) -> Option<Status> {
        self.status
    }
}

impl AsFd for Forked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }
}

impl Process {
    /// Forks the process. It goes into its cgroups and namespaces, says that it is ready, and waits.
    ///
    /// The calling process must have one thread only, as the new one runs ordinary code.
    pub fn fork(&self) -> Result<Forked, StartError> {
        self.check()?;
        if !has_one_thread().map_err(at(Step::Prepare, "the list of own threads"))? {
            return Err(StartError::Wrong("a process with several threads cannot fork a container".into()));
        }
        let prepared = at(Step::Prepare, "the descriptors");
        let ends = Ends::new(self.clone.contains(Namespaces::PID)).map_err(prepared)?;
        let entered = match &self.enter {
            Some(enter) if enter.namespaces.contains(Namespaces::PID) => Some(enter.pid),
            _ => None,
        };
        let fork = || match (entered, self.clone.contains(Namespaces::PID)) {
            (Some(_), true) => through_another(|flags| self.fork_with(&ends, flags)),
            _ => self.fork_with(&ends, 0),
        };
        let pid = match entered {
            Some(target) => with_pid_namespace(target, fork)?,
            None => fork(),
        };
        let pid = pid.map_err(at(Step::Fork, self.program.display()))?;
        let reports = Reports::new(ends.reports).map_err(at(Step::Prepare, "the descriptors"))?;
        Ok(Forked {
            pid,
            gate: Some(ends.letting_go.into()),
            reports,
            status: ends.status.map(|(reading, _)| Status(reading.into())),
        })
    }

    /// Forks the process and lets it go on. Its program runs when this answers; the caller reaps it.
    pub fn start(&self) -> Result<(Pid, Option<Status>), StartError> {
        let mut forked = self.fork()?;
        let pid = forked.pid();
        let mut gone_on = false;
        let failed = loop {
            let waited = poll(&mut [PollFd::new(&forked, PollFlags::IN)], None);
            match waited.and_then(|_| forked.progress()) {
                Ok(Progress::Pending) => {}
                Ok(Progress::Ready) => {
                    // An error is told by the end of the reports.
                    let _ = forked.let_go();
                    gone_on = true;
                }
                Ok(Progress::Closed) if gone_on => return Ok((pid, forked.into_status())),
                Ok(Progress::Closed) => break None,
                Ok(Progress::Failed(error)) => break Some(error),
                Err(error) => break Some(at(Step::Prepare, self.program.display())(error)),
            }
        };
        drop(forked);
        let exit = crate::wait::wait(pid).map_err(at(Step::Prepare, self.program.display()))?;
        Err(failed.unwrap_or(StartError::Ended(exit)))
    }

    fn fork_with(&self, ends: &Ends, more_flags: libc::c_long) -> io::Result<Pid> {
        // The others are made by the process itself, later.
        let namespaces = self.clone.without(Namespaces::CGROUP).flags();
        match clone(libc::c_long::from(namespaces) | more_flags)? {
            Some(pid) => Ok(pid),
            None => child::run(
                self,
                child::Ends {
                    report: &ends.report,
                    gate: &ends.gate,
                    status: ends.status.as_ref().map(|(_, writing)| writing),
                },
            ),
        }
    }

    /// What can be known to be wrong before anything is done.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let wrong = |text: &str| Err(StartError::Wrong(text.into()));
        if self.program.is_empty() || self.arguments.is_empty() {
            return wrong("'program' and 'arguments' have to be there");
        }
        if self.keep.iter().any(|kept| kept.number < 3 || kept.number > KEPT_LIMIT) {
            return wrong("the number of a kept descriptor is below 3 or above 1023");
        }
        mounting::check(self)
    }
}

/// Kept descriptors have small numbers: those of the process itself are above them.
const KEPT_LIMIT: RawFd = 1023;

/// The ends of the pipes between the two.
struct Ends {
    reports: OwnedFd,
    report: OwnedFd,
    letting_go: OwnedFd,
    gate: OwnedFd,
    status: Option<(OwnedFd, OwnedFd)>,
}

impl Ends {
    fn new(with_status: bool) -> io::Result<Ends> {
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (reports, report) = pipe()?;
        let (gate, letting_go) = pipe()?;
        let status = with_status.then(pipe).transpose()?;
        Ok(Ends { reports, report, letting_go, gate, status })
    }
}

pub(super) fn has_one_thread() -> io::Result<bool> {
    // Two names of the directory itself, and one more for each thread.
    Ok(rustix::fs::stat(c"/proc/self/task")?.st_nlink == 3)
}

/// Runs `fork` so that what it forks is in the PID namespace of another process. The calling process itself stays where it is.
fn with_pid_namespace<T>(target: i32, fork: impl FnOnce() -> T) -> Result<T, StartError> {
    let entering = || at(Step::EnterPidNamespace, target);
    let own = File::open("/proc/self/ns/pid").map_err(entering())?;
    let theirs = File::open(format!("/proc/{target}/ns/pid")).map_err(entering())?;
    let enter = |namespace: &File| {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::ProcessID))
    };
    enter(&theirs).map_err(|error| entering()(error.into()))?;
    let answer = fork();
    if let Err(error) = enter(&own) {
        // Everything forked from now on would be in the wrong container; nobody may do that.
        eprintln!("cannot come back from the pid namespace of process {target}: {error}");
        std::process::abort();
    }
    Ok(answer)
}

/// A process cannot make a new PID namespace inside another one that it is not in itself. So a process in between does it,
/// which shares the descriptors of this one, and gives the new process to the parent of both, which is this one. The
/// descriptor of the new process tells its number here.
fn through_another(fork: impl FnOnce(libc::c_long) -> io::Result<Pid>) -> io::Result<Pid> {
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let Some(between) = clone(libc::c_long::from(libc::CLONE_FILES))? else {
        // Nothing is dropped here: the descriptors are those of the other process too.
        let flags = libc::c_long::from(libc::CLONE_PARENT | libc::CLONE_PIDFD);
        let found = match fork(flags) {
            Ok(_) => PID_DESCRIPTOR.load(Ordering::Relaxed),
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        };
        let _ = rustix::io::write(&writing, &found.to_ne_bytes());
        exit(0);
    };
    crate::wait::wait(between)?;
    drop(writing);
    let mut found = [0; 4];
    File::from(reading).read_exact(&mut found)?;
    let found = i32::from_ne_bytes(found);
    if found < 0 {
        return Err(io::Error::from_raw_os_error(-found));
    }
    // SAFETY: opened by the kernel for the process in between, in the table of descriptors of this process, where nobody else
    // knows of it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(found) };
    let described = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()))?;
    let pid = described.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Where the kernel puts the descriptor of a process that was asked for with CLONE_PIDFD.
static PID_DESCRIPTOR: AtomicI32 = AtomicI32::new(0);

/// fork(2) with flags of clone(2). None: this is the new process.
pub(super) fn clone(flags: libc::c_long) -> io::Result<Option<Pid>> {
    let flags = flags | libc::c_long::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM the new process has a copy of everything, on the same stack, as after fork(2); the caller's
    // process has one thread, so that no lock is held for ever in the copy. The number is written to with CLONE_PIDFD alone.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, PID_DESCRIPTOR.as_ptr(), 0, 0) };
    match i32::try_from(pid) {
        Ok(0) => Ok(None),
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends the calling process at once.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: it does not return, and runs no code of this process.
    unsafe { libc::_exit(code) }
}
