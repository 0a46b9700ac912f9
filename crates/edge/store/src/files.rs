//! The directory that a log lives in, as a trait, and the real one. Tests put a disk in its place that fails, tears and
//! forgets. Must not know what the files hold.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

/// A file that is read at any place.
pub trait ReadFile: Send {
    fn size(&self) -> io::Result<u64>;
    /// Fills all of `into`, or fails.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

/// A file that grows at its end.
pub trait AppendFile: Send {
    /// Writes all of it, or fails.
    fn append(&mut self, data: &[u8]) -> io::Result<()>;
    /// Writes it over the beginning of the file, which is as long at least.
    fn overwrite(&mut self, data: &[u8]) -> io::Result<()>;
    /// Returns once what was appended survives a loss of power.
    fn sync(&mut self) -> io::Result<()>;
}

/// Holds the lock until it is dropped.
pub trait Lock: Send {}

/// One directory.
pub trait Files: Send {
    fn path(&self) -> &Path;
    fn list(&self) -> io::Result<Vec<String>>;
    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>>;
    /// Begins an empty file; what was there by that name is gone.
    fn create(&self, name: &str) -> io::Result<Box<dyn AppendFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns once files begun, renamed and removed are so after a loss of power.
    fn sync_directory(&self) -> io::Result<()>;
    /// `None` if somebody else holds it.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>>;
}

/// A directory of this machine.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes the directory if it is not there; the one above it must be.
    pub fn make(path: &Path) -> io::Result<Directory> {
        match std::fs::create_dir(path) {
            Ok(()) => {
                if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
                    File::open(above)?.sync_all()?;
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => (),
            Err(error) => return Err(error),
        }
        Ok(Directory(path.to_path_buf()))
    }

    /// One that is there.
    pub fn existing(path: &Path) -> io::Result<Directory> {
        if path.is_dir() {
            Ok(Directory(path.to_path_buf()))
        } else if path.exists() {
            Err(ErrorKind::NotADirectory.into())
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }
}

struct RealRead(File);

impl ReadFile for RealRead {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }
}

struct RealAppend(File);

impl AppendFile for RealAppend {
    fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.write_all(data)
    }

    fn overwrite(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, 0)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// The files that this program has locked: the system's locks are between programs, not within one.
static LOCKED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

struct RealLock {
    inode: (u64, u64),
    /// Closing it lets the lock go.
    _file: File,
}

impl Lock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        LOCKED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.inode);
    }
}

impl Files for Directory {
    fn path(&self) -> &Path {
        &self.0
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            // A name that is no text is none of LevelDB's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(RealRead(File::open(self.0.join(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(self.0.join(name))?;
        Ok(Box::new(RealAppend(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let path = self.0.join(name);
        let mut locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
        // A second descriptor of a file that this program has locked must not even be closed: it would let the lock go.
        if let Ok(there) = std::fs::metadata(&path)
            && locked.contains(&(there.dev(), there.ino()))
        {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => (),
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let there = file.metadata()?;
        let inode = (there.dev(), there.ino());
        locked.insert(inode);
        Ok(Some(Box::new(RealLock { inode, _file: file })))
    }
}
