//! Which znodes of a family are below the path, and what is in them, as far as it is known.

use std::collections::BTreeMap;

use crate::client::SessionId;
use crate::names::Family;
use crate::outcome::{Format, Leader};

/// So many znodes are looked at, the lowest ones: a cluster has three or five masters, and people may put anything there.
pub(crate) const MAX_NODES: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Unread,
    Reading,
    Read { data: Vec<u8>, owner: SessionId },
    Refused(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) format: Format,
    pub(crate) content: Content,
}

/// In the order of the sequence. The name is beside it since nothing keeps people from giving a sequence to two.
type Key = (i32, String);

#[derive(Debug)]
pub(crate) struct Roster {
    family: Family,
    /// None: not known.
    nodes: Option<BTreeMap<Key, Node>>,
    /// What is known may have changed.
    pub(crate) stale: bool,
}

/// Who is lowest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lowest<'a> {
    Unknown,
    Nobody,
    /// It is being asked for.
    Unread,
    Refused {
        name: &'a str,
        reason: &'a str,
    },
    Known(Leader),
}

impl Roster {
    pub(crate) fn new(family: Family) -> Roster {
        Roster { family, nodes: None, stale: true }
    }

    pub(crate) fn forget(&mut self) {
        self.nodes = None;
        self.stale = true;
    }

    pub(crate) fn is_known(&self) -> bool {
        self.nodes.is_some()
    }

    /// All that is there now. Returns whether some were left out.
    pub(crate) fn list(&mut self, names: &[String]) -> bool {
        let mut known = self.nodes.take().unwrap_or_default();
        let mut nodes = BTreeMap::new();
        for name in names {
            if let Some((sequence, format)) = self.family.read(name) {
                let key = (sequence, name.clone());
                let node = known.remove(&key).unwrap_or(Node { format, content: Content::Unread });
                nodes.insert(key, node);
            }
        }
        let mut cut = false;
        while nodes.len() > MAX_NODES {
            nodes.pop_last();
            cut = true;
        }
        self.nodes = Some(nodes);
        cut
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().flatten().map(|((_, name), node)| (name.as_str(), node))
    }

    pub(crate) fn set(&mut self, name: &str, content: Content) {
        let key = self.family.read(name).map(|(sequence, _)| (sequence, name.to_string()));
        if let (Some(key), Some(nodes)) = (key, &mut self.nodes)
            && let Some(node) = nodes.get_mut(&key)
        {
            node.content = content;
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let key = self.family.read(name).map(|(sequence, _)| (sequence, name.to_string()));
        if let (Some(key), Some(nodes)) = (key, &mut self.nodes) {
            nodes.remove(&key);
        }
    }

    pub(crate) fn lowest_name(&self) -> Option<&str> {
        self.nodes().next().map(|(name, _)| name)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.nodes().any(|(other, _)| other == name)
    }

    /// Everything that was listed was read, as far as it may be.
    pub(crate) fn is_read(&self) -> bool {
        self.is_known()
            && self.nodes().all(|(_, node)| !matches!(node.content, Content::Unread | Content::Reading))
    }

    pub(crate) fn lowest(&self) -> Lowest<'_> {
        let Some(nodes) = &self.nodes else { return Lowest::Unknown };
        match nodes.first_key_value() {
            None => Lowest::Nobody,
            Some(((sequence, name), node)) => match &node.content {
                Content::Unread | Content::Reading => Lowest::Unread,
                Content::Refused(reason) => Lowest::Refused { name, reason },
                Content::Read { data, .. } => {
                    Lowest::Known(Leader { sequence: *sequence, format: node.format, data: data.clone() })
                }
            },
        }
    }
}
