//! RunTaskMessage and RunTaskGroupMessage: from what the master sent to a task that waits for its executor, or to a refusal.

use std::sync::Arc;

use messor_proto::mesos::internal::{
    ResourceVersionUuid, RunTaskGroupMessage, RunTaskMessage, UpdateFrameworkMessage,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{
    ContainerInfo, ExecutorInfo, FrameworkInfo, Resource, TaskInfo, TaskState, container_info, executor_info,
    resource,
};
use messor_types::{
    ExecutorId, FrameworkCapabilities, FrameworkId, Pid, Resources, TaskId, resource_to_post_refinement,
};
use messor_validation::validate_id;

use crate::agent::{Agent, State, Ticket};
use crate::effect::Effect;
use crate::executor::Executor;
use crate::framework::{Framework, parse_pid};
use crate::paths;
use crate::record::Record;
use crate::tasks::{AgentUpdate, task_from_info, unless_lost};
use crate::turn::Turn;
use crate::view::ExecutorState;

/// Why a task is not run.
struct Refusal {
    reason: Reason,
    message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Refusal {
        Refusal { reason, message: message.into() }
    }
}

/// What the master wants run: one task, or the tasks of a group, all of them or none.
struct Order {
    framework: FrameworkInfo,
    pid: Option<Pid>,
    tasks: Vec<TaskInfo>,
    is_group: bool,
    versions: Vec<ResourceVersionUuid>,
    launch_executor: Option<bool>,
}

/// Shared volumes are for many, and what is promised twice is the master's to take back.
fn contains_own(total: &Resources, taken: &[Resource]) -> bool {
    let own = |resources: &Resources| resources.non_revocable().non_shared();
    let taken = Resources::from_proto(taken).unwrap_or_default().unallocated();
    own(total).contains(&own(&taken))
}

impl Agent {
    pub(crate) fn run_task(&mut self, turn: &mut Turn<'_>, from: &Pid, message: RunTaskMessage) {
        let order = Order {
            pid: parse_pid(message.pid.as_deref()),
            framework: message.framework,
            tasks: vec![message.task],
            is_group: false,
            versions: message.resource_version_uuids,
            launch_executor: message.launch_executor,
        };
        self.run(turn, from, order);
    }

    pub(crate) fn run_task_group(&mut self, turn: &mut Turn<'_>, from: &Pid, message: RunTaskGroupMessage) {
        let mut tasks = message.task_group.tasks;
        if tasks.is_empty() {
            turn.error("Ignoring a task group without tasks".to_string());
            return;
        }
        // Masters put the executor of the group into each task; what is here relies on it.
        for task in &mut tasks {
            task.executor = Some(message.executor.clone());
        }
        let order = Order {
            framework: message.framework,
            pid: None,
            tasks,
            is_group: true,
            versions: message.resource_version_uuids,
            launch_executor: message.launch_executor,
        };
        self.run(turn, from, order);
    }

    fn run(&mut self, turn: &mut Turn<'_>, from: &Pid, order: Order) {
        let Order { framework, pid, mut tasks, is_group, versions, launch_executor } = order;
        let Some(framework) = self.assigned(turn, from, framework, pid, &tasks) else {
            return;
        };
        let what = describe(&tasks, is_group);
        turn.info(format!("Got assigned {what} for framework {framework}"));
        let Some(info) = self.frameworks.get(&framework).map(|framework| framework.info.clone()) else {
            return;
        };
        let of_executor = executor_of(&tasks[0]);

        // An update would be taken for one of the task that lives: its refusal would end it.
        let found = self.frameworks.get(&framework);
        let lives =
            |task: &TaskInfo| found.is_some_and(|found| found.has_live_task(&TaskId::from(&task.task_id)));
        let (live, others): (Vec<&TaskInfo>, Vec<&TaskInfo>) = tasks.iter().partition(|task| lives(task));
        if !live.is_empty() {
            let others: Vec<TaskId> = others.iter().map(|task| TaskId::from(&task.task_id)).collect();
            turn.error(format!("Ignoring {what} of framework {framework}: one of this ID runs here"));
            let refusal =
                Refusal::new(Reason::TaskInvalid, "A task of the group has the ID of one that runs");
            self.refuse_tasks(turn, &framework, &of_executor, &others, refusal, None);
            return;
        }
        let ids: Vec<TaskId> = tasks.iter().map(|task| TaskId::from(&task.task_id)).collect();
        let command_task = !is_group && tasks[0].executor.is_none();
        if let Err(refusal) = tasks.iter_mut().try_for_each(|task| prepare(task, &info, is_group)) {
            self.refuse_tasks(turn, &framework, &of_executor, &ids, refusal, launch_executor);
            return;
        }
        let executor_info = self.executor_info(&info, &tasks[0]);
        let executor = ExecutorId::from(&executor_info.executor_id);
        let mut versions = versions.iter().filter(|version| version.resource_provider_id.is_none());
        let outdated = versions.any(|version| version.uuid.value != self.resource_version);
        if let Err(refusal) = self.check(&framework, &executor_info, &tasks, is_group, outdated) {
            self.refuse_tasks(turn, &framework, &executor, &ids, refusal, launch_executor);
            return;
        }
        if !self.executor_is_as_expected(turn, &framework, &executor, &ids, command_task, launch_executor) {
            return;
        }
        turn.info(format!("Launching {what} for framework {framework}"));
        if self.executor(&framework, &executor).is_none() {
            self.add_executor(turn, &framework, executor_info, &tasks, command_task);
        }
        self.give(turn, &framework, &executor, tasks, is_group);
        self.launch_unless_waiting(turn, &framework, &executor);
    }

    /// The checks that come before anything is kept: who sends it, and for whom. Gives the framework, which is there.
    fn assigned(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        info: FrameworkInfo,
        pid: Option<Pid>,
        tasks: &[TaskInfo],
    ) -> Option<FrameworkId> {
        if !self.is_from_master(turn, from, "a task to run") {
            return None;
        }
        let first = tasks.first()?;
        let Some(id) = info.id.as_ref().map(FrameworkId::from) else {
            let task_id = first.task_id.value.escape_debug();
            turn.error(format!("Ignoring task '{task_id}' of a framework without an ID"));
            return None;
        };
        for task in tasks {
            let task_id = &task.task_id.value;
            for (what, id) in [("framework", id.as_str()), ("task", task_id)] {
                if let Err(error) = validate_id(id) {
                    turn.error(format!(
                        "Ignoring task '{}': its {what} ID is wrong: {error}",
                        task_id.escape_debug()
                    ));
                    return None;
                }
            }
            if self.id.as_ref().is_none_or(|own| own.as_str() != task.agent_id.value) {
                turn.warning(format!(
                    "Ignoring task '{task_id}': it is for the agent {}",
                    task.agent_id.value
                ));
                return None;
            }
        }
        let task_id = &first.task_id.value;
        if self.state == State::Terminating {
            turn.warning(format!("Ignoring task '{task_id}': the agent is terminating"));
            return None;
        }
        self.add_framework(turn, &id, info, pid);
        if self.frameworks.get(&id).is_some_and(|framework| framework.terminating) {
            turn.warning(format!("Ignoring task '{task_id}': framework {id} is terminating"));
            self.send_exited_executor(turn, &id, &executor_of(first), None);
            return None;
        }
        Some(id)
    }

    fn add_framework(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        info: FrameworkInfo,
        pid: Option<Pid>,
    ) {
        if self.frameworks.contains_key(id) {
            return;
        }
        let path = paths::framework(&self.own_id(), id);
        let mut framework = Framework::new(id.clone(), info, pid);
        let checkpoint = framework.checkpoint();
        if let Some(completed) = self.completed_frameworks.shift_remove(id) {
            framework.completed.extend(completed.completed_executors);
        }
        self.frameworks.insert(id.clone(), framework);
        if checkpoint {
            turn.effect(Effect::UnscheduleGc { path: paths::meta(&path) });
            self.persist_framework(turn, id);
        }
        turn.effect(Effect::UnscheduleGc { path });
    }

    pub(crate) fn persist_framework(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.get(id) {
            let record = Record::Framework {
                id: id.clone(),
                info: Box::new(framework.info.as_ref().clone()),
                pid: framework.pid.clone(),
            };
            self.persist(turn, record, Ticket::Nothing);
        }
    }

    /// What speaks against tasks, apart from the state of their executor.
    fn check(
        &self,
        framework: &FrameworkId,
        executor: &ExecutorInfo,
        tasks: &[TaskInfo],
        is_group: bool,
        outdated: bool,
    ) -> Result<(), Refusal> {
        if let Err(error) = validate_id(&executor.executor_id.value) {
            return Err(Refusal::new(Reason::TaskInvalid, format!("The executor's ID is wrong: {error}")));
        }
        self.check_drain()?;
        tasks.iter().try_for_each(|task| self.check_limits(task))?;
        if outdated {
            return Err(Refusal::new(Reason::InvalidOffers, "Task assumes outdated resource state"));
        }
        let whose_task = if is_group { "task group" } else { "task" };
        let of_tasks = tasks.iter().map(|task| (whose_task, &task.resources));
        for (whose, resources) in of_tasks.chain([("executor", &executor.resources)]) {
            if !self.has_checkpointed(resources) {
                let message =
                    format!("The checkpointed resources being used by the {whose} are unknown to the agent");
                return Err(Refusal::new(Reason::ResourcesUnknown, message));
            }
            if let Err(error) = Resources::from_proto(resources) {
                return Err(Refusal::new(
                    Reason::TaskInvalid,
                    format!("The {whose}'s resources are wrong: {error}"),
                ));
            }
        }
        if !self.has_room(framework, executor, tasks) {
            let message = "The agent has not so many resources that nothing else runs on";
            return Err(Refusal::new(Reason::ResourcesUnknown, message));
        }
        for (number, task) in tasks.iter().enumerate() {
            let id = TaskId::from(&task.task_id);
            if self.frameworks.get(framework).is_some_and(|found| found.has_task(&id)) {
                return Err(Refusal::new(Reason::TaskInvalid, "The agent has a task of this ID already"));
            }
            if tasks[..number].iter().any(|other| other.task_id == task.task_id) {
                return Err(Refusal::new(Reason::TaskGroupInvalid, format!("Task '{id}' is there twice")));
            }
        }
        if !is_group && executor.r#type() == executor_info::Type::Default {
            let message = "An executor of type DEFAULT takes task groups alone: use LAUNCH_GROUP";
            return Err(Refusal::new(Reason::TaskInvalid, message));
        }
        Ok(())
    }

    /// Whether the reservations and volumes among these are on this agent. What cannot be read is refused elsewhere.
    fn has_checkpointed(&self, resources: &[Resource]) -> bool {
        let checkpointed = self.operations.checkpointed();
        let used = Resources::from_proto(resources).unwrap_or_default().unallocated();
        used.iter()
            .filter(|resource| resource.needs_checkpoint())
            .all(|resource| checkpointed.contains_resource(resource))
    }

    /// Masters count; but when one takes a registration that an operation crosses, it may offer once more what the
    /// operation changed.
    fn has_room(&self, framework: &FrameworkId, executor: &ExecutorInfo, tasks: &[TaskInfo]) -> bool {
        let mut taken = self.taken(|_, executor| executor.state != ExecutorState::Terminated);
        taken.extend(tasks.iter().flat_map(|task| &task.resources).cloned());
        let id = ExecutorId::from(&executor.executor_id);
        let known = self.frameworks.get(framework).is_some_and(|found| found.executors.contains_key(&id));
        if !known && tasks.iter().any(|task| task.executor.is_some()) {
            taken.extend(executor.resources.iter().cloned());
        }
        contains_own(&self.operations.total, &taken)
    }

    /// What tasks and executors have.
    fn taken(&self, counts: impl Fn(&Framework, &Executor) -> bool) -> Vec<Resource> {
        let mut taken = Vec::new();
        for framework in self.frameworks.values() {
            for executor in framework.executors.values().filter(|executor| counts(framework, executor)) {
                taken.extend(executor.tasks_resources().cloned());
                // What the agent adds for executors of its own nobody counts.
                if !executor.command_executor {
                    taken.extend(executor.info.resources.iter().cloned());
                }
            }
        }
        taken
    }

    /// Whether an operation that leaves `total` takes from under tasks that are to run on what they have. What they lack
    /// anyhow does not count.
    pub(crate) fn takes_from_tasks(&self, total: &Resources) -> bool {
        let taken = self.taken(|framework, executor| {
            !framework.terminating
                && matches!(executor.state, ExecutorState::Registering | ExecutorState::Running)
        });
        contains_own(&self.operations.total, &taken) && !contains_own(total, &taken)
    }

    fn check_drain(&self) -> Result<(), Refusal> {
        match self.drain {
            Some(_) => {
                Err(Refusal::new(Reason::AgentDraining, "The agent is being drained: it takes no new tasks"))
            }
            None => Ok(()),
        }
    }

    /// Limits that nothing here would enforce are refused.
    fn check_limits(&self, task: &TaskInfo) -> Result<(), Refusal> {
        let docker = |container: &ContainerInfo| container.r#type() == container_info::Type::Docker;
        if task.container.as_deref().is_some_and(docker) {
            return Ok(());
        }
        for (name, what, isolator) in [("cpus", "CPU", "cgroups/cpu"), ("mem", "Memory", "cgroups/mem")] {
            let isolated =
                self.config.isolation.contains(isolator) || self.config.isolation.contains("cgroups/all");
            if task.limits.contains_key(name) && !isolated {
                let message =
                    format!("{what} limits need the isolator '{isolator}', which this agent does not have");
                // The reason that 1.11.0 gives.
                return Err(Refusal::new(Reason::GcError, message));
            }
        }
        Ok(())
    }

    /// Whether the master's idea of the executor agrees with what is here. If not, the task is refused, and the master
    /// hears what it needs to correct itself.
    fn executor_is_as_expected(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        executor: &ExecutorId,
        tasks: &[TaskId],
        command_task: bool,
        launch: Option<bool>,
    ) -> bool {
        let state = self.executor(framework, executor).map(|executor| executor.state);
        let refusal = match (state, launch) {
            (Some(_), Some(_)) if command_task => Refusal::new(
                Reason::TaskInvalid,
                "Cannot reuse an already existing executor for a command task",
            ),
            (Some(state), Some(true)) => {
                // An executor that the master does not know of must not linger.
                if state == ExecutorState::Terminated {
                    self.send_exited_executor(turn, framework, executor, None);
                } else {
                    self.shut_down_executor(turn, framework, executor);
                }
                Refusal::new(
                    Reason::ExecutorTerminated,
                    "Master wants to launch executor, but one already exists",
                )
            }
            (None, Some(false)) => Refusal::new(
                Reason::ExecutorTerminated,
                "No executor is expected to launch and there is none running",
            ),
            (Some(ExecutorState::Terminating), _) => {
                Refusal::new(Reason::ExecutorTerminated, "Executor terminating")
            }
            (Some(ExecutorState::Terminated), _) => {
                Refusal::new(Reason::ExecutorTerminated, "Executor terminated")
            }
            _ => return true,
        };
        self.refuse_tasks(turn, framework, executor, tasks, refusal, None);
        false
    }

    /// The tasks were never launched: TASK_DROPPED, or TASK_LOST for frameworks that do not know that.
    fn refuse_tasks(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        executor: &ExecutorId,
        tasks: &[TaskId],
        refusal: Refusal,
        launch_executor: Option<bool>,
    ) {
        let Some(info) = self.frameworks.get(framework).map(|framework| framework.info.clone()) else {
            return;
        };
        for task in tasks {
            turn.warning(format!("Not running task '{task}' of framework {framework}: {}", refusal.message));
            let update = AgentUpdate {
                framework,
                executor: Some(executor),
                task,
                state: unless_lost(&info, TaskState::TaskDropped),
                reason: refusal.reason,
                message: refusal.message.clone(),
            };
            let update = update.build(&self.own_id(), turn.now, self.random.uuid());
            // Straight into a stream: a task of this ID that is here already has nothing to do with it.
            self.counters.valid_status_updates.increment();
            self.stream_update(turn, update, false, None);
        }
        if launch_executor == Some(true) {
            // The master counts on an executor that is not going to be.
            self.send_exited_executor(turn, framework, executor, None);
        }
        self.remove_framework_if_idle(turn, framework);
    }

    /// Queues tasks for their executor.
    fn give(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        executor: &ExecutorId,
        tasks: Vec<TaskInfo>,
        is_group: bool,
    ) {
        let what = describe(&tasks, is_group);
        let Some(found) = self.executor_mut(framework, executor) else {
            return;
        };
        let (checkpoint, container) = (found.checkpoint, found.container.clone());
        let running = found.state == ExecutorState::Running;
        let tasks: Vec<Arc<TaskInfo>> = tasks.into_iter().map(Arc::new).collect();
        found.queue(&tasks, is_group, !checkpoint);
        turn.info(format!("Queued {what} for executor '{executor}' of framework {framework}"));
        for info in tasks.iter().filter(|_| checkpoint) {
            let task = task_from_info(info, TaskState::TaskStaging, framework);
            let record = Record::Task {
                framework: framework.clone(),
                executor: executor.clone(),
                container: container.clone(),
                task: Box::new(task),
            };
            let id = TaskId::from(&info.task_id);
            let then = Ticket::Task(framework.clone(), executor.clone(), container.clone(), id);
            self.persist(turn, record, then);
        }
        if running {
            self.update_container(turn, framework, executor);
            self.send_queued(turn, framework, executor);
        }
    }

    pub(crate) fn update_framework(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: UpdateFrameworkMessage,
    ) {
        if !self.is_from_master(turn, from, "an update of a framework") {
            return;
        }
        let id = FrameworkId::from(&message.framework_id);
        if self.state != State::Running {
            turn.warning(format!("Dropping the update of framework {id}: not registered with the master"));
            self.counters.invalid_framework_messages.increment();
            return;
        }
        let Some(framework) = self.frameworks.get_mut(&id) else {
            turn.info(format!("Ignoring the update of framework {id}, which has nothing here"));
            return;
        };
        if framework.terminating {
            turn.warning(format!("Ignoring the update of framework {id}, which is terminating"));
            return;
        }
        turn.info(format!("Updating info for framework {id}"));
        if let Some(info) = message.framework_info {
            framework.info = Arc::new(info);
        }
        framework.pid = parse_pid(message.pid.as_deref());
        if framework.checkpoint() {
            self.persist_framework(turn, &id);
        }
        // The scheduler may be a new one: whatever it did not acknowledge comes again at once.
        let mut actions = Vec::new();
        self.updates.resume(turn.now, &mut actions);
        self.perform(turn, actions);
    }
}

/// Tasks as the log names them.
fn describe(tasks: &[TaskInfo], is_group: bool) -> String {
    let names: Vec<&str> = tasks.iter().map(|task| task.task_id.value.as_str()).collect();
    if is_group {
        format!("task group of tasks [{}]", names.join(", "))
    } else {
        format!("task '{}'", names.join(", "))
    }
}

/// Who would run the task.
fn executor_of(task: &TaskInfo) -> ExecutorId {
    match &task.executor {
        Some(executor) => ExecutorId::from(&executor.executor_id),
        None => ExecutorId::from(task.task_id.value.as_str()),
    }
}

/// Brings resources into their present form, all allocated to a role; and refuses what no agent can run.
fn prepare(task: &mut TaskInfo, framework: &FrameworkInfo, is_group: bool) -> Result<(), Refusal> {
    if !is_group && task.executor.is_some() == task.command.is_some() {
        let message = "Task should have either 'command' or 'executor' set but not both";
        return Err(Refusal::new(Reason::TaskInvalid, message));
    }
    let role = only_role(framework);
    let executor = task.executor.as_mut().map(|executor| &mut executor.resources);
    for resources in [Some(&mut task.resources), executor].into_iter().flatten() {
        for resource in resources.iter_mut() {
            resource_to_post_refinement(resource);
            if resource.allocation_info.is_none() {
                let Some(role) = &role else {
                    let message = format!("Resource '{}' needs 'allocation_info.role'", resource.name);
                    return Err(Refusal::new(Reason::TaskInvalid, message));
                };
                resource.allocation_info = Some(resource::AllocationInfo { role: Some(role.clone()) });
            }
        }
        let role_of =
            |resource: &Resource| resource.allocation_info.as_ref().and_then(|info| info.role.clone());
        if resources.iter().any(|resource| role_of(resource) != resources.first().and_then(role_of)) {
            let message = "All resources of a task must be allocated to the same role";
            return Err(Refusal::new(Reason::TaskInvalid, message));
        }
    }
    Ok(())
}

/// The framework's role, if it has just one.
#[allow(deprecated)] // Frameworks without MULTI_ROLE say their role in the old field.
pub(crate) fn only_role(framework: &FrameworkInfo) -> Option<String> {
    if !FrameworkCapabilities::from_proto(&framework.capabilities).multi_role {
        return Some(framework.role().to_string());
    }
    match framework.roles.as_slice() {
        [role] => Some(role.clone()),
        _ => None,
    }
}
