//! Device files and their numbers.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

/// Major and minor number of what stat(2) calls `st_rdev`.
pub fn numbers(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// Makes a device file that only its owner may use.
pub fn make(path: &Path, block: bool, major: u32, minor: u32) -> io::Result<()> {
    let kind = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
    Ok(rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, rustix::fs::makedev(major, minor))?)
}
