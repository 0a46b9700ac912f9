//! libprocess messages in bulk: what comes is cut up without copies, what goes is gathered and written by a thread of
//! its own, so that who reads never waits for who writes. It knows nothing of what messages mean.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::board::Board;

const READ_BYTES: usize = 256 * 1024;
/// More than any message of a master has.
const HEADERS: usize = 16;
/// What waits to be written may be so much: all that a run sends in one go. More is a fault of the run.
const OUTBOX_BYTES: usize = 2 << 30;
pub const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// One message as it lies in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The id of the receiving process, with its escapes.
    pub to: &'a str,
    pub name: &'a str,
    /// The PID of the sender.
    pub from: &'a str,
    pub body: &'a [u8],
}

/// The requests of one connection.
#[derive(Default)]
pub struct Requests {
    buffer: Vec<u8>,
    /// What was read and not yet taken.
    start: usize,
    end: usize,
    /// A body that came in several chunks.
    joined: Vec<u8>,
}

enum Body {
    /// Where it lies.
    Whole(usize, usize),
    Joined,
}

impl Requests {
    /// Reads once; false at the end of the connection.
    pub fn fill(&mut self, stream: &mut impl Read) -> std::io::Result<bool> {
        if self.buffer.len() - self.end < READ_BYTES / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() - self.end < READ_BYTES / 2 {
                self.buffer.resize(self.end + READ_BYTES, 0);
            }
        }
        let count = stream.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count > 0)
    }

    /// The next whole request, or none until more is read.
    pub fn next(&mut self) -> Result<Option<Request<'_>>, String> {
        let mut slots = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut slots);
        let rest = &self.buffer[self.start..self.end];
        let head = match request.parse(rest) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("a message that is no HTTP: {error}")),
        };
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let from = header("Libprocess-From")
            .or_else(|| header("User-Agent")?.strip_prefix("libprocess/"))
            .ok_or("a request that is no message: it names no sender")?;
        let path = request.path.unwrap_or_default();
        let (to, name) = path
            .strip_prefix('/')
            .and_then(|path| path.rsplit_once('/'))
            .ok_or_else(|| format!("a message to '{path}'"))?;
        let (body, used) = match header("Content-Length") {
            Some(length) => {
                let length: usize = length.parse().map_err(|_| "a Content-Length that is no number")?;
                if rest.len() < head + length {
                    return Ok(None);
                }
                (Body::Whole(head, length), head + length)
            }
            None => match chunks(&rest[head..], &mut self.joined)? {
                None => return Ok(None),
                Some((Body::Whole(at, length), used)) => (Body::Whole(head + at, length), head + used),
                Some((Body::Joined, used)) => (Body::Joined, head + used),
            },
        };
        self.start += used;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        let body = match body {
            Body::Whole(at, length) => &rest[at..at + length],
            Body::Joined => &self.joined,
        };
        Ok(Some(Request { to, name, from, body }))
    }
}

/// A chunked body, and how long it is with its frame; one chunk, as libprocess sends, is left where it lies.
fn chunks(bytes: &[u8], joined: &mut Vec<u8>) -> Result<Option<(Body, usize)>, String> {
    let mut at = 0;
    let mut first = None;
    joined.clear();
    loop {
        let Some(line) = bytes[at..].windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&bytes[at..at + line]).ok();
        let size = size.and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.ok_or("a chunk without a size")?;
        let start = at + line + 2;
        let end = start + size + 2;
        if bytes.len() < end {
            return Ok(None);
        }
        at = end;
        match (size, first) {
            (0, None) => return Ok(Some((Body::Whole(0, 0), at))),
            (0, Some((start, length))) if joined.is_empty() => {
                return Ok(Some((Body::Whole(start, length), at)));
            }
            (0, Some(_)) => return Ok(Some((Body::Joined, at))),
            (_, None) => first = Some((start, size)),
            (_, Some((start, length))) => {
                if joined.is_empty() {
                    joined.extend_from_slice(&bytes[start..start + length]);
                }
                joined.extend_from_slice(&bytes[at - 2 - size..at - 2]);
            }
        }
    }
}

#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    ended: bool,
}

struct Shared {
    outgoing: Mutex<Outgoing>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes out on one connection.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

impl Outbox {
    /// Writes to `stream` from a thread of its own until it breaks or the outbox ends.
    pub fn new(mut stream: TcpStream, board: Arc<Board>) -> Outbox {
        let shared = Arc::new(Shared { outgoing: Mutex::default(), more: Condvar::new() });
        let queue = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut batch = Vec::new();
            loop {
                let mut outgoing = queue.lock();
                while outgoing.bytes.is_empty() && !outgoing.ended {
                    outgoing = queue.more.wait(outgoing).unwrap_or_else(PoisonError::into_inner);
                }
                if outgoing.ended && outgoing.bytes.is_empty() {
                    break;
                }
                std::mem::swap(&mut batch, &mut outgoing.bytes);
                drop(outgoing);
                if let Err(error) = stream.write_all(&batch) {
                    board.fail(format!("the master takes no more: {error}"));
                    queue.lock().ended = true;
                    return;
                }
                batch.clear();
            }
            // The other side is gone if this fails.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        });
        Outbox(shared)
    }

    /// Appends what `write` writes. Several messages at a time are cheaper than each alone.
    pub fn put(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), String> {
        let mut outgoing = self.0.lock();
        if outgoing.bytes.len() > OUTBOX_BYTES {
            return Err("the master reads too slowly for what it is sent".to_string());
        }
        let idle = outgoing.bytes.is_empty();
        write(&mut outgoing.bytes);
        if idle {
            self.0.more.notify_one();
        }
        Ok(())
    }

    /// Writes what is there, then closes the connection.
    pub fn end(&self) {
        self.0.lock().ended = true;
        self.0.more.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_pieces_and_both_framings() {
        let text = b"POST /slave(1)/mesos.internal.A HTTP/1.1\r\nLibprocess-From: m@1.2.3.4:5\r\n\
            Content-Length: 3\r\n\r\nabcPOST /slave(2)/B HTTP/1.1\r\nUser-Agent: libprocess/m@1.2.3.4:5\r\n\
            Transfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\nPOST /s/C HTTP/1.1\r\nLibprocess-From: m\r\n\
            Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\nPOST /s/D HTTP/1.1\r\n\
            Libprocess-From: m\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        for piece in [1, 7, 64, text.len()] {
            let mut requests = Requests::default();
            let mut seen = Vec::new();
            for mut bytes in text.chunks(piece) {
                assert!(requests.fill(&mut bytes).unwrap());
                while let Some(request) = requests.next().unwrap() {
                    let body = String::from_utf8(request.body.to_vec()).unwrap();
                    seen.push((request.to.to_string(), request.name.to_string(), body));
                }
            }
            let expected = [
                ("slave(1)", "mesos.internal.A", "abc"),
                ("slave(2)", "B", "wxyz"),
                ("s", "C", "abc"),
                ("s", "D", ""),
            ];
            assert_eq!(seen, expected.map(|(to, name, body)| (to.into(), name.into(), body.into())));
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let mut requests = Requests::default();
        requests.fill(&mut b"GET /health HTTP/1.1\r\n\r\n".as_slice()).unwrap();
        assert!(requests.next().unwrap_err().contains("no sender"));
    }
}
