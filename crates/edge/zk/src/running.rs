//! A machine with its session, its timers and the way out for what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use messor_election::{
    Config, Contender, ContenderOutcome, Detector, DetectorOutcome, Effect, Event, Group, GroupOutcome,
    Machine, Timer, Url,
};
use messor_stdx::Time;
use tokio::sync::{mpsc, oneshot};

use crate::session::Session;

/// So much may wait to be read from `Running::outcomes`; then the machine waits, and its lease runs out if need be.
const MAX_OUTCOMES: usize = 64;
/// For the session to end on the servers.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a contender may act as leader at this moment. Cheap: look before each thing that only a leader may do.
#[derive(Clone, Debug, Default)]
pub struct Lease(Arc<AtomicU64>);

impl Lease {
    /// `now` is of the clock that the contender was given.
    pub fn holds(&self, now: Time) -> bool {
        now < Time::from_nanos(self.0.load(Ordering::Acquire))
    }

    fn set(&self, until: Option<Time>) {
        self.0.store(until.unwrap_or(Time::ZERO).as_nanos(), Ordering::Release);
    }
}

/// A machine that runs until it is withdrawn or dropped.
pub struct Running<O> {
    /// Ends after a machine's last word.
    pub outcomes: mpsc::Receiver<O>,
    pub lease: Lease,
    leave: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl<O> Running<O> {
    /// Ends the session, so that its znodes go at once and nobody has to wait for them to expire. It waits for the
    /// servers, but not for long.
    pub async fn withdraw(self) {
        // An error means that the machine has ended already.
        let _ = self.leave.send(());
        let _ = tokio::time::timeout(PATIENCE, self.task).await;
    }
}

/// Wants to lead. `info` is this run's `master_znode`; `clock` is the clock by which the leader acts.
pub fn contend(
    url: &Url,
    session_timeout: Duration,
    info: Vec<u8>,
    clock: impl Fn() -> Time + Send + 'static,
) -> Running<ContenderOutcome> {
    run(Contender::new(config(url, session_timeout), info), url, session_timeout, clock)
}

/// Wants to know who leads.
pub fn detect(
    url: &Url,
    session_timeout: Duration,
    clock: impl Fn() -> Time + Send + 'static,
) -> Running<DetectorOutcome> {
    run(Detector::new(config(url, session_timeout)), url, session_timeout, clock)
}

/// Belongs to the group at the path of `url` (the replicas' is `url.join("log_replicas")`), or, without `member`, looks on.
pub fn join(
    url: &Url,
    session_timeout: Duration,
    member: Option<Vec<u8>>,
    clock: impl Fn() -> Time + Send + 'static,
) -> Running<GroupOutcome> {
    run(Group::new(config(url, session_timeout), member), url, session_timeout, clock)
}

fn config(url: &Url, session_timeout: Duration) -> Config {
    Config { path: url.path().to_string(), acl: url.acl(), session_timeout }
}

/// Runs any of the machines. Inside a tokio runtime.
pub fn run<M>(
    machine: M,
    url: &Url,
    session_timeout: Duration,
    clock: impl Fn() -> Time + Send + 'static,
) -> Running<M::Outcome>
where
    M: Machine + Send + 'static,
    M::Outcome: Send + 'static,
{
    let (outcomes, receiver) = mpsc::channel(MAX_OUTCOMES);
    let (leave, leaving) = oneshot::channel();
    let lease = Lease::default();
    let driver = Driver {
        machine,
        url: url.clone(),
        session_timeout,
        clock,
        timers: BTreeMap::new(),
        session: None,
        outcomes,
        lease: lease.clone(),
        is_closed: false,
    };
    Running { outcomes: receiver, lease, leave, task: tokio::spawn(driver.drive(leaving)) }
}

struct Driver<M: Machine, C> {
    machine: M,
    url: Url,
    session_timeout: Duration,
    clock: C,
    timers: BTreeMap<Timer, Time>,
    session: Option<Session>,
    outcomes: mpsc::Sender<M::Outcome>,
    lease: Lease,
    is_closed: bool,
}

impl<M: Machine, C: Fn() -> Time> Driver<M, C> {
    async fn drive(mut self, mut leaving: oneshot::Receiver<()>) {
        self.handle(Event::Start).await;
        let mut is_wanted = true;
        while !self.is_closed {
            let now = (self.clock)();
            if let Some((timer, _)) =
                self.timers.iter().find(|(_, at)| **at <= now).map(|(timer, at)| (*timer, *at))
            {
                self.timers.remove(&timer);
                self.handle(Event::Timer(timer)).await;
                continue;
            }
            let pause = self.timers.values().min().map_or(Duration::from_secs(3600), |at| at.since(now));
            let event = tokio::select! {
                event = next(&mut self.session) => event,
                () = tokio::time::sleep(pause) => continue,
                // Dropped or told: both mean to leave.
                _ = &mut leaving, if is_wanted => {
                    is_wanted = false;
                    Event::Withdraw
                }
            };
            self.handle(event).await;
        }
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    async fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.handle((self.clock)(), event, &mut effects);
        // First of all, so that nobody acts on what is over.
        self.lease.set(self.machine.leads_until());
        for effect in effects {
            self.carry_out(effect).await;
        }
    }

    async fn carry_out(&mut self, effect: Effect<M::Outcome>) {
        match effect {
            Effect::Connect => self.session = Some(Session::open(&self.url, self.session_timeout)),
            Effect::Request { ticket, request } => {
                if let Some(session) = &self.session {
                    session.request(ticket, request);
                }
            }
            Effect::Close => self.is_closed = true,
            Effect::SetTimer { timer, at } => {
                self.timers.insert(timer, at);
            }
            Effect::CancelTimer { timer } => {
                self.timers.remove(&timer);
            }
            Effect::Outcome(outcome) => {
                // Nobody listens any more: whoever started this leaves, and `leaving` says so.
                let _ = self.outcomes.send(outcome).await;
            }
            Effect::Log { level, line, at } => messor_log::say(level, &line, at),
        }
    }
}

async fn next(session: &mut Option<Session>) -> Event {
    match session {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}
