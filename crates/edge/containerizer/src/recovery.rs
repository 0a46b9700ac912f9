//! Finding the containers that an agent of before left, and telling isolators of them. What becomes of each is decided
//! by the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use messor_agent_core::Run;
use messor_containers::{Found, Kind, Process};
use messor_isolators::Recovered;
use messor_proto::mesos::slave::ContainerConfig;
use messor_types::ContainerId;

use crate::containerizer::Shared;
use crate::entry::Entry;
use crate::fault;
use crate::processes::lost_processes;
use crate::runtime::{Presence, RuntimeDir};

pub(crate) fn look(shared: &Shared, runs: &[Run]) -> io::Result<Vec<(Found, Entry)>> {
    fault::recovery("before look");
    let config = &shared.config;
    let runs: BTreeMap<&ContainerId, &Run> = runs.iter().map(|run| (&run.container, run)).collect();
    let mut tops = RuntimeDir::all(&config.runtime_dir)?;
    // One of a known run that is not noted here may still run: it was noted for the agent.
    let noted: BTreeSet<ContainerId> = tops.iter().map(|(id, _)| id.clone()).collect();
    for run in runs.values().filter(|run| run.forked_pid.is_some() && !noted.contains(&run.container)) {
        tops.push((run.container.clone(), RuntimeDir::of(&config.runtime_dir, &run.container)));
    }
    let mut all: Vec<(Found, Entry)> = Vec::new();
    for (id, runtime) in tops {
        let run = runs.get(&id).copied();
        let of_container = runtime.config();
        if let (None, Some(of_container)) = (run, &of_container)
            && !is_below(&config.work_dir, Path::new(&of_container.directory))
        {
            tracing::warn!(
                "Container {id} is of an agent with another work directory ({}) and is left alone; give each agent of a \
                 host its own --runtime_dir",
                of_container.directory
            );
            continue;
        }
        let mut of_container = of_container.unwrap_or_default();
        let mut pid = runtime.pid();
        if let Some(run) = run {
            pid = run.forked_pid.and_then(|pid| i32::try_from(pid).ok()).or(pid);
            of_container.resources.clone_from(&run.resources);
            of_container.directory = config.work_dir.join(&run.directory).to_string_lossy().into_owned();
            if of_container.executor_info.is_none() {
                of_container.executor_info = Some(run.executor.clone());
            }
        }
        all.push(one(shared, &id, &runtime, of_container, pid)?);
        for (id, runtime) in runtime.nested(&id)? {
            let of_container = runtime.config().unwrap_or_default();
            let pid = runtime.pid();
            all.push(one(shared, &id, &runtime, of_container, pid)?);
        }
    }
    // What lost its container altogether: a task whose executor ended, or of which nothing was noted.
    let mut found: BTreeSet<ContainerId> = all.iter().map(|(found, _)| found.container.clone()).collect();
    for lost in lost_processes(&config.work_dir)? {
        let id = ContainerId::new(&lost.root);
        if found.insert(id.clone()) {
            let runtime = RuntimeDir::of(&config.runtime_dir, &id);
            let (mut left, entry) = one(shared, &id, &runtime, ContainerConfig::default(), None)?;
            left.kind = if lost.standalone { Kind::Standalone } else { Kind::Executor };
            all.push((left, entry));
        }
    }
    fault::recovery("after look");
    Ok(all)
}

/// Tells whoever collects them of sandboxes whose containers ended before.
pub(crate) fn tell_of_ended(shared: &Shared, found: &[(Found, Entry)]) {
    if shared.config.ended_sandboxes.is_none() {
        return;
    }
    let mut standalone: BTreeSet<PathBuf> = BTreeSet::new();
    for (found, entry) in found {
        if found.kind == Kind::Standalone {
            standalone.insert(entry.sandbox());
        }
        if found.termination.is_some() && found.container.parent().is_some() {
            shared.sandbox_ended(&entry.sandbox(), true);
        }
    }
    // Of a standalone container that ended nothing else is kept.
    let all = std::fs::read_dir(shared.config.work_dir.join("containers")).into_iter().flatten().flatten();
    for sandbox in all.map(|entry| entry.path()).filter(|path| !standalone.contains(path)) {
        shared.sandbox_ended(&sandbox, true);
    }
}

fn one(
    shared: &Shared,
    id: &ContainerId,
    runtime: &RuntimeDir,
    of_container: ContainerConfig,
    pid: Option<i32>,
) -> io::Result<(Found, Entry)> {
    let kind = runtime.kind(id);
    let presence = match pid {
        Some(pid) => runtime.presence(pid, id.value())?,
        None => Presence::Ended,
    };
    let pid = pid.filter(|_| presence == Presence::Runs);
    let found = Found {
        container: id.clone(),
        kind,
        process: pid.map_or(Process::None, Process::Runs),
        status: runtime.status(),
        termination: runtime.termination(),
    };
    let entry = Entry::new(id.clone(), kind, &shared.config.runtime_dir, of_container, None);
    {
        let mut state = entry.state();
        state.pid = pid;
        state.launch_info = runtime.launch_info().unwrap_or_default();
    }
    Ok((found, entry))
}

pub(crate) fn recover_isolators(
    shared: &Shared,
    going_on: &[Arc<Entry>],
    orphans: &[ContainerId],
) -> Result<(), String> {
    let going_on: Vec<Recovered> =
        going_on.iter().map(|entry| Recovered { container: entry.seen(), pid: entry.state().pid }).collect();
    for isolator in &shared.isolators {
        let takes_part = |container: &ContainerId| {
            let standalone =
                going_on.iter().any(|one| one.container.id == *container.root() && one.container.standalone);
            (isolator.supports_nesting() || container.parent().is_none())
                && (isolator.supports_standalone() || !standalone)
        };
        let concerned: Vec<Recovered> =
            going_on.iter().filter(|one| takes_part(&one.container.id)).cloned().collect();
        fault::recovery(&format!("before {}", isolator.name()));
        let recovered = isolator.recover(&concerned, orphans);
        recovered.map_err(|error| format!("the isolator '{}' cannot recover: {error}", isolator.name()))?;
    }
    fault::recovery("after isolators");
    Ok(())
}

/// Whether a sandbox is of this work directory, under this or under an earlier name of it.
fn is_below(work_dir: &Path, sandbox: &Path) -> bool {
    let text = sandbox.to_string_lossy();
    let run = text.find("/slaves/").map(|at| &text[at + 1..]);
    sandbox.starts_with(work_dir) || run.is_some_and(|run| work_dir.join("meta").join(run).is_dir())
}
