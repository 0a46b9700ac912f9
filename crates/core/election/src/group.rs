//! Who belongs to a group: the replicas of the log.

use std::collections::BTreeSet;

use messor_stdx::Time;

use crate::client::{Effect, Event, Machine};
use crate::engine::{Config, Engine};
use crate::names::Family;
use crate::outcome::GroupOutcome;
use crate::roster::Content;
use crate::turn::Turn;

#[derive(Debug)]
pub struct Group {
    engine: Engine,
    said: Option<BTreeSet<Vec<u8>>>,
}

impl Group {
    /// `config.path` is the group's own path. `member` is what this one shows of itself; without, it only looks on.
    /// It joins again when its session expires.
    pub fn new(config: Config, member: Option<Vec<u8>>) -> Group {
        Group { engine: Engine::new(config, Family::Replicas, member, false), said: None }
    }
}

impl Machine for Group {
    type Outcome = GroupOutcome;

    fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect<GroupOutcome>>) {
        if self.engine.is_stopped() {
            return;
        }
        let turn = &mut Turn::new(now, effects);
        self.engine.handle(turn, event);
        if let Some(reason) = self.engine.failure() {
            turn.say(GroupOutcome::Failed { reason: reason.to_string() });
            return;
        }
        if !self.engine.roster.is_read() {
            return;
        }
        let data = |content: &Content| match content {
            Content::Read { data, .. } => Some(data.clone()),
            _ => None,
        };
        let members: BTreeSet<_> =
            self.engine.roster.nodes().filter_map(|(_, node)| data(&node.content)).collect();
        if self.said.as_ref() != Some(&members) {
            self.said = Some(members.clone());
            turn.say(GroupOutcome::Members(members));
        }
    }
}
