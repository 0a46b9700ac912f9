//! Trees that change hands from one group to another. Others may write in them meanwhile: no link is followed, no mount is
//! crossed, and a name that somebody gave to another's file does not give that file away.

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Each level is an open descriptor.
const DEPTH_LIMIT: usize = 256;

/// Whether members of a group may make files in the directories, which are then the group's, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    Begins,
    Ends,
}

/// Gives a directory, and the directories, files and links in it, to a group: the directory itself as the last, so that it
/// shows that all is done.
pub fn give_to_group(root: BorrowedFd<'_>, group: u32, sharing: Sharing) -> io::Result<()> {
    let root = within(root, c".", ResolveFlags::empty())?;
    let owner = rustix::fs::fstat(&root)?.st_uid;
    // Deepest last.
    let mut open = vec![Dir::new(root)?];
    while let Some(directory) = open.last_mut() {
        let name = match directory.read() {
            None => {
                directory_to_group(directory.fd()?, group, sharing)?;
                open.pop();
                continue;
            }
            Some(entry) => CString::from(entry?.file_name()),
        };
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match rustix::fs::openat(directory.fd()?, &name, flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            opened => opened?,
        };
        let found = rustix::fs::fstat(&entry)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => match within(directory.fd()?, &name, ResolveFlags::NO_XDEV) {
                // Something is mounted there, or it went away.
                Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if open.len() >= DEPTH_LIMIT => {
                    return Err(io::Error::other(format!("directories are more than {DEPTH_LIMIT} deep")));
                }
                Ok(inner) => open.push(Dir::new(inner)?),
            },
            FileType::RegularFile | FileType::Symlink if is_of_the_tree(&found, owner) => {
                rustix::fs::chownat(&entry, c"", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A second name of somebody else's file may be in a tree without that the file is.
fn is_of_the_tree(found: &Stat, owner: u32) -> bool {
    found.st_nlink == 1 || found.st_uid == owner
}

fn within(directory: BorrowedFd<'_>, name: &std::ffi::CStr, how: ResolveFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat2(directory, name, flags, Mode::empty(), how) {
        // Before Linux 5.6: what is on another device is told below, another mount of the same one is not.
        Err(Errno::NOSYS) => {
            let opened = rustix::fs::openat(directory, name, flags, Mode::empty())?;
            let devices = (rustix::fs::fstat(directory)?.st_dev, rustix::fs::fstat(&opened)?.st_dev);
            if devices.0 == devices.1 { Ok(opened) } else { Err(Errno::XDEV) }
        }
        opened => opened,
    }
}

fn directory_to_group(directory: BorrowedFd<'_>, group: u32, sharing: Sharing) -> io::Result<()> {
    let shared = Mode::SGID | Mode::WGRP;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode);
    let mode = match sharing {
        Sharing::Begins => mode | shared,
        Sharing::Ends => mode - shared,
    };
    // What is not shared any more is closed before it is another group's, and the other way round.
    let own = || rustix::fs::fchown(directory, None, Some(Gid::from_raw(group)));
    if sharing == Sharing::Begins {
        own()?;
    }
    rustix::fs::fchmod(directory, mode)?;
    if sharing == Sharing::Ends {
        own()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    #[test]
    fn a_tree_is_a_groups_and_then_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        fs::write(outside.join("secret"), "").unwrap();
        chown(outside.join("secret"), Some(3), Some(3)).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        fs::hard_link(outside.join("secret"), tree.join("name")).unwrap();
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        let give =
            |group, sharing| give_to_group(File::open(&tree).unwrap().as_fd(), group, sharing).unwrap();
        let seen = |path: &str| {
            let found = fs::symlink_metadata(folder.path().join(path)).unwrap();
            (found.gid(), found.mode() & 0o7777)
        };
        let before = seen("outside");
        give(54_321, Sharing::Begins);
        assert_eq!(seen("tree/a"), (54_321, 0o2775));
        assert_eq!((seen("tree/a/b/file").0, seen("tree/link").0, seen("tree").0), (54_321, 54_321, 54_321));
        assert_eq!(seen("outside"), before, "a link was followed");
        assert_eq!(seen("outside/secret").0, 3, "somebody else's file was given away by a name for it");
        give(7, Sharing::Ends);
        assert_eq!((seen("tree/a"), seen("tree/a/b/file").0), ((7, 0o755), 7));
    }

    #[test]
    fn trees_without_end_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = std::iter::repeat_n("d", DEPTH_LIMIT + 1).collect();
        fs::create_dir_all(folder.path().join(deep)).unwrap();
        let error =
            give_to_group(File::open(folder.path()).unwrap().as_fd(), 7, Sharing::Begins).unwrap_err();
        assert!(error.to_string().contains("256 deep"), "{error}");
    }
}
