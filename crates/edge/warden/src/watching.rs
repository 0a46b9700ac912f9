//! Watching processes that no warden tells of: those of a warden that ended.
//!
//! A process is not gone before whoever is its parent by now has reaped it: a warden notes the status of a child first. So its
//! status is read only after that.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::{Pid, procfs, wait};

use crate::client::{Shared, Watched};

/// How long a parent may take to reap a process that ended, and how often it is looked.
const REAPING_LIMIT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How often a process is looked at where the kernel has no descriptors of processes (before 5.3).
const OLD_KERNEL_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) struct Watcher {
    queue: Arc<Mutex<Queue>>,
    /// Readable when there is something in the queue, or nobody to watch for.
    wake: Arc<OwnedFd>,
}

#[derive(Default)]
struct Queue {
    added: Vec<(i32, Watched)>,
    has_thread: bool,
}

impl Watcher {
    pub fn new() -> io::Result<Watcher> {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let wake = Arc::new(rustix::event::eventfd(0, flags)?);
        Ok(Watcher { queue: Arc::default(), wake })
    }

    pub fn wake(&self) {
        // It is full only when it is readable anyway.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }

    /// Watches these too; the thread for it is started with the first of them.
    pub fn add(&self, shared: &Arc<Shared>, watched: Vec<(i32, Watched)>) -> io::Result<()> {
        if watched.is_empty() {
            return Ok(());
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.added.extend(watched);
        if !queue.has_thread {
            let (shared, wake, waiting) =
                (Arc::downgrade(shared), Arc::clone(&self.wake), Arc::clone(&self.queue));
            let thread = std::thread::Builder::new().name("warden-watch".into());
            thread.spawn(move || run(&shared, &wake, &waiting))?;
            queue.has_thread = true;
        }
        drop(queue);
        self.wake();
        Ok(())
    }
}

struct One {
    pid: i32,
    watched: Watched,
    /// None: an old kernel, or it ended already.
    descriptor: Option<OwnedFd>,
    ended: Option<Instant>,
}

impl One {
    fn new(pid: i32, watched: Watched) -> One {
        let descriptor = Pid::from_raw(pid).and_then(|pid| wait::pid_descriptor(pid).ok());
        One { pid, watched, descriptor, ended: None }
    }

    /// It is there, as a zombie at least, and it is not another process with the same number.
    fn state(&self) -> Option<procfs::Process> {
        let found = procfs::process(self.pid).ok().flatten();
        found.filter(|found| Some(found.start_ticks) == self.watched.start_ticks)
    }

    /// Nobody will note its status any more.
    fn is_over(&mut self) -> bool {
        match self.state() {
            None => true,
            Some(found) if found.is_zombie() => {
                self.ended.get_or_insert_with(Instant::now).elapsed() > REAPING_LIMIT
            }
            Some(_) => false,
        }
    }
}

fn run(shared: &Weak<Shared>, wake: &OwnedFd, queue: &Mutex<Queue>) {
    let mut ones: Vec<One> = Vec::new();
    loop {
        let mut buffer = [0; 8];
        let _ = rustix::io::read(wake, &mut buffer);
        let added = std::mem::take(&mut queue.lock().unwrap_or_else(PoisonError::into_inner).added);
        ones.extend(added.into_iter().map(|(pid, watched)| One::new(pid, watched)));
        let Some(alive) = shared.upgrade() else { return };
        for mut one in std::mem::take(&mut ones) {
            if one.is_over() {
                alive.ended_unseen(one.pid, one.watched);
            } else {
                ones.push(one);
            }
        }
        drop(alive);
        let timeout = if ones.iter().any(|one| one.ended.is_some()) {
            Some(LOOK_INTERVAL)
        } else if ones.iter().any(|one| one.descriptor.is_none()) {
            Some(OLD_KERNEL_INTERVAL)
        } else {
            None
        };
        let mut awaited = vec![PollFd::new(wake, PollFlags::IN)];
        // Of those that ended there is nothing more to hear.
        let living = ones.iter().filter(|one| one.ended.is_none());
        awaited.extend(living.filter_map(|one| Some(PollFd::new(one.descriptor.as_ref()?, PollFlags::IN))));
        if poll(&mut awaited, timeout).is_err() {
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}
