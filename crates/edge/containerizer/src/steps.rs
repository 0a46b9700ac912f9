//! The steps of a container's life, carried out.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use messor_checkpoint::{FileError, write_file};
use messor_containers::{Kind, Outcome, Step};
use messor_isolators::{Container, Isolator, IsolatorError};
use messor_linux::Exit;
use messor_linux::spawn::Launch;
use messor_linux::users::{Identity, UserError};
use messor_proto::DecodeError;
use messor_proto::mesos::slave::ContainerTermination;
use messor_types::ContainerId;
use messor_warden::Start;

use crate::containerizer::Shared;
use crate::entry::Entry;
use crate::fault::{self, Amid};
use crate::fetching;
use crate::launch_info;
use crate::launcher::{self, ForkError, Launcher};
use crate::launching::{self, LaunchError};
use crate::processes::{self, blocking};
use crate::runtime::RuntimeDir;
use crate::sandbox::{self, SandboxError};
use crate::switchboard::Streams;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Fork(#[from] ForkError),
    #[error("the isolator '{name}' cannot {what} it: {source}")]
    Isolator { name: &'static str, what: &'static str, source: IsolatorError },
    #[error("what the isolator '{name}' wants done cannot be merged: {source}")]
    Merge { name: &'static str, source: DecodeError },
    #[error("not supported yet: {0}")]
    NotSupported(&'static str),
    #[error("it cannot be noted: {0}")]
    Note(#[from] FileError),
    #[error("the fetcher did not start: {0}")]
    FetcherStart(String),
    #[error("nothing more is fetched: {exit}{reason}; see stderr in the sandbox")]
    Fetch { exit: String, reason: String },
    #[error("its standard streams cannot be copied: {0}")]
    Streams(#[source] io::Error),
    #[error("it was destroyed before its program was started")]
    Destroyed,
    #[error("its processes cannot be ended: {0}")]
    Kill(io::Error),
    #[error("what is kept of it cannot be removed: {0}")]
    Remove(io::Error),
    #[error("the fetcher cannot be watched: {0}")]
    Watch(io::Error),
    #[error("a thread of the agent failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Carries out one step.
pub(crate) async fn perform(shared: &Arc<Shared>, entry: &Arc<Entry>, step: &Step) -> Outcome {
    // There are no images, so with two of these nothing is done; the third has a point of each isolator.
    if !matches!(step, Step::Provision | Step::Unprovision | Step::Update(_)) {
        let isolator = |number: usize| shared.isolators.get(number).map_or("?", |one| one.name());
        fault::point(entry.kind, || format!("before {}", fault::name(step, isolator)));
    }
    let outcome = match step {
        Step::Begin => begin(shared, entry).await.map(|()| Outcome::Done),
        Step::Provision => Err(Problem::NotSupported("container images")),
        Step::Prepare(number) => prepare(shared, entry, *number).await.map(|()| Outcome::Done),
        Step::Fork => fork(shared, entry).await.map(|pid| Outcome::Forked { pid }),
        Step::Isolate(number) => isolate(shared, entry, *number).await.map(|()| Outcome::Done),
        Step::Update(all) => {
            let (entry, shared, all) = (entry.clone(), shared.clone(), all.clone());
            let done = blocking(move || update(&shared, &entry, &all)).await;
            done.map_err(Problem::from).flatten().map(|()| Outcome::Done)
        }
        Step::Fetch => fetching::fetch(shared, entry).await.map(|()| Outcome::Done),
        Step::GoOn => go_on(entry).await,
        Step::KillAll => {
            let killed = processes::kill_all(entry, &shared.config.work_dir, &shared.launcher).await;
            killed.map(|status| Outcome::Killed { status }).map_err(Problem::Kill)
        }
        Step::CleanUp(number) => clean_up(shared, entry, *number).await.map(|()| Outcome::Done),
        // No image was ever provisioned.
        Step::Unprovision => Ok(Outcome::Done),
        Step::Finish(termination) => finish(entry, termination).await.map(|()| Outcome::Done),
    };
    match step {
        Step::GoOn => fault::point(entry.kind, || "after go on".into()),
        Step::Finish(_) => fault::point(entry.kind, || "after finish".into()),
        // As good as before the next.
        _ => {}
    }
    outcome.unwrap_or_else(|problem| Outcome::Failed(problem.to_string()))
}

/// Asks an isolator on a thread that may wait; one question about a container at a time.
async fn ask<T: Send + 'static>(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    number: usize,
    what: &'static str,
    question: impl FnOnce(&dyn Isolator, &Container) -> Result<T, IsolatorError> + Send + 'static,
) -> Result<T, Problem> {
    let Some(isolator) = shared.isolators.get(number).cloned() else {
        return Err(Problem::NotSupported("an isolator that is not there"));
    };
    let entry = entry.clone();
    blocking(move || {
        let _turn = entry.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = question(&*isolator, &entry.seen());
        answer.map_err(|source| Problem::Isolator { name: isolator.name(), what, source })
    })
    .await?
}

async fn begin(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<(), Problem> {
    let (shared, entry) = (shared.clone(), entry.clone());
    // Names of users may be looked up over the network, and disks are slow: not on the runtime's threads.
    blocking(move || {
        let config = entry.state().config.clone();
        if let Some(wanted) = config.container_info.as_ref().and_then(launching::unsupported) {
            return Err(Problem::NotSupported(wanted));
        }
        let limits = config.limits.keys().map(String::as_str).collect::<Vec<_>>();
        if !shared.enforces(&limits) {
            return Err(Problem::NotSupported(launching::LIMITS));
        }
        let identity = identity(&entry, &[])?;
        entry.runtime.note_config(&config, entry.kind)?;
        Amid::ConfigNoted.pass(entry.kind);
        let Some(plan) = &entry.plan else { return Ok(()) };
        let sandbox = match &plan.directory {
            Some(directory) => sandbox::create(&shared.config.work_dir, directory, identity.as_ref())?,
            None => sandbox::create_nested(&plan.root_sandbox, &entry.id, identity.as_ref())?,
        };
        Amid::SandboxMade.pass(entry.kind);
        launching::fresh_outputs(&plan.root_sandbox, &sandbox, identity.as_ref())?;
        Ok(())
    })
    .await?
}

pub(crate) fn identity(entry: &Entry, groups: &[u32]) -> Result<Option<Identity>, UserError> {
    let user = entry.state().config.user.clone();
    user.map(|user| Identity::of(&user, groups)).transpose()
}

async fn prepare(shared: &Arc<Shared>, entry: &Arc<Entry>, number: usize) -> Result<(), Problem> {
    let answer = ask(shared, entry, number, "prepare", |isolator, container| {
        isolator.prepare(container).map(|info| (isolator.name(), info))
    });
    if let (name, Some(info)) = answer.await? {
        let mut state = entry.state();
        state.launch_info = launch_info::merge(&state.launch_info, &info)
            .map_err(|source| Problem::Merge { name, source })?;
    }
    Ok(())
}

async fn isolate(shared: &Arc<Shared>, entry: &Arc<Entry>, number: usize) -> Result<(), Problem> {
    let pid = entry.state().pid.unwrap_or_default();
    ask(shared, entry, number, "isolate", move |isolator, container| isolator.isolate(container, pid)).await
}

async fn clean_up(shared: &Arc<Shared>, entry: &Arc<Entry>, number: usize) -> Result<(), Problem> {
    ask(shared, entry, number, "clean up after", |isolator, container| isolator.cleanup(&container.id)).await
}

/// Of all these, on this thread.
pub(crate) fn update(shared: &Shared, entry: &Entry, all: &[usize]) -> Result<(), Problem> {
    let _turn = entry.calls.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = entry.seen();
    for isolator in all.iter().filter_map(|number| shared.isolators.get(*number)) {
        fault::point(entry.kind, || format!("before update {}", isolator.name()));
        let updated = isolator.update(&seen);
        updated.map_err(|source| Problem::Isolator { name: isolator.name(), what: "update", source })?;
    }
    fault::point(entry.kind, || "after update".into());
    Ok(())
}

async fn fork(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<i32, Problem> {
    let turn = shared.forks.clone().acquire_owned().await;
    let turn = turn.map_err(|_| Problem::Destroyed)?;
    let parent = entry.id.parent().and_then(|parent| shared.lock().machine.standing_of(parent)?.pid);
    // Before its program runs, so that an agent which ends now leaves nothing that the next one does not find.
    let to_note = entry.clone();
    let noted = move |pid: i32| {
        Amid::Forked.pass(to_note.kind);
        to_note.runtime.note_process(pid)?;
        Amid::PidNoted.pass(to_note.kind);
        match to_note.plan.as_ref().and_then(|plan| plan.forked_pid.as_ref()) {
            Some(path) => write_file(path, pid.to_string().as_bytes()).map_err(io::Error::other),
            None => Ok(()),
        }
    };
    let (to_start, by) = (entry.clone(), shared.clone());
    let info = blocking(move || -> Result<_, Problem> {
        let info = launching::complete(&to_start, &to_start.sandbox());
        let identity = identity(&to_start, &info.supplementary_groups)?;
        to_start.runtime.note_launch_info(&info)?;
        Amid::LaunchInfoNoted.pass(to_start.kind);
        to_start.state().launch_info = info.clone();
        Ok((info, identity))
    });
    let (info, identity) = info.await??;
    let (root, sandbox, of) = (entry.root_sandbox(), entry.sandbox(), entry.clone());
    let streams = shared.switchboards.take(&entry.id);
    let complaints = streams.as_ref().map(Streams::complaints).transpose().map_err(Problem::Streams)?;
    entry.state().complaints = complaints.map(File::from);
    let held = match &shared.launcher {
        Launcher::Posix => {
            let launch =
                blocking(move || launching::start(&info, &root, &sandbox, identity, streams, &by.config))
                    .await??;
            // What is downloaded may keep it waiting for long.
            let shares_memory = entry.state().config.command_info.uris.is_empty();
            let launch = Launch { shares_memory, ..launch };
            launcher::fork(launch, turn, noted).await?
        }
        Launcher::Linux(linux) => {
            let plan = blocking(move || {
                launching::plan(&info, &root, &sandbox, identity, parent, streams, &by.config)
            });
            let mut process = plan.await??;
            process.cgroups.push(linux.enter(&of.id).map_err(ForkError::from)?);
            let start = Start {
                container: of.id.to_string(),
                status_file: of.runtime.path().join("status"),
                pid_files: Vec::new(),
                process,
            };
            linux.fork(start, turn, noted).await?
        }
    };
    let pid = held.pid();
    let mut state = entry.state();
    state.pid = Some(pid);
    state.held = Some(held);
    Ok(pid)
}

async fn go_on(entry: &Arc<Entry>) -> Result<Outcome, Problem> {
    let held = entry.state().held.take().ok_or(Problem::Destroyed)?;
    let gone_on = held.go_on().await;
    let complaints = entry.state().complaints.take();
    let Err(error) = gone_on else { return Ok(Outcome::Done) };
    // It is gone, and its number is free again.
    entry.state().pid = None;
    if !error.is_of_program() {
        return Err(error.into());
    }
    tracing::warn!("The program of container {} did not start: {error}", entry.id);
    // The sandbox, or who is attached, is all that can be told of it; the exit status says the rest.
    let (told, words) = (entry.clone(), error.to_string());
    let written = blocking(move || {
        use std::io::Write;
        let mut file = match complaints {
            Some(complaints) => complaints,
            None => sandbox::open_output(&told.root_sandbox(), &told.sandbox(), "stderr", None)
                .map_err(io::Error::other)?,
        };
        writeln!(file, "{words}")
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!("{error}");
    }
    let exit = Exit::Exited(1);
    entry.runtime.note_status(exit);
    Ok(Outcome::NotExecuted { status: exit.to_wait_status() })
}

async fn finish(entry: &Arc<Entry>, termination: &ContainerTermination) -> Result<(), Problem> {
    let (entry, termination) = (entry.clone(), termination.clone());
    blocking(move || match entry.kind {
        Kind::Executor | Kind::Standalone => entry.runtime.remove().map_err(Problem::Remove),
        // Below a root that is gone nothing is kept.
        Kind::Nested | Kind::Debug if !entry.runtime.path().is_dir() => Ok(()),
        Kind::Nested | Kind::Debug => Ok(entry.runtime.note_termination(&termination)?),
    })
    .await?
}

/// The files of an ended nested container.
pub(crate) fn remove(runtime: &RuntimeDir, id: &ContainerId, root_sandbox: &Path) -> Result<(), String> {
    let kind = runtime.kind(id);
    fault::point(kind, || "before remove".into());
    let removed = runtime.remove().and_then(|()| {
        Amid::FilesRemoved.pass(kind);
        sandbox::remove_nested(root_sandbox, id)
    });
    fault::point(kind, || "after remove".into());
    removed.map_err(|error| error.to_string())
}
