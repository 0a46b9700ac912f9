//! Sends a request as it stands, right or wrong, and tells what came back.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::requests::{Delivery, Shot};

/// A whole answer has to be there after so long: many times what any takes, as machines of tests are busy.
pub const ANSWER_TIME: Duration = Duration::from_secs(15);
/// A stream of events is listened to for so long.
const LISTEN: Duration = Duration::from_millis(60);
const HALT: Duration = Duration::from_millis(30);

#[derive(Debug)]
pub enum Outcome {
    Answer {
        status: u16,
        kind: String,
        body: Vec<u8>,
    },
    /// An answer that goes on and on: only its beginning was read.
    Stream {
        status: u16,
    },
    /// The connection ended without an answer.
    Closed,
    /// No whole answer came in time.
    Hanging,
}

pub fn send(address: SocketAddr, shot: &Shot) -> std::io::Result<Outcome> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME)?;
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    stream.set_nodelay(true)?;
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", shot.method, shot.target)
            .into_bytes();
    for (name, value) in &shot.headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    let chunked = matches!(shot.delivery, Delivery::Chunked | Delivery::BadChunks);
    match shot.delivery {
        _ if chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        Delivery::Short => {
            head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", shot.body.len() + 10).as_bytes())
        }
        _ => head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", shot.body.len()).as_bytes()),
    }
    // Whoever is refused early may find the connection closed before all was sent; the answer may be there all the same.
    let sent = deliver(&mut stream, &head, shot);
    match sent {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Ok(Outcome::Hanging);
        }
        Err(_) => {}
    }
    receive(&mut stream, shot)
}

fn deliver(stream: &mut TcpStream, head: &[u8], shot: &Shot) -> std::io::Result<()> {
    let body = &shot.body;
    stream.write_all(head)?;
    match shot.delivery {
        Delivery::Whole => stream.write_all(body)?,
        Delivery::Halting => {
            let (first, second) = body.split_at(body.len() / 2);
            stream.write_all(first)?;
            std::thread::sleep(HALT);
            stream.write_all(second)?;
        }
        Delivery::Short => {
            stream.write_all(body)?;
            stream.shutdown(std::net::Shutdown::Write)?;
        }
        Delivery::Chunked => {
            for piece in body.chunks((body.len() / 3).max(1)) {
                write!(stream, "{:x}\r\n", piece.len())?;
                stream.write_all(piece)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        Delivery::BadChunks => {
            stream.write_all(b"-5\r\n")?;
            stream.write_all(body)?;
            stream.write_all(b"\r\nfffffffffffffffffff\r\n")?;
        }
    }
    Ok(())
}

fn receive(stream: &mut TcpStream, shot: &Shot) -> std::io::Result<Outcome> {
    let end = Instant::now() + ANSWER_TIME;
    let mut all = Vec::new();
    let mut piece = [0; 16 * 1024];
    let mut listening = None;
    loop {
        let until = listening.unwrap_or(end);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(parse(&all, shot).unwrap_or(Outcome::Closed)),
            Ok(read) => all.extend_from_slice(&piece[..read]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            // Reset: what came before it counts.
            Err(_) => return Ok(parse(&all, shot).unwrap_or(Outcome::Closed)),
        }
        if listening.is_none()
            && head(&all).is_some_and(|(_, headers, _)| header(&headers, "transfer-encoding").is_some())
        {
            listening = Some(Instant::now() + LISTEN);
        }
    }
    match head(&all) {
        Some((status, headers, _)) if header(&headers, "transfer-encoding").is_some() => {
            Ok(Outcome::Stream { status })
        }
        // The answer is whole, and the connection stays open for a while all the same.
        Some(_) if parse(&all, shot).is_some() => Ok(parse(&all, shot).unwrap_or(Outcome::Closed)),
        _ => Ok(Outcome::Hanging),
    }
}

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// The status, the headers, and where the body begins. Answers that only say "go on" are passed over.
fn head(all: &[u8]) -> Option<(u16, Headers<'_>, usize)> {
    let mut begin = 0;
    loop {
        let end = begin + all[begin..].windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&all[begin..end]).ok()?;
        let mut lines = text.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            begin = end + 4;
            continue;
        }
        let headers =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim(), value.trim()));
        return Some((status, headers.collect(), end + 4));
    }
}

fn header<'h>(headers: &Headers<'h>, name: &str) -> Option<&'h str> {
    headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// None where it is not whole.
fn parse(all: &[u8], shot: &Shot) -> Option<Outcome> {
    let (status, headers, begin) = head(all)?;
    if header(&headers, "transfer-encoding").is_some() {
        return Some(Outcome::Stream { status });
    }
    let length: usize =
        header(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let kind = header(&headers, "content-type").unwrap_or_default().to_string();
    let packed = header(&headers, "content-encoding").is_some();
    let body = &all[begin..];
    if shot.method == "HEAD" || packed {
        return Some(Outcome::Answer { status, kind: String::new(), body: Vec::new() });
    }
    (body.len() >= length).then(|| Outcome::Answer { status, kind, body: body.to_vec() })
}
