//! The rules of the house as tests: layers, purity of the lower ones, where `unsafe` may be, size and shape of files.
//!
//! The layers are declared in each Cargo.toml (`[package.metadata.messor] layer`); edges inside a layer are listed,
//! with their reason, in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Lowest first. A crate may depend on lower layers; on its own layer only where ARCHITECTURE.md says so.
const LAYERS: [&str; 4] = ["base", "core", "edge", "app"];

/// Crates that reach the world outside: none may come into base or core, even through another.
const OUTSIDE: [&str; 16] = [
    "tokio",
    "mio",
    "async-io",
    "async-std",
    "smol",
    "hyper",
    "reqwest",
    "ureq",
    "socket2",
    "getrandom",
    "rand",
    "rustix",
    "nix",
    "signal-hook",
    "tempfile",
    "tracing-subscriber",
];

/// Where `unsafe` may stand, by design: the kernel, and the library that foreign programs load.
const UNSAFE: [&str; 2] = ["messor-linux", "messor-libmesos"];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--offline".into()])
        .exec()
        .or_else(|_| MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec())
        .expect("cargo metadata runs")
}

fn layer(package: &Package) -> String {
    package.metadata["messor"]["layer"].as_str().unwrap_or("none").to_string()
}

/// Edges inside a layer that ARCHITECTURE.md lists, as "from -> to".
fn listed_edges() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    text.lines()
        .filter_map(|line| {
            let (from, rest) = line.strip_prefix("* `")?.split_once("` -> `")?;
            Some(format!("{from} -> {}", rest.split_once('`')?.0))
        })
        .collect()
}

/// Every rule about crates that is broken, one line each.
pub fn broken_layers() -> Vec<String> {
    let metadata = metadata();
    let members: BTreeMap<String, &Package> =
        metadata.workspace_packages().into_iter().map(|p| (p.name.to_string(), p)).collect();
    let listed = listed_edges();
    let mut used = BTreeSet::new();
    let mut broken = Vec::new();
    for (name, package) in &members {
        let own = layer(package);
        if !LAYERS.contains(&own.as_str()) && own != "testing" && own != "xtask" {
            broken.push(format!("{name}: its Cargo.toml declares no known layer (`{own}`)"));
            continue;
        }
        let height = |layer: &str| LAYERS.iter().position(|l| *l == layer);
        for dependency in &package.dependencies {
            let Some(target) = members.get(&dependency.name) else { continue };
            let other = layer(target);
            if other == "testing" && own != "testing" {
                broken.push(format!("{name} -> {}: only testing/ depends on testing/", dependency.name));
                continue;
            }
            let (Some(from), Some(to)) = (height(&own), height(&other)) else { continue };
            let edge = format!("{name} -> {}", dependency.name);
            if to > from {
                broken.push(format!("{edge}: {own} must not depend on {other}"));
            } else if to == from && dependency.kind == DependencyKind::Normal && !listed.contains(&edge) {
                broken.push(format!(
                    "{edge}: an edge inside the layer {own} that ARCHITECTURE.md does not list"
                ));
            }
            used.insert(edge);
        }
    }
    broken.extend(listed.difference(&used).map(|e| format!("{e}: listed in ARCHITECTURE.md and not there")));
    broken.extend(impure(&metadata, &members));
    broken.extend(never_run(&members));
    broken.extend(unsafe_crates(&members));
    broken
}

/// Tests that nothing would run, because their Cargo.toml says that there are none beside the code (so that the code is not
/// compiled twice).
fn never_run(members: &BTreeMap<String, &Package>) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, package) in members {
        for target in package.targets.iter().filter(|target| !target.test && !target.is_custom_build()) {
            let mut files = Vec::new();
            if target.is_lib() {
                rust_files(&package.manifest_path.as_std_path().with_file_name("src"), &mut files);
                files.retain(|path| {
                    !path.ends_with("src/main.rs") && !path.to_string_lossy().contains("/src/bin/")
                });
            } else {
                files.push(target.src_path.clone().into_std_path_buf());
            }
            // Also `#[tokio::test]` and the like.
            let marks = ["#[test]", "::test]", "::test("];
            let has_tests = |path: &PathBuf| {
                std::fs::read_to_string(path).is_ok_and(|text| marks.iter().any(|mark| text.contains(mark)))
            };
            if let Some(path) = files.into_iter().find(has_tests) {
                broken.push(format!(
                    "{name}: {} has tests, and its Cargo.toml says `test = false`",
                    path.display()
                ));
            }
        }
    }
    broken
}

/// Base and core crates that reach the world outside through their (transitive, normal) dependencies.
fn impure(metadata: &Metadata, members: &BTreeMap<String, &Package>) -> Vec<String> {
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
    let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
    let edges: BTreeMap<_, Vec<_>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal =
                node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            (&node.id, normal.map(|d| &d.pkg).collect())
        })
        .collect();
    let mut broken = Vec::new();
    for (name, package) in members {
        if !matches!(layer(package).as_str(), "base" | "core") {
            continue;
        }
        let mut seen = BTreeSet::from([&package.id]);
        let mut queue = VecDeque::from([(&package.id, name.clone())]);
        while let Some((id, path)) = queue.pop_front() {
            for next in edges.get(id).into_iter().flatten() {
                if !is_proc_macro(metadata, next) && seen.insert(next) {
                    let path = format!("{path} -> {}", names[next]);
                    if OUTSIDE.contains(&names[next].as_str()) {
                        broken.push(format!("{path}: base and core reach no world outside"));
                    }
                    queue.push_back((next, path));
                }
            }
        }
    }
    broken
}

fn is_proc_macro(metadata: &Metadata, id: &cargo_metadata::PackageId) -> bool {
    metadata[id].targets.iter().any(|t| t.is_proc_macro())
}

/// Crates that opt out of the workspace's lints (which deny `unsafe`) without being allowed to.
fn unsafe_crates(members: &BTreeMap<String, &Package>) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, package) in members {
        if UNSAFE.contains(&name.as_str()) {
            continue;
        }
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest reads");
        if !manifest.contains("[lints]\nworkspace = true") {
            broken.push(format!("{name}: its Cargo.toml does not take the lints of the workspace"));
        }
    }
    broken
}

pub fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !matches!(path.file_name().and_then(|n| n.to_str()), Some("target" | "node_modules" | ".git"))
            {
                rust_files(&path, into);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Every rule about files that is broken, one line each.
pub fn broken_files() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["crates", "testing", "xtask"] {
        rust_files(&root().join(folder), &mut files);
    }
    files.sort();
    let mut broken = Vec::new();
    for path in files {
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if shown.contains("/generated/") || shown == "xtask/src/tidy.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let is_test = shown.contains("/tests/");
        if !is_test && text.lines().count() > 1000 {
            broken.push(format!("{shown}: over 1,000 lines: is there a seam?"));
        }
        if !is_test && !text.lines().take(3).any(|l| l.starts_with("//!")) {
            broken.push(format!("{shown}: does not begin with //! that says what it is for"));
        }
        for word in ["todo!(", "unimplemented!(", "#[ignore", "allow(dead_code)", "dbg!("] {
            if text.contains(word) {
                broken.push(format!("{shown}: has {word}"));
            }
        }
        if !shown.starts_with("crates/edge/linux/") && text.contains("allow(unsafe_code)") {
            broken.push(format!("{shown}: allows unsafe code, which lives in crates/edge/linux"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    #[test]
    fn crates_keep_to_their_layers() {
        let broken = super::broken_layers();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    #[test]
    fn files_keep_to_the_rules() {
        let broken = super::broken_files();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
