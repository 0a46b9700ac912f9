//! Bodies: of answers, whole or streamed through a bounded queue; of requests, read up to a limit.

use std::io::Read;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::{Notify, mpsc};

use crate::connection::{Busy, Connection};
use crate::{Request, Response};

/// A request body may pause for so long; then the request is answered with 408.
pub(crate) const BODY_PAUSE: Duration = Duration::from_secs(60);

/// The body of an answer.
pub struct Body {
    kind: Kind,
    /// Keeps the connection from being taken for an idle one until the answer is written.
    pub(crate) busy: Option<Busy>,
}

enum Kind {
    Full(Option<Bytes>),
    Stream(Reader),
}

struct Reader {
    receiver: mpsc::Receiver<Bytes>,
    shared: Arc<StreamState>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::Release);
        self.shared.wake.notify_waiters();
    }
}

#[derive(Default)]
struct StreamState {
    queued_bytes: AtomicUsize,
    aborted: AtomicBool,
    gone: AtomicBool,
    wake: Notify,
    connection: OnceLock<Arc<Connection>>,
}

/// The writing end of a streamed body. Dropping it ends the body in good order once the queue is written.
pub struct StreamSender {
    sender: mpsc::Sender<Bytes>,
    shared: Arc<StreamState>,
    limit_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamClosed {
    #[error("the reader of the stream is too slow: its queue is full")]
    Full,
    #[error("the reader of the stream is gone")]
    Gone,
}

#[derive(Debug, thiserror::Error)]
#[error("the stream was cut off by its sender")]
pub struct Aborted;

impl Body {
    pub fn empty() -> Body {
        Body::full(Bytes::new())
    }

    pub fn full(bytes: impl Into<Bytes>) -> Body {
        Body { kind: Kind::Full(Some(bytes.into())), busy: None }
    }

    /// A body written piece by piece. At most `pieces` and `bytes` wait to be written (one piece alone may be larger).
    pub fn stream(pieces: usize, bytes: usize) -> (StreamSender, Body) {
        let (sender, receiver) = mpsc::channel(pieces.max(1));
        let shared = Arc::<StreamState>::default();
        let body = Body { kind: Kind::Stream(Reader { receiver, shared: Arc::clone(&shared) }), busy: None };
        (StreamSender { sender, shared, limit_bytes: bytes }, body)
    }

    /// The bytes of a body that is whole.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Full(bytes) => bytes.as_ref(),
            Kind::Stream(_) => None,
        }
    }

    /// Tells a stream which connection to break when it is cut off.
    pub(crate) fn attach(&mut self, connection: &Arc<Connection>, busy: Busy) {
        if let Kind::Stream(reader) = &self.kind {
            let _ = reader.shared.connection.set(Arc::clone(connection));
        }
        self.busy = Some(busy);
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Body {
        Body::full(bytes)
    }
}

impl StreamSender {
    /// Queues a piece; fails when the queue is full or the reader is gone, and takes nothing then.
    pub fn try_send(&self, piece: Bytes) -> Result<(), StreamClosed> {
        if piece.is_empty() {
            return if self.is_closed() { Err(StreamClosed::Gone) } else { Ok(()) };
        }
        let length = piece.len();
        let queued = self.shared.queued_bytes.fetch_add(length, Ordering::Relaxed);
        let outcome = if queued > 0 && queued + length > self.limit_bytes {
            Err(if self.is_closed() { StreamClosed::Gone } else { StreamClosed::Full })
        } else {
            self.sender.try_send(piece).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StreamClosed::Full,
                mpsc::error::TrySendError::Closed(_) => StreamClosed::Gone,
            })
        };
        if outcome.is_err() {
            self.shared.queued_bytes.fetch_sub(length, Ordering::Relaxed);
        }
        outcome
    }

    /// Queues a piece as soon as there is room for it; fails when the reader is gone.
    pub async fn send(&self, piece: Bytes) -> Result<(), StreamClosed> {
        let length = piece.len();
        self.shared.queued_bytes.fetch_add(length, Ordering::Relaxed);
        let sent = self.sender.send(piece).await;
        sent.map_err(|_| {
            self.shared.queued_bytes.fetch_sub(length, Ordering::Relaxed);
            StreamClosed::Gone
        })
    }

    /// Lets so many bytes more wait, from now on: for a large piece at the beginning, which is not its reader's slowness.
    pub fn let_wait(&mut self, bytes: usize) {
        self.limit_bytes = self.limit_bytes.saturating_add(bytes);
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the answer is no longer written: its reader is gone, or it came to its end. The future is apart
    /// from the sender, which may be used and dropped elsewhere meanwhile.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                let mut woken = std::pin::pin!(shared.wake.notified());
                woken.as_mut().enable();
                if shared.gone.load(Ordering::Acquire) {
                    return;
                }
                woken.await;
            }
        }
    }

    /// Cuts the reader off: what is queued is thrown away and the connection is broken at once.
    pub fn abort(self) {
        self.shared.aborted.store(true, Ordering::Relaxed);
        if let Some(connection) = self.shared.connection.get() {
            connection.kill();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match &mut self.kind {
            Kind::Full(bytes) => Poll::Ready(
                bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))),
            ),
            Kind::Stream(reader) => {
                if reader.shared.aborted.load(Ordering::Relaxed) {
                    return Poll::Ready(Some(Err(Aborted)));
                }
                reader.receiver.poll_recv(context).map(|piece| match piece {
                    Some(piece) => {
                        reader.shared.queued_bytes.fetch_sub(piece.len(), Ordering::Relaxed);
                        Some(Ok(Frame::data(piece)))
                    }
                    // The sender may have gone by `abort` since the look above.
                    None if reader.shared.aborted.load(Ordering::Relaxed) => Some(Err(Aborted)),
                    None => None,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer of plain text, as libprocess words them.
pub fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = Response::new(Body::full(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the request body is larger than the limit of {0} bytes")]
    TooLarge(usize),
    #[error("the request body paused for more than {} seconds", BODY_PAUSE.as_secs())]
    Slow,
    #[error("the request body broke off: {0}")]
    Broken(hyper::Error),
    #[error("the request body is not gzip, which its Content-Encoding says it is")]
    Gzip,
    #[error("the Content-Encoding '{0}' is not supported: use gzip or none")]
    Encoding(String),
}

impl BodyError {
    pub fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Slow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) | BodyError::Gzip => StatusCode::BAD_REQUEST,
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// The answer that tells the client. The connection ends with it, as the rest of the body is not read.
    pub fn response(&self) -> Response {
        let mut response = text(self.status(), self.to_string());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Reads the whole body of a request, of at most `limit` bytes before and after decompression (`gzip`).
pub async fn read_body(request: Request, limit: usize) -> Result<(http::request::Parts, Bytes), BodyError> {
    let (parts, body) = request.into_parts();
    let body = collect(body, limit, None).await?;
    let body = decompress(&parts, body, limit)?;
    Ok((parts, body))
}

/// The next piece of a body that is read as it comes, however long it pauses; None at its end.
pub async fn next_piece(body: &mut Incoming) -> Option<Result<Bytes, BodyError>> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map_err(BodyError::Broken).map(Frame::into_data) {
            Ok(Ok(data)) if data.is_empty() => {}
            Ok(Ok(data)) => return Some(Ok(data)),
            // Trailers mean nothing here.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

fn decompress(parts: &http::request::Parts, body: Bytes, limit: usize) -> Result<Bytes, BodyError> {
    let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING) else { return Ok(body) };
    match encoding.as_bytes() {
        b"identity" => Ok(body),
        b"gzip" => {
            let mut plain = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(body.as_ref()).take(limit as u64 + 1);
            decoder.read_to_end(&mut plain).map_err(|_| BodyError::Gzip)?;
            if plain.len() > limit { Err(BodyError::TooLarge(limit)) } else { Ok(plain.into()) }
        }
        other => Err(BodyError::Encoding(String::from_utf8_lossy(other).into_owned())),
    }
}

/// Bodies up to this size are read freely; of larger ones only a few at a time, so that many connections together
/// cannot fill the memory.
pub(crate) const LARGE_BODY_BYTES: usize = 1024 * 1024;

/// Reads a body. `large` bounds how many bodies of more than [`LARGE_BODY_BYTES`] are read at a time.
pub(crate) async fn collect(
    mut body: Incoming,
    limit: usize,
    large: Option<&tokio::sync::Semaphore>,
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    let mut whole = Bytes::new();
    let mut permit = None;
    loop {
        let frame = tokio::time::timeout(
            BODY_PAUSE,
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)),
        );
        let Some(frame) = frame.await.map_err(|_| BodyError::Slow)? else { break };
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > limit {
            return Err(BodyError::TooLarge(limit));
        }
        if length > LARGE_BODY_BYTES && permit.is_none() {
            permit = match large {
                // It is never closed, so an error cannot be.
                Some(large) => large.acquire().await.ok(),
                None => None,
            };
        }
        // Most bodies come in one frame, which is passed on without a copy.
        if whole.is_empty() {
            whole = data;
        } else {
            let mut joined = whole.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
            joined.extend_from_slice(&data);
            whole = joined.freeze();
        }
    }
    Ok(whole)
}
