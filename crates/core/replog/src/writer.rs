//! The writer (Apache Mesos: coordinator): elected by a quorum's promises, it learns all that was chosen before, and then
//! writes one position after another. It loses as soon as a replica in a quorum has promised a higher proposal.

use std::collections::VecDeque;

use messor_proto::mesos::internal::log::{Action, action};

use crate::catch_up::CatchUp;
use crate::config::{MAX_WAITING, MAX_WAITING_BYTES, PROPOSER_PAUSE, RECOVERY_PAUSE};
use crate::core::Core;
use crate::effect::{Answer, Failure};
use crate::event::{Timer, User};
use crate::tally::Outcome;
use crate::turn::Turn;

const USER: User = User::Writer;

/// What is to be done by the elected writer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    Elect,
    Append(Vec<u8>),
    Truncate { to: u64 },
}

impl Task {
    fn cost(&self) -> usize {
        match self {
            Task::Append(bytes) => bytes.len(),
            Task::Elect | Task::Truncate { .. } => 0,
        }
    }
}

pub(crate) struct Writer {
    step: Step,
    /// The highest proposal that was tried or seen.
    proposal: u64,
    /// Where the next write goes.
    index: u64,
    /// Who waits for the election that is under way.
    electing: Option<u64>,
    waiting: VecDeque<(u64, Task)>,
    waiting_bytes: usize,
}

enum Step {
    Idle,
    Promise,
    Pause,
    CatchingUp {
        catch_up: Box<CatchUp>,
        end: u64,
    },
    Elected,
    Write {
        ticket: u64,
        action: Box<Action>,
    },
    /// A quorum that may not vote ignored the write.
    PauseWriting {
        ticket: u64,
        action: Box<Action>,
    },
    /// It is chosen; the own replica is about to learn it.
    Learn {
        ticket: u64,
        position: u64,
    },
}

impl Writer {
    pub fn new() -> Writer {
        Writer {
            step: Step::Idle,
            proposal: 0,
            index: 0,
            electing: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    pub fn is_elected(&self) -> bool {
        match self.step {
            Step::Idle | Step::Promise | Step::Pause | Step::CatchingUp { .. } => false,
            Step::Elected | Step::Write { .. } | Step::PauseWriting { .. } | Step::Learn { .. } => true,
        }
    }

    /// Takes a command: at once, in its turn, or not at all.
    pub fn command(&mut self, ticket: u64, task: Task, core: &mut Core, turn: &mut Turn<'_>) {
        let leads_nothing = !self.is_elected() && task != Task::Elect;
        if leads_nothing {
            turn.done(ticket, Err(Failure::NotLeading));
        } else if self.waiting.len() >= MAX_WAITING || self.waiting_bytes + task.cost() > MAX_WAITING_BYTES {
            turn.done(ticket, Err(Failure::Busy(self.waiting.len())));
        } else {
            // An election that is wanted while one is under way is one of its own: that one may know less.
            self.waiting_bytes += task.cost();
            self.waiting.push_back((ticket, task));
            self.next(core, turn);
        }
    }

    fn elect(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        self.proposal = self.proposal.max(core.replica.promised()).saturating_add(1);
        self.step = Step::Promise;
        core.ask_promise(USER, self.proposal, None, turn);
    }

    /// Begins what waits, if nothing is under way.
    fn next(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        while let Step::Elected | Step::Idle = self.step {
            let Some((ticket, task)) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= task.cost();
            let (kind, append, truncate) = match task {
                Task::Elect => {
                    // Another one may have been elected, unseen: only a quorum knows.
                    self.electing = Some(ticket);
                    return self.elect(core, turn);
                }
                Task::Append(bytes) => {
                    (action::Type::Append, Some(action::Append { bytes, cksum: None }), None)
                }
                Task::Truncate { to } if to > self.index => {
                    let problem = "the log does not reach to there";
                    let failure = Failure::Range { from: core.replica.begin(), to, problem };
                    turn.done(ticket, Err(failure));
                    continue;
                }
                Task::Truncate { to } => (action::Type::Truncate, None, Some(action::Truncate { to })),
            };
            let action = Box::new(Action {
                position: self.index,
                promised: self.proposal,
                performed: Some(self.proposal),
                learned: None,
                r#type: Some(kind.into()),
                nop: None,
                append,
                truncate,
            });
            core.ask_write(USER, self.proposal, &action, turn);
            self.step = Step::Write { ticket, action };
        }
    }

    pub fn outcome(&mut self, outcome: Outcome, core: &mut Core, turn: &mut Turn<'_>) {
        match (std::mem::replace(&mut self.step, Step::Idle), outcome) {
            (Step::CatchingUp { mut catch_up, end }, outcome) => {
                catch_up.outcome(outcome, core, turn);
                self.step = Step::CatchingUp { catch_up, end };
            }
            (Step::Promise, Outcome::Promised { end }) => {
                turn.info(format!("A quorum promised proposal {}; the log ends at {end}", self.proposal));
                // One more than the own: where these replicas promised all positions, that is refused no more.
                let proposal = self.proposal.saturating_add(1);
                let catch_up = Box::new(CatchUp::new(USER, 0, end, proposal));
                self.step = Step::CatchingUp { catch_up, end };
            }
            (Step::Promise, Outcome::TimedOut) => self.elect(core, turn),
            (Step::Promise, outcome) => {
                let mut pause = RECOVERY_PAUSE;
                if let Outcome::Rejected { proposal } = outcome {
                    self.proposal = self.proposal.max(proposal);
                    pause = PROPOSER_PAUSE;
                }
                self.step = Step::Pause;
                core.pause(USER, pause, turn);
            }
            (Step::Write { ticket, action }, Outcome::Accepted) => {
                self.step = Step::Learn { ticket, position: action.position };
                core.tell_learned(*action, turn);
            }
            (Step::Write { ticket, .. }, Outcome::Rejected { proposal }) => {
                turn.warning(format!(
                    "Another writer of the log has proposal {proposal}: this one is none any more"
                ));
                self.proposal = self.proposal.max(proposal);
                turn.done(ticket, Err(Failure::Lost));
                self.lose(core, turn);
            }
            (Step::Write { ticket, action }, Outcome::TimedOut) => {
                turn.info(format!(
                    "Writing position {} of the log took too long, asking again",
                    action.position
                ));
                core.ask_write(USER, self.proposal, &action, turn);
                self.step = Step::Write { ticket, action };
            }
            (Step::Write { ticket, action }, _) => {
                core.pause(USER, RECOVERY_PAUSE, turn);
                self.step = Step::PauseWriting { ticket, action };
            }
            (step, _) => self.step = step,
        }
    }

    /// What waits was meant for the writer that this one is no more, up to where a new election is wanted.
    fn lose(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        self.step = Step::Idle;
        while let Some((ticket, task)) = self.waiting.pop_front() {
            self.waiting_bytes -= task.cost();
            if task == Task::Elect {
                self.electing = Some(ticket);
                return self.elect(core, turn);
            }
            turn.done(ticket, Err(Failure::Lost));
        }
    }

    /// Forgets all; gives the tickets of those that wait.
    pub fn abandon(&mut self) -> Vec<u64> {
        let under_way = match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Write { ticket, .. } | Step::PauseWriting { ticket, .. } | Step::Learn { ticket, .. } => {
                Some(ticket)
            }
            Step::Idle | Step::Promise | Step::Pause | Step::CatchingUp { .. } | Step::Elected => None,
        };
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|(ticket, _)| ticket);
        under_way.into_iter().chain(self.electing.take()).chain(waiting).collect()
    }

    pub fn demote(&mut self, ticket: u64, core: &mut Core, turn: &mut Turn<'_>) {
        core.network.stop(USER, turn);
        turn.cancel_timer(Timer::Retry(USER));
        for failed in self.abandon() {
            turn.done(failed, Err(Failure::Demoted));
        }
        turn.done(ticket, Ok(Answer::Demoted));
    }

    pub fn retry(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Pause => self.elect(core, turn),
            Step::CatchingUp { mut catch_up, end } => {
                catch_up.retry(core, turn);
                self.step = Step::CatchingUp { catch_up, end };
            }
            Step::PauseWriting { ticket, action } => {
                core.ask_write(USER, self.proposal, &action, turn);
                self.step = Step::Write { ticket, action };
            }
            step => self.step = step,
        }
    }

    /// Goes on where the replica lets it. True when it did.
    pub fn advance(&mut self, core: &mut Core, turn: &mut Turn<'_>) -> bool {
        match &mut self.step {
            Step::CatchingUp { catch_up, end } => {
                let end = *end;
                if !catch_up.advance(core, turn) {
                    return false;
                }
                self.index = end.saturating_add(1);
                // Something was written behind what is the end here, or truncated, which is written behind it as well.
                if !core.replica.is_missing(self.index) || core.replica.begin() > end {
                    turn.info("Another writer of the log was elected meanwhile; trying again".to_string());
                    self.elect(core, turn);
                    return true;
                }
                self.step = Step::Elected;
                turn.info(format!("This replica is the writer of the log, from position {} on", self.index));
                if let Some(ticket) = self.electing.take() {
                    turn.done(ticket, Ok(Answer::Elected { begin: core.replica.begin(), end }));
                }
                self.next(core, turn);
                true
            }
            Step::Learn { ticket, position } if !core.replica.is_missing(*position) => {
                turn.done(*ticket, Ok(Answer::Written { position: *position }));
                self.index = position.saturating_add(1);
                self.step = Step::Elected;
                self.next(core, turn);
                true
            }
            _ => false,
        }
    }
}
