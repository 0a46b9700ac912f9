//! The structs, by prost: from the v0 packages alone, renamed to this house's words.

use std::path::Path;

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

use super::naming::{house, house_type};
use super::{Failure, Files, written};

/// Fields that Mesos calls deprecated are spoken all the same: Rust shall not warn of them.
fn rename_enum(item: &mut EnumDescriptorProto) {
    item.name = item.name.as_deref().map(house);
    for value in &mut item.value {
        if let Some(options) = &mut value.options {
            options.deprecated = None;
        }
        value.name = value.name.as_deref().map(house);
    }
}

fn rename_message(message: &mut DescriptorProto, packages: &[String]) {
    message.name = message.name.as_deref().map(house);
    for field in &mut message.field {
        field.name = field.name.as_deref().map(house);
        field.json_name = None;
        if let Some(options) = &mut field.options {
            options.deprecated = None;
        }
        field.type_name = field.type_name.as_deref().map(|name| house_type(name, packages));
    }
    for inner in &mut message.nested_type {
        rename_message(inner, packages);
    }
    for inner in &mut message.enum_type {
        rename_enum(inner);
    }
}

pub fn generate(mut set: FileDescriptorSet) -> Result<Files, Failure> {
    set.file.retain(|file| !file.package().starts_with("mesos.v1"));
    let mut packages: Vec<String> = set.file.iter().map(|file| file.package().to_string()).collect();
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
    }
    let folder = tempfile::tempdir()?;
    prost_build::Config::new()
        .out_dir(folder.path())
        .btree_map(["."])
        // A master holds resources by the hundred thousand, and few have a disk or the older form of a reservation.
        .boxed(".mesos.Resource.disk")
        .boxed(".mesos.Resource.reservation")
        .boxed(".mesos.Task.container")
        .boxed(".mesos.Task.discovery")
        .boxed(".mesos.Task.health_check")
        .boxed(".mesos.TaskInfo.container")
        .boxed(".mesos.TaskInfo.discovery")
        .boxed(".mesos.TaskInfo.health_check")
        .boxed(".mesos.ExecutorInfo.container")
        .boxed(".mesos.ExecutorInfo.discovery")
        .include_file("mod.rs")
        .compile_fds(set)?;
    let mut files = Files::new();
    for path in written(folder.path())? {
        let mut text = std::fs::read_to_string(folder.path().join(&path))?;
        if path == Path::new("mod.rs") {
            text.push_str("pub(crate) mod wire;\n");
        } else {
            text = without_renamed_names(&text);
        }
        files.insert(path, text);
    }
    Ok(files)
}

/// Takes out prost's `as_str_name` and `from_str_name`: they would give the renamed names for names of the
/// wire. `tables` makes the right ones.
fn without_renamed_names(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut kept = String::with_capacity(text.len());
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        let next = lines.get(index + 1).map_or("", |next| next.trim());
        if line.trim_start().starts_with("impl ")
            && next.starts_with("/// String value of the enum field names")
        {
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            while lines[index] != end {
                index += 1;
            }
            index += 1;
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
        index += 1;
    }
    kept
}
