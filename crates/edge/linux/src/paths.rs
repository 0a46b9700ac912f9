//! Opening paths through directories that somebody else can change, without being led out of them.
//!
//! A path below a known root is resolved by the kernel (openat2) with that root as the end of the world; where the kernel
//! has no openat2 (before 5.6), component by component. All other paths are the caller's own and are resolved as they are.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What a symbolic link that leads out of a root means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// An error (EXDEV).
    Refused,
    /// It leads to the same place in the root, which is "/" for it.
    Rooted,
}

/// Symbolic links are followed this often on the way to one file.
const LINKS_LIMIT: usize = 40;

/// The directories whose content is not trusted.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    roots: Vec<(PathBuf, Escape)>,
    /// As on an old kernel.
    by_hand: bool,
}

impl Roots {
    /// Adds a root: an absolute path that is trusted itself.
    pub fn add(&mut self, root: &Path, escape: Escape) {
        self.roots.push((root.to_path_buf(), escape));
    }

    /// The innermost root that the path lies in, and the rest of the path.
    fn root_of<'a>(&self, path: &'a Path) -> Option<(&Path, Escape, &'a Path)> {
        let mut best: Option<(&Path, Escape, &Path)> = None;
        for (root, escape) in &self.roots {
            if let Ok(rest) = path.strip_prefix(root)
                && best.is_none_or(|(best, ..)| root.components().count() > best.components().count())
            {
                best = Some((root, *escape, rest));
            }
        }
        best
    }

    /// Opens what is there, as a name only (O_PATH), following symbolic links.
    pub fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::empty())
    }

    fn resolve(&self, path: &Path, more: OFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | more;
        let Some((root, escape, rest)) = self.root_of(path) else {
            return Ok(rustix::fs::open(path, flags, Mode::empty())?);
        };
        let root = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty())?;
        if rest.as_os_str().is_empty() {
            return Ok(root);
        }
        if !self.by_hand {
            let limit = match escape {
                Escape::Refused => ResolveFlags::BENEATH,
                Escape::Rooted => ResolveFlags::IN_ROOT,
            };
            let how = limit | ResolveFlags::NO_MAGICLINKS;
            // The kernel gives up when names change under it; so often nobody can change them at will.
            for _ in 0..LINKS_LIMIT {
                match rustix::fs::openat2(&root, rest, flags, Mode::empty(), how) {
                    Err(Errno::AGAIN) => {}
                    Err(Errno::NOSYS) => return by_hand(root, rest, escape, more),
                    answer => return Ok(answer?),
                }
            }
            return Err(Errno::AGAIN.into());
        }
        by_hand(root, rest, escape, more)
    }

    /// Opens the directory that holds the last name of the path, and says the name.
    pub fn open_parent<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Ok((self.resolve(parent, OFlags::DIRECTORY)?, name))
    }

    /// Makes the directory, with its parents, where it is not there, and opens it.
    pub fn make_directories(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.resolve(path, OFlags::DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            answer => return answer,
        }
        if let Some(parent) = path.parent() {
            self.make_directories(parent)?;
        }
        let (parent, name) = self.open_parent(path)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.resolve(path, OFlags::DIRECTORY)
    }

    /// Opens the file or directory, or makes it and its parents.
    pub fn open_or_make(&self, path: &Path, directory: bool) -> io::Result<OwnedFd> {
        match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            answer => return answer,
        }
        if directory {
            return self.make_directories(path);
        }
        if let Some(parent) = path.parent() {
            self.make_directories(parent)?;
        }
        let (parent, name) = self.open_parent(path)?;
        let how = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(&parent, name, how, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.open(path)
    }
}

/// Opens a file of a directory to append to, or makes it: never through a link, and without waiting for anybody where it is a
/// pipe, which the caller has to look for.
pub fn open_to_append(directory: impl AsFd, name: &Path) -> io::Result<File> {
    let how = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(directory, name, how, Mode::from_raw_mode(0o644))?))
}

/// Whether an open name is that of a directory.
pub fn is_directory(descriptor: impl AsFd) -> io::Result<bool> {
    Ok(kind(descriptor)? == FileType::Directory)
}

fn kind(descriptor: impl AsFd) -> io::Result<FileType> {
    let found = rustix::fs::statat(descriptor, c"", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

/// Goes name by name from `root`, holding the directories on the way, so that ".." never leaves it.
fn by_hand(root: OwnedFd, path: &Path, escape: Escape, more: OFlags) -> io::Result<OwnedFd> {
    let mut way = vec![root];
    let mut links = 0;
    let mut left: Vec<OsString> = parts(path);
    left.reverse();
    while let Some(name) = left.pop() {
        let here = way.last().expect("the root stays");
        if name == "/" || name == ".." {
            let leaves = name == "/" || way.len() == 1;
            if leaves && escape == Escape::Refused {
                return Err(Errno::XDEV.into());
            }
            way.truncate(if name == "/" { 1 } else { (way.len() - 1).max(1) });
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat(here, &name, flags, Mode::empty())?;
        match kind(&found)? {
            FileType::Symlink => {
                links += 1;
                if links > LINKS_LIMIT {
                    return Err(Errno::LOOP.into());
                }
                let to = rustix::fs::readlinkat(&found, c"", Vec::new())?;
                let to = PathBuf::from(OsString::from_vec(to.into_bytes()));
                left.extend(parts(&to).into_iter().rev());
            }
            FileType::Directory => way.push(found),
            _ if left.is_empty() && !more.contains(OFlags::DIRECTORY) => return Ok(found),
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Ok(way.pop().expect("the root stays"))
}

fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().filter(|part| *part != Component::CurDir);
    named.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn name(descriptor: &OwnedFd) -> PathBuf {
        fs::read_link(crate::mounts::path_of(descriptor)).unwrap()
    }

    fn roots(root: &Path, escape: Escape, by_hand: bool) -> Roots {
        let mut roots = Roots { by_hand, ..Roots::default() };
        roots.add(root, escape);
        roots
    }

    fn each(test: impl Fn(bool)) {
        test(false);
        test(true);
    }

    #[test]
    fn links_never_lead_out_of_a_root() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        let root = top.join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir(top.join("outside")).unwrap();
        fs::write(root.join("etc/file"), "").unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../../../../../../outside", root.join("a/up")).unwrap();
        symlink("b/../../etc", root.join("a/inside")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink(top.join("outside"), root.join("host")).unwrap();
        each(|by_hand| {
            let rooted = roots(&root, Escape::Rooted, by_hand);
            assert_eq!(name(&rooted.open(&root.join("absolute/file")).unwrap()), root.join("etc/file"));
            assert_eq!(name(&rooted.open(&root.join("a/inside")).unwrap()), root.join("etc"));
            assert_eq!(name(&rooted.open(&root.join("../../etc")).unwrap()), root.join("etc"));
            assert_eq!(rooted.open(&root.join("a/up")).unwrap_err().raw_os_error(), Some(libc::ENOENT));
            assert_eq!(rooted.open(&root.join("loop")).unwrap_err().raw_os_error(), Some(libc::ELOOP));
            assert_eq!(
                rooted.open(&root.join("etc/file/x")).unwrap_err().raw_os_error(),
                Some(libc::ENOTDIR)
            );
            assert_eq!(name(&rooted.open(&root).unwrap()), root);

            let refused = roots(&root, Escape::Refused, by_hand);
            for path in ["absolute/file", "a/up", "host", "../x"] {
                let error = refused.open(&root.join(path)).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
            }
            assert_eq!(name(&refused.open(&root.join("a/inside")).unwrap()), root.join("etc"));
            // What is not below a root is the caller's own.
            assert_eq!(name(&refused.open(&top.join("outside")).unwrap()), top.join("outside"));
        });
    }

    #[test]
    fn what_is_made_is_made_inside() {
        each(|by_hand| {
            let folder = tempfile::tempdir().unwrap();
            let top = fs::canonicalize(folder.path()).unwrap();
            let root = top.join("root");
            fs::create_dir(&root).unwrap();
            fs::create_dir(top.join("outside")).unwrap();
            symlink(top.join("outside"), root.join("out")).unwrap();
            symlink("/var", root.join("variable")).unwrap();
            fs::create_dir(root.join("var")).unwrap();
            let rooted = roots(&root, Escape::Rooted, by_hand);
            rooted.open_or_make(&root.join("variable/x/y/file"), false).unwrap();
            assert!(root.join("var/x/y/file").is_file());
            rooted.open_or_make(&root.join("new/directory"), true).unwrap();
            assert!(root.join("new/directory").is_dir());
            // The link dangles in there: it is not followed by what makes things.
            assert!(rooted.open_or_make(&root.join("out/x"), false).is_err());
            let refused = roots(&root, Escape::Refused, by_hand);
            assert!(refused.open_or_make(&root.join("out/x"), true).is_err());
            assert_eq!(fs::read_dir(top.join("outside")).unwrap().count(), 0);
        });
    }
}
