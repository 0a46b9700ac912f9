//! The files of `--log_dir`, as glog names and fills them: one series for each severity, a new file when one is full,
//! and a link without date to the newest. A line goes to the files of its severity and of all lower ones.
//! Errors are kept to itself, but for the first ones: a log that cannot be written stops no program.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Zoned;

use crate::line::{Line, Severity};

/// A file that has so many bytes is followed by a new one.
pub const FULL: u64 = 1800 << 20;

/// Who writes, for the names of files.
#[derive(Clone, Debug)]
pub struct Names {
    pub program: String,
    pub host: String,
    pub user: String,
    pub process: u32,
}

impl Names {
    /// `mesos-master.host.root.log.INFO.20261122-183053.6181`
    fn file(&self, severity: Severity, now: &Zoned) -> String {
        format!(
            "{}.{}.{}.log.{}.{}.{}",
            self.program,
            self.host,
            self.user,
            severity.name(),
            now.strftime("%Y%m%d-%H%M%S"),
            self.process
        )
    }

    /// `mesos-master.INFO`, the link to the newest.
    pub fn link(&self, severity: Severity) -> String {
        format!("{}.{}", self.program, severity.name())
    }
}

#[derive(Default)]
struct Series {
    open: Option<(File, u64)>,
    /// Bytes held back by `--logbufsecs`.
    held: Vec<u8>,
}

pub struct LogFiles {
    directory: PathBuf,
    names: Names,
    full: u64,
    series: [Series; 4],
}

/// Held back bytes are written when there are so many, however long it is still to wait.
const HELD: usize = 1 << 20;

impl LogFiles {
    /// Makes the directory if it has to.
    pub fn new(directory: &Path, names: Names, full: u64) -> std::io::Result<LogFiles> {
        std::fs::create_dir_all(directory)?;
        Ok(LogFiles { directory: directory.to_path_buf(), names, full, series: Default::default() })
    }

    /// Takes a line; it is on disk after `flush`.
    pub fn add(&mut self, line: &Line, now: &Zoned) {
        for severity in Severity::ALL.into_iter().filter(|severity| *severity <= line.severity) {
            let series = &mut self.series[severity as usize];
            series.held.extend_from_slice(line.text.as_bytes());
            if series.held.len() >= HELD {
                self.write(severity, now);
            }
        }
    }

    pub fn flush(&mut self, now: &Zoned) {
        for severity in Severity::ALL {
            self.write(severity, now);
        }
    }

    fn write(&mut self, severity: Severity, now: &Zoned) {
        let held = std::mem::take(&mut self.series[severity as usize].held);
        if held.is_empty() {
            return;
        }
        if self.series[severity as usize].open.as_ref().is_none_or(|(_, size)| *size >= self.full) {
            self.series[severity as usize].open = self.open(severity, now).ok();
        }
        if let Some((file, size)) = &mut self.series[severity as usize].open {
            match file.write_all(&held) {
                Ok(()) => *size += held.len() as u64,
                // The disk is full, or the file's is gone: these lines are lost, the next try a new file.
                Err(_) => self.series[severity as usize].open = None,
            }
        }
    }

    fn open(&self, severity: Severity, now: &Zoned) -> std::io::Result<(File, u64)> {
        let name = self.names.file(severity, now);
        // Somebody else who may write here must not lead us elsewhere by a link.
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(no_follow)
            .open(self.directory.join(&name))?;
        let mut size = file.metadata()?.len();
        if size == 0 {
            let head = format!(
                "Log file created at: {}\nRunning on machine: {}\nLog line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n",
                now.strftime("%Y/%m/%d %H:%M:%S"),
                self.names.host
            );
            file.write_all(head.as_bytes())?;
            size = head.len() as u64;
        }
        // Readers of the link see the older file or the newer one, never none.
        let link = self.directory.join(self.names.link(severity));
        let fresh = self.directory.join(format!("{}.{}.new", self.names.link(severity), self.names.process));
        let _ = std::fs::remove_file(&fresh);
        if std::os::unix::fs::symlink(&name, &fresh).is_ok() && std::fs::rename(&fresh, &link).is_err() {
            let _ = std::fs::remove_file(&fresh);
        }
        Ok((file, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { program: "mesos-master".into(), host: "host".into(), user: "root".into(), process: 6181 }
    }

    fn at(second: u8) -> Zoned {
        format!("2026-11-22T18:30:{second:02}+00:00[UTC]").parse().unwrap()
    }

    fn line(severity: Severity, text: &str) -> Line {
        Line { severity, text: format!("{text}\n") }
    }

    #[test]
    fn a_line_goes_to_its_file_and_all_lower_ones() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new(&directory.path().join("a/b"), names(), FULL).unwrap();
        files.add(&line(Severity::Info, "calm"), &at(1));
        files.add(&line(Severity::Error, "wrong"), &at(1));
        files.flush(&at(1));
        let read = |name: &str| std::fs::read_to_string(directory.path().join("a/b").join(name));
        let info = read("mesos-master.host.root.log.INFO.20261122-183001.6181").unwrap();
        assert!(
            info.starts_with("Log file created at: 2026/11/22 18:30:01\nRunning on machine: host\n"),
            "{info}"
        );
        assert!(info.ends_with("msg\ncalm\nwrong\n"), "{info}");
        for link in ["mesos-master.WARNING", "mesos-master.ERROR"] {
            assert!(read(link).unwrap().ends_with("msg\nwrong\n"));
        }
        assert!(read("mesos-master.FATAL").is_err(), "a file is made when it is needed");
        assert_eq!(read("mesos-master.INFO").unwrap(), info);
    }

    #[test]
    fn a_full_file_is_followed_by_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new(directory.path(), names(), 300).unwrap();
        for second in 1..=3 {
            files.add(&line(Severity::Info, &"x".repeat(100)), &at(second));
            files.flush(&at(second));
        }
        let link = std::fs::read_link(directory.path().join("mesos-master.INFO")).unwrap();
        assert_eq!(link.to_str(), Some("mesos-master.host.root.log.INFO.20261122-183003.6181"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_directory_that_goes_away_stops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new(directory.path(), names(), FULL).unwrap();
        drop(directory);
        files.add(&line(Severity::Fatal, "x"), &at(1));
        files.flush(&at(1));
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        std::fs::write(&target, "").unwrap();
        let name = names().file(Severity::Info, &at(1));
        std::os::unix::fs::symlink(&target, directory.path().join(name)).unwrap();
        let mut files = LogFiles::new(directory.path(), names(), FULL).unwrap();
        files.add(&line(Severity::Info, "x"), &at(1));
        files.flush(&at(1));
        assert_eq!(std::fs::read(&target).unwrap(), b"");
    }
}
