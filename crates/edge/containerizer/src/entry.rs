//! What is known of one container at this side of the machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use messor_agent_core::Launch;
use messor_containers::Kind;
use messor_isolators::Container;
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::slave::{ContainerConfig, ContainerLaunchInfo};
use messor_proto::mesos::value::Scalar;
use messor_proto::mesos::{CommandInfo, ContainerInfo, Resource};
use messor_types::ContainerId;
use tokio::sync::watch;

use crate::launcher::Held;
use crate::runtime::RuntimeDir;

/// A container that is asked for over the operator API, by an executor or by an operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerLaunch {
    pub command: CommandInfo,
    pub container_info: Option<ContainerInfo>,
    /// Of standalone containers.
    pub resources: Vec<Resource>,
    pub limits: std::collections::BTreeMap<String, f64>,
    /// For a session of an operator: it does not outlive this agent.
    pub debug: bool,
    /// None: of its parent, or of the agent.
    pub user: Option<String>,
}

/// What is needed until its program runs.
pub(crate) struct Plan {
    /// The agent's part of the environment.
    pub environment: Vec<(String, String)>,
    pub uris: Vec<FetcherInfo>,
    /// Where the pid is noted for the agent's own recovery.
    pub forked_pid: Option<PathBuf>,
    /// Relative to the work directory; None: below the sandbox of its root.
    pub directory: Option<String>,
    pub root_sandbox: PathBuf,
    /// Of the container whose session this is.
    pub parent: Option<ContainerLaunchInfo>,
}

pub(crate) struct Entry {
    pub id: ContainerId,
    pub kind: Kind,
    pub runtime: RuntimeDir,
    /// None of those that an agent of before launched.
    pub plan: Option<Plan>,
    /// Isolators are asked for one container one at a time.
    pub calls: Mutex<()>,
    state: Mutex<EntryState>,
    pub stop_fetch: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct EntryState {
    pub config: ContainerConfig,
    /// As isolators have it so far; with everything once the container is forked.
    pub launch_info: ContainerLaunchInfo,
    pub held: Option<Held>,
    /// Where it is told why its program could not be executed; the sandbox, where clients do not attach to it.
    pub complaints: Option<File>,
    pub pid: Option<i32>,
}

impl Entry {
    pub fn new(
        id: ContainerId,
        kind: Kind,
        runtime_dir: &Path,
        config: ContainerConfig,
        plan: Option<Plan>,
    ) -> Entry {
        let state = EntryState { config, ..EntryState::default() };
        let runtime = RuntimeDir::of(runtime_dir, &id);
        let (stop_fetch, _) = watch::channel(false);
        Entry { id, kind, runtime, plan, calls: Mutex::default(), state: Mutex::new(state), stop_fetch }
    }

    pub fn of_executor(launch: Launch, work_dir: &Path, runtime_dir: &Path) -> Entry {
        let sandbox = work_dir.join(&launch.directory);
        let config = ContainerConfig {
            executor_info: Some(launch.executor),
            task_info: launch.task,
            command_info: launch.command,
            container_info: launch.container_info,
            resources: launch.resources,
            limits: scalars(&launch.limits),
            directory: sandbox.to_string_lossy().into_owned(),
            user: launch.user,
            ..ContainerConfig::default()
        };
        let meta = work_dir.join("meta").join(&launch.directory);
        let plan = Plan {
            environment: launch.environment,
            uris: launch.uris,
            forked_pid: launch.checkpoint.then(|| meta.join("pids/forked.pid")),
            directory: Some(launch.directory),
            root_sandbox: sandbox,
            parent: None,
        };
        Entry::new(launch.container, Kind::Executor, runtime_dir, config, Some(plan))
    }

    pub fn state(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn sandbox(&self) -> PathBuf {
        PathBuf::from(&self.state().config.directory)
    }

    /// Of the outermost container; its own where nothing is launched any more.
    pub fn root_sandbox(&self) -> PathBuf {
        self.plan.as_ref().map_or_else(|| self.sandbox(), |plan| plan.root_sandbox.clone())
    }

    /// As isolators see it.
    pub fn seen(&self) -> Container {
        Container {
            id: self.id.clone(),
            config: self.state().config.clone(),
            standalone: self.kind == Kind::Standalone,
            runtime_directory: self.runtime.path().to_path_buf(),
        }
    }
}

pub(crate) fn scalars(
    limits: &std::collections::BTreeMap<String, f64>,
) -> std::collections::BTreeMap<String, Scalar> {
    limits.iter().map(|(name, value)| (name.clone(), Scalar { value: *value })).collect()
}
