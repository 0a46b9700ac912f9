//! A log that never grows beyond its size, while who rotates it works.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// logrotate rotates what is larger than a size; so it is told one that is less by this than what is never exceeded.
pub(crate) const MARGIN_BYTES: u64 = 4096;

/// Moves a log aside, so that the next one begins anew.
pub(crate) trait Rotate {
    fn rotate(&mut self) -> io::Result<()>;
}

pub(crate) struct Log<R> {
    directory: OwnedFd,
    name: PathBuf,
    max_bytes: u64,
    rotate: R,
    file: Option<File>,
    bytes: u64,
}

impl<R: Rotate> Log<R> {
    pub fn new(directory: OwnedFd, name: &Path, max_bytes: u64, rotate: R) -> Log<R> {
        let max_bytes = max_bytes.max(MARGIN_BYTES);
        Log { directory, name: name.to_owned(), max_bytes, rotate, file: None, bytes: 0 }
    }

    /// Writes all of it. Only a log that cannot be opened is an error: what cannot be written, on a full disk for one, is
    /// lost and said, as whoever writes to the pipe must not stand still for its log.
    pub fn write(&mut self, mut part: &[u8]) -> io::Result<()> {
        while !part.is_empty() {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => self.open()?,
            };
            let room = usize::try_from(self.max_bytes.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
            let (now, later) = part.split_at(fitting(part, room));
            if let Err(error) = file.write_all(now) {
                say(&format!("{} of {} bytes or fewer are lost: {error}", self.name.display(), now.len()));
            }
            self.bytes += now.len() as u64;
            part = later;
            if part.is_empty() {
                self.file = Some(file);
                break;
            }
            drop(file);
            if let Err(error) = self.rotate.rotate() {
                say(&format!("{} is not rotated and goes on: {error}", self.name.display()));
            }
            // Also where it did not work: the next attempt comes when as much again is written.
            self.bytes = 0;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<File> {
        let file = messor_linux::paths::open_to_append(&self.directory, &self.name)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a plain file"));
        }
        // What the fetcher wrote before, for one. After a rotation that failed it counts as nothing.
        if self.bytes == 0 && found.len() < self.max_bytes {
            self.bytes = found.len();
        }
        Ok(file)
    }
}

/// How much of `part` goes into the room that is left: whole lines, where a line ends in the last page of it.
fn fitting(part: &[u8], room: usize) -> usize {
    if part.len() <= room {
        return part.len();
    }
    let margin = MARGIN_BYTES as usize / 2;
    let from = room.saturating_sub(margin);
    match part[from..room].iter().rposition(|byte| *byte == b'\n') {
        Some(at) => from + at + 1,
        None => room,
    }
}

pub(crate) fn say(words: &str) {
    // Nobody may be there to hear it.
    let _ = writeln!(io::stderr(), "mesos-logrotate-logger: {words}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Rename {
        directory: PathBuf,
        count: u32,
        works: bool,
    }

    impl Rotate for &mut Rename {
        fn rotate(&mut self) -> io::Result<()> {
            self.count += 1;
            match self.works {
                true => fs::rename(self.directory.join("log"), self.directory.join(self.count.to_string())),
                false => Err(io::Error::other("it does not work")),
            }
        }
    }

    fn write(works: bool, parts: &[&[u8]]) -> (tempfile::TempDir, u32) {
        let folder = tempfile::tempdir().unwrap();
        let mut rename = Rename { directory: folder.path().to_owned(), count: 0, works };
        let directory = File::open(folder.path()).unwrap().into();
        let mut log = Log::new(directory, Path::new("log"), 8192, &mut rename);
        for part in parts {
            log.write(part).unwrap();
        }
        drop(log);
        (folder, rename.count)
    }

    #[test]
    fn nothing_is_lost_and_no_file_is_too_large() {
        let line = [b"0123456789".repeat(10).as_slice(), b"\n"].concat();
        let all = line.repeat(500);
        let parts: Vec<&[u8]> = all.chunks(3000).collect();
        let (folder, count) = write(true, &parts);
        let mut found = Vec::new();
        for number in 1..=count {
            let part = fs::read(folder.path().join(number.to_string())).unwrap();
            assert!(part.len() <= 8192 && part.len() as u64 > 8192 - MARGIN_BYTES, "{}", part.len());
            assert!(part.ends_with(b"\n"), "a line is not cut");
            found.extend(part);
        }
        found.extend(fs::read(folder.path().join("log")).unwrap());
        assert!(found == all);
    }

    #[test]
    fn what_has_no_lines_is_cut_where_it_must_be() {
        let (folder, count) = write(true, &[&[7; 20000]]);
        assert_eq!(count, 2);
        for (name, length) in [("1", 8192), ("2", 8192), ("log", 3616)] {
            assert_eq!(fs::metadata(folder.path().join(name)).unwrap().len(), length, "{name}");
        }
    }

    #[test]
    fn without_rotation_it_goes_on_and_tries_again() {
        let (folder, count) = write(false, &[&[7; 20000]]);
        assert_eq!((count, fs::metadata(folder.path().join("log")).unwrap().len()), (2, 20000));
    }

    #[test]
    fn a_link_in_the_place_of_the_log_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious"), "precious").unwrap();
        std::os::unix::fs::symlink("precious", folder.path().join("log")).unwrap();
        let mut rename = Rename { directory: folder.path().to_owned(), count: 0, works: true };
        let directory = File::open(folder.path()).unwrap().into();
        assert!(Log::new(directory, Path::new("log"), 8192, &mut rename).write(b"evil").is_err());
        assert_eq!(fs::read(folder.path().join("precious")).unwrap(), b"precious");
    }

    #[test]
    fn what_is_there_already_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log"), [1; 8000]).unwrap();
        let mut rename = Rename { directory: folder.path().to_owned(), count: 0, works: true };
        let directory = File::open(folder.path()).unwrap().into();
        Log::new(directory, Path::new("log"), 8192, &mut rename).write(&[2; 1000]).unwrap();
        assert_eq!((rename.count, fs::metadata(folder.path().join("1")).unwrap().len()), (1, 8192));
    }
}
