//! What a forked process tells the one that forked it: that it is ready, or what went wrong. That its program runs is told by
//! the end of the pipe, which exec closes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::error::{StartError, Step};
use crate::Exit;

const READY: u8 = 0;
const STEP: u8 = 1;
const BEFORE: u8 = 2;
const WRONG: u8 = 3;

/// A pipe takes so much at once, whole.
const FAILURE_LIMIT_BYTES: usize = 4096;
const HEAD_BYTES: usize = 6;

/// The writing end.
#[derive(Debug)]
pub(super) struct Reporter(File);

impl Reporter {
    pub fn new(descriptor: OwnedFd) -> Reporter {
        Reporter(descriptor.into())
    }

    pub fn ready(&mut self) -> io::Result<()> {
        self.0.write_all(&[READY])
    }

    pub fn failed(&mut self, error: &StartError) {
        let (kind, step, number, text) = match error {
            StartError::Step { step, what, source } => {
                (STEP, step.number(), source.raw_os_error().unwrap_or(libc::EIO), what.clone())
            }
            StartError::Before { command, exit } => (BEFORE, 0, exit.to_wait_status(), command.clone()),
            error => (WRONG, 0, 0, error.to_string()),
        };
        let mut frame = vec![kind, step];
        frame.extend(number.to_ne_bytes());
        frame.extend(text.as_bytes());
        frame.truncate(FAILURE_LIMIT_BYTES);
        // Where nobody reads it, nobody wants to know.
        let _ = self.0.write_all(&frame);
    }
}

/// How far a forked process is.
#[derive(Debug)]
pub enum Progress {
    /// Nothing new.
    Pending,
    /// It is in its cgroups and namespaces and waits.
    Ready,
    /// Its program runs, or the process was killed before: then it ends without having said a word.
    Closed,
    Failed(StartError),
}

/// The reading end; it does not block.
#[derive(Debug)]
pub(super) struct Reports {
    pipe: File,
    bytes: Vec<u8>,
}

impl Reports {
    pub fn new(descriptor: OwnedFd) -> io::Result<Reports> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Reports { pipe: descriptor.into(), bytes: Vec::new() })
    }

    pub fn read(&mut self) -> io::Result<Progress> {
        let mut buffer = [0; FAILURE_LIMIT_BYTES];
        loop {
            if self.bytes.first() == Some(&READY) {
                self.bytes.remove(0);
                return Ok(Progress::Ready);
            }
            match self.pipe.read(&mut buffer) {
                Ok(0) if self.bytes.is_empty() => return Ok(Progress::Closed),
                Ok(0) => return Ok(Progress::Failed(failure(&self.bytes))),
                Ok(more) => self.bytes.extend(&buffer[..more]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Pending),
                Err(error) => return Err(error),
            }
            if self.bytes.len() > FAILURE_LIMIT_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn failure(frame: &[u8]) -> StartError {
    let Some((head, text)) = frame.split_at_checked(HEAD_BYTES) else {
        return StartError::Wrong("a forked process reported nothing of use".into());
    };
    let text = String::from_utf8_lossy(text).into_owned();
    let number = i32::from_ne_bytes([head[2], head[3], head[4], head[5]]);
    match (head[0], Step::from_number(head[1]), Exit::from_wait_status(number)) {
        (STEP, Some(step), _) => {
            StartError::Step { step, what: text, source: io::Error::from_raw_os_error(number) }
        }
        (BEFORE, _, Some(exit)) => StartError::Before { command: text, exit },
        _ => StartError::Wrong(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Reports, Reporter) {
        let (reading, writing) = rustix::pipe::pipe().unwrap();
        (Reports::new(reading).unwrap(), Reporter::new(writing))
    }

    #[test]
    fn what_is_reported_arrives() {
        let (mut reports, mut reporter) = pair();
        assert!(matches!(reports.read().unwrap(), Progress::Pending));
        reporter.ready().unwrap();
        assert!(matches!(reports.read().unwrap(), Progress::Ready));
        assert!(matches!(reports.read().unwrap(), Progress::Pending));
        drop(reporter);
        assert!(matches!(reports.read().unwrap(), Progress::Closed));
    }

    #[test]
    fn failures_keep_their_step_and_number() {
        let source = io::Error::from_raw_os_error(libc::EPERM);
        let step = StartError::Step { step: Step::Groups, what: "x".repeat(10_000), source };
        let before = StartError::Before { command: "exit 3".into(), exit: Exit::Exited(3) };
        for (error, said) in [
            (step, "could not set the supplementary groups of 'xxx"),
            (before, "the command 'exit 3' to run before exited with status 3"),
            (StartError::Wrong("no".into()), "no"),
        ] {
            let (mut reports, mut reporter) = pair();
            reporter.ready().unwrap();
            reporter.failed(&error);
            assert!(matches!(reports.read().unwrap(), Progress::Ready));
            assert!(matches!(reports.read().unwrap(), Progress::Pending));
            drop(reporter);
            let Progress::Failed(found) = reports.read().unwrap() else { panic!("no failure") };
            assert!(found.to_string().starts_with(said), "{found}");
        }
    }
}
