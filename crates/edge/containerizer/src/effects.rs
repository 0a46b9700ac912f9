//! Between the machine and the world: events go in, and what it wants done is begun.

use std::sync::Arc;

use messor_agent_core::{ContainerEvent, LaunchFailure};
use messor_containers::{Answer, Effect, Event, Failure, Kind, Spec, Step, Ticket};
use messor_linux::Pid;
use messor_proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use messor_types::ContainerId;
use tokio::sync::oneshot;

use crate::containerizer::{Inner, Shared};
use crate::entry::Entry;
use crate::processes::{self, blocking};
use crate::recovery;
use crate::runtime::RuntimeDir;
use crate::steps;

/// Who hears an answer of the machine.
pub(crate) enum Reply {
    /// The agent, which launched this executor.
    Agent(ContainerId),
    Caller(oneshot::Sender<Answer>),
}

/// What a question gets whose answer nobody gives any more.
pub(crate) fn ending() -> Answer {
    Answer::Failed { failure: Failure::Other, message: "the agent is ending".to_string() }
}

/// Isolators to be told of new resources, when the machine is free again.
type Updates = Vec<(Arc<Entry>, Vec<usize>)>;

impl Shared {
    pub fn launch(self: &Arc<Self>, entry: Entry, fetches: bool, reply: Reply) {
        let container = entry.id.clone();
        let info = entry.state().config.container_info.clone();
        let image = info.and_then(|info| info.mesos?.image).is_some();
        let spec = Spec { kind: entry.kind, image, fetches };
        let mut updates = Vec::new();
        {
            let mut inner = self.lock();
            let is_new = inner.is_unknown(&container);
            if is_new {
                inner.entries.insert(container.clone(), Arc::new(entry));
            }
            let ticket = inner.ticket(reply);
            self.handle(
                &mut inner,
                Event::Launch { container: container.clone(), spec, ticket },
                &mut updates,
            );
            if is_new && inner.is_unknown(&container) {
                inner.entries.remove(&container);
            }
        }
        self.update_all(updates);
    }

    pub fn event(self: &Arc<Self>, event: Event) {
        let mut updates = Vec::new();
        {
            let mut inner = self.lock();
            let may_be_gone: Vec<ContainerId> = match &event {
                Event::Done { container, step: Step::Finish(_), .. } => vec![container.clone()],
                // What was expected in it is launched now, or refused.
                Event::Done { container, step: Step::GoOn, .. } => {
                    inner.machine.expected_in(container).cloned().collect()
                }
                // One that was expected never comes to be.
                Event::Kill { container, .. } => vec![container.clone()],
                // Of those that had ended before, nothing more is needed here.
                Event::Looked(Ok(all)) => all.iter().map(|found| found.container.clone()).collect(),
                _ => Vec::new(),
            };
            self.handle(&mut inner, event, &mut updates);
            for container in may_be_gone {
                if inner.is_unknown(&container) {
                    inner.entries.remove(&container);
                }
            }
        }
        self.update_all(updates);
    }

    /// Effects begin in the order in which the machine wants them; what takes time goes on by itself.
    fn handle(self: &Arc<Self>, inner: &mut Inner, event: Event, updates: &mut Updates) {
        let mut effects = Vec::new();
        inner.machine.handle(event, &mut effects);
        for effect in effects {
            self.carry_out(inner, effect, updates);
        }
    }

    fn update_all(self: &Arc<Self>, updates: Updates) {
        for (entry, isolators) in updates {
            if let Err(problem) = steps::update(self, &entry, &isolators) {
                let container = entry.id.clone();
                self.emit(ContainerEvent::UpdateFailed { container, message: problem.to_string() });
            }
        }
    }

    fn carry_out(self: &Arc<Self>, inner: &mut Inner, effect: Effect, updates: &mut Updates) {
        let shared = self.clone();
        match effect {
            Effect::Do { container, run, step } => {
                let Some(entry) = inner.entries.get(&container).cloned() else {
                    return tracing::error!(
                        "Nothing is known of container {container}, which is to be changed"
                    );
                };
                self.runtime.spawn(async move {
                    let outcome = steps::perform(&shared, &entry, &step).await;
                    shared.event(Event::Done { container, run, step, outcome });
                });
            }
            Effect::Update { container, isolators } => {
                updates.extend(inner.entries.get(&container).map(|entry| (entry.clone(), isolators)));
            }
            Effect::Watch { container, run, pid } => {
                self.runtime.spawn(async move {
                    if let Err(error) = processes::ended(pid).await {
                        tracing::error!(
                            "The end of container {container} (pid {pid}) cannot be told: {error}"
                        );
                    }
                    // Whoever was killed for its memory is told of that, not of the kill.
                    shared.check(&container);
                    shared.event(Event::Exited { container, run });
                });
            }
            Effect::StopFetch { container } => {
                if let Some(entry) = inner.entries.get(&container) {
                    entry.stop_fetch.send_replace(true);
                }
            }
            Effect::Signal { container, pid, signal, ticket } => {
                answer(self, inner, ticket, signalled(&container, pid, signal));
            }
            Effect::Remove { container, ticket } => {
                let runtime = RuntimeDir::of(&self.config.runtime_dir, &container);
                let root = inner.entries.get(container.root()).map(|entry| entry.sandbox());
                let id = container.clone();
                self.runtime.spawn(async move {
                    let removed = blocking(move || match root {
                        Some(root) => steps::remove(&runtime, &id, &root),
                        None => Err("the sandbox of its root is not known".to_string()),
                    });
                    let outcome = removed.await.map_err(|error| error.to_string()).flatten();
                    shared.event(Event::Removed { container, ticket, outcome });
                });
            }
            Effect::Look { .. } => {
                let runs = inner.runs.clone();
                self.runtime.spawn(async move {
                    let by = shared.clone();
                    let looked = blocking(move || recovery::look(&by, &runs)).await;
                    let looked = looked.map_err(std::io::Error::other).flatten();
                    let looked = looked.map(|found| {
                        recovery::tell_of_ended(&shared, &found);
                        let mut inner = shared.lock();
                        let mut all = Vec::new();
                        for (one, entry) in found {
                            inner.entries.insert(one.container.clone(), Arc::new(entry));
                            all.push(one);
                        }
                        all
                    });
                    let words =
                        |error| format!("the containers of the agent before cannot be found: {error}");
                    shared.event(Event::Looked(looked.map_err(words)));
                });
            }
            Effect::RecoverIsolators { going_on, orphans } => {
                let going_on: Vec<_> =
                    going_on.iter().filter_map(|id| inner.entries.get(id).cloned()).collect();
                self.runtime.spawn(async move {
                    let by = shared.clone();
                    let recovered =
                        blocking(move || recovery::recover_isolators(&by, &going_on, &orphans)).await;
                    let outcome = recovered.map_err(|error| error.to_string()).flatten();
                    shared.event(Event::IsolatorsRecovered(outcome));
                });
            }
            Effect::RetryLater { container, run, after } => {
                self.runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    shared.event(Event::Retry { container, run });
                });
            }
            Effect::Answer { ticket, answer: words } => answer(self, inner, ticket, words),
            Effect::Ended { container, kind: Kind::Executor, termination } => {
                let limitation = limitation(&termination);
                self.emit(ContainerEvent::Exited { container, status: termination.status, limitation });
            }
            // Whoever wants to know of another's end waits for it.
            Effect::Ended { container, .. } => {
                if let Some(entry) = inner.entries.get(&container) {
                    self.sandbox_ended(&entry.sandbox(), false);
                }
            }
            // It ended on its own, or never was: whoever waits for its end is told.
            Effect::NotThere { container } => {
                self.emit(ContainerEvent::Exited { container, status: None, limitation: None });
            }
            Effect::Recovered { running, destroyed } => {
                let pid = |pid: Option<i32>| pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
                let running = running.into_iter().map(|(id, found)| (id, pid(found))).collect();
                inner.runs.clear();
                self.emit(ContainerEvent::Recovered { running, destroyed });
            }
            Effect::RecoveryFailed { message } => self.emit(ContainerEvent::RecoveryFailed { message }),
            Effect::Log { level, line, at } => messor_log::say(level, &line, at),
        }
    }
}

fn answer(shared: &Shared, inner: &mut Inner, ticket: Ticket, answer: Answer) {
    match (inner.replies.remove(&ticket), answer) {
        (Some(Reply::Caller(caller)), answer) => {
            // Nobody listens where the request was given up.
            let _ = caller.send(answer);
        }
        (Some(Reply::Agent(container)), Answer::Launched { pid: Some(pid) }) => {
            let pid = u32::try_from(pid).unwrap_or_default();
            shared.emit(ContainerEvent::Launched { container, pid });
        }
        // Its end follows.
        (Some(Reply::Agent(_)), Answer::Launched { pid: None }) | (None, _) => {}
        (Some(Reply::Agent(container)), answer) => {
            let (reason, message) = match answer {
                Answer::Failed { failure: Failure::Fetch, message } => (LaunchFailure::Fetch, message),
                Answer::Failed { message, .. } | Answer::Invalid(message) => (LaunchFailure::Launch, message),
                _ => (LaunchFailure::Launch, "a container of its id exists already".to_string()),
            };
            let message = format!("container {container} failed to start: {message}");
            shared.emit(ContainerEvent::LaunchFailed { container, reason, message });
        }
    }
}

fn signalled(container: &ContainerId, pid: i32, signal: i32) -> Answer {
    let failed = |message: String| Answer::Failed { failure: Failure::Other, message };
    let Some(pid) = Pid::from_raw(pid) else { return failed(format!("{pid} is no process")) };
    match messor_linux::signals::send_number(pid, signal) {
        Ok(()) => Answer::Signalled,
        Err(error) => failed(format!("container {container} cannot be signalled: {error}")),
    }
}

/// What a container exceeded, where that is why it ended.
fn limitation(termination: &ContainerTermination) -> Option<Box<ContainerLimitation>> {
    termination.state?;
    Some(Box::new(ContainerLimitation {
        resources: termination.limited_resources.clone(),
        message: termination.message.clone(),
        reason: termination.reason,
    }))
}
