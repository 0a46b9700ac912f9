//! The machine: every event, and what all parts need.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;

use messor_proto::mesos::slave::ContainerTermination;
use messor_stdx::Level;
use messor_types::ContainerId;

use crate::container::{Container, State};
use crate::effect::{Answer, Effect, Failure, Step};
use crate::event::{Event, IsolatorTraits, Kind, Ticket};
use crate::recovery::Recovery;

/// Who waits for one container, for its end or for it to run; more are refused.
pub(crate) const WAITING_LIMIT: usize = 4096;

/// All containers of an agent.
#[derive(Clone, Debug, Default)]
pub struct Containers {
    pub(crate) isolators: Vec<IsolatorTraits>,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    /// Nested ones that ended and are kept until somebody removes them or their root ends.
    pub(crate) ended: BTreeMap<ContainerId, ContainerTermination>,
    /// Whose files are being removed.
    removing: BTreeSet<ContainerId>,
    pub(crate) recovery: Recovery,
    last_run: u64,
    pub(crate) destroy_errors: u64,
}

/// A container for those who look from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub kind: Kind,
    pub state: State,
    /// Once its program runs, until it is to end.
    pub pid: Option<i32>,
    /// The step under way.
    pub pending: Option<Step>,
    /// The isolators that have to do with it so far.
    pub isolators: Vec<usize>,
}

pub(crate) type Effects<'e> = &'e mut Vec<Effect>;

impl Containers {
    /// `isolators` in the order in which they prepare.
    pub fn new(isolators: Vec<IsolatorTraits>) -> Containers {
        Containers { isolators, ..Containers::default() }
    }

    pub fn handle(&mut self, event: Event, effects: Effects<'_>) {
        match event {
            Event::Launch { container, spec, ticket } => self.launch(effects, container, spec, ticket),
            Event::Destroy { container } => match self.containers.contains_key(&container) {
                true => self.destroy(effects, &container),
                false => effects.push(Effect::NotThere { container }),
            },
            Event::Limited { container, limitation } => {
                // One that ends already was not ended by this.
                if let Some(found) = self.containers.get_mut(&container)
                    && found.ending.is_none()
                {
                    let message = limitation.message().to_string();
                    found.end.limitations.push(limitation.clone());
                    // Those within end for the same reason.
                    let within = self.containers.iter_mut().filter(|(id, _)| is_within(id, &container));
                    for (_, other) in within.filter(|(_, other)| other.ending.is_none()) {
                        other.end.limitations.push(limitation.clone());
                    }
                    info(effects, format!("Container {container} has reached its limit and ends: {message}"));
                    self.destroy(effects, &container);
                }
            }
            Event::Update { container } => self.update(effects, container),
            Event::Kill { container, signal, ticket } => self.kill(effects, &container, signal, ticket),
            Event::Wait { container, ticket } => self.wait(effects, &container, ticket),
            Event::Remove { container, ticket } => self.remove(effects, container, ticket),
            Event::Removed { container, ticket, outcome } => {
                self.removing.remove(&container);
                let answer = match outcome {
                    Ok(()) => {
                        self.ended.retain(|id, _| *id != container && !is_within(id, &container));
                        Answer::Removed
                    }
                    Err(message) => failed(message),
                };
                effects.push(Effect::Answer { ticket, answer });
            }
            Event::Done { container, run, step, outcome } => {
                self.done(effects, &container, run, &step, outcome);
            }
            Event::Exited { container, run } => {
                if self.containers.get(&container).is_some_and(|found| found.run == run) {
                    self.destroy(effects, &container);
                }
            }
            Event::Retry { container, run } => self.retry(effects, &container, run),
            Event::Recover { known } => self.recover(effects, known),
            Event::Looked(found) => self.looked(effects, found),
            Event::IsolatorsRecovered(outcome) => self.isolators_recovered(effects, outcome),
        }
    }

    /// Every container that has not ended.
    pub fn standing(&self) -> impl Iterator<Item = (&ContainerId, Standing)> {
        self.containers.iter().map(|(id, container)| (id, standing(container)))
    }

    pub fn standing_of(&self, container: &ContainerId) -> Option<Standing> {
        self.containers.get(container).map(standing)
    }

    /// Those to be launched in this one, neither begun nor refused before it is known to run.
    pub fn expected_in(&self, container: &ContainerId) -> impl Iterator<Item = &ContainerId> {
        let found = self.containers.get(container);
        found.into_iter().flat_map(|found| found.expected.iter().map(|(id, ..)| id))
    }

    /// How often a step of a destroy failed for good.
    pub fn destroy_errors(&self) -> u64 {
        self.destroy_errors
    }

    pub(crate) fn next_run(&mut self) -> u64 {
        self.last_run += 1;
        self.last_run
    }

    /// The isolators that have to do with a container of this kind, in order.
    pub(crate) fn isolators_of(&self, container: &ContainerId, kind: Kind) -> Vec<usize> {
        let standalone = match kind {
            Kind::Standalone => true,
            Kind::Executor => false,
            Kind::Nested | Kind::Debug => {
                self.containers.get(container.root()).is_some_and(|root| root.spec.kind == Kind::Standalone)
            }
        };
        let takes_part = |traits: &IsolatorTraits| {
            (traits.nesting || !kind.is_nested()) && (traits.standalone || !standalone)
        };
        (0..self.isolators.len()).filter(|number| takes_part(&self.isolators[*number])).collect()
    }

    pub(crate) fn start(&mut self, effects: Effects<'_>, container: &ContainerId, step: Step) {
        let Some(found) = self.containers.get_mut(container) else { return };
        found.pending = Some(step.clone());
        effects.push(Effect::Do { container: container.clone(), run: found.run, step });
    }

    fn update(&mut self, effects: Effects<'_>, container: ContainerId) {
        let Some(found) = self.containers.get_mut(&container) else { return };
        if found.ending.is_some() {
            return;
        }
        if found.state == State::Running {
            let isolators = found.prepared.clone();
            effects.push(Effect::Update { container, isolators });
        } else {
            found.stale = true;
        }
    }

    fn kill(&mut self, effects: Effects<'_>, container: &ContainerId, signal: i32, ticket: Ticket) {
        const SIGKILL: i32 = 9;
        const SIGTERM: i32 = 15;
        if matches!(signal, SIGKILL | SIGTERM) && self.is_expected_no_more(effects, container) {
            return effects.push(Effect::Answer { ticket, answer: Answer::Signalled });
        }
        let answer = match self.containers.get(container) {
            None => Answer::NotFound,
            Some(found) => match found.pid.filter(|_| found.state == State::Running) {
                Some(pid) => {
                    let container = container.clone();
                    return effects.push(Effect::Signal { container, pid, signal, ticket });
                }
                None if found.ending.is_some() => Answer::Signalled,
                None if matches!(signal, SIGKILL | SIGTERM) => {
                    self.destroy(effects, container);
                    Answer::Signalled
                }
                None => failed(format!("container {container} does not run yet, so it cannot be signalled")),
            },
        };
        effects.push(Effect::Answer { ticket, answer });
    }

    /// Refuses what waits to be launched under this id; whether there was such.
    fn is_expected_no_more(&mut self, effects: Effects<'_>, container: &ContainerId) -> bool {
        let parent = container.parent().and_then(|parent| self.containers.get_mut(parent));
        let Some(expected) = parent.map(|parent| &mut parent.expected) else { return false };
        let before = expected.len();
        expected.retain(|(id, _, ticket)| {
            if id == container {
                let answer = failed(format!("container {container} was killed before it began"));
                effects.push(Effect::Answer { ticket: *ticket, answer });
            }
            id != container
        });
        expected.len() < before
    }

    fn wait(&mut self, effects: Effects<'_>, container: &ContainerId, ticket: Ticket) {
        let answer = match (self.containers.get_mut(container), self.ended.get(container)) {
            (Some(found), _) if found.waiting.len() < WAITING_LIMIT => return found.waiting.push(ticket),
            (Some(_), _) => failed(format!("too many wait for container {container} already")),
            (None, Some(termination)) => Answer::Ended(Box::new(termination.clone())),
            (None, None) => Answer::NotFound,
        };
        effects.push(Effect::Answer { ticket, answer });
    }

    fn remove(&mut self, effects: Effects<'_>, container: ContainerId, ticket: Ticket) {
        let answer = if container.parent().is_none() {
            Answer::Invalid(format!("container {container} is not nested: its files go by themselves"))
        } else if !self.containers.contains_key(container.root()) {
            Answer::NotFound
        } else if self.containers.contains_key(&container) {
            Answer::Invalid(format!("container {container} has not ended yet"))
        } else if !self.removing.insert(container.clone()) {
            Answer::Invalid(format!("container {container} is being removed already"))
        } else {
            return effects.push(Effect::Remove { container, ticket });
        };
        effects.push(Effect::Answer { ticket, answer });
    }

    /// Whether this id was given to a container that is there or of which something is kept.
    pub(crate) fn is_taken(&self, container: &ContainerId) -> bool {
        self.containers.contains_key(container)
            || self.ended.contains_key(container)
            || self.removing.contains(container)
    }
}

fn standing(container: &Container) -> Standing {
    Standing {
        kind: container.spec.kind,
        state: container.state,
        pid: container.pid.filter(|_| container.state == State::Running),
        pending: container.pending.clone(),
        isolators: container.prepared.clone(),
    }
}

/// Whether a container is nested in another, at whatever depth.
pub(crate) fn is_within(container: &ContainerId, outer: &ContainerId) -> bool {
    let mut parent = container.parent();
    while let Some(found) = parent {
        if found == outer {
            return true;
        }
        parent = found.parent();
    }
    false
}

pub(crate) fn failed(message: String) -> Answer {
    Answer::Failed { failure: Failure::Other, message }
}

#[track_caller]
pub(crate) fn info(effects: Effects<'_>, line: String) {
    effects.push(Effect::Log { level: Level::Info, line, at: Location::caller() });
}

#[track_caller]
pub(crate) fn warning(effects: Effects<'_>, line: String) {
    effects.push(Effect::Log { level: Level::Warning, line, at: Location::caller() });
}

#[track_caller]
pub(crate) fn error(effects: Effects<'_>, line: String) {
    effects.push(Effect::Log { level: Level::Error, line, at: Location::caller() });
}
