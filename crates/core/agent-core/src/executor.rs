//! One executor and its tasks: what is queued for it, what it has, what it ended.
//!
//! It must not know frameworks, masters or effects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use indexmap::IndexMap;
use messor_proto::mesos::internal::{StatusUpdate, StatusUpdateRecord, status_update_record};
use messor_proto::mesos::task_status::{Reason, Source};
use messor_proto::mesos::{ExecutorInfo, KillPolicy, Resource, Task, TaskInfo, TaskState, TaskStatus};
use messor_stdx::{Memo, Time};
use messor_types::{ContainerId, ExecutorId, FrameworkId, Pid, Resources, TaskId};

use crate::effect::Launch;
use crate::event::StreamId;
use crate::limits::{Limits, Part, executor_limits};
use crate::record::Connection;
use crate::status::Sender;
use crate::tasks::{is_terminal, task_from_info};
use crate::view::{ExecutorState, ExecutorView};

/// Completed tasks that an executor remembers; the oldest is forgotten.
const MAX_COMPLETED_TASKS: usize = 200;

#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub id: ExecutorId,
    pub info: Arc<ExecutorInfo>,
    pub container: ContainerId,
    /// Relative to work_dir.
    pub directory: String,
    pub checkpoint: bool,
    pub command_executor: bool,
    pub state: ExecutorState,
    pub channel: Channel,
    /// How an agent of before reached it; of interest until it is back.
    pub reached_before: Option<Connection>,
    /// Of the executor's process, from its launch until it ended.
    pub process: Option<u32>,
    /// Waits until the executor's record is durable.
    pub waiting_launch: Option<Box<Launch>>,
    /// Updates of tasks that failed, until it is known whether the container ends for another reason; each task has one.
    pub unsure: Vec<(StatusUpdate, Sender)>,
    /// Why it is going to end, where that is known before.
    pub end: Option<End>,
    pub queued: IndexMap<TaskId, QueuedTask>,
    next_group: u64,
    /// Launched tasks that are to be killed as soon as the executor is back.
    pub kills: IndexMap<TaskId, Option<KillPolicy>>,
    pub launched: IndexMap<TaskId, Arc<Memo<Task>>>,
    pub terminated: IndexMap<TaskId, Arc<Memo<Task>>>,
    /// At most `MAX_COMPLETED_TASKS`, oldest first.
    completed: VecDeque<Arc<Memo<Task>>>,
}

/// How the executor is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Channel {
    None,
    Http { stream: StreamId, next_heartbeat: Time },
    Driver(Pid),
}

/// A task that the executor was not told of.
#[derive(Clone, Debug)]
pub(crate) struct QueuedTask {
    pub info: Arc<TaskInfo>,
    /// Its record is on disk, or needs not to be.
    pub durable: bool,
    /// Which group it is of: tasks of one group go to the executor together.
    group: Option<u64>,
}

/// What goes to an executor in one message.
#[derive(Clone, Debug)]
pub(crate) enum Assignment {
    Task(Arc<TaskInfo>),
    Group(Vec<Arc<TaskInfo>>),
}

/// What the tasks of an ended executor are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct End {
    pub state: Option<TaskState>,
    pub reason: Option<Reason>,
    pub message: Option<String>,
    pub limited_resources: Vec<Resource>,
}

impl End {
    pub fn new(state: TaskState, reason: Reason, message: String) -> End {
        End {
            state: Some(state),
            reason: Some(reason),
            message: Some(message),
            limited_resources: Vec::new(),
        }
    }
}

/// Why an update does not change its task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TaskStateError {
    #[error("the executor was not given the task yet")]
    Queued,
    #[error("the task already ended")]
    Ended,
    #[error("the executor does not have the task")]
    Unknown,
}

impl Executor {
    pub fn new(
        info: Arc<ExecutorInfo>,
        container: ContainerId,
        directory: String,
        checkpoint: bool,
        command_executor: bool,
    ) -> Executor {
        Executor {
            id: ExecutorId::from(&info.executor_id),
            info,
            container,
            directory,
            checkpoint,
            command_executor,
            state: ExecutorState::Registering,
            channel: Channel::None,
            reached_before: None,
            process: None,
            waiting_launch: None,
            unsure: Vec::new(),
            end: None,
            queued: IndexMap::new(),
            next_group: 0,
            kills: IndexMap::new(),
            launched: IndexMap::new(),
            terminated: IndexMap::new(),
            completed: VecDeque::new(),
        }
    }

    /// Queued, launched, or ended with an update that nobody acknowledged.
    pub fn has_task(&self, task: &TaskId) -> bool {
        self.queued.contains_key(task)
            || self.launched.contains_key(task)
            || self.terminated.contains_key(task)
    }

    /// The framework has all updates of the task.
    pub fn has_completed(&self, task: &TaskId) -> bool {
        self.completed.iter().any(|completed| completed.task_id.value == task.as_str())
    }

    pub fn has_incomplete_tasks(&self) -> bool {
        !self.queued.is_empty() || !self.launched.is_empty() || !self.terminated.is_empty()
    }

    /// Whether the executor was ever given a task, as far as can be told.
    pub fn ever_had_task(&self) -> bool {
        let by_executor = |task: &Arc<Memo<Task>>| {
            task.statuses.iter().any(|status| status.source == Some(Source::Executor.into()))
        };
        !self.launched.is_empty()
            || self.terminated.values().any(by_executor)
            || self.completed.iter().any(by_executor)
    }

    /// What the container needs: for the executor and for all tasks that did not end.
    pub fn allocated(&self) -> Vec<Resource> {
        self.info.resources.iter().chain(self.tasks_resources()).cloned().collect()
    }

    /// What tasks have that did not end.
    pub fn tasks_resources(&self) -> impl Iterator<Item = &Resource> {
        let tasks = self.queued.values().flat_map(|task| &task.info.resources);
        tasks.chain(self.launched.values().flat_map(|task| &task.resources))
    }

    /// How much the container may use at most.
    pub fn limits(&self, cfs: bool) -> Limits {
        let queued = self.queued.values().map(|task| (&task.info.resources, &task.info.limits));
        let launched = self.launched.values().map(|task| (&task.resources, &task.limits));
        let parts: Vec<Part<'_>> =
            queued.chain(launched).map(|(resources, limits)| Part { resources, limits }).collect();
        executor_limits(&self.info.resources, &parts, cfs)
    }

    /// Tasks that the executor is to be told of, in one message if they are a group.
    pub fn queue(&mut self, tasks: &[Arc<TaskInfo>], is_group: bool, durable: bool) {
        let group = is_group.then_some(self.next_group);
        self.next_group += u64::from(is_group);
        for info in tasks {
            let task = QueuedTask { info: info.clone(), durable, group };
            self.queued.insert(TaskId::from(&info.task_id), task);
        }
    }

    /// The queued tasks that the executor may be told of only together with this one, itself included.
    pub fn queued_with(&self, task: &TaskId) -> Vec<TaskId> {
        match self.queued.get(task) {
            Some(QueuedTask { group: Some(group), .. }) => {
                let others = self.queued.iter().filter(|(_, other)| other.group == Some(*group));
                others.map(|(id, _)| id.clone()).collect()
            }
            Some(_) => vec![task.clone()],
            None => Vec::new(),
        }
    }

    /// What is queued and may go to the executor next: records become durable in order.
    pub fn next_durable(&mut self) -> Option<Assignment> {
        let (first, task) = self.queued.first()?;
        let is_group = task.group.is_some();
        let ids = self.queued_with(&first.clone());
        if !ids.iter().all(|id| self.queued.get(id).is_some_and(|task| task.durable)) {
            return None;
        }
        let mut tasks: Vec<Arc<TaskInfo>> =
            ids.iter().filter_map(|id| self.queued.shift_remove(id)).map(|task| task.info).collect();
        if is_group { Some(Assignment::Group(tasks)) } else { tasks.pop().map(Assignment::Task) }
    }

    pub fn launch(&mut self, framework: &FrameworkId, info: &TaskInfo) {
        let task = task_from_info(info, TaskState::TaskStaging, framework);
        self.launched.insert(TaskId::from(&info.task_id), Arc::new(Memo::new(task)));
    }

    /// Changes the task by what a status says of it.
    pub fn update_task(
        &mut self,
        framework: &FrameworkId,
        status: &TaskStatus,
    ) -> Result<(), TaskStateError> {
        let id = TaskId::from(&status.task_id);
        let terminal = is_terminal(status.state);
        if let Some(queued) = self.queued.get(&id) {
            if !terminal {
                return Err(TaskStateError::Queued);
            }
            let mut task = task_from_info(&queued.info, status.state(), framework);
            record_status(&mut task, status);
            self.queued.shift_remove(&id);
            self.terminated.insert(id, Arc::new(Memo::new(task)));
        } else if let Some(task) = self.launched.get_mut(&id) {
            record_status(Arc::make_mut(task).change(), status);
            if terminal && let Some(task) = self.launched.shift_remove(&id) {
                self.terminated.insert(id, task);
            }
        } else if self.terminated.contains_key(&id) {
            return Err(TaskStateError::Ended);
        } else {
            return Err(TaskStateError::Unknown);
        }
        Ok(())
    }

    /// A launched or ended task, to be changed.
    pub fn task_mut(&mut self, id: &TaskId) -> Option<&mut Task> {
        let task = match self.launched.get_mut(id) {
            Some(task) => task,
            None => self.terminated.get_mut(id)?,
        };
        Some(Arc::make_mut(task).change())
    }

    /// Takes up a task of before: as it was launched, and what was written about it since. True if it is completed: it
    /// ended, and its end is acknowledged.
    pub fn recover_task(
        &mut self,
        framework: &FrameworkId,
        task: Task,
        records: &[StatusUpdateRecord],
    ) -> bool {
        let id = TaskId::from(&task.task_id);
        self.launched.insert(id.clone(), Arc::new(Memo::new(task)));
        let mut states: BTreeMap<&[u8], i32> = BTreeMap::new();
        for record in records {
            match (record.r#type(), &record.update, &record.uuid) {
                (status_update_record::Type::Update, Some(update), _) => {
                    states.insert(update.uuid.as_deref().unwrap_or_default(), update.status.state);
                    // Old executors could end a task more than once: the first end counts.
                    let _ = self.update_task(framework, &update.status);
                }
                (status_update_record::Type::Ack, _, Some(uuid)) => {
                    let Some(state) = states.get(uuid.as_slice()) else {
                        continue;
                    };
                    if let Some(task) = self.task_mut(&id) {
                        task.status_update_state = Some(*state);
                        task.status_update_uuid = Some(uuid.clone());
                    }
                    if is_terminal(*state) && self.complete(&id) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// All updates of an ended task are acknowledged. False if the task did not end.
    pub fn complete(&mut self, id: &TaskId) -> bool {
        let Some(task) = self.terminated.shift_remove(id) else {
            return false;
        };
        if self.completed.len() == MAX_COMPLETED_TASKS {
            self.completed.pop_front();
        }
        self.completed.push_back(task);
        true
    }

    /// The framework is going away: what the executor still has ended with it.
    pub fn end_launched(&mut self) {
        self.terminated.extend(std::mem::take(&mut self.launched));
    }

    pub fn view(&self, work_dir: &str) -> ExecutorView {
        ExecutorView {
            id: self.id.clone(),
            info: self.info.clone(),
            container: self.container.clone(),
            directory: format!("{work_dir}/{}", self.directory),
            state: self.state,
            command_executor: self.command_executor,
            resources: total(&self.allocated()),
            queued_tasks: self.queued.values().map(|task| task.info.clone()).collect(),
            launched_tasks: self.launched.values().cloned().collect(),
            terminated_tasks: self.terminated.values().cloned().collect(),
            completed_tasks: self.completed.iter().cloned().collect(),
        }
    }
}

/// The sum of resources that were valid when they came.
pub(crate) fn total(resources: &[Resource]) -> Resources {
    Resources::from_proto(resources).unwrap_or_default()
}

/// Keeps one status for each run of the same state.
fn record_status(task: &mut Task, status: &TaskStatus) {
    if task.statuses.last().is_some_and(|last| last.state == status.state) {
        task.statuses.pop();
    }
    task.statuses.push(status.clone());
    task.state = status.state;
}
