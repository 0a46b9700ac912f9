//! Downloads of files, as streams: what of one is in memory has a bound, however large it is and however slowly it is read.
//! A part of a file where Range asks for it. It must not know which files there are.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use messor_net::{Body, Response, StreamSender};

use crate::answer::{Answer, empty, text};
use crate::places::{NoPlace, Place, Places};
use crate::request::Request;
use crate::respond;

/// A file is read by so much at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// So many pieces wait for a reader: with one more that is being written, and one that is being read, 256 KB of a download.
const PIECES: usize = 2;
/// So many downloads at a time, and a quarter of them for one address (a master passes on no more than that); others are told
/// to come again. All together have 64 MB in memory.
static PLACES: Places = Places::new(256, 64);

/// What an answer is about: the whole, a part, or nothing.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Unchanged,
    Beyond,
}

/// What names the state of a file: another one once it was written to.
fn tag(metadata: &std::fs::Metadata) -> String {
    let (inode, size) = (metadata.ino(), metadata.len());
    format!("\"{inode:x}-{size:x}-{:x}.{:x}\"", metadata.mtime(), metadata.mtime_nsec())
}

fn wanted(method: &Method, headers: &HeaderMap, size: u64, tag: &str) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Wanted::Whole;
    }
    let known = |list: &str| {
        list.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*")
    };
    if text(header::IF_NONE_MATCH).is_some_and(known) {
        return Wanted::Unchanged;
    }
    // A part of another state of the file is of no use; dates say too little of a file that is written to.
    if *method == Method::HEAD || text(header::IF_RANGE).is_some_and(|state| state != tag) {
        return Wanted::Whole;
    }
    match text(header::RANGE).map(|range| part(range, size)) {
        None | Some(Asked::Other) => Wanted::Whole,
        Some(Asked::Beyond) => Wanted::Beyond,
        Some(Asked::Part(part)) => Wanted::Part(part),
    }
}

enum Asked {
    Part(Range<u64>),
    Beyond,
    /// Several parts, another unit, or nonsense: it is as if nothing was asked (RFC 9110, 14.2).
    Other,
}

/// One range of bytes: `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH`.
fn part(range: &str, size: u64) -> Asked {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Asked::Other;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // One that is larger than any file is one behind its end.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(length)) if first.is_empty() => match length {
            0 => return Asked::Beyond,
            length => size.saturating_sub(length)..size,
        },
        _ => return Asked::Other,
    };
    if range.start < size { Asked::Part(range) } else { Asked::Beyond }
}

/// The answer with an open file. `name` is what a browser saves it as.
pub fn serve(request: &Request, file: File, name: &str) -> Response {
    let Request { method, headers, .. } = request;
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            return respond::whole(text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("failed to read: {error}"),
            ));
        }
    };
    let (size, tag) = (metadata.len(), tag(&metadata));
    let (status, range) = match wanted(method, headers, size, &tag) {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Unchanged => return respond::whole(with_tag(empty(StatusCode::NOT_MODIFIED), &tag)),
        Wanted::Beyond => {
            let words = format!("the file has {size} bytes");
            let mut answer = with_tag(text(StatusCode::RANGE_NOT_SATISFIABLE, words), &tag);
            set(answer.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
            return respond::whole(answer);
        }
    };
    let mut answer = with_tag(empty(status), &tag).map(|_| Body::empty());
    let head = answer.headers_mut();
    set(head, header::CONTENT_TYPE, "application/octet-stream");
    // Nothing that a task wrote is shown as a page of this server's.
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '_' })
        .collect();
    set(head, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    set(head, header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(head, header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", range.start, range.end - 1));
    }
    if *method != Method::HEAD && !range.is_empty() {
        let place = match PLACES.take(request.peer) {
            Ok(place) => place,
            Err(none) => return too_many(none),
        };
        let (sender, body) = Body::stream(PIECES, PIECES * PIECE_BYTES);
        *answer.body_mut() = body;
        tokio::spawn(send(file, range, sender, place));
    }
    answer
}

pub fn too_many(none: NoPlace) -> Response {
    respond::whole(text(StatusCode::SERVICE_UNAVAILABLE, format!("downloads: {none}")))
}

fn with_tag(mut answer: Answer, tag: &str) -> Answer {
    set(answer.headers_mut(), header::ETAG, tag);
    set(answer.headers_mut(), header::ACCEPT_RANGES, "bytes");
    answer
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Reads piece by piece, as there is room for more. A file that became shorter, or cannot be read any more, breaks the
/// connection: so the client knows that it has not got what was announced.
async fn send(mut file: File, range: Range<u64>, sender: StreamSender, place: Place) {
    let mut at = range.start;
    if at > 0 && file.seek(SeekFrom::Start(at)).is_err() {
        return sender.abort();
    }
    while at < range.end {
        let length = (range.end - at).min(PIECE_BYTES as u64);
        // Disks may be slow: not on a thread that serves others.
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(length as usize);
            let outcome = file.by_ref().take(length).read_to_end(&mut piece);
            (file, outcome.map(|_| piece))
        });
        let piece = match read.await {
            Ok((same, Ok(piece))) if !piece.is_empty() => {
                file = same;
                piece
            }
            Ok((_, outcome)) => {
                let error = outcome.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                tracing::warn!("a download breaks off: {error}");
                return sender.abort();
            }
            Err(_) => return sender.abort(),
        };
        at += piece.len() as u64;
        if sender.send(piece.into()).await.is_err() {
            return;
        }
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, headers: &[(header::HeaderName, &str)]) -> Wanted {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        wanted(&method, &headers, 100, "\"a\"")
    }

    #[test]
    fn one_range_is_a_part_and_all_else_the_whole() {
        for (range, expected) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=-1", Wanted::Part(99..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=5-1000", Wanted::Part(5..100)),
            ("bytes=5-99999999999999999999999", Wanted::Part(5..100)),
            ("bytes=100-", Wanted::Beyond),
            ("bytes=99999999999999999999999-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=9-8", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(ask(Method::GET, &[(header::RANGE, range)]), expected, "{range}");
        }
        assert_eq!(ask(Method::HEAD, &[(header::RANGE, "bytes=0-9")]), Wanted::Whole);
        assert_eq!(ask(Method::POST, &[(header::RANGE, "bytes=0-9")]), Wanted::Whole);
        assert!(matches!(part("bytes=0-", 0), Asked::Beyond), "there is no part of nothing");
    }

    #[test]
    fn a_part_is_one_of_the_same_file() {
        let range = (header::RANGE, "bytes=0-9");
        assert_eq!(ask(Method::GET, &[range.clone(), (header::IF_RANGE, "\"a\"")]), Wanted::Part(0..10));
        for other in ["\"b\"", "W/\"a\"", "Sat, 28 Nov 2026 11:00:00 GMT"] {
            assert_eq!(
                ask(Method::GET, &[range.clone(), (header::IF_RANGE, other)]),
                Wanted::Whole,
                "{other}"
            );
        }
        for same in ["\"a\"", "\"x\", W/\"a\"", "*"] {
            assert_eq!(ask(Method::GET, &[range.clone(), (header::IF_NONE_MATCH, same)]), Wanted::Unchanged);
        }
        assert_eq!(ask(Method::GET, &[(header::IF_NONE_MATCH, "\"b\"")]), Wanted::Whole);
    }
}
