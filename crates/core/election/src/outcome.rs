//! What the machines say to whoever runs them.
//! Must not know JSON or protobuf: what is in a leader's znode goes up as it is.

use std::collections::BTreeSet;

/// How the data of a leader's znode is written, which its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `json.info_…`: a MasterInfo as v0 JSON, since Mesos 0.24.
    Json,
    /// `info_…`: a MasterInfo as protobuf, before that.
    Protobuf,
}

/// The master with the lowest sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub sequence: i32,
    pub format: Format,
    pub data: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContenderOutcome {
    /// This one leads. Said once.
    Elected,
    /// This one led and must not act any more. Said once; the machine does nothing after it but give its znode back.
    LeadershipLost { reason: String },
    /// Who leads, as a `Detector` says it; this one, too.
    Leader(Option<Leader>),
    /// Election is not possible, and trying again would not help. The machine has stopped.
    Failed { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectorOutcome {
    /// Who leads now: None while nobody does, or while nobody can be asked. Said when it changes.
    Leader(Option<Leader>),
    /// Detection is not possible, and trying again would not help. The machine has stopped.
    Failed { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupOutcome {
    /// The data of all members. Said when it changes; while ZooKeeper is away, what was known last holds on.
    Members(BTreeSet<Vec<u8>>),
    /// Membership is not possible, and trying again would not help. The machine has stopped.
    Failed { reason: String },
}
