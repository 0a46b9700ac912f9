//! Pseudo terminals. Who reads and writes them is not known here.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

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
