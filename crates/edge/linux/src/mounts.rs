//! Mounts: the table of them, making and removing them. What they are for is not known here.
//!
//! Sources and targets are open descriptors wherever somebody else may change the names on the way to them (see
//! [`crate::paths`]).

use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

/// Flags of mount(2).
pub const READ_ONLY: u64 = libc::MS_RDONLY;
pub const NO_SETUID: u64 = libc::MS_NOSUID;
pub const NO_DEVICES: u64 = libc::MS_NODEV;
pub const NO_EXECUTION: u64 = libc::MS_NOEXEC;
pub const BIND: u64 = libc::MS_BIND;
pub const RECURSIVE: u64 = libc::MS_REC;
pub const SHARED: u64 = libc::MS_SHARED;
pub const SLAVE: u64 = libc::MS_SLAVE;
pub const PRIVATE: u64 = libc::MS_PRIVATE;
pub const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
pub const REMOUNT: u64 = libc::MS_REMOUNT;

/// Those that change how a mount passes mounts on, and nothing else.
pub const PROPAGATION: u64 = SHARED | SLAVE | PRIVATE | UNBINDABLE;

/// What mount(2) means as attributes of one mount, apart from its filesystem, with what mount_setattr(2) calls them.
const ATTRIBUTES: [(u64, u64); 4] =
    [(READ_ONLY, 0x1), (NO_SETUID, 0x2), (NO_DEVICES, 0x4), (NO_EXECUTION, 0x8)];

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: u32,
    pub parent: u32,
    /// The part of its filesystem that is mounted.
    pub root: PathBuf,
    pub target: PathBuf,
    /// The peer group that it shares mounts with.
    pub shared: Option<u32>,
    /// The peer group that it gets mounts from.
    pub master: Option<u32>,
    pub options: String,
    pub filesystem: String,
    pub source: OsString,
    /// Of the filesystem rather than of this mount.
    pub super_options: String,
}

/// The mounts of a mount namespace, in the order of the kernel: a mount stands after what it was mounted on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(pub Vec<Entry>);

impl Table {
    /// That of the calling process.
    pub fn current() -> io::Result<Table> {
        Table::parse(&fs::read("/proc/self/mountinfo")?)
    }

    pub fn of(pid: i32) -> io::Result<Table> {
        Table::parse(&fs::read(format!("/proc/{pid}/mountinfo"))?)
    }

    fn parse(bytes: &[u8]) -> io::Result<Table> {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let entries: Option<Vec<Entry>> = lines.map(entry).collect();
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "mountinfo has an unknown form");
        entries.map(Table).ok_or_else(wrong)
    }

    /// The mount that this absolute path without symbolic links lies on: the last one that hides the others.
    pub fn containing(&self, path: &Path) -> Option<&Entry> {
        let mut best: Option<&Entry> = None;
        for entry in &self.0 {
            let depth = |entry: &Entry| entry.target.components().count();
            if path.starts_with(&entry.target) && best.is_none_or(|best| depth(entry) >= depth(best)) {
                best = Some(entry);
            }
        }
        best
    }

    pub fn is_mount_point(&self, path: &Path) -> bool {
        self.0.iter().any(|entry| entry.target == path)
    }

    /// The mounts at or below a path, in the order of the table.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.target.starts_with(path))
    }
}

fn entry(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u32>().ok();
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let _device = fields.next()?;
    let root = unescape(fields.next()?);
    let target = unescape(fields.next()?);
    let options = text(fields.next()?);
    let (mut shared, mut master) = (None, None);
    loop {
        match fields.next()? {
            b"-" => break,
            field => {
                if let Some(group) = field.strip_prefix(b"shared:") {
                    shared = number(group);
                } else if let Some(group) = field.strip_prefix(b"master:") {
                    master = number(group);
                }
            }
        }
    }
    let filesystem = text(fields.next()?);
    let source = unescape(fields.next()?);
    let super_options = text(fields.next()?);
    Some(Entry {
        id,
        parent,
        root: root.into(),
        target: target.into(),
        shared,
        master,
        options,
        filesystem,
        source,
        super_options,
    })
}

/// The kernel writes blanks and backslashes as `\` and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// The name under which /proc has an open descriptor of this process; whatever happens to its path, it is the same file.
pub fn path_of(descriptor: impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()).into()
}

/// mount(2), with these very arguments.
pub fn mount(
    source: Option<&Path>,
    target: &Path,
    kind: Option<&str>,
    flags: u64,
    options: Option<&str>,
) -> io::Result<()> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let source = source.map(|source| text(source.as_os_str().as_bytes())).transpose()?;
    let target = text(target.as_os_str().as_bytes())?;
    let kind = kind.map(|kind| text(kind.as_bytes())).transpose()?;
    let options = options.map(|options| text(options.as_bytes())).transpose()?;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: each pointer is null or to a string that lives until the call is over.
    let answer = unsafe {
        libc::mount(
            pointer(&source),
            target.as_ptr(),
            pointer(&kind),
            flags as libc::c_ulong,
            pointer(&options).cast(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes what `source` is appear at `target` as well, with all mounts below where it is recursive, and with these attributes
/// (READ_ONLY, NO_SETUID, NO_DEVICES, NO_EXECUTION) in addition to those that it has.
pub fn bind(source: BorrowedFd<'_>, target: BorrowedFd<'_>, recursive: bool, flags: u64) -> io::Result<()> {
    match bind_at_once(source, target, recursive, flags) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            bind_in_steps(source, target, recursive, flags)
        }
        answer => answer,
    }
}

/// The copy gets its attributes while nobody can see it yet (Linux 5.12).
fn bind_at_once(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    recursive: bool,
    flags: u64,
) -> io::Result<()> {
    let mut how =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        how |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = rustix::mount::open_tree(source, c"", how)?;
    set_attributes(&tree, recursive, flags)?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(&tree, c"", target, c"", how)?)
}

fn bind_in_steps(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    recursive: bool,
    flags: u64,
) -> io::Result<()> {
    // Where it will be seen, by its name; the descriptor stays below the mount.
    let name = fs::read_link(path_of(target))?;
    let all = if recursive { RECURSIVE } else { 0 };
    mount(Some(&path_of(source)), &path_of(target), None, BIND | all, None)?;
    let wanted = ATTRIBUTES.iter().fold(0, |wanted, (flag, _)| wanted | flags & flag);
    if wanted == 0 {
        return Ok(());
    }
    let table = Table::current()?;
    let mut made: Vec<&Entry> = table.below(&name).collect();
    if !recursive {
        made.retain(|entry| entry.target == name);
    }
    for entry in made {
        // A remount replaces the attributes: those that are there are given again.
        let present = entry.options.split(',').fold(0, |flags, option| {
            flags
                | match option {
                    "ro" => READ_ONLY,
                    "nosuid" => NO_SETUID,
                    "nodev" => NO_DEVICES,
                    "noexec" => NO_EXECUTION,
                    "noatime" => libc::MS_NOATIME,
                    "nodiratime" => libc::MS_NODIRATIME,
                    "relatime" => libc::MS_RELATIME,
                    _ => 0,
                }
        });
        mount(None, &entry.target, None, REMOUNT | BIND | present | wanted, None)?;
    }
    Ok(())
}

/// Gives a mount (that of an open tree, or the one whose root is open here) these attributes in addition.
fn set_attributes(mount: impl AsFd, recursive: bool, flags: u64) -> io::Result<()> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let set = ATTRIBUTES.iter().fold(0, |set, (flag, name)| if flags & flag == 0 { set } else { set | name });
    let wanted = MountAttributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    let mut how = libc::AT_EMPTY_PATH;
    if recursive {
        how |= libc::AT_RECURSIVE;
    }
    // SAFETY: an empty string, and a structure of the size that is said.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            how,
            &raw const wanted,
            size_of::<MountAttributes>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the mount at `target`, and those below it where it is recursive, shared, slave or private.
pub fn set_propagation(target: &Path, propagation: u64, recursive: bool) -> io::Result<()> {
    let all = if recursive { RECURSIVE } else { 0 };
    mount(None, target, None, propagation & PROPAGATION | all, None)
}

/// Unmounts one mount, now.
pub fn unmount(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::NOFOLLOW)?)
}

/// Takes one mount out of the tree now; its filesystem goes when nobody uses it any more.
pub fn detach(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?)
}

/// How often the table is read anew, as something may be mounted meanwhile, or unmounted by propagation.
const ROUNDS_LIMIT: usize = 16;

/// Unmounts everything at and below this absolute path without symbolic links, what was mounted last first. A mount that is
/// in use is detached. Answers with what was unmounted.
pub fn unmount_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut gone = Vec::new();
    for _ in 0..ROUNDS_LIMIT {
        let table = Table::current()?;
        let targets: Vec<&Path> = table.below(path).map(|entry| entry.target.as_path()).rev().collect();
        if targets.is_empty() {
            return Ok(gone);
        }
        for target in targets {
            match unmount(target) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => detach(target)?,
                // Gone already with another one, by propagation.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => continue,
                answer => answer?,
            }
            gone.push(target.to_path_buf());
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("mounts come back below '{}'", path.display())))
}

/// Makes this directory the root of the calling process, and lets the old root go, with all that is mounted in it. The
/// process must be in a mount namespace of its own, in which nothing is passed on to others, and the directory must be
/// the root of a mount.
pub fn change_root(root: &OwnedFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // Both at the same place: the old root is then on top of the new one, and is taken off.
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir(c"/")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let text = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            30 22 0:5 / /dev rw master:2 propagate_from:3 - devtmpfs dev\\040tmpfs rw\n\
            31 22 0:6 /a /mnt/with\\040blank\\134 ro,nosuid - tmpfs tmpfs rw\n\
            32 30 0:7 / /dev rw shared:7 master:8 - tmpfs none rw\n";
        let table = Table::parse(text).unwrap();
        assert_eq!(table.0.len(), 4);
        assert_eq!((table.0[0].shared, table.0[1].master), (Some(1), Some(2)));
        assert_eq!((table.0[3].shared, table.0[3].master), (Some(7), Some(8)));
        assert_eq!(
            (table.0[1].source.to_str(), table.0[0].super_options.as_str()),
            (Some("dev tmpfs"), "rw")
        );
        assert_eq!(table.0[2].target, Path::new("/mnt/with blank\\"));
        assert_eq!((table.0[2].root.to_str(), table.0[2].options.as_str()), (Some("/a"), "ro,nosuid"));
        assert_eq!(table.containing(Path::new("/dev/x")).unwrap().id, 32, "the last one hides the others");
        assert_eq!(table.containing(Path::new("/device")).unwrap().id, 22);
        assert_eq!(table.below(Path::new("/dev")).map(|entry| entry.id).collect::<Vec<_>>(), [30, 32]);
        assert!(table.is_mount_point(Path::new("/dev")) && !table.is_mount_point(Path::new("/mnt")));
        assert!(Table::parse(b"1 2 3").is_err());
        assert!(Table::current().unwrap().is_mount_point(Path::new("/")));
    }
}
