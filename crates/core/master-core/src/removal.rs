//! Agents that go: unreachable, or for good. What ran there ends for the frameworks.

use messor_proto::mesos::{OperationState, TaskState, task_status::Reason};
use messor_registry::Operation;
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, Pid, TaskId};

use crate::effect::Effect;
use crate::event::Timer;
use crate::master::Master;
use crate::notice::Notice;
use crate::registering::Pending;
use crate::tasks;
use crate::turn::Turn;

/// How all tasks of a framework on an agent end.
#[derive(Clone, Copy)]
pub(crate) struct Ending<'m> {
    pub state: TaskState,
    pub reason: Reason,
    pub message: &'m str,
    /// Since when they are unreachable: they may come back. Without it they are over.
    pub unreachable: Option<Time>,
}

impl Master {
    pub(crate) fn unregister_agent(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: &messor_proto::mesos::internal::UnregisterAgentMessage,
    ) {
        self.counters.messages_unregister_slave.increment();
        let id = AgentId::from(&message.agent_id);
        match self.agents.get(&id) {
            Some(agent) if agent.pid == *from => {
                self.counters.slave_removals_reason_unregistered.increment();
                self.remove_agent(turn, &id, "the agent unregistered");
            }
            Some(agent) => {
                let pid = &agent.pid;
                turn.warning(format!("ignoring that {from} unregisters agent {id}, which is at {pid}"));
            }
            None => turn.warning(format!("ignoring that {from} unregisters agent {id}, which is not known")),
        }
    }

    /// An agent leaves in order: the registry forgets it first.
    pub(crate) fn remove_agent(&mut self, turn: &mut Turn<'_>, id: &AgentId, reason: &str) {
        let leaving = self.agents.marking_unreachable.contains(id) || self.agents.marking_gone.contains(id);
        if leaving || !self.agents.removing.insert(id.clone()) {
            return turn.info(format!("agent {id} is on its way out already"));
        }
        turn.info(format!("removing agent {id}: {reason}"));
        let pending = Pending::Remove { id: id.clone(), reason: reason.to_string() };
        self.store(turn, Operation::RemoveAgent { id: id.clone() }, pending);
    }

    pub(crate) fn agent_removed(&mut self, turn: &mut Turn<'_>, id: &AgentId, reason: &str) {
        self.agents.removing.remove(id);
        let Some(agent) = self.agents.get(id) else { return };
        let message = format!("agent {} removed: {reason}", agent.info.hostname);
        self.counters.slave_removals.increment();
        let frameworks: Vec<FrameworkId> = agent.tasks.keys().cloned().collect();
        let (state, reason) = (TaskState::TaskLost, Reason::AgentRemoved);
        for framework in frameworks {
            let ending = Ending { state, reason, message: &message, unreachable: None };
            self.end_tasks_of(turn, id, &framework, ending);
        }
        self.agents.forget_draining(id);
        self.forget_operations_of(turn, id, None);
        self.forget_agent(turn, id);
    }

    /// The registry has an agent as unreachable.
    pub(crate) fn agent_marked_unreachable(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        time: Time,
        reason: &str,
    ) {
        self.agents.marking_unreachable.remove(id);
        self.counters.slave_removals.increment();
        self.counters.slave_removals_reason_unhealthy.increment();
        self.agents.unreachable.insert(id.clone(), time);
        turn.info(format!("marked agent {id} unreachable: {reason}"));
        if self.agents.recovered.remove(id).is_some() {
            self.counters.recovery_slave_removals.increment();
            return self.tell_agent_lost(turn, id);
        }
        let Some(agent) = self.agents.get(id) else { return };
        let frameworks: Vec<FrameworkId> = agent.tasks.keys().cloned().collect();
        for framework in frameworks {
            let aware =
                self.frameworks.get(&framework).is_some_and(|known| known.capabilities.partition_aware);
            let state = if aware { TaskState::TaskUnreachable } else { TaskState::TaskLost };
            let ending =
                Ending { state, reason: Reason::AgentRemoved, message: reason, unreachable: Some(time) };
            self.end_tasks_of(turn, id, &framework, ending);
            self.agents.lost_frameworks.entry(id.clone()).or_default().insert(framework);
        }
        let told = (OperationState::OperationUnreachable, "the agent was marked unreachable");
        self.forget_operations_of(turn, id, Some(told));
        self.forget_agent(turn, id);
    }

    /// Takes an agent without tasks out of everything.
    pub(crate) fn forget_agent(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        let offers = agent.offers.clone();
        for framework in agent.frameworks() {
            self.remove_executors_of(turn, id, &framework);
        }
        for offer in &offers {
            self.rescind(turn, offer);
        }
        self.rescind_inverse_offers_of_agent(turn, id);
        self.inverse_offers.forget_agent(id);
        turn.allocator(messor_allocator::Event::RemoveAgent { agent_id: id.clone() });
        let Some(agent) = self.agents.registered.shift_remove(id) else { return };
        if self.agents.by_pid.get(&agent.pid) == Some(id) {
            self.agents.by_pid.remove(&agent.pid);
            turn.push(Effect::Unlink { pid: agent.pid });
        }
        self.unschedule_removal(turn, id);
        for timer in [Timer::Ping(id.clone()), Timer::AgentReregister(id.clone())] {
            turn.push(Effect::CancelTimer { timer });
        }
        self.agents.remember_removed(id.clone());
        self.tell_agent_lost(turn, id);
        // 1.11.0 says nothing of agents that are unreachable or gone, and whoever lives from the events goes on showing them.
        self.publish_agent_removed(turn, id);
    }

    /// All tasks of a framework on an agent end.
    pub(crate) fn end_tasks_of(
        &mut self,
        turn: &mut Turn<'_>,
        agent: &AgentId,
        framework: &FrameworkId,
        ending: Ending<'_>,
    ) {
        let Ending { state, reason, message, unreachable } = ending;
        let ids: Vec<TaskId> = self
            .agents
            .get(agent)
            .and_then(|agent| agent.tasks.get(framework))
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        for id in ids {
            let Some(entry) = self.frameworks.get(framework).and_then(|known| known.tasks.get(&id)) else {
                continue;
            };
            let executor_id = entry.task.executor_id.clone();
            let message = message.to_string();
            let mut update =
                tasks::update_of_master(turn.now, framework, Some(agent), &id, state, reason, message);
            update.executor_id = executor_id;
            update.status.unreachable_time = unreachable.map(crate::publish::time_info);
            self.update_task(turn, framework, &id, &update);
            self.remove_task(turn, framework, &id, unreachable.is_some());
            let known = self.frameworks.get(framework);
            if let Some(known) = known.filter(|known| known.connected()) {
                known.tell(turn, Notice::Update { update, acknowledgee: None });
            }
        }
    }
}
