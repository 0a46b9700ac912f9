//! A single request to another program of the cluster, its answer read whole: for what is passed on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Method, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Body;
use crate::body::{BodyError, collect};

/// A connection that is not made after so long counts as refused.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// From the request to the last byte of the answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

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

async fn ask(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: HeaderMap,
    body: Bytes,
    limit_bytes: usize,
) -> Result<http::Response<Bytes>, GetError> {
    let mut request = http::Request::new(Body::full(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::builder().path_and_query(target).build().map_err(GetError::Target)?;
    *request.headers_mut() = headers;
    if let Ok(host) = HeaderValue::from_str(&address.to_string()) {
        request.headers_mut().insert(HOST, host);
    }
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let stream = match tokio::time::timeout(CONNECT_TIME, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| GetError::Connect(address, error))?,
        Err(_) => return Err(GetError::Connect(address, io::ErrorKind::TimedOut.into())),
    };
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
