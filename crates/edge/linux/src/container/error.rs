//! What went wrong, and where.

use std::fmt;
use std::io;

use crate::Exit;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plan cannot be carried out by anybody; the words name the field.
    #[error("{0}")]
    Wrong(String),
    #[error("could not {step} '{what}': {source}")]
    Step { step: Step, what: String, source: io::Error },
    #[error("the command '{command}' to run before {exit}")]
    Before { command: String, exit: Exit },
    /// It was killed, or ended by itself, before its program ran.
    #[error("it {0} before its program was executed")]
    Ended(Exit),
    /// Whoever was to start it is not there any more.
    #[error("the warden went away: {0}")]
    Lost(#[source] io::Error),
}

macro_rules! steps {
    ($($(#[$note:meta])* $name:ident $words:literal,)*) => {
        /// What was being done. The words go before the name of the thing it was done to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($(#[$note])* $name,)* }

        impl Step {
            const ALL: &[Step] = &[$(Step::$name,)*];

            /// A small number that stays the same between a process and what it forked.
            pub fn number(self) -> u8 {
                self as u8
            }

            pub fn from_number(number: u8) -> Option<Step> {
                Step::ALL.get(usize::from(number)).copied()
            }
        }

        impl fmt::Display for Step {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self { $(Step::$name => $words,)* })
            }
        }
    };
}

steps! {
    Prepare "prepare",
    EnterPidNamespace "enter the pid namespace of process",
    Fork "fork for",
    Note "note the process in",
    NewSession "make a new session for",
    EnterCgroup "enter the cgroup by",
    EnterNamespace "enter a namespace of process",
    Unshare "make new namespaces of",
    Propagation "set the propagation of mounts of",
    MountTable "read the mounts of",
    /// A mount would be propagated to the host.
    SharedTarget "mount below a shared mount on",
    MountTarget "open or make the mount target",
    MountSource "open the mount source",
    Mount "mount on",
    ReadOnly "make read-only",
    Mask "mask",
    MakeDirectory "make the directory",
    Symlink "make the symbolic link",
    Rename "rename",
    RunBefore "run the command before",
    Root "change the root to",
    Limits "set the resource limits of",
    Directory "enter the working directory",
    Terminal "take the controlling terminal of",
    Descriptors "set the descriptors of",
    Seccomp "load the seccomp filter of",
    KeepCapabilities "keep the capabilities over the change of user of",
    Groups "set the supplementary groups of",
    Group "switch to the group of",
    User "switch to the user of",
    BoundingCapabilities "limit the bounding capabilities of",
    Capabilities "set the capabilities of",
    AmbientCapabilities "set the ambient capabilities of",
    NoNewPrivileges "drop privileges to come for",
    Init "start the init of the pid namespace of",
    Execute "execute",
    Escape "go through symbolic links that lead out of the sandbox or volume, to",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_there_and_back_as_numbers() {
        for step in Step::ALL {
            assert_eq!(Step::from_number(step.number()), Some(*step));
        }
        let beyond = u8::try_from(Step::ALL.len()).unwrap();
        assert_eq!(Step::from_number(beyond), None);
    }

    #[test]
    fn an_error_names_its_step() {
        let source = io::Error::from_raw_os_error(libc::ENOENT);
        let error = StartError::Step { step: Step::Mount, what: "/x".into(), source };
        assert_eq!(error.to_string(), "could not mount on '/x': No such file or directory (os error 2)");
        let killed = Exit::Signalled { signal: 9, core_dumped: false };
        assert_eq!(
            StartError::Ended(killed).to_string(),
            "it terminated with signal Killed before its program was executed"
        );
    }
}
