//! Pseudo terminals. Who reads and writes them is not known here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Both ends of a new terminal. Neither becomes the controlling one of the calling process.
#[derive(Debug)]
pub struct Terminal {
    /// What is written here is typed, and what is read here is shown.
    pub master: OwnedFd,
    /// Standard input, output and error of a program.
    pub slave: OwnedFd,
    /// Of the slave.
    pub path: PathBuf,
}

impl Terminal {
    pub fn open() -> io::Result<Terminal> {
        let open = |path: &Path| -> io::Result<OwnedFd> {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            Ok(rustix::fs::open(path, flags, Mode::empty())?)
        };
        let master = open(Path::new("/dev/ptmx"))?;
        let path = unlock(&master)?;
        let slave = open(&path)?;
        Ok(Terminal { master, slave, path })
    }

    pub fn set_size(&self, rows: u16, columns: u16) -> io::Result<()> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the pointer is to a size that lives until the call is over.
        let answer = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Unlocks the other side of an open /dev/ptmx, and says where it is.
pub fn unlock(master: impl AsFd) -> io::Result<PathBuf> {
    let master = master.as_fd();
    let mut number: libc::c_uint = 0;
    let locked: libc::c_int = 0;
    // SAFETY: each call takes a pointer to a number that lives until it is over.
    let answers = unsafe {
        let unlocked = libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked);
        if unlocked != 0 {
            unlocked
        } else {
            libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number)
        }
    };
    if answers != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(format!("/dev/pts/{number}").into())
}
