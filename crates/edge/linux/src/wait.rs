//! Learning that children ended, without ever blocking. It must not know who they were.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, WaitOptions, WaitStatus};

use crate::Exit;

/// A child that ended and is now gone from the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    pub pid: Pid,
    pub exit: Exit,
}

/// Reaps this child if it has ended. Nothing: it still runs.
pub fn try_wait(pid: Pid) -> io::Result<Option<Exit>> {
    let found = retry(|| rustix::process::waitpid(Some(pid), WaitOptions::NOHANG))?;
    Ok(found.and_then(|(_, status)| decode(status)))
}

/// Reaps any one child that has ended, adopted ones included; for a program of one thread, to be called after a
/// SIGCHLD until it says nothing.
pub fn reap_any() -> io::Result<Option<Reaped>> {
    match retry(|| rustix::process::wait(WaitOptions::NOHANG)) {
        Ok(Some((pid, status))) => Ok(decode(status).map(|exit| Reaped { pid, exit })),
        Ok(None) => Ok(None),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits until this child has ended, and reaps it.
pub fn wait(pid: Pid) -> io::Result<Exit> {
    loop {
        if let Some((_, status)) = retry(|| rustix::process::waitpid(Some(pid), WaitOptions::empty()))?
            && let Some(exit) = decode(status)
        {
            return Ok(exit);
        }
    }
}

/// Any one child that has ended, which stays a zombie: until it is reaped, nobody else gets its number.
pub fn peek_any() -> io::Result<Option<Reaped>> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid siginfo to be written.
    while unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), how) } != 0 {
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(None),
            _ => return Err(error),
        }
    }
    // SAFETY: zeroed before and filled in by the kernel; of a child, which is what waitid tells of.
    let (pid, status, code) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_status(), info.si_code)
    };
    let exit = match code {
        libc::CLD_EXITED => Exit::Exited(status),
        code => Exit::Signalled { signal: status, core_dumped: code == libc::CLD_DUMPED },
    };
    Ok(Pid::from_raw(pid).map(|pid| Reaped { pid, exit }))
}

/// A descriptor that becomes readable when the process ends.
pub fn pid_descriptor(pid: Pid) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// Makes the calling process the one that gets orphans below it as its children, instead of init.
pub fn become_subreaper() -> io::Result<()> {
    let me = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(me))?)
}

fn decode(status: WaitStatus) -> Option<Exit> {
    Exit::from_wait_status(status.as_raw())
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            answer => return answer,
        }
    }
}
