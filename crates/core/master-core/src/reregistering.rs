//! Agents that come back: to the same master, to a new one, or after they were given up.

use std::collections::{BTreeMap, BTreeSet};

use messor_allocator::Event as Allocation;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::{self, FrameworkInfo, TaskStatus, task_status};
use messor_registry::Operation;
use messor_types::{
    AgentCapabilities, AgentId, ExecutorId, FrameworkId, Pid, ResourceFormat, Resources, TaskId,
    resource_to_post_refinement,
};
use messor_validation::{framework_roles, validate_reregister_agent};

use crate::checkpointed::apply_checkpointed;
use crate::effect::Effect;
use crate::event::Timer;
use crate::master::Master;
use crate::notice::{NO_PID, Notice};
use crate::registering::{Pending, build_agent};
use crate::state::{Agent, ExecutorEntry};
use crate::tasks::{self, TaskEntry, is_over, is_terminal};
use crate::turn::Turn;

impl Master {
    pub(crate) fn reregister_agent(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        mut message: wire::ReregisterAgentMessage,
    ) {
        self.counters.messages_reregister_slave.increment();
        let id = AgentId::from(message.agent.id.as_ref().map_or("", |id| id.value.as_str()));
        let name = format!("agent {id} at {from} ({})", message.agent.hostname);
        let busy = self.agents.reregistering.contains(&id) || self.agents.marking_unreachable.contains(&id);
        if busy {
            return turn
                .info(format!("ignoring the re-registration of {name}: something is under way with it"));
        }
        if self.agents.gone.contains_key(&id) {
            turn.warning(format!("refusing the re-registration of {name}: it was marked gone"));
            return shut_down(turn, from, "the agent has been marked gone");
        }
        if let Err(error) = validate_reregister_agent(&message) {
            return turn.warning(format!("dropping the re-registration of {name}: {error}"));
        }
        if let Err(reason) = self.check_agent(message.version.as_deref(), &message.agent) {
            return turn.warning(format!("refusing the re-registration of {name}: {reason}"));
        }
        upgrade(&mut message);
        turn.info(format!("{name} reregisters"));
        if let Some(agent) = self.agents.get(&id) {
            if agent.pid.address.ip() != from.address.ip() || agent.info.hostname != message.agent.hostname {
                let before = format!("{} ({})", agent.pid.address.ip(), agent.info.hostname);
                turn.warning(format!(
                    "shutting down {name}: it reregisters with another address or name than {before}"
                ));
                return shut_down(
                    turn,
                    from,
                    "the agent reregistered with a different IP address or hostname",
                );
            }
            if agent.info == message.agent {
                return self.known_agent_returns(turn, from, message);
            }
            self.agents.reregistering.insert(id);
            let operation = Operation::UpdateAgent { info: Box::new(message.agent.clone()) };
            return self.store(
                turn,
                operation,
                Pending::Update { pid: from.clone(), message: Box::new(message) },
            );
        }
        self.agents.reregistering.insert(id.clone());
        let info = Box::new(message.agent.clone());
        let operation = if self.agents.recovered.contains_key(&id) {
            Operation::UpdateAgent { info }
        } else {
            Operation::MarkAgentReachable { info }
        };
        self.store(turn, operation, Pending::Readmit { pid: from.clone(), message: Box::new(message) });
    }

    pub(crate) fn agent_readmitted(
        &mut self,
        turn: &mut Turn<'_>,
        pid: &Pid,
        message: wire::ReregisterAgentMessage,
        accepted: bool,
    ) {
        let id = AgentId::from(message.agent.id.as_ref().map_or("", |id| id.value.as_str()));
        self.agents.reregistering.remove(&id);
        if !accepted {
            return turn.warning(format!(
                "ignoring the re-registration of agent {id} at {pid}: the registry refuses it"
            ));
        }
        let built = build_agent(
            turn.now,
            pid,
            message.agent,
            message.version.unwrap_or_default(),
            message.agent_capabilities,
            &message.checkpointed_resources,
            message.resource_version_uuid,
        );
        let mut agent = match built {
            Ok(agent) => agent,
            Err(reason) => {
                turn.warning(format!("shutting down agent {id} at {pid}: {reason}"));
                return shut_down(turn, pid, &reason);
            }
        };
        agent.reregistered_time = Some(turn.now);
        self.counters.slave_reregistrations.increment();
        // Another agent at this address is history: this one took its place.
        if let Some(other) = self.agents.by_pid.get(pid).filter(|other| **other != id).cloned() {
            self.remove_agent(turn, &other, "another agent reregistered at the same address");
        }
        let recovered = self.agents.recovered.shift_remove(&id).is_some();
        if recovered {
            turn.push(Effect::CancelTimer { timer: Timer::AgentReregister(id.clone()) });
        }
        let unreachable = self.agents.unreachable.shift_remove(&id).is_some();
        self.agents.removed.shift_remove(&id);

        // Frameworks first: every task and executor belongs to one.
        for info in &message.frameworks {
            let framework = FrameworkId::from(info.id.as_ref().map_or("", |id| id.value.as_str()));
            if self.frameworks.get(&framework).is_none()
                && !self.frameworks.completed.contains_key(&framework)
            {
                turn.info(format!("recovering framework {framework} from agent {id}"));
                self.recover_framework(turn, info.clone());
            }
        }
        let mut updates = Vec::new();
        if !recovered {
            let text =
                if unreachable { "unreachable agent reregistered" } else { "unknown agent reregistered" };
            updates = self.tasks_are_back(turn, &id, &message.tasks, text);
        }
        self.adopt_executors(&mut agent, message.executor_infos);
        self.adopt_tasks(turn, &mut agent, message.tasks);
        self.adopt_completed(message.completed_frameworks);
        let pid = agent.pid.clone();
        self.add_agent(turn, agent);
        for (framework, update) in updates {
            self.tell(turn, &framework, Notice::Update { update, acknowledgee: None });
        }
        let reregistered = wire::AgentReregisteredMessage {
            agent_id: (&id).into(),
            connection: Some(self.agent_connection()),
            ..Default::default()
        };
        turn.send(&pid, &reregistered);
        self.send_frameworks(turn, &pid, &message.frameworks);
    }

    /// What the frameworks thought lost or over is there. Answers with what to tell them.
    fn tasks_are_back(
        &mut self,
        turn: &Turn<'_>,
        agent: &AgentId,
        list: &[mesos::Task],
        text: &str,
    ) -> Vec<(FrameworkId, wire::StatusUpdate)> {
        let mut updates = Vec::new();
        for task in list {
            let framework_id = FrameworkId::from(&task.framework_id);
            let Some(framework) = self.frameworks.get_mut(&framework_id) else { continue };
            framework.unreachable_tasks.shift_remove(task.task_id.value.as_str());
            framework.completed_tasks.retain(|completed| completed.task_id != task.task_id);
            if framework.connected() {
                let reason = task_status::Reason::AgentReregistered;
                let update = tasks::update_of_task(turn.now, task, task.state(), reason, text);
                updates.push((framework_id, update));
            }
        }
        // Tasks that the agent does not know any more do not come back.
        for framework in self.frameworks.registered.values_mut() {
            framework.unreachable_tasks.retain(|_, task| task.agent_id.value != agent.as_str());
        }
        updates
    }

    fn adopt_executors(&mut self, agent: &mut Agent, executors: Vec<mesos::ExecutorInfo>) {
        for info in executors {
            let framework_id =
                FrameworkId::from(info.framework_id.as_ref().map_or("", |id| id.value.as_str()));
            // Completed frameworks are shut down there in a moment.
            let Some(framework) = self.frameworks.get_mut(&framework_id) else { continue };
            let Ok(resources) = Resources::from_proto(&info.resources) else { continue };
            let id = ExecutorId::from(&info.executor_id);
            let info = std::sync::Arc::new(info);
            framework.executors.insert((agent.id.clone(), id.clone()), info.clone());
            framework.use_resources(&agent.id, &resources);
            agent.use_resources(&framework_id, &resources);
            agent.executors.entry(framework_id).or_default().insert(id, ExecutorEntry { info, resources });
        }
    }

    fn adopt_tasks(&mut self, turn: &mut Turn<'_>, agent: &mut Agent, list: Vec<mesos::Task>) {
        for task in list {
            let (framework_id, id) = (FrameworkId::from(&task.framework_id), TaskId::from(&task.task_id));
            let Ok(resources) = Resources::from_proto(&task.resources) else { continue };
            let Some(framework) = self.frameworks.get_mut(&framework_id) else { continue };
            if framework.tasks.contains_key(&id) {
                turn.warning(format!(
                    "agent {} has task {id} of framework {framework_id}, which runs elsewhere too",
                    agent.id
                ));
                continue;
            }
            let state = task.state();
            if !is_over(state) {
                framework.use_resources(&agent.id, &resources);
                agent.use_resources(&framework_id, &resources);
            }
            let entry = TaskEntry::new(task, resources);
            let task = entry.task.clone();
            framework.tasks.insert(id.clone(), entry);
            agent.tasks.entry(framework_id).or_default().insert(id);
            self.count_task(state);
            self.publish_task_added(turn, &task);
        }
    }

    fn adopt_completed(&mut self, completed: Vec<wire::archive::Framework>) {
        let most = self.config.max_completed_tasks_per_framework;
        for archived in completed {
            let id = archived.framework_info.id.as_ref().map(FrameworkId::from);
            let Some(framework) = id.and_then(|id| self.frameworks.get_mut(&id)) else { continue };
            for task in archived.tasks {
                framework.remember_completed(std::sync::Arc::new(messor_stdx::Memo::new(task)), most);
            }
        }
    }

    /// The agent learns where its frameworks are, and which of them are over.
    fn send_frameworks(&mut self, turn: &mut Turn<'_>, pid: &Pid, frameworks: &[FrameworkInfo]) {
        for info in frameworks {
            let id = FrameworkId::from(info.id.as_ref().map_or("", |id| id.value.as_str()));
            if let Some(framework) = self.frameworks.get(&id) {
                turn.send(pid, &update_framework_message(framework));
            } else {
                turn.info(format!("shutting down framework {id} on the agent at {pid}: it is completed"));
                turn.send(pid, &wire::ShutdownFrameworkMessage { framework_id: (&id).into() });
            }
        }
    }

    pub(crate) fn agent_updated(
        &mut self,
        turn: &mut Turn<'_>,
        pid: &Pid,
        message: wire::ReregisterAgentMessage,
        accepted: bool,
    ) {
        let id = AgentId::from(message.agent.id.as_ref().map_or("", |id| id.value.as_str()));
        self.agents.reregistering.remove(&id);
        if !accepted || self.agents.get(&id).is_none() {
            return turn.warning(format!(
                "dropping the re-registration of agent {id} at {pid}: it was removed meanwhile"
            ));
        }
        self.known_agent_returns(turn, pid, message);
    }

    /// A registered agent is back: both sides compare what they know.
    fn known_agent_returns(&mut self, turn: &mut Turn<'_>, pid: &Pid, message: wire::ReregisterAgentMessage) {
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
        agent.info = message.agent;
        agent.version = message.version.unwrap_or_default();
        agent.capabilities = AgentCapabilities::from_proto(&message.agent_capabilities);
        agent.capability_list = message.agent_capabilities;
        agent.resource_version = message.resource_version_uuid;
        agent.reregistered_time = Some(turn.now);
        agent.total = total;
        agent.checkpointed = checkpointed;
        agent.changed();
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
        self.reconcile_known_agent(turn, &id, &message.executor_infos, &message.tasks);
        if !was_connected {
            turn.push(Effect::CancelTimer { timer: Timer::AgentReregister(id.clone()) });
            turn.push(Effect::CancelTimer { timer: Timer::AgentRemoval(id.clone()) });
            if let Some(agent) = self.agents.get_mut(&id) {
                agent.active = true;
                if std::mem::take(&mut agent.removal_scheduled) {
                    self.counters.slave_unreachable_canceled.increment();
                }
            }
            turn.info(format!("agent {id} at {pid} is active again"));
            turn.allocator(Allocation::ActivateAgent { agent_id: id.clone() });
        }
        for info in &message.frameworks {
            let framework = FrameworkId::from(info.id.as_ref().map_or("", |id| id.value.as_str()));
            if self.frameworks.get(&framework).is_none()
                && !self.frameworks.completed.contains_key(&framework)
            {
                self.recover_framework(turn, info.clone());
            }
        }
        self.send_frameworks(turn, pid, &message.frameworks);
        let Some(agent) = self.agents.get(&id) else { return };
        if !agent.capabilities.resource_provider {
            let format = if agent.capabilities.reservation_refinement {
                ResourceFormat::PostRefinement
            } else {
                ResourceFormat::PreRefinement
            };
            let resources = agent.checkpointed.to_proto(format);
            turn.send(pid, &wire::CheckpointResourcesMessage { resources });
        }
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
            .filter(|task| !is_terminal(task.state()))
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

        let running: BTreeMap<(&str, &str), ()> = executors
            .iter()
            .filter_map(|info| {
                Some(((info.framework_id.as_ref()?.value.as_str(), info.executor_id.value.as_str()), ()))
            })
            .collect();
        let lost: Vec<(FrameworkId, ExecutorId)> = agent
            .executors
            .iter()
            .flat_map(|(framework, list)| {
                list.keys().map(move |executor| (framework.clone(), executor.clone()))
            })
            .filter(|(framework, executor)| !running.contains_key(&(framework.as_str(), executor.as_str())))
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

pub(crate) fn update_framework_message(framework: &crate::state::Framework) -> wire::UpdateFrameworkMessage {
    wire::UpdateFrameworkMessage {
        framework_id: framework.id().into(),
        pid: Some(framework.record.pid.as_ref().map_or_else(|| NO_PID.to_string(), |pid| pid.to_string())),
        framework_info: Some(framework.info().clone()),
    }
}

fn shut_down(turn: &mut Turn<'_>, pid: &Pid, reason: &str) {
    turn.send(pid, &wire::ShutdownMessage { message: Some(reason.to_string()) });
}

/// Brings resources into the one form that the master works with, and fills in allocation roles that agents without
/// MULTI_ROLE leave out.
fn upgrade(message: &mut wire::ReregisterAgentMessage) {
    let multi_role = AgentCapabilities::from_proto(&message.agent_capabilities).multi_role;
    let mut roles: BTreeMap<String, String> = BTreeMap::new();
    if !multi_role {
        for info in &message.frameworks {
            let of_framework = framework_roles(info);
            if let (Some(id), 1) = (&info.id, of_framework.len()) {
                roles.extend(of_framework.into_iter().map(|role| (id.value.clone(), role)));
            }
        }
    }
    let fill = |framework: &str, list: &mut Vec<mesos::Resource>| {
        for resource in list {
            resource_to_post_refinement(resource);
            if resource.allocation_info.is_none()
                && let Some(role) = roles.get(framework)
            {
                resource.allocation_info = Some(mesos::resource::AllocationInfo { role: Some(role.clone()) });
            }
        }
    };
    message.agent.resources.iter_mut().for_each(resource_to_post_refinement);
    message.checkpointed_resources.iter_mut().for_each(resource_to_post_refinement);
    for task in &mut message.tasks {
        fill(&task.framework_id.value, &mut task.resources);
    }
    for executor in &mut message.executor_infos {
        let framework = executor.framework_id.as_ref().map_or("", |id| id.value.as_str());
        fill(framework, &mut executor.resources);
    }
}
