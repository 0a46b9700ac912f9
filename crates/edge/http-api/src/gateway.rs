//! What waits at the edge while a machine decides: requests for their answer, streams for their events.
//!
//! Machines name both by numbers. A stream that reads too slowly is cut off; whoever ends a stream, the machine is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use messor_codec::recordio;
use messor_net::{Body, StreamClosed, StreamSender};
use messor_proto::{Version, Wire};
use tokio::sync::oneshot;

use crate::request::MediaType;

/// Events that may wait for one reader. A scheduler that lags so far behind is cut off and subscribes again.
const STREAM_EVENTS: usize = 100_000;
/// And their bytes: some seconds of a busy cluster.
const STREAM_BYTES: usize = 64 * 1024 * 1024;

/// The answer of a machine to a request.
pub enum Reply<O> {
    Outcome(O),
    /// A stream was opened: its body, and its name for Mesos-Stream-Id.
    Stream(Body, String),
}

struct Stream {
    sender: StreamSender,
    media: MediaType,
    name: String,
    /// Waits here until the machine accepts the subscription.
    body: Option<Body>,
    /// What came while the first record is still written, and how many bytes it has.
    late: Option<(Vec<Bytes>, usize)>,
    /// Gets every published event.
    operator: bool,
    /// Ends the task that watches for the reader to go away.
    _watcher: oneshot::Sender<()>,
}

impl Stream {
    fn send(&mut self, record: Bytes) -> Result<(), StreamClosed> {
        let Some((late, bytes)) = &mut self.late else { return self.sender.try_send(record) };
        *bytes += record.len();
        // (The first record has a place, too.)
        if late.len() + 1 >= STREAM_EVENTS || *bytes > STREAM_BYTES {
            return Err(StreamClosed::Full);
        }
        late.push(record);
        Ok(())
    }

    /// In good order, unless the first record did not come to be written: nothing at all would look like an end.
    fn end(self) {
        if self.late.is_some() {
            self.sender.abort();
        }
    }
}

pub struct Gateway<O> {
    next: AtomicU64,
    replies: Mutex<HashMap<u64, oneshot::Sender<Reply<O>>>>,
    streams: Mutex<HashMap<u64, Stream>>,
    closed: Box<dyn Fn(u64) + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl<O: Send + 'static> Gateway<O> {
    /// `closed` is told of every stream that ends by its reader's doing.
    pub fn new(closed: impl Fn(u64) + Send + Sync + 'static) -> Arc<Gateway<O>> {
        Arc::new(Gateway {
            next: AtomicU64::new(1),
            replies: Mutex::default(),
            streams: Mutex::default(),
            closed: Box::new(closed),
        })
    }

    /// A number for a request, and where its answer will come.
    pub fn request(&self) -> (u64, oneshot::Receiver<Reply<O>>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.replies).insert(id, sender);
        (id, receiver)
    }

    pub fn reply(&self, request: u64, outcome: O) {
        if let Some(sender) = lock(&self.replies).remove(&request) {
            let _ = sender.send(Reply::Outcome(outcome));
        }
    }

    /// A stream that will be open once the machine says so.
    pub fn prepare(self: &Arc<Self>, media: MediaType, operator: bool) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, body) = Body::stream(STREAM_EVENTS, STREAM_BYTES);
        let (watcher, released) = oneshot::channel();
        let gone = sender.closed();
        let gateway = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = gone => gateway.lose(id),
                _ = released => (),
            }
        });
        let name = random_uuid();
        lock(&self.streams).insert(
            id,
            Stream { sender, media, name, body: Some(body), late: None, operator, _watcher: watcher },
        );
        id
    }

    /// The machine accepted: the request is answered with the stream.
    pub fn open(&self, stream: u64, request: u64) {
        let opened =
            lock(&self.streams).get_mut(&stream).and_then(|s| Some((s.body.take()?, s.name.clone())));
        let waiting = lock(&self.replies).remove(&request);
        if let (Some((body, name)), Some(sender)) = (opened, waiting) {
            let _ = sender.send(Reply::Stream(body, name));
        }
    }

    /// The same, of a stream whose first record is not written yet: what comes meanwhile waits behind it.
    pub fn open_late(&self, stream: u64, request: u64) {
        if let Some(stream) = lock(&self.streams).get_mut(&stream) {
            stream.late = Some((Vec::new(), 0));
        }
        self.open(stream, request);
    }

    /// A stream that never opens, as its request was refused.
    pub fn forget(&self, stream: u64) {
        lock(&self.streams).remove(&stream);
    }

    /// The stream of a Mesos-Stream-Id.
    pub fn find(&self, name: &str) -> Option<u64> {
        lock(&self.streams).iter().find(|(_, s)| s.name == name).map(|(id, _)| *id)
    }

    /// One event for one reader.
    pub fn send(&self, stream: u64, event: &impl Wire) {
        let media = match lock(&self.streams).get(&stream) {
            Some(stream) => stream.media,
            None => return,
        };
        self.send_bytes(stream, record(event, media));
    }

    /// One record for one reader, written by the caller.
    pub fn send_bytes(&self, stream: u64, record: Bytes) {
        let failed = match lock(&self.streams).get_mut(&stream) {
            Some(stream) => stream.send(record).is_err(),
            None => false,
        };
        if failed {
            self.lose(stream);
        }
    }

    /// The first record: the state of all there is, which may be larger than all that may wait. What comes behind it has the
    /// same room as with a small one.
    pub fn send_first(&self, stream: u64, record: Bytes) {
        let failed = match lock(&self.streams).get_mut(&stream) {
            Some(stream) => {
                stream.sender.let_wait(record.len());
                let (late, _) = stream.late.take().unwrap_or_default();
                std::iter::once(record).chain(late).any(|record| stream.send(record).is_err())
            }
            None => false,
        };
        if failed {
            self.lose(stream);
        }
    }

    pub fn media(&self, stream: u64) -> Option<MediaType> {
        lock(&self.streams).get(&stream).map(|s| s.media)
    }

    /// One event for every operator that is subscribed, written once for each media type.
    pub fn publish(&self, write: impl Fn(MediaType) -> Bytes) {
        let mut written: HashMap<MediaType, Bytes> = HashMap::new();
        let mut failed = Vec::new();
        for (id, stream) in lock(&self.streams).iter_mut().filter(|(_, s)| s.operator && s.body.is_none()) {
            let record = written.entry(stream.media).or_insert_with(|| write(stream.media)).clone();
            if stream.send(record).is_err() {
                failed.push(*id);
            }
        }
        failed.into_iter().for_each(|id| self.lose(id));
    }

    /// Ends a stream in good order, by the machine's will.
    pub fn close(&self, stream: u64) {
        if let Some(stream) = lock(&self.streams).remove(&stream) {
            stream.end();
        }
    }

    /// Ends all streams in good order, and leaves what waits for an answer without one: the program ends.
    pub fn close_all(&self) {
        lock(&self.streams).drain().for_each(|(_, stream)| stream.end());
        lock(&self.replies).clear();
    }

    /// The reader is gone or too slow: it is cut off, and the machine is told.
    pub fn lose(&self, stream: u64) {
        let removed = lock(&self.streams).remove(&stream);
        if let Some(stream_) = removed {
            stream_.sender.abort();
            (self.closed)(stream);
        }
    }
}

/// A name that nobody can guess.
fn random_uuid() -> String {
    let mut bytes = [0; 16];
    // Without the kernel's random numbers nothing here is safe to serve.
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// An event as a record of a v1 stream.
pub fn record(event: &impl Wire, media: MediaType) -> Bytes {
    let bytes = match media {
        MediaType::Json => event.to_json(Version::V1),
        MediaType::Protobuf => event.encode_as(Version::V1),
    };
    recordio::encode(&bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_state_that_is_larger_than_what_may_wait_leaves_room_for_what_follows() {
        let gateway = Gateway::<()>::new(|_| ());
        let stream = gateway.prepare(MediaType::Json, true);
        gateway.send_first(stream, Bytes::from(vec![b'x'; STREAM_BYTES + 1]));
        gateway.send_bytes(stream, Bytes::from_static(b"heartbeat"));
        assert!(gateway.media(stream).is_some(), "it is not cut off");
        // Room for as much as ever, and no more.
        gateway.send_bytes(stream, Bytes::from(vec![b'x'; STREAM_BYTES - 9]));
        assert!(gateway.media(stream).is_some());
        gateway.send_bytes(stream, Bytes::from_static(b"more"));
        assert!(gateway.media(stream).is_none(), "a reader that reads nothing is cut off");
    }

    #[tokio::test]
    async fn what_comes_while_the_state_is_written_waits_behind_it() {
        let gateway = Gateway::<()>::new(|_| ());
        let (request, opened) = gateway.request();
        let stream = gateway.prepare(MediaType::Json, true);
        gateway.open_late(stream, request);
        let Reply::Stream(body, _) = opened.await.unwrap() else { panic!("it is open") };
        gateway.send_bytes(stream, Bytes::from_static(b"heartbeat "));
        gateway.publish(|_| Bytes::from_static(b"event "));
        gateway.send_first(stream, Bytes::from_static(b"state "));
        gateway.publish(|_| Bytes::from_static(b"another"));
        gateway.close(stream);
        assert_eq!(crate::together::read(body).await.unwrap(), b"state heartbeat event another");
        // Nothing at all is no end in good order.
        let (request, opened) = gateway.request();
        let stream = gateway.prepare(MediaType::Json, true);
        gateway.open_late(stream, request);
        let Reply::Stream(body, _) = opened.await.unwrap() else { panic!("it is open") };
        gateway.close(stream);
        assert_eq!(crate::together::read(body).await, None);
        // What waits is bounded, as ever.
        let slow = gateway.prepare(MediaType::Json, true);
        let (request, _opened) = gateway.request();
        gateway.open_late(slow, request);
        gateway.send_bytes(slow, Bytes::from(vec![b'x'; STREAM_BYTES]));
        assert!(gateway.media(slow).is_some());
        gateway.send_bytes(slow, Bytes::from_static(b"y"));
        assert!(gateway.media(slow).is_none(), "it is cut off");
    }
}
