//! The messages and enums of the wire as the generator sees them: one entry a v0 type, with what v1 does
//! otherwise beside it. Built from descriptors, matched by name (slave read as agent), checked by number.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label as WireLabel, Type as WireType};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::Failure;
use super::naming::{camel, house, house_type, package_of, rust_path, snake};

/// Packages whose messages are spoken by gRPC only, never as JSON and never checked here.
const STRUCTS_ONLY: [&str; 2] = ["csi.v0", "csi.v1"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    Optional,
    /// A proto3 field without presence: unset is its zero.
    Plain,
    Required,
    Repeated,
    Map,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    Double,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Bool,
    Text,
    Bytes,
    /// The house's full name of the enum, without a leading dot.
    Enum(String),
    /// The house's full name of the message, without a leading dot.
    Message(String),
}

pub struct Oneof {
    pub name: String,
    pub rust_variant: String,
}

pub struct Field {
    pub rust_name: String,
    pub name: String,
    pub number: i32,
    /// None where v1 does not know the field.
    pub v1: Option<(String, i32)>,
    pub label: Label,
    pub kind: Kind,
    /// What is written in JSON when the field is unset, for v0 and for v1.
    pub default: [Option<String>; 2],
    pub oneof: Option<Oneof>,
    /// `DurationInfo` here and `google.protobuf.Duration` in v1.
    pub duration: bool,
}

pub struct Message {
    pub package: String,
    pub nested: Vec<String>,
    /// The full name in v0, as libprocess messages are named on the wire.
    pub wire_name: String,
    pub rust_path: String,
    pub fields: Vec<Field>,
    /// True for the entry of a map field: it has a table and no struct.
    pub entry: bool,
    /// Set in this message or in one it contains.
    pub checked: bool,
    /// v1 numbers or types differ, in this message or in one it contains.
    pub differs: bool,
}

pub struct EnumValue {
    pub name: String,
    pub v1_name: String,
    pub number: i32,
}

pub struct Enum {
    pub package: String,
    pub nested: Vec<String>,
    pub wire_name: String,
    pub rust_path: String,
    pub values: Vec<EnumValue>,
}

/// Keys are the house's full names without a leading dot.
pub struct Model {
    pub messages: BTreeMap<String, Message>,
    pub enums: BTreeMap<String, Enum>,
}

/// Every type of a descriptor set under its full wire name.
#[derive(Default)]
struct Index<'a> {
    messages: BTreeMap<String, (&'a DescriptorProto, &'a str, bool)>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
}

impl<'a> Index<'a> {
    fn add(&mut self, prefix: &str, message: &'a DescriptorProto, package: &'a str, proto3: bool) {
        let name = format!("{prefix}.{}", message.name());
        for inner in &message.nested_type {
            self.add(&name, inner, package, proto3);
        }
        for inner in &message.enum_type {
            self.enums.insert(format!("{name}.{}", inner.name()), inner);
        }
        self.messages.insert(name, (message, package, proto3));
    }
}

/// `mesos.v1.AgentInfo.X` for the house's `mesos.AgentInfo.X`.
fn v1_name(house_name: &str) -> Option<String> {
    house_name.strip_prefix("mesos.").map(|rest| format!("mesos.v1.{rest}"))
}

impl Model {
    pub fn new(set: &FileDescriptorSet) -> Result<Model, Failure> {
        let mut index = Index::default();
        for file in &set.file {
            let proto3 = file.syntax() == "proto3";
            for message in &file.message_type {
                index.add(file.package(), message, file.package(), proto3);
            }
            for item in &file.enum_type {
                index.enums.insert(format!("{}.{}", file.package(), item.name()), item);
            }
        }
        let mut packages: Vec<String> = set.file.iter().map(|file| file.package().to_string()).collect();
        packages.sort();
        packages.dedup();
        let ours = |package: &str| !package.starts_with("mesos.v1") && !package.starts_with("google.");
        let mut model = Model { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for (name, (message, package, proto3)) in &index.messages {
            if ours(package) {
                let entry = Message::new(name, message, *proto3, &packages, &index)?;
                model.messages.insert(house_name(name, &packages), entry);
            }
        }
        for (name, item) in &index.enums {
            if ours(package_of(name, &packages).ok_or("an enum outside of every package")?) {
                let entry = Enum::new(name, item, &packages, &index)?;
                model.enums.insert(house_name(name, &packages), entry);
            }
        }
        model.drop_structs_only();
        model.spread();
        Ok(model)
    }

    /// The packages that have something to generate, in order.
    pub fn packages(&self) -> BTreeSet<&str> {
        let messages = self.messages.values().map(|message| message.package.as_str());
        messages.chain(self.enums.values().map(|item| item.package.as_str())).collect()
    }

    /// Leaves of the gRPC packages only what other packages contain.
    fn drop_structs_only(&mut self) {
        let grpc = |package: &str| STRUCTS_ONLY.contains(&package);
        let mut wanted: Vec<String> =
            self.messages.iter().filter(|(_, m)| !grpc(&m.package)).map(|(name, _)| name.clone()).collect();
        let mut kept: BTreeSet<String> = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if !kept.insert(name.clone()) {
                continue;
            }
            for field in self.messages.get(&name).into_iter().flat_map(|message| &message.fields) {
                if let Kind::Message(inner) | Kind::Enum(inner) = &field.kind {
                    wanted.push(inner.clone());
                }
            }
        }
        self.messages.retain(|name, _| kept.contains(name));
        self.enums.retain(|name, item| kept.contains(name) || !grpc(&item.package));
    }

    /// Spreads `checked` and `differs` from messages to those that contain them, to a fixed point.
    fn spread(&mut self) {
        loop {
            let mut changed = Vec::new();
            for (name, message) in &self.messages {
                let inner = message.fields.iter().filter_map(|field| match &field.kind {
                    Kind::Message(inner) => self.messages.get(inner),
                    _ => None,
                });
                let (checked, differs) = inner
                    .fold((message.checked, message.differs), |(c, d), m| (c || m.checked, d || m.differs));
                if (checked, differs) != (message.checked, message.differs) {
                    changed.push((name.clone(), checked, differs));
                }
            }
            if changed.is_empty() {
                return;
            }
            for (name, checked, differs) in changed {
                if let Some(message) = self.messages.get_mut(&name) {
                    (message.checked, message.differs) = (checked, differs);
                }
            }
        }
    }
}

fn house_name(name: &str, packages: &[String]) -> String {
    house_type(&format!(".{name}"), packages).trim_start_matches('.').to_string()
}

/// The package and the names within it, in the house's words.
fn parts(name: &str, packages: &[String]) -> Result<(String, Vec<String>), Failure> {
    let package = package_of(name, packages).ok_or_else(|| format!("{name} lies in no package"))?;
    let nested = house_name(name, packages)[package.len() + 1..].split('.').map(str::to_string).collect();
    Ok((package.to_string(), nested))
}

impl Message {
    fn new(
        name: &str,
        message: &DescriptorProto,
        proto3: bool,
        packages: &[String],
        index: &Index<'_>,
    ) -> Result<Message, Failure> {
        let (package, nested) = parts(name, packages)?;
        let v1 =
            v1_name(&house_name(name, packages)).and_then(|v1| index.messages.get(&v1)).map(|found| found.0);
        let mut fields = Vec::new();
        for field in &message.field {
            let other = match v1 {
                None => None,
                Some(v1) => v1.field.iter().find(|f| house(f.name()) == house(field.name())),
            };
            let mut made = Field::new(field, message, proto3, packages, index)?;
            made.v1 = match (v1, other) {
                (None, _) => Some((made.name.clone(), made.number)),
                (Some(_), None) => None,
                (Some(_), Some(other)) => Some((other.name().to_string(), other.number())),
            };
            if let Some(other) = other {
                made.default[1] = written_default(other, &made.kind)?;
                made.duration = made.kind == Kind::Message("mesos.DurationInfo".into())
                    && other.type_name() == ".google.protobuf.Duration";
            } else {
                made.default[1] = made.default[0].clone();
            }
            fields.push(made);
        }
        if let Some(v1) = v1 {
            for field in &v1.field {
                if !message.field.iter().any(|f| house(f.name()) == house(field.name())) {
                    return Err(format!("v1 field {} has no counterpart in {name}", field.name()).into());
                }
            }
        }
        let differs = fields.iter().any(|f| f.duration || f.v1.as_ref().is_some_and(|(_, n)| *n != f.number));
        Ok(Message {
            rust_path: rust_path(&package, &nested),
            wire_name: name.to_string(),
            entry: message.options.as_ref().is_some_and(|options| options.map_entry()),
            checked: fields.iter().any(|field| field.label == Label::Required),
            differs,
            package,
            nested,
            fields,
        })
    }
}

impl Field {
    fn new(
        field: &FieldDescriptorProto,
        holder: &DescriptorProto,
        proto3: bool,
        packages: &[String],
        index: &Index<'_>,
    ) -> Result<Field, Failure> {
        let type_name = || house_type(field.type_name(), packages).trim_start_matches('.').to_string();
        let kind = match field.r#type() {
            WireType::Double => Kind::Double,
            WireType::Int32 => Kind::Int32,
            WireType::Int64 => Kind::Int64,
            WireType::Uint32 => Kind::Uint32,
            WireType::Uint64 => Kind::Uint64,
            WireType::Bool => Kind::Bool,
            WireType::String => Kind::Text,
            WireType::Bytes => Kind::Bytes,
            WireType::Enum => Kind::Enum(type_name()),
            WireType::Message => Kind::Message(type_name()),
            other => return Err(format!("no field of the wire is a {other:?}: teach the generator").into()),
        };
        let oneof = field.oneof_index.map(|at| Oneof {
            name: holder.oneof_decl[at as usize].name().to_string(),
            rust_variant: camel(&house(field.name())),
        });
        let map = index
            .messages
            .get(field.type_name().trim_start_matches('.'))
            .is_some_and(|(inner, _, _)| inner.options.as_ref().is_some_and(|options| options.map_entry()));
        let label = match field.label() {
            WireLabel::Required => Label::Required,
            WireLabel::Repeated if map => Label::Map,
            WireLabel::Repeated => Label::Repeated,
            WireLabel::Optional if proto3 && oneof.is_none() && !matches!(kind, Kind::Message(_)) => {
                Label::Plain
            }
            WireLabel::Optional => Label::Optional,
        };
        Ok(Field {
            rust_name: snake(&house(field.name())),
            name: field.name().to_string(),
            number: field.number(),
            v1: None,
            label,
            default: [written_default(field, &kind)?, None],
            kind,
            oneof,
            duration: false,
        })
    }
}

/// A default that JSON writes for an unset field, as a Rust literal: those of deprecated fields stay out.
fn written_default(field: &FieldDescriptorProto, kind: &Kind) -> Result<Option<String>, Failure> {
    let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
    let Some(value) = field.default_value.as_deref().filter(|_| !deprecated) else { return Ok(None) };
    Ok(Some(match kind {
        Kind::Double => format!("{:?}", value.parse::<f64>()?),
        Kind::Text | Kind::Enum(_) => format!("{value:?}"),
        Kind::Bytes | Kind::Message(_) => return Err(format!("a default of {}", field.name()).into()),
        _ => value.to_string(),
    }))
}

impl Enum {
    fn new(
        name: &str,
        item: &EnumDescriptorProto,
        packages: &[String],
        index: &Index<'_>,
    ) -> Result<Enum, Failure> {
        let (package, nested) = parts(name, packages)?;
        let v1 = v1_name(&house_name(name, packages)).and_then(|v1| index.enums.get(&v1).copied());
        let mut values = Vec::new();
        for value in &item.value {
            let v1_name = match v1 {
                None => value.name().to_string(),
                Some(v1) => {
                    let other = v1.value.iter().find(|other| house(other.name()) == house(value.name()));
                    let other = other.ok_or_else(|| format!("v1 has no {} in {name}", value.name()))?;
                    if other.number() != value.number() {
                        return Err(format!("{} of {name} has another number in v1", value.name()).into());
                    }
                    other.name().to_string()
                }
            };
            values.push(EnumValue { name: value.name().to_string(), v1_name, number: value.number() });
        }
        let rust_path = rust_path(&package, &nested);
        Ok(Enum { rust_path, wire_name: name.to_string(), package, nested, values })
    }
}
