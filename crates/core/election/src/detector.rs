//! Who leads. Writes nothing: where the path is not there yet, it waits for it.

use messor_stdx::Time;

use crate::client::{Effect, Event, Machine};
use crate::engine::{Config, Engine};
use crate::names::Family;
use crate::outcome::{DetectorOutcome, Leader};
use crate::roster::{Lowest, Roster};
use crate::turn::Turn;

#[derive(Debug)]
pub struct Detector {
    engine: Engine,
    view: LeaderView,
}

impl Detector {
    pub fn new(config: Config) -> Detector {
        Detector { engine: Engine::new(config, Family::Masters, None, false), view: LeaderView::default() }
    }
}

impl Machine for Detector {
    type Outcome = DetectorOutcome;

    fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect<DetectorOutcome>>) {
        if self.engine.is_stopped() {
            return;
        }
        let turn = &mut Turn::new(now, effects);
        self.engine.handle(turn, event);
        if let Some(reason) = self.engine.failure() {
            turn.say(DetectorOutcome::Failed { reason: reason.to_string() });
            return;
        }
        match self.view.look(&self.engine.roster) {
            Ok(Some(leader)) => turn.say(DetectorOutcome::Leader(leader)),
            Ok(None) => (),
            Err(reason) => {
                turn.error(reason.clone());
                self.engine.stop(turn);
                turn.say(DetectorOutcome::Failed { reason });
            }
        }
    }
}

/// What was said of the leader.
#[derive(Debug, Default)]
pub(crate) struct LeaderView {
    said: Option<Leader>,
}

impl LeaderView {
    /// What is to be said, if anything: while the lowest znode is being read, what was said before stands.
    pub(crate) fn look(&mut self, roster: &Roster) -> Result<Option<Option<Leader>>, String> {
        let leader = match roster.lowest() {
            Lowest::Unread => return Ok(None),
            Lowest::Refused { name, reason } => {
                return Err(format!(
                    "ZooKeeper refuses to show {name}, the leading master's znode: {reason}"
                ));
            }
            Lowest::Unknown | Lowest::Nobody => None,
            Lowest::Known(leader) => Some(leader),
        };
        if self.said == leader {
            return Ok(None);
        }
        self.said.clone_from(&leader);
        Ok(Some(leader))
    }
}
