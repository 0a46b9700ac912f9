//! A single request to another program of the cluster, its answer read whole or as it comes: for what is passed on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Method, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use crate::Body;
use crate::body::{BodyError, collect, next_piece};

/// A connection that is not made after so long counts as refused.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// From the request to the last byte of the answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Of an answer that is read as it comes so much is held here at most, and twice that by the kernel. It would let much more
/// come, and then nothing until a sixteenth of it was read, which whoever sends takes for a reader that stands still.
const READ_AHEAD_BYTES: u32 = 128 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum GetError {
    #[error("the target is no path: {0}")]
    Target(http::Error),
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    #[error("{0} does not answer in time")]
    Slow(SocketAddr),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("{0} answers no HTTP: {1}")]
    Broken(SocketAddr, hyper::Error),
    #[error("the answer of {0} breaks off: {1}")]
    BrokenBody(SocketAddr, BodyError),
}

/// Asks for `target`, a path with its query. Follows no redirects.
pub async fn get(
    address: SocketAddr,
    target: &str,
    headers: HeaderMap,
    limit_bytes: usize,
) -> Result<http::Response<Bytes>, GetError> {
    ask(address, Method::GET, target, headers, Bytes::new(), limit_bytes).await
}

/// Sends a body to `target`.
pub async fn post(
    address: SocketAddr,
    target: &str,
    headers: HeaderMap,
    body: Bytes,
    limit_bytes: usize,
) -> Result<http::Response<Bytes>, GetError> {
    ask(address, Method::POST, target, headers, body, limit_bytes).await
}

/// The body of an answer, as it comes. Dropping it closes the connection.
pub struct Pieces(Incoming);

impl Pieces {
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        next_piece(&mut self.0).await
    }
}

/// Asks for `target`, and reads of the answer no more than its head: it may be of any size.
pub async fn open(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: HeaderMap,
) -> Result<http::Response<Pieces>, GetError> {
    let request = request(address, method, target, headers, Bytes::new())?;
    let stream = connect(address, Some(READ_AHEAD_BYTES)).await?;
    let broken = |error| GetError::Broken(address, error);
    let head = async {
        let mut client = http1::Builder::new();
        client.max_buf_size(READ_AHEAD_BYTES as usize);
        let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the answer, or when nobody reads it any more.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    };
    let answer = tokio::time::timeout(ANSWER_TIME, head).await.unwrap_or(Err(GetError::Slow(address)))?;
    Ok(answer.map(Pieces))
}

fn request(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<http::Request<Body>, GetError> {
    let mut request = http::Request::new(Body::full(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::builder().path_and_query(target).build().map_err(GetError::Target)?;
    *request.headers_mut() = headers;
    if let Ok(host) = HeaderValue::from_str(&address.to_string()) {
        request.headers_mut().insert(HOST, host);
    }
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn connect(address: SocketAddr, read_ahead: Option<u32>) -> Result<TcpStream, GetError> {
    let connecting = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = read_ahead {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect(address).await
    };
    match tokio::time::timeout(CONNECT_TIME, connecting).await {
        Ok(connected) => connected.map_err(|error| GetError::Connect(address, error)),
        Err(_) => Err(GetError::Connect(address, io::ErrorKind::TimedOut.into())),
    }
}

async fn ask(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: HeaderMap,
    body: Bytes,
    limit_bytes: usize,
) -> Result<http::Response<Bytes>, GetError> {
    let request = request(address, method, target, headers, body)?;
    let stream = connect(address, None).await?;
    let exchange = async {
        let broken = |error| GetError::Broken(address, error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answer = async {
            let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            match collect(body, limit_bytes, None).await {
                Ok(body) => Ok(http::Response::from_parts(parts, body)),
                Err(BodyError::TooLarge(limit)) => Err(GetError::TooLarge(limit)),
                Err(error) => Err(GetError::BrokenBody(address, error)),
            }
        };
        // The connection moves only while it is polled; it ends with the answer, or with this future.
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answer = answer.as_mut() => answer,
            ended = connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(broken(error)),
            },
        }
    };
    tokio::time::timeout(ANSWER_TIME, exchange).await.unwrap_or(Err(GetError::Slow(address)))
}
