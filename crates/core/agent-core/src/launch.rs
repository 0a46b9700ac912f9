//! Executors come into being: their container, their sandbox, and the tasks that wait for them.

use std::sync::Arc;

use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{CommandInfo, ExecutorInfo, TaskInfo, TaskState, executor_info, fetcher};
use messor_types::{ContainerId, ExecutorId, FrameworkId, TaskId};

use crate::agent::{Agent, Ticket};
use crate::effect::{ContainerCommand, Effect, Launch};
use crate::environment::executor_environment;
use crate::event::Timer;
use crate::executor::{End, Executor};
use crate::limits::{Part, executor_limits};
use crate::paths;
use crate::record::Record;
use crate::turn::Turn;
use crate::view::ExecutorState;

impl Agent {
    /// Makes an executor of a framework that is there, and has it launched as soon as its record is durable.
    pub(crate) fn add_executor(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        info: ExecutorInfo,
        tasks: &[TaskInfo],
        command_executor: bool,
    ) {
        let agent = self.own_id();
        let id = ExecutorId::from(&info.executor_id);
        let container = ContainerId::new(&self.random.uuid_text());
        let directory = paths::run(&agent, framework, &id, &container);
        let Some(found) = self.frameworks.get(framework) else {
            return;
        };
        let checkpoint = found.checkpoint();
        let command_user = info.command.as_ref().and_then(|command| command.user.clone());
        let user = self.config.switch_user.then(|| command_user.unwrap_or_else(|| found.info.user.clone()));
        let launch =
            self.launch(framework, &info, tasks, command_executor, &container, &directory, user, checkpoint);

        turn.info(format!(
            "Launching executor '{id}' of framework {framework} in work directory '{directory}'"
        ));
        let path = paths::executor(&agent, framework, &id);
        if checkpoint {
            turn.effect(Effect::UnscheduleGc { path: paths::meta(&path) });
        }
        turn.effect(Effect::UnscheduleGc { path });
        let info = Arc::new(info);
        let mut executor =
            Executor::new(info.clone(), container.clone(), directory, checkpoint, command_executor);
        executor.waiting_launch = Some(Box::new(launch));
        self.containers.insert(container.clone(), (framework.clone(), id.clone()));
        if let Some(found) = self.frameworks.get_mut(framework) {
            found.executors.insert(id.clone(), executor);
        }
        if checkpoint {
            let record = Record::Executor {
                framework: framework.clone(),
                executor: id.clone(),
                info: Box::new(info.as_ref().clone()),
                container: container.clone(),
                command_executor,
            };
            self.persist(turn, record, Ticket::Launch(framework.clone(), id, container));
        }
    }

    fn launch(
        &self,
        framework: &FrameworkId,
        info: &ExecutorInfo,
        tasks: &[TaskInfo],
        command_executor: bool,
        container: &ContainerId,
        directory: &str,
        user: Option<String>,
        checkpoint: bool,
    ) -> Launch {
        let agent = self.own_id();
        let absolute = format!("{}/{directory}", self.config.work_dir);
        let environment = executor_environment(&self.config, &agent, info, &absolute, checkpoint);
        let mut executor = info.clone();
        // The checkpoint is without it: another agent may have its programs elsewhere.
        if executor.r#type() == executor_info::Type::Default {
            executor.command = Some(self.default_executor_command(user.clone()));
        }
        // The first tasks' resources count from the start: those of the executor alone may be next to nothing.
        executor.resources.extend(tasks.iter().flat_map(|task| task.resources.iter().cloned()));
        if executor.container.is_none() {
            executor.container = self.config.default_container_info.clone().map(Box::new);
        }
        let command = executor.command.clone().unwrap_or_default();
        let parts: Vec<Part<'_>> =
            tasks.iter().map(|task| Part { resources: &task.resources, limits: &task.limits }).collect();
        Launch {
            container: container.clone(),
            framework: framework.clone(),
            executor_id: ExecutorId::from(&info.executor_id),
            task: tasks.first().filter(|_| command_executor).cloned(),
            uris: self.uris(&command, &absolute, user.as_ref()),
            command,
            container_info: executor.container.as_deref().cloned(),
            resources: executor.resources.clone(),
            limits: executor_limits(&info.resources, &parts, self.config.cgroups_enable_cfs),
            executor,
            directory: directory.to_string(),
            user,
            environment,
            checkpoint,
        }
    }

    fn uris(
        &self,
        command: &CommandInfo,
        directory: &str,
        user: Option<&String>,
    ) -> Vec<fetcher::FetcherInfo> {
        if command.uris.is_empty() {
            return Vec::new();
        }
        let item = |uri: &messor_proto::mesos::command_info::Uri| fetcher::fetcher_info::Item {
            uri: uri.clone(),
            action: fetcher::fetcher_info::item::Action::BypassCache.into(),
            cache_filename: None,
        };
        let stall = i64::try_from(self.config.fetcher_stall_timeout.as_nanos()).unwrap_or(i64::MAX);
        vec![fetcher::FetcherInfo {
            sandbox_directory: directory.to_string(),
            cache_directory: None,
            items: command.uris.iter().map(item).collect(),
            user: user.cloned(),
            frameworks_home: self.config.frameworks_home.clone(),
            stall_timeout: Some(messor_proto::mesos::DurationInfo { nanoseconds: stall }),
        }]
    }

    /// The first task of a new executor is queued: nothing is in the way of its launch but its record.
    pub(crate) fn launch_unless_waiting(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
    ) {
        if let Some(executor) = self.executor(framework, id)
            && executor.state == ExecutorState::Registering
            && !executor.checkpoint
            && (executor.waiting_launch.is_some() || executor.end.is_some())
        {
            let container = executor.container.clone();
            self.launch_is_durable(turn, framework, id, &container);
        }
    }

    pub(crate) fn launch_is_durable(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
    ) {
        let Some(executor) = self.run_mut(framework, id, container) else {
            return;
        };
        let launch = executor.waiting_launch.take();
        let text = match (executor.state, &executor.end) {
            (ExecutorState::Registering, None) => None,
            (_, Some(_)) => Some(None),
            (ExecutorState::Terminating, None) => Some(Some("Executor terminating")),
            (_, None) => Some(Some("Executor terminated")),
        };
        match (launch, text) {
            (Some(launch), None) => {
                turn.info(format!(
                    "Launching container {container} for executor '{id}' of framework {framework}"
                ));
                turn.effect(Effect::Container(ContainerCommand::Launch(launch)));
                let timer = Timer::ExecutorRegister(framework.clone(), id.clone(), container.clone());
                turn.set_timer(timer, turn.now + self.config.executor_registration_timeout);
            }
            // It ends before it began; there is no container to destroy.
            (_, text) => {
                let end = match text.flatten() {
                    Some(text) => {
                        End::new(TaskState::TaskFailed, Reason::ContainerLaunchFailed, text.to_string())
                    }
                    None => End::default(),
                };
                self.executor_terminated(turn, framework, id, None, end);
            }
        }
    }

    pub(crate) fn task_is_durable(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
        task: &TaskId,
    ) {
        let Some(executor) = self.run_mut(framework, id, container) else {
            return;
        };
        if let Some(queued) = executor.queued.get_mut(task) {
            queued.durable = true;
        }
        if executor.state == ExecutorState::Running {
            self.send_queued(turn, framework, id);
        }
    }

    pub(crate) fn container_launched(&mut self, turn: &mut Turn<'_>, container: &ContainerId, pid: u32) {
        let owner = self.containers.get(container).cloned();
        let executor = owner.and_then(|(framework, id)| self.run_mut(&framework, &id, container));
        let wanted = match executor {
            Some(executor) => {
                executor.process = Some(pid);
                executor.state != ExecutorState::Terminating
            }
            None => false,
        };
        if !wanted {
            turn.warning(format!("Destroying container {container}: its executor is not wanted any more"));
            turn.effect(Effect::Container(ContainerCommand::Destroy { container: container.clone() }));
        }
    }
}
