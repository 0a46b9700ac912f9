//! The plan of a process in a container.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use crate::capabilities::CapabilitySet;
use crate::limits::Limit;
use crate::spawn::Session;
use crate::users::Identity;

/// Kinds of namespaces, as the CLONE_NEW... flags of clone(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces(u32);

impl Namespaces {
    pub const NONE: Namespaces = Namespaces(0);
    pub const MOUNT: Namespaces = Namespaces(libc::CLONE_NEWNS as u32);
    pub const PID: Namespaces = Namespaces(libc::CLONE_NEWPID as u32);
    pub const IPC: Namespaces = Namespaces(libc::CLONE_NEWIPC as u32);
    pub const UTS: Namespaces = Namespaces(libc::CLONE_NEWUTS as u32);
    pub const NET: Namespaces = Namespaces(libc::CLONE_NEWNET as u32);
    pub const CGROUP: Namespaces = Namespaces(libc::CLONE_NEWCGROUP as u32);

    const ALL: Namespaces = Namespaces(
        Namespaces::MOUNT.0
            | Namespaces::PID.0
            | Namespaces::IPC.0
            | Namespaces::UTS.0
            | Namespaces::NET.0
            | Namespaces::CGROUP.0,
    );

    /// From CLONE_NEW... flags; nothing where there are others among them (user namespaces, threads).
    pub fn from_flags(flags: u32) -> Option<Namespaces> {
        (flags & !Namespaces::ALL.0 == 0).then_some(Namespaces(flags))
    }

    pub fn flags(self) -> u32 {
        self.0
    }

    pub fn contains(self, other: Namespaces) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn without(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Namespaces {
    type Output = Namespaces;

    fn bitor(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0 | other.0)
    }
}

/// Namespaces of a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enter {
    pub pid: i32,
    pub namespaces: Namespaces,
}

/// One of the standard descriptors.
#[derive(Debug, Default)]
pub enum Stream {
    /// /dev/null of the host.
    #[default]
    Null,
    Descriptor(OwnedFd),
    /// [`Process::terminal`].
    Terminal,
}

impl From<OwnedFd> for Stream {
    fn from(descriptor: OwnedFd) -> Stream {
        Stream::Descriptor(descriptor)
    }
}

impl From<std::fs::File> for Stream {
    fn from(file: std::fs::File) -> Stream {
        Stream::Descriptor(file.into())
    }
}

/// A descriptor that the program finds under this number (3 or more).
#[derive(Debug)]
pub struct Kept {
    pub number: RawFd,
    pub descriptor: OwnedFd,
}

/// As the arguments of mount(2), with paths of the host.
///
/// * MS_BIND with other flags (read-only, nosuid…) is made of a bind and a remount; with MS_REC these go for all mounts below.
/// * MS_SHARED, MS_SLAVE, MS_PRIVATE change propagation. A plan with MS_SHARED leaves its target shared with the host, and
///   then no other mount may be below a shared one.
/// * A target that is not there is made, as a file where the source is one, if there is a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub source: Option<PathBuf>,
    pub target: PathBuf,
    pub kind: Option<String>,
    /// MS_... flags.
    pub flags: u64,
    pub options: Option<String>,
}

/// Done after the mounts, with paths of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOperation {
    /// `link` is made, and leads to `to`.
    Symlink {
        to: PathBuf,
        link: PathBuf,
    },
    MakeDirectory {
        path: PathBuf,
        with_parents: bool,
    },
    /// Over to another filesystem too, then by copying.
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Mount(Mount),
}

/// A command that is run before, with the rights of the caller, in the new namespaces but in the old root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    pub program: OsString,
    /// The whole argument vector.
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
}

/// Capabilities as they are asked for. Effective ones go to all five sets; bounding ones take their place in the bounding
/// set; the inheritable set is always the bounding one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilityRequest {
    pub effective: Option<CapabilitySet>,
    pub bounding: Option<CapabilitySet>,
}

/// Compiled filters; all are loaded, and the strictest answer of them counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seccomp {
    /// Each a program, its instructions (`struct sock_filter`) in the order of bytes of this host.
    pub programs: Vec<Vec<u64>>,
}

/// A process to be started in a container.
///
/// Carried out in this order: session, cgroups, namespaces entered and made; held here until it is let go on; then mounts,
/// masked and read-only paths, file operations, commands before, mount namespace entered (where one is), root, limits,
/// working directory, user, capabilities, filters, and the program.
#[derive(Debug, Default)]
pub struct Process {
    /// A path in the new root, or a name without '/' that is looked for in the PATH of `environment`.
    pub program: OsString,
    /// The whole argument vector, its first entry included.
    pub arguments: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// In the new root; made where it is not there. "/" where it is not given.
    pub directory: Option<PathBuf>,
    pub stdin: Stream,
    pub stdout: Stream,
    pub stderr: Stream,
    /// All other descriptors are closed.
    pub keep: Vec<Kept>,
    pub session: Session,
    /// The controlling terminal; it needs [`Session::New`].
    pub terminal: Option<OwnedFd>,
    /// `cgroup.procs` files of the host, which the process enters before anything else: before its cgroup namespace is made, and
    /// before it can fork.
    pub cgroups: Vec<PathBuf>,
    pub enter: Option<Enter>,
    /// Namespaces made anew. A new PID namespace gets an init of ours as process 1, which the program is a child of.
    pub clone: Namespaces,
    /// Needs a new mount namespace, as do `masked_paths` and `read_only_paths`.
    pub mounts: Vec<Mount>,
    /// Absolute paths of the host. One that is not there is passed over.
    pub masked_paths: Vec<PathBuf>,
    /// Likewise.
    pub read_only_paths: Vec<PathBuf>,
    pub operations: Vec<FileOperation>,
    pub before: Vec<Before>,
    /// The new root: an absolute path of the host, without symbolic links in it. Paths below it are resolved in it: an absolute
    /// symbolic link is one from the new root, and none leads out.
    pub rootfs: Option<PathBuf>,
    /// Directories of the host whose content a task can change (sandboxes, volumes). A path of a mount or an operation
    /// below one of them that leads out of it by symbolic links is an error.
    pub untrusted: Vec<PathBuf>,
    pub limits: Vec<Limit>,
    /// With all supplementary groups.
    pub identity: Option<Identity>,
    pub capabilities: Option<CapabilityRequest>,
    pub no_new_privileges: bool,
    pub seccomp: Option<Seccomp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_flags_of_clone_and_no_others() {
        let both = Namespaces::MOUNT | Namespaces::PID;
        assert_eq!(both.flags(), 0x2002_0000);
        assert_eq!(Namespaces::from_flags(0x2002_0000), Some(both));
        assert!(both.contains(Namespaces::PID) && !both.contains(Namespaces::NET));
        assert_eq!(both.without(Namespaces::PID), Namespaces::MOUNT);
        assert_eq!(Namespaces::from_flags(libc::CLONE_NEWUSER as u32), None);
        assert_eq!(Namespaces::from_flags(libc::CLONE_VM as u32), None);
        assert!(Namespaces::NONE.is_empty());
    }
}
