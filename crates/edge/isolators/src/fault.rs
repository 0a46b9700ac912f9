//! The points amid what an isolator does at which a test has the agent killed: where several things are left behind by one
//! step.

use messor_linux::faults;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amid {
    /// One control group of several.
    GroupMade,
    GroupEntered,
    GroupRemoved,
    VolumeMounted,
    VolumeUnmounted,
    /// The directory of a shared memory, on which nothing is mounted yet.
    MemoryNamed,
    MemoryUnmounted,
    SecretWritten,
}

const ALL: [Amid; 8] = [
    Amid::GroupMade,
    Amid::GroupEntered,
    Amid::GroupRemoved,
    Amid::VolumeMounted,
    Amid::VolumeUnmounted,
    Amid::MemoryNamed,
    Amid::MemoryUnmounted,
    Amid::SecretWritten,
];

impl Amid {
    fn name(self) -> &'static str {
        match self {
            Amid::GroupMade => "amid prepare cgroups",
            Amid::GroupEntered => "amid isolate cgroups",
            Amid::GroupRemoved => "amid clean up cgroups",
            Amid::VolumeMounted => "amid prepare filesystem/linux",
            Amid::VolumeUnmounted => "amid update filesystem/linux",
            Amid::MemoryNamed => "amid prepare namespaces/ipc",
            Amid::MemoryUnmounted => "amid clean up namespaces/ipc",
            Amid::SecretWritten => "amid prepare volume/secret",
        }
    }
}

/// The names of all.
pub fn points() -> Vec<String> {
    ALL.map(|amid| amid.name().to_string()).to_vec()
}

pub(crate) fn pass(amid: Amid) {
    faults::point(|| amid.name().to_string());
}
