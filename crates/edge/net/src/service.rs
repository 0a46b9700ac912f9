//! One request: a libprocess message goes to its mailbox, anything else to the HTTP handler. Large answers are
//! compressed for those who accept it.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use messor_codec::message::{self, Recipient};
use messor_codec::negotiation::accepts_encoding;
use messor_types::Pid;
use tokio::sync::Semaphore;

use crate::body::{Body, collect, text};
use crate::connection::{Carried, Connection};
use crate::mailbox::{NetEvent, Packet};
use crate::net::Tally;
use crate::whole::{Panicked, Whole};
use crate::{Limits, Net, Request, Response};

/// Where a request came from: among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerIp(pub IpAddr);

/// What the calls of a scheduler have but the one that opens its stream.
const STREAM_ID: &str = "mesos-stream-id";

/// Answers of at least this size are compressed, as libprocess does.
const GZIP_MINIMUM_BYTES: usize = 1024;
/// Larger answers than this are compressed on a thread where they hold up nobody.
const GZIP_INLINE_BYTES: usize = 64 * 1024;
/// Fast rather than small: what is compressed is JSON, which shrinks well at any level.
const GZIP_LEVEL: u32 = 3;

pub(crate) struct Service<H> {
    pub(crate) net: Net,
    pub(crate) limits: Limits,
    pub(crate) require_peer_address_ip_match: bool,
    pub(crate) large_bodies: Semaphore,
    /// Otherwise a libprocess message is a request like any other.
    pub(crate) takes_messages: bool,
    pub(crate) handler: H,
}

impl<H, F> Service<H>
where
    H: Fn(Request, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    /// Handles a request to its end even when its sender closes the connection right behind it, as libprocess does where
    /// it has no link. (The server gives up the returned future when it reads that end, perhaps before it polled it once.)
    pub(crate) fn handle(
        self: Arc<Self>,
        request: Request,
        peer: SocketAddr,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Response> + use<H, F> {
        let busy = connection.begin();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let sender =
            message::sender(request.method().as_str(), header("user-agent"), header("libprocess-from"));
        let sender = sender.filter(|_| self.takes_messages);
        connection.carries(match sender {
            Some(_) => Carried::Message,
            None if is_call(&request) => Carried::Call,
            None => Carried::Request,
        });
        let work = if let Some(from) = sender {
            let from = from.parse::<Pid>();
            Whole::new(async move { self.receive(request, from, peer).await })
        } else {
            Tally::add(&self.net.0.tally.requests_served, 1);
            Whole::new(async move { self.serve(request, peer).await })
        };
        let connection = Arc::clone(connection);
        async move {
            let mut response = work.await.unwrap_or_else(|Panicked| {
                tracing::error!("the handler of a request from {peer} panicked");
                text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error.")
            });
            response.body_mut().attach(&connection, busy);
            response
        }
    }

    async fn serve(&self, mut request: Request, peer: SocketAddr) -> Response {
        if request.uri().path().contains("/..") {
            return text(StatusCode::NOT_FOUND, "404 Not Found.");
        }
        // Who comes by a socket of the file system has no address, and sends no messages either.
        if self.takes_messages {
            request.extensions_mut().insert(PeerIp(peer.ip().to_canonical()));
        }
        let accept = request.headers().get(header::ACCEPT_ENCODING).cloned();
        let response = (self.handler)(request, peer).await;
        compress(response, accept.as_ref().and_then(|value| value.to_str().ok())).await
    }

    /// Takes in a libprocess message. Its body is read whatever the answer, since more messages follow on the
    /// connection.
    async fn receive(
        &self,
        request: Request,
        from: Result<Pid, messor_types::PidError>,
        peer: SocketAddr,
    ) -> Response {
        let to = Recipient::parse(request.uri().path());
        let body =
            match collect(request.into_body(), self.limits.message_bytes, Some(&self.large_bodies)).await {
                Ok(body) => body,
                Err(error) => return error.response(),
            };
        let (from, to) = match (from, to) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(error), _) => {
                return text(StatusCode::BAD_REQUEST, format!("the sender of the message: {error}"));
            }
            (_, Err(error)) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        if self.require_peer_address_ip_match && from.address.ip() != peer.ip().to_canonical() {
            return text(
                StatusCode::BAD_REQUEST,
                format!("the message says it is from {from} but comes from {}", peer.ip()),
            );
        }
        let Some((id, queue)) = self.net.process(&to.id) else {
            return text(StatusCode::NOT_FOUND, "404 Not Found.");
        };
        let packet = Packet { from, to: id, name: to.name, body };
        if !queue.put(NetEvent::Message(packet)).await {
            return text(StatusCode::NOT_FOUND, "404 Not Found.");
        }
        Tally::add(&self.net.0.tally.messages_received, 1);
        let mut accepted = Response::new(Body::empty());
        *accepted.status_mut() = StatusCode::ACCEPTED;
        accepted
    }
}

/// Whether it is a call of a scheduler that has its stream already.
fn is_call(request: &Request) -> bool {
    request.method() == Method::POST
        && request.uri().path().ends_with("/api/v1/scheduler")
        && request.headers().contains_key(STREAM_ID)
}

async fn compress(mut response: Response, accept: Option<&str>) -> Response {
    let Some(plain) = response.body().bytes().filter(|bytes| bytes.len() >= GZIP_MINIMUM_BYTES).cloned()
    else {
        return response;
    };
    if response.headers().contains_key(header::CONTENT_ENCODING) || !accepts_encoding(accept, "gzip") {
        return response;
    }
    let packed = if plain.len() > GZIP_INLINE_BYTES {
        tokio::task::spawn_blocking(move || gzip(&plain)).await.ok().flatten()
    } else {
        gzip(&plain)
    };
    if let Some(packed) = packed {
        mark_compressed(response.headers_mut());
        *response.body_mut() = Body::full(packed);
    }
    response
}

fn mark_compressed(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(header::CONTENT_LENGTH);
}

fn gzip(plain: &Bytes) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(GZIP_LEVEL));
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}
