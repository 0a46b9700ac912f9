//! Writes the `Wire` implementations: for each message its JSON writer as plain code, field by field, in the
//! order of the .proto file, with the names of both versions.

use std::fmt::Write;

use super::Failure;
use super::model::{Field, Kind, Label, Message, Model, Oneof};
use super::naming::{camel, rust_path, snake, table_ident};

pub fn messages(model: &Model, package: &str, out: &mut String) -> Result<(), Failure> {
    for message in model.messages.values().filter(|message| message.package == package && !message.entry) {
        let writer = Writer { model, message };
        let _ = writeln!(out, "\nimpl Wire for {} {{", message.rust_path);
        let _ = writeln!(out, "    const TABLE: &'static MessageTable = &{};", table_ident(&message.nested));
        out.push_str("    fn decode_unchecked(bytes: &[u8]) -> Result<Self, prost::DecodeError> {\n");
        out.push_str("        <Self as prost::Message>::decode(bytes)\n    }\n");
        out.push_str("    fn encode_bytes(&self) -> Vec<u8> {\n");
        out.push_str("        <Self as prost::Message>::encode_to_vec(self)\n    }\n");
        let mut body = String::new();
        for field in &message.fields {
            let _ = writeln!(body, "        {}", writer.field(field)?);
        }
        let used = [", version)", "version.pick(", "version == ", "version != "]
            .iter()
            .any(|usage| body.contains(usage));
        let version = if used { "version" } else { "_version" };
        let _ = writeln!(out, "    fn write_json(&self, out: &mut Vec<u8>, {version}: Version) {{");
        out.push_str("        let start = out.len();\n");
        out.push_str(&body);
        out.push_str("        put::close_object(out, start);\n    }\n}\n");
    }
    Ok(())
}

struct Writer<'a> {
    model: &'a Model,
    message: &'a Message,
}

/// How a value is at hand: as a reference, or as a copy or place of its own type.
#[derive(Clone, Copy, PartialEq)]
enum Hold {
    Reference,
    Value,
}

impl Writer<'_> {
    /// The statement that writes one field.
    fn field(&self, field: &Field) -> Result<String, Failure> {
        let name = format!("self.{}", field.rust_name);
        let code = match (&field.oneof, field.label) {
            (Some(oneof), _) => self.one_of(field, oneof),
            (None, Label::Required) => self.present(field, &name),
            (None, Label::Optional) => self.optional(field, &name),
            (None, Label::Plain) => self.plain(field, &name),
            (None, Label::Repeated) => self.repeated(field, &name),
            (None, Label::Map) => self.map(field, &name)?,
        };
        Ok(match field.v1 {
            Some(_) => code,
            None => format!("if version != Version::V1 {{ {code} }}"),
        })
    }

    /// Writes `key` (or the comma before an element of an array) and the value.
    fn put(&self, field: &Field, key: &str, value: &str, hold: Hold) -> String {
        let star = if hold == Hold::Reference { "*" } else { "" };
        match &field.kind {
            Kind::Double => format!("put::double(out, {key}, {star}{value});"),
            Kind::Int32 => format!("put::signed(out, {key}, i64::from({star}{value}));"),
            Kind::Int64 => format!("put::signed(out, {key}, {star}{value});"),
            Kind::Uint32 => format!("put::unsigned(out, {key}, u64::from({star}{value}));"),
            Kind::Uint64 => format!("put::unsigned(out, {key}, {star}{value});"),
            Kind::Bool => format!("put::boolean(out, {key}, {star}{value});"),
            Kind::Text => format!("put::text(out, {key}, {value});"),
            Kind::Bytes => format!("put::bytes(out, {key}, {value});"),
            Kind::Enum(name) => {
                format!("put::enumeration(out, {key}, {}, {star}{value}, version);", self.enum_table(name))
            }
            Kind::Message(_) if field.duration => format!("put::duration(out, {key}, {value}, version);"),
            Kind::Message(_) => format!("put::key(out, {key}); {value}.write_json(out, version);"),
        }
    }

    fn enum_table(&self, name: &str) -> String {
        format!("<{} as WireEnum>::TABLE", self.model.enums[name].rust_path)
    }

    fn present(&self, field: &Field, name: &str) -> String {
        let reference = matches!(field.kind, Kind::Text | Kind::Bytes) || field.duration;
        let value = if reference { format!("&{name}") } else { name.to_string() };
        self.put(field, &key(field), &value, Hold::Value)
    }

    fn optional(&self, field: &Field, name: &str) -> String {
        let otherwise = match &field.default {
            [None, None] => None,
            [Some(v0), Some(v1)] if v0 == v1 => Some(self.default(field, v0)),
            [Some(v0), _] => Some(format!("if version != Version::V1 {{ {} }}", self.default(field, v0))),
            [None, Some(v1)] => Some(format!("if version == Version::V1 {{ {} }}", self.default(field, v1))),
        };
        let reference = matches!(field.kind, Kind::Text | Kind::Bytes | Kind::Message(_));
        let value = self.put(field, &key(field), "value", Hold::Value);
        let from = match (&field.kind, &otherwise) {
            // An unknown number counts as unset, so that the default is written for it.
            (Kind::Enum(item), Some(_)) => {
                format!("{name}.filter(|number| {}.knows(*number))", self.enum_table(item))
            }
            _ if reference => format!("&{name}"),
            _ => name.to_string(),
        };
        match otherwise {
            None => format!("if let Some(value) = {from} {{ {value} }}"),
            Some(otherwise) => format!("if let Some(value) = {from} {{ {value} }} else {{ {otherwise} }}"),
        }
    }

    fn default(&self, field: &Field, literal: &str) -> String {
        match field.kind {
            // The default of an enum is written by its name.
            Kind::Enum(_) => format!("put::text(out, {}, {literal});", key(field)),
            Kind::Int32 => format!("put::signed(out, {}, {literal});", key(field)),
            Kind::Uint32 => format!("put::unsigned(out, {}, {literal});", key(field)),
            _ => self.put(field, &key(field), literal, Hold::Value),
        }
    }

    fn plain(&self, field: &Field, name: &str) -> String {
        let set = match field.kind {
            Kind::Bool => name.to_string(),
            Kind::Text | Kind::Bytes => format!("!{name}.is_empty()"),
            Kind::Double => format!("{name} != 0.0"),
            _ => format!("{name} != 0"),
        };
        format!("if {set} {{ {} }}", self.present(field, name))
    }

    fn repeated(&self, field: &Field, name: &str) -> String {
        let item = self.put(field, "\",\"", "item", Hold::Reference);
        format!(
            "if !{name}.is_empty() {{ put::key(out, {}); let start = out.len(); \
             for item in &{name} {{ {item} }} put::close_array(out, start); }}",
            key(field)
        )
    }

    /// prost puts the enum of a oneof into the module of its message, under the name of the oneof.
    fn one_of(&self, field: &Field, oneof: &Oneof) -> String {
        let mut nested = self.message.nested.clone();
        nested.push(camel(&oneof.name));
        let path = rust_path(&self.message.package, &nested);
        let value = self.put(field, &key(field), "value", Hold::Reference);
        format!(
            "if let Some({path}::{}(value)) = &self.{} {{ {value} }}",
            oneof.rust_variant,
            snake(&oneof.name)
        )
    }

    fn map(&self, field: &Field, name: &str) -> Result<String, Failure> {
        let Kind::Message(entry) = &field.kind else { return Err("a map without an entry".into()) };
        let value = match self.model.messages[entry].fields.as_slice() {
            [key, value] if key.kind == Kind::Text => value,
            _ => return Err(format!("the map {} has keys that are no strings", field.name).into()),
        };
        let put_value = match value.kind {
            Kind::Text => "put::string(out, value);",
            Kind::Message(_) => "value.write_json(out, version);",
            _ => return Err(format!("the map {} has values of a new kind", field.name).into()),
        };
        Ok(format!(
            "if !{name}.is_empty() {{ put::key(out, {}); let start = out.len(); for (name, value) in &{name} \
             {{ put::map_key(out, name); {put_value} }} put::close_object(out, start); }}",
            key(field)
        ))
    }
}

/// The key as it is written: a comma, which `close_object` turns into the brace where it is the first, the
/// quoted name and a colon.
fn key(field: &Field) -> String {
    let quoted = |name: &str| format!("{:?}", format!(",\"{name}\":"));
    match &field.v1 {
        Some((name, _)) if *name != field.name => {
            format!("version.pick({}, {})", quoted(&field.name), quoted(name))
        }
        _ => quoted(&field.name),
    }
}
