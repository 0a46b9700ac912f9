//! A registered agent that comes back: its link broke, or its process was started again. Both sides compare what they
//! know.

use std::collections::BTreeSet;
use std::sync::Arc;

use messor_allocator::Event as Allocation;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::{self, TaskStatus, task_status};
use messor_types::{
    AgentCapabilities, AgentId, ExecutorId, FrameworkId, OfferId, Pid, Resources, TaskId, apply_checkpointed,
    is_terminal_operation, is_terminal_task,
};

use crate::adopting::{adopt_executors, adopt_tasks};
use crate::effect::Effect;
use crate::event::Timer;
use crate::master::Master;
use crate::reregistering::shut_down;
use crate::turn::Turn;

impl Master {
    pub(crate) fn agent_updated(
        &mut self,
        turn: &mut Turn<'_>,
        pid: &Pid,
        message: wire::ReregisterAgentMessage,
        accepted: bool,
    ) {
        let Some(id) = self.stored_reregistration(turn, pid, &message) else { return };
        if !accepted || self.agents.get(&id).is_none() {
            return turn.warning(format!(
                "dropping the re-registration of agent {id} at {pid}: it was removed meanwhile"
            ));
        }
        self.known_agent_returns(turn, pid, message);
    }

    /// A registered agent is back: both sides compare what they know.
    pub(crate) fn known_agent_returns(
        &mut self,
        turn: &mut Turn<'_>,
        pid: &Pid,
        message: wire::ReregisterAgentMessage,
    ) {
        let id = AgentId::from(message.agent.id.as_ref().map_or("", |id| id.value.as_str()));
        let Some(agent) = self.agents.registered.get_mut(&id) else { return };
        let own = Resources::from_proto(&message.agent.resources).unwrap_or_default();
        let checkpointed = if agent.capabilities.resource_provider {
            Resources::from_proto(&message.checkpointed_resources).unwrap_or_default()
        } else {
            agent.checkpointed.clone()
        };
        let total = match apply_checkpointed(&own, &checkpointed) {
            Ok(total) => total,
            Err(error) => {
                turn.warning(format!("shutting down agent {id} at {pid}: {error}"));
                return shut_down(turn, pid, &error.to_string());
            }
        };
        let old_pid = std::mem::replace(&mut agent.pid, pid.clone());
        agent.info = Arc::new(message.agent);
        agent.version = message.version.unwrap_or_default();
        let capabilities = AgentCapabilities::from_proto(&message.agent_capabilities);
        let had_feedback = std::mem::replace(&mut agent.capabilities, capabilities).agent_operation_feedback;
        agent.capability_list = message.agent_capabilities;
        agent.operations_known = !agent.capabilities.resource_provider;
        agent.resource_version = message.resource_version_uuid;
        agent.reregistered_time = Some(turn.now);
        // Offers of what is not so any more are taken back.
        let offers: Vec<OfferId> = match agent.checkpointed == checkpointed {
            true => Vec::new(),
            false => agent.offers.iter().cloned().collect(),
        };
        agent.total = total;
        agent.checkpointed = checkpointed;
        agent.changed();
        // It is there, whatever became of pings meanwhile. To give it up right after it came back would take its
        // resources for free while a task that is on its way to it arrives.
        agent.pinged = false;
        agent.missed_pings = 0;
        let was_connected = std::mem::replace(&mut agent.connected, true);
        let update = Allocation::UpdateAgent {
            agent_id: id.clone(),
            details: agent.details(),
            total: Some(agent.total.clone()),
        };
        if old_pid != *pid {
            self.agents.by_pid.remove(&old_pid);
            turn.push(Effect::Unlink { pid: old_pid });
        }
        self.agents.by_pid.insert(pid.clone(), id.clone());
        turn.push(Effect::Link { pid: pid.clone() });
        turn.allocator(update);
        for offer in &offers {
            self.rescind(turn, offer);
        }
        if had_feedback && !capabilities.agent_operation_feedback {
            self.forget_ended_operations(&id);
        }
        self.reconcile_known_agent(turn, &id, &message.executor_infos, &message.tasks);
        self.take_back_presumed_lost(turn, &id, message.executor_infos, message.tasks);
        self.unschedule_removal(turn, &id);
        if !was_connected {
            turn.push(Effect::CancelTimer { timer: Timer::AgentReregister(id.clone()) });
            if let Some(agent) = self.agents.registered.get_mut(&id).filter(|agent| !agent.deactivated) {
                agent.active = true;
                agent.changed();
                turn.info(format!("agent {id} at {pid} is active again"));
                turn.allocator(Allocation::ActivateAgent { agent_id: id.clone() });
            }
        }
        self.send_drain(turn, &id);
        self.recover_frameworks(turn, &id, &message.frameworks);
        self.send_frameworks(turn, pid, &message.frameworks);
        let Some(agent) = self.agents.get(&id) else { return };
        if !agent.capabilities.resource_provider {
            crate::operations::send_checkpointed(turn, agent);
        }
        self.check_drained(turn, &id);
    }

    /// An agent that was downgraded has no operation feedback any more: what ended there will never be acknowledged.
    fn forget_ended_operations(&mut self, id: &AgentId) {
        for uuid in self.operations.on(id) {
            let ended = self.operations.get(&uuid).is_some_and(|entry| {
                let status = &entry.operation.latest_status;
                let waits = entry.operation.info.id.is_some() && status.resource_provider_id.is_none();
                waits && is_terminal_operation(status.state())
            });
            if ended {
                self.operations.remove(&uuid);
            }
        }
    }

    /// When the link broke, what does not checkpoint was thought lost. The agent's process lives on, and so do these
    /// tasks: their frameworks hear it, as with an unreachable agent that comes back. (Apache Mesos goes on without
    /// knowing of them, and offers what they use.)
    fn take_back_presumed_lost(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        mut executors: Vec<mesos::ExecutorInfo>,
        mut list: Vec<mesos::Task>,
    ) {
        let Some(agent) = self.agents.registered.get_mut(id) else { return };
        let lost_tasks = std::mem::take(&mut agent.presumed_lost);
        let lost_executors = std::mem::take(&mut agent.presumed_ended);
        list.retain(|task| {
            let of = (FrameworkId::from(&task.framework_id), TaskId::from(&task.task_id));
            !is_terminal_task(task.state()) && lost_tasks.contains(&of)
        });
        executors.retain(|info| {
            let Some(framework) = info.framework_id.as_ref().map(FrameworkId::from) else { return false };
            lost_executors.contains(&(framework, ExecutorId::from(&info.executor_id)))
        });
        if list.is_empty() && executors.is_empty() {
            return;
        }
        turn.info(format!("agent {id} has {} tasks that were thought lost", list.len()));
        let updates = self.tasks_are_back(turn, &list, "the agent reregistered");
        let Some(agent) = self.agents.registered.get_mut(id) else { return };
        let mut used = agent.used.clone();
        adopt_executors(&mut self.frameworks, agent, executors);
        let adopted = adopt_tasks(turn, &mut self.frameworks, agent, list);
        let mut more = agent.used.clone();
        for (framework, resources) in &mut more {
            *resources -= &used.remove(framework).unwrap_or_default();
        }
        more.retain(|_, resources| !resources.is_empty());
        turn.allocator(Allocation::AddUsed { agent_id: id.clone(), used: more });
        self.count_adopted(turn, &adopted);
        self.tell_updates(turn, updates);
    }

    fn reconcile_known_agent(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        executors: &[mesos::ExecutorInfo],
        list: &[mesos::Task],
    ) {
        let Some(agent) = self.agents.get(id) else { return };
        let there: BTreeSet<(&str, &str)> =
            list.iter().map(|task| (task.framework_id.value.as_str(), task.task_id.value.as_str())).collect();
        // Tasks that the agent does not name never reached it, or it forgot them: it is asked about each.
        let mut reconciliations = Vec::new();
        for (framework_id, ids) in &agent.tasks {
            let Some(framework) = self.frameworks.get(framework_id) else { continue };
            let missing = ids.iter().filter(|task| !there.contains(&(framework_id.as_str(), task.as_str())));
            let statuses: Vec<TaskStatus> = missing
                .filter_map(|task| framework.tasks.get(task))
                .map(|entry| question(turn, id, &entry.task))
                .collect();
            if !statuses.is_empty() {
                turn.warning(format!(
                    "agent {id} does not know {} tasks of framework {framework_id}: asking",
                    statuses.len()
                ));
                reconciliations.push(wire::ReconcileTasksMessage {
                    framework_id: framework_id.into(),
                    statuses,
                    framework: Some(framework.info().clone()),
                });
            }
        }
        let pid = agent.pid.clone();
        let killed: Vec<&mesos::Task> = list
            .iter()
            .filter(|task| !is_terminal_task(task.state()))
            .filter(|task| {
                agent.killed.contains(&(FrameworkId::from(&task.framework_id), TaskId::from(&task.task_id)))
            })
            .collect();
        let reregistered = wire::AgentReregisteredMessage {
            agent_id: id.into(),
            reconciliations,
            connection: Some(self.agent_connection()),
        };
        turn.send(&pid, &reregistered);

        let running: BTreeSet<(&str, &str)> = executors
            .iter()
            .filter_map(|info| {
                Some((info.framework_id.as_ref()?.value.as_str(), info.executor_id.value.as_str()))
            })
            .collect();
        let lost: Vec<(FrameworkId, ExecutorId)> = agent
            .executors
            .iter()
            .flat_map(|(framework, list)| {
                list.keys().map(move |executor| (framework.clone(), executor.clone()))
            })
            .filter(|(framework, executor)| !running.contains(&(framework.as_str(), executor.as_str())))
            .collect();
        for task in killed {
            turn.info(format!(
                "agent {id} has task {} that was killed: killing it again",
                task.task_id.value
            ));
            let (framework_id, task_id) = (task.framework_id.clone(), task.task_id.clone());
            turn.send(&pid, &wire::KillTaskMessage { framework_id, task_id, kill_policy: None });
        }
        for (framework, executor) in lost {
            turn.warning(format!(
                "agent {id} does not know executor {executor} of framework {framework} any more"
            ));
            self.remove_executor(turn, id, &framework, &executor);
        }
    }
}

/// What an agent is asked about a task that it did not name.
fn question(turn: &Turn<'_>, agent: &AgentId, task: &mesos::Task) -> TaskStatus {
    TaskStatus {
        task_id: task.task_id.clone(),
        agent_id: Some(agent.into()),
        state: task.status_update_state.unwrap_or(task.state),
        source: Some(task_status::Source::Master as i32),
        message: Some("reconciliation request".to_string()),
        reason: Some(task_status::Reason::Reconciliation as i32),
        timestamp: Some(turn.now.as_secs_f64()),
        ..Default::default()
    }
}
