//! Whether agents are still there: pings, broken links, and agents that have to be marked unreachable.

use messor_proto::mesos::internal::PingAgentMessage;
use messor_proto::mesos::{TaskState, task_status::Reason};
use messor_registry::Operation;
use messor_types::{AgentId, FrameworkId, Pid};

use crate::effect::Effect;
use crate::event::Timer;
use crate::master::Master;
use crate::registering::Pending;
use crate::removal::Ending;
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
        if agent.connected && self.agents.removal_scheduled.remove(id) {
            self.counters.slave_unreachable_canceled.increment();
        }
    }

    /// The agent, registered or known from the registry alone, is to be marked unreachable, as soon as
    /// --agent_removal_rate_limit allows.
    pub(crate) fn schedule_removal(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        if !self.agents.removal_scheduled.insert(id.clone()) {
            return;
        }
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

    /// The agent is back, or gone for good: it is not to be marked unreachable any more.
    pub(crate) fn unschedule_removal(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        if self.agents.removal_scheduled.remove(id) {
            self.counters.slave_unreachable_canceled.increment();
            turn.push(Effect::CancelTimer { timer: Timer::AgentRemoval(id.clone()) });
        }
    }

    pub(crate) fn removal_permitted(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        if !self.agents.removal_scheduled.remove(id) {
            return;
        }
        let timeout = messor_stdx::format_duration(self.config.agent_reregister_timeout);
        let reason = match self.agents.get(id) {
            Some(agent) if agent.connected => "health check timed out".to_string(),
            Some(_) => format!("the agent did not reregister within {timeout} after disconnecting"),
            None => format!("the agent did not reregister within {timeout} after the master failover"),
        };
        if self.mark_unreachable(turn, id, reason) {
            self.counters.slave_unreachable_completed.increment();
        } else {
            self.counters.slave_unreachable_canceled.increment();
        }
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
                self.presume_lost(id, &framework);
                let message = format!("agent {hostname} disconnected");
                let ending = Ending {
                    state: TaskState::TaskLost,
                    reason: Reason::AgentDisconnected,
                    message: &message,
                    unreachable: None,
                };
                self.end_tasks_of(turn, id, &framework, ending);
                self.remove_executors_of(turn, id, &framework);
            }
        }
        turn.set_timer(Timer::AgentReregister(id.clone()), self.config.agent_reregister_timeout);
    }

    fn presume_lost(&mut self, id: &AgentId, framework: &FrameworkId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        for task in agent.tasks.get(framework).into_iter().flatten() {
            agent.presumed_lost.insert((framework.clone(), task.clone()));
        }
        for executor in agent.executors.get(framework).into_iter().flat_map(|list| list.keys()) {
            agent.presumed_ended.insert((framework.clone(), executor.clone()));
        }
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
        self.rescind_inverse_offers_of_agent(turn, id);
    }

    pub(crate) fn agent_did_not_reregister(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        if self.agents.get(id).is_some_and(|agent| !agent.connected) {
            self.schedule_removal(turn, id);
        }
    }

    /// False if something else is under way with the agent.
    fn mark_unreachable(&mut self, turn: &mut Turn<'_>, id: &AgentId, reason: String) -> bool {
        let known = self.agents.get(id).is_some() || self.agents.recovered.contains_key(id);
        if !known || self.agents.is_busy(id) {
            turn.info(format!("agent {id} is not marked unreachable: something else is under way with it"));
            return false;
        }
        turn.info(format!("marking agent {id} unreachable: {reason}"));
        self.agents.marking_unreachable.insert(id.clone());
        // Both times are the same to the second: what is stored is what frameworks are told.
        let operation = Operation::MarkAgentUnreachable { id: id.clone(), time: turn.now };
        self.store(turn, operation, Pending::Unreachable { id: id.clone(), time: turn.now, reason });
        true
    }
}
