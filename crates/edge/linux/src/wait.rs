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
