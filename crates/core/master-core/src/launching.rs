//! LAUNCH and LAUNCH_GROUP: tasks are checked, counted and sent to their agent.

use std::sync::Arc;

use messor_proto::mesos::internal::{ResourceVersionUuid, RunTaskGroupMessage, RunTaskMessage};
use messor_proto::mesos::offer::operation::{LaunchGroup, Type};
use messor_proto::mesos::{ExecutorInfo, Resource, TaskInfo, TaskState, task_status::Reason};
use messor_types::{AgentId, ExecutorId, FrameworkId, ResourceFormat, Resources, TaskId};
use messor_validation::{Site, TaskIdUse, validate_task, validate_task_group};

use crate::accepting::Budget;
use crate::master::Master;
use crate::notice::NO_PID;
use crate::state::{Agent, ExecutorEntry, Framework};
use crate::tasks::{TaskEntry, staged};
use crate::turn::Turn;

impl Master {
    /// One task of a LAUNCH.
    pub(crate) fn launch(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        agent_id: &AgentId,
        mut task: TaskInfo,
        budget: &mut Budget,
    ) {
        let available = budget.available();
        let Some(checked) = self.with_site(id, agent_id, |site| validate_task(&task, site, &available))
        else {
            return;
        };
        let (resources, of_executor) = match checked {
            Ok(resources) => resources,
            Err(error) => {
                let (state, reason) = (TaskState::TaskError, Reason::TaskInvalid);
                return self.refuse_tasks(turn, id, [&task], state, reason, &error.to_string());
            }
        };
        let mut consumed = resources.clone();
        // Command tasks get their executor from the agent; only executors of the framework are counted here.
        let mut launch_executor = true;
        if let Some(executor) = &task.executor {
            launch_executor = of_executor.is_some();
            if let Some(of_executor) = of_executor {
                consumed += &of_executor;
                self.add_executor(id, agent_id, executor.clone(), of_executor);
            }
        }
        turn.info(format!(
            "launching task {} of framework {id} on agent {agent_id} with {resources}",
            task.task_id.value
        ));
        self.add_task(turn, id, agent_id, &task, resources);
        budget.launch(&consumed);

        let (Some(framework), Some(agent)) = (self.frameworks.get(id), self.agents.get(agent_id)) else {
            return;
        };
        downgrade_task(agent, &mut task);
        let message = RunTaskMessage {
            framework: framework.info().clone(),
            task,
            resource_version_uuids: resource_versions(agent),
            pid: Some(pid_of(framework)),
            launch_executor: Some(launch_executor),
            ..Default::default()
        };
        turn.send(&agent.pid, &message);
        self.count_operation(id, Type::Launch);
    }

    /// A task group runs as a whole or not at all.
    pub(crate) fn launch_group(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        agent_id: &AgentId,
        launch: LaunchGroup,
        budget: &mut Budget,
    ) {
        let LaunchGroup { mut executor, mut task_group } = launch;
        let check = |site: &Site<'_>| validate_task_group(&task_group, &executor, site, &budget.remaining);
        let Some(checked) = self.with_site(id, agent_id, check) else { return };
        let (of_tasks, of_executor) = match checked {
            Ok(resources) => resources,
            Err(error) => {
                turn.warning(format!("framework {id} launches a task group that is invalid: {error}"));
                let (state, reason) = (TaskState::TaskError, Reason::TaskGroupInvalid);
                return self.refuse_tasks(turn, id, &task_group.tasks, state, reason, &error.to_string());
            }
        };
        let launch_executor = of_executor.is_some();
        let mut consumed: Resources = of_tasks.iter().sum();
        if let Some(of_executor) = of_executor {
            consumed += &of_executor;
            self.add_executor(id, agent_id, executor.clone(), of_executor);
        }
        turn.info(format!(
            "launching a group of {} tasks of framework {id} on agent {agent_id}",
            of_tasks.len()
        ));
        for (task, resources) in task_group.tasks.iter().zip(of_tasks) {
            self.add_task(turn, id, agent_id, task, resources);
        }
        budget.launch(&consumed);

        let (Some(framework), Some(agent)) = (self.frameworks.get(id), self.agents.get(agent_id)) else {
            return;
        };
        task_group.tasks.iter_mut().for_each(|task| downgrade_task(agent, task));
        downgrade(agent, &mut executor.resources);
        let message = RunTaskGroupMessage {
            framework: framework.info().clone(),
            executor,
            task_group,
            resource_version_uuids: resource_versions(agent),
            launch_executor: Some(launch_executor),
        };
        turn.send(&agent.pid, &message);
        self.count_operation(id, Type::LaunchGroup);
    }

    /// What validation has to know of the framework and the agent.
    fn with_site<R>(
        &self,
        id: &FrameworkId,
        agent_id: &AgentId,
        check: impl FnOnce(&Site<'_>) -> R,
    ) -> Option<R> {
        let framework = self.frameworks.get(id)?;
        let agent = self.agents.get(agent_id)?;
        let task = |task: &TaskId| {
            if framework.tasks.contains_key(task) {
                TaskIdUse::Taken
            } else if framework.unreachable_tasks.contains_key(task) {
                TaskIdUse::Unreachable
            } else {
                TaskIdUse::Free
            }
        };
        let executor = |executor: &ExecutorId| agent.executor(id, executor).map(|entry| &*entry.info);
        let shares_cgroups = |executor: &ExecutorId| shares_cgroups(framework, agent, executor);
        Some(check(&Site {
            framework: id,
            agent: agent_id,
            agent_capabilities: agent.capabilities,
            task: &task,
            executor: &executor,
            shares_cgroups: &shares_cgroups,
        }))
    }

    fn add_executor(
        &mut self,
        id: &FrameworkId,
        agent_id: &AgentId,
        info: ExecutorInfo,
        resources: Resources,
    ) {
        let executor = ExecutorId::from(&info.executor_id);
        let info = Arc::new(info);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.executors.insert((agent_id.clone(), executor.clone()), info.clone());
            framework.use_resources(agent_id, &resources);
        }
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.use_resources(id, &resources);
            let entry = ExecutorEntry { info, resources };
            agent.executors.entry(id.clone()).or_default().insert(executor, entry);
        }
    }

    fn add_task(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        agent_id: &AgentId,
        info: &TaskInfo,
        resources: Resources,
    ) {
        let task_id = TaskId::from(&info.task_id);
        let resources = match self.frameworks.get_mut(id) {
            Some(framework) => framework.usual.share(&info.resources, resources),
            None => resources,
        };
        let entry = TaskEntry::new(staged(info, id), resources);
        let task = Arc::clone(&entry.task);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.use_resources(id, &entry.resources);
            agent.tasks.entry(id.clone()).or_default().insert(task_id.clone());
        }
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.use_resources(agent_id, &entry.resources);
            framework.tasks.insert(task_id, entry);
        }
        self.count_task(TaskState::TaskStaging);
        self.publish_task_added(turn, &task);
    }
}

/// `share_cgroups` of the tasks that an executor has, reachable or not.
fn shares_cgroups(framework: &Framework, agent: &Agent, executor: &ExecutorId) -> Vec<bool> {
    let here = agent.tasks.get(framework.id()).into_iter().flatten();
    let here = here.filter_map(|id| framework.tasks.get(id)).map(|entry| &entry.task);
    let away = framework.unreachable_tasks.values().filter(|task| task.agent_id.value == agent.id.as_str());
    here.chain(away)
        .filter(|task| task.executor_id.as_ref().is_some_and(|id| id.value == executor.as_str()))
        .map(|task| {
            let linux = task.container.as_ref().and_then(|container| container.linux_info.as_ref());
            linux.and_then(|linux| linux.share_cgroups).unwrap_or(true)
        })
        .collect()
}

fn pid_of(framework: &Framework) -> String {
    framework.record.pid.as_ref().map_or_else(|| NO_PID.to_string(), |pid| pid.to_string())
}

fn resource_versions(agent: &Agent) -> Vec<ResourceVersionUuid> {
    let own = agent.resource_version.iter().map(|uuid| (None, uuid));
    let of_providers = agent.providers.iter().map(|(id, provider)| (Some(id.into()), &provider.version));
    own.chain(of_providers)
        .map(|(resource_provider_id, uuid)| ResourceVersionUuid { resource_provider_id, uuid: uuid.clone() })
        .collect()
}

fn downgrade_task(agent: &Agent, task: &mut TaskInfo) {
    downgrade(agent, &mut task.resources);
    if let Some(executor) = &mut task.executor {
        downgrade(agent, &mut executor.resources);
    }
}

/// Agents without RESERVATION_REFINEMENT know the older form alone (U044).
fn downgrade(agent: &Agent, list: &mut [Resource]) {
    if agent.capabilities.reservation_refinement {
        return;
    }
    for resource in list {
        if let Ok(read) = messor_types::Resource::from_proto(resource) {
            *resource = read.to_proto(ResourceFormat::PreRefinement);
        }
    }
}
