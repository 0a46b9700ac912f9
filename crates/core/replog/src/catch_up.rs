//! Catching up: learning a range of positions, one after another, by full rounds for those that are missing here.
//!
//! A position that nobody has written gets a no-op. It must not know why its range is wanted.

use messor_proto::mesos::internal::log::{Action, action};

use crate::config::{PROPOSER_PAUSE, RECOVERY_PAUSE};
use crate::core::Core;
use crate::event::{Timer, User};
use crate::tally::Outcome;
use crate::turn::Turn;

pub(crate) struct CatchUp {
    user: User,
    from: u64,
    to: u64,
    proposal: u64,
    step: Step,
    /// A writer may just be writing this position: it gets time to do so.
    patient_at: Option<u64>,
}

enum Step {
    Begin,
    Promise(u64),
    Write(Box<Action>),
    /// The own replica is about to learn it.
    Learn(u64),
    Pause(u64),
}

impl CatchUp {
    /// `from..=to`, with `proposal` as the first to be tried.
    pub fn new(user: User, from: u64, to: u64, proposal: u64) -> CatchUp {
        CatchUp { user, from, to, proposal, step: Step::Begin, patient_at: None }
    }

    /// As `new`, and gives whoever writes the last position some time to do it, instead of taking it over at once.
    pub fn patient(user: User, from: u64, to: u64, proposal: u64) -> CatchUp {
        CatchUp { patient_at: Some(to), ..CatchUp::new(user, from, to, proposal) }
    }

    fn position(&self) -> Option<u64> {
        match &self.step {
            Step::Begin => None,
            Step::Write(action) => Some(action.position),
            Step::Promise(position) | Step::Learn(position) | Step::Pause(position) => Some(*position),
        }
    }

    /// Goes on to the next missing position where the present one is learned. True when none is left.
    pub fn advance(&mut self, core: &mut Core, turn: &mut Turn<'_>) -> bool {
        if let Some(position) = self.position() {
            if core.replica.is_missing(position) {
                return false;
            }
            // Somebody else may have been quicker.
            self.cancel(core, turn);
        }
        match core.replica.first_missing(self.from, self.to) {
            None => {
                self.step = Step::Begin;
                true
            }
            Some(position) => {
                self.from = position;
                if self.patient_at.take_if(|patient| *patient == position).is_some() {
                    self.step = Step::Pause(position);
                    core.pause(self.user, RECOVERY_PAUSE, turn);
                } else {
                    self.promise(position, core, turn);
                }
                false
            }
        }
    }

    /// Lets go of what is under way.
    pub fn cancel(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        if let Step::Pause(_) = self.step {
            turn.cancel_timer(Timer::Retry(self.user));
        }
        core.network.stop(self.user, turn);
        self.step = Step::Begin;
    }

    fn promise(&mut self, position: u64, core: &mut Core, turn: &mut Turn<'_>) {
        self.step = Step::Promise(position);
        core.ask_promise(self.user, self.proposal, Some(position), turn);
    }

    /// The pause is over.
    pub fn retry(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        if let Step::Pause(position) = self.step {
            self.promise(position, core, turn);
        }
    }

    pub fn outcome(&mut self, outcome: Outcome, core: &mut Core, turn: &mut Turn<'_>) {
        let step = std::mem::replace(&mut self.step, Step::Begin);
        match (step, outcome) {
            (Step::Promise(position), Outcome::PromisedPosition { action }) => {
                let mut action = match action {
                    // What was written has to be written again, for it may be chosen.
                    Some(found) => found,
                    None => Box::new(no_op(position)),
                };
                action.promised = self.proposal;
                action.performed = Some(self.proposal);
                if action.learned() {
                    self.learn(*action, core, turn);
                } else {
                    core.ask_write(self.user, self.proposal, &action, turn);
                    self.step = Step::Write(action);
                }
            }
            (Step::Write(action), Outcome::Accepted) => self.learn(*action, core, turn),
            (Step::Promise(position), outcome) => self.failed(position, &outcome, core, turn),
            (Step::Write(action), outcome) => self.failed(action.position, &outcome, core, turn),
            (step @ (Step::Begin | Step::Learn(_) | Step::Pause(_)), _) => self.step = step,
        }
    }

    fn learn(&mut self, action: Action, core: &mut Core, turn: &mut Turn<'_>) {
        self.step = Step::Learn(action.position);
        core.tell_learned(action, turn);
    }

    fn failed(&mut self, position: u64, outcome: &Outcome, core: &mut Core, turn: &mut Turn<'_>) {
        match outcome {
            Outcome::Rejected { proposal } => {
                self.proposal = self.proposal.max(*proposal).saturating_add(1);
                self.step = Step::Pause(position);
                core.pause(self.user, PROPOSER_PAUSE, turn);
            }
            Outcome::TimedOut => {
                turn.info(format!("Catching up position {position} of the log took too long, trying again"));
                // Some may have promised this one already, and promise none twice.
                self.proposal = self.proposal.saturating_add(1);
                self.promise(position, core, turn);
            }
            _ => {
                self.step = Step::Pause(position);
                core.pause(self.user, RECOVERY_PAUSE, turn);
            }
        }
    }
}

fn no_op(position: u64) -> Action {
    Action {
        position,
        r#type: Some(action::Type::Nop.into()),
        nop: Some(action::Nop::default()),
        ..Action::default()
    }
}
