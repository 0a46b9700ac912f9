//! From wherever a container is to its end.
//!
//! A step that fails is tried again some times, then given up on, counted and said: what it left is found by the next
//! agent's recovery. So a destroy always leads to an end, and no failing isolator keeps the others from cleaning up.

use messor_stdx::Duration;
use messor_types::ContainerId;

use crate::container::{Phase, State};
use crate::containers::{Containers, Effects, error, info, is_within, warning};
use crate::effect::{Answer, Effect, Failure, Step};
use crate::event::Outcome;

const ATTEMPTS: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Containers {
    /// It is to end, with all that is nested in it.
    pub(crate) fn destroy(&mut self, effects: Effects<'_>, container: &ContainerId) {
        let Some(found) = self.containers.get_mut(container) else { return };
        if found.ending.is_none() {
            found.ending = Some(Phase::Waiting);
            info(effects, format!("Destroying container {container}, which was {}", found.state));
            found.state = State::Destroying;
            if found.pending == Some(Step::Fetch) {
                effects.push(Effect::StopFetch { container: container.clone() });
            }
            for child in self.children(container) {
                self.destroy(effects, &child);
            }
        }
        self.go_on_ending(effects, container);
    }

    fn children(&self, container: &ContainerId) -> Vec<ContainerId> {
        self.containers.keys().filter(|id| id.parent() == Some(container)).cloned().collect()
    }

    /// The next step of its end, where nothing is in the way of it.
    pub(crate) fn go_on_ending(&mut self, effects: Effects<'_>, container: &ContainerId) {
        let has_children = self.containers.keys().any(|id| id.parent() == Some(container));
        let Some(found) = self.containers.get_mut(container) else { return };
        let Some(phase) = found.ending.clone().filter(|_| found.pending.is_none() && !found.held) else {
            return;
        };
        if has_children || found.attempts > 0 {
            return;
        }
        let step = match phase {
            Phase::Waiting if found.forked => {
                found.ending = Some(Phase::Killing);
                Step::KillAll
            }
            Phase::Killing => Step::KillAll,
            Phase::Waiting | Phase::CleaningUp => {
                found.ending = Some(Phase::CleaningUp);
                match found.prepared.last() {
                    Some(number) => Step::CleanUp(*number),
                    None => {
                        found.ending = Some(Phase::Unprovisioning);
                        return self.go_on_ending(effects, container);
                    }
                }
            }
            Phase::Unprovisioning if found.provisioned => Step::Unprovision,
            Phase::Unprovisioning | Phase::Finishing => {
                found.ending = Some(Phase::Finishing);
                Step::Finish(Box::new(found.end.termination()))
            }
        };
        self.start(effects, container, step);
    }

    /// A step of the end is over.
    pub(crate) fn end_step_done(
        &mut self,
        effects: Effects<'_>,
        container: &ContainerId,
        step: &Step,
        outcome: Outcome,
    ) {
        let Some(found) = self.containers.get_mut(container) else { return };
        if let Outcome::Failed(message) = outcome {
            found.attempts += 1;
            if found.attempts < ATTEMPTS {
                warning(effects, format!("Container {container} is not destroyed yet: {message}"));
                let (container, run) = (container.clone(), found.run);
                return effects.push(Effect::RetryLater { container, run, after: RETRY_AFTER });
            }
            self.destroy_errors += 1;
            error(
                effects,
                format!("Something of container {container} is left for the next agent to remove: {message}"),
            );
        } else if let Outcome::Killed { status } = outcome {
            found.end.status = found.end.status.or(status);
        }
        found.attempts = 0;
        match step {
            Step::KillAll => {
                found.forked = false;
                found.ending = Some(Phase::CleaningUp);
            }
            Step::CleanUp(_) => {
                found.prepared.pop();
            }
            Step::Unprovision => found.provisioned = false,
            _ => return self.ended(effects, container),
        }
        self.go_on_ending(effects, container);
    }

    pub(crate) fn retry(&mut self, effects: Effects<'_>, container: &ContainerId, run: u64) {
        let Some(found) = self.containers.get_mut(container).filter(|found| found.run == run) else { return };
        let attempts = std::mem::take(&mut found.attempts);
        self.go_on_ending(effects, container);
        if let Some(found) = self.containers.get_mut(container) {
            found.attempts = attempts;
        }
    }

    /// Nothing of it is left: whoever has to know is told, and its parent may go on.
    fn ended(&mut self, effects: Effects<'_>, container: &ContainerId) {
        let Some(found) = self.containers.remove(container) else { return };
        let termination = found.end.termination();
        info(effects, format!("Container {container} has ended"));
        if found.spec.kind.is_nested() && self.containers.contains_key(container.root()) {
            self.ended.insert(container.clone(), termination.clone());
        } else {
            self.ended.retain(|id, _| !is_within(id, container));
        }
        for ticket in found.waiting {
            let answer = Answer::Ended(Box::new(termination.clone()));
            effects.push(Effect::Answer { ticket, answer });
        }
        if let Some(ticket) = found.launch {
            let (failure, message) = found.end.failure.unwrap_or_else(|| {
                let message = match &termination.message {
                    Some(message) => message.clone(),
                    None => "it was destroyed before its program was started".to_string(),
                };
                (Failure::Other, message)
            });
            effects.push(Effect::Answer { ticket, answer: Answer::Failed { failure, message } });
        }
        if found.launched {
            let kind = found.spec.kind;
            let termination = Box::new(termination);
            effects.push(Effect::Ended { container: container.clone(), kind, termination });
        }
        self.orphan_is_gone(effects, container);
        if let Some(parent) = container.parent() {
            self.go_on_ending(effects, &parent.clone());
        }
    }
}
