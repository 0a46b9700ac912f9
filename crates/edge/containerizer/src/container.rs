//! The life of one container: sandbox, fetch, start, watch, end. One task each, which alone decides about it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use messor_agent_core::{ContainerEvent, Launch, LaunchFailure};
use messor_linux::killtree::{self, Tree};
use messor_linux::users::{Identity, UserError};
use messor_linux::{Exit, Pid, Signal, procfs, wait};
use messor_types::ContainerId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::containerizer::Shared;
use crate::fetching;
use crate::launching::{self, LaunchError, Started};
use crate::runtime::RuntimeDir;
use crate::sandbox::{self, SandboxError};

/// How often a process is looked at where the kernel has no descriptors of processes (before 5.3).
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long the end of killed processes is waited for; one that hangs in the kernel is left behind with a warning.
const DEATH_LOOKS: u32 = 500;
const DEATH_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Volume(#[from] crate::volumes::VolumeError),
    #[error("the fetcher did not start: {0}")]
    FetcherStart(String),
    #[error("nothing more is fetched: {exit}{reason}; see stderr in the sandbox")]
    Fetch { exit: String, reason: String },
    #[error("it was destroyed before its executor was started")]
    Destroyed,
    #[error("the process cannot be watched: {0}")]
    Watch(io::Error),
    #[error("a thread of the agent failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl Problem {
    fn failure(&self) -> LaunchFailure {
        match self {
            Problem::FetcherStart(_) | Problem::Fetch { .. } => LaunchFailure::Fetch,
            _ => LaunchFailure::Launch,
        }
    }
}

/// From nothing to the end.
pub(crate) async fn run(shared: Arc<Shared>, launch: Box<Launch>, mut destroyed: watch::Receiver<bool>) {
    let container = launch.container.clone();
    match start(&shared, launch, &mut destroyed).await {
        Ok(Started::Running(pid)) => {
            let number = pid.as_raw_pid();
            shared.set_pid(&container, number);
            let told = u32::try_from(number).unwrap_or_default();
            shared.emit(ContainerEvent::Launched { container: container.clone(), pid: told }).await;
            watch(shared, container, number, destroyed).await;
        }
        Ok(Started::Failed) => {
            let status = Some(Exit::Exited(1).to_wait_status());
            shared.end(ContainerEvent::Exited { container, status, limitation: None }).await;
        }
        Err(problem) => {
            let reason = problem.failure();
            let message = format!("container {container} failed to start: {problem}");
            shared.end(ContainerEvent::LaunchFailed { container, reason, message }).await;
        }
    }
}

async fn start(
    shared: &Arc<Shared>,
    launch: Box<Launch>,
    destroyed: &mut watch::Receiver<bool>,
) -> Result<Started, Problem> {
    let launch = Arc::new(*launch);
    // Names of users may be looked up over the network, and disks are slow: not on the runtime's threads.
    let (work_dir, wanted) = (shared.config.work_dir.clone(), launch.clone());
    let entered = shared.clone();
    let (sandbox, identity) = blocking(move || -> Result<_, Problem> {
        let identity = wanted.user.as_deref().map(|user| Identity::of(user, &[])).transpose()?;
        let sandbox = sandbox::create(&work_dir, &wanted.directory, identity.as_ref())?;
        launching::fresh_outputs(&sandbox, identity.as_ref())?;
        entered.link_volumes(&wanted.container, &sandbox)?;
        Ok((sandbox, identity))
    })
    .await??;

    let config = &shared.config;
    let home = config.frameworks_home.as_deref();
    let infos = fetching::complete(
        &launch.uris,
        &sandbox,
        launch.user.as_deref(),
        home,
        config.fetcher_stall_timeout,
    );
    if !infos.is_empty() {
        let _turn = tokio::select! {
            turn = shared.fetches.acquire() => turn.map_err(|error| Problem::FetcherStart(error.to_string()))?,
            () = is_destroyed(destroyed) => return Err(Problem::Destroyed),
        };
        for info in infos {
            if *destroyed.borrow() {
                return Err(Problem::Destroyed);
            }
            let (program, directory, owner) = (config.fetcher.clone(), sandbox.clone(), identity.clone());
            let pid = blocking(move || -> Result<Pid, Problem> {
                let stdout = sandbox::open_output(&directory, "stdout", owner.as_ref())?;
                let stderr = sandbox::open_output(&directory, "stderr", owner.as_ref())?;
                fetching::start(&program, &info, std::env::vars_os(), stdout, stderr)
                    .map_err(|error| Problem::FetcherStart(error.to_string()))
            })
            .await??;
            let exit = attend(shared, &launch.container, pid.as_raw_pid(), destroyed)
                .await
                .map_err(Problem::Watch)?;
            if *destroyed.borrow() {
                return Err(Problem::Destroyed);
            }
            if !exit.is_some_and(Exit::success) {
                let words = fetching::last_words(&sandbox);
                return Err(Problem::Fetch {
                    exit: exit.map_or("the fetcher ended".to_owned(), |exit| format!("the fetcher {exit}")),
                    reason: if words.is_empty() { String::new() } else { format!(" ({words})") },
                });
            }
        }
    }

    if *destroyed.borrow() {
        return Err(Problem::Destroyed);
    }
    let shared = shared.clone();
    Ok(blocking(move || launching::start(&launch, &sandbox, identity, &shared.config)).await??)
}

/// From a running process to the end.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    container: ContainerId,
    pid: i32,
    mut destroyed: watch::Receiver<bool>,
) {
    let exit = attend(&shared, &container, pid, &mut destroyed).await.unwrap_or_else(|error| {
        tracing::error!("The end of container {container} (pid {pid}) cannot be told: {error}");
        None
    });
    // Another's child: its launcher, if it has one as in Apache Mesos, has noted how it ended.
    let runtime = RuntimeDir::of(&shared.config.runtime_dir, &container);
    let status = exit.map(Exit::to_wait_status).or_else(|| runtime.status());
    shared.end(ContainerEvent::Exited { container, status, limitation: None }).await;
}

/// Waits until the process ends, on its own or because it is to be destroyed, and ends all that is left of its tree.
/// The exit status is that of a child; another process's is not known.
async fn attend(
    shared: &Shared,
    container: &ContainerId,
    pid: i32,
    destroyed: &mut watch::Receiver<bool>,
) -> io::Result<Option<Exit>> {
    let Some(process) = Pid::from_raw(pid) else { return Ok(None) };
    let ended = ended(process);
    tokio::pin!(ended);
    tokio::select! {
        result = &mut ended => result?,
        () = is_destroyed(destroyed) => {
            kill(vec![pid]).await;
            ended.await?;
        }
    }
    // A child is not reaped yet, so its number still is its own and names the group and session it led for certain. The
    // number of another's child may have been given anew; then nothing that it names is of this container.
    let mut roots = orphans(shared, container).await;
    if procfs::process(pid)?.is_none_or(|found| found.is_zombie()) {
        roots.push(pid);
    }
    kill(roots).await;
    match wait::try_wait(process) {
        Ok(exit) => {
            if let Some(exit) = exit {
                RuntimeDir::of(&shared.config.runtime_dir, container).note_status(exit);
            }
            Ok(exit)
        }
        // Not a child of this agent: recovered from the one before.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::CHILD.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is left of this container without its first process: a task whose executor was killed, what made a session of
/// its own, and nested containers that an earlier agent of Apache Mesos started.
pub(crate) async fn orphans(shared: &Shared, container: &ContainerId) -> Vec<i32> {
    let runtime = RuntimeDir::of(&shared.config.runtime_dir, container);
    let (work_dir, id) = (shared.config.work_dir.clone(), container.clone());
    let found = blocking(move || -> io::Result<Vec<i32>> {
        let mut pids = runtime.nested_pids();
        let lost = lost_processes(&work_dir)?;
        pids.extend(lost.into_iter().filter(|(_, of)| of == id.value()).map(|(pid, _)| pid));
        Ok(pids)
    });
    match found.await.map_err(io::Error::other) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) | Err(error) => {
            tracing::error!("Processes of container {container} may be left: {error}");
            Vec::new()
        }
    }
}

/// Processes without parents of their own, with the container each is of. They are known by the sandbox that they were
/// started with. (A task can hide from that; cgroups will find it.)
pub(crate) fn lost_processes(work_dir: &Path) -> io::Result<Vec<(i32, String)>> {
    let mut begin = b"MESOS_SANDBOX=".to_vec();
    begin.extend(work_dir.join("slaves/").as_os_str().as_bytes());
    procfs::adopted(|variable| {
        let below = std::str::from_utf8(variable.strip_prefix(begin.as_slice())?).ok()?;
        let (_, run) = below.rsplit_once("/runs/")?;
        // A nested container's sandbox is in that of its parent.
        Some(run.split('/').next().unwrap_or(run).to_string())
    })
}

async fn is_destroyed(destroyed: &mut watch::Receiver<bool>) {
    // The sender is gone only with the containerizer itself; then nothing is destroyed any more.
    if destroyed.wait_for(|destroyed| *destroyed).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn ended(pid: Pid) -> io::Result<()> {
    match wait::pid_descriptor(pid) {
        Ok(descriptor) => {
            // Its successor is the same but for `unsafe`, which asks for what an OwnedFd is: a descriptor that stays.
            #[expect(deprecated, reason = "unsafe is for messor-linux, which has no runtime")]
            let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
            let _ready = descriptor.readable().await?;
            Ok(())
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(()),
        Err(_) => {
            while procfs::process(pid.as_raw_pid())?.is_some_and(|process| !process.is_zombie()) {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            Ok(())
        }
    }
}

/// Kills the tree and waits until its members are gone.
pub(crate) async fn kill(roots: Vec<i32>) {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let tree = Tree { roots: roots.clone(), spared: vec![me] };
    let killed = blocking(move || killtree::kill_tree(&mut killtree::Kernel, &tree, Signal::KILL)).await;
    let members = match killed {
        Ok(Ok(members)) => members,
        Ok(Err(error)) => return tracing::error!("Processes of the tree of {roots:?} may be left: {error}"),
        Err(error) => return tracing::error!("Processes of the tree of {roots:?} may be left: {error}"),
    };
    if !members.is_empty() {
        tracing::info!("Killed {}", killtree::describe(&members));
    }
    let is_left = |member: &procfs::Process| {
        let found = procfs::process(member.pid).ok().flatten();
        found.is_some_and(|found| found.start_ticks == member.start_ticks && !found.is_zombie())
    };
    for _ in 0..DEATH_LOOKS {
        if !members.iter().any(is_left) {
            return;
        }
        tokio::time::sleep(DEATH_INTERVAL).await;
    }
    tracing::warn!("Still there after being killed: {}", killtree::describe(&members));
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}
