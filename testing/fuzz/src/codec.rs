//! RecordIO, responses, libprocess requests, request targets, content negotiation.

use messor_codec::http_client::{HttpError, Part, ResponseDecoder, ResponseHead};
use messor_codec::message::{self, Recipient};
use messor_codec::negotiation::{accepts_encoding, accepts_media_type, media_type};
use messor_codec::recordio::{Decoder, RecordError, encode_into};
use messor_codec::target::{Query, Target, decode, encode};

use crate::{choice, text};

const RECORD_LIMIT: usize = 4096;

pub fn recordio(data: &[u8]) {
    let (cut, stream) = choice(data);
    let (records, error) = records(stream, stream.len().max(1));
    assert_eq!((&records, &error), (&self::records(stream, usize::from(cut) + 1).0, &error));
    assert!(records.iter().all(|record| record.len() <= RECORD_LIMIT));
    let mut again = Vec::new();
    for record in &records {
        encode_into(&mut again, record);
    }
    let (read, outcome) = self::records(&again, again.len().max(1));
    assert_eq!((read, outcome), (records, Ok(())));
}

fn records(stream: &[u8], cut: usize) -> (Vec<Vec<u8>>, Result<(), RecordError>) {
    let mut decoder = Decoder::new(RECORD_LIMIT);
    let mut records = Vec::new();
    for piece in stream.chunks(cut) {
        decoder.push(piece);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => return (records, Err(error)),
            }
        }
    }
    (records, decoder.finish())
}

pub fn http_client_response(data: &[u8]) {
    let (cut, stream) = choice(data);
    let whole = responses(stream, stream.len().max(1));
    assert_eq!(whole, responses(stream, usize::from(cut) + 1));
}

type Responses = Vec<(ResponseHead, Vec<u8>, bool)>;

/// Heads with their bodies, and whether they are complete.
fn responses(stream: &[u8], cut: usize) -> (Responses, Result<(), HttpError>) {
    let mut decoder = ResponseDecoder::new();
    let mut responses: Responses = Vec::new();
    for piece in stream.chunks(cut) {
        decoder.push(piece);
        loop {
            match decoder.next_part() {
                Ok(Some(Part::Head(head))) => responses.push((head, Vec::new(), false)),
                Ok(Some(Part::Data(data))) => {
                    assert!(!data.is_empty());
                    responses.last_mut().expect("a body follows a head").1.extend(data);
                }
                Ok(Some(Part::End)) => responses.last_mut().expect("an end follows a head").2 = true,
                Ok(None) => break,
                Err(error) => return (responses, Err(error)),
            }
        }
    }
    let end = decoder.finish();
    (responses, end)
}

pub fn libprocess_request(data: &[u8]) {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut slots);
    if !matches!(request.parse(data), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let (Some(method), Some(path)) = (request.method, request.path) else { return };
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let sender = message::sender(method, header("user-agent"), header("libprocess-from"));
    assert!(sender.is_none() || method == "POST");
    let Ok(to) = Recipient::parse(path) else { return };
    let mut written = Vec::new();
    message::write(&mut written, "a@127.0.0.1:1", &to.id, "127.0.0.1:2", &to.name, b"");
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut again = httparse::Request::new(&mut slots);
    assert_eq!(again.parse(&written), Ok(httparse::Status::Complete(written.len())));
    let read = Recipient::parse(again.path.unwrap_or_default()).expect("what is written can be read");
    if to.id.is_empty() {
        // Written as libprocess does: a message to no process is named by its first segment alone.
        return;
    }
    assert_eq!(read.id, to.id);
    assert_eq!(decode(&read.name), Ok(to.name));
}

pub fn target(data: &[u8]) {
    let text = text(data);
    if let Ok(target) = Target::parse(text) {
        assert!(target.segments().all(|segment| !segment.is_empty() && !segment.contains('/')));
        assert!(!target.path.contains(['?', '#']));
    }
    assert_eq!(decode(&encode(text)).as_deref(), Ok(text));
    let Ok(query) = Query::parse(text) else { return };
    let pairs: Vec<String> =
        query.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    assert_eq!(Query::parse(&pairs.join("&")).as_ref(), Ok(&query));
}

pub fn negotiation(data: &[u8]) {
    let text = text(data);
    assert!(!media_type(text).contains(';'));
    let json = accepts_media_type(Some(text), "application/json");
    // A list without any weight refuses nothing that an earlier list accepted.
    assert!(
        !json
            || text.contains("q=")
            || accepts_media_type(Some(&format!("{text},text/plain")), "application/json")
    );
    accepts_encoding(Some(text), "gzip");
}
