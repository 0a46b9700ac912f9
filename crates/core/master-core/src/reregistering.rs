//! Agents that come back: to the same master, to a new one, or after they were given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use messor_proto::mesos::internal as wire;
use messor_proto::mesos::{self, FrameworkInfo, task_status};
use messor_registry::Operation;
use messor_stdx::Memo;
use messor_types::{
    AgentCapabilities, AgentId, FrameworkId, Pid, is_terminal_task, resource_to_post_refinement,
};
use messor_validation::{framework_roles, validate_reregister_agent};

use crate::adopting::{adopt_executors, adopt_tasks};
use crate::gone::GONE;
use crate::master::Master;
use crate::notice::{NO_PID, Notice};
use crate::registering::{Pending, build_agent};
use crate::tasks;
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
        let busy = self.agents.reregistering.contains(&id)
            || self.agents.marking_unreachable.contains(&id)
            || self.agents.marking_gone.contains(&id);
        if busy {
            return turn
                .info(format!("ignoring the re-registration of {name}: something is under way with it"));
        }
        if self.agents.gone.contains_key(&id) {
            turn.warning(format!("refusing the re-registration of {name}: it was marked gone"));
            return shut_down(turn, from, GONE);
        }
        if let Err(error) = validate_reregister_agent(&message) {
            return turn.warning(format!("dropping the re-registration of {name}: {error}"));
        }
        if let Err(reason) = self.check_agent(message.version.as_deref(), &message.agent) {
            return turn.warning(format!("refusing the re-registration of {name}: {reason}"));
        }
        if let Err(reason) = upgrade(&mut message) {
            return turn.warning(format!("refusing the re-registration of {name}: {reason}"));
        }
        if self.refuse_on_machine_down(turn, from, &message.agent) {
            return;
        }
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
            if *agent.info == message.agent {
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
        let operation = match self.agents.recovered.get(&id) {
            // The registry has nothing to learn.
            Some(known) if **known == message.agent => {
                return self.agent_readmitted(turn, from, message, true);
            }
            Some(_) => Operation::UpdateAgent { info: Box::new(message.agent.clone()) },
            // It was unreachable, or it is not known any more: its record may have been pruned.
            None => Operation::MarkAgentReachable { info: Box::new(message.agent.clone()) },
        };
        self.agents.reregistering.insert(id);
        self.store(turn, operation, Pending::Readmit { pid: from.clone(), message: Box::new(message) });
    }

    /// The registry has answered about an agent that reregisters. None: it was marked gone meanwhile.
    pub(crate) fn stored_reregistration(
        &mut self,
        turn: &mut Turn<'_>,
        pid: &Pid,
        message: &wire::ReregisterAgentMessage,
    ) -> Option<AgentId> {
        let id = AgentId::from(message.agent.id.as_ref().map_or("", |id| id.value.as_str()));
        self.agents.reregistering.remove(&id);
        if self.agents.gone.contains_key(&id) {
            shut_down(turn, pid, GONE);
            return None;
        }
        if self.agents.marking_gone.contains(&id) {
            turn.info(format!("ignoring the re-registration of agent {id}: it is being marked gone"));
            return None;
        }
        Some(id)
    }

    pub(crate) fn agent_readmitted(
        &mut self,
        turn: &mut Turn<'_>,
        pid: &Pid,
        message: wire::ReregisterAgentMessage,
        accepted: bool,
    ) {
        let Some(id) = self.stored_reregistration(turn, pid, &message) else { return };
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
        agent.operations_known = !agent.capabilities.resource_provider;
        self.counters.slave_reregistrations.increment();
        // Another agent at this address is history: this one took its place.
        if let Some(other) = self.agents.by_pid.get(pid).filter(|other| **other != id).cloned() {
            self.remove_agent(turn, &other, "another agent reregistered at the same address");
        }
        let recovered = self.agents.recovered.remove(&id).is_some();
        if recovered {
            self.unschedule_removal(turn, &id);
        }
        let unreachable = self.agents.unreachable.shift_remove(&id).is_some();
        self.agents.removed.shift_remove(&id);
        agent.deactivated = self.agents.deactivated.contains(&id);
        agent.drain_info = self.agents.draining.get(&id).cloned();

        // Frameworks first: every task and executor belongs to one.
        self.recover_frameworks(turn, &id, &message.frameworks);
        let mut updates = Vec::new();
        if !recovered {
            let text =
                if unreachable { "unreachable agent reregistered" } else { "unknown agent reregistered" };
            updates = self.tasks_are_back(turn, &message.tasks, text);
        }
        // Tasks that the agent does not know any more do not come back.
        for framework in self.agents.lost_frameworks.remove(&id).unwrap_or_default() {
            if let Some(framework) = self.frameworks.get_mut(&framework) {
                framework.take_unreachable_of(&id);
            }
        }
        adopt_executors(&mut self.frameworks, &mut agent, message.executor_infos);
        let adopted = adopt_tasks(turn, &mut self.frameworks, &mut agent, message.tasks);
        self.count_adopted(turn, &adopted);
        self.adopt_completed(message.completed_frameworks);
        let pid = agent.pid.clone();
        let deactivated = agent.deactivated;
        self.add_agent(turn, agent);
        if deactivated {
            self.deactivate_agent(turn, &id);
        }
        self.tell_updates(turn, updates);
        self.send_drain(turn, &id);
        let reregistered = wire::AgentReregisteredMessage {
            agent_id: (&id).into(),
            connection: Some(self.agent_connection()),
            ..Default::default()
        };
        turn.send(&pid, &reregistered);
        self.send_frameworks(turn, &pid, &message.frameworks);
        self.check_drained(turn, &id);
        self.take_down_if_machine_is(turn, &id);
    }

    /// Frameworks that only the agent knows so far. What it says of those that are known or completed is older.
    pub(crate) fn recover_frameworks(
        &mut self,
        turn: &mut Turn<'_>,
        agent: &AgentId,
        list: &[FrameworkInfo],
    ) {
        for info in list {
            let id = FrameworkId::from(info.id.as_ref().map_or("", |id| id.value.as_str()));
            if self.frameworks.get(&id).is_none() && !self.frameworks.completed.contains_key(&id) {
                turn.info(format!("recovering framework {id} from agent {agent}"));
                self.recover_framework(turn, info.clone());
            }
        }
    }

    /// What the frameworks thought lost or over is there. Answers with what to tell them.
    pub(crate) fn tasks_are_back(
        &mut self,
        turn: &Turn<'_>,
        list: &[mesos::Task],
        text: &str,
    ) -> Vec<(FrameworkId, wire::StatusUpdate)> {
        let mut updates = Vec::new();
        // Once a framework, not once a task: many tasks come back to many that are remembered.
        let mut back: BTreeMap<FrameworkId, BTreeSet<&str>> = BTreeMap::new();
        for task in list {
            back.entry(FrameworkId::from(&task.framework_id)).or_default().insert(&task.task_id.value);
        }
        for (id, tasks) in back {
            if let Some(framework) = self.frameworks.get_mut(&id) {
                framework
                    .completed_tasks
                    .retain(|completed| !tasks.contains(completed.task_id.value.as_str()));
            }
        }
        for task in list {
            let framework_id = FrameworkId::from(&task.framework_id);
            let Some(framework) = self.frameworks.get_mut(&framework_id) else { continue };
            framework.unreachable_tasks.shift_remove(task.task_id.value.as_str());
            if framework.connected() {
                let reason = task_status::Reason::AgentReregistered;
                let update = tasks::update_of_task(turn.now, task, task.state(), reason, text);
                updates.push((framework_id, update));
            }
        }
        updates
    }

    pub(crate) fn tell_updates(&self, turn: &mut Turn<'_>, updates: Vec<(FrameworkId, wire::StatusUpdate)>) {
        for (framework, update) in updates {
            self.tell(turn, &framework, Notice::Update { update, acknowledgee: None });
        }
    }

    pub(crate) fn count_adopted(&mut self, turn: &mut Turn<'_>, adopted: &[Arc<Memo<mesos::Task>>]) {
        for task in adopted {
            self.count_task(task.state());
            if is_terminal_task(task.state())
                && let Some(framework) = self.frameworks.get_mut(&FrameworkId::from(&task.framework_id))
            {
                framework.counting.counts.ended_tasks.add(task.state(), 1);
            }
            self.publish_task_added(turn, task);
        }
    }

    fn adopt_completed(&mut self, completed: Vec<wire::archive::Framework>) {
        let most = self.config.max_completed_tasks_per_framework;
        for archived in completed {
            let id = archived.framework_info.id.as_ref().map(FrameworkId::from);
            let Some(framework) = id.and_then(|id| self.frameworks.get_mut(&id)) else { continue };
            for task in archived.tasks {
                framework.remember_completed(Arc::new(Memo::new(task)), most);
            }
        }
    }

    /// The agent learns where its frameworks are, and which of them are over.
    pub(crate) fn send_frameworks(&mut self, turn: &mut Turn<'_>, pid: &Pid, frameworks: &[FrameworkInfo]) {
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
}

pub(crate) fn update_framework_message(framework: &crate::state::Framework) -> wire::UpdateFrameworkMessage {
    wire::UpdateFrameworkMessage {
        framework_id: framework.id().into(),
        pid: Some(framework.record.pid.as_ref().map_or_else(|| NO_PID.to_string(), |pid| pid.to_string())),
        framework_info: Some(framework.info().clone()),
    }
}

pub(crate) fn shut_down(turn: &mut Turn<'_>, pid: &Pid, reason: &str) {
    turn.send(pid, &wire::ShutdownMessage { message: Some(reason.to_string()) });
}

/// Brings resources into the one form that the master works with, and fills in allocation roles that agents without
/// MULTI_ROLE leave out.
fn upgrade(message: &mut wire::ReregisterAgentMessage) -> Result<(), String> {
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
            if resource.allocation_info.is_none() {
                let role = roles.get(framework).ok_or_else(|| {
                    format!("resources that framework {framework} uses have no 'allocation_info'")
                })?;
                resource.allocation_info = Some(mesos::resource::AllocationInfo { role: Some(role.clone()) });
            }
        }
        Ok::<(), String>(())
    };
    message.agent.resources.iter_mut().for_each(resource_to_post_refinement);
    message.checkpointed_resources.iter_mut().for_each(resource_to_post_refinement);
    for task in &mut message.tasks {
        fill(&task.framework_id.value, &mut task.resources)?;
    }
    for executor in &mut message.executor_infos {
        let framework = executor.framework_id.as_ref().map_or("", |id| id.value.as_str());
        fill(framework, &mut executor.resources)?;
    }
    Ok(())
}
