//! Writes the static tables: of each enum its names by version, of each message its fields.

use std::fmt::Write;

use super::Failure;
use super::model::{Field, Kind, Label, Message, Model};
use super::naming::{module_of_package, table_ident};

/// The path of a type's table from anywhere in the crate.
fn table_path(package: &str, nested: &[String]) -> String {
    format!("crate::generated::wire::{}::{}", module_of_package(package), table_ident(nested))
}

pub fn enums(model: &Model, package: &str, out: &mut String) {
    for item in model.enums.values().filter(|item| item.package == package) {
        let ident = table_ident(&item.nested);
        let mut values: Vec<_> = item.values.iter().collect();
        values.sort_by_key(|value| value.number);
        let _ = writeln!(out, "\npub static {ident}: EnumTable = EnumTable {{");
        let _ = writeln!(out, "    name: {:?},\n    values: &[", item.wire_name);
        for value in values {
            let _ = writeln!(
                out,
                "        EnumValue {{ number: {}, name: {:?}, v1_name: {:?} }},",
                value.number, value.name, value.v1_name
            );
        }
        let _ = writeln!(out, "    ],\n}};");
        let _ = writeln!(out, "impl WireEnum for {} {{", item.rust_path);
        let _ = writeln!(out, "    const TABLE: &'static EnumTable = &{ident};");
        let _ = writeln!(
            out,
            "    fn from_number(number: i32) -> Option<Self> {{\n        Self::try_from(number).ok()"
        );
        let _ = writeln!(out, "    }}\n    fn number(self) -> i32 {{\n        self as i32\n    }}\n}}");
        let _ = writeln!(out, "impl {} {{\n    /// The value's name in v0.", item.rust_path);
        let _ = writeln!(
            out,
            "    pub fn as_str_name(&self) -> &'static str {{\n        self.wire_name(Version::V0)"
        );
        let _ = writeln!(out, "    }}\n}}");
    }
}

pub fn messages(model: &Model, package: &str, out: &mut String) -> Result<(), Failure> {
    for message in model.messages.values().filter(|message| message.package == package) {
        table(model, message, out)?;
    }
    Ok(())
}

fn table(model: &Model, message: &Message, out: &mut String) -> Result<(), Failure> {
    if message.fields.len() > 64 {
        return Err(format!("{} has more than 64 fields: widen the bit sets", message.wire_name).into());
    }
    let mut required = 0_u64;
    let mut numbers: Vec<(i32, usize)> = Vec::new();
    for (index, field) in message.fields.iter().enumerate() {
        numbers.push((field.number, index));
        if field.label == Label::Required {
            required |= 1 << index;
        }
    }
    numbers.sort_unstable();
    let numbers: Vec<String> = numbers.iter().map(|(_, index)| index.to_string()).collect();
    let _ = writeln!(out, "\npub static {}: MessageTable = MessageTable {{", table_ident(&message.nested));
    let _ = writeln!(out, "    name: {:?},", message.wire_name);
    let _ = writeln!(out, "    required: {required:#x},");
    let _ = writeln!(out, "    checked: {},\n    differs: {},", message.checked, message.differs);
    let _ = writeln!(out, "    by_number: &[{}],\n    fields: &[", numbers.join(", "));
    for field in &message.fields {
        let (v1_name, v1_number) =
            field.v1.as_ref().map_or(("", 0), |(name, number)| (name.as_str(), *number));
        let _ = writeln!(
            out,
            "        Field {{ number: {}, v1_number: {}, name: {:?}, v1_name: {:?}, label: Label::{}, kind: {}, duration: {} }},",
            field.number,
            v1_number,
            field.name,
            v1_name,
            label(field),
            kind(model, field)?,
            field.duration
        );
    }
    let _ = writeln!(out, "    ],\n}};");
    Ok(())
}

fn label(field: &Field) -> &'static str {
    match field.label {
        Label::Optional | Label::Plain => "Optional",
        Label::Required => "Required",
        Label::Repeated => "Repeated",
        Label::Map => "Map",
    }
}

fn kind(model: &Model, field: &Field) -> Result<String, Failure> {
    Ok(match &field.kind {
        Kind::Double => "Kind::Double".into(),
        Kind::Int32 => "Kind::Int32".into(),
        Kind::Int64 => "Kind::Int64".into(),
        Kind::Uint32 => "Kind::Uint32".into(),
        Kind::Uint64 => "Kind::Uint64".into(),
        Kind::Bool => "Kind::Bool".into(),
        Kind::Text => "Kind::Text".into(),
        Kind::Bytes => "Kind::Bytes".into(),
        Kind::Enum(name) => {
            let item = model.enums.get(name).ok_or_else(|| format!("no enum {name}"))?;
            format!("Kind::Enum(&{})", table_path(&item.package, &item.nested))
        }
        Kind::Message(name) => {
            let message = model.messages.get(name).ok_or_else(|| format!("no message {name}"))?;
            format!("Kind::Message(&{})", table_path(&message.package, &message.nested))
        }
    })
}

/// A list of every message's table, for tests and tools.
pub fn all(model: &Model) -> String {
    let mut out = String::from("\n/// Every message that has a table and a struct, by its name.\n");
    out.push_str("pub static ALL: &[&crate::table::MessageTable] = &[\n");
    for message in model.messages.values().filter(|message| !message.entry) {
        let _ = writeln!(out, "    &{},", table_path(&message.package, &message.nested));
    }
    out.push_str("];\n");
    out
}
