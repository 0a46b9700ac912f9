//! The open files that the agent hands over, by their numbers. It must not know what is done with them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use messor_flags::SwitchboardFlags;

#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("--{0} is required: give --{0}=N")]
    Missing(&'static str),
    #[error("--{flag}={number} is no file that was handed over")]
    Number {
        flag: &'static str,
        number: i32,
        #[source]
        error: io::Error,
    },
}

/// Between the container and the world.
#[derive(Debug)]
pub struct Files {
    /// Where the container reads its input. Of a terminal it is the terminal's other end, which output comes from, too.
    pub stdin: File,
    pub stdout: File,
    /// Nothing where there is a terminal: that has one stream of output.
    pub stderr: Option<File>,
    pub stdout_log: File,
    pub stderr_log: File,
}

impl Files {
    pub fn take(flags: &SwitchboardFlags) -> Result<Files, FilesError> {
        let mut taken = BTreeMap::new();
        let mut take = |flag: &'static str, number: Option<i32>| {
            let number = number.ok_or(FilesError::Missing(flag))?;
            let wrong = |error| FilesError::Number { flag, number, error };
            open(&mut taken, number).map(File::from).map_err(wrong)
        };
        let stdin = take("stdin_to_fd", flags.stdin_to_fd)?;
        let stdout = take("stdout_from_fd", flags.stdout_from_fd)?;
        let stderr = take("stderr_from_fd", flags.stderr_from_fd)?;
        Ok(Files {
            stdin,
            stdout,
            stderr: (!flags.tty).then_some(stderr),
            stdout_log: take("stdout_to_fd", flags.stdout_to_fd)?,
            stderr_log: take("stderr_to_fd", flags.stderr_to_fd)?,
        })
    }
}

/// One number may be given for several purposes: a terminal is for input and output.
fn open(taken: &mut BTreeMap<i32, OwnedFd>, number: i32) -> io::Result<OwnedFd> {
    match number {
        1 => return io::stdout().as_fd().try_clone_to_owned(),
        2 => return io::stderr().as_fd().try_clone_to_owned(),
        _ => {}
    }
    let copy = match taken.get(&number) {
        Some(first) => first.try_clone()?,
        None => {
            let first = messor_linux::inherited::take(number)?;
            let copy = first.try_clone()?;
            taken.insert(number, first);
            copy
        }
    };
    Ok(copy)
}
