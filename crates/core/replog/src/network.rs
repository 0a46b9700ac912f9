//! The other replicas, and the rounds of requests to all of them. Each request goes from a process id of its own, which
//! its answer is addressed to. It must not know what a round is for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use messor_stdx::Random;
use messor_types::Pid;

use crate::config::{Config, ROUND_TIMEOUT};
use crate::effect::Effect;
use crate::event::{Timer, User};
use crate::message::{Request, Response};
use crate::replica::Origin;
use crate::tally::{Outcome, Tally};
use crate::turn::Turn;

/// Who says that something was learned; nobody answers it.
const SPEAKER: &str = "log-network(1)";

pub(crate) struct Network {
    own: Pid,
    pub quorum: usize,
    members: BTreeSet<Pid>,
    last_request: u64,
    rounds: BTreeMap<User, Round>,
    /// To the own replica.
    pub local: VecDeque<(Origin, Request)>,
    /// Requests to the own replica whose answer is not wanted any more.
    pub closed: Vec<u64>,
}

struct Round {
    request: Request,
    tally: Tally,
    /// Requests without answers, by number.
    open: BTreeMap<u64, Pid>,
    answered: BTreeSet<Pid>,
    /// There were enough replicas to ask.
    asked: bool,
}

fn process(number: u64) -> String {
    format!("__req_res__({number})")
}

impl Network {
    pub fn new(config: &Config, random: &mut Random) -> Network {
        Network {
            own: config.pid.clone(),
            quorum: config.quorum.max(1),
            members: BTreeSet::from([config.pid.clone()]),
            // Numbers of this life are not those of another.
            last_request: random.next() >> 16,
            rounds: BTreeMap::new(),
            local: VecDeque::new(),
            closed: Vec::new(),
        }
    }

    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The replicas changed: rounds under way ask the new ones too. Gives rounds that this ended.
    pub fn set_members(&mut self, mut members: BTreeSet<Pid>, turn: &mut Turn<'_>) -> Vec<(User, Outcome)> {
        members.insert(self.own.clone());
        self.members = members;
        let mut ended = Vec::new();
        for user in [User::Recovery, User::Writer, User::Reader] {
            let Some(round) = self.rounds.get_mut(&user) else { continue };
            let gone: Vec<u64> = round
                .open
                .iter()
                .filter_map(|(number, pid)| (!self.members.contains(pid)).then_some(*number))
                .collect();
            for number in gone {
                round.open.remove(&number);
                turn.effect(Effect::Close { from: process(number) });
            }
            self.ask(user, turn);
            ended.extend(self.take_exhausted(user, turn).map(|outcome| (user, outcome)));
        }
        ended
    }

    /// Begins a round, in place of the one that the user had.
    pub fn start(&mut self, user: User, request: Request, tally: Tally, turn: &mut Turn<'_>) {
        self.stop(user, turn);
        let round = Round { request, tally, open: BTreeMap::new(), answered: BTreeSet::new(), asked: false };
        self.rounds.insert(user, round);
        turn.set_timer(Timer::Round(user), turn.now + ROUND_TIMEOUT);
        self.ask(user, turn);
    }

    /// Asks who was not asked yet, once there are enough that an answer can come of it.
    fn ask(&mut self, user: User, turn: &mut Turn<'_>) {
        let Some(round) = self.rounds.get_mut(&user) else { return };
        if !round.asked && self.members.len() < self.quorum {
            return;
        }
        round.asked = true;
        let asked: BTreeSet<&Pid> = round.open.values().chain(&round.answered).collect();
        let unasked: Vec<Pid> = self.members.iter().filter(|pid| !asked.contains(pid)).cloned().collect();
        let mut encoded = None;
        for to in unasked {
            self.last_request += 1;
            let number = self.last_request;
            if to == self.own {
                self.local.push_back((Origin::Own(number), round.request.clone()));
            } else {
                let (name, body) = encoded.get_or_insert_with(|| round.request.encode()).clone();
                turn.effect(Effect::Send { from: process(number), to: to.clone(), name, body });
            }
            round.open.insert(number, to);
        }
    }

    /// Ends the user's round, if it has one.
    pub fn stop(&mut self, user: User, turn: &mut Turn<'_>) {
        let Some(round) = self.rounds.remove(&user) else { return };
        turn.cancel_timer(Timer::Round(user));
        for (number, pid) in round.open {
            if pid == self.own {
                self.closed.push(number);
            } else {
                turn.effect(Effect::Close { from: process(number) });
            }
        }
    }

    /// The answer to a request of another program's replica.
    pub fn answer_to(
        &mut self,
        to: &str,
        response: Response,
        turn: &mut Turn<'_>,
    ) -> Option<(User, Outcome)> {
        let number = to.strip_prefix("__req_res__(")?.strip_suffix(')')?.parse().ok()?;
        self.answer(number, response, turn)
    }

    /// Counts an answer. When that ends the round: whose it was, and what it came to.
    pub fn answer(
        &mut self,
        number: u64,
        response: Response,
        turn: &mut Turn<'_>,
    ) -> Option<(User, Outcome)> {
        let (user, round) = self.rounds.iter_mut().find(|(_, round)| round.open.contains_key(&number))?;
        let user = *user;
        let Ok(outcome) = round.tally.count(response, self.quorum) else {
            turn.warning("Dropping an answer that does not fit what was asked of the log".to_string());
            return None;
        };
        if let Some(pid) = round.open.remove(&number) {
            if pid != self.own {
                turn.effect(Effect::Close { from: process(number) });
            }
            round.answered.insert(pid);
        }
        match outcome {
            Some(outcome) => {
                self.stop(user, turn);
                Some((user, outcome))
            }
            None => self.take_exhausted(user, turn).map(|outcome| (user, outcome)),
        }
    }

    fn take_exhausted(&mut self, user: User, turn: &mut Turn<'_>) -> Option<Outcome> {
        let round = self.rounds.get(&user)?;
        if !round.asked || !round.open.is_empty() {
            return None;
        }
        let outcome = round.tally.exhausted(self.quorum)?;
        self.stop(user, turn);
        Some(outcome)
    }

    /// The timer of the user's round fired.
    pub fn timed_out(&mut self, user: User, turn: &mut Turn<'_>) -> Option<Outcome> {
        self.rounds.contains_key(&user).then(|| {
            self.stop(user, turn);
            Outcome::TimedOut
        })
    }

    /// Tells everybody, without wanting answers.
    pub fn tell(&mut self, request: Request, turn: &mut Turn<'_>) {
        let mut encoded = None;
        for to in &self.members {
            if *to == self.own {
                continue;
            }
            let (name, body) = encoded.get_or_insert_with(|| request.encode()).clone();
            turn.effect(Effect::Send { from: SPEAKER.to_string(), to: to.clone(), name, body });
        }
        self.local.push_back((Origin::Nobody, request));
    }
}
