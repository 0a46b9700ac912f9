//! The sandbox directory as the only place the fetcher writes to.
//!
//! Every path is resolved below the sandbox by cap-std (openat2 where the kernel has it, a walk by hand where not),
//! so that a symbolic link that an archive planted cannot lead a later write out of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{
    Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt as _,
};
use rustix::fs::{FileType, Mode, OFlags};

/// How many names are tried for a directory of our own.
const WORK_DIRECTORIES: u32 = 100;

pub(crate) struct Sandbox {
    path: PathBuf,
    root: Dir,
}

impl Sandbox {
    pub fn open(path: &Path) -> io::Result<Sandbox> {
        Ok(Sandbox { path: path.to_owned(), root: Dir::open_ambient_dir(path, ambient_authority())? })
    }

    /// Where a file of the sandbox is seen from outside, for messages.
    pub fn outside(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    /// The bytes an unprivileged user may still write on this file system.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub fn open_file(&self, path: &Path) -> io::Result<File> {
        Ok(self.root.open(path)?.into_std())
    }

    /// A new file in place of whatever is there: what is replaced is unlinked, never written through.
    pub fn create_file(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.make_way(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode & 0o777);
        Ok(self.root.open_with(path, &options)?.into_std())
    }

    /// A directory with its parents. One that is there already keeps its permissions.
    pub fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.create_parents(path)?;
        match self.root.create_dir_with(path, DirBuilder::new().mode(mode & 0o777 | 0o700)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.root.is_dir(path) => Ok(()),
            other => other,
        }
    }

    pub fn create_symlink(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.make_way(path)?;
        self.root.symlink_contents(target, path)
    }

    pub fn create_hard_link(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.make_way(path)?;
        self.root.hard_link(target, &self.root, path)
    }

    pub fn create_fifo(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.make_way(path)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => self.root.open_dir(parent)?,
            None => self.root.try_clone()?,
        };
        Ok(rustix::fs::mknodat(&parent, name, FileType::Fifo, Mode::from_raw_mode(mode & 0o777), 0)?)
    }

    /// A new directory of our own in the root, for programs that write by path; nothing else has its name.
    pub fn create_work_directory(&self) -> io::Result<PathBuf> {
        let process = std::process::id();
        for number in 0..WORK_DIRECTORIES {
            let name = PathBuf::from(format!(".fetch-{process}-{number}"));
            match self.root.create_dir_with(&name, DirBuilder::new().mode(0o700)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|()| name),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Moves within the sandbox, in place of whatever is there.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make_way(to)?;
        self.root.rename(from, &self.root, to)
    }

    pub fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.root.remove_dir_all(path)
    }

    pub fn make_executable(&self, path: &Path) -> io::Result<()> {
        self.root.set_permissions(path, Permissions::from_mode(0o755))
    }

    /// Takes from the owner of a directory what its archive did not grant; done last, when nothing more is written.
    pub fn restrict_owner(&self, path: &Path, mode: u32) -> io::Result<()> {
        let directory = self.open_directory(path)?;
        let present = directory.metadata()?.permissions().mode();
        directory.set_permissions(std::fs::Permissions::from_mode(present & 0o777 & (mode | !0o700)))
    }

    pub fn set_directory_modified(&self, path: &Path, modified: std::time::SystemTime) -> io::Result<()> {
        self.open_directory(path)?.set_modified(modified)
    }

    /// `Dir::open_dir` gives a descriptor that can only be walked from (O_PATH), and this one must be changed by.
    fn open_directory(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed());
        Ok(self.root.open_with(path, &options)?.into_std())
    }

    fn make_way(&self, path: &Path) -> io::Result<()> {
        self.create_parents(path)?;
        match self.root.symlink_metadata(path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => self.root.remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn create_parents(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.root.create_dir_all(parent),
            _ => Ok(()),
        }
    }
}
