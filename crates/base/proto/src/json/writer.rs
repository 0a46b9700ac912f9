//! A writer for documents made by hand, such as `/state`: it prints strings and numbers as Mesos does, puts
//! the commas, and takes messages and ready-made pieces in between. It does not check that brackets match.

use std::fmt;

use bytes::Bytes;

use super::{number, put};
use crate::{Version, Wire, WireEnum};

/// Takes a document, or an answer in protobuf, piece by piece while it is written.
pub type Sink = Box<dyn FnMut(Bytes) + Send>;

/// Pieces have so many bytes, or a little more.
const PIECE_BYTES: usize = 256 * 1024;
/// What was written before and has so many bytes is a piece of its own, which is not copied.
const OWN_PIECE_BYTES: usize = 16 * 1024;

/// Appends one JSON document to a buffer, without a tree.
///
/// ```
/// use messor_proto::JsonWriter;
///
/// let mut json = JsonWriter::new();
/// json.object(|json| {
///     json.key("id").string("a");
///     json.key("cpus").double(2.0);
///     json.key("roles").array(|json| {
///         json.string("x");
///         json.string("y");
///     });
/// });
/// assert_eq!(json.into_bytes(), br#"{"id":"a","cpus":2.0,"roles":["x","y"]}"#);
/// ```
#[derive(Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    /// Where this document begins in a buffer that had something in it.
    start: usize,
    sink: Option<Sink>,
    /// The last byte of what went to the sink.
    gone: Option<u8>,
}

impl fmt::Debug for JsonWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonWriter").field("bytes", &self.out.len()).field("gone", &self.gone).finish()
    }
}

impl JsonWriter {
    pub fn new() -> JsonWriter {
        JsonWriter::default()
    }

    pub fn with_capacity(bytes: usize) -> JsonWriter {
        JsonWriter { out: Vec::with_capacity(bytes), ..JsonWriter::default() }
    }

    /// Hands out what is written as soon as there is enough for a piece. The rest is what [`JsonWriter::into_bytes`] gives:
    /// all of it, where it is not enough for one.
    pub fn in_pieces(sink: Sink) -> JsonWriter {
        JsonWriter { sink: Some(sink), ..JsonWriter::default() }
    }

    /// Goes on behind what is in `out`, which is not looked at.
    pub fn append_to(out: Vec<u8>) -> JsonWriter {
        JsonWriter { start: out.len(), out, ..JsonWriter::default() }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A comma, unless the value is the first of its object or array or stands behind its key. The last byte
    /// tells: no value ends in one of these.
    fn comma(&mut self) {
        let last = if self.out.len() > self.start { self.out.last().copied() } else { self.gone };
        if !matches!(last, None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    /// Called behind values that may be long.
    fn pass_on(&mut self, least: usize) {
        if self.out.len() >= least
            && let Some(sink) = &mut self.sink
        {
            self.gone = self.out.last().copied().or(self.gone);
            if self.out.len() < OWN_PIECE_BYTES {
                // What is short, such as a comma, does not take the room of a piece along.
                sink(Bytes::copy_from_slice(&self.out));
                self.out.clear();
            } else {
                sink(std::mem::replace(&mut self.out, Vec::with_capacity(PIECE_BYTES * 5 / 4)).into());
            }
        }
    }

    pub fn key(&mut self, name: &str) -> &mut Self {
        self.comma();
        put::string(&mut self.out, name);
        self.out.push(b':');
        self
    }

    pub fn begin_object(&mut self) {
        self.comma();
        self.out.push(b'{');
    }

    pub fn end_object(&mut self) {
        self.out.push(b'}');
    }

    pub fn begin_array(&mut self) {
        self.comma();
        self.out.push(b'[');
    }

    pub fn end_array(&mut self) {
        self.out.push(b']');
    }

    pub fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.begin_object();
        fields(self);
        self.end_object();
    }

    pub fn array(&mut self, items: impl FnOnce(&mut Self)) {
        self.begin_array();
        items(self);
        self.end_array();
    }

    pub fn string(&mut self, value: &str) {
        self.comma();
        put::string(&mut self.out, value);
    }

    /// Bytes as base64.
    pub fn base64(&mut self, value: &[u8]) {
        self.comma();
        put::base64(&mut self.out, value);
    }

    pub fn boolean(&mut self, value: bool) {
        self.comma();
        put::boolean(&mut self.out, "", value);
    }

    pub fn signed(&mut self, value: i64) {
        self.comma();
        put::signed(&mut self.out, "", value);
    }

    pub fn unsigned(&mut self, value: u64) {
        self.comma();
        put::unsigned(&mut self.out, "", value);
    }

    /// A floating-point number: `1024.0`, `0.1`, `1e21`; `null` for what is no number.
    pub fn double(&mut self, value: f64) {
        self.comma();
        number::double(&mut self.out, value);
    }

    pub fn null(&mut self) {
        self.comma();
        self.out.extend_from_slice(b"null");
    }

    pub fn enumeration(&mut self, value: impl WireEnum, version: Version) {
        self.string(value.wire_name(version));
    }

    pub fn message(&mut self, value: &impl Wire, version: Version) {
        self.comma();
        value.write_json(&mut self.out, version);
        self.pass_on(PIECE_BYTES);
    }

    /// One JSON value that was written before.
    pub fn raw(&mut self, value: &[u8]) {
        self.comma();
        self.out.extend_from_slice(value);
        self.pass_on(PIECE_BYTES);
    }

    /// The same, of values with commas between them that others hold, too: they are copied only where nobody takes pieces.
    pub fn raw_shared(&mut self, values: Bytes) {
        if values.len() < OWN_PIECE_BYTES || self.sink.is_none() {
            return self.raw(&values);
        }
        self.comma();
        self.pass_on(1);
        self.gone = values.last().copied();
        if let Some(sink) = &mut self.sink {
            sink(values);
        }
    }
}
