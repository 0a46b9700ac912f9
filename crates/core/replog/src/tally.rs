//! How the answers of a round are counted, and what they come to. It must not know who asked, nor why.

use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{Action, PromiseResponse, RecoverResponse};

use crate::message::{Response, Verdict, promise_verdict, write_verdict};

/// What a round came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A quorum promised all positions; the highest that any of it has is `end`.
    Promised {
        end: u64,
    },
    /// A quorum promised the position, or it is learned; with what has to be written there, if anything.
    PromisedPosition {
        action: Option<Box<Action>>,
    },
    /// A quorum has the write on disk.
    Accepted,
    /// A quorum answered, and some of it has promised `proposal`, which is not lower than ours.
    Rejected {
        proposal: u64,
    },
    /// A quorum may not vote.
    Ignored,
    /// A quorum votes; what it has is within these positions.
    Found {
        begin: u64,
        end: u64,
    },
    /// A new log is being made by all: this is the own next status.
    Become(Status),
    /// Everybody answered, and nothing follows from it. If all are empty, somebody may have to initialize the log.
    Nothing {
        all_empty: bool,
    },
    /// The highest promise of a quorum.
    Probed {
        promised: u64,
    },
    TimedOut,
}

#[derive(Clone, Debug)]
pub(crate) enum Tally {
    Promise(PromiseTally),
    Write(WriteTally),
    Recover(RecoverTally),
    Probe(Votes),
}

/// Answers, of which a quorum makes an outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Votes {
    answers: usize,
    ignores: usize,
    highest_rejection: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct PromiseTally {
    proposal: u64,
    position: Option<u64>,
    votes: Votes,
    end: u64,
    action: Option<Box<Action>>,
}

#[derive(Clone, Debug)]
pub(crate) struct WriteTally {
    proposal: u64,
    position: u64,
    votes: Votes,
}

#[derive(Clone, Debug)]
pub(crate) struct RecoverTally {
    status: Status,
    auto_initialize: bool,
    empty: usize,
    starting: usize,
    voting: usize,
    begin: u64,
    end: u64,
}

impl Votes {
    /// True when enough have ignored.
    fn ignored(&mut self, quorum: usize) -> bool {
        self.ignores += 1;
        self.ignores >= quorum
    }

    fn rejected(&mut self, proposal: u64) {
        self.answers += 1;
        self.highest_rejection = self.highest_rejection.max(Some(proposal));
    }

    fn accepted(&mut self) {
        self.answers += 1;
    }

    /// One rejection in a quorum is enough to lose.
    fn outcome(&self, quorum: usize, won: impl FnOnce() -> Outcome) -> Option<Outcome> {
        (self.answers >= quorum).then(|| match self.highest_rejection {
            Some(proposal) => Outcome::Rejected { proposal },
            None => won(),
        })
    }
}

impl Tally {
    pub fn promise(proposal: u64, position: Option<u64>) -> Tally {
        Tally::Promise(PromiseTally { proposal, position, votes: Votes::default(), end: 0, action: None })
    }

    pub fn write(proposal: u64, position: u64) -> Tally {
        Tally::Write(WriteTally { proposal, position, votes: Votes::default() })
    }

    pub fn recover(status: Status, auto_initialize: bool) -> Tally {
        Tally::Recover(RecoverTally {
            status,
            auto_initialize,
            empty: 0,
            starting: 0,
            voting: 0,
            begin: u64::MAX,
            end: 0,
        })
    }

    pub fn probe() -> Tally {
        Tally::Probe(Votes::default())
    }

    /// Counts one answer; it was given by a replica that has not answered this round before. An answer that does not
    /// fit the request is `Err`: it counts as none.
    pub fn count(&mut self, response: Response, quorum: usize) -> Result<Option<Outcome>, ()> {
        match (self, response) {
            (Tally::Promise(tally), Response::Promise(response)) => tally.count(*response, quorum),
            (Tally::Write(tally), Response::Write(response)) => {
                if response.position != tally.position {
                    return Err(());
                }
                match write_verdict(&response) {
                    Verdict::Ignored => return Ok(tally.votes.ignored(quorum).then_some(Outcome::Ignored)),
                    Verdict::Rejected => tally.votes.rejected(response.proposal),
                    Verdict::Accepted if response.proposal != tally.proposal => return Err(()),
                    Verdict::Accepted => tally.votes.accepted(),
                }
                Ok(tally.votes.outcome(quorum, || Outcome::Accepted))
            }
            (Tally::Recover(tally), Response::Recover(response)) => Ok(tally.count(&response, quorum)),
            (Tally::Probe(votes), Response::Promise(response)) => {
                match promise_verdict(&response) {
                    Verdict::Ignored => return Ok(votes.ignored(quorum).then_some(Outcome::Ignored)),
                    Verdict::Rejected => votes.rejected(response.proposal),
                    // Nobody promises proposal 0 again.
                    Verdict::Accepted => return Err(()),
                }
                let outcome = votes.outcome(quorum, || Outcome::Probed { promised: 0 });
                Ok(outcome.map(|_| Outcome::Probed { promised: votes.highest_rejection.unwrap_or(0) }))
            }
            _ => Err(()),
        }
    }

    /// Everybody was asked and answered, and no outcome came of it.
    pub fn exhausted(&self, quorum: usize) -> Option<Outcome> {
        match self {
            Tally::Recover(tally) => Some(Outcome::Nothing { all_empty: tally.empty >= size(quorum) }),
            Tally::Promise(_) | Tally::Write(_) | Tally::Probe(_) => None,
        }
    }
}

/// How many replicas there are, as Mesos reckons it.
fn size(quorum: usize) -> usize {
    (2 * quorum).saturating_sub(1)
}

impl PromiseTally {
    fn count(&mut self, response: PromiseResponse, quorum: usize) -> Result<Option<Outcome>, ()> {
        match promise_verdict(&response) {
            Verdict::Ignored => return Ok(self.votes.ignored(quorum).then_some(Outcome::Ignored)),
            Verdict::Rejected => self.votes.rejected(response.proposal),
            Verdict::Accepted if response.proposal != self.proposal => return Err(()),
            Verdict::Accepted => match self.position {
                None => {
                    self.end = self.end.max(response.position.ok_or(())?);
                    self.votes.accepted();
                }
                Some(position) => {
                    if let Some(found) = response.action {
                        if found.position != position {
                            return Err(());
                        }
                        if found.learned() {
                            let action = Some(Box::new(found));
                            return Ok(Some(Outcome::PromisedPosition { action }));
                        }
                        let highest = self.action.as_ref().and_then(|action| action.performed);
                        // Of what was written, that of the highest proposal may be chosen already.
                        if found.performed > highest {
                            self.action = Some(Box::new(found));
                        }
                    }
                    self.votes.accepted();
                }
            },
        }
        let (position, end, action) = (self.position, self.end, &mut self.action);
        Ok(self.votes.outcome(quorum, || match position {
            None => Outcome::Promised { end },
            Some(_) => Outcome::PromisedPosition { action: action.take() },
        }))
    }
}

impl RecoverTally {
    fn count(&mut self, response: &RecoverResponse, quorum: usize) -> Option<Outcome> {
        match response.status() {
            Status::Voting => {
                self.voting += 1;
                self.begin = self.begin.min(response.begin());
                self.end = self.end.max(response.end());
            }
            Status::Starting => self.starting += 1,
            Status::Empty => self.empty += 1,
            Status::Recovering => {}
        }
        if self.voting >= quorum {
            // A replica that has learned of a truncation only has its begin one behind its end.
            return Some(Outcome::Found { begin: self.begin.min(self.end), end: self.end });
        }
        // Two phases: nobody votes before all have left being empty, so that none is left behind empty.
        match self.status {
            Status::Empty if self.auto_initialize && self.empty + self.starting >= size(quorum) => {
                Some(Outcome::Become(Status::Starting))
            }
            Status::Starting if self.auto_initialize && self.starting + self.voting >= size(quorum) => {
                Some(Outcome::Become(Status::Voting))
            }
            _ => None,
        }
    }
}
