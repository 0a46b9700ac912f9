//! Files that may be read over HTTP: virtual paths attached to real ones, and nothing outside of these.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use messor_proto::mesos::FileInfo;
use rustix::fs::{Mode, OFlags};

/// As much as one read answers with: 16 pages of 4 KB, as Apache Mesos.
pub const READ_LIMIT_BYTES: u64 = 16 * 4096;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilesError {
    #[error("'{0}' is not attached, or there is no such file")]
    NotFound(String),
    #[error("'{0}' is inaccessible: it leads out of what is attached")]
    Outside(String),
    #[error("'{0}' is a directory")]
    Directory(String),
    #[error("'{path}' cannot be read: {error}")]
    Io { path: String, error: String },
}

/// Which virtual paths stand for which real ones. Shared by the endpoints (readers) and the program (that attaches).
#[derive(Clone, Debug, Default)]
pub struct Files {
    attached: Arc<RwLock<BTreeMap<String, PathBuf>>>,
}

fn key(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

impl Files {
    /// Attaches a file or folder under a virtual path; a path attached before stands for the new one from now on.
    pub fn attach(&self, virtual_path: &str, real: impl Into<PathBuf>) {
        let mut attached = self.attached.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        attached.insert(key(virtual_path), real.into());
    }

    pub fn detach(&self, virtual_path: &str) {
        self.attached.write().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&key(virtual_path));
    }

    /// Forgets what stood for any of these real paths, or for something below one.
    pub fn detach_below(&self, removed: &BTreeSet<PathBuf>) {
        let mut attached = self.attached.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        attached.retain(|_, real| !real.ancestors().any(|above| removed.contains(above)));
    }

    /// All that is attached, for /files/debug.
    pub fn attached(&self) -> Vec<(String, PathBuf)> {
        let attached = self.attached.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        attached.iter().map(|(k, v)| (format!("/{k}"), v.clone())).collect()
    }

    /// What a virtual path stands for: the real path of the longest attached prefix, and the rest below it.
    fn resolve(&self, path: &str) -> Result<Found, FilesError> {
        let missing = || FilesError::NotFound(path.to_string());
        // As 1.11.0: a virtual path begins with a slash.
        if !path.starts_with('/') {
            return Err(missing());
        }
        let key = key(path);
        let mut prefix = key.as_str();
        let (root, rest) = loop {
            let found =
                self.attached.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(prefix).cloned();
            if let Some(root) = found {
                break (root, key[prefix.len()..].trim_start_matches('/').to_string());
            }
            prefix = prefix.rsplit_once('/').ok_or_else(missing)?.0;
        };
        let canonical = |path: &Path| {
            path.canonicalize().map_err(|error| match error.kind() {
                // No file has a name with a zero in it, or such a long one; links that lead in a circle lead nowhere.
                ErrorKind::NotFound
                | ErrorKind::NotADirectory
                | ErrorKind::InvalidInput
                | ErrorKind::InvalidFilename => missing(),
                _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => missing(),
                _ => FilesError::Io { path: path.display().to_string(), error: error.to_string() },
            })
        };
        let root = canonical(&root)?;
        if rest.is_empty() {
            return Ok(Found { root, below: PathBuf::new() });
        }
        let real = canonical(&root.join(rest))?;
        let below = real.strip_prefix(&root).map_err(|_| FilesError::Outside(path.to_string()))?;
        Ok(Found { below: below.to_path_buf(), root })
    }

    /// What is in a folder, by name. A file answers with an empty list, as in Apache Mesos.
    pub fn browse(&self, path: &str) -> Result<Vec<FileInfo>, FilesError> {
        let failed = |error: io::Error| FilesError::Io { path: path.to_string(), error: error.to_string() };
        let found = self.resolve(path)?.open().map_err(failed)?;
        if !found.metadata().map_err(failed)?.is_dir() {
            return Ok(Vec::new());
        }
        // The folder that was opened, whatever stands at its path by now.
        let entries = fs::read_dir(format!("/proc/self/fd/{}", found.as_raw_fd())).map_err(failed)?;
        let base = path.trim_end_matches('/');
        let mut found: Vec<FileInfo> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                // A link is told as what it leads to; one that leads nowhere as itself.
                let metadata = fs::metadata(entry.path()).or_else(|_| entry.metadata()).ok()?;
                Some(file_info(format!("{base}/{name}"), &metadata))
            })
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// The size of a file and what is in it from `offset`: at most `length` and `READ_LIMIT_BYTES` bytes.
    pub fn read(&self, path: &str, offset: u64, length: Option<u64>) -> Result<(u64, Vec<u8>), FilesError> {
        let mut file = self.open(path)?;
        let failed =
            |error: std::io::Error| FilesError::Io { path: path.to_string(), error: error.to_string() };
        let size = file.metadata().map_err(failed)?.len();
        let length = length.unwrap_or(u64::MAX).min(READ_LIMIT_BYTES);
        if offset >= size || length == 0 {
            return Ok((size, Vec::new()));
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut data = Vec::new();
        file.take(length).read_to_end(&mut data).map_err(failed)?;
        Ok((size, data))
    }

    /// An open file, for a download.
    pub fn open(&self, path: &str) -> Result<File, FilesError> {
        let failed = |error: io::Error| FilesError::Io { path: path.to_string(), error: error.to_string() };
        let file = self.resolve(path)?.open().map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(FilesError::Directory(path.to_string()));
        }
        if !metadata.is_file() {
            // A pipe or a device would block the reader, or never end.
            return Err(FilesError::Io {
                path: path.to_string(),
                error: "it is no regular file".to_string(),
            });
        }
        Ok(file)
    }
}

/// A real path in two parts: what was attached, and what is below it, without links.
struct Found {
    root: PathBuf,
    below: PathBuf,
}

impl Found {
    /// Opens it, following no link below the root: a task may write there, and may have put one in the way since the
    /// path was looked at. A pipe does not make the reader wait.
    fn open(&self) -> io::Result<File> {
        let read = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut opened = rustix::fs::open(&self.root, read, Mode::empty())?;
        let mut parts = self.below.components().peekable();
        while let Some(part) = parts.next() {
            let flags = match parts.peek() {
                Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                None => read,
            };
            opened = rustix::fs::openat(&opened, part.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(File::from(opened))
    }
}

fn file_info(path: String, metadata: &Metadata) -> FileInfo {
    FileInfo {
        path,
        nlink: i32::try_from(metadata.nlink()).ok(),
        size: Some(metadata.len()),
        mtime: Some(messor_proto::mesos::TimeInfo {
            nanoseconds: metadata.mtime().saturating_mul(1_000_000_000),
        }),
        mode: Some(metadata.permissions().mode()),
        uid: Some(metadata.uid().to_string()),
        gid: Some(metadata.gid().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::write(folder.path().join("run/stdout"), "hello\n").unwrap();
        fs::write(folder.path().join("secret"), "no").unwrap();
        std::os::unix::fs::symlink("../secret", folder.path().join("run/link")).unwrap();
        let files = Files::default();
        files.attach("/sandbox", folder.path().join("run"));
        (folder, files)
    }

    #[test]
    fn reads_what_is_attached() {
        let (_folder, files) = sandbox();
        assert_eq!(files.read("/sandbox/stdout", 0, None), Ok((6, b"hello\n".to_vec())));
        assert_eq!(files.read("/sandbox/stdout/", 1, Some(3)), Ok((6, b"ell".to_vec())));
        assert_eq!(files.read("/sandbox/stdout", 100, None), Ok((6, vec![])));
        let relative = files.read("sandbox/stdout", 0, None);
        assert_eq!(relative, Err(FilesError::NotFound("sandbox/stdout".into())));
        let names: Vec<String> = files.browse("/sandbox").unwrap().into_iter().map(|f| f.path).collect();
        assert_eq!(names, ["/sandbox/link", "/sandbox/stdout"]);
    }

    #[test]
    fn a_link_that_appears_after_the_look_is_not_followed() {
        let (folder, files) = sandbox();
        let run = folder.path().join("run");
        fs::create_dir(run.join("logs")).unwrap();
        fs::write(run.join("logs/secret"), "yes").unwrap();
        let found = files.resolve("/sandbox/logs/secret").unwrap();
        assert!(found.open().is_ok());
        fs::rename(run.join("logs"), run.join("old")).unwrap();
        std::os::unix::fs::symlink("..", run.join("logs")).unwrap();
        assert!(found.open().is_err(), "the folder became a link");
        let found = files.resolve("/sandbox/stdout").unwrap();
        fs::remove_file(run.join("stdout")).unwrap();
        std::os::unix::fs::symlink("../secret", run.join("stdout")).unwrap();
        assert!(found.open().is_err(), "the file became a link");
    }

    #[test]
    fn what_was_removed_is_attached_no_more() {
        let (folder, files) = sandbox();
        let run = folder.path().join("run");
        files.attach("/latest", run.clone());
        files.attach("/other", folder.path().join("running"));
        files.detach_below(&BTreeSet::from([run]));
        assert_eq!(files.attached(), [("/other".to_string(), folder.path().join("running"))]);
    }

    #[test]
    fn what_can_be_no_file_is_not_there() {
        let (folder, files) = sandbox();
        std::os::unix::fs::symlink("circle", folder.path().join("run/circle")).unwrap();
        for name in ["a\0b", "circle", "circle/x", &"n".repeat(300), &"d/".repeat(3000)] {
            let path = format!("/sandbox/{name}");
            assert_eq!(files.read(&path, 0, None), Err(FilesError::NotFound(path.clone())), "{name}");
            assert_eq!(files.browse(&path), Err(FilesError::NotFound(path.clone())), "{name}");
        }
    }

    #[test]
    fn nothing_leads_out() {
        let (_folder, files) = sandbox();
        assert_eq!(files.read("/sandbox/link", 0, None), Err(FilesError::Outside("/sandbox/link".into())));
        assert_eq!(
            files.read("/sandbox/../secret", 0, None),
            Err(FilesError::Outside("/sandbox/../secret".into()))
        );
        assert_eq!(files.read("/etc/passwd", 0, None), Err(FilesError::NotFound("/etc/passwd".into())));
        assert_eq!(files.read("/sandbox", 0, None), Err(FilesError::Directory("/sandbox".into())));
        files.detach("/sandbox");
        assert!(matches!(files.browse("/sandbox"), Err(FilesError::NotFound(_))));
    }
}
