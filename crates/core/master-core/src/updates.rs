//! Status updates and their acknowledgements, and what becomes of tasks and executors with them.

use std::sync::Arc;

use messor_allocator::Event::RecoverResources;
use messor_proto::mesos::internal::{self as wire, StatusUpdate};
use messor_proto::mesos::{self, scheduler::call};
use messor_types::{AgentId, ExecutorId, FrameworkId, TaskId, is_terminal_task};

use crate::master::Master;
use crate::notice::Notice;
use crate::tasks::{self, is_over};
use crate::turn::Turn;

impl Master {
    /// An agent reports on a task. The framework hears it first; it acknowledges through this master (U104).
    pub(crate) fn status_update(&mut self, turn: &mut Turn<'_>, message: wire::StatusUpdateMessage) {
        self.counters.messages_status_update.increment();
        let mut update = message.update;
        self.name_preemption(&mut update);
        let framework_id = FrameworkId::from(&update.framework_id);
        let task_id = TaskId::from(&update.status.task_id);
        let agent_id = AgentId::from(update.agent_id.as_ref().map_or("", |id| id.value.as_str()));
        let what = || {
            format!("{} of task {task_id} of framework {framework_id}", update.status.state().as_str_name())
        };
        let problem = match self.agents.get(&agent_id) {
            _ if self.agents.removed.contains(&agent_id) => Some("was removed"),
            None => Some("is not known"),
            Some(_) if update.uuid.as_ref().is_none_or(|uuid| uuid.len() != 16) => Some("sent no valid uuid"),
            Some(_) => None,
        };
        if let Some(problem) = problem {
            self.counters.invalid_status_updates.increment();
            return turn.warning(format!("ignoring {}: agent {agent_id} {problem}", what()));
        }
        let Ok(acknowledgee) = message.pid.unwrap_or_default().parse() else {
            self.counters.invalid_status_updates.increment();
            return turn.warning(format!("ignoring {}: agent {agent_id} sent no valid pid", what()));
        };
        turn.info(format!("{} from agent {agent_id}", what()));

        let mut heard = false;
        if let Some(framework) =
            self.frameworks.get_mut(&framework_id).filter(|framework| framework.connected())
        {
            heard = true;
            if let Some(entry) = framework.tasks.get_mut(&task_id) {
                let task = entry.change();
                task.status_update_state = Some(update.status.state);
                task.status_update_uuid = update.status.uuid.clone().or_else(|| update.uuid.clone());
            }
            framework.tell(turn, Notice::Update { update: update.clone(), acknowledgee: Some(acknowledgee) });
        }
        if !self.has_task(&agent_id, &framework_id, &task_id) {
            self.counters.invalid_status_updates.increment();
            return turn.warning(format!("the task of {} is not known on agent {agent_id}", what()));
        }
        self.update_task(turn, &framework_id, &task_id, &update);
        if heard {
            self.counters.valid_status_updates.increment();
        } else {
            self.counters.invalid_status_updates.increment();
        }
    }

    fn has_task(&self, agent: &AgentId, framework: &FrameworkId, task: &TaskId) -> bool {
        let tasks = self.agents.get(agent).and_then(|agent| agent.tasks.get(framework));
        tasks.is_some_and(|tasks| tasks.contains(task))
    }

    /// Puts an update into a task, and frees its resources when it is over.
    pub(crate) fn update_task(
        &mut self,
        turn: &mut Turn<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        update: &StatusUpdate,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let Some(entry) = framework.tasks.get_mut(task_id) else { return };
        let change = tasks::apply(entry.change(), update);
        let (task, resources) = (Arc::clone(&entry.task), entry.resources.clone());
        if change.from != change.to && is_terminal_task(change.to) {
            framework.counting.counts.ended_tasks.add(change.to, 1);
        }
        self.uncount_task(change.from);
        self.count_task(change.to);
        if change.notable {
            self.publish_task_updated(turn, &task, &update.status);
        }
        if !change.ended {
            return;
        }
        let agent_id = AgentId::from(&task.agent_id);
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.free_resources(&agent_id, &resources);
        }
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.free_resources(framework_id, &resources);
        }
        turn.allocator(RecoverResources {
            framework_id: framework_id.clone(),
            agent_id,
            resources,
            refuse: None,
            allocated: true,
        });
        let state = update.status.state();
        self.counters.count_end(state);
        if let Some(reason) = update.status.reason {
            self.counters.count_reason(state, update.status.source.unwrap_or_default(), reason);
        }
    }

    /// Takes a task from its agent; it is remembered as completed or as unreachable.
    pub(crate) fn remove_task(
        &mut self,
        turn: &mut Turn<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        unreachable: bool,
    ) {
        let (completed, unreachable_tasks) =
            (self.config.max_completed_tasks_per_framework, self.config.max_unreachable_tasks_per_framework);
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let Some(entry) = framework.tasks.remove(task_id) else { return };
        let agent_id = AgentId::from(&entry.task.agent_id);
        let state = entry.state();
        if !is_over(state) {
            framework.free_resources(&agent_id, &entry.resources);
        }
        if unreachable {
            framework.remember_unreachable(entry.task, unreachable_tasks);
        } else {
            framework.remember_completed(entry.task, completed);
        }
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            if !is_over(state) {
                agent.free_resources(framework_id, &entry.resources);
            }
            agent.forget_task(framework_id, task_id);
        }
        self.uncount_task(state);
        if !is_over(state) {
            turn.warning(format!("removing task {task_id} of framework {framework_id}, which is not over"));
            turn.allocator(RecoverResources {
                framework_id: framework_id.clone(),
                agent_id,
                resources: entry.resources,
                refuse: None,
                allocated: true,
            });
        }
    }

    pub(crate) fn acknowledge(
        &mut self,
        turn: &mut Turn<'_>,
        framework_id: &FrameworkId,
        acknowledge: call::Acknowledge,
    ) {
        self.counters.messages_status_update_acknowledgement.increment();
        let agent_id = AgentId::from(&acknowledge.agent_id);
        let task_id = TaskId::from(&acknowledge.task_id);
        let what = || format!("an acknowledgement of framework {framework_id} for task {task_id}");
        let Some(agent) = self.agents.get(&agent_id).filter(|agent| agent.connected) else {
            self.counters.invalid_status_update_acknowledgements.increment();
            return turn.warning(format!("dropping {}: agent {agent_id} is not connected", what()));
        };
        let pid = agent.pid.clone();
        let entry = self.frameworks.get(framework_id).and_then(|framework| framework.tasks.get(&task_id));
        if let Some(entry) = entry.filter(|entry| entry.task.agent_id == acknowledge.agent_id) {
            let Some(state) = entry.task.status_update_state else {
                self.counters.invalid_status_update_acknowledgements.increment();
                return turn.warning(format!("dropping {}: this master sent no update", what()));
            };
            let terminal = mesos::TaskState::try_from(state).is_ok_and(is_terminal_task);
            if terminal && entry.task.status_update_uuid.as_ref() == Some(&acknowledge.uuid) {
                self.remove_task(turn, framework_id, &task_id, false);
            }
        }
        let message = wire::StatusUpdateAcknowledgementMessage {
            agent_id: acknowledge.agent_id,
            framework_id: framework_id.into(),
            task_id: acknowledge.task_id,
            uuid: acknowledge.uuid,
        };
        turn.send(&pid, &message);
        self.counters.valid_status_update_acknowledgements.increment();
        self.check_drained(turn, &agent_id);
    }

    /// An executor ended (U084).
    pub(crate) fn executor_exited(&mut self, turn: &mut Turn<'_>, message: &wire::ExitedExecutorMessage) {
        self.counters.messages_exited_executor.increment();
        let (agent, framework) = (AgentId::from(&message.agent_id), FrameworkId::from(&message.framework_id));
        let executor = ExecutorId::from(&message.executor_id);
        if self.agents.get(&agent).and_then(|known| known.executor(&framework, &executor)).is_none() {
            let what = format!("executor {executor} of framework {framework} on agent {agent}");
            return turn.warning(format!("ignoring that {what} exited: it is not known"));
        }
        turn.info(format!(
            "executor {executor} of framework {framework} on agent {agent} exited ({})",
            message.status
        ));
        self.remove_executor(turn, &agent, &framework, &executor);
        if let Some(known) = self.frameworks.get(&framework).filter(|known| known.connected()) {
            known.tell(turn, Notice::ExecutorExited { agent, executor, status: message.status });
        }
    }

    pub(crate) fn remove_executor(
        &mut self,
        turn: &mut Turn<'_>,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor: &ExecutorId,
    ) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        let Some(executors) = agent.executors.get_mut(framework_id) else { return };
        let Some(entry) = executors.remove(executor) else { return };
        if executors.is_empty() {
            agent.executors.remove(framework_id);
        }
        agent.free_resources(framework_id, &entry.resources);
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.executors.remove(&(agent_id.clone(), executor.clone()));
            framework.free_resources(agent_id, &entry.resources);
        }
        if !entry.resources.is_empty() {
            turn.allocator(RecoverResources {
                framework_id: framework_id.clone(),
                agent_id: agent_id.clone(),
                resources: entry.resources,
                refuse: None,
                allocated: true,
            });
        }
    }

    pub(crate) fn remove_executors_of(
        &mut self,
        turn: &mut Turn<'_>,
        agent_id: &AgentId,
        framework: &FrameworkId,
    ) {
        let executors = self.agents.get(agent_id).and_then(|agent| agent.executors.get(framework));
        let ids: Vec<ExecutorId> = executors.into_iter().flat_map(|list| list.keys().cloned()).collect();
        for id in ids {
            self.remove_executor(turn, agent_id, framework, &id);
        }
    }

    /// A message of an executor to its framework.
    pub(crate) fn executor_message(
        &mut self,
        turn: &mut Turn<'_>,
        message: wire::ExecutorToFrameworkMessage,
    ) {
        self.counters.messages_executor_to_framework.increment();
        let (agent, framework) = (AgentId::from(&message.agent_id), FrameworkId::from(&message.framework_id));
        let known = self.frameworks.get(&framework).filter(|known| known.connected());
        let (Some(known), Some(_)) = (known, self.agents.get(&agent)) else {
            self.counters.invalid_executor_to_framework_messages.increment();
            let executor = &message.executor_id.value;
            return turn.warning(format!(
                "dropping a message of executor {executor} on agent {agent}: the agent or framework {framework} is not connected"
            ));
        };
        let notice =
            Notice::Message { agent: message.agent_id, executor: message.executor_id, data: message.data };
        known.tell(turn, notice);
        self.counters.valid_executor_to_framework_messages.increment();
    }
}
