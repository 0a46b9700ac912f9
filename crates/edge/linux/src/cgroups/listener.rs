//! Word of memory that ran out in a control group, by one thread for all groups.
//!
//! Version 1 tells through an event descriptor for each group, at once and before a process is killed; version 2 through
//! the counters in `memory.events`, whose changes inotify tells of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::inotify;

use super::group::Group;
use super::hierarchies::Version;

/// Called once, on the listener's thread; it does not block.
pub type Tell = Box<dyn FnOnce() + Send>;

/// Two tokens that no group has.
const STOP: u64 = 0;
const CHANGES: u64 = 1;
const FIRST: u64 = 2;

pub struct Listener {
    shared: Arc<Shared>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    epoll: OwnedFd,
    changes: OwnedFd,
    state: Mutex<State>,
}

struct State {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    /// None once it was called.
    tell: Option<Tell>,
    source: Source,
}

enum Source {
    /// Version 1.
    Descriptor(OwnedFd),
    /// Version 2: the watch, the group, and how often memory had run out when this began.
    Changes { watch: i32, group: Group, before: Counts },
}

/// Which group's listening to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Listener {
    pub fn start() -> io::Result<Listener> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        for (descriptor, token) in [(&*stop, STOP), (&changes, CHANGES)] {
            epoll::add(&epoll, descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        }
        let state = Mutex::new(State { next: FIRST, entries: BTreeMap::new() });
        let shared = Arc::new(Shared { epoll, changes, state });
        let thread = std::thread::Builder::new().name("memory-listener".to_string()).spawn({
            let shared = shared.clone();
            move || shared.run()
        })?;
        Ok(Listener { shared, stop, thread: Some(thread) })
    }

    /// From now on, until memory runs out in the group or in one above it or the listening is ended.
    pub fn listen(&self, group: &Group, tell: Tell) -> io::Result<Ticket> {
        let mut state = self.shared.state();
        let token = state.next;
        let source = match group.version() {
            Version::V1 => {
                let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
                register(group, "memory.oom_control", &descriptor, "")?;
                epoll::add(
                    &self.shared.epoll,
                    &descriptor,
                    epoll::EventData::new_u64(token),
                    epoll::EventFlags::IN,
                )?;
                Source::Descriptor(descriptor)
            }
            Version::V2 => {
                let file = group.file("memory.events");
                let watch = inotify::add_watch(&self.shared.changes, &file, inotify::WatchFlags::MODIFY)?;
                Source::Changes { watch, group: group.clone(), before: Counts::of(group) }
            }
        };
        state.next += 1;
        state.entries.insert(token, Entry { tell: Some(tell), source });
        Ok(Ticket(token))
    }

    /// Whether memory has run out since this listening began, also where word of it is still on its way.
    pub fn ran_out(&self, ticket: Ticket) -> bool {
        let mut state = self.shared.state();
        let Some(entry) = state.entries.get_mut(&ticket.0) else { return false };
        let now = match &entry.source {
            Source::Descriptor(descriptor) => rustix::io::read(descriptor, &mut [0; 8]).is_ok(),
            Source::Changes { group, before, .. } => before.has_run_out(group),
        };
        if now && let Some(tell) = entry.tell.take() {
            tell();
        }
        entry.tell.is_none()
    }

    /// Before the group is removed: a removal is told as if memory had run out. When this returns, nothing is told any
    /// more.
    pub fn end(&self, ticket: Ticket) {
        let Some(entry) = self.shared.state().entries.remove(&ticket.0) else { return };
        match &entry.source {
            Source::Descriptor(descriptor) => {
                // It ends with the descriptor anyway.
                let _ = epoll::delete(&self.shared.epoll, descriptor);
            }
            Source::Changes { watch, .. } => {
                // The file may be gone, and the watch with it.
                let _ = inotify::remove_watch(&self.shared.changes, *watch);
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if rustix::io::write(&*self.stop, &1u64.to_ne_bytes()).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // It ends without a word; a panic in it was printed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Only a wrong descriptor fails otherwise, and this one is ours.
                Err(_) => return,
            }
            for event in &events {
                match event.data.u64() {
                    STOP => return,
                    CHANGES => self.changed(),
                    token => self.signalled(token),
                }
            }
        }
    }

    fn signalled(&self, token: u64) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(&token) else { return };
        if let Source::Descriptor(descriptor) = &entry.source {
            // What counts is that it was signalled.
            let _ = rustix::io::read(descriptor, &mut [0; 8]);
        }
        // Under the lock, so that `end` means what it says.
        if let Some(tell) = entry.tell.take() {
            tell();
        }
    }

    fn changed(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        let mut watches = Vec::new();
        // Ends with EAGAIN, when all were read.
        while let Ok(event) = reader.next() {
            watches.push(event.wd());
        }
        let mut state = self.state();
        for entry in state.entries.values_mut() {
            let Source::Changes { watch, group, before } = &entry.source else { continue };
            // -1: some were lost for want of room, and any may be meant.
            let meant = watches.contains(watch) || watches.contains(&-1);
            if meant
                && before.has_run_out(group)
                && let Some(tell) = entry.tell.take()
            {
                tell();
            }
        }
    }
}

/// Version 2: what is counted of memory that ran out.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Processes that were killed in the group or in one within.
    kills: u64,
    /// How often it was the limit of this very group that was reached; kernels before 5.2 do not say.
    own: Option<u64>,
}

impl Counts {
    fn of(group: &Group) -> Counts {
        let count = |file, name| group.table(file).ok().and_then(|table| table.get(name).copied());
        Counts {
            kills: count("memory.events", "oom_kill").unwrap_or(0),
            own: count("memory.events.local", "oom"),
        }
    }

    /// A kill in a group within that reached its own limit is not this group's matter, nor is one because the host had no
    /// memory left.
    fn has_run_out(self, group: &Group) -> bool {
        let now = Counts::of(group);
        now.kills > self.kills && (now.own.is_none() || now.own > self.own)
    }
}

/// Version 1: `descriptor` is signalled for what a file of the group tells of.
fn register(group: &Group, name: &str, descriptor: &OwnedFd, arguments: &str) -> io::Result<()> {
    let control = File::open(group.file(name))?;
    let text = format!("{} {} {arguments}", descriptor.as_raw_fd(), control.as_raw_fd());
    group.write("cgroup.event_control", text.trim_end()).map_err(|error| match error {
        super::GroupError::Write { source, .. } => source,
        other => io::Error::other(other),
    })
}

/// Counts how often memory was short in a group of version 1, to a degree: `low`, `medium` or `critical`.
#[derive(Debug)]
pub struct Pressure {
    descriptor: OwnedFd,
    total: Mutex<u64>,
}

impl Pressure {
    pub fn listen(group: &Group, level: &str) -> io::Result<Pressure> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        register(group, "memory.pressure_level", &descriptor, level)?;
        Ok(Pressure { descriptor, total: Mutex::new(0) })
    }

    /// Since the listening began. The kernel keeps count between two calls.
    pub fn count(&self) -> u64 {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        let mut more = [0; 8];
        if rustix::io::read(&self.descriptor, &mut more).is_ok() {
            *total += u64::from_ne_bytes(more);
        }
        *total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::{Fake, Hierarchies};
    use std::sync::mpsc;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn group(name: &str) -> (tempfile::TempDir, Group) {
        let folder = tempfile::tempdir().unwrap();
        let fake = Arc::new(Fake::new(&[("memory.events", "low 0\noom 0\noom_kill 1\n")]));
        let group = Hierarchies::over(fake, folder.path(), Version::V2, &[]).group("memory", name);
        group.make().unwrap();
        (folder, group)
    }

    #[test]
    fn version_2_tells_once_when_a_process_was_killed() {
        let (_folder, group) = group("g");
        let listener = Listener::start().unwrap();
        let (sender, told) = mpsc::channel();
        listener.listen(&group, Box::new(move || sender.send(()).unwrap())).unwrap();
        // Some other counter.
        group.write("memory.events", "low 1\noom 1\noom_kill 1\n").unwrap();
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
        group.write("memory.events", "low 1\noom 1\noom_kill 2\n").unwrap();
        told.recv_timeout(PATIENCE).unwrap();
        group.write("memory.events", "low 1\noom 1\noom_kill 3\n").unwrap();
        // The sender went with the only call.
        assert!(matches!(told.recv(), Err(mpsc::RecvError)));
    }

    #[test]
    fn nothing_is_told_after_the_end() {
        let (_folder, group) = group("g");
        let listener = Listener::start().unwrap();
        let (sender, told) = mpsc::channel::<()>();
        let ticket = listener.listen(&group, Box::new(move || sender.send(()).unwrap())).unwrap();
        listener.end(ticket);
        listener.end(ticket);
        assert!(matches!(told.recv(), Err(mpsc::RecvError)));
        group.remove(Duration::ZERO).unwrap();
    }
}
