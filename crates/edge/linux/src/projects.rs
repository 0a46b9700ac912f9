//! Project quotas of XFS: what the files of a project take together, and how much they may.
//!
//! What decides takes the trait, so that it is tested with a fake: few kernels at hand have such file systems.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use crate::mounts::Table;

/// The kernel's unit.
const BLOCK_BYTES: u64 = 512;

pub trait Projects: Send + Sync {
    /// Whether a path is on an XFS that counts by projects; the words say what is missing.
    fn check(&self, path: &Path) -> io::Result<()>;
    /// The project of a directory; None: it has none.
    fn project(&self, path: &Path) -> io::Result<Option<u32>>;
    /// Puts a directory and all in it into a project, with whatever is made in it later.
    fn set_project(&self, path: &Path, project: u32) -> io::Result<()>;
    /// The soft and the hard limit of a project on the file system of a path; 0: none.
    fn set_limits(&self, path: &Path, project: u32, soft: u64, hard: u64) -> io::Result<()>;
    /// What a project takes, in bytes.
    fn used(&self, path: &Path, project: u32) -> io::Result<u64>;
}

/// The real ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xfs;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_on_write_size: u32,
    padding: [u8; 8],
}

const GET_ATTRIBUTES: libc::c_ulong = 0x801c_581f;
const SET_ATTRIBUTES: libc::c_ulong = 0x401c_5820;
/// What is made in a directory is of its project.
const INHERIT: u32 = 0x200;
const XFS_MAGIC: i64 = 0x5846_5342;

fn attributes(file: &impl AsRawFd) -> io::Result<Attributes> {
    let mut found = Attributes::default();
    // SAFETY: the request writes one such structure.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), GET_ATTRIBUTES, &raw mut found) };
    if answer == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}

fn set_attributes(file: &impl AsRawFd, project: u32, is_directory: bool) -> io::Result<()> {
    let mut wanted = attributes(file)?;
    wanted.project = project;
    if is_directory {
        wanted.flags |= INHERIT;
    }
    // SAFETY: the request reads one such structure.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), SET_ATTRIBUTES, &raw const wanted) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct fs_disk_quota`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct DiskQuota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    hard_blocks: u64,
    soft_blocks: u64,
    hard_files: u64,
    soft_files: u64,
    blocks: u64,
    files: u64,
    timers: [i32; 2],
    warnings: [u16; 2],
    timers_high: [i8; 4],
    realtime: [u64; 3],
    realtime_timer: i32,
    realtime_warnings: u16,
    padding: i16,
    more_padding: [u8; 8],
}

/// `struct fs_quota_statv`, as far as it is read; the kernel writes no more than this.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct QuotaState {
    version: i8,
    padding: u8,
    flags: u16,
    rest: [[u32; 13]; 3],
}

const GET_QUOTA: i32 = 0x5803;
const SET_LIMITS: i32 = 0x5804;
const GET_STATE: i32 = 0x5808;
const PROJECT_QUOTA: i32 = 2;
const PROJECT_FLAG: i8 = 2;
const SOFT_AND_HARD: u16 = 1 << 2 | 1 << 3;
const COUNTS_PROJECTS: u16 = 1 << 4;

/// The device of the file system that a path is on.
fn device(path: &Path) -> io::Result<CString> {
    let real = std::fs::canonicalize(path)?;
    let table = Table::current()?;
    let entry = table.containing(&real).ok_or(io::ErrorKind::NotFound)?;
    CString::new(entry.source.as_bytes()).map_err(io::Error::other)
}

fn quota<T>(request: i32, path: &Path, project: u32, data: &mut T) -> io::Result<()> {
    let device = device(path)?;
    let command = request << 8 | PROJECT_QUOTA;
    // SAFETY: `data` is the structure that the request reads or writes, and the device is a string; both live until the
    // call is over.
    let answer = unsafe {
        libc::quotactl(
            command,
            device.as_ptr(),
            project.cast_signed(),
            (data as *mut T).cast::<libc::c_char>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Projects for Xfs {
    fn check(&self, path: &Path) -> io::Result<()> {
        let refused = |text: String| Err(io::Error::new(io::ErrorKind::Unsupported, text));
        if rustix::fs::statfs(path)?.f_type as i64 != XFS_MAGIC {
            return refused(format!("'{}' is not on an XFS file system", path.display()));
        }
        let mut state = QuotaState { version: 1, ..QuotaState::default() };
        quota(GET_STATE, path, 0, &mut state)?;
        if state.flags & COUNTS_PROJECTS == 0 {
            return refused(format!(
                "the file system of '{}' does not count by projects: mount it with the option prjquota",
                path.display()
            ));
        }
        Ok(())
    }

    fn project(&self, path: &Path) -> io::Result<Option<u32>> {
        let found = attributes(&File::open(path)?)?.project;
        Ok(Some(found).filter(|project| *project != 0))
    }

    fn set_project(&self, path: &Path, project: u32) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let top: OwnedFd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let own = rustix::fs::fstat(&top)?.st_dev;
        set_attributes(&top, project, true)?;
        let mut open = vec![Dir::new(top)?];
        while let Some(directory) = open.last_mut() {
            let Some(Ok(entry)) = directory.read() else {
                open.pop();
                continue;
            };
            let name: CString = entry.file_name().to_owned();
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(found) = rustix::fs::statat(directory.fd()?, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            // Other file systems, and what cannot be opened without doing something.
            let kind = FileType::from_raw_mode(found.st_mode);
            if found.st_dev != own || !matches!(kind, FileType::Directory | FileType::RegularFile) {
                continue;
            }
            let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let Ok(inner) = rustix::fs::openat(directory.fd()?, &name, how, Mode::empty()) else { continue };
            set_attributes(&inner, project, kind == FileType::Directory)?;
            if kind == FileType::Directory {
                open.push(Dir::new(inner)?);
            }
        }
        Ok(())
    }

    fn set_limits(&self, path: &Path, project: u32, soft: u64, hard: u64) -> io::Result<()> {
        let mut wanted = DiskQuota {
            version: 1,
            flags: PROJECT_FLAG,
            fields: SOFT_AND_HARD,
            id: project,
            soft_blocks: soft / BLOCK_BYTES,
            hard_blocks: hard / BLOCK_BYTES,
            ..DiskQuota::default()
        };
        quota(SET_LIMITS, path, project, &mut wanted)
    }

    fn used(&self, path: &Path, project: u32) -> io::Result<u64> {
        let mut found = DiskQuota { version: 1, flags: PROJECT_FLAG, id: project, ..DiskQuota::default() };
        match quota(GET_QUOTA, path, project, &mut found) {
            // Nothing was counted for it yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            answer => answer.map(|()| found.blocks * BLOCK_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_large_as_the_kernels() {
        assert_eq!(size_of::<Attributes>(), 28);
        assert_eq!(size_of::<DiskQuota>(), 112);
        assert_eq!(size_of::<QuotaState>(), 160);
    }

    #[test]
    fn another_file_system_is_named() {
        let error = Xfs.check(Path::new("/proc")).unwrap_err().to_string();
        assert_eq!(error, "'/proc' is not on an XFS file system");
    }
}
