//! Makes the Rust structs of every message from the .proto files.
//!
//! Structs come from the v0 packages alone: v1 has the same bytes under other names. In Rust the word is
//! always "agent": identifiers that say "slave" on the wire are renamed here, in one place, and the names
//! of the wire live on in the name tables of the JSON code.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

pub fn proto_crate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/base/proto")
}

fn proto_files(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            into.push(path);
        }
    }
    Ok(())
}

/// Compiles all .proto files, in a stable order.
pub fn descriptors() -> Result<FileDescriptorSet, Box<dyn Error>> {
    let root = proto_crate().join("proto");
    let mut files = Vec::new();
    proto_files(&root, &mut files)?;
    files.sort();
    Ok(protox::compile(files, [root])?)
}

/// The word "slave" of a wire name, as this house says it.
fn house(name: &str) -> String {
    name.replace("slave", "agent").replace("Slave", "Agent").replace("SLAVE", "AGENT")
}

/// Renames the last parts of `.mesos.internal.SlaveX.Y`, but no package.
fn house_type(name: &str, packages: &[String]) -> String {
    let bare = name.trim_start_matches('.');
    let package = packages
        .iter()
        .filter(|p| bare.starts_with(p.as_str()) && bare[p.len()..].starts_with('.'))
        .max_by_key(|p| p.len());
    match package {
        Some(package) => format!(".{package}{}", house(&bare[package.len()..])),
        None => name.to_string(),
    }
}

fn rename_enum(item: &mut EnumDescriptorProto) {
    item.name = item.name.as_deref().map(house);
    for value in &mut item.value {
        value.name = value.name.as_deref().map(house);
    }
}

fn rename_message(message: &mut DescriptorProto, packages: &[String]) {
    message.name = message.name.as_deref().map(house);
    for field in &mut message.field {
        field.name = field.name.as_deref().map(house);
        field.json_name = None;
        field.type_name = field.type_name.as_deref().map(|t| house_type(t, packages));
    }
    for inner in &mut message.nested_type {
        rename_message(inner, packages);
    }
    for inner in &mut message.enum_type {
        rename_enum(inner);
    }
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let mut set = descriptors()?;
    set.file.retain(|f| !f.package().starts_with("mesos.v1"));
    let mut packages: Vec<String> = set.file.iter().map(|f| f.package().to_string()).collect();
    packages.sort();
    packages.dedup();
    for file in &mut set.file {
        for message in &mut file.message_type {
            rename_message(message, &packages);
        }
        for item in &mut file.enum_type {
            rename_enum(item);
        }
        file.service.clear();
        file.source_code_info = None;
    }
    let out = proto_crate().join("src/generated");
    std::fs::create_dir_all(&out)?;
    prost_build::Config::new().out_dir(&out).btree_map(["."]).include_file("mod.rs").compile_fds(set)?;
    Ok(())
}
