//! One agent in a work directory at a time. Apache Mesos has no such lock: two of its agents ruin each other's files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("--work_dir={0}: another agent works there; stop it, or give this one a directory of its own")]
    Taken(String),
    #[error("--work_dir={path}: cannot be locked: {source}")]
    Io { path: String, source: io::Error },
}

/// Held for as long as it lives; the kernel takes it back from a process that ends in whatever way.
#[derive(Debug)]
pub struct WorkDirLock {
    _file: File,
}

impl WorkDirLock {
    pub fn take(work_dir: &Path) -> Result<WorkDirLock, LockError> {
        let shown = || work_dir.display().to_string();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(work_dir.join(".agent.lock"));
        let file = file.map_err(|source| LockError::Io { path: shown(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(WorkDirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(shown())),
            Err(TryLockError::Error(source)) => Err(LockError::Io { path: shown(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_directory_is_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let lock = WorkDirLock::take(directory.path()).unwrap();
        let error = WorkDirLock::take(directory.path()).unwrap_err().to_string();
        assert!(error.contains("another agent works there"), "{error}");
        drop(lock);
        WorkDirLock::take(directory.path()).unwrap();
    }
}
