//! A writer for documents made by hand, such as `/state`: it prints strings and numbers as Mesos does, puts
//! the commas, and takes messages and ready-made pieces in between. It does not check that brackets match.

use super::{number, put};
use crate::{Version, Wire, WireEnum};

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
#[derive(Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    /// Where this document begins in a buffer that had something in it.
    start: usize,
}

impl JsonWriter {
    pub fn new() -> JsonWriter {
        JsonWriter::default()
    }

    pub fn with_capacity(bytes: usize) -> JsonWriter {
        JsonWriter { out: Vec::with_capacity(bytes), start: 0 }
    }

    /// Goes on behind what is in `out`, which is not looked at.
    pub fn append_to(out: Vec<u8>) -> JsonWriter {
        JsonWriter { start: out.len(), out }
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
        if self.out.len() > self.start && !matches!(self.out.last(), Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
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
    }

    /// One JSON value that was written before.
    pub fn raw(&mut self, value: &[u8]) {
        self.comma();
        self.out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_documents() {
        let mut json = JsonWriter::append_to(b"12\n".to_vec());
        json.begin_object();
        json.key("empty").object(|_| {});
        json.key("none").array(|_| {});
        json.key("ends:{[").string("a{");
        json.key("mixed").array(|json| {
            json.object(|json| json.key("n").signed(-1));
            json.array(|json| json.null());
            json.string(":");
            json.unsigned(u64::MAX);
            json.boolean(true);
            json.base64(b"\xff\x00");
            json.raw(b"[1]");
            json.double(1.0);
            json.enumeration(crate::mesos::TaskState::TaskRunning, Version::V0);
            json.message(&crate::mesos::AgentId { value: "x".into() }, Version::V1);
        });
        json.end_object();
        let expected = concat!(
            "12\n",
            r#"{"empty":{},"none":[],"ends:{[":"a{","mixed":[{"n":-1},[null],":",18446744073709551615,"#,
            r#"true,"/wA=",[1],1.0,"TASK_RUNNING",{"value":"x"}]}"#
        );
        assert_eq!(String::from_utf8(json.into_bytes()).expect("text"), expected);
    }

    #[test]
    fn escapes_as_mesos_does() {
        let mut json = JsonWriter::new();
        json.string("\u{0}\u{1f}\u{8}\t\n\u{c}\r\"\\/\u{7f}é");
        assert_eq!(
            String::from_utf8(json.into_bytes()).expect("text"),
            "\"\\u0000\\u001F\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}é\""
        );
    }
}
