//! The processes of this program and what they send: to each other, and by [`crate::peer`] to other addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use messor_types::Pid;
use tokio::runtime::Handle;

use crate::mailbox::{Mailbox, NetEvent, Packet, Queue};
use crate::peer::Peers;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is a process '{0}' at this address already")]
pub struct ProcessExists(pub String);

/// Sends messages and keeps links. Cheap to clone; every call returns at once and may be made from any thread.
#[derive(Clone)]
pub struct Net(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    /// Where it listens.
    pub(crate) bound: SocketAddr,
    /// What its PIDs say.
    pub(crate) advertised: SocketAddr,
    pub(crate) runtime: Handle,
    pub(crate) mailbox_bytes: usize,
    pub(crate) tally: Tally,
    pub(crate) peers: Peers,
    processes: Mutex<Processes>,
}

#[derive(Default)]
struct Processes {
    queues: BTreeMap<Arc<str>, Arc<Queue>>,
    /// Links within this program: who is linked to by whom.
    links: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) messages_received: AtomicU64,
    pub(crate) messages_sent: AtomicU64,
    pub(crate) messages_dropped: AtomicU64,
    pub(crate) requests_served: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages taken into a mailbox, from other addresses or from here.
    pub messages_received: u64,
    /// Messages written to a connection or delivered here.
    pub messages_sent: u64,
    /// Messages lost before they were written: a queue was full, a connection broke, a process was not there.
    pub messages_dropped: u64,
    /// HTTP requests handled that were not messages.
    pub requests_served: u64,
    /// Connections turned away because there were too many.
    pub connections_refused: u64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Net {
    pub(crate) fn new(
        bound: SocketAddr,
        advertised: SocketAddr,
        mailbox_bytes: usize,
        peer_bytes: usize,
    ) -> Net {
        Net(Arc::new(Inner {
            bound,
            advertised,
            runtime: Handle::current(),
            mailbox_bytes,
            tally: Tally::default(),
            peers: Peers::new(peer_bytes),
            processes: Mutex::default(),
        }))
    }

    /// The address that the PIDs of this program say.
    pub fn address(&self) -> SocketAddr {
        self.0.advertised
    }

    /// The PID of the process `id` of this program.
    pub fn pid(&self, id: &str) -> Pid {
        Pid::new(id, self.0.advertised)
    }

    /// Begins a process: messages to it are taken from now on. Messages to ids that are no process are answered 404.
    pub fn open(&self, id: &str) -> Result<Mailbox, ProcessExists> {
        self.open_reading(id, 1, |packet| packet)
    }

    /// As [`Net::open`]; messages are read by whoever takes them from the network, on many threads, before they wait
    /// here. What was read may take `growth` times the bytes of the body.
    pub fn open_reading<M: Send + 'static>(
        &self,
        id: &str,
        growth: usize,
        read: impl Fn(Packet) -> M + Send + Sync + 'static,
    ) -> Result<Mailbox<M>, ProcessExists> {
        let mailbox = Mailbox::new(self.clone(), self.0.mailbox_bytes, growth, read);
        self.add_process(id, &mailbox)?;
        Ok(mailbox)
    }

    /// Begins another process whose events come into a mailbox that is there already.
    pub fn add_process<M: Send + 'static>(
        &self,
        id: &str,
        mailbox: &Mailbox<M>,
    ) -> Result<(), ProcessExists> {
        let mut processes = lock(&self.0.processes);
        if processes.queues.contains_key(id) {
            return Err(ProcessExists(id.to_string()));
        }
        processes.queues.insert(id.into(), Arc::clone(mailbox.queue()));
        Ok(())
    }

    /// Ends a process: its links go, and processes here that had linked to it are told that it exited.
    pub fn remove_process(&self, id: &str) {
        let linkers = {
            let mut processes = lock(&self.0.processes);
            if processes.queues.remove(id).is_none() {
                return;
            }
            for linkers in processes.links.values_mut() {
                linkers.remove(id);
            }
            processes.links.retain(|_, linkers| !linkers.is_empty());
            processes.links.remove(id)
        };
        self.0.peers.unlink_all(id);
        for linker in linkers.into_iter().flatten() {
            self.spawn_exited(linker, self.pid(id));
        }
    }

    pub(crate) fn remove_processes_of(&self, queue: &Arc<Queue>) {
        let ids: Vec<Arc<str>> = lock(&self.0.processes)
            .queues
            .iter()
            .filter(|(_, other)| Arc::ptr_eq(queue, other))
            .map(|(id, _)| Arc::clone(id))
            .collect();
        for id in ids {
            self.remove_process(&id);
        }
    }

    /// Sends a message from the process `from` here. Messages to one address keep their order; they may be lost,
    /// never doubled. Who is linked to a process there can rely on it that nothing arrives after something that was lost
    /// until it has taken the exit out of its mailbox (unless a queue is full). A message to a process of this program takes no socket.
    pub fn send(&self, from: &str, to: &Pid, name: &str, body: impl Into<Bytes>) {
        let body = body.into();
        if !self.is_local(to) {
            return self.0.peers.send(self, from, to, name, body);
        }
        let delivered = self.process(&to.id).is_some_and(|(id, queue)| {
            let packet = Packet { from: self.pid(from), to: id, name: name.to_string(), body };
            queue.put_local(NetEvent::Message(packet))
        });
        if delivered {
            Tally::add(&self.0.tally.messages_sent, 1);
            Tally::add(&self.0.tally.messages_received, 1);
        } else {
            Tally::add(&self.0.tally.messages_dropped, 1);
            tracing::debug!("dropped the message {name} to {to}: no such process here, or its queue is full");
        }
    }

    /// Links the process `linker` to another: [`NetEvent::Exited`] comes once, when the connection to its address
    /// breaks or cannot be made. The connection is opened now if there is none.
    pub fn link(&self, linker: &str, to: &Pid) {
        if !self.is_local(to) {
            return self.0.peers.link(self, linker, to, false);
        }
        let linked = {
            let mut processes = lock(&self.0.processes);
            let there = processes.queues.contains_key(&to.id);
            if there {
                processes.links.entry(Arc::clone(&to.id)).or_default().insert(linker.into());
            }
            there
        };
        if !linked {
            self.spawn_exited(linker.into(), to.clone());
        }
    }

    /// Links by a fresh connection: one that is there already is given up without telling its linkers, whose links
    /// pass to the new one. For a peer that was heard of again while the connection to it may be dead.
    pub fn relink(&self, linker: &str, to: &Pid) {
        if self.is_local(to) { self.link(linker, to) } else { self.0.peers.link(self, linker, to, true) }
    }

    /// Forgets a link; the connection stays for others.
    pub fn unlink(&self, linker: &str, to: &Pid) {
        if !self.is_local(to) {
            return self.0.peers.unlink(linker, to);
        }
        if let Some(linkers) = lock(&self.0.processes).links.get_mut(&to.id) {
            linkers.remove(linker);
        }
    }

    /// For the end of a program: writes what is queued, closes the outgoing connections in good order and waits for
    /// the other sides to have read everything, at most so long; says whether they have. No link is told.
    pub async fn finish(&self, at_most: Duration) -> bool {
        tokio::time::timeout(at_most, self.0.peers.finish()).await.is_ok()
    }

    pub fn counters(&self) -> Counters {
        let tally = &self.0.tally;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            messages_received: read(&tally.messages_received),
            messages_sent: read(&tally.messages_sent),
            messages_dropped: read(&tally.messages_dropped),
            requests_served: read(&tally.requests_served),
            connections_refused: read(&tally.connections_refused),
        }
    }

    pub(crate) fn process(&self, id: &str) -> Option<(Arc<str>, Arc<Queue>)> {
        lock(&self.0.processes)
            .queues
            .get_key_value(id)
            .map(|(id, queue)| (Arc::clone(id), Arc::clone(queue)))
    }

    fn is_local(&self, pid: &Pid) -> bool {
        pid.address == self.0.advertised || pid.address == self.0.bound
    }

    pub(crate) async fn exited(&self, linker: Arc<str>, pid: Pid) {
        let (told, address) = (Arc::clone(&linker), pid.address);
        let put = match self.process(&linker) {
            Some((_, queue)) => queue.put(NetEvent::Exited { linker, pid }).await,
            None => false,
        };
        if !put {
            self.0.peers.heard(&told, address);
        }
    }

    fn spawn_exited(&self, linker: Arc<str>, pid: Pid) {
        let net = self.clone();
        self.0.runtime.spawn(async move { net.exited(linker, pid).await });
    }
}
