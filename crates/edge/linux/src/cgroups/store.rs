//! The file operations that control groups are made of.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Directories and files of control groups. A write is one write(2) that replaces what the file says.
pub trait Store: Send + Sync {
    fn read(&self, file: &Path) -> io::Result<String>;
    fn write(&self, file: &Path, text: &str) -> io::Result<()>;
    fn exists(&self, path: &Path) -> bool;
    /// Makes one group; that above it is there.
    fn make(&self, group: &Path) -> io::Result<()>;
    /// Removes one group, which has none in it.
    fn remove(&self, group: &Path) -> io::Result<()>;
    /// The groups right in a group.
    fn children(&self, group: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The real ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Store for Kernel {
    fn read(&self, file: &Path) -> io::Result<String> {
        fs::read_to_string(file)
    }

    fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        // Without O_CREAT: what is no file of the group is an error, not a new file.
        let mut file = fs::OpenOptions::new().write(true).open(file)?;
        let written = file.write(text.as_bytes())?;
        if written < text.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    fn make(&self, group: &Path) -> io::Result<()> {
        fs::create_dir(group)
    }

    fn remove(&self, group: &Path) -> io::Result<()> {
        fs::remove_dir(group)
    }

    fn children(&self, group: &Path) -> io::Result<Vec<PathBuf>> {
        let mut children = Vec::new();
        for entry in fs::read_dir(group)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                children.push(entry.path());
            }
        }
        Ok(children)
    }
}
