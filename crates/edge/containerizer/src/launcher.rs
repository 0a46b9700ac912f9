//! The two launchers: who forks a container's first process, holds it, and ends all of it.
//!
//! `posix`: a process of the agent's own. While it waits it is a copy of the agent that has closed everything but its
//! standard descriptors; it ends with the agent. All of a container is found by the tree of its processes.
//!
//! `linux`: the warden forks, so that exits are noted while no agent is there; each container has a group in the
//! freezer's hierarchy (version 1) or in the only one (version 2), which nothing in it gets out of, and by which it
//! ends.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use messor_linux::Pid;
use messor_linux::cgroups::{Group, GroupError, Hierarchies, HierarchyError, Version};
use messor_linux::container::{self, StartError};
use messor_linux::spawn::{self, Launch, SpawnError};
use messor_types::ContainerId;
use messor_warden::{Event, Start, Warden, WardenError};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::task::JoinHandle;

use crate::processes::blocking;

/// Below a container's group of version 2, where its processes are, as the isolators of control groups have it.
const LEAF: &str = "leaf";
/// Containers nested in one have their groups below this.
const NESTED: &str = "mesos";
const KILL_PATIENCE: Duration = Duration::from_secs(60);
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);
/// The warden tells of an end right after it.
const TOLD_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    #[error("this is not root")]
    NotRoot,
    #[error(transparent)]
    Warden(#[from] WardenError),
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    #[error(transparent)]
    Group(#[from] GroupError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ForkError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("its control group cannot be made: {0}")]
    Group(#[from] GroupError),
    #[error("its process cannot be noted: {0}")]
    Note(io::Error),
    #[error("a thread of the agent failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl ForkError {
    /// Everything was ready, and then its program could not be executed.
    pub fn is_of_program(&self) -> bool {
        matches!(
            self,
            ForkError::Spawn(SpawnError::Step { step: spawn::Step::Execute, .. })
                | ForkError::Start(StartError::Step { step: container::Step::Execute, .. })
        )
    }
}

pub enum Launcher {
    Posix,
    Linux(Box<Linux>),
}

pub struct Linux {
    warden: Warden,
    version: Version,
    /// Where the groups of containers are.
    root: Group,
    ends: Ends,
}

/// The processes of the warden, and whether it told of their end.
#[derive(Clone, Default)]
pub(crate) struct Ends(Arc<Mutex<BTreeMap<i32, watch::Sender<bool>>>>);

impl Ends {
    fn all(&self) -> MutexGuard<'_, BTreeMap<i32, watch::Sender<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, pid: i32) {
        self.all().entry(pid).or_insert_with(|| watch::channel(false).0);
    }

    fn take(&self, event: Event) {
        match event {
            Event::Ended(ended) => {
                self.all().entry(ended.pid).or_insert_with(|| watch::channel(false).0).send_replace(true)
            }
            Event::Lost(why) => {
                tracing::error!(
                    "The warden ended ({why}); containers go on, and the next launch starts another one"
                );
                false
            }
            Event::Said(words) => {
                tracing::info!("The warden: {words}");
                false
            }
        };
    }

    /// Waits until the warden has told of the end of a process that it knows.
    async fn told(&self, pid: i32) {
        let receiver = self.all().get(&pid).map(watch::Sender::subscribe);
        if let Some(mut receiver) = receiver {
            let told = tokio::time::timeout(TOLD_LIMIT, receiver.wait_for(|told| *told)).await;
            if told.is_err() {
                tracing::warn!("The warden does not tell how process {pid} ended");
            }
        }
        self.all().remove(&pid);
    }
}

/// The group for all containers, made where it is not there.
fn root_group(hierarchy: &Path, root: &str) -> Result<(Version, Group), LauncherError> {
    let mut hierarchies = Hierarchies::find(hierarchy)?;
    let version = hierarchies.version();
    // Version 2 has no controller of this name: every group can be frozen, and killed.
    let controller = match version {
        Version::V1 => {
            hierarchies.locate("freezer")?;
            "freezer"
        }
        Version::V2 => "",
    };
    for (end, _) in root.match_indices('/') {
        hierarchies.group(controller, &root[..end]).make()?;
    }
    let root = hierarchies.group(controller, root);
    root.make()?;
    Ok((version, root))
}

impl Launcher {
    /// Why there can be no linux launcher here, if so. It makes the group that the launcher needs.
    pub fn probe_linux(hierarchy: &Path, root: &str) -> Result<(), LauncherError> {
        if !messor_linux::users::is_superuser() {
            return Err(LauncherError::NotRoot);
        }
        root_group(hierarchy, root).map(drop)
    }

    /// Finds or starts the warden. `hierarchy` is where control groups are mounted, `root` the group for all containers.
    pub fn linux(
        config: &messor_warden::Config,
        hierarchy: &Path,
        root: &str,
    ) -> Result<Launcher, LauncherError> {
        let (version, root) = root_group(hierarchy, root)?;
        let ends = Ends::default();
        let told = ends.clone();
        let warden = Warden::connect_or_start(config, move |event| told.take(event))?;
        for known in warden.known() {
            ends.expect(known.pid);
        }
        Ok(Launcher::Linux(Box::new(Linux { warden, version, root, ends })))
    }
}

impl Linux {
    fn group(&self, container: &ContainerId) -> Group {
        match container.parent() {
            Some(parent) => self.group(parent).child(NESTED).child(container.value()),
            None => self.root.child(container.value()),
        }
    }

    /// Makes the group of a container, and those that lead to it.
    fn make(&self, container: &ContainerId) -> Result<Group, GroupError> {
        if let Some(parent) = container.parent() {
            self.make(parent)?.child(NESTED).make()?;
        }
        let group = self.group(container);
        group.make()?;
        Ok(group)
    }

    /// Makes the group of a container; what it has to enter.
    pub fn enter(&self, container: &ContainerId) -> Result<PathBuf, GroupError> {
        let mut group = self.make(container)?;
        if self.version == Version::V2 {
            group = group.child(LEAF);
            group.make()?;
        }
        Ok(group.file("cgroup.procs"))
    }

    pub(crate) async fn fork(
        &self,
        start: Start,
        turn: OwnedSemaphorePermit,
        noted: impl FnOnce(i32) -> io::Result<()> + Send + 'static,
    ) -> Result<Held, ForkError> {
        let (warden, ends) = (self.warden.clone(), self.ends.clone());
        blocking(move || {
            let held = warden.fork(start)?;
            noted(held.pid()).map_err(ForkError::Note)?;
            ends.expect(held.pid());
            Ok(Held::Linux { held, ends, turn })
        })
        .await?
    }

    /// Kills all that is in a container's group, and removes it. False: it has none.
    pub async fn end(&self, container: &ContainerId) -> io::Result<bool> {
        let group = self.group(container);
        blocking(move || end_group(&group)).await.map_err(io::Error::other)?
    }

    pub async fn told(&self, pid: i32) {
        self.ends.told(pid).await;
    }
}

fn end_group(group: &Group) -> io::Result<bool> {
    if !group.exists() {
        return Ok(false);
    }
    group.kill_all(KILL_PATIENCE).map_err(io::Error::other)?;
    group.remove(REMOVAL_PATIENCE).map_err(io::Error::other)?;
    Ok(true)
}

/// A first process that waits. Dropping it ends it.
pub(crate) enum Held {
    Posix(Posix),
    Linux { held: messor_warden::Held, ends: Ends, turn: OwnedSemaphorePermit },
}

pub(crate) struct Posix {
    pid: i32,
    go: mpsc::Sender<()>,
    outcome: JoinHandle<Result<Pid, SpawnError>>,
    /// A thread waits with each: so many at a time and no more.
    _turn: OwnedSemaphorePermit,
}

/// Forks. `noted` sees its pid before it can go on, and may refuse it.
pub(crate) async fn fork(
    launch: Launch,
    turn: OwnedSemaphorePermit,
    noted: impl FnOnce(i32) -> io::Result<()> + Send + 'static,
) -> Result<Held, ForkError> {
    let (go, may_go) = mpsc::channel();
    let (tell, told) = oneshot::channel();
    let program = launch.program.to_string_lossy().into_owned();
    let outcome = tokio::task::spawn_blocking(move || {
        launch.start_when(|pid| {
            noted(pid.as_raw_pid())?;
            let _ = tell.send(pid.as_raw_pid());
            may_go.recv().map_err(|_| io::Error::other("it is not wanted any more"))
        })
    });
    match told.await {
        Ok(pid) => Ok(Held::Posix(Posix { pid, go, outcome, _turn: turn })),
        Err(_) => match outcome.await? {
            Err(error) => Err(error.into()),
            Ok(_) => {
                let source = io::Error::other("it did not wait");
                Err(SpawnError::Held { program, source }.into())
            }
        },
    }
}

impl Held {
    pub fn pid(&self) -> i32 {
        match self {
            Held::Posix(held) => held.pid,
            Held::Linux { held, .. } => held.pid(),
        }
    }

    /// Its program runs when this answers well; otherwise it is gone.
    pub async fn go_on(self) -> Result<(), ForkError> {
        match self {
            Held::Posix(held) => {
                let _ = held.go.send(());
                held.outcome.await??;
                Ok(())
            }
            Held::Linux { held, ends, turn } => {
                let pid = held.pid();
                let gone = blocking(move || held.go_on()).await?;
                drop(turn);
                if gone.is_err() {
                    ends.all().remove(&pid);
                }
                Ok(gone?)
            }
        }
    }

    /// Ends it, and waits until it is gone; what the warden held is killed, and its group tells when it is gone.
    pub async fn abandon(self) {
        match self {
            Held::Posix(held) => {
                drop(held.go);
                let _ = held.outcome.await;
            }
            Held::Linux { held, ends, turn } => {
                let pid = held.pid();
                let _ = blocking(move || drop(held)).await;
                drop(turn);
                ends.all().remove(&pid);
            }
        }
    }
}
