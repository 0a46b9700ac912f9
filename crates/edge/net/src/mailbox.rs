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
pub enum NetEvent<M = Packet> {
    Message(M),
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

    fn read<M>(self, read: impl FnOnce(Packet) -> M) -> NetEvent<M> {
        match self {
            NetEvent::Message(packet) => NetEvent::Message(read(packet)),
            NetEvent::Exited { linker, pid } => NetEvent::Exited { linker, pid },
        }
    }
}

/// The sending side of a mailbox. What comes from sockets waits for room, which stops the reading of the socket;
/// what comes from processes of this program has room of its own, and is dropped when that is full, as a process
/// that waited for itself would never go on.
pub(crate) struct Queue {
    /// Takes an event in the form that is waited for; false when nobody reads any more.
    push: Box<dyn Fn(NetEvent, OwnedSemaphorePermit) -> bool + Send + Sync>,
    remote: Arc<Semaphore>,
    local: Arc<Semaphore>,
    bytes: usize,
    /// How many times its body a message that waits may take.
    growth: usize,
}

struct Queued<M> {
    event: NetEvent<M>,
    _room: OwnedSemaphorePermit,
}

impl Queue {
    fn cost(&self, event: &NetEvent) -> u32 {
        let body = match event {
            NetEvent::Message(packet) => packet.body.len().saturating_mul(self.growth),
            NetEvent::Exited { .. } => 0,
        };
        // One event larger than the whole queue goes through alone.
        u32::try_from(body.saturating_add(EVENT_COST_BYTES).min(self.bytes)).unwrap_or(u32::MAX)
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
        room.is_some_and(|room| (self.push)(event, room))
    }
}

/// The receiving side: the events of one process, or of several that share it, in the order they were taken in.
/// Dropping it ends its processes.
pub struct Mailbox<M = Packet> {
    receiver: mpsc::UnboundedReceiver<Queued<M>>,
    queue: Arc<Queue>,
    net: Net,
}

impl<M: Send + 'static> Mailbox<M> {
    pub(crate) fn new(
        net: Net,
        bytes: usize,
        growth: usize,
        read: impl Fn(Packet) -> M + Send + Sync + 'static,
    ) -> Mailbox<M> {
        let bytes = bytes.clamp(EVENT_COST_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = || Arc::new(Semaphore::new(bytes));
        let push = move |event: NetEvent, room| {
            sender.send(Queued { event: event.read(&read), _room: room }).is_ok()
        };
        let queue = Queue { push: Box::new(push), remote: room(), local: room(), bytes, growth };
        Mailbox { receiver, queue: Arc::new(queue), net }
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The next event. It never ends while the mailbox is there.
    pub async fn recv(&mut self) -> NetEvent<M> {
        match self.receiver.recv().await {
            Some(queued) => self.taken(queued),
            // Not reached, as the queue here holds a sender.
            None => std::future::pending().await,
        }
    }

    /// The next event if there is one already.
    pub fn try_recv(&mut self) -> Option<NetEvent<M>> {
        let queued = self.receiver.try_recv().ok()?;
        Some(self.taken(queued))
    }

    /// How many events are there.
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// The next event, for a thread that is not one of the runtime's.
    pub fn blocking_recv(&mut self) -> Option<NetEvent<M>> {
        let queued = self.receiver.blocking_recv()?;
        Some(self.taken(queued))
    }

    fn taken(&self, queued: Queued<M>) -> NetEvent<M> {
        if let NetEvent::Exited { linker, pid } = &queued.event {
            self.net.0.peers.heard(linker, pid.address);
        }
        queued.event
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        self.queue.remote.close();
        self.queue.local.close();
        self.net.remove_processes_of(&self.queue);
    }
}
