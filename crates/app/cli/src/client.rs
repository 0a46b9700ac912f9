//! HTTP requests over blocking sockets: one connection each, with time limits. It must not know what they mean.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

pub use messor_codec::http_client::Response;
use messor_codec::http_client::{HttpError, RequestBody, ResponseCollector, write_request_head};

use crate::master::Address;

/// The time limit on connecting, and on each wait for more of an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// No answer but a stream or a file is longer.
const ANSWER_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no connection to {address}: {source}")]
    Connect { address: Address, source: io::Error },
    #[error("the connection to {address} broke: {source}")]
    Broken { address: Address, source: io::Error },
    #[error("{address} ended the connection without an answer")]
    NoAnswer { address: Address },
    #[error("{address} does not answer as an HTTP server should: {source}")]
    Http { address: Address, source: HttpError },
}

impl ClientError {
    pub fn broken(address: &Address, source: io::Error) -> ClientError {
        ClientError::Broken { address: address.clone(), source }
    }

    pub fn http(address: &Address, source: HttpError) -> ClientError {
        ClientError::Http { address: address.clone(), source }
    }
}

/// A connection with time limits; what is sent over it is the caller's.
pub fn connect(address: &Address) -> Result<TcpStream, ClientError> {
    let failed = |source| ClientError::Connect { address: address.clone(), source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in (address.host.as_str(), address.port).to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&candidate, PATIENCE) {
            Ok(stream) => {
                let broken = |source| ClientError::broken(address, source);
                stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
                stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// Connects and sends a request; the answer is the caller's to read.
pub fn send(
    address: &Address,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<TcpStream, ClientError> {
    let mut stream = connect(address)?;
    let host = address.to_string();
    let mut all = vec![("Host", host.as_str())];
    all.extend_from_slice(headers);
    let length = body.map_or(RequestBody::None, |body| RequestBody::Length(body.len()));
    let mut request = Vec::new();
    write_request_head(&mut request, method, target, &all, length)
        .map_err(|source| ClientError::http(address, source))?;
    request.extend_from_slice(body.unwrap_or_default());
    stream.write_all(&request).map_err(|source| ClientError::broken(address, source))?;
    Ok(stream)
}

/// A request and its whole answer.
pub fn exchange(
    address: &Address,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<Response, ClientError> {
    exchange_up_to(ANSWER_BYTES, address, method, target, headers, body)
}

/// The same, of an answer that may be so long.
pub fn exchange_up_to(
    most_bytes: usize,
    address: &Address,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<Response, ClientError> {
    let mut all = vec![("Connection", "close")];
    all.extend_from_slice(headers);
    let mut stream = send(address, method, target, &all, body)?;
    let mut collector = ResponseCollector::new(most_bytes);
    let wrong = |source| ClientError::http(address, source);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if let Some(response) = collector.next_response().map_err(wrong)? {
            return Ok(response);
        }
        match stream.read(&mut buffer) {
            Ok(0) => {
                let response = collector.finish().map_err(wrong)?;
                return response.ok_or_else(|| ClientError::NoAnswer { address: address.clone() });
            }
            Ok(count) => collector.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ClientError::broken(address, error)),
        }
    }
}

/// The beginning of an answer's text, for errors.
pub fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(512)]);
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {}", without_controls(text)) }
}

/// Nothing in it moves the cursor or begins a line.
fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    out
}
