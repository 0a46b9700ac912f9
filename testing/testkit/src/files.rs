//! What is in directories, in the order of its names.

use std::path::{Path, PathBuf};

/// What is in a directory; nothing where there is none.
pub fn entries(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

/// A path and all below it, parents first; nothing where it is not there.
pub fn tree(path: &Path) -> Vec<PathBuf> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Vec::new() };
    let mut all = vec![path.to_path_buf()];
    if found.is_dir() {
        all.extend(entries(path).iter().flat_map(|path| tree(path)));
    }
    all
}
