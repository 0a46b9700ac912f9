//! The life of the connection with the agent: when to open it, to subscribe, to try again and to give up. It must not
//! know sockets, nor what is sent.

use std::time::Duration;

use messor_stdx::Time;

/// An agent that refuses the subscription (it may still be recovering) is asked again after this.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(1);

/// A connection in use is shown to be alive this often.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(30 * 60);

/// However small the backoff, attempts to connect are so far apart.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(100);

/// How long to try for, when the framework checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub timeout: Duration,
    pub longest_backoff: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        retry: Time,
    },
    Opening,
    /// Open, and the agent refused the subscription for now.
    Refused {
        retry: Time,
    },
    Subscribing,
    Subscribed {
        heartbeat: Time,
    },
    GivenUp,
}

/// What is to be done about the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Open,
    Subscribe,
    Heartbeat,
    /// The agent is gone for good, for this reason.
    GiveUp(String),
}

#[derive(Clone, Debug)]
pub struct Link {
    state: State,
    recovery: Option<Recovery>,
    /// When trying to reach a lost agent ends, and how it was lost.
    give_up: Option<(Time, String)>,
}

impl Link {
    /// A link about to be opened: [`Step::Open`] is due at once.
    pub fn new(recovery: Option<Recovery>) -> Link {
        Link { state: State::Closed { retry: Time::ZERO }, recovery, give_up: None }
    }

    pub fn is_subscribed(&self) -> bool {
        matches!(self.state, State::Subscribed { .. })
    }

    pub fn is_given_up(&self) -> bool {
        self.state == State::GivenUp
    }

    /// Whether a lost agent is being looked for.
    pub fn is_searching(&self) -> bool {
        self.give_up.is_some()
    }

    /// Both connections stand.
    pub fn opened(&mut self) -> Option<Step> {
        if self.state != State::Opening {
            return None;
        }
        self.give_up = None;
        self.state = State::Subscribing;
        Some(Step::Subscribe)
    }

    /// The agent did not take the subscription.
    pub fn refused(&mut self, now: Time) {
        if self.state == State::Subscribing {
            self.state = State::Refused { retry: now + RESUBSCRIBE_AFTER };
        }
    }

    /// The event SUBSCRIBED came.
    pub fn subscribed(&mut self, now: Time) {
        if self.state == State::Subscribing {
            self.state = State::Subscribed { heartbeat: now + HEARTBEAT_EVERY };
        }
    }

    /// A connection broke or could not be made. `dice` is a random number from 0 to 1.
    pub fn lost(&mut self, now: Time, reason: &str, dice: f64) -> Option<Step> {
        if self.state == State::GivenUp {
            return None;
        }
        let Some(recovery) = self.recovery else {
            self.state = State::GivenUp;
            return Some(Step::GiveUp(reason.to_string()));
        };
        // The first attempt comes at once, those after it at random times, so that the executors of a host do not
        // all come together.
        let wait = match self.state {
            State::Subscribed { .. } => Duration::ZERO,
            State::Opening | State::Closed { .. } => {
                recovery.longest_backoff.mul_f64(dice.clamp(0.0, 1.0)).max(SHORTEST_BACKOFF)
            }
            // It answers, but not with SUBSCRIBED: it may do so again at once, and again.
            State::Subscribing | State::Refused { .. } | State::GivenUp => SHORTEST_BACKOFF,
        };
        self.state = State::Closed { retry: now + wait };
        self.give_up.get_or_insert_with(|| (now + recovery.timeout, reason.to_string()));
        None
    }

    pub fn deadline(&self) -> Time {
        let own = match self.state {
            State::Closed { retry } | State::Refused { retry } => retry,
            State::Subscribed { heartbeat } => heartbeat,
            State::Opening | State::Subscribing | State::GivenUp => Time::NEVER,
        };
        own.min(self.give_up.as_ref().map_or(Time::NEVER, |(at, _)| *at))
    }

    /// What the deadline means, once it has come.
    pub fn due(&mut self, now: Time) -> Option<Step> {
        if let Some((at, reason)) = self.give_up.take_if(|(at, _)| *at <= now) {
            let _ = at;
            self.state = State::GivenUp;
            return Some(Step::GiveUp(format!(
                "it did not come back within the recovery timeout ({reason})"
            )));
        }
        match self.state {
            State::Closed { retry } if retry <= now => {
                self.state = State::Opening;
                Some(Step::Open)
            }
            State::Refused { retry } if retry <= now => {
                self.state = State::Subscribing;
                Some(Step::Subscribe)
            }
            State::Subscribed { heartbeat } if heartbeat <= now => {
                self.state = State::Subscribed { heartbeat: now + HEARTBEAT_EVERY };
                Some(Step::Heartbeat)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOVERY: Recovery =
        Recovery { timeout: Duration::from_secs(60), longest_backoff: Duration::from_secs(4) };

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn subscribed(recovery: Option<Recovery>) -> Link {
        let mut link = Link::new(recovery);
        assert_eq!(link.due(at(0)), Some(Step::Open));
        assert_eq!(link.deadline(), Time::NEVER);
        assert_eq!(link.opened(), Some(Step::Subscribe));
        assert!(!link.is_subscribed());
        link.subscribed(at(0));
        assert!(link.is_subscribed());
        link
    }

    #[test]
    fn a_refused_subscription_is_tried_again() {
        let mut link = Link::new(None);
        link.due(at(0));
        link.opened();
        link.refused(at(5));
        assert_eq!((link.deadline(), link.due(at(5))), (at(6), None));
        assert_eq!(link.due(at(6)), Some(Step::Subscribe));
    }

    #[test]
    fn a_heartbeat_every_half_hour() {
        let mut link = subscribed(None);
        assert_eq!(link.deadline(), at(1800));
        assert_eq!(link.due(at(1800)), Some(Step::Heartbeat));
        assert_eq!(link.deadline(), at(3600));
    }

    #[test]
    fn without_checkpoints_a_loss_is_for_good() {
        let mut link = subscribed(None);
        assert_eq!(link.lost(at(1), "reset", 0.5), Some(Step::GiveUp("reset".into())));
        assert!(link.is_given_up() && link.deadline() == Time::NEVER);
        assert_eq!(link.lost(at(2), "again", 0.5), None);
        assert_eq!(link.opened(), None);
    }

    #[test]
    fn with_checkpoints_it_is_tried_until_the_recovery_timeout() {
        let mut link = subscribed(Some(RECOVERY));
        assert!(!link.is_searching());
        assert_eq!(link.lost(at(100), "reset", 0.5), None);
        assert!(link.is_searching());
        assert_eq!(link.due(at(100)), Some(Step::Open), "at once");
        link.lost(at(100), "refused", 0.5);
        assert_eq!(link.deadline(), at(102), "half of the longest backoff");
        assert_eq!(link.due(at(102)), Some(Step::Open));
        link.lost(at(102), "refused", 0.0);
        assert_eq!(link.deadline(), at(102) + SHORTEST_BACKOFF);
        link.due(at(103));
        assert_eq!(link.deadline(), at(160), "an attempt under way is bounded too");
        let Some(Step::GiveUp(reason)) = link.due(at(160)) else { panic!() };
        assert!(reason.contains("reset"), "{reason}");
        assert!(link.is_given_up());
    }

    /// As with an agent that tells each executor that comes to shut down.
    #[test]
    fn an_agent_that_closes_instead_of_subscribing_is_not_asked_without_end() {
        let mut link = subscribed(Some(RECOVERY));
        let (mut now, mut asked) = (at(100), 0);
        link.lost(now, "reset", 0.0);
        while now < at(110) {
            now = link.deadline();
            if link.due(now) == Some(Step::Open) {
                asked += 1;
                assert_eq!(link.opened(), Some(Step::Subscribe));
                link.lost(now, "closed", 0.0);
            }
        }
        assert!((90..=102).contains(&asked), "{asked}");
    }

    #[test]
    fn a_connection_stops_the_recovery_timeout() {
        let mut link = subscribed(Some(RECOVERY));
        link.lost(at(100), "reset", 0.5);
        link.due(at(100));
        assert_eq!(link.opened(), Some(Step::Subscribe));
        link.refused(at(150));
        assert_eq!(link.due(at(170)), Some(Step::Subscribe));
        link.subscribed(at(171));
        assert!(link.is_subscribed());
        link.lost(at(200), "reset", 0.5);
        assert_eq!(link.due(at(259)), Some(Step::Open), "the time counts from the latest loss");
    }

    #[test]
    fn an_agent_not_there_yet_is_waited_for() {
        let mut link = Link::new(Some(RECOVERY));
        link.due(at(0));
        assert_eq!(link.lost(at(0), "refused", 1.0), None);
        assert_eq!(link.deadline(), at(4));
    }
}
