//! Operators empty agents (DRAIN_AGENT) and keep them from being offered (DEACTIVATE_AGENT, REACTIVATE_AGENT). Both are
//! in the registry first, so that they hold for agents that are not there, and for the masters to come.
//!
//! It must not know how tasks are killed: that is the agent's.

use messor_proto::mesos::internal::DrainAgentMessage;
use messor_proto::mesos::{DrainConfig, DrainInfo, DrainState, DurationInfo};
use messor_registry::Operation;
use messor_types::AgentId;

use crate::effect::Outcome;
use crate::event::ReplyId;
use crate::master::Master;
use crate::registering::Pending;
use crate::state::Agent;
use crate::turn::Turn;

impl Master {
    pub(crate) fn drain(
        &mut self,
        turn: &mut Turn<'_>,
        reply: ReplyId,
        id: AgentId,
        max_grace_period: Option<DurationInfo>,
        mark_gone: bool,
    ) {
        if let Err(outcome) = self.check_drain(&id, max_grace_period) {
            return turn.reply(reply, outcome);
        }
        turn.info(format!("draining agent {id}{}", if mark_gone { ", to mark it gone then" } else { "" }));
        let config = DrainConfig { max_grace_period, mark_gone: Some(mark_gone) };
        let operation = Operation::DrainAgent { id: id.clone(), max_grace_period, mark_gone };
        self.store(turn, operation, Pending::Drain { id, config, reply });
    }

    fn check_drain(&self, id: &AgentId, max_grace_period: Option<DurationInfo>) -> Result<(), Outcome> {
        let invalid = |text: String| Err(Outcome::Invalid(text));
        if max_grace_period.is_some_and(|period| period.nanoseconds < 0) {
            return invalid("'drain_agent.max_grace_period' must not be negative".to_string());
        }
        // Of an agent that is not there neither is known: both are looked at as best as can be.
        if let Some(agent) = self.agents.get(id) {
            if self.maintenance.machine_of(&agent.info, &agent.pid).is_some() {
                return invalid(format!(
                    "the machine of agent '{id}' is part of the maintenance schedule: drain it by that, or take it off"
                ));
            }
            if !agent.capabilities.agent_draining {
                return invalid(format!(
                    "agent '{id}' lacks the capability AGENT_DRAINING: upgrade it first"
                ));
            }
        }
        self.check_known(id)?;
        if self.agents.marking_gone.contains(id) {
            return Err(Outcome::Conflict(format!("agent '{id}' is being marked gone")));
        }
        Ok(())
    }

    /// Whether the registry has the agent among those that may be there.
    fn check_known(&self, id: &AgentId) -> Result<(), Outcome> {
        let agents = &self.agents;
        let known = agents.registered.contains_key(id)
            || agents.recovered.contains_key(id)
            || agents.unreachable.contains_key(id);
        if known { Ok(()) } else { Err(Outcome::Invalid(format!("no agent has the id '{id}'"))) }
    }

    /// The registry has the agent as draining.
    pub(crate) fn drain_stored(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        config: DrainConfig,
        reply: ReplyId,
        accepted: bool,
    ) {
        if !accepted {
            return turn.reply(reply, left_meanwhile(id));
        }
        self.agents.draining.insert(id.clone(), DrainInfo { state: DrainState::Draining as i32, config });
        self.show_draining(id);
        if let Some(agent) = self.agents.get_mut(id) {
            agent.drain_start_time = Some(turn.now);
        }
        self.withdraw(turn, id);
        self.send_drain(turn, id);
        turn.reply(reply, Outcome::Done);
        self.check_drained(turn, id);
    }

    /// No offers of the agent from now on, be it there or not.
    fn withdraw(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        self.agents.deactivated.insert(id.clone());
        if let Some(agent) = self.agents.get_mut(id) {
            agent.deactivated = true;
            self.deactivate_agent(turn, id);
        }
    }

    /// A registered agent is shown as it drains.
    fn show_draining(&mut self, id: &AgentId) {
        let info = self.agents.draining.get(id).copied();
        if let Some(agent) = self.agents.get_mut(id) {
            agent.drain_info = info;
            agent.changed();
        }
    }

    /// An agent that drains hears it again: it may have missed it, or have been started again.
    pub(crate) fn send_drain(&self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        if let Some(drain) = &agent.drain_info {
            turn.send(&agent.pid, &DrainAgentMessage { config: drain.config });
        }
    }

    /// Whether a draining agent has nothing left: no task that its framework has to acknowledge the end of, and no
    /// operation. Called wherever the last of them may have gone.
    pub(crate) fn check_drained(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(drain) = self.agents.draining.get(id).filter(|info| info.state() == DrainState::Draining)
        else {
            return;
        };
        let mark_gone = drain.config.mark_gone();
        let is_empty = self.agents.get(id).is_some_and(is_empty) && self.operations.on(id).is_empty();
        // What is under way decides about it, or it is asked again when it is back.
        let is_leaving = self.agents.marking_gone.contains(id)
            || self.agents.marking_unreachable.contains(id)
            || self.agents.removing.contains(id);
        if !is_empty || is_leaving {
            return;
        }
        if mark_gone {
            turn.info(format!("agent {id} is drained: marking it gone"));
            self.store_gone(turn, id.clone(), None);
        } else if self.agents.marking_drained.insert(id.clone()) {
            turn.info(format!("agent {id} has nothing left: marking it drained"));
            self.store(
                turn,
                Operation::MarkAgentDrained { id: id.clone() },
                Pending::Drained { id: id.clone() },
            );
        }
    }

    /// Tasks of a framework went from these agents.
    pub(crate) fn check_all_drained<'a>(
        &mut self,
        turn: &mut Turn<'_>,
        agents: impl IntoIterator<Item = &'a AgentId>,
    ) {
        for id in agents {
            self.check_drained(turn, id);
        }
    }

    pub(crate) fn drained_stored(&mut self, turn: &mut Turn<'_>, id: &AgentId, accepted: bool) {
        self.agents.marking_drained.remove(id);
        if !accepted {
            return turn.info(format!("agent {id} left, or drains no more: it is not marked drained"));
        }
        let Some(info) = self.agents.draining.get_mut(id) else { return };
        info.state = DrainState::Drained as i32;
        self.show_draining(id);
        turn.info(format!("agent {id} is drained"));
    }

    pub(crate) fn deactivate_by_operator(&mut self, turn: &mut Turn<'_>, reply: ReplyId, id: AgentId) {
        if let Err(outcome) = self.check_known(&id) {
            return turn.reply(reply, outcome);
        }
        turn.info(format!("deactivating agent {id}"));
        self.store(turn, Operation::DeactivateAgent { id: id.clone() }, Pending::Deactivate { id, reply });
    }

    pub(crate) fn deactivation_stored(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        reply: ReplyId,
        accepted: bool,
    ) {
        if !accepted {
            return turn.reply(reply, left_meanwhile(id));
        }
        self.withdraw(turn, id);
        turn.reply(reply, Outcome::Done);
    }

    pub(crate) fn reactivate_by_operator(&mut self, turn: &mut Turn<'_>, reply: ReplyId, id: AgentId) {
        if !self.agents.deactivated.contains(&id) {
            return turn.reply(reply, Outcome::Invalid(format!("agent '{id}' is not deactivated")));
        }
        let drains = self.agents.draining.get(&id).is_some_and(|info| info.state() == DrainState::Draining);
        if drains || self.is_to_drain(&id) {
            let text = format!("agent '{id}' is still draining: wait until it is drained");
            return turn.reply(reply, Outcome::Invalid(text));
        }
        turn.info(format!("reactivating agent {id}"));
        self.store(turn, Operation::ReactivateAgent { id: id.clone() }, Pending::Reactivate { id, reply });
    }

    /// Its draining is on the way to the registry.
    fn is_to_drain(&self, agent: &AgentId) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Drain { id, .. } if id == agent))
    }

    /// As with Apache Mesos, the answer for an agent that is not registered is a conflict, though it is so: it is active
    /// when it comes back.
    pub(crate) fn reactivation_stored(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        reply: ReplyId,
        accepted: bool,
    ) {
        if accepted {
            self.agents.forget_draining(id);
        }
        let Some(agent) = self.agents.get_mut(id).filter(|_| accepted) else {
            let text = format!("agent '{id}' is not registered now: it is active when it reregisters");
            let outcome = if accepted { Outcome::Conflict(text) } else { left_meanwhile(id) };
            return turn.reply(reply, outcome);
        };
        agent.deactivated = false;
        agent.drain_info = None;
        agent.drain_start_time = None;
        agent.changed();
        if agent.connected {
            agent.active = true;
            turn.allocator(messor_allocator::Event::ActivateAgent { agent_id: id.clone() });
        }
        turn.info(format!("reactivated agent {id}"));
        turn.reply(reply, Outcome::Done);
    }
}

/// As far as this master knows, which it does only of an agent that is connected and told of its operations.
fn is_empty(agent: &Agent) -> bool {
    agent.connected && agent.operations_known && agent.tasks.values().all(|tasks| tasks.is_empty())
}

fn left_meanwhile(id: &AgentId) -> Outcome {
    Outcome::Conflict(format!("agent '{id}' was removed or marked gone meanwhile"))
}
