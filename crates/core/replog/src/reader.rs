//! The reader: entries of the own replica, and catching up with what was chosen without becoming the writer.

use std::collections::BTreeMap;

use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{Action, action};

use crate::catch_up::CatchUp;
use crate::config::MAX_WAITING;
use crate::core::Core;
use crate::effect::{Answer, Entry, Failure};
use crate::event::User;
use crate::message::Request;
use crate::tally::{Outcome, Tally};
use crate::turn::Turn;

const USER: User = User::Reader;

pub(crate) struct Reader {
    /// Reads of the disk under way, by their tickets.
    reads: BTreeMap<u64, Range>,
    step: Step,
    catching_up: Vec<u64>,
    /// Who wants to catch up after the present time.
    waiting: Vec<u64>,
}

struct Range {
    ticket: u64,
    from: u64,
    to: u64,
}

enum Step {
    Idle,
    Asking,
    CatchingUp { catch_up: Box<CatchUp>, end: u64 },
}

impl Reader {
    pub fn new() -> Reader {
        Reader { reads: BTreeMap::new(), step: Step::Idle, catching_up: Vec::new(), waiting: Vec::new() }
    }

    pub fn read(&mut self, ticket: u64, from: u64, to: u64, core: &mut Core, turn: &mut Turn<'_>) {
        let replica = &core.replica;
        let problem = if to < from {
            Some("it ends before it begins")
        } else if from < replica.begin() {
            Some("its beginning is truncated")
        } else if to > replica.end() {
            Some("it ends behind the log")
        } else if replica.first_missing(from, to).is_some() {
            Some("it has positions that are not learned here")
        } else {
            None
        };
        if let Some(problem) = problem {
            turn.done(ticket, Err(Failure::Range { from, to, problem }));
        } else if self.reads.len() >= MAX_WAITING {
            turn.done(ticket, Err(Failure::Busy(MAX_WAITING)));
        } else {
            let read = core.disk.read(from, to, turn);
            self.reads.insert(read, Range { ticket, from, to });
        }
    }

    /// What the disk has for a read.
    pub fn found(&mut self, read: u64, actions: Vec<Action>, turn: &mut Turn<'_>) {
        let Some(Range { ticket, from, to }) = self.reads.remove(&read) else { return };
        turn.done(ticket, entries(from, to, actions));
    }

    pub fn ends(&self, ticket: u64, core: &Core, turn: &mut Turn<'_>) {
        turn.done(ticket, Ok(Answer::Ends { begin: core.replica.begin(), end: core.replica.end() }));
    }

    pub fn catch_up(&mut self, ticket: u64, core: &mut Core, turn: &mut Turn<'_>) {
        if self.waiting.len() >= MAX_WAITING {
            turn.done(ticket, Err(Failure::Busy(MAX_WAITING)));
            return;
        }
        self.waiting.push(ticket);
        self.next(core, turn);
    }

    fn next(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        if matches!(self.step, Step::Idle) && !self.waiting.is_empty() {
            self.catching_up = std::mem::take(&mut self.waiting);
            self.ask(core, turn);
        }
    }

    fn ask(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        self.step = Step::Asking;
        core.network.start(USER, Request::Recover, Tally::recover(Status::Voting, false), turn);
    }

    fn finish(&mut self, outcome: &Result<Answer, Failure>, core: &mut Core, turn: &mut Turn<'_>) {
        self.step = Step::Idle;
        for ticket in std::mem::take(&mut self.catching_up) {
            turn.done(ticket, outcome.clone());
        }
        self.next(core, turn);
    }

    pub fn outcome(&mut self, outcome: Outcome, core: &mut Core, turn: &mut Turn<'_>) {
        match (&mut self.step, outcome) {
            (Step::CatchingUp { catch_up, .. }, outcome) => catch_up.outcome(outcome, core, turn),
            (Step::Asking, Outcome::Found { begin, end }) if begin == end => {
                let failure = Failure::CatchUp("the log has one position only");
                self.finish(&Err(failure), core, turn);
            }
            (Step::Asking, Outcome::Found { begin, end }) => {
                // The writer may be at the last position; it is not disturbed there.
                let end = end - 1;
                // From the own beginning on, so that what truncated the log is seen, and holds after a restart.
                let begin = begin.min(core.replica.begin());
                let proposal = core.replica.promised().saturating_add(1);
                let catch_up = Box::new(CatchUp::new(USER, begin, end, proposal));
                self.step = Step::CatchingUp { catch_up, end };
            }
            (Step::Asking, Outcome::TimedOut) => self.ask(core, turn),
            (Step::Asking, _) => {
                let failure = Failure::CatchUp("there is no quorum of replicas that vote");
                self.finish(&Err(failure), core, turn);
            }
            (Step::Idle, _) => {}
        }
    }

    /// Forgets all; gives the tickets of those that wait.
    pub fn abandon(&mut self) -> Vec<u64> {
        self.step = Step::Idle;
        let reads = std::mem::take(&mut self.reads).into_values().map(|range| range.ticket);
        reads.chain(std::mem::take(&mut self.catching_up)).chain(std::mem::take(&mut self.waiting)).collect()
    }

    pub fn retry(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        if let Step::CatchingUp { catch_up, .. } = &mut self.step {
            catch_up.retry(core, turn);
        }
    }

    /// Goes on where the replica lets it. True when it did.
    pub fn advance(&mut self, core: &mut Core, turn: &mut Turn<'_>) -> bool {
        let Step::CatchingUp { catch_up, end } = &mut self.step else { return false };
        let end = *end;
        let done = catch_up.advance(core, turn);
        if done {
            self.finish(&Ok(Answer::CaughtUp { end }), core, turn);
        }
        done
    }
}

/// The entries of what was found for `from..=to`.
fn entries(from: u64, to: u64, actions: Vec<Action>) -> Result<Answer, Failure> {
    let mut entries = Vec::new();
    let mut next = from;
    for action in actions {
        if action.position != next || !action.learned() {
            break;
        }
        next += 1;
        if action.r#type == Some(action::Type::Append.into())
            && let Some(append) = action.append
        {
            entries.push(Entry { position: action.position, bytes: append.bytes });
        }
    }
    if next == from {
        return Err(Failure::Storage(format!("position {from} is not on disk as it should be")));
    }
    Ok(Answer::Entries { entries, next: (next <= to).then_some(next) })
}
