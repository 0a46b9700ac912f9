//! The own znode: which it is, also when the answer to its creation was lost, and which others of the own must go.

use messor_stdx::Time;

use super::{Engine, Place, Purpose};
use crate::client::{Request, SessionId};
use crate::names::Family;
use crate::roster::{Content, Node};
use crate::turn::Turn;

impl Engine {
    pub(super) fn joined<O>(&mut self, turn: &mut Turn<'_, O>, path: &str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        if self.family.read(name).is_none() {
            return self.fail(
                turn,
                format!("ZooKeeper names a znode '{}', which has no sequence", path.escape_debug()),
            );
        }
        turn.info(format!("has the znode {path}"));
        self.place = Place::Inside { name: name.to_string() };
        self.roster.stale = true;
    }

    /// Of the znodes of this session the lowest is the own one, and others go: they come from requests whose answers
    /// were lost.
    pub(super) fn judge<O>(&mut self, turn: &mut Turn<'_, O>) {
        let Some(session) = self.session else { return };
        if let Place::Joining | Place::Outside = self.place {
            return;
        }
        let mut own =
            self.roster.nodes().filter(|(_, node)| is_of(node, session)).map(|(name, _)| name.to_string());
        let first = own.next();
        let others: Vec<String> = own.collect();
        match (&self.place, first) {
            (Place::Doubtful { looked: true, .. }, first) if self.roster.is_read() => match first {
                Some(name) => {
                    turn.info(format!(
                        "has the znode {name}, which ZooKeeper had created before the connection broke"
                    ));
                    self.place = Place::Inside { name };
                }
                None => self.place = Place::Outside,
            },
            (Place::Inside { name }, Some(first)) if *name != first => {
                self.place = Place::Inside { name: first }
            }
            _ => (),
        }
        for name in others {
            self.remove(turn, name);
        }
        self.remove_ghosts(turn, session);
    }

    /// A session of this very program, given up while ZooKeeper was away, may live on there with its znode, and nobody
    /// acts for that. What is in it tells: a MasterInfo has an id of its own each time a master starts.
    fn remove_ghosts<O>(&mut self, turn: &mut Turn<'_, O>, session: SessionId) {
        if self.family != Family::Masters || self.inside().is_none() {
            return;
        }
        let is_ghost = |content: &Content| match content {
            Content::Read { data, owner } => {
                *owner != session && *owner != 0 && Some(data) == self.member.as_ref()
            }
            _ => false,
        };
        let ghosts: Vec<String> = self
            .roster
            .nodes()
            .filter(|(_, node)| is_ghost(&node.content))
            .map(|(name, _)| name.to_string())
            .collect();
        for name in ghosts {
            self.remove(turn, name);
        }
    }

    fn remove<O>(&mut self, turn: &mut Turn<'_, O>, name: String) {
        let is_asked =
            |(purpose, _): &(Purpose, Time)| matches!(purpose, Purpose::Drop(other) if *other == name);
        if self.is_up && !self.is_waiting && !self.pending.values().any(is_asked) {
            turn.info(format!("removes the znode {name}, which this one left behind"));
            let path = self.child(&name);
            self.request(turn, Purpose::Drop(name), Request::Delete { path });
        }
    }
}

fn is_of(node: &Node, session: SessionId) -> bool {
    matches!(node.content, Content::Read { owner, .. } if owner == session)
}
