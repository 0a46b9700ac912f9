//! Removal of whole trees in which others may have written: never through a symbolic link, and never across a mount, so
//! that what is mounted there, a volume for one, keeps its data.
//!
//! What can be removed is removed, whatever else cannot. The rejected alternative, std::fs::remove_dir_all, removes what is
//! mounted, ends at the first error, and holds a descriptor for each level, of which a task may have made any number.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// So many levels are walked down at a time; what is deeper is moved up first.
const DEPTH_LIMIT: u32 = 64;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes what `path` names below `root`. That it is not there is no error; the first of others is told.
pub fn remove_below(root: &Path, path: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path does not stay below its root",
                ));
            }
        }
    }
    let Some((last, parents)) = names.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut directory =
        rustix::fs::openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for parent in parents {
        directory = match rustix::fs::openat(&directory, *parent, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
    }
    let mut removal = Removal { error: None, hoisted: 0 };
    removal.entry(&directory, &c_string(last)?, None, 0);
    removal.error.map_or(Ok(()), Err)
}

fn c_string(name: &OsStr) -> io::Result<CString> {
    Ok(CString::new(name.as_bytes())?)
}

struct Removal {
    error: Option<io::Error>,
    /// How many directories were moved up.
    hoisted: u64,
}

impl Removal {
    fn failed(&mut self, name: &CStr, error: impl Into<io::Error>) {
        let error = error.into();
        let name = name.to_string_lossy();
        self.error.get_or_insert_with(|| io::Error::new(error.kind(), format!("'{name}': {error}")));
    }

    /// `top` is the first directory of the tree. Whether it is gone.
    fn entry(&mut self, parent: &OwnedFd, name: &CStr, top: Option<&OwnedFd>, depth: u32) -> bool {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return true,
            // A directory, as Linux and as POSIX say it.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => {
                self.failed(name, error);
                return false;
            }
        }
        if let (true, Some(top)) = (depth >= DEPTH_LIMIT, top) {
            return self.hoist(parent, name, top);
        }
        let directory = match open_within(parent, name) {
            Ok(directory) => directory,
            Err(error) => {
                self.failed(name, error);
                return false;
            }
        };
        self.contents(&directory, name, top.unwrap_or(&directory), depth);
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => true,
            Err(error) => {
                self.failed(name, error);
                false
            }
        }
    }

    /// Goes over a directory until nothing more goes, as others, and what is moved up, may come in meanwhile.
    fn contents(&mut self, directory: &OwnedFd, name: &CStr, top: &OwnedFd, depth: u32) {
        let mut stuck: BTreeSet<CString> = BTreeSet::new();
        loop {
            let mut is_last = true;
            let entries = match Dir::read_from(directory) {
                Ok(entries) => entries,
                Err(error) => return self.failed(name, error),
            };
            for entry in entries {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => return self.failed(name, error),
                };
                let entry = entry.file_name();
                if matches!(entry.to_bytes(), b"." | b"..") || stuck.contains(entry) {
                    continue;
                }
                is_last = false;
                if !self.entry(directory, entry, Some(top), depth + 1) {
                    stuck.insert(entry.to_owned());
                }
            }
            if is_last {
                return;
            }
        }
    }

    fn hoist(&mut self, parent: &OwnedFd, name: &CStr, top: &OwnedFd) -> bool {
        loop {
            self.hoisted += 1;
            let new = format!(".removed-{}-{}", std::process::id(), self.hoisted);
            // Nothing that is there is replaced.
            match rustix::fs::renameat_with(parent, name, top, &new, rustix::fs::RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::NOENT) => return true,
                Err(Errno::EXIST) => {}
                Err(error) => {
                    self.failed(name, error);
                    return false;
                }
            }
        }
    }
}

/// Opens a directory that is on the same mount as its parent.
fn open_within(parent: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    let how = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let mounted = || io::Error::new(io::ErrorKind::ResourceBusy, "something is mounted there");
    match rustix::fs::openat2(parent, name, DIRECTORY, Mode::empty(), how) {
        Err(Errno::XDEV) => Err(mounted()),
        Err(Errno::NOSYS) => {
            let directory = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?;
            let device = |of: &OwnedFd| rustix::fs::fstat(of.as_fd()).map(|found| found.st_dev);
            if device(&directory)? == device(parent)? { Ok(directory) } else { Err(mounted()) }
        }
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts;
    use std::fs;

    #[test]
    fn a_tree_goes_and_what_links_lead_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let precious = folder.path().join("precious");
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "").unwrap();
        fs::write(root.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(&precious, root.join("a/b/link")).unwrap();
        std::os::unix::fs::symlink(&precious, root.join("way")).unwrap();
        remove_below(&root, Path::new("a/b")).unwrap();
        assert!(root.join("a").exists() && !root.join("a/b").exists());
        remove_below(&root, Path::new("a/b")).unwrap();
        remove_below(&root, Path::new("x/y")).unwrap();
        // No way leads through a link, and the link itself is what goes.
        assert!(remove_below(&root, Path::new("way/file")).is_err());
        remove_below(&root, Path::new("way")).unwrap();
        assert!(precious.join("file").exists() && !root.join("way").exists());
        for wrong in ["", ".", "..", "/etc", "a/../../precious"] {
            assert!(remove_below(&root, Path::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_deeper_than_there_are_descriptors_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut deepest = fs::File::open(folder.path()).unwrap();
        rustix::fs::mkdirat(&deepest, "deep", Mode::RWXU).unwrap();
        deepest = rustix::fs::openat(&deepest, "deep", DIRECTORY, Mode::empty()).unwrap().into();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&deepest, "d", Mode::RWXU).unwrap();
            deepest = rustix::fs::openat(&deepest, "d", DIRECTORY, Mode::empty()).unwrap().into();
        }
        rustix::fs::mknodat(&deepest, "pipe", rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        remove_below(folder.path(), Path::new("deep")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Says that a test could not run and why; `./test` prints all of these in its last line.
    fn skip(why: &str) {
        eprintln!("skipped: {why}");
        if let Some(path) = std::env::var_os("MESSOR_SKIPS")
            && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
        {
            let _ = std::io::Write::write_all(&mut file, format!("{why}\n").as_bytes());
        }
    }

    #[test]
    fn what_is_mounted_there_keeps_its_data_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let volume = root.join("volume");
        for path in ["volume", "sandbox/data", "sandbox/other/deep"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(volume.join("precious"), "").unwrap();
        fs::write(root.join("sandbox/other/deep/file"), "").unwrap();
        let target = root.join("sandbox/data");
        if mounts::mount(Some(&volume), &target, None, mounts::BIND, None).is_err() {
            return skip("mounts in a tree that is removed: nothing can be mounted here");
        }
        let error = remove_below(&root, Path::new("sandbox")).unwrap_err();
        assert!(error.to_string().contains("'data': something is mounted there"), "{error}");
        assert!(volume.join("precious").exists());
        assert!(!root.join("sandbox/other").exists(), "whatever else cannot be removed");
        mounts::unmount(&target).unwrap();
        remove_below(&root, Path::new("sandbox")).unwrap();
        assert!(volume.join("precious").exists() && !root.join("sandbox").exists());
    }
}
