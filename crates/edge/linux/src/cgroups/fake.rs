//! Groups of control on an ordinary directory, for tests of what writes to them: new groups have the files of a
//! template, removed ones take theirs with them, and every write is noted. It limits nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::store::{Kernel, Store};

/// The files that each new group begins with, by name and text.
#[derive(Debug)]
pub struct Fake {
    template: Vec<(String, String)>,
    writes: Mutex<Vec<(PathBuf, String)>>,
}

impl Fake {
    pub fn new(template: &[(&str, &str)]) -> Fake {
        let template = template.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        Fake { template, writes: Mutex::default() }
    }

    /// Every write so far, in their order.
    pub fn writes(&self) -> Vec<(PathBuf, String)> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The controllers that are on after `+a -b` was written.
fn switched(present: &str, text: &str) -> String {
    let mut on: BTreeSet<&str> = present.split_ascii_whitespace().collect();
    for word in text.split_ascii_whitespace() {
        if let Some(name) = word.strip_prefix('+') {
            on.insert(name);
        } else if let Some(name) = word.strip_prefix('-') {
            on.remove(name);
        }
    }
    on.into_iter().collect::<Vec<_>>().join(" ")
}

impl Store for Fake {
    fn read(&self, file: &Path) -> io::Result<String> {
        Kernel.read(file)
    }

    fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        if !file.exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((file.to_path_buf(), text.to_string()));
        if file.ends_with("cgroup.subtree_control") {
            return fs::write(file, switched(&fs::read_to_string(file)?, text));
        }
        fs::write(file, text)
    }

    fn exists(&self, path: &Path) -> bool {
        Kernel.exists(path)
    }

    fn make(&self, group: &Path) -> io::Result<()> {
        fs::create_dir(group)?;
        self.template.iter().try_for_each(|(name, text)| fs::write(group.join(name), text))
    }

    fn remove(&self, group: &Path) -> io::Result<()> {
        if !self.children(group)?.is_empty() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        fs::remove_dir_all(group)
    }

    fn children(&self, group: &Path) -> io::Result<Vec<PathBuf>> {
        Kernel.children(group)
    }
}
