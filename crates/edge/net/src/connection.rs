//! Accepted connections: how many there may be, which goes when there are too many, and how long a peer may be slow.
//! It knows nothing of HTTP but when a request begins and ends.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

/// A request head must be whole so long after its first byte.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(30);
/// A peer that reads nothing of an answer for so long is dropped.
pub(crate) const WRITE_PAUSE: Duration = Duration::from_secs(60);

/// And so much of what waits for it has to be taken meanwhile: who takes a byte a minute holds a whole answer for ever.
const LEAST_BYTES: u64 = 16 * 1024;

/// Answers to messages, and to calls of schedulers, are held back until nothing more is to be read, or there are so many bytes of
/// them: who sends a hundred in one write is answered in one.
const HELD_BYTES: usize = 16 * 1024;
/// But never for longer than this, whatever the next request waits for.
const HELD_TIME: Duration = Duration::from_millis(10);
/// Larger ones are not held.
const LARGEST_HELD_BYTES: usize = 512;

/// At its end, a connection is read for so long at most,
const LINGER_TIME: Duration = Duration::from_secs(2);
/// and so much of it.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Between requests: it may stay so for ever.
const IDLE: u8 = 0;
/// The first bytes of a request have come.
const HEAD: u8 = 1;
/// A request is read, handled or answered.
const BUSY: u8 = 2;

/// What a request is, as far as its connection has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// A message of libprocess: nobody reads its answer for what it says.
    Message,
    /// A call of a scheduler that has its stream elsewhere, which is answered at once with next to nothing.
    Call,
    /// Anything else, which may take long.
    Request,
}

/// One accepted connection, as the others see it.
pub(crate) struct Connection {
    id: u64,
    phase: AtomicU8,
    carried_messages: AtomicBool,
    /// The answer to the request at hand may wait for those to the next.
    may_be_held: AtomicBool,
    /// Milliseconds since the registry began.
    last_active: AtomicU64,
    began: Instant,
    kill: Notify,
}

impl Connection {
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }

    pub(crate) async fn killed(&self) {
        self.kill.notified().await;
    }

    /// What the request at hand is.
    pub(crate) fn carries(&self, kind: Carried) {
        let is_message = kind == Carried::Message;
        self.may_be_held.store(is_message || kind == Carried::Call, Ordering::Relaxed);
        self.carried_messages.fetch_or(is_message, Ordering::Relaxed);
    }

    /// A request has come; its answer is written when the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Connection>) -> Busy {
        self.phase.store(BUSY, Ordering::Relaxed);
        self.touch();
        Busy(Arc::clone(self))
    }

    fn touch(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_active.store(now, Ordering::Relaxed);
    }
}

pub(crate) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.phase.store(IDLE, Ordering::Relaxed);
        self.0.touch();
    }
}

/// All accepted connections, at most `limit`.
pub(crate) struct Connections {
    limit: usize,
    began: Instant,
    open: Mutex<(u64, BTreeMap<u64, Arc<Connection>>)>,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Connections {
        Connections { limit, began: Instant::now(), open: Mutex::default() }
    }

    /// Makes room for a new connection; none when all there are have work to do or carry messages.
    pub(crate) fn admit(self: &Arc<Connections>) -> Option<Admitted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.1.len() >= self.limit && !evict(&mut open.1) {
            return None;
        }
        let id = open.0;
        open.0 += 1;
        let connection = Arc::new(Connection {
            id,
            phase: AtomicU8::new(IDLE),
            carried_messages: AtomicBool::new(false),
            may_be_held: AtomicBool::new(false),
            last_active: AtomicU64::new(0),
            began: self.began,
            kill: Notify::new(),
        });
        connection.touch();
        open.1.insert(id, Arc::clone(&connection));
        Some(Admitted { connection, all: Arc::clone(self) })
    }

    /// Drops one idle connection, for want of file descriptors.
    pub(crate) fn evict_one(&self) -> bool {
        evict(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    pub(crate) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).1.len()
    }
}

/// Drops the connection that has been idle longest of those that never carried a message.
fn evict(open: &mut BTreeMap<u64, Arc<Connection>>) -> bool {
    let idlest = open
        .values()
        .filter(|connection| {
            connection.phase.load(Ordering::Relaxed) != BUSY
                && !connection.carried_messages.load(Ordering::Relaxed)
        })
        .min_by_key(|connection| (connection.last_active.load(Ordering::Relaxed), connection.id))
        .map(|connection| connection.id);
    match idlest.and_then(|id| open.remove(&id)) {
        Some(connection) => {
            connection.kill();
            true
        }
        None => false,
    }
}

/// A connection's place among the open ones, given back when dropped.
pub(crate) struct Admitted {
    pub(crate) connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.all.open.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.connection.id);
    }
}

/// A socket that fails when its peer is slow in the middle of something.
pub(crate) struct Guarded<S: AsFd> {
    socket: S,
    connection: Arc<Connection>,
    head_timer: Timer,
    write_timer: Timer,
    held_timer: Timer,
    /// What the peer had not taken when the timer was started.
    untaken: Option<u64>,
    /// The peer takes no answers any more, but what it sent is still read. A libprocess without a link closes its
    /// socket behind its last message: the answers to the first messages then fail while the last ones are unread.
    deaf: bool,
    held: Vec<u8>,
    /// Nothing more was there when it was last read: hyper reads again only when something is.
    is_read_out: bool,
    linger: Linger,
}

/// What is done at the end: a socket closed with unread bytes resets the connection, and with it goes the answer
/// that says why (413, 431), unread. So the writing side is closed first and some of the rest is read away.
struct Linger {
    shut: bool,
    bytes: usize,
    timer: Timer,
}

impl<S: AsFd> Drop for Guarded<S> {
    /// Of a connection that ends without being shut down (as hyper leaves one that asked for another protocol, or when it is
    /// killed), what is held goes out as far as there is room for it.
    fn drop(&mut self) {
        if !self.held.is_empty() && !self.deaf {
            let _ = messor_linux::sockets::write_now(&self.socket, &self.held);
        }
    }
}

impl<S: AsFd> Guarded<S> {
    pub(crate) fn new(socket: S, connection: Arc<Connection>, head: Duration, write: Duration) -> Guarded<S> {
        Guarded {
            socket,
            connection,
            head_timer: Timer::new(head),
            write_timer: Timer::new(write),
            held_timer: Timer::new(HELD_TIME),
            untaken: None,
            deaf: false,
            held: Vec::new(),
            is_read_out: false,
            linger: Linger { shut: false, bytes: 0, timer: Timer::new(LINGER_TIME) },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + AsFd + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(context, buffer);
        this.is_read_out = read.is_pending();
        if let Poll::Ready(outcome) = read {
            if buffer.filled().len() == before {
                // An end, or an error: hyper may give up without another word.
                let _ = this.poll_held(context);
            } else {
                this.connection.touch();
                let begun =
                    this.connection.phase.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
                if begun.is_ok() {
                    this.head_timer.clear();
                }
            }
            return Poll::Ready(outcome);
        }
        // Who waits for an answer before it goes on has it now. (If not all is taken, this is polled again when more can be.)
        if let Poll::Ready(Err(error)) = this.poll_held(context) {
            return Poll::Ready(Err(error));
        }
        if this.connection.phase.load(Ordering::Relaxed) == HEAD {
            ready!(this.head_timer.poll(context));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the request head came too slowly",
            )));
        }
        this.head_timer.clear();
        Poll::Pending
    }
}

impl<S: AsyncWrite + AsFd + Unpin> Guarded<S> {
    /// Writes unless the peer is deaf, and within the time a peer may take; `length` is what a deaf one took.
    fn attempt(
        &mut self,
        context: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(length));
        }
        let outcome = match write(Pin::new(&mut self.socket), context) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                ready!(self.peer_pauses(context));
                Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answer"))
            }
        };
        self.write_timer.clear();
        if outcome.is_err() && self.connection.carried_messages.load(Ordering::Relaxed) {
            self.deaf = true;
            return Poll::Ready(Ok(length));
        }
        Poll::Ready(outcome)
    }

    /// Whether an answer of so many bytes may wait for others.
    fn is_held(&self, length: usize) -> bool {
        let is_small = length <= LARGEST_HELD_BYTES;
        is_small && !self.is_read_out && self.connection.may_be_held.load(Ordering::Relaxed)
    }

    /// Writes what is held; ready when nothing is.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            let written =
                self.attempt(context, held.len(), |socket, context| socket.poll_write(context, &held));
            self.held = held;
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => drop(self.held.drain(..count)),
            }
        }
        self.held_timer.clear();
        // Not kept by a connection that has little to say from now on.
        if self.held.capacity() > LARGEST_HELD_BYTES {
            self.held = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// What comes before an answer is written: what is held goes first, where this one is not held, too, or there is enough of it.
    fn poll_turn(&mut self, context: &mut Context<'_>, is_held: bool) -> Poll<io::Result<()>> {
        if is_held && self.held.len() < HELD_BYTES { Poll::Ready(Ok(())) } else { self.poll_held(context) }
    }
}

impl<S: AsFd> Guarded<S> {
    /// Ready once the peer has taken next to nothing for as long as it may. That nothing can be written says less: the kernel
    /// holds some megabytes, and takes more only when a third of them is gone.
    fn peer_pauses(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.write_timer.runs() {
                self.untaken = self.untaken_bytes();
            }
            ready!(self.write_timer.poll(context));
            self.write_timer.clear();
            let enough = |then: u64, now: u64| then.saturating_sub(now) >= LEAST_BYTES.min(then).max(1);
            let took =
                matches!((self.untaken, self.untaken_bytes()), (Some(then), Some(now)) if enough(then, now));
            if !took {
                return Poll::Ready(());
            }
        }
    }

    fn untaken_bytes(&self) -> Option<u64> {
        messor_linux::sockets::untaken_bytes(&self.socket).ok()
    }
}

impl<S: AsyncRead + AsyncWrite + AsFd + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let is_held = self.is_held(bytes.len());
        ready!(self.poll_turn(context, is_held))?;
        if is_held {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.attempt(context, bytes.len(), |socket, context| socket.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        let is_held = self.is_held(length);
        ready!(self.poll_turn(context, is_held))?;
        if is_held {
            slices.iter().for_each(|slice| self.held.extend_from_slice(slice));
            return Poll::Ready(Ok(length));
        }
        self.attempt(context, length, |socket, context| socket.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            // (Between two requests this is still as the first said.)
            let may_wait = self.connection.may_be_held.load(Ordering::Relaxed);
            if !may_wait || self.held_timer.poll(context).is_ready() {
                ready!(self.poll_held(context))?;
            }
        }
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_held(context))?;
        if !this.linger.shut {
            ready!(Pin::new(&mut this.socket).poll_shutdown(context))?;
            this.linger.shut = true;
        }
        let mut scratch = [0; 8 * 1024];
        while this.linger.bytes < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.socket).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    this.linger.bytes += buffer.filled().len();
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(this.linger.timer.poll(context));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Runs from the first poll after it was cleared.
struct Timer {
    time: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn new(time: Duration) -> Timer {
        Timer { time, sleep: None }
    }

    fn clear(&mut self) {
        self.sleep = None;
    }

    fn runs(&self) -> bool {
        self.sleep.is_some()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let time = self.time;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        sleep.as_mut().poll(context)
    }
}
