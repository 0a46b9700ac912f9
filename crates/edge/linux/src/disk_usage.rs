//! How much a tree of files takes on disk, as du(1) counts it. Nothing in it is trusted: links are not followed, and names
//! may change while it is looked at.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

/// A path longer than the kernel takes cannot be opened from here; deeper directories are gone through one by one, but
/// not without end.
const DEPTH_LIMIT: usize = 4096;

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// The bytes that are taken by `root` and all below it. If `root` is a link, by what it leads to. What lies at one of
/// `excluded` (absolute, as `root`) is left out, and `stop` ends it with nothing.
pub fn usage(root: &Path, excluded: &BTreeSet<PathBuf>, stop: &dyn Fn() -> bool) -> io::Result<Option<u64>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let directory = match rustix::fs::openat(CWD, root, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(rustix::io::Errno::NOTDIR) => return Ok(Some(bytes(&rustix::fs::stat(root)?))),
        Err(error) => return Err(error.into()),
    };
    let found = rustix::fs::fstat(&directory)?;
    let mut walk = Walk { excluded, stop, total: bytes(&found), linked: BTreeSet::new() };
    Ok(walk.directory(directory, root)?.then_some(walk.total))
}

fn bytes(found: &rustix::fs::Stat) -> u64 {
    u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES)
}

struct Walk<'a> {
    excluded: &'a BTreeSet<PathBuf>,
    stop: &'a dyn Fn() -> bool,
    total: u64,
    /// Files with several names, which count once.
    linked: BTreeSet<(u64, u64)>,
}

impl Walk<'_> {
    /// False: it was stopped.
    fn directory(&mut self, top: OwnedFd, path: &Path) -> io::Result<bool> {
        // Deepest last; a directory stays open while what is in it is looked at.
        let mut open = vec![(Dir::new(top)?, path.to_path_buf())];
        while let Some((directory, path)) = open.last_mut() {
            if (self.stop)() {
                return Ok(false);
            }
            let Some(entry) = directory.read() else {
                open.pop();
                continue;
            };
            let Ok(entry) = entry else {
                // It is gone; so is what was in it.
                open.pop();
                continue;
            };
            let name: CString = entry.file_name().to_owned();
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            let inner =
                path.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name.as_bytes()));
            if self.excluded.contains(&inner) {
                continue;
            }
            // What went away meanwhile takes nothing.
            let Ok(found) = rustix::fs::statat(directory.fd()?, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let kind = FileType::from_raw_mode(found.st_mode);
            if kind != FileType::Directory
                && found.st_nlink > 1
                && !self.linked.insert((found.st_dev, found.st_ino))
            {
                continue;
            }
            self.total = self.total.saturating_add(bytes(&found));
            if kind == FileType::Directory && open.len() < DEPTH_LIMIT {
                let (directory, _) = open.last().ok_or(io::ErrorKind::NotFound)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                if let Ok(inside) = rustix::fs::openat(directory.fd()?, &name, flags, Mode::empty()) {
                    open.push((Dir::new(inside)?, inner));
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn of(path: &Path, excluded: &[PathBuf]) -> u64 {
        usage(path, &excluded.iter().cloned().collect(), &|| false).unwrap().unwrap()
    }

    #[test]
    fn it_counts_as_du_does() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::write(top.join("a/b/c/file"), vec![1; 300_000]).unwrap();
        fs::write(top.join("a/small"), "x").unwrap();
        fs::hard_link(top.join("a/b/c/file"), top.join("a/again")).unwrap();
        std::os::unix::fs::symlink("/usr", top.join("a/link")).unwrap();
        let du = std::process::Command::new("du").args(["-sk", top.to_str().unwrap()]).output().unwrap();
        let text = String::from_utf8(du.stdout).unwrap();
        let expected: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(of(&top, &[]).div_ceil(1024), expected);
        assert!(of(&top, &[top.join("a/b"), top.join("a/again")]) < 100_000);
        let outside = tempfile::tempdir().unwrap();
        let link = outside.path().join("link");
        std::os::unix::fs::symlink(&top, &link).unwrap();
        assert_eq!(of(&link, &[]), of(&top, &[]), "the root itself may be a link");
        assert!(of(&top.join("a/small"), &[]) > 0);
        assert!(usage(&top.join("none"), &BTreeSet::new(), &|| false).is_err());
        assert_eq!(usage(&top, &BTreeSet::new(), &|| true).unwrap(), None);
    }
}
