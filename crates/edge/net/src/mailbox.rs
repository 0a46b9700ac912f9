//! Where the messages to the processes of this program arrive: queues bounded in bytes.

use std::sync::Arc;

use bytes::Bytes;
use messor_types::Pid;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Net;

/// What an event counts for beside its body, so that the number of events is bounded too.
const EVENT_COST_BYTES: usize = 1024;

/// A libprocess message that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub from: Pid,
    /// The id of the process here that it is for.
    pub to: Arc<str>,
    pub name: String,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    Message(Packet),
    /// The connection to a process that `linker` had linked to is broken, or could not be made. The link is gone.
    Exited {
        linker: Arc<str>,
        pid: Pid,
    },
}

impl NetEvent {
    /// The process here that the event is for.
    pub fn to(&self) -> &Arc<str> {
        match self {
            NetEvent::Message(packet) => &packet.to,
            NetEvent::Exited { linker, .. } => linker,
        }
    }
}

/// The sending side of a mailbox. What comes from sockets waits for room, which stops the reading of the socket;
/// what comes from processes of this program has room of its own, and is dropped when that is full, as a process
/// that waited for itself would never go on.
pub(crate) struct Queue {
    sender: mpsc::UnboundedSender<Queued>,
    remote: Arc<Semaphore>,
    local: Arc<Semaphore>,
    bytes: usize,
}

struct Queued {
    event: NetEvent,
    _room: OwnedSemaphorePermit,
}

impl Queue {
    fn cost(&self, event: &NetEvent) -> u32 {
        let body = match event {
            NetEvent::Message(packet) => packet.body.len(),
            NetEvent::Exited { .. } => 0,
        };
        // One event larger than the whole queue goes through alone.
        u32::try_from((body + EVENT_COST_BYTES).min(self.bytes)).unwrap_or(u32::MAX)
    }

    /// Queues an event once there is room; false when nobody reads any more.
    pub(crate) async fn put(&self, event: NetEvent) -> bool {
        let room = Arc::clone(&self.remote).acquire_many_owned(self.cost(&event)).await;
        self.push(event, room.ok())
    }

    /// Queues an event of this program itself; false when there is no room or nobody reads any more.
    pub(crate) fn put_local(&self, event: NetEvent) -> bool {
        let room = Arc::clone(&self.local).try_acquire_many_owned(self.cost(&event));
        self.push(event, room.ok())
    }

    fn push(&self, event: NetEvent, room: Option<OwnedSemaphorePermit>) -> bool {
        room.is_some_and(|_room| self.sender.send(Queued { event, _room }).is_ok())
    }
}

/// The receiving side: the events of one process, or of several that share it, in the order they were taken in.
/// Dropping it ends its processes.
pub struct Mailbox {
    receiver: mpsc::UnboundedReceiver<Queued>,
    queue: Arc<Queue>,
    net: Net,
}

impl Mailbox {
    pub(crate) fn new(net: Net, bytes: usize) -> Mailbox {
        let bytes = bytes.clamp(EVENT_COST_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = || Arc::new(Semaphore::new(bytes));
        Mailbox { receiver, queue: Arc::new(Queue { sender, remote: room(), local: room(), bytes }), net }
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The next event. It never ends while the mailbox is there.
    pub async fn recv(&mut self) -> NetEvent {
        match self.receiver.recv().await {
            Some(queued) => self.taken(queued),
            // Not reached, as the queue here holds a sender.
            None => std::future::pending().await,
        }
    }

    /// The next event if there is one already.
    pub fn try_recv(&mut self) -> Option<NetEvent> {
        let queued = self.receiver.try_recv().ok()?;
        Some(self.taken(queued))
    }

    /// How many events are there.
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// The next event, for a thread that is not one of the runtime's.
    pub fn blocking_recv(&mut self) -> Option<NetEvent> {
        let queued = self.receiver.blocking_recv()?;
        Some(self.taken(queued))
    }

    fn taken(&self, queued: Queued) -> NetEvent {
        if let NetEvent::Exited { linker, pid } = &queued.event {
            self.net.0.peers.heard(linker, pid.address);
        }
        queued.event
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.queue.remote.close();
        self.queue.local.close();
        self.net.remove_processes_of(&self.queue);
    }
}
