//! Whether agents are still there: pings, broken links, and agents that have to be marked unreachable.

use messor_proto::mesos::internal::PingAgentMessage;
use messor_proto::mesos::{TaskState, task_status::Reason};
use messor_registry::Operation;
use messor_types::{AgentId, Pid};

use crate::effect::Effect;
use crate::event::Timer;
use crate::master::Master;
use crate::registering::Pending;
use crate::turn::Turn;

impl Master {
    /// Sends a ping, and looks again when the answer should be there.
    pub(crate) fn ping(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let timeout = self.config.agent_ping_timeout;
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.pinged = true;
        turn.send(&agent.pid, &PingAgentMessage { connected: agent.connected });
        turn.set_timer(Timer::Ping(id.clone()), timeout);
    }

    pub(crate) fn ping_time(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let most = self.config.max_agent_ping_timeouts;
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.pinged {
            agent.missed_pings = agent.missed_pings.saturating_add(1);
            if agent.missed_pings >= most {
                self.schedule_removal(turn, id);
            }
        }
        self.ping(turn, id);
    }

    pub(crate) fn pong(&mut self, from: &Pid) {
        let Some(id) = self.agents.by_pid.get(from) else { return };
        let Some(agent) = self.agents.registered.get_mut(id) else { return };
        agent.pinged = false;
        agent.missed_pings = 0;
        if agent.connected && std::mem::take(&mut agent.removal_scheduled) {
            self.counters.slave_unreachable_canceled.increment();
        }
    }

    /// The agent is to be marked unreachable, as soon as --agent_removal_rate_limit allows.
    fn schedule_removal(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.removal_scheduled {
            return;
        }
        agent.removal_scheduled = true;
        self.counters.slave_unreachable_scheduled.increment();
        let Some(limit) = self.config.agent_removal_rate_limit else {
            return self.removal_permitted(turn, id);
        };
        let at = self.next_removal.max(turn.now);
        self.next_removal = at + limit.interval();
        turn.info(format!(
            "agent {id} is to be marked unreachable; the rate limit allows it in {:?}",
            at.since(turn.now)
        ));
        turn.push(Effect::SetTimer { timer: Timer::AgentRemoval(id.clone()), at });
    }

    pub(crate) fn removal_permitted(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if !std::mem::take(&mut agent.removal_scheduled) {
            return;
        }
        let connected = agent.connected;
        self.counters.slave_unreachable_completed.increment();
        let reason = if connected {
            "health check timed out".to_string()
        } else {
            let timeout = messor_stdx::format_duration(self.config.agent_reregister_timeout);
            format!("the agent did not reregister within {timeout} after disconnecting")
        };
        self.mark_unreachable(turn, id, reason);
    }

    /// The link to an agent broke. Its tasks go on; it has time to come back.
    pub(crate) fn agent_disconnected(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if !agent.connected {
            return;
        }
        turn.info(format!("agent {id} at {} ({}) disconnected", agent.pid, agent.info.hostname));
        agent.connected = false;
        agent.changed();
        let hostname = agent.info.hostname.clone();
        self.deactivate_agent(turn, id);
        let Some(agent) = self.agents.get(id) else { return };
        for framework in agent.frameworks() {
            let Some(known) = self.frameworks.get(&framework) else { continue };
            // Without checkpoints nothing of the framework outlives the agent's process (U109).
            if !known.info().checkpoint() {
                turn.info(format!("removing framework {framework} from agent {id}: it does not checkpoint"));
                let message = format!("agent {hostname} disconnected");
                self.end_tasks_of(
                    turn,
                    id,
                    &framework,
                    TaskState::TaskLost,
                    Reason::AgentDisconnected,
                    &message,
                    None,
                );
                self.remove_executors_of(turn, id, &framework);
            }
        }
        turn.set_timer(Timer::AgentReregister(id.clone()), self.config.agent_reregister_timeout);
    }

    /// No more offers of the agent, and those that are out are taken back.
    pub(crate) fn deactivate_agent(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.active = false;
        agent.changed();
        let offers = agent.offers.clone();
        turn.allocator(messor_allocator::Event::DeactivateAgent { agent_id: id.clone() });
        for offer in &offers {
            self.rescind(turn, offer);
        }
    }

    pub(crate) fn agent_did_not_reregister(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        if self.agents.get(id).is_some_and(|agent| !agent.connected) {
            self.schedule_removal(turn, id);
        } else if self.agents.recovered.contains_key(id) {
            let timeout = messor_stdx::format_duration(self.config.agent_reregister_timeout);
            self.mark_unreachable(
                turn,
                id,
                format!("the agent did not reregister within {timeout} of the election"),
            );
        }
    }

    fn mark_unreachable(&mut self, turn: &mut Turn<'_>, id: &AgentId, reason: String) {
        let busy = self.agents.reregistering.contains(id)
            || self.agents.marking_unreachable.contains(id)
            || self.agents.removing.contains(id);
        if busy {
            return turn
                .info(format!("agent {id} is not marked unreachable: something else is under way with it"));
        }
        turn.info(format!("marking agent {id} unreachable: {reason}"));
        self.agents.marking_unreachable.insert(id.clone());
        // Both times are the same to the second: what is stored is what frameworks are told.
        let operation = Operation::MarkAgentUnreachable { id: id.clone(), time: turn.now };
        self.store(turn, operation, Pending::Unreachable { id: id.clone(), time: turn.now, reason });
    }
}
