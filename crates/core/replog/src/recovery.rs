//! Recovery: how a replica that may not vote comes to vote.
//!
//! One that finds a quorum of voting replicas learns what they have. Where all are empty, and they may, they make a new
//! log in two phases. A replica with an empty disk may have voted before and forgotten it, so it waits until nothing that
//! it said then can count any more, and takes over the highest promise of the others before it votes again.

use messor_proto::mesos::internal::log::PromiseRequest;
use messor_proto::mesos::internal::log::metadata::Status;
use messor_stdx::Time;

use crate::catch_up::CatchUp;
use crate::config::{RECOVERY_PAUSE, SETTLE};
use crate::core::Core;
use crate::event::{Timer, User};
use crate::message::Request;
use crate::tally::{Outcome, Tally};
use crate::turn::Turn;

const USER: User = User::Recovery;

pub(crate) struct Recovery {
    step: Step,
    /// Nothing that this replica said before it lost its disk counts any more from then on.
    settled: Time,
}

enum Step {
    Unrestored,
    /// Asking all for their status and positions.
    Asking,
    /// A status is being made durable.
    Storing {
        ticket: u64,
        then: Then,
    },
    Pausing,
    CatchingUp(Box<CatchUp>),
    /// Asking all for their highest promise.
    Probing,
    PausingToProbe,
    Done,
}

#[derive(Clone, Copy)]
enum Then {
    Ask,
    Settle { begin: u64, end: u64 },
    Done,
}

impl Recovery {
    pub fn new() -> Recovery {
        Recovery { step: Step::Unrestored, settled: Time::ZERO }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    pub fn start(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        let status = core.replica.status();
        turn.info(format!(
            "The log's replica is {status:?}, with positions {} to {}, {} holes and {} unlearned",
            core.replica.begin(),
            core.replica.end(),
            core.replica.holes().count(),
            core.replica.unlearned().count(),
        ));
        match status {
            Status::Voting => self.step = Step::Done,
            // It has its disk since the log was begun, and never voted.
            Status::Starting => self.ask(core, turn),
            Status::Empty | Status::Recovering => {
                self.settled = turn.now + SETTLE;
                self.ask(core, turn);
            }
        }
    }

    fn ask(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        self.step = Step::Asking;
        let tally = Tally::recover(core.replica.status(), core.config.auto_initialize);
        core.network.start(USER, Request::Recover, tally, turn);
    }

    /// Asks whether anybody promises proposal 0. Nobody does, and all say what they have promised instead.
    fn probe(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        self.step = Step::Probing;
        let request = Request::Promise(PromiseRequest { proposal: 0, position: None });
        core.network.start(USER, request, Tally::probe(), turn);
    }

    fn store(&mut self, status: Status, promised: u64, then: Then, core: &mut Core, turn: &mut Turn<'_>) {
        let ticket = core.replica.update(status, promised, &mut core.disk, turn);
        self.step = Step::Storing { ticket, then };
    }

    pub fn outcome(&mut self, outcome: Outcome, core: &mut Core, turn: &mut Turn<'_>) {
        match (&mut self.step, outcome) {
            (Step::CatchingUp(catch_up), outcome) => catch_up.outcome(outcome, core, turn),
            (Step::Asking, Outcome::Become(status)) => {
                let then = if status == Status::Voting { Then::Done } else { Then::Ask };
                self.settled = Time::ZERO;
                self.store(status, 0, then, core, turn);
            }
            (Step::Asking, Outcome::Found { begin, end }) => {
                if core.replica.status() == Status::Recovering {
                    self.settle(begin, end, core, turn);
                } else {
                    self.store(Status::Recovering, 0, Then::Settle { begin, end }, core, turn);
                }
            }
            (Step::Asking, Outcome::TimedOut) => {
                turn.info("No quorum of the log's replicas answered, asking again".to_string());
                self.ask(core, turn);
            }
            (Step::Asking, outcome) => {
                if outcome == (Outcome::Nothing { all_empty: true }) && !core.config.auto_initialize {
                    turn.warning(
                        "No replica of the log is initialized. Run `mesos-log initialize --path=PATH` on each \
                         host, while its master is stopped, or start the masters with --log_auto_initialize"
                            .to_string(),
                    );
                }
                self.step = Step::Pausing;
                core.pause(USER, RECOVERY_PAUSE, turn);
            }
            (Step::Probing, Outcome::Probed { promised }) => {
                self.store(Status::Voting, promised, Then::Done, core, turn);
            }
            (Step::Probing, Outcome::TimedOut) => self.probe(core, turn),
            (Step::Probing, _) => {
                self.step = Step::PausingToProbe;
                core.pause(USER, RECOVERY_PAUSE, turn);
            }
            (
                Step::Unrestored | Step::Storing { .. } | Step::Pausing | Step::PausingToProbe | Step::Done,
                _,
            ) => {}
        }
    }

    fn settle(&mut self, begin: u64, end: u64, core: &mut Core, turn: &mut Turn<'_>) {
        if turn.now < self.settled {
            turn.info(format!("Learning the log begins in {:?}", self.settled.since(turn.now)));
            self.step = Step::Pausing;
            turn.set_timer(Timer::Retry(USER), self.settled);
        } else {
            turn.info(format!("Learning positions {begin} to {end} of the log"));
            let proposal = core.replica.promised().saturating_add(1);
            self.step = Step::CatchingUp(Box::new(CatchUp::patient(USER, begin, end, proposal)));
        }
    }

    pub fn retry(&mut self, core: &mut Core, turn: &mut Turn<'_>) {
        match &mut self.step {
            Step::Pausing => self.ask(core, turn),
            Step::PausingToProbe => self.probe(core, turn),
            Step::CatchingUp(catch_up) => catch_up.retry(core, turn),
            Step::Unrestored | Step::Asking | Step::Storing { .. } | Step::Probing | Step::Done => {}
        }
    }

    /// Goes on where the disk, or the replica, let it. True when it did.
    pub fn advance(&mut self, core: &mut Core, turn: &mut Turn<'_>) -> bool {
        match &mut self.step {
            Step::CatchingUp(catch_up) => {
                if catch_up.advance(core, turn) {
                    self.probe(core, turn);
                    return true;
                }
                false
            }
            Step::Storing { ticket, then } if core.disk.is_durable(*ticket) => {
                match *then {
                    Then::Ask => self.ask(core, turn),
                    Then::Settle { begin, end } => self.settle(begin, end, core, turn),
                    Then::Done => {
                        turn.info("The log's replica has joined the quorum".to_string());
                        self.step = Step::Done;
                    }
                }
                true
            }
            _ => false,
        }
    }
}
