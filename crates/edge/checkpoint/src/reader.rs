//! Reads what an agent of before left below `meta`.
//!
//! Apache Mesos's rules: what is missing or empty was never finished and is left out; what is damaged ends the start of
//! a strict agent, and is counted and left out otherwise; a message that was being appended is cut off. What is
//! decided about what was read is the machine's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use messor_agent_core::{
    Connection, Recovered, RecoveredAgent, RecoveredExecutor, RecoveredFramework, RecoveredOperation,
    RecoveredRun, RecoveredTask,
};
use messor_proto::Wire;
use messor_proto::mesos::internal::slave::ResourceState;
use messor_proto::mesos::{DrainConfig, ExecutorInfo, FrameworkInfo, Operation, Resource};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};

use crate::files::{Content, FileError, Journal, read_journal, read_message, read_messages, read_text};
use crate::form::{allocate, upgrade};
use crate::layout::{LATEST, Layout, PathError, parse_uuid};
use crate::recorder::NO_PID;
use crate::volumes::{self, VolumeError};

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(
        "{0}; repair or remove it, or start with --no-strict, which leaves out what cannot be read: its tasks are lost"
    )]
    Damaged(#[from] FileError),
    #[error("cannot list '{path}': {source}")]
    List { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// What the reader is told.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'e> {
    /// --strict.
    pub strict: bool,
    /// Of the host's present run.
    pub boot_id: &'e str,
}

/// Reads all that is below `work_dir/meta`. It finishes what was cut off on the way: an appended message, a change of
/// volumes; and after a reboot it removes the pids of processes, which mean others now.
pub fn read(work_dir: &Path, expectation: Expectation<'_>) -> Result<Recovered, ReadError> {
    let layout = Layout::new(work_dir);
    let mut reader = Reader { layout, strict: expectation.strict, rebooted: false, errors: 0 };
    let layout = reader.layout.clone();
    let (resources, operations) = reader.resources(work_dir)?;
    match read_text(&layout.boot_id()) {
        Ok(before) => {
            reader.rebooted = before.is_some_and(|before| before != expectation.boot_id.trim());
        }
        Err(error) => tracing::warn!("{error}"),
    }
    let agent = match latest(&layout.latest_agent())? {
        Some(id) => reader.agent(AgentId::new(&id))?,
        None => None,
    };
    let mut drain_config = None;
    if let Some(agent) = &agent {
        let path = layout.agent(&agent.id)?.join("drain.config");
        match read_message::<DrainConfig>(&path) {
            Ok(Content::Message(config)) => drain_config = Some(config),
            Ok(Content::Missing | Content::Empty) => {}
            // No reason to keep the agent from its tasks, strict as it may be.
            Err(error) => reader.leave_out(&error),
        }
    }
    let mut other_agents: BTreeSet<String> = directories(&layout.agents())?.into_iter().collect();
    other_agents.extend(directories(&work_dir.join("slaves"))?);
    let own = agent.as_ref().map(|agent| agent.id.as_str());
    other_agents.retain(|other| Some(other.as_str()) != own);
    let other_agents = other_agents.iter().map(|id| AgentId::new(id)).collect();
    Ok(Recovered {
        rebooted: reader.rebooted,
        agent,
        other_agents,
        resources,
        operations,
        drain_config,
        errors: reader.errors,
    })
}

struct Reader {
    layout: Layout,
    strict: bool,
    rebooted: bool,
    errors: u32,
}

impl Reader {
    fn leave_out(&mut self, error: &FileError) {
        tracing::warn!("{error}; left out");
        self.errors += 1;
    }

    /// The content, or nothing of what is damaged where that is allowed.
    fn allow<T>(&mut self, read: Result<T, FileError>) -> Result<Option<T>, ReadError> {
        match read {
            Ok(content) => Ok(Some(content)),
            Err(error) if self.strict => Err(error.into()),
            Err(error) => {
                self.leave_out(&error);
                Ok(None)
            }
        }
    }

    fn message<M: Wire>(&mut self, path: &Path) -> Result<Option<M>, ReadError> {
        Ok(match self.allow(read_message(path))? {
            Some(Content::Message(message)) => Some(message),
            Some(Content::Missing) => {
                tracing::warn!("'{}' is not there: it was not written in time", path.display());
                None
            }
            Some(Content::Empty) => {
                tracing::warn!("'{}' is empty: the host went down too early", path.display());
                None
            }
            None => None,
        })
    }

    /// Whether a message is of that whose name its directory has. The format has no checksums; this much can be checked.
    fn belongs(&mut self, path: &Path, own: Option<&str>, directory: &str) -> Result<bool, ReadError> {
        match own.filter(|own| *own != directory) {
            // Files of 0.22 have the framework's id in their path alone.
            None => Ok(true),
            Some(other) => Ok(self.allow::<()>(Err(FileError::text(path, other)))?.is_some()),
        }
    }

    fn journal<M: Wire>(&mut self, path: &Path) -> Result<Vec<M>, ReadError> {
        let Some(Some(Journal { messages, torn, error })) = self.allow(read_journal(path, self.strict))?
        else {
            return Ok(Vec::new());
        };
        if torn > 0 {
            tracing::warn!("cut {torn} bytes of a message that was not finished off '{}'", path.display());
        }
        match error {
            Some(error) if self.strict => return Err(error.into()),
            Some(error) => self.leave_out(&error),
            None => {}
        }
        Ok(messages)
    }

    /// The resources and operations, after a change of volumes that was cut off has been finished.
    fn resources(&mut self, work_dir: &Path) -> Result<(Vec<Resource>, Vec<Operation>), ReadError> {
        let layout = self.layout.clone();
        let (state_path, target_path) = (layout.resource_state(), layout.resource_state_target());
        let (older_path, older_target) = (layout.resources(), layout.resources_target());
        let is_newer = state_path.exists() || target_path.exists();
        let (path, next) = if is_newer { (&state_path, &target_path) } else { (&older_path, &older_target) };
        let read = |reader: &mut Reader, path: &Path| -> Result<Option<ResourceState>, ReadError> {
            let state = if is_newer {
                reader.allow(read_message::<ResourceState>(path))?.and_then(|content| match content {
                    Content::Message(state) => Some(state),
                    Content::Missing | Content::Empty => None,
                })
            } else {
                let resources = reader.allow(read_messages::<Resource>(path))?.flatten();
                resources.map(|resources| ResourceState { resources, ..ResourceState::default() })
            };
            Ok(state.map(|mut state| {
                upgrade(&mut state.resources);
                state
            }))
        };
        let mut state = read(self, path)?;
        if state.is_none() && is_newer && older_path.exists() {
            // Both have the same resources but for a moment, and the target is what they become then.
            tracing::warn!(
                "'{}' is not there or empty: taking the resources of '{}'",
                state_path.display(),
                older_path.display()
            );
            let older = self.allow(read_messages::<Resource>(&older_path))?.flatten();
            state = older.map(|mut resources| {
                upgrade(&mut resources);
                ResourceState { resources, ..ResourceState::default() }
            });
        }
        let mut state = state.unwrap_or_default();
        if let Some(target) = read(self, next)? {
            tracing::info!("finishing the change of volumes that '{}' tells of", next.display());
            volumes::bring(work_dir, &state.resources, &target.resources, &|_| ())?;
            for (from, to) in [(&target_path, &state_path), (&older_target, &older_path)] {
                match fs::rename(from, to) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(FileError::Io { path: to.clone(), source: error }.into());
                    }
                    _ => {}
                }
            }
            state = target;
        }
        Ok((state.resources, state.operations))
    }

    fn agent(&mut self, id: AgentId) -> Result<Option<RecoveredAgent>, ReadError> {
        let directory = self.layout.agent(&id)?;
        let Some(mut info) = self.message::<messor_proto::mesos::AgentInfo>(&directory.join("slave.info"))?
        else {
            return Ok(None);
        };
        let own = info.id.as_ref().map(|id| id.value.as_str());
        if !self.belongs(&directory.join("slave.info"), own, id.as_str())? {
            return Ok(None);
        }
        upgrade(&mut info.resources);
        let mut frameworks = Vec::new();
        for framework in directories(&directory.join("frameworks"))? {
            frameworks.extend(self.framework(&id, FrameworkId::new(&framework))?);
        }
        let mut operation_updates = Vec::new();
        for name in directories(&directory.join("operations"))? {
            let path = directory.join("operations").join(&name).join("operation.updates");
            match parse_uuid(&name) {
                Some(uuid) => {
                    operation_updates.push(RecoveredOperation { uuid, updates: self.journal(&path)? })
                }
                None => {
                    self.allow::<()>(Err(FileError::text(&path, &name)))?;
                }
            }
        }
        Ok(Some(RecoveredAgent { id, info, frameworks, operation_updates }))
    }

    fn framework(
        &mut self,
        agent: &AgentId,
        id: FrameworkId,
    ) -> Result<Option<RecoveredFramework>, ReadError> {
        let directory = self.layout.framework(agent, &id)?;
        let Some(info) = self.message::<FrameworkInfo>(&directory.join("framework.info"))? else {
            return Ok(None);
        };
        let own = info.id.as_ref().map(|id| id.value.as_str());
        if !self.belongs(&directory.join("framework.info"), own, id.as_str())? {
            return Ok(None);
        }
        let path = directory.join("framework.pid");
        let text = self.allow(read_text(&path))?.flatten().filter(|pid| !pid.is_empty() && pid != NO_PID);
        let pid = match text {
            Some(text) => self.allow(text.parse().map_err(|_| FileError::text(&path, &text)))?,
            None => None,
        };
        let mut executors = Vec::new();
        for executor in directories(&directory.join("executors"))? {
            executors.extend(self.executor(agent, &id, &info, ExecutorId::new(&executor))?);
        }
        Ok(Some(RecoveredFramework { id, info, pid, executors }))
    }

    fn executor(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        framework_info: &FrameworkInfo,
        id: ExecutorId,
    ) -> Result<Option<RecoveredExecutor>, ReadError> {
        let directory = self.layout.executor(agent, framework, &id)?;
        let Some(mut info) = self.message::<ExecutorInfo>(&directory.join("executor.info"))? else {
            return Ok(None);
        };
        if !self.belongs(&directory.join("executor.info"), Some(&info.executor_id.value), id.as_str())? {
            return Ok(None);
        }
        upgrade(&mut info.resources);
        allocate(&mut info.resources, framework_info);
        let path = directory.join("executor_generated_for_command_task");
        let command_executor = match self.allow(read_text(&path))?.flatten() {
            Some(text) => self
                .allow(text.parse::<i32>().map_err(|_| FileError::text(&path, &text)))?
                .is_some_and(|number| number != 0),
            // Agents before 1.5 did not say.
            None => {
                let value = info.command.as_ref().and_then(|command| command.value.as_deref());
                value.is_some_and(|value| value.ends_with("mesos-executor"))
                    && info.name.as_ref().is_some_and(|name| name.starts_with("Command Executor"))
            }
        };
        let latest =
            latest(&directory.join("runs").join(LATEST))?.map(|container| ContainerId::new(&container));
        let mut runs = Vec::new();
        for container in directories(&directory.join("runs"))? {
            let container = ContainerId::new(&container);
            let directory = self.layout.run(agent, framework, &id, &container)?;
            let completed = directory.join("executor.sentinel").exists();
            let mut run =
                RecoveredRun { container, forked_pid: None, connection: None, completed, tasks: Vec::new() };
            if !completed && latest.as_ref() == Some(&run.container) {
                self.run(&directory, framework_info, &mut run)?;
            }
            runs.push(run);
        }
        Ok(Some(RecoveredExecutor { id, info, command_executor, latest, runs }))
    }

    /// What else there is of a run that may still run.
    fn run(
        &mut self,
        directory: &Path,
        framework: &FrameworkInfo,
        run: &mut RecoveredRun,
    ) -> Result<(), ReadError> {
        for task in directories(&directory.join("tasks"))? {
            // Only to be sure that it is the name of a directory and no more.
            let directory = directory.join("tasks").join(TaskId::new(&task).as_str());
            let Some(mut task) = self.message::<messor_proto::mesos::Task>(&directory.join("task.info"))?
            else {
                continue;
            };
            let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
            if !self.belongs(&directory.join("task.info"), Some(&task.task_id.value), &name)? {
                continue;
            }
            upgrade(&mut task.resources);
            allocate(&mut task.resources, framework);
            let updates = self.journal(&directory.join("task.updates"))?;
            run.tasks.push(RecoveredTask { task, updates });
        }
        let path = directory.join("pids/forked.pid");
        if self.rebooted {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::Io { path, source: error }.into());
                }
                _ => return Ok(()),
            }
        }
        let Some(text) = self.allow(read_text(&path))?.flatten().filter(|text| !text.is_empty()) else {
            tracing::warn!("'{}' is not there: the executor was not started in time", path.display());
            return Ok(());
        };
        run.forked_pid = self.allow(text.parse().map_err(|_| FileError::text(&path, &text)))?;
        let path = directory.join("pids/libprocess.pid");
        run.connection = match self.allow(read_text(&path))?.flatten().filter(|text| !text.is_empty()) {
            Some(text) => {
                self.allow(text.parse().map_err(|_| FileError::text(&path, &text)))?.map(Connection::Driver)
            }
            None => directory.join("http.marker").exists().then_some(Connection::Http),
        };
        Ok(())
    }
}

/// The name of the directory that a `latest` link leads to, if that is there. Only the name counts, so that a work
/// directory may be moved.
fn latest(link: &Path) -> Result<Option<String>, ReadError> {
    let target = match fs::read_link(link) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FileError::Io { path: link.to_path_buf(), source }.into()),
    };
    let name = target.file_name().and_then(|name| name.to_str()).map(str::to_string);
    Ok(name.filter(|name| link.with_file_name(name).is_dir()))
}

/// The names of the directories there, in order; none where there is nothing.
fn directories(path: &Path) -> Result<Vec<String>, ReadError> {
    let failed = |source| ReadError::List { path: path.to_path_buf(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            match entry.file_name().into_string() {
                Ok(name) => names.push(name),
                Err(name) => tracing::warn!("a directory of a strange name is left alone: {name:?}"),
            }
        }
    }
    names.sort();
    Ok(names)
}
