//! The client's half of HTTP/1.1 over bytes: writing requests, and reading responses piece by piece. Executors and
//! small tools use it over blocking sockets; connecting, time-outs and what a response means are theirs.

use crate::buffer::Buffer;
use crate::chunked::{Chunk, ChunkError, Chunks};

/// A response head may be this long,
pub const HEAD_LIMIT_BYTES: usize = 64 * 1024;
/// and have this many headers.
pub const HEADER_LIMIT: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("the response head is malformed: {0}")]
    Head(httparse::Error),
    #[error("the response head is longer than {HEAD_LIMIT_BYTES} bytes")]
    HeadTooLarge,
    #[error("the response has more than {HEADER_LIMIT} headers")]
    TooManyHeaders,
    #[error("the Content-Length of the response is not one whole number")]
    ContentLength,
    #[error("the response has a Transfer-Encoding other than chunked")]
    TransferEncoding,
    #[error("the response body is malformed: {0}")]
    Chunk(#[from] ChunkError),
    #[error("the response body is larger than the limit of {0} bytes")]
    BodyTooLarge(usize),
    #[error("the connection ended within a response")]
    Truncated,
    #[error("the header {0} cannot be sent: it has a line break or another character that HTTP forbids")]
    RequestHeader(String),
}

/// How the body of a request is told to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// No body, and no `Content-Length` (GET, HEAD, DELETE).
    None,
    /// So many bytes follow the head.
    Length(usize),
    /// The body follows in chunks ([`crate::chunked::write_chunk`]), its length not known beforehand.
    Chunked,
}

/// Appends the head of a request. `target` is sent as it is: escape it with [`crate::target::encode_into`].
pub fn write_request_head(
    out: &mut Vec<u8>,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: RequestBody,
) -> Result<(), HttpError> {
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible(method) || !visible(target) {
        return Err(HttpError::RequestHeader(format!(
            "'{} {}'",
            method.escape_debug(),
            target.escape_debug()
        )));
    }
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        let clean = visible(name)
            && !name.contains(':')
            && value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        if !clean {
            return Err(HttpError::RequestHeader(name.escape_debug().to_string()));
        }
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    match body {
        RequestBody::None => {}
        RequestBody::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        RequestBody::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The status and headers of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Whether another request may be sent on the connection after this response.
    pub keep_alive: bool,
}

impl ResponseHead {
    /// The value of the first header of this name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &'static str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A piece of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Head(ResponseHead),
    /// A piece of the body, never empty.
    Data(Vec<u8>),
    /// The response is complete; the next one on the connection may follow.
    End,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    End,
}

/// Reads the responses of one connection. It keeps what was pushed and not yet taken, plus a head at most:
/// take all parts after each push, and a stream of any length needs little memory.
#[derive(Debug)]
pub struct ResponseDecoder {
    buffer: Buffer,
    state: State,
    head_only: bool,
    error: Option<HttpError>,
}

impl Default for ResponseDecoder {
    fn default() -> ResponseDecoder {
        ResponseDecoder::new()
    }
}

impl ResponseDecoder {
    pub fn new() -> ResponseDecoder {
        ResponseDecoder { buffer: Buffer::default(), state: State::Head, head_only: false, error: None }
    }

    /// For responses to HEAD requests, which have no body whatever their head says.
    pub fn for_head_requests() -> ResponseDecoder {
        ResponseDecoder { head_only: true, ..ResponseDecoder::new() }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.buffer.push(bytes);
        }
    }

    /// The next part, or none until more is pushed. Interim responses (100) are left out.
    pub fn next_part(&mut self) -> Result<Option<Part>, HttpError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.decode().inspect_err(|error| {
            self.error = Some(error.clone());
            self.buffer = Buffer::default();
        })
    }

    /// To be called when the connection has ended: says whether it ended where a response may end.
    pub fn finish(&self) -> Result<(), HttpError> {
        match (&self.error, &self.state) {
            (Some(error), _) => Err(error.clone()),
            (None, State::UntilClose | State::End) => Ok(()),
            (None, State::Head) if self.buffer.len() == 0 => Ok(()),
            _ => Err(HttpError::Truncated),
        }
    }

    fn decode(&mut self) -> Result<Option<Part>, HttpError> {
        loop {
            match &mut self.state {
                State::Head => {
                    let Some((head, state)) = self.decode_head()? else { return Ok(None) };
                    if (100..200).contains(&head.status) && head.status != 101 {
                        continue;
                    }
                    self.state = state;
                    return Ok(Some(Part::Head(head)));
                }
                State::Length(0) | State::End => {
                    self.state = State::Head;
                    return Ok(Some(Part::End));
                }
                State::Length(left) => {
                    if self.buffer.len() == 0 {
                        return Ok(None);
                    }
                    let data = self.buffer.take(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= data.len() as u64;
                    return Ok(Some(Part::Data(data)));
                }
                State::Chunked(chunks) => match chunks.next(&mut self.buffer)? {
                    Chunk::More => return Ok(None),
                    Chunk::Data(data) => return Ok(Some(Part::Data(data))),
                    Chunk::Done => self.state = State::End,
                },
                State::UntilClose => {
                    let data = self.buffer.take(usize::MAX);
                    return Ok((!data.is_empty()).then_some(Part::Data(data)));
                }
            }
        }
    }

    fn decode_head(&mut self) -> Result<Option<(ResponseHead, State)>, HttpError> {
        let rest = self.buffer.rest();
        let window = &rest[..rest.len().min(HEAD_LIMIT_BYTES)];
        let mut slots = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut response = httparse::Response::new(&mut slots);
        let length = match response.parse(window) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if rest.len() >= HEAD_LIMIT_BYTES => {
                return Err(HttpError::HeadTooLarge);
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooManyHeaders),
            Err(error) => return Err(HttpError::Head(error)),
        };
        let headers: Vec<(String, String)> = response
            .headers
            .iter()
            .map(|header| (header.name.to_string(), String::from_utf8_lossy(header.value).into_owned()))
            .collect();
        let (status, version) = (response.code.unwrap_or_default(), response.version.unwrap_or_default());
        let connection: Vec<&str> =
            find(&headers, "connection").flat_map(|value| value.split(',')).map(str::trim).collect();
        let says = |word: &str| connection.iter().any(|option| option.eq_ignore_ascii_case(word));
        let state = self.framing(status, &headers)?;
        let keep_alive = !matches!(state, State::UntilClose)
            && if version == 0 { says("keep-alive") } else { !says("close") };
        self.buffer.skip(length);
        Ok(Some((ResponseHead { status, headers, keep_alive }, state)))
    }

    /// How the body that follows a head is delimited (RFC 9112, 6.3).
    fn framing(&self, status: u16, headers: &[(String, String)]) -> Result<State, HttpError> {
        let mut codings = find(headers, "transfer-encoding").peekable();
        let mut lengths = find(headers, "content-length").flat_map(|value| value.split(',')).map(str::trim);
        if self.head_only || (100..200).contains(&status) || status == 204 || status == 304 {
            return Ok(State::End);
        }
        if codings.peek().is_some() {
            return match (codings.next(), codings.next()) {
                (Some(coding), None) if coding.trim().eq_ignore_ascii_case("chunked") => {
                    Ok(State::Chunked(Chunks::new()))
                }
                _ => Err(HttpError::TransferEncoding),
            };
        }
        let Some(first) = lengths.next() else { return Ok(State::UntilClose) };
        if !first.bytes().all(|byte| byte.is_ascii_digit()) || lengths.any(|other| other != first) {
            return Err(HttpError::ContentLength);
        }
        first.parse().map(State::Length).map_err(|_| HttpError::ContentLength)
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub head: ResponseHead,
    pub body: Vec<u8>,
}

/// Collects whole responses with bodies of at most a limit.
#[derive(Debug)]
pub struct ResponseCollector {
    decoder: ResponseDecoder,
    limit: usize,
    partial: Option<Response>,
}

impl ResponseCollector {
    pub fn new(limit: usize) -> ResponseCollector {
        ResponseCollector { decoder: ResponseDecoder::new(), limit, partial: None }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// The next whole response, or none until more is pushed.
    pub fn next_response(&mut self) -> Result<Option<Response>, HttpError> {
        while let Some(part) = self.decoder.next_part()? {
            match part {
                Part::Head(head) => self.partial = Some(Response { head, body: Vec::new() }),
                Part::Data(data) => {
                    let body = &mut self.partial.as_mut().ok_or(HttpError::Truncated)?.body;
                    if body.len() + data.len() > self.limit {
                        return Err(HttpError::BodyTooLarge(self.limit));
                    }
                    body.extend(data);
                }
                Part::End => return Ok(self.partial.take()),
            }
        }
        Ok(None)
    }

    /// To be called when the connection has ended: the response whose body lasts until then, if there is one.
    pub fn finish(mut self) -> Result<Option<Response>, HttpError> {
        let response = self.next_response()?;
        self.decoder.finish()?;
        Ok(response.or(self.partial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(bytes: &[u8]) -> Result<Vec<Part>, HttpError> {
        let mut decoder = ResponseDecoder::new();
        decoder.push(bytes);
        let mut parts = Vec::new();
        while let Some(part) = decoder.next_part()? {
            parts.push(part);
        }
        Ok(parts)
    }

    fn responses(pieces: &[&[u8]]) -> Result<Vec<(u16, Vec<u8>)>, HttpError> {
        let mut collector = ResponseCollector::new(1000);
        let mut responses = Vec::new();
        for piece in pieces {
            collector.push(piece);
            while let Some(response) = collector.next_response()? {
                responses.push((response.head.status, response.body));
            }
        }
        responses.extend(collector.finish()?.map(|response| (response.head.status, response.body)));
        Ok(responses)
    }

    const PIPELINED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nxyz";

    #[test]
    fn requests() {
        let mut out = Vec::new();
        let headers = [("Host", "a:1"), ("Accept", "application/json")];
        write_request_head(&mut out, "POST", "/api/v1", &headers, RequestBody::Length(3)).unwrap();
        assert_eq!(
            out,
            b"POST /api/v1 HTTP/1.1\r\nHost: a:1\r\nAccept: application/json\r\nContent-Length: 3\r\n\r\n"
        );
        let mut out = Vec::new();
        write_request_head(&mut out, "POST", "/", &[], RequestBody::Chunked).unwrap();
        assert_eq!(out, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (target, name, value) in
            [("/", "A", "x\r\nB: y"), ("/", "A:", "x"), ("/ x", "A", "x"), ("", "A", "x")]
        {
            let wrong =
                write_request_head(&mut Vec::new(), "GET", target, &[(name, value)], RequestBody::None);
            assert!(matches!(wrong, Err(HttpError::RequestHeader(_))), "{target} {name} {value}");
        }
    }

    #[test]
    fn pipelined_responses() {
        let expected = vec![(202, vec![]), (200, b"abcde".to_vec()), (204, vec![]), (404, b"xyz".to_vec())];
        assert_eq!(responses(&[PIPELINED]), Ok(expected));
    }

    #[test]
    fn heads() {
        let found =
            parts(b"HTTP/1.1 307 Temporary Redirect\r\nLOCATION: //x:1/y\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        let Part::Head(head) = &found[0] else { panic!("{found:?}") };
        assert_eq!((head.status, head.header("Location"), head.keep_alive), (307, Some("//x:1/y"), true));
        assert_eq!(found[1], Part::End);
        let keep = |text: &[u8]| match parts(text).unwrap().remove(0) {
            Part::Head(head) => head.keep_alive,
            other => panic!("{other:?}"),
        };
        assert!(!keep(b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n"));
        assert!(!keep(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!keep(b"HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn bodies_until_the_end_of_the_connection() {
        assert_eq!(responses(&[b"HTTP/1.1 200 OK\r\n\r\nab", b"cd"]), Ok(vec![(200, b"abcd".to_vec())]));
    }

    #[test]
    fn a_head_request_has_no_body() {
        let mut decoder = ResponseDecoder::for_head_requests();
        decoder.push(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        assert!(matches!(decoder.next_part(), Ok(Some(Part::Head(_)))));
        assert_eq!(decoder.next_part(), Ok(Some(Part::End)));
        assert_eq!(decoder.next_part(), Ok(None));
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let with = |header: &str| parts(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n").as_bytes());
        assert_eq!(with("Content-Length: 1\r\nContent-Length: 2"), Err(HttpError::ContentLength));
        assert_eq!(with("Content-Length: -1"), Err(HttpError::ContentLength));
        assert_eq!(with("Content-Length: 99999999999999999999"), Err(HttpError::ContentLength));
        assert_eq!(with("Content-Length:"), Err(HttpError::ContentLength));
        assert_eq!(with("Transfer-Encoding: gzip, chunked"), Err(HttpError::TransferEncoding));
        assert!(matches!(parts(b"SSH-2.0-x\r\n\r\n"), Err(HttpError::Head(_))));
        assert_eq!(with(&["a: b"; HEADER_LIMIT + 1].join("\r\n")), Err(HttpError::TooManyHeaders));
        let long = format!("a: {}", "b".repeat(HEAD_LIMIT_BYTES));
        assert_eq!(with(&long), Err(HttpError::HeadTooLarge));
        assert_eq!(
            responses(&[b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"]),
            Err(HttpError::Truncated)
        );
        assert_eq!(
            responses(&[b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", &[b'x'; 1001]]),
            Err(HttpError::BodyTooLarge(1000))
        );
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(cut in 1usize..80) {
            let pieces: Vec<&[u8]> = PIPELINED.chunks(cut).collect();
            prop_assert_eq!(responses(&pieces), responses(&[PIPELINED]));
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            stream.extend_from_slice(&bytes);
            let _ = responses(&[&bytes]);
            let _ = responses(&[&stream]);
        }
    }
}
