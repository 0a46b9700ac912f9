//! Processes of containers: when the first one ends, what belongs to it, and how all of it is killed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use messor_linux::killtree::{self, Tree};
use messor_linux::{Exit, Pid, Signal, procfs, wait};
use messor_types::ContainerId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::entry::Entry;
use crate::fault::Amid;
use crate::launcher::Launcher;
use crate::sandbox;

/// How often a process is looked at where the kernel has no descriptors of processes (before 5.3).
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long the end of killed processes is waited for; one that hangs in the kernel is left behind with a warning.
const DEATH_TIMEOUT: Duration = Duration::from_secs(5);
/// And that of a first process, without which there is no end of its container.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Kills all that there is of a container, waits until it is gone, and notes how its first process ended. The status is
/// that of a child; another's is known where its launcher noted it.
pub(crate) async fn kill_all(entry: &Entry, work_dir: &Path, launcher: &Launcher) -> io::Result<Option<i32>> {
    let held = {
        let mut state = entry.state();
        // Its streams end with its processes.
        state.complaints = None;
        state.held.take()
    };
    if let Some(held) = held {
        // Its number is free again after this.
        held.abandon().await;
        entry.state().pid = None;
    }
    let had_group = match launcher {
        Launcher::Linux(linux) => linux.end(&entry.id).await?,
        Launcher::Posix => false,
    };
    let pid = entry.state().pid;
    let is_over = |pid: i32| procfs::process(pid).map(|found| found.is_none_or(|found| found.is_zombie()));
    Amid::Killed.pass(entry.kind);
    if let Some(pid) = pid {
        if !is_over(pid)? {
            kill(vec![pid]).await;
        }
        match tokio::time::timeout(END_TIMEOUT, ended(pid)).await {
            Ok(result) => result?,
            Err(_) => {
                let words = format!("process {pid} was killed and is still there after {END_TIMEOUT:?}");
                return Err(io::Error::other(words));
            }
        }
    }
    if let (Launcher::Linux(linux), Some(pid)) = (launcher, pid) {
        // Then its status is noted.
        linux.told(pid).await;
    }
    // A child is not reaped yet, so its number still is its own and names the group and session it led for certain. The
    // number of another's child may have been given anew; then nothing that it names is of this container. What another
    // launcher began has no group of processes that the kernel keeps: there its tree is looked for.
    let mut roots = orphans(work_dir, &entry.id).await?;
    if let Some(pid) = pid
        && !had_group
        && is_over(pid)?
    {
        roots.push(pid);
    }
    if !roots.is_empty() {
        kill(roots).await;
    }
    let exit = pid.map(reap).transpose()?.flatten();
    if let Some(exit) = exit {
        entry.runtime.note_status(exit);
    }
    entry.state().pid = None;
    Ok(exit.map(Exit::to_wait_status).or_else(|| entry.runtime.status()))
}

/// How a child ended that has; None: it is no child of this process, or nobody knows.
pub(crate) fn reap(pid: i32) -> io::Result<Option<Exit>> {
    match Pid::from_raw(pid).map(wait::try_wait) {
        Some(Ok(exit)) => Ok(exit),
        // Not a child of this agent: recovered from the one before.
        Some(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::CHILD.raw_os_error()) => Ok(None),
        Some(Err(error)) => Err(error),
        None => Ok(None),
    }
}

/// What is left of a container without its first process: a task whose executor was killed, what made a session of its
/// own.
async fn orphans(work_dir: &Path, container: &ContainerId) -> io::Result<Vec<i32>> {
    let (work_dir, container) = (work_dir.to_path_buf(), container.clone());
    let lost = blocking(move || -> io::Result<Vec<i32>> {
        let lost = lost_processes(&work_dir)?;
        Ok(lost.into_iter().filter(|lost| lost.is_of(&container)).map(|lost| lost.pid).collect())
    });
    lost.await.map_err(io::Error::other)?
}

/// A process without a parent of its own, with the container whose sandbox it was started with.
pub(crate) struct Lost {
    pub pid: i32,
    /// The outermost container.
    pub root: String,
    pub standalone: bool,
    /// The path of the sandbox below that of the root.
    below: String,
}

impl Lost {
    pub fn is_of(&self, container: &ContainerId) -> bool {
        self.root == container.root().value()
            && Path::new(&self.below).starts_with(sandbox::nested_path(Path::new(""), container))
    }

    fn parse(pid: i32, path: &str) -> Option<Lost> {
        let parts: Vec<&str> = path.split('/').collect();
        let (standalone, root, below) = match parts[..] {
            ["slaves", _, "frameworks", _, "executors", _, "runs", root, ..] => (false, root, &parts[8..]),
            ["containers", root, ..] => (true, root, &parts[2..]),
            _ => return None,
        };
        Some(Lost { pid, root: root.to_string(), standalone, below: below.join("/") })
    }
}

/// (A task can hide from that; control groups will find it.)
pub(crate) fn lost_processes(work_dir: &Path) -> io::Result<Vec<Lost>> {
    let mut begin = b"MESOS_SANDBOX=".to_vec();
    begin.extend(work_dir.as_os_str().as_bytes());
    begin.push(b'/');
    let found = procfs::adopted(|variable| {
        Lost::parse(0, std::str::from_utf8(variable.strip_prefix(begin.as_slice())?).ok()?)
    })?;
    Ok(found.into_iter().map(|(pid, lost)| Lost { pid, ..lost }).collect())
}

/// How the end of a process is heard of.
enum Ending {
    /// There is none of this number.
    Over,
    /// By the kernel, whose descriptor stands for this process and for no successor of its number.
    Told(AsyncFd<OwnedFd>),
    /// The kernel has no descriptors of processes.
    Looked(i32),
}

impl Ending {
    fn of(pid: i32) -> io::Result<Ending> {
        let Some(number) = Pid::from_raw(pid) else { return Ok(Ending::Over) };
        match wait::pid_descriptor(number) {
            Ok(descriptor) => {
                // Its successor is the same but for `unsafe`, which asks for what an OwnedFd is: a descriptor that stays.
                #[expect(deprecated, reason = "unsafe is for messor-linux, which has no runtime")]
                let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
                Ok(Ending::Told(descriptor))
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Ok(Ending::Over)
            }
            Err(_) => Ok(Ending::Looked(pid)),
        }
    }

    async fn wait(self) -> io::Result<()> {
        match self {
            Ending::Over => {}
            Ending::Told(descriptor) => drop(descriptor.readable().await?),
            Ending::Looked(pid) => {
                while procfs::process(pid)?.is_some_and(|process| !process.is_zombie()) {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
        }
        Ok(())
    }
}

/// Waits until a process has ended.
pub(crate) async fn ended(pid: i32) -> io::Result<()> {
    Ending::of(pid)?.wait().await
}

/// Kills the tree and waits until its members are gone.
pub(crate) async fn kill(roots: Vec<i32>) {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let tree = Tree { roots: roots.clone(), spared: vec![me] };
    let killed = blocking(move || killtree::kill_tree(&mut killtree::Kernel, &tree, Signal::KILL)).await;
    let members = match killed {
        Ok(Ok(members)) => members,
        Ok(Err(error)) => return tracing::error!("Processes of the tree of {roots:?} may be left: {error}"),
        Err(error) => return tracing::error!("Processes of the tree of {roots:?} may be left: {error}"),
    };
    if !members.is_empty() {
        tracing::info!("Killed {}", killtree::describe(&members));
    }
    let gone = async {
        for member in &members {
            if let Err(error) = left(member).await {
                tracing::warn!("Process {} cannot be waited for: {error}", member.pid);
            }
        }
    };
    if tokio::time::timeout(DEATH_TIMEOUT, gone).await.is_err() {
        tracing::warn!("Still there after {DEATH_TIMEOUT:?}: some of {}", killtree::describe(&members));
    }
}

/// Waits until a process that was seen is no more.
async fn left(member: &procfs::Process) -> io::Result<()> {
    let ending = Ending::of(member.pid)?;
    // The number may be another's by now.
    let found = procfs::process(member.pid)?;
    let is_there = found.is_some_and(|found| found.start_ticks == member.start_ticks && !found.is_zombie());
    if is_there { ending.wait().await } else { Ok(()) }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_processes_are_known_by_their_sandbox() {
        let top = ContainerId::new("c");
        let nested = ContainerId::nested(&top, "n");
        let run = "slaves/S/frameworks/F/executors/runs/runs/c";
        let lost = Lost::parse(1, run).unwrap();
        assert!(lost.is_of(&top) && !lost.is_of(&nested) && !lost.is_of(&ContainerId::new("d")));
        let lost = Lost::parse(1, &format!("{run}/containers/n")).unwrap();
        assert!(lost.is_of(&top) && lost.is_of(&nested) && !lost.is_of(&ContainerId::nested(&top, "m")));
        let lost = Lost::parse(1, "containers/c/containers/n/containers/d").unwrap();
        assert!(lost.standalone && lost.is_of(&top) && lost.is_of(&nested));
        assert!(!Lost::parse(1, &format!("{run}/containers/nn")).unwrap().is_of(&nested));
        assert!(Lost::parse(1, "slaves/S/elsewhere").is_none() && Lost::parse(1, "").is_none());
    }
}
