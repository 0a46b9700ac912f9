//! What contender, detector and group have in common: a session, a path, a list of znodes that is kept up to date, and
//! perhaps a znode of their own. Must not know what being the lowest means.

mod membership;

use std::collections::BTreeMap;
use std::time::Duration;

use messor_stdx::Time;

use crate::client::{
    Acl, Effect, Event, Reply, Request, RequestError, SessionEvent, SessionId, Ticket, Timer,
};
use crate::names::Family;
use crate::roster::{Content, Roster};
use crate::turn::Turn;

const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A look is cheap, and a client library that forgets a watch is not a thing to bet a cluster on.
const LOOK_INTERVAL: Duration = Duration::from_secs(300);
/// So many znodes are read at a time.
const MAX_READS: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Begins with a slash and does not end with one.
    pub path: String,
    pub acl: Acl,
    /// What the servers are asked for; they have the last word.
    pub session_timeout: Duration,
}

#[derive(Clone, Debug)]
enum Purpose {
    /// Is this part of the path there?
    Probe(usize),
    /// Create it.
    Make(usize),
    /// List the children.
    Look {
        inside: bool,
        settled: bool,
    },
    /// The path is not there, and it is not for us to create it.
    Await,
    Read(String),
    Join,
    /// See all that took effect before.
    Settle,
    Drop(String),
    Heartbeat,
}

/// Whether this one has a znode of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Joining,
    /// The znode may have been created, the answer was lost. `settled`: this server has caught up; `looked`: and
    /// its children were listed after that.
    Doubtful {
        settled: bool,
        looked: bool,
    },
    Inside {
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathState {
    Probe(usize),
    Make(usize),
    Ready,
}

#[derive(Debug)]
pub(crate) struct Engine {
    config: Config,
    family: Family,
    /// The data of the own znode.
    member: Option<Vec<u8>>,
    /// Whether the session has to be confirmed all along.
    heartbeats: bool,
    parts: Vec<String>,
    is_stopped: bool,
    is_up: bool,
    session: Option<SessionId>,
    session_timeout: Duration,
    pending: BTreeMap<Ticket, (Purpose, Time)>,
    next_ticket: Ticket,
    /// When the last request was sent that the servers' leader has answered in this session.
    confirmed: Option<Time>,
    retry: Duration,
    /// Nothing is sent before the retry timer.
    is_waiting: bool,
    path: PathState,
    place: Place,
    pub(crate) roster: Roster,
    failure: Option<String>,
}

impl Engine {
    pub(crate) fn new(config: Config, family: Family, member: Option<Vec<u8>>, heartbeats: bool) -> Engine {
        let ends = config.path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
        let mut parts: Vec<String> = ends.map(|end| config.path[..end].to_string()).collect();
        parts.push(config.path.clone());
        Engine {
            session_timeout: config.session_timeout,
            path: PathState::Probe(parts.len() - 1),
            config,
            family,
            member,
            heartbeats,
            parts,
            is_stopped: false,
            is_up: false,
            session: None,
            pending: BTreeMap::new(),
            next_ticket: 1,
            confirmed: None,
            retry: RETRY_MIN,
            is_waiting: false,
            place: Place::Outside,
            roster: Roster::new(family),
            failure: None,
        }
    }

    /// Why nothing goes on.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The name of the own znode.
    pub(crate) fn inside(&self) -> Option<&str> {
        match &self.place {
            Place::Inside { name } => Some(name),
            _ => None,
        }
    }

    pub(crate) fn confirmed(&self) -> Option<Time> {
        self.confirmed
    }

    pub(crate) fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Ends the session, and with it the own znode.
    pub(crate) fn stop<O>(&mut self, turn: &mut Turn<'_, O>) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            self.pending.clear();
            for timer in [Timer::Retry, Timer::Absence, Timer::Heartbeat, Timer::Lease, Timer::Look] {
                turn.cancel(timer);
            }
            turn.effect(Effect::Close);
        }
    }

    pub(crate) fn handle<O>(&mut self, turn: &mut Turn<'_, O>, event: Event) {
        if self.is_stopped {
            return;
        }
        match event {
            Event::Start => {
                turn.timer_in(Timer::Look, LOOK_INTERVAL);
                turn.effect(Effect::Connect);
            }
            Event::Session(event) => self.session_event(turn, event),
            Event::Answer { ticket, outcome } => {
                if let Some((purpose, sent)) = self.pending.remove(&ticket) {
                    self.answer(turn, purpose, sent, outcome);
                }
            }
            Event::Changed { path } => self.roster.stale |= path == self.config.path,
            Event::Timer(timer) => self.timer(turn, timer),
            Event::Withdraw => self.stop(turn),
        }
        self.advance(turn);
    }

    fn fail<O>(&mut self, turn: &mut Turn<'_, O>, reason: String) {
        turn.error(reason.clone());
        self.failure = Some(reason);
        self.stop(turn);
    }

    fn session_event<O>(&mut self, turn: &mut Turn<'_, O>, event: SessionEvent) {
        match event {
            SessionEvent::Connected { session, timeout } => {
                if self.session == Some(session) {
                    turn.info(format!("connected to ZooKeeper again, session {session:#x}"));
                } else {
                    let agreed = messor_stdx::format_duration(timeout);
                    turn.info(format!("connected to ZooKeeper, session {session:#x}, which lasts {agreed}"));
                    self.new_session();
                    self.session = Some(session);
                }
                self.session_timeout = timeout;
                self.is_up = true;
                self.roster.stale = true;
                self.calm(turn);
                turn.cancel(Timer::Absence);
                if self.heartbeats {
                    turn.timer_in(Timer::Heartbeat, self.heartbeat_interval());
                    self.confirm(turn);
                }
            }
            SessionEvent::Disconnected => {
                if std::mem::replace(&mut self.is_up, false) {
                    turn.warning("lost the connection to ZooKeeper; looking for another server".to_string());
                    turn.timer_in(Timer::Absence, self.session_timeout);
                }
                self.unsettle();
            }
            SessionEvent::Expired => {
                turn.warning("the ZooKeeper session has expired; opening another".to_string());
                self.new_session();
                self.session = None;
                self.is_up = false;
                self.calm(turn);
                turn.cancel(Timer::Absence);
                turn.cancel(Timer::Heartbeat);
                turn.effect(Effect::Connect);
            }
            SessionEvent::AuthFailed => {
                self.fail(turn, "ZooKeeper does not take the credentials of the address".to_string());
            }
        }
    }

    /// Nothing of a session before is true any more.
    fn new_session(&mut self) {
        self.pending.clear();
        self.confirmed = None;
        self.place = Place::Outside;
        self.path = PathState::Probe(self.parts.len() - 1);
        self.roster.forget();
    }

    fn calm<O>(&mut self, turn: &mut Turn<'_, O>) {
        self.retry = RETRY_MIN;
        if std::mem::replace(&mut self.is_waiting, false) {
            turn.cancel(Timer::Retry);
        }
    }

    /// Waits a little, more each time.
    fn try_again<O>(&mut self, turn: &mut Turn<'_, O>) {
        if !std::mem::replace(&mut self.is_waiting, true) {
            turn.timer_in(Timer::Retry, self.retry);
            self.retry = (self.retry * 2).min(RETRY_MAX);
        }
    }

    /// A server may come next that has not caught up with the last one.
    fn unsettle(&mut self) {
        if let Place::Doubtful { settled, looked } = &mut self.place {
            (*settled, *looked) = (false, false);
        }
    }

    fn heartbeat_interval(&self) -> Duration {
        self.session_timeout / 5
    }

    fn timer<O>(&mut self, turn: &mut Turn<'_, O>, timer: Timer) {
        match timer {
            Timer::Retry => self.is_waiting = false,
            Timer::Absence if !self.is_up => {
                turn.warning("without ZooKeeper for as long as a session lasts".to_string());
                self.roster.forget();
            }
            Timer::Heartbeat if self.is_up && self.heartbeats => {
                self.confirm(turn);
                turn.timer_in(Timer::Heartbeat, self.heartbeat_interval());
            }
            Timer::Look => {
                self.roster.stale = true;
                turn.timer_in(Timer::Look, LOOK_INTERVAL);
                self.give_up_waiting(turn);
            }
            Timer::Absence | Timer::Heartbeat | Timer::Lease => (),
        }
    }

    /// A client library answers each request. Should it not, nothing is to wait for that for ever.
    fn give_up_waiting<O>(&mut self, turn: &mut Turn<'_, O>) {
        let is_old = |sent: Time| turn.now.since(sent) >= LOOK_INTERVAL;
        let old: Vec<Ticket> =
            self.pending.iter().filter(|(_, (_, sent))| is_old(*sent)).map(|(ticket, _)| *ticket).collect();
        for ticket in old {
            if let Some((purpose, sent)) = self.pending.remove(&ticket) {
                self.answer(turn, purpose, sent, Err(RequestError::ConnectionLoss));
            }
        }
    }

    /// Asks the servers' leader for a sign of life.
    pub(crate) fn confirm<O>(&mut self, turn: &mut Turn<'_, O>) {
        let is_asked = self.pending.values().any(|(purpose, _)| matches!(purpose, Purpose::Heartbeat));
        if self.is_up && !is_asked && self.inside().is_some() {
            self.request(turn, Purpose::Heartbeat, Request::Sync { path: self.config.path.clone() });
        }
    }

    fn request<O>(&mut self, turn: &mut Turn<'_, O>, purpose: Purpose, request: Request) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, (purpose, turn.now));
        turn.effect(Effect::Request { ticket, request });
    }

    fn child(&self, name: &str) -> String {
        format!("{}/{name}", self.config.path)
    }

    fn answer<O>(
        &mut self,
        turn: &mut Turn<'_, O>,
        purpose: Purpose,
        sent: Time,
        outcome: Result<Reply, RequestError>,
    ) {
        // These are answered by the servers' leader alone.
        if matches!(outcome, Ok(Reply::Created { .. } | Reply::Deleted | Reply::Synced)) {
            self.confirmed = self.confirmed.max(Some(sent));
        }
        match (purpose, outcome) {
            (Purpose::Probe(part), Ok(Reply::Exists(there))) => self.path = self.probed(part, there),
            (Purpose::Make(part), Ok(_) | Err(RequestError::NodeExists)) => {
                self.path = self.probed(part, true)
            }
            (Purpose::Make(_), Err(RequestError::NoNode)) => {
                self.path = PathState::Probe(self.parts.len() - 1)
            }
            (Purpose::Look { inside, settled }, Ok(Reply::Children(names))) => {
                self.listed(turn, &names, inside, settled);
            }
            (Purpose::Look { .. }, Err(RequestError::NoNode)) => self.path_is_gone(turn),
            (Purpose::Await, Ok(Reply::Exists(there))) => self.roster.stale |= there,
            (Purpose::Read(name), Ok(Reply::Data { data, owner })) => {
                self.roster.set(&name, Content::Read { data, owner });
                self.judge(turn);
            }
            (Purpose::Read(name), Err(RequestError::NoNode)) => {
                self.roster.remove(&name);
                self.roster.stale = true;
                self.judge(turn);
            }
            (Purpose::Read(name), Err(RequestError::Refused(reason))) => {
                self.roster.set(&name, Content::Refused(reason));
                self.judge(turn);
            }
            (Purpose::Join, Ok(Reply::Created { path })) => self.joined(turn, &path),
            (Purpose::Join, Err(RequestError::NoNode)) => {
                self.place = Place::Outside;
                self.path = PathState::Probe(self.parts.len() - 1);
            }
            (Purpose::Settle, Ok(_)) => {
                if let Place::Doubtful { settled, .. } = &mut self.place {
                    *settled = true;
                    self.roster.stale = true;
                }
            }
            (Purpose::Drop(name), Ok(_) | Err(RequestError::NoNode)) => {
                self.roster.remove(&name);
                self.roster.stale = true;
            }
            (Purpose::Drop(name), Err(RequestError::Refused(reason))) => {
                turn.warning(format!("cannot remove the znode {name} that this one left behind: {reason}"));
                self.roster.set(&name, Content::Refused(reason));
            }
            (Purpose::Heartbeat, _) => return,
            (purpose, Err(RequestError::Refused(reason))) => {
                let what = self.describe(&purpose);
                return self.fail(turn, format!("ZooKeeper refuses {what}: {reason}"));
            }
            (purpose, outcome) => return self.broke(turn, purpose, &outcome),
        }
        self.retry = RETRY_MIN;
    }

    fn describe(&self, purpose: &Purpose) -> String {
        match purpose {
            Purpose::Probe(part) => format!("to tell whether {} is there", self.parts[*part]),
            Purpose::Make(part) => format!("to create {}", self.parts[*part]),
            Purpose::Look { .. } | Purpose::Await => format!("to list {}", self.config.path),
            Purpose::Read(name) => format!("to read {}", self.child(name)),
            Purpose::Join => format!("to create a znode below {}", self.config.path),
            Purpose::Drop(name) => format!("to remove {}", self.child(name)),
            Purpose::Settle | Purpose::Heartbeat => format!("to catch up with {}", self.config.path),
        }
    }

    /// A request whose answer was lost, or which may do better later.
    fn broke<O>(&mut self, turn: &mut Turn<'_, O>, purpose: Purpose, outcome: &Result<Reply, RequestError>) {
        match outcome {
            Err(RequestError::ConnectionLoss | RequestError::SessionExpired) => (),
            Err(error) => {
                let what = self.describe(&purpose);
                turn.warning(format!("ZooKeeper fails {what}: {error}; trying again"));
            }
            Ok(_) => {
                let what = self.describe(&purpose);
                turn.warning(format!(
                    "ZooKeeper gives an answer to another request, asked {what}; trying again"
                ));
            }
        }
        match purpose {
            Purpose::Look { .. } | Purpose::Await => self.roster.stale = true,
            Purpose::Read(name) => self.roster.set(&name, Content::Unread),
            Purpose::Join => self.place = Place::Doubtful { settled: false, looked: false },
            Purpose::Probe(_)
            | Purpose::Make(_)
            | Purpose::Settle
            | Purpose::Drop(_)
            | Purpose::Heartbeat => (),
        }
        self.try_again(turn);
    }

    /// From what is there of the path to what comes next: up until something is there, then down creating.
    fn probed(&self, part: usize, there: bool) -> PathState {
        match (there, part) {
            (true, part) if part + 1 == self.parts.len() => PathState::Ready,
            (true, part) => PathState::Make(part + 1),
            (false, 0) => PathState::Make(0),
            (false, part) => PathState::Probe(part - 1),
        }
    }

    fn path_is_gone<O>(&mut self, turn: &mut Turn<'_, O>) {
        self.roster.list(&[]);
        self.place = Place::Outside;
        if self.member.is_some() {
            turn.warning(format!("{} is not in ZooKeeper any more; creating it again", self.config.path));
            self.path = PathState::Probe(self.parts.len() - 1);
            self.roster.stale = true;
        } else {
            self.request(
                turn,
                Purpose::Await,
                Request::Exists { path: self.config.path.clone(), watch: true },
            );
        }
    }

    fn listed<O>(&mut self, turn: &mut Turn<'_, O>, names: &[String], inside: bool, settled: bool) {
        if self.roster.list(names) {
            turn.warning(format!(
                "{} has too many children; the highest ones are not looked at",
                self.config.path
            ));
        }
        if let Place::Doubtful { looked, .. } = &mut self.place {
            *looked |= settled;
        }
        if let (true, Place::Inside { name }) = (inside, &self.place)
            && !self.roster.contains(name)
        {
            turn.warning(format!("somebody removed the znode {name} of this one"));
            self.place = Place::Outside;
        }
        self.judge(turn);
    }

    fn is_asked(&self, is_it: impl Fn(&Purpose) -> bool) -> bool {
        self.pending.values().any(|(purpose, _)| is_it(purpose))
    }

    /// Asks for what is missing.
    fn advance<O>(&mut self, turn: &mut Turn<'_, O>) {
        if self.is_stopped || !self.is_up || self.is_waiting {
            return;
        }
        if self.member.is_some() && self.path != PathState::Ready {
            return self.prepare(turn);
        }
        match (&self.place, &self.member) {
            (Place::Outside, Some(data)) => {
                let prefix = self.child(self.family.prefix());
                let request = Request::CreateMember { prefix, data: data.clone(), acl: self.config.acl };
                self.place = Place::Joining;
                self.request(turn, Purpose::Join, request);
                return;
            }
            // What is there is listed when this one is among it.
            (Place::Joining, _) => return,
            (Place::Doubtful { settled: false, .. }, _) => {
                if !self.is_asked(|purpose| matches!(purpose, Purpose::Settle)) {
                    self.request(turn, Purpose::Settle, Request::Sync { path: self.config.path.clone() });
                }
                return;
            }
            _ => (),
        }
        let is_looking = self.is_asked(|purpose| matches!(purpose, Purpose::Look { .. } | Purpose::Await));
        if self.roster.stale && !is_looking {
            self.roster.stale = false;
            let purpose = Purpose::Look {
                inside: self.inside().is_some(),
                settled: matches!(self.place, Place::Doubtful { settled: true, .. }),
            };
            self.request(turn, purpose, Request::Children { path: self.config.path.clone() });
        }
        self.read(turn);
        self.judge(turn);
    }

    fn prepare<O>(&mut self, turn: &mut Turn<'_, O>) {
        if self.is_asked(|purpose| matches!(purpose, Purpose::Probe(_) | Purpose::Make(_))) {
            return;
        }
        match self.path {
            PathState::Probe(part) => {
                let path = self.parts[part].clone();
                self.request(turn, Purpose::Probe(part), Request::Exists { path, watch: false });
            }
            PathState::Make(part) => {
                let path = self.parts[part].clone();
                turn.info(format!("creates {path} in ZooKeeper"));
                self.request(turn, Purpose::Make(part), Request::Create { path, acl: self.config.acl });
            }
            PathState::Ready => (),
        }
    }

    /// The lowest is enough to know who leads; a member has to see which ones are its own, a replica knows all.
    fn read<O>(&mut self, turn: &mut Turn<'_, O>) {
        let wanted = if self.member.is_some() || self.family == Family::Replicas { usize::MAX } else { 1 };
        let reads = self.pending.values().filter(|(purpose, _)| matches!(purpose, Purpose::Read(_))).count();
        let unread: Vec<String> = self
            .roster
            .nodes()
            .take(wanted)
            .filter(|(_, node)| node.content == Content::Unread)
            .map(|(name, _)| name.to_string())
            .take(MAX_READS.saturating_sub(reads))
            .collect();
        for name in unread {
            self.roster.set(&name, Content::Reading);
            let path = self.child(&name);
            self.request(turn, Purpose::Read(name), Request::Data { path });
        }
    }
}
