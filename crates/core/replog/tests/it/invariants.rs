//! What must hold in each step of a run. Each has a name; a run that breaks one says it.

use std::collections::{BTreeMap, BTreeSet};

use messor_proto::Wire;
use messor_proto::mesos::internal::log::{Action, PromiseResponse, WriteResponse, action};
use messor_replog::{Entry, Write};

use crate::disk::Disk;

/// What an action does to the log, whoever proposed it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nop,
    Append(Vec<u8>),
    Truncate(u64),
}

fn value(action: &Action) -> Value {
    match action.r#type() {
        action::Type::Nop => Value::Nop,
        action::Type::Append => Value::Append(action.append.clone().unwrap().bytes),
        action::Type::Truncate => Value::Truncate(action.truncate.unwrap().to),
    }
}

/// What a run knows of the whole cluster.
#[derive(Default)]
pub struct Truth {
    /// What a quorum has accepted, or anybody has learned.
    pub chosen: BTreeMap<u64, Value>,
    /// Appends that were acknowledged to their client.
    pub acknowledged: BTreeMap<u64, Vec<u8>>,
    /// Who has accepted which proposal at which position.
    accepted: BTreeMap<(u64, u64), (Value, BTreeSet<usize>)>,
    /// The highest promise that is on each disk.
    promised: BTreeMap<usize, u64>,
}

impl Truth {
    pub fn note_written(&mut self, node: usize, write: &Write, quorum: usize) {
        match write {
            Write::Metadata(metadata) => {
                let before = self.promised.insert(node, metadata.promised).unwrap_or(0);
                assert!(
                    before <= metadata.promised,
                    "promises never go back: replica {node} went from {before} to {}",
                    metadata.promised
                );
            }
            Write::Action(action) | Write::Truncating { action, .. } => {
                self.note_action(node, action, quorum)
            }
        }
    }

    fn note_action(&mut self, node: usize, action: &Action, quorum: usize) {
        let Some(performed) = action.performed else { return };
        if action.learned() {
            if !action.nop.is_some_and(|nop| nop.tombstone()) {
                self.choose(action.position, value(action));
            }
            return;
        }
        let accepted = self
            .accepted
            .entry((action.position, performed))
            .or_insert_with(|| (value(action), BTreeSet::new()));
        assert_eq!(
            accepted.0,
            value(action),
            "one proposal has one value: position {}, proposal {performed}",
            action.position
        );
        accepted.1.insert(node);
        if accepted.1.len() >= quorum {
            self.choose(action.position, value(action));
        }
    }

    fn choose(&mut self, position: u64, value: Value) {
        let chosen = self.chosen.entry(position).or_insert_with(|| value.clone());
        assert_eq!(*chosen, value, "a chosen value never changes: position {position}");
    }

    /// The disk of a replica was lost, and with it what it accepted and promised.
    pub fn note_lost(&mut self, node: usize) {
        self.promised.remove(&node);
        for (_, nodes) in self.accepted.values_mut() {
            nodes.remove(&node);
        }
    }

    pub fn note_acknowledged(&mut self, position: u64, bytes: &[u8]) {
        let before = self.acknowledged.insert(position, bytes.to_vec());
        assert_eq!(before, None, "a position is given to one append: {position}");
        // Where a replica accepted it and then lost its disk, this is the first that is seen of its being chosen.
        self.choose(position, Value::Append(bytes.to_vec()));
    }

    /// The highest position that some chosen truncation allows to begin with.
    fn truncated_to(&self) -> u64 {
        let to = self.chosen.values().map(|value| if let Value::Truncate(to) = value { *to } else { 0 });
        to.max().unwrap_or(0)
    }

    /// What a replica has of its log, from `begin` to `end`, is what was chosen there, without gaps.
    pub fn check_read(&self, begin: u64, end: u64, entries: &[Entry]) {
        assert!(
            begin <= self.truncated_to(),
            "truncation is consistent: a log begins at {begin}, and was truncated to {}",
            self.truncated_to()
        );
        let expected: Vec<Entry> = (begin..=end)
            .filter_map(|position| match self.chosen.get(&position) {
                None => panic!("a reader sees a prefix: position {position} is learned and not chosen"),
                Some(Value::Append(bytes)) => Some(Entry { position, bytes: bytes.clone() }),
                Some(Value::Nop | Value::Truncate(_)) => None,
            })
            .collect();
        assert_eq!(entries, expected, "a reader sees a prefix: positions {begin} to {end}");
    }

    /// A leader that was elected sees everything up to `last_acknowledged`, which was acknowledged before it began.
    pub fn check_elected(&self, end: u64, last_acknowledged: u64) {
        assert!(
            last_acknowledged <= end,
            "what is acknowledged is read by every later leader: it ends at {end}, before {last_acknowledged}"
        );
    }
}

/// What a replica says of its promises and writes is on its disk already.
pub fn nothing_is_said_before_it_is_durable(disk: &Disk, name: &str, body: &[u8]) {
    let promised = |position: u64| disk.actions.get(&position).map_or(0, |action| action.promised);
    let for_all = disk.metadata.map_or(0, |metadata| metadata.promised);
    if name == PromiseResponse::NAME {
        let response = PromiseResponse::decode_checked(body).unwrap();
        if !response.okay || response.action.as_ref().is_some_and(Action::learned) {
            return;
        }
        let position = response.action.as_ref().map(|action| action.position).or(response.position);
        let position = position.unwrap();
        assert!(
            for_all >= response.proposal
                || promised(position) >= response.proposal
                // Learned or truncated since.
                || disk.actions.get(&position).is_some_and(Action::learned)
                || disk.restore().begin > position,
            "nothing is said before it is durable: {response:?}"
        );
    } else if name == WriteResponse::NAME {
        let response = WriteResponse::decode_checked(body).unwrap();
        let written = disk.actions.get(&response.position);
        assert!(
            !response.okay
                || written.is_some_and(|action| {
                    action.learned() || action.performed.unwrap_or(0) >= response.proposal
                })
                || disk.restore().begin > response.position,
            "nothing is said before it is durable: {response:?}, on disk is {written:?}"
        );
    }
}
