//! A master that wants to lead. It leads when its znode is the lowest and its session certainly lives; it stops when that
//! ends, for good: the program ends then, and a new one contends anew.

use std::time::Duration;

use messor_stdx::Time;

use crate::client::{Effect, Event, Machine, SessionEvent, Timer};
use crate::detector::LeaderView;
use crate::engine::{Config, Engine};
use crate::names::Family;
use crate::outcome::ContenderOutcome;
use crate::turn::Turn;

#[derive(Debug)]
pub struct Contender {
    engine: Engine,
    view: LeaderView,
    /// The znode it leads with.
    leads_as: Option<String>,
}

impl Contender {
    /// `data` is the MasterInfo as v0 JSON. It must be of this run of the program alone, as its id makes it: by that a
    /// contender knows znodes that it left behind itself.
    pub fn new(config: Config, data: Vec<u8>) -> Contender {
        Contender {
            engine: Engine::new(config, Family::Masters, Some(data), true),
            view: LeaderView::default(),
            leads_as: None,
        }
    }

    /// The servers drop a session when they did not hear of it for its timeout. A quarter is kept back: clocks drift,
    /// and a server that passes on what it heard does so some time later.
    fn lease(&self) -> Option<Time> {
        let timeout = self.engine.session_timeout();
        self.engine.confirmed().map(|confirmed| confirmed + lease_of(timeout))
    }

    fn lose(&mut self, turn: &mut Turn<'_, ContenderOutcome>, reason: &str) {
        if self.leads_as.take().is_some() {
            turn.warning(format!("does not lead any more: {reason}"));
            turn.say(ContenderOutcome::LeadershipLost { reason: reason.to_string() });
            self.engine.stop(turn);
        }
    }

    fn fail(&mut self, turn: &mut Turn<'_, ContenderOutcome>, reason: String) {
        self.lose(turn, &reason);
        turn.say(ContenderOutcome::Failed { reason });
        self.engine.stop(turn);
    }

    /// Why this one cannot go on to lead.
    fn trouble(&self, leads_as: &str) -> Option<&'static str> {
        if self.engine.inside() != Some(leads_as) {
            return Some("its znode is gone");
        }
        let roster = &self.engine.roster;
        (roster.is_known() && roster.lowest_name() != Some(leads_as))
            .then_some("another znode is lower than its own")
    }

    fn stand(&mut self, turn: &mut Turn<'_, ContenderOutcome>) {
        if let Some(name) = self.leads_as.clone() {
            match self.trouble(&name) {
                Some(reason) => self.lose(turn, reason),
                None => self.set_lease_timer(turn),
            }
            return;
        }
        let Some(name) = self.engine.inside().map(str::to_string) else { return };
        if self.engine.roster.lowest_name() != Some(&name) {
            return;
        }
        if self.lease().is_some_and(|until| until > turn.now) {
            turn.info(format!("leads as {name}"));
            self.leads_as = Some(name);
            self.set_lease_timer(turn);
            turn.say(ContenderOutcome::Elected);
        } else {
            self.engine.confirm(turn);
        }
    }

    fn set_lease_timer(&self, turn: &mut Turn<'_, ContenderOutcome>) {
        if let Some(at) = self.lease() {
            turn.effect(Effect::SetTimer { timer: Timer::Lease, at });
        }
    }
}

fn lease_of(timeout: Duration) -> Duration {
    timeout * 3 / 4
}

impl Machine for Contender {
    type Outcome = ContenderOutcome;

    fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect<ContenderOutcome>>) {
        if self.engine.is_stopped() {
            return;
        }
        let turn = &mut Turn::new(now, effects);
        // Before anything else: an answer that lay about while the process was stopped does not prolong anything.
        if self.leads_until().is_some_and(|until| now >= until) {
            return self.lose(turn, "ZooKeeper did not confirm its session in time");
        }
        match event {
            Event::Session(SessionEvent::Expired) if self.leads_as.is_some() => {
                return self.lose(turn, "its ZooKeeper session has expired");
            }
            Event::Withdraw => self.leads_as = None,
            _ => (),
        }
        self.engine.handle(turn, event);
        if let Some(reason) = self.engine.failure() {
            let reason = reason.to_string();
            return self.fail(turn, reason);
        }
        if self.engine.is_stopped() {
            return;
        }
        self.stand(turn);
        if self.engine.is_stopped() {
            return;
        }
        match self.view.look(&self.engine.roster) {
            Ok(Some(leader)) => turn.say(ContenderOutcome::Leader(leader)),
            Ok(None) => (),
            Err(reason) => {
                turn.error(reason.clone());
                self.fail(turn, reason);
            }
        }
    }

    fn leads_until(&self) -> Option<Time> {
        self.leads_as.as_ref().and_then(|_| self.lease())
    }
}
