//! Who asks for the same while it waits to be written gets it together: one document is written for all of them, from a
//! view that is taken after the last of them has asked. So many are written at a time as there are processors, and who
//! comes meanwhile waits, together again with others. A long document is on its way to them while it is still written.
//! Must not know what is written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use messor_net::{Body, Response, StreamSender};
use messor_proto::Sink;
use tokio::sync::{Semaphore, oneshot};

use crate::answer::{Answer, answer};
use crate::respond;

pub struct Together {
    /// Who waits for what is not begun yet.
    waiting: Mutex<BTreeMap<String, Vec<oneshot::Sender<Response>>>>,
    turns: Semaphore,
    shared: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So much is worth doing at a time.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Together {
    pub fn new() -> Arc<Together> {
        Together::of(processors().max(2))
    }

    fn of(turns: usize) -> Arc<Together> {
        Arc::new(Together {
            waiting: Mutex::default(),
            turns: Semaphore::new(turns),
            shared: AtomicU64::new(0),
        })
    }

    /// How many got an answer that was written for another one.
    pub fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }

    /// The answer to `what`, which has to name all that the answer depends on besides the state. None: writing failed.
    pub async fn answer<F>(
        self: &Arc<Self>,
        what: String,
        write: impl FnOnce(Delivery) -> F + Send + 'static,
    ) -> Option<Response>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let is_first = match lock(&self.waiting).entry(what.clone()) {
            Entry::Vacant(place) => {
                place.insert(vec![tell]);
                true
            }
            Entry::Occupied(mut place) => {
                place.get_mut().push(tell);
                false
            }
        };
        if is_first {
            // Of nobody's request: the first may go away while others wait.
            tokio::spawn(Arc::clone(self).written(what, write));
        } else {
            self.shared.fetch_add(1, Ordering::Relaxed);
        }
        told.await.ok()
    }

    async fn written<F>(self: Arc<Self>, what: String, write: impl FnOnce(Delivery) -> F)
    where
        F: Future<Output = Answer>,
    {
        // It is never closed.
        let Ok(_turn) = self.turns.acquire().await else { return };
        let readers = lock(&self.waiting).remove(&what).unwrap_or_default();
        if readers.iter().all(oneshot::Sender::is_closed) {
            return;
        }
        let delivery = Delivery(Arc::new(Mutex::new(Stage::Waiting(readers))));
        let answer = write(delivery.clone()).await;
        delivery.end(&answer);
    }
}

/// As many as a channel allows: all of a document.
const MOST_PIECES: usize = Semaphore::MAX_PERMITS;

/// The way of one document to all who get it.
#[derive(Clone)]
pub struct Delivery(Arc<Mutex<Stage>>);

enum Stage {
    Waiting(Vec<oneshot::Sender<Response>>),
    /// They have its beginning.
    Begun(Readers),
}

struct Readers(Vec<StreamSender>);

impl Delivery {
    /// Sends what it gets at once, as the beginning of an answer of this type. Nobody is waited for: the whole document may
    /// wait for a slow reader, as it would if it had been written before.
    pub fn sink(&self, content_type: &'static str) -> Sink {
        let delivery = self.clone();
        Box::new(move |piece| {
            let mut stage = lock(&delivery.0);
            if let Stage::Waiting(readers) = &mut *stage {
                let begin = |reader: oneshot::Sender<Response>| {
                    let (sender, body) = Body::stream(MOST_PIECES, usize::MAX);
                    let head = answer(StatusCode::OK, content_type, Bytes::new()).map(|_| body);
                    reader.send(head).is_ok().then_some(sender)
                };
                *stage =
                    Stage::Begun(Readers(std::mem::take(readers).into_iter().filter_map(begin).collect()));
            }
            if let Stage::Begun(readers) = &mut *stage {
                readers.piece(&piece);
            }
        })
    }

    /// All of the document, or what the sink has not got of it. Anything but success cuts off what is begun.
    fn end(self, answer: &Answer) {
        match &mut *lock(&self.0) {
            Stage::Waiting(readers) => {
                for reader in readers.drain(..) {
                    // Who went away needs none.
                    let _ = reader.send(respond::whole(answer.clone()));
                }
            }
            Stage::Begun(readers) if answer.status() == StatusCode::OK => {
                readers.piece(answer.body());
                // What is dropped without a word ends in good order.
                readers.0.clear();
            }
            Stage::Begun(readers) => readers.cut_off(),
        }
    }
}

impl Readers {
    fn piece(&mut self, piece: &Bytes) {
        self.0.retain(|reader| reader.try_send(piece.clone()).is_ok());
    }

    fn cut_off(&mut self) {
        self.0.drain(..).for_each(StreamSender::abort);
    }
}

impl Drop for Readers {
    /// Nobody came to the end: what they have must not look whole.
    fn drop(&mut self) {
        self.cut_off();
    }
}

/// All of a body; None where it breaks off.
#[cfg(test)]
pub(crate) async fn read(body: Body) -> Option<Vec<u8>> {
    use hyper::body::Body as _;
    let mut body = std::pin::pin!(body);
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        all.extend_from_slice(&frame.ok()?.into_data().unwrap());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::task::JoinHandle;

    use super::*;
    use crate::answer::text;

    struct Bench {
        together: Arc<Together>,
        begun: Arc<AtomicUsize>,
        go: Arc<Semaphore>,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { together: Together::of(1), begun: Arc::default(), go: Arc::new(Semaphore::new(0)) }
        }

        /// Who asks gets the number of the document.
        fn ask(&self, what: &str) -> JoinHandle<Option<Response>> {
            let (together, what) = (Arc::clone(&self.together), what.to_string());
            let (begun, go) = (Arc::clone(&self.begun), Arc::clone(&self.go));
            tokio::spawn(async move {
                let write = async move |_| {
                    let number = begun.fetch_add(1, Ordering::Relaxed);
                    go.acquire().await.unwrap().forget();
                    assert!(number != 13, "it fails");
                    text(StatusCode::OK, number.to_string())
                };
                together.answer(what, write).await
            })
        }

        async fn until(&self, is_so: impl Fn(&Bench) -> bool) {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        }

        fn waiting(&self, what: &str) -> usize {
            lock(&self.together.waiting).get(what).map_or(0, Vec::len)
        }
    }

    async fn word(asked: JoinHandle<Option<Response>>) -> String {
        String::from_utf8(read(asked.await.unwrap().unwrap().into_body()).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn who_waits_for_the_same_gets_one_document_that_is_begun_later() {
        let bench = Bench::new();
        let first = bench.ask("a");
        bench.until(|bench| bench.begun.load(Ordering::Relaxed) == 1).await;
        // What is begun already may not show what came after it.
        let (second, third, other) = (bench.ask("a"), bench.ask("a"), bench.ask("b"));
        bench.until(|bench| bench.waiting("a") == 2 && bench.waiting("b") == 1).await;
        bench.go.add_permits(3);
        assert_eq!(word(first).await, "0");
        assert_eq!([word(second).await, word(third).await, word(other).await], ["1", "1", "2"]);
        assert_eq!((bench.together.shared(), bench.begun.load(Ordering::Relaxed)), (1, 3));
        assert!(lock(&bench.together.waiting).is_empty());
    }

    #[tokio::test]
    async fn nothing_is_written_for_nobody_and_who_goes_takes_nothing_from_others() {
        let bench = Bench::new();
        let first = bench.ask("a");
        bench.until(|bench| bench.begun.load(Ordering::Relaxed) == 1).await;
        let (gone, stays, lonely) = (bench.ask("a"), bench.ask("a"), bench.ask("b"));
        bench.until(|bench| bench.waiting("a") == 2 && bench.waiting("b") == 1).await;
        for left in [gone, lonely] {
            left.abort();
            assert!(left.await.is_err_and(|error| error.is_cancelled()));
        }
        bench.go.add_permits(2);
        assert_eq!([word(first).await, word(stays).await], ["0", "1"]);
        bench.until(|bench| lock(&bench.together.waiting).is_empty()).await;
        assert_eq!(bench.begun.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_document_that_fails_is_an_answer_to_nobody_and_no_end() {
        let bench = Bench::new();
        bench.begun.store(13, Ordering::Relaxed);
        bench.go.add_permits(2);
        assert!(bench.ask("a").await.unwrap().is_none());
        assert_eq!(word(bench.ask("a")).await, "14");
    }

    #[tokio::test]
    async fn a_long_document_is_there_before_its_end_and_one_that_breaks_off_does_not_look_whole() {
        for (end, whole) in [(StatusCode::OK, true), (StatusCode::SERVICE_UNAVAILABLE, false)] {
            let together = Together::of(1);
            let (go, may_go) = oneshot::channel::<()>();
            let write = async move |delivery: Delivery| {
                let mut sink = delivery.sink("text/plain");
                sink(Bytes::from_static(b"a"));
                sink(Bytes::from_static(b"b"));
                may_go.await.unwrap();
                text(end, "c")
            };
            let response = together.answer("x".to_string(), write).await.unwrap();
            assert_eq!(response.headers()["content-type"], "text/plain");
            go.send(()).unwrap();
            assert_eq!(read(response.into_body()).await, whole.then(|| b"abc".to_vec()));
        }
    }

    #[tokio::test]
    async fn a_document_whose_writer_is_gone_does_not_look_whole() {
        let together = Together::of(1);
        let (go, may_go) = oneshot::channel::<()>();
        let write = async move |delivery: Delivery| {
            delivery.sink("text/plain")(Bytes::from_static(b"a"));
            may_go.await.unwrap();
            panic!("as it should")
        };
        let response = together.answer("x".to_string(), write).await.unwrap();
        go.send(()).unwrap();
        assert_eq!(read(response.into_body()).await, None);
    }
}
