//! The kernel itself: real processes, started, watched and killed.

mod kill;
mod start;

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::spawn::{Launch, Stdio};
use messor_linux::{Exit, Pid, wait};

/// Long enough for a loaded machine; only a broken test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pipe: what the child writes to the second can be read from the first.
fn pipe() -> (File, Stdio) {
    let (reading, writing) = std::io::pipe().unwrap();
    (File::from(std::os::fd::OwnedFd::from(reading)), Stdio::Descriptor(writing.into()))
}

/// Waits for the end of a child through its descriptor.
fn end_of(pid: Pid) -> Exit {
    let descriptor = wait::pid_descriptor(pid).unwrap();
    let mut ready = [PollFd::new(&descriptor, PollFlags::IN)];
    assert_eq!(poll(&mut ready, Some(PATIENCE)).unwrap(), 1, "process {pid:?} did not end");
    wait::try_wait(pid).unwrap().expect("a process whose descriptor is readable has ended")
}

/// Reads a line, byte by byte, so that nothing after it is lost.
fn line(file: &mut File) -> String {
    let mut text = String::new();
    loop {
        let mut ready = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut ready, Some(PATIENCE)).unwrap(), 1, "nothing to read after '{text}'");
        let mut byte = [0];
        if file.read(&mut byte).unwrap() == 0 || byte[0] == b'\n' {
            return text;
        }
        text.push(char::from(byte[0]));
    }
}

/// Runs a program to its end and answers with what it wrote.
fn output(mut launch: Launch) -> (String, Exit) {
    let (mut reading, writing) = pipe();
    launch.stdout = writing;
    let pid = launch.start().unwrap();
    let mut text = String::new();
    reading.read_to_string(&mut text).unwrap();
    (text, end_of(pid))
}

fn path() -> (std::ffi::OsString, std::ffi::OsString) {
    ("PATH".into(), "/usr/bin:/bin".into())
}
