//! The wire as plain lines, one a field, enum value, method or empty message, to compare with what is known of
//! it: `scope  label  number  name  type  notes`, parted by tabs.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// By the name of the .proto file.
pub type Facts = BTreeMap<String, BTreeSet<String>>;

pub fn of(set: &FileDescriptorSet) -> Facts {
    let mut facts = Facts::new();
    for file in set.file.iter().filter(|file| !file.package().starts_with("google.")) {
        let lines = facts.entry(file.name().to_string()).or_default();
        for message in &file.message_type {
            message_facts(message.name(), message, lines);
        }
        for item in &file.enum_type {
            enum_facts(item.name(), item, lines);
        }
        for service in &file.service {
            for method in &service.method {
                let (from, to) = (method.input_type(), method.output_type());
                let (from, to) = (from.trim_start_matches('.'), to.trim_start_matches('.'));
                lines.insert(format!("{}\trpc\t\t{}\t{from} -> {to}\t", service.name(), method.name()));
            }
        }
    }
    facts
}

/// All facts as one text, sorted, with the file before each line.
pub fn snapshot(facts: &Facts) -> String {
    let mut text = String::new();
    for (file, lines) in facts {
        for line in lines {
            text.push_str(&format!("{file}\t{}\n", line.trim_end()));
        }
    }
    text
}

fn message_facts(scope: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    if message.field.is_empty() {
        lines.insert(format!("{scope}\tmessage\t\t\t\tempty"));
    }
    for field in &message.field {
        lines.insert(field_fact(scope, message, field));
    }
    for inner in message.nested_type.iter().filter(|inner| !is_entry(inner)) {
        message_facts(&format!("{scope}.{}", inner.name()), inner, lines);
    }
    for inner in &message.enum_type {
        enum_facts(&format!("{scope}.{}", inner.name()), inner, lines);
    }
}

fn is_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

fn enum_facts(scope: &str, item: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &item.value {
        let deprecated = value.options.as_ref().is_some_and(|options| options.deprecated());
        let note = if deprecated { "deprecated" } else { "" };
        lines.insert(format!("{scope}\tenum\t{}\t{}\t\t{note}", value.number(), value.name()));
    }
}

fn field_fact(scope: &str, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Optional => "optional",
        Label::Required => "required",
        Label::Repeated => "repeated",
    };
    let entry = message
        .nested_type
        .iter()
        .find(|inner| is_entry(inner) && field.type_name().rsplit('.').next() == Some(inner.name()));
    let kind = match entry.map(|entry| entry.field.as_slice()) {
        Some([key, value]) => format!("map<{},{}>", kind(key), kind(value)),
        _ => kind(field),
    };
    let mut notes = Vec::new();
    if let Some(default) = &field.default_value {
        notes.push(format!("default={default}"));
    }
    if let Some(index) = field.oneof_index {
        notes.push(format!("oneof={}", message.oneof_decl[index as usize].name()));
    }
    if field.options.as_ref().is_some_and(|options| options.deprecated()) {
        notes.push("deprecated".to_string());
    }
    format!("{scope}\t{label}\t{}\t{}\t{kind}\t{}", field.number(), field.name(), notes.join(" "))
}

fn kind(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_string(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::codegen::{descriptors, snapshot_file};

    /// The definitions are those that were last looked at: a change of the wire is made on purpose, by
    /// `cargo xtask codegen --snapshot`.
    #[test]
    fn wire_is_that_of_the_snapshot() {
        let now = snapshot(&of(&descriptors().expect("the .proto files compile")));
        let kept = std::fs::read_to_string(snapshot_file()).expect("the snapshot is readable");
        let (now, kept): (BTreeSet<&str>, BTreeSet<&str>) = (now.lines().collect(), kept.lines().collect());
        let added: Vec<_> = now.difference(&kept).collect();
        let gone: Vec<_> = kept.difference(&now).collect();
        assert!(added.is_empty() && gone.is_empty(), "added: {added:#?}\ngone: {gone:#?}");
    }

    /// The definitions are those of Apache Mesos 1.11.0, field by field in both directions, where the tables
    /// of its wire lie beside the repository.
    #[test]
    fn wire_is_that_of_mesos() {
        let Some(folder) = wire_tables() else {
            println!("skipped: no wire tables beside the repository (set MESSOR_SHARED to their folder)");
            return;
        };
        let ours = of(&descriptors().expect("the .proto files compile"));
        let mut theirs = Facts::new();
        for entry in std::fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("an entry is readable").path();
            let text = std::fs::read_to_string(&path).expect("a table is readable");
            let head = text.lines().next().unwrap_or_default();
            let file =
                head.split("; ").find_map(|part| part.strip_prefix("file ")).expect("a table names its file");
            let rows = text.lines().filter(|line| !line.starts_with('#')).map(str::to_string);
            theirs.insert(file.to_string(), rows.collect());
        }
        assert!(!theirs.is_empty());
        let mut differences = Vec::new();
        for file in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            let (empty, none) = (BTreeSet::new(), BTreeSet::new());
            let (ours, theirs) = (ours.get(file).unwrap_or(&empty), theirs.get(file).unwrap_or(&none));
            differences.extend(ours.difference(theirs).map(|line| format!("only here, {file}: {line}")));
            differences.extend(theirs.difference(ours).map(|line| format!("only in Mesos, {file}: {line}")));
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    fn wire_tables() -> Option<PathBuf> {
        let shared = match std::env::var_os("MESSOR_SHARED") {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        };
        Some(shared.join("reference/wire")).filter(|folder| folder.is_dir())
    }
}
