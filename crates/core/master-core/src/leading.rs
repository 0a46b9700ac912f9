//! Whether this master leads, and what becomes of events while it does not. It must not know how leaders are elected.

use std::sync::Arc;

use messor_proto::mesos::MasterInfo;

use crate::effect::{Effect, Outcome};
use crate::event::Event;
use crate::master::Master;
use crate::turn::Turn;

/// How a master stands in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leadership {
    /// Another master leads, or none.
    Standby,
    /// It leads, and waits for its registry. As with Apache Mesos, messages are dropped until then: agents and
    /// frameworks try again.
    Recovering,
    Leading,
    /// It led, or could not keep its registry: it does nothing more, whatever comes.
    Over,
}

impl Master {
    pub(crate) fn leader_detected(&mut self, turn: &mut Turn<'_>, leader: Option<MasterInfo>) {
        let own = leader.as_ref().is_some_and(|leader| leader.id == self.info.id);
        match (self.leadership, own) {
            (Leadership::Over, _) => return,
            (Leadership::Standby, true) => {
                self.leadership = Leadership::Recovering;
                self.elected_time = Some(turn.now);
                turn.info("elected as the leading master: waiting for the registry".to_string());
            }
            // The election moved, and came back to this master.
            (_, true) => turn.info("elected again as the leading master".to_string()),
            (Leadership::Standby, false) => {}
            (_, false) => {
                let who = leader.as_ref().map_or_else(|| "no master".to_string(), name);
                self.end(turn, format!("the election says that {who} leads: this master led until now"));
            }
        }
        self.leader = leader.map(Arc::new);
        let Some(leader) = self.leader.clone().filter(|_| self.leadership == Leadership::Standby) else {
            return;
        };
        turn.info(format!("{} leads", name(&leader)));
        if let (Some(own), Some(other)) = (region(&self.info), region(&leader))
            && own != other
        {
            let reason = format!(
                "{} is in region '{other}', this master in '{own}': all masters must be in one region (--domain)",
                name(&leader)
            );
            self.end(turn, reason);
        }
    }

    pub(crate) fn leadership_lost(&mut self, turn: &mut Turn<'_>) {
        match self.leadership {
            Leadership::Standby => turn.info("the candidacy of this master ended".to_string()),
            Leadership::Over => {}
            Leadership::Recovering | Leadership::Leading => {
                self.end(turn, "the leadership is lost: another master may lead from now on".to_string());
            }
        }
    }

    /// The program has to end: a successor starts from the registry and from what agents and frameworks tell it.
    pub(crate) fn end(&mut self, turn: &mut Turn<'_>, reason: String) {
        self.leadership = Leadership::Over;
        turn.error(reason.clone());
        turn.push(Effect::Abort { reason });
    }

    /// What reaches a master that does not take part.
    pub(crate) fn refuse(&mut self, turn: &mut Turn<'_>, event: Event) {
        let outcome = || match self.leadership {
            Leadership::Standby => Outcome::NotLeading {
                leader: self.leader.as_ref().map(|leader| format!("{}:{}", leader.hostname(), leader.port)),
            },
            Leadership::Recovering | Leadership::Leading => {
                Outcome::Unavailable("this master has not recovered yet: try again soon".to_string())
            }
            Leadership::Over => Outcome::Unavailable("this master is ending".to_string()),
        };
        match event {
            Event::Message { .. } => self.counters.dropped_messages.increment(),
            Event::Subscribe { reply, .. }
            | Event::SchedulerCall { reply, .. }
            | Event::OperatorSubscribe { reply, .. }
            | Event::Operator { reply, .. } => turn.reply(reply, outcome()),
            _ => {}
        }
    }

    /// 1 from the election on, as in Apache Mesos.
    pub(crate) fn leads(&self) -> bool {
        matches!(self.leadership, Leadership::Recovering | Leadership::Leading)
    }
}

fn name(master: &MasterInfo) -> String {
    format!("master {} at {}", master.id, master.pid())
}

fn region(master: &MasterInfo) -> Option<&str> {
    let domain = master.domain.as_ref()?.fault_domain.as_ref()?;
    Some(domain.region.name.as_str())
}
