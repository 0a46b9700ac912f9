//! Outgoing connections: one for each address, shared by all processes of this program, on which messages go out one
//! after another. The answers (202) are read away unseen, as libprocess does.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use messor_codec::message;
use messor_types::{Pid, Plain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::Net;
use crate::net::{Tally, lock};
use crate::server::tune;

/// A connection that is not made after so long counts as refused.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// A connection without links and messages is closed after so long.
const IDLE_TIME: Duration = Duration::from_secs(300);
/// What is written with one call at most; a larger body goes by itself.
const BATCH_BYTES: usize = 256 * 1024;
/// Bodies up to this size are copied to their head, to be written with others in one call.
const COPIED_BODY_BYTES: usize = 16 * 1024;
/// What a queued message counts for beside its body.
const MESSAGE_COST_BYTES: usize = 512;

pub(crate) struct Peers {
    /// A peer is here as long as its task runs; whoever has this lock and finds it may queue to it.
    all: Mutex<HashMap<SocketAddr, Arc<Peer>>>,
    /// Who has exits in its mailbox that it has not taken yet, of which address, and how many. Locked after `all`.
    unheard: Mutex<BTreeMap<(Arc<str>, SocketAddr), usize>>,
    queue_bytes: usize,
    /// The program ends: connections are closed once their queues are written.
    finishing: AtomicBool,
    /// The last peer is gone.
    empty: Notify,
}

struct Peer {
    address: SocketAddr,
    state: Mutex<State>,
    /// There is something in the queue, or a link is gone.
    wake: Notify,
    reconnect: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Outgoing>,
    queued_bytes: usize,
    links: BTreeMap<Pid, BTreeSet<Arc<str>>>,
    /// The queue was found full, and that was logged.
    overflowed: bool,
}

struct Outgoing {
    head: Vec<u8>,
    body: Bytes,
}

impl Outgoing {
    fn cost(&self) -> usize {
        self.body.len() + MESSAGE_COST_BYTES
    }
}

/// Why a connection is no longer used.
enum End {
    Broken(io::Error),
    Idle,
    Reconnect,
}

impl Peers {
    pub(crate) fn new(queue_bytes: usize) -> Peers {
        let (all, unheard) = Default::default();
        Peers { all, unheard, queue_bytes, finishing: AtomicBool::new(false), empty: Notify::new() }
    }

    /// Gives the peer at `address` to `change` under lock, beginning it if it is not there.
    fn with<T>(
        &self,
        net: &Net,
        address: SocketAddr,
        change: impl FnOnce(&Peer, &mut State, bool) -> T,
    ) -> T {
        self.with_locked(net, &mut lock(&self.all), address, change)
    }

    fn with_locked<T>(
        &self,
        net: &Net,
        all: &mut HashMap<SocketAddr, Arc<Peer>>,
        address: SocketAddr,
        change: impl FnOnce(&Peer, &mut State, bool) -> T,
    ) -> T {
        let mut fresh = false;
        let peer = all.entry(address).or_insert_with(|| {
            fresh = true;
            Arc::new(Peer { address, state: Mutex::default(), wake: Notify::new(), reconnect: Notify::new() })
        });
        let outcome = change(peer, &mut lock(&peer.state), fresh);
        if fresh {
            net.0.runtime.spawn(run(net.clone(), Arc::clone(peer)));
        }
        outcome
    }

    pub(crate) fn send(&self, net: &Net, from: &str, to: &Pid, name: &str, body: Bytes) {
        let mut head = Vec::with_capacity(256);
        message::write_head(&mut head, net.pid(from), &to.id, Plain(to.address), name, body.len());
        let outgoing = Outgoing { head, body };
        let mut all = lock(&self.all);
        // What was sent before is lost, and the sender does not know yet: what rests on it must not arrive without it.
        let unheard = lock(&self.unheard);
        if !unheard.is_empty() && unheard.contains_key(&(Arc::from(from), to.address)) {
            return Tally::add(&net.0.tally.messages_dropped, 1);
        }
        drop(unheard);
        let full = self.with_locked(net, &mut all, to.address, |peer, state, _| {
            // One message larger than the whole queue goes through when it is alone.
            if state.queued_bytes > 0 && state.queued_bytes + outgoing.cost() > self.queue_bytes {
                return Some(!std::mem::replace(&mut state.overflowed, true));
            }
            state.queued_bytes += outgoing.cost();
            state.queue.push_back(outgoing);
            peer.wake.notify_one();
            None
        });
        drop(all);
        if let Some(first) = full {
            Tally::add(&net.0.tally.messages_dropped, 1);
            if first {
                tracing::warn!("the queue to {} is full: dropping messages, first {name}", to.address);
            }
        }
    }

    pub(crate) fn link(&self, net: &Net, linker: &str, to: &Pid, reconnect: bool) {
        self.with(net, to.address, |peer, state, fresh| {
            state.links.entry(to.clone()).or_default().insert(linker.into());
            if reconnect && !fresh {
                peer.reconnect.notify_one();
            }
        });
    }

    pub(crate) fn unlink(&self, linker: &str, to: &Pid) {
        let Some(peer) = lock(&self.all).get(&to.address).cloned() else { return };
        let mut state = lock(&peer.state);
        if let Some(linkers) = state.links.get_mut(to) {
            linkers.remove(linker);
            if linkers.is_empty() {
                state.links.remove(to);
                peer.wake.notify_one();
            }
        }
    }

    pub(crate) fn unlink_all(&self, linker: &str) {
        let peers: Vec<Arc<Peer>> = lock(&self.all).values().cloned().collect();
        lock(&self.unheard).retain(|(of, _), _| **of != *linker);
        for peer in peers {
            let mut state = lock(&peer.state);
            state.links.retain(|_, linkers| {
                linkers.remove(linker);
                !linkers.is_empty()
            });
            peer.wake.notify_one();
        }
    }

    /// Writes what is queued, closes all connections and waits until the other sides have read everything.
    pub(crate) async fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        for peer in lock(&self.all).values() {
            peer.wake.notify_one();
        }
        loop {
            let mut empty = std::pin::pin!(self.empty.notified());
            empty.as_mut().enable();
            if lock(&self.all).is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// A process has taken an exit out of its mailbox, or never will.
    pub(crate) fn heard(&self, linker: &Arc<str>, address: SocketAddr) {
        let mut unheard = lock(&self.unheard);
        let key = (Arc::clone(linker), address);
        if let Some(exits) = unheard.get_mut(&key) {
            *exits -= 1;
            if *exits == 0 {
                unheard.remove(&key);
            }
        }
    }

    fn finishing(&self) -> bool {
        self.finishing.load(Ordering::Acquire)
    }

    fn remove(&self, all: &mut HashMap<SocketAddr, Arc<Peer>>, address: SocketAddr) {
        all.remove(&address);
        if all.is_empty() {
            self.empty.notify_waiters();
        }
    }
}

impl Peer {
    /// The next messages to write in one go.
    fn take_batch(&self) -> Vec<Outgoing> {
        let mut state = lock(&self.state);
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(outgoing) = state.queue.pop_front() else { break };
            state.queued_bytes -= outgoing.cost();
            bytes += outgoing.cost();
            batch.push(outgoing);
        }
        if state.queue.is_empty() {
            state.overflowed = false;
        }
        batch
    }
}

/// Keeps the connection to one address until it breaks or is not needed.
async fn run(net: Net, peer: Arc<Peer>) {
    loop {
        let end = match tokio::time::timeout(CONNECT_TIME, TcpStream::connect(peer.address)).await {
            Ok(Ok(stream)) => {
                tune(&stream);
                converse(&net, &peer, stream).await
            }
            Ok(Err(error)) => End::Broken(error),
            Err(_) => End::Broken(io::Error::new(io::ErrorKind::TimedOut, "connecting took too long")),
        };
        match end {
            End::Broken(error) => return give_up(&net, &peer, &error).await,
            End::Reconnect => tracing::debug!("connecting to {} anew", peer.address),
            End::Idle => {
                let mut all = lock(&net.0.peers.all);
                let state = lock(&peer.state);
                if state.queue.is_empty() && state.links.is_empty() {
                    net.0.peers.remove(&mut all, peer.address);
                    return;
                }
                // Something was queued just now: it takes a new connection.
            }
        }
    }
}

/// Forgets the peer: what is queued is lost, and the linkers are told. Until each of them takes that out of its mailbox
/// what it sends is lost, too.
async fn give_up(net: &Net, peer: &Peer, error: &io::Error) {
    let (lost, links) = {
        let mut all = lock(&net.0.peers.all);
        let mut state = lock(&peer.state);
        net.0.peers.remove(&mut all, peer.address);
        let mut unheard = lock(&net.0.peers.unheard);
        for linker in state.links.values().flatten() {
            *unheard.entry((Arc::clone(linker), peer.address)).or_default() += 1;
        }
        (std::mem::take(&mut state.queue), std::mem::take(&mut state.links))
    };
    tracing::debug!("the connection to {} is gone ({error}), with {} messages", peer.address, lost.len());
    Tally::add(&net.0.tally.messages_dropped, lost.len() as u64);
    if net.0.peers.finishing() {
        return;
    }
    for (pid, linkers) in links {
        for linker in linkers {
            net.exited(linker, pid.clone()).await;
        }
    }
}

async fn converse(net: &Net, peer: &Peer, stream: TcpStream) -> End {
    let (read, write) = stream.into_split();
    tokio::select! {
        error = read_away(read) => End::Broken(error),
        end = write_messages(net, peer, write) => end,
        () = peer.reconnect.notified() => End::Reconnect,
    }
}

async fn read_away(mut read: OwnedReadHalf) -> io::Error {
    let mut answers = [0; 2048];
    loop {
        match read.read(&mut answers).await {
            Ok(0) => return io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other side"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// Counts a batch as lost unless it was written.
struct Unwritten<'a> {
    net: &'a Net,
    count: usize,
    written: bool,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        let tally = &self.net.0.tally;
        let counter = if self.written { &tally.messages_sent } else { &tally.messages_dropped };
        Tally::add(counter, self.count as u64);
    }
}

async fn write_messages(net: &Net, peer: &Peer, mut write: OwnedWriteHalf) -> End {
    let mut buffer = Vec::new();
    loop {
        let batch = peer.take_batch();
        if batch.is_empty() && net.0.peers.finishing() {
            if let Err(error) = write.shutdown().await {
                return End::Broken(error);
            }
            // The other side closes once it has read all; closing here at once could make it lose the last messages.
            return std::future::pending().await;
        }
        if batch.is_empty() {
            let linked = !lock(&peer.state).links.is_empty();
            if linked {
                peer.wake.notified().await;
            } else if tokio::time::timeout(IDLE_TIME, peer.wake.notified()).await.is_err() {
                return End::Idle;
            }
            // Who queued this may be about to queue more: what is ready to run goes first, and all is written in one call.
            tokio::task::yield_now().await;
            continue;
        }
        let mut unwritten = Unwritten { net, count: batch.len(), written: false };
        if let Err(error) = write_batch(&mut write, &batch, &mut buffer).await {
            return End::Broken(error);
        }
        unwritten.written = true;
    }
}

async fn write_batch(write: &mut OwnedWriteHalf, batch: &[Outgoing], buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    for outgoing in batch {
        buffer.extend_from_slice(&outgoing.head);
        if outgoing.body.len() <= COPIED_BODY_BYTES {
            buffer.extend_from_slice(&outgoing.body);
        } else {
            write.write_all(buffer).await?;
            buffer.clear();
            write.write_all(&outgoing.body).await?;
        }
    }
    write.write_all(buffer).await?;
    buffer.clear();
    buffer.shrink_to(COPIED_BODY_BYTES);
    Ok(())
}
