//! What can be wrong with a log on disk, in words for the operator: each names the file.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error(
        "{} is damaged at byte {offset}: {what}; nothing of this log is used. A replica of several can be emptied \
         (move the directory away) and fills itself again from the others; a single one needs a copy from before",
        path.display()
    )]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error("{} is missing: {what}", path.display())]
    Missing { path: PathBuf, what: &'static str },
    #[error("{} is locked: another program uses this log; stop it first", path.display())]
    Locked { path: PathBuf },
    #[error("{} holds what no replicated log has: {what}", path.display())]
    Foreign { path: PathBuf, what: String },
    #[error("the log was not written to any more since this failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether the files, and not the system around them, are at fault.
    pub fn is_damage(&self) -> bool {
        matches!(self, StoreError::Damaged { .. } | StoreError::Missing { .. } | StoreError::Foreign { .. })
    }
}
