//! The containerizer as the agent sees it: commands in, events out, usage when asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use messor_agent_core::{ContainerCommand, ContainerEvent, LaunchFailure};
use messor_linux::procfs;
use messor_proto::mesos::{Resource, ResourceStatistics};
use messor_types::{ContainerId, Resources};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::fetching::Program;
use crate::runtime::RuntimeDir;
use crate::volumes::{self, VolumeError};
use crate::{container, recovery};

/// Events that wait for the agent. When it is full, containers wait with theirs; no event is lost.
const EVENTS: usize = 256;

#[derive(Clone, Debug)]
pub struct Config {
    pub work_dir: PathBuf,
    /// What outlives the agent but not the host's going down.
    pub runtime_dir: PathBuf,
    /// Where the programs of Mesos are; those that are not there are this binary.
    pub launcher_dir: PathBuf,
    /// `mesos-fetcher`.
    pub fetcher: Program,
    pub frameworks_home: Option<String>,
    pub fetcher_stall_timeout: Option<Duration>,
    /// Containers that fetch at the same time; others wait for their turn.
    pub parallel_fetches: usize,
    /// Whether the isolator posix/rlimits is in use.
    pub rlimits: bool,
}

/// All containers of an agent. Dropping it leaves them running: they outlive their agent.
#[derive(Clone)]
pub struct Containerizer {
    shared: Arc<Shared>,
    runtime: Handle,
}

pub(crate) struct Shared {
    pub config: Config,
    pub fetches: Semaphore,
    pub events: mpsc::Sender<ContainerEvent>,
    entries: Mutex<BTreeMap<ContainerId, Entry>>,
}

struct Entry {
    destroy: watch::Sender<bool>,
    pid: Option<i32>,
    resources: Vec<Resource>,
    /// The sandbox, once it is there.
    sandbox: Option<PathBuf>,
}

impl Containerizer {
    pub fn new(config: Config, runtime: Handle) -> (Containerizer, mpsc::Receiver<ContainerEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let fetches = Semaphore::new(config.parallel_fetches.max(1));
        let shared = Shared { config, fetches, events, entries: Mutex::default() };
        (Containerizer { shared: Arc::new(shared), runtime }, receiver)
    }

    /// Carries out a command; its answer comes as an event.
    pub fn command(&self, command: ContainerCommand) {
        match command {
            ContainerCommand::Launch(launch) => {
                let container = launch.container.clone();
                let Some(destroyed) = self.shared.enter(&container, None, launch.resources.clone()) else {
                    self.emit(ContainerEvent::LaunchFailed {
                        message: format!("container {container} exists already"),
                        container,
                        reason: LaunchFailure::Launch,
                    });
                    return;
                };
                self.runtime.spawn(container::run(self.shared.clone(), launch, destroyed));
            }
            ContainerCommand::Recover { runs } => {
                self.runtime.spawn(recovery::recover(self.shared.clone(), runs, self.runtime.clone()));
            }
            ContainerCommand::Update { container, limits, .. } if !limits.is_empty() => {
                let message = format!("not supported yet: {}", crate::launching::LIMITS);
                self.emit(ContainerEvent::UpdateFailed { container, message });
            }
            ContainerCommand::Update { container, resources, .. } => {
                // At once, so that a task that is told to run after this finds its volumes.
                if let Err(error) = self.shared.update(&container, resources) {
                    self.emit(ContainerEvent::UpdateFailed { container, message: error.to_string() });
                }
            }
            ContainerCommand::Destroy { container } => {
                let known = match self.shared.entries().get(&container) {
                    Some(entry) => {
                        entry.destroy.send_replace(true);
                        true
                    }
                    None => false,
                };
                if !known {
                    // It ended on its own, or never was: whoever waits for its end is told.
                    self.emit(ContainerEvent::Exited { container, status: None, limitation: None });
                }
            }
        }
    }

    /// The usage of every container, by one look at the processes of the host.
    pub async fn usage(&self) -> std::io::Result<BTreeMap<ContainerId, ResourceStatistics>> {
        let processes =
            tokio::task::spawn_blocking(procfs::processes).await.map_err(std::io::Error::other)??;
        let now = SystemTime::now();
        let entries = self.shared.entries();
        let usage = entries.iter().map(|(container, entry)| {
            (container.clone(), crate::usage::statistics(&processes, entry.pid, &entry.resources, now))
        });
        Ok(usage.collect())
    }

    /// The containers there are, with the pid of those that run.
    pub fn containers(&self) -> Vec<(ContainerId, Option<u32>)> {
        let pid = |entry: &Entry| entry.pid.and_then(|pid| u32::try_from(pid).ok());
        self.shared.entries().iter().map(|(container, entry)| (container.clone(), pid(entry))).collect()
    }

    fn emit(&self, event: ContainerEvent) {
        let shared = self.shared.clone();
        self.runtime.spawn(async move { shared.emit(event).await });
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn enter(
        &self,
        container: &ContainerId,
        pid: Option<i32>,
        resources: Vec<Resource>,
    ) -> Option<watch::Receiver<bool>> {
        let mut entries = self.entries();
        if entries.contains_key(container) {
            return None;
        }
        let (destroy, destroyed) = watch::channel(false);
        entries.insert(container.clone(), Entry { destroy, pid, resources, sandbox: None });
        Some(destroyed)
    }

    pub fn set_sandbox(&self, container: &ContainerId, sandbox: PathBuf) {
        if let Some(entry) = self.entries().get_mut(container) {
            entry.sandbox = Some(sandbox);
        }
    }

    /// The volumes that a container begins with show in its sandbox.
    pub fn link_volumes(&self, container: &ContainerId, sandbox: &Path) -> Result<(), VolumeError> {
        let mut entries = self.entries();
        let others = others(&entries, container);
        let Some(entry) = entries.get_mut(container) else { return Ok(()) };
        entry.sandbox = Some(sandbox.to_path_buf());
        let change = volumes::Change { before: &[], after: &entry.resources, others: &others };
        volumes::update(&self.config.work_dir, sandbox, &change)
    }

    /// New resources of a container, with their volumes.
    fn update(&self, container: &ContainerId, resources: Vec<Resource>) -> Result<(), VolumeError> {
        let mut entries = self.entries();
        let others = others(&entries, container);
        let Some(entry) = entries.get_mut(container) else { return Ok(()) };
        let before = std::mem::replace(&mut entry.resources, resources);
        let Some(sandbox) = &entry.sandbox else { return Ok(()) };
        let change = volumes::Change { before: &before, after: &entry.resources, others: &others };
        volumes::update(&self.config.work_dir, sandbox, &change)
    }

    pub fn set_pid(&self, container: &ContainerId, pid: i32) {
        if let Some(entry) = self.entries().get_mut(container) {
            entry.pid = Some(pid);
        }
    }

    /// Forgets a container and tells of its end, in this order, so that its id is free when the agent hears of it.
    pub async fn end(&self, event: ContainerEvent) {
        if let ContainerEvent::LaunchFailed { container, .. } | ContainerEvent::Exited { container, .. } =
            &event
        {
            self.entries().remove(container);
            let runtime = RuntimeDir::of(&self.config.runtime_dir, container);
            if let Err(error) = tokio::task::spawn_blocking(move || runtime.remove()).await {
                tracing::warn!("what is kept of a container may be left: {error}");
            }
        }
        self.emit(event).await;
    }

    pub async fn emit(&self, event: ContainerEvent) {
        // Nobody listens only when the agent is ending.
        let _ = self.events.send(event).await;
    }
}

/// What all other containers use.
fn others(entries: &BTreeMap<ContainerId, Entry>, container: &ContainerId) -> Resources {
    let list = entries.iter().filter(|(id, _)| *id != container).flat_map(|(_, entry)| &entry.resources);
    let shared: Vec<Resource> = list.filter(|resource| resource.shared.is_some()).cloned().collect();
    Resources::from_proto(&shared).unwrap_or_default()
}
