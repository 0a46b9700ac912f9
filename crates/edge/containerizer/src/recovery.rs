//! Finding the containers that an agent of before left: those of known runs are watched again, all others are ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use messor_agent_core::{ContainerEvent, Run};
use messor_types::ContainerId;
use tokio::runtime::Handle;

use crate::container::{self, blocking, kill, lost_processes};
use crate::containerizer::{Config, Shared};
use crate::runtime::{Presence, RuntimeDir};

/// What was found of everything that is not a run that goes on.
#[derive(Default)]
struct Found {
    /// Runs whose first process is there.
    running: BTreeMap<ContainerId, i32>,
    /// Runs that ended while no agent was there, and how.
    ended: BTreeMap<ContainerId, i32>,
    /// Processes that are to end.
    left: Vec<i32>,
    /// Containers of which nothing shall be left.
    gone: Vec<RuntimeDir>,
    destroyed: BTreeSet<ContainerId>,
}

pub(crate) async fn recover(shared: Arc<Shared>, runs: Vec<Run>, runtime: Handle) {
    let resources: BTreeMap<ContainerId, _> =
        runs.iter().map(|run| (run.container.clone(), run.resources.clone())).collect();
    let sandboxes: BTreeMap<ContainerId, _> =
        runs.iter().map(|run| (run.container.clone(), shared.config.work_dir.join(&run.directory))).collect();
    let to_look = shared.clone();
    let found = match blocking(move || look(&to_look.config, &runs)).await.map_err(io::Error::other) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) | Err(error) => {
            let message = format!("the containers of the agent before cannot be found: {error}");
            return shared.emit(ContainerEvent::RecoveryFailed { message }).await;
        }
    };
    for container in &found.destroyed {
        tracing::info!("Destroying container {container}, which is of no executor that is known");
    }
    if !found.left.is_empty() {
        kill(found.left).await;
    }
    let gone = found.gone;
    if let Err(error) = blocking(move || gone.iter().for_each(RuntimeDir::remove)).await {
        tracing::warn!("what is kept of containers may be left: {error}");
    }
    // Entered before anybody is told of them, so that they can be destroyed from then on.
    let mut running = BTreeMap::new();
    let mut watches = Vec::new();
    for (container, pid) in found.running {
        let resources = resources.get(&container).cloned().unwrap_or_default();
        match shared.enter(&container, Some(pid), resources) {
            Some(destroyed) => {
                // Its volumes are linked since before.
                if let Some(sandbox) = sandboxes.get(&container) {
                    shared.set_sandbox(&container, sandbox.clone());
                }
                running.insert(container.clone(), u32::try_from(pid).unwrap_or_default());
                watches.push((container, pid, destroyed));
            }
            None => tracing::warn!("Container {container} was recovered twice"),
        }
    }
    for container in found.ended.keys() {
        shared.enter(container, None, Vec::new());
        running.insert(container.clone(), 0);
    }
    shared.emit(ContainerEvent::Recovered { running, destroyed: found.destroyed.len() }).await;
    for (container, status) in found.ended {
        let status = Some(status);
        shared.end(ContainerEvent::Exited { container, status, limitation: None }).await;
    }
    for (container, pid, destroyed) in watches {
        runtime.spawn(container::watch(shared.clone(), container, pid, destroyed));
    }
}

fn look(config: &Config, runs: &[Run]) -> io::Result<Found> {
    let mut found = Found::default();
    for run in runs {
        let runtime = RuntimeDir::of(&config.runtime_dir, &run.container);
        let pid = run.forked_pid.and_then(|pid| i32::try_from(pid).ok()).or_else(|| runtime.pid());
        let presence = match pid {
            Some(pid) => runtime.presence(pid, run.container.value())?,
            None => Presence::Ended,
        };
        match (presence, pid, runtime.status()) {
            (Presence::Runs, Some(pid), _) => {
                found.running.insert(run.container.clone(), pid);
                continue;
            }
            (_, _, Some(status)) => {
                found.ended.insert(run.container.clone(), status);
            }
            _ => {}
        }
        found.left.extend(runtime.nested_pids());
        found.gone.push(runtime);
    }
    let known: BTreeSet<&ContainerId> = runs.iter().map(|run| &run.container).collect();
    for (container, runtime) in RuntimeDir::all(&config.runtime_dir)? {
        if known.contains(&container) {
            continue;
        }
        if let Some(sandbox) = runtime.sandbox().filter(|sandbox| !is_below(&config.work_dir, sandbox)) {
            tracing::warn!(
                "Container {container} is of an agent with another work directory ({}) and is left alone; give each \
                 agent of a host its own --runtime_dir",
                sandbox.display()
            );
            continue;
        }
        if let Some(pid) = runtime.pid()
            && runtime.presence(pid, container.value())? == Presence::Runs
        {
            found.left.push(pid);
        }
        found.left.extend(runtime.nested_pids());
        found.gone.push(runtime);
        found.destroyed.insert(container);
    }
    // What lost its container altogether: a task whose executor ended, or of which nothing was noted.
    for (pid, container) in lost_processes(&config.work_dir)? {
        let container = ContainerId::new(&container);
        if !found.running.contains_key(&container) {
            found.left.push(pid);
            if !known.contains(&container) {
                found.destroyed.insert(container);
            }
        }
    }
    Ok(found)
}

/// Whether a sandbox is of this work directory, under this or under an earlier name of it.
fn is_below(work_dir: &Path, sandbox: &Path) -> bool {
    let text = sandbox.to_string_lossy();
    let run = text.find("/slaves/").map(|at| &text[at + 1..]);
    sandbox.starts_with(work_dir) || run.is_some_and(|run| work_dir.join("meta").join(run).is_dir())
}
