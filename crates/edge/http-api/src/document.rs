//! Documents made by hand, such as /state: objects and arrays over proto's `JsonWriter`, with a name for each kind of
//! field, so that what is written reads like what comes out.

use bytes::Bytes;
use messor_proto::{JsonWriter, Sink, Version, Wire};

/// An open JSON object.
pub struct Object<'a>(&'a mut JsonWriter);

/// An open JSON array.
pub struct Array<'a>(&'a mut JsonWriter);

/// A whole document that is an object.
pub fn object(fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    object_within(0, fill)
}

/// The same, with room for so many bytes from the beginning.
pub fn object_within(bytes: usize, fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(bytes);
    json.object(|json| fill(&mut Object(json)));
    json.into_bytes()
}

/// The same; with a sink, what it gives is what the sink has not got.
pub fn object_to(sink: Option<Sink>, bytes: usize, fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let Some(sink) = sink else { return object_within(bytes, fill) };
    let mut json = JsonWriter::in_pieces(sink);
    json.object(|json| fill(&mut Object(json)));
    json.into_bytes()
}

/// A whole document that is an array.
pub fn array(fill: impl FnOnce(&mut Array<'_>)) -> Vec<u8> {
    let mut json = JsonWriter::new();
    json.array(|json| fill(&mut Array(json)));
    json.into_bytes()
}

impl Object<'_> {
    pub fn text(&mut self, name: &str, value: &str) {
        self.0.key(name).string(value);
    }

    /// A double: whole ones print as `1.0`.
    pub fn double(&mut self, name: &str, value: f64) {
        self.0.key(name).double(value);
    }

    pub fn integer(&mut self, name: &str, value: i64) {
        self.0.key(name).signed(value);
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.0.key(name).boolean(value);
    }

    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.0.key(name).object(|json| fill(&mut Object(json)));
    }

    pub fn array(&mut self, name: &str, fill: impl FnOnce(&mut Array<'_>)) {
        self.0.key(name).array(|json| fill(&mut Array(json)));
    }

    pub fn message(&mut self, name: &str, message: &impl Wire, version: Version) {
        self.0.key(name).message(message, version);
    }

    pub fn messages<'m, M: Wire>(
        &mut self,
        name: &str,
        messages: impl IntoIterator<Item = &'m M>,
        version: Version,
    ) {
        self.array(name, |array| messages.into_iter().for_each(|m| array.message(m, version)));
    }

    pub fn texts<'t>(&mut self, name: &str, values: impl IntoIterator<Item = &'t str>) {
        self.array(name, |array| values.into_iter().for_each(|v| array.text(v)));
    }

    /// JSON that was written before.
    pub fn raw(&mut self, name: &str, json: &[u8]) {
        self.0.key(name).raw(json);
    }

    /// Fields of another object, written before, in this one: `{…}` without its braces.
    pub fn fields_of(&mut self, json: &[u8]) {
        let inner = &json[1..json.len() - 1];
        if !inner.is_empty() {
            self.0.raw(inner);
        }
    }
}

impl Array<'_> {
    pub fn text(&mut self, value: &str) {
        self.0.string(value);
    }

    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        self.0.object(|json| fill(&mut Object(json)));
    }

    pub fn message(&mut self, message: &impl Wire, version: Version) {
        self.0.message(message, version);
    }

    /// JSON that was written before.
    pub fn raw(&mut self, json: &[u8]) {
        self.0.raw(json);
    }

    /// Elements that were written before, with commas between them.
    pub fn raw_shared(&mut self, json: Bytes) {
        self.0.raw_shared(json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_nest() {
        let document = object(|o| {
            o.text("a\"", "b\n");
            o.double("d", 2.0);
            o.array("l", |l| {
                l.object(|_| ());
                l.text("x");
                l.raw(b"[1]");
            });
            o.fields_of(br#"{"p":1}"#);
            o.fields_of(b"{}");
            o.boolean("t", true);
        });
        assert_eq!(
            String::from_utf8(document).unwrap(),
            r#"{"a\"":"b\n","d":2.0,"l":[{},"x",[1]],"p":1,"t":true}"#
        );
    }
}
