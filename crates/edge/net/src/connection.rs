//! Accepted connections: how many there may be, which goes when there are too many, and how long a peer may be slow.
//! It knows nothing of HTTP but when a request begins and ends.

use std::collections::BTreeMap;
use std::io;
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

/// One accepted connection, as the others see it.
pub(crate) struct Connection {
    id: u64,
    phase: AtomicU8,
    carried_messages: AtomicBool,
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

    pub(crate) fn carries_messages(&self) {
        self.carried_messages.store(true, Ordering::Relaxed);
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
pub(crate) struct Guarded<S> {
    socket: S,
    connection: Arc<Connection>,
    head_timer: Timer,
    write_timer: Timer,
    /// The peer takes no answers any more, but what it sent is still read. A libprocess without a link closes its
    /// socket behind its last message: the answers to the first messages then fail while the last ones are unread.
    deaf: bool,
    linger: Linger,
}

/// What is done at the end: a socket closed with unread bytes resets the connection, and with it goes the answer
/// that says why (413, 431), unread. So the writing side is closed first and some of the rest is read away.
struct Linger {
    shut: bool,
    bytes: usize,
    timer: Timer,
}

impl<S> Guarded<S> {
    pub(crate) fn new(socket: S, connection: Arc<Connection>, head: Duration, write: Duration) -> Guarded<S> {
        Guarded {
            socket,
            connection,
            head_timer: Timer::new(head),
            write_timer: Timer::new(write),
            deaf: false,
            linger: Linger { shut: false, bytes: 0, timer: Timer::new(LINGER_TIME) },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut this.socket).poll_read(context, buffer) {
            if buffer.filled().len() > before {
                this.connection.touch();
                let begun =
                    this.connection.phase.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
                if begun.is_ok() {
                    this.head_timer.clear();
                }
            }
            return Poll::Ready(outcome);
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

impl<S: AsyncWrite + Unpin> Guarded<S> {
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
                ready!(self.write_timer.poll(context));
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
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.attempt(context, bytes.len(), |socket, context| socket.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.attempt(context, length, |socket, context| socket.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
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

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let time = self.time;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        sleep.as_mut().poll(context)
    }
}
