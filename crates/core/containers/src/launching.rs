//! From nothing to a program that runs, one step after the other.

use messor_types::ContainerId;

use crate::container::{Container, End, State};
use crate::containers::{Containers, Effects, WAITING_LIMIT, error, failed, info};
use crate::effect::{Answer, Effect, Failure, Step};
use crate::event::{Outcome, Spec, Ticket};

impl Containers {
    pub(crate) fn launch(
        &mut self,
        effects: Effects<'_>,
        container: ContainerId,
        spec: Spec,
        ticket: Ticket,
    ) {
        let refused = match container.parent() {
            _ if self.recovery.is_under_way() => {
                Some(failed("containers of before are still being recovered".into()))
            }
            _ if self.is_taken(&container) => Some(Answer::Exists),
            None if spec.kind.is_nested() => {
                Some(Answer::Invalid(format!("container {container} has no parent, but is to be nested")))
            }
            Some(_) if !spec.kind.is_nested() => {
                Some(Answer::Invalid(format!("container {container} has a parent, but is not to be nested")))
            }
            None => None,
            Some(parent) => match self.containers.get_mut(parent) {
                None => Some(Answer::NoParent),
                Some(found) if found.ending.is_some() => {
                    Some(failed(format!("the parent of container {container} is being destroyed")))
                }
                // Its program may run, and ask, before it is told here that it runs.
                Some(found) if found.pending == Some(Step::GoOn) && found.expected.len() < WAITING_LIMIT => {
                    return found.expected.push((container, spec, ticket));
                }
                Some(found) if found.state != State::Running => {
                    Some(failed(format!("the parent of container {container} does not run yet")))
                }
                Some(_) => None,
            },
        };
        if let Some(answer) = refused {
            return effects.push(Effect::Answer { ticket, answer });
        }
        info(effects, format!("Launching container {container}"));
        let begun = Container {
            run: self.next_run(),
            spec,
            state: State::Starting,
            pending: None,
            prepared: Vec::new(),
            forked: false,
            provisioned: false,
            pid: None,
            launched: false,
            launch: Some(ticket),
            stale: false,
            ending: None,
            end: End::default(),
            attempts: 0,
            waiting: Vec::new(),
            expected: Vec::new(),
            held: false,
        };
        self.containers.insert(container.clone(), begun);
        self.start(effects, &container, Step::Begin);
    }

    pub(crate) fn done(
        &mut self,
        effects: Effects<'_>,
        container: &ContainerId,
        run: u64,
        step: &Step,
        outcome: Outcome,
    ) {
        let Some(found) = self.containers.get_mut(container).filter(|found| found.run == run) else { return };
        if found.pending.as_ref() != Some(step) {
            return;
        }
        found.pending = None;
        let expected = std::mem::take(&mut found.expected);
        self.went(effects, container, step, outcome);
        for (container, spec, ticket) in expected {
            self.launch(effects, container, spec, ticket);
        }
    }

    /// The step that was under way is over.
    fn went(&mut self, effects: Effects<'_>, container: &ContainerId, step: &Step, outcome: Outcome) {
        let Some(found) = self.containers.get_mut(container) else { return };
        if matches!(step, Step::KillAll | Step::CleanUp(_) | Step::Unprovision | Step::Finish(_)) {
            return self.end_step_done(effects, container, step, outcome);
        }
        match outcome {
            Outcome::Forked { pid } => found.pid = Some(pid),
            Outcome::NotExecuted { status } => {
                // In Apache Mesos a launcher runs by then, says so in the sandbox and exits: so it is told here.
                found.end.status = Some(status);
                found.pid = None;
                self.answer_launch(effects, container);
                return self.destroy(effects, container);
            }
            Outcome::Failed(message) => {
                let failure = if *step == Step::Fetch { Failure::Fetch } else { Failure::Other };
                if found.ending.is_none() {
                    error(effects, format!("Container {container} cannot be launched: {message}"));
                    found.end.failure.get_or_insert((failure, message));
                }
                return self.destroy(effects, container);
            }
            Outcome::Done | Outcome::Killed { .. } => {}
        }
        if found.ending.is_some() {
            return self.go_on_ending(effects, container);
        }
        match self.step_after(container, step) {
            Some(next) => {
                self.enter(container, &next);
                self.start(effects, container, next);
            }
            None => self.runs(effects, container),
        }
    }

    /// What comes next of a launch; None: it runs.
    fn step_after(&self, container: &ContainerId, step: &Step) -> Option<Step> {
        let found = self.containers.get(container)?;
        let all = self.isolators_of(container, found.spec.kind);
        let first = |number: Option<usize>| all.iter().copied().find(|one| number.is_none_or(|of| *one > of));
        let prepare = |number| first(number).map_or(Step::Fork, Step::Prepare);
        let isolate = |number| first(number).map(Step::Isolate);
        let update = || found.stale.then(|| Step::Update(found.prepared.clone()));
        let fetch = || found.spec.fetches.then_some(Step::Fetch);
        let next = match step {
            Step::Begin if found.spec.image => Step::Provision,
            Step::Begin | Step::Provision => prepare(None),
            Step::Prepare(number) => prepare(Some(*number)),
            Step::Fork => isolate(None).or_else(update).or_else(fetch).unwrap_or(Step::GoOn),
            Step::Isolate(number) => {
                isolate(Some(*number)).or_else(update).or_else(fetch).unwrap_or(Step::GoOn)
            }
            // One that came before the fetch; there can be another after it.
            Step::Update(_) if found.state != State::Fetching => {
                update().or_else(fetch).unwrap_or(Step::GoOn)
            }
            Step::Update(_) | Step::Fetch => update().unwrap_or(Step::GoOn),
            Step::GoOn | Step::KillAll | Step::CleanUp(_) | Step::Unprovision | Step::Finish(_) => {
                return None;
            }
        };
        Some(next)
    }

    /// Notes what a step that is about to begin may leave behind.
    fn enter(&mut self, container: &ContainerId, step: &Step) {
        let Some(found) = self.containers.get_mut(container) else { return };
        match step {
            Step::Provision => {
                found.state = State::Provisioning;
                found.provisioned = true;
            }
            Step::Prepare(number) => {
                found.state = State::Preparing;
                found.prepared.push(*number);
            }
            Step::Fork => {
                found.state = State::Isolating;
                found.forked = true;
            }
            Step::Update(_) => found.stale = false,
            Step::Fetch => found.state = State::Fetching,
            _ => {}
        }
    }

    fn runs(&mut self, effects: Effects<'_>, container: &ContainerId) {
        let Some(found) = self.containers.get_mut(container) else { return };
        found.state = State::Running;
        let (run, pid) = (found.run, found.pid);
        if std::mem::take(&mut found.stale) {
            let isolators = found.prepared.clone();
            effects.push(Effect::Update { container: container.clone(), isolators });
        }
        self.answer_launch(effects, container);
        if let Some(pid) = pid {
            effects.push(Effect::Watch { container: container.clone(), run, pid });
        }
    }

    fn answer_launch(&mut self, effects: Effects<'_>, container: &ContainerId) {
        let Some(found) = self.containers.get_mut(container) else { return };
        found.launched = true;
        if let Some(ticket) = found.launch.take() {
            let pid = found.pid;
            effects.push(Effect::Answer { ticket, answer: Answer::Launched { pid } });
        }
    }
}
