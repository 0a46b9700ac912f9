//! Contenders, detectors and members of a group, their clocks and connections, and the servers, on one thread from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use messor_election::{
    Acl, Config, Contender, ContenderOutcome, Detector, DetectorOutcome, Effect, Event, Group, GroupOutcome,
    Leader, Machine, Reply, Request, RequestError, SessionEvent, SessionId, Ticket, Timer,
};
use messor_stdx::Time;

use crate::servers::Servers;

pub const TIMEOUT: Duration = Duration::from_secs(10);
const MASTERS: &str = "/a/mesos";
const REPLICAS: &str = "/a/mesos/log_replicas";

/// The three machines as one type.
#[derive(Debug)]
enum Any {
    Contender(Box<Contender>),
    Detector(Box<Detector>),
    Group(Box<Group>),
}

#[derive(Debug)]
enum Said {
    Elected,
    Lost,
    Leader(Option<Leader>),
    Members(BTreeSet<Vec<u8>>),
    Failed(String),
}

fn of_contender(outcome: ContenderOutcome) -> Said {
    match outcome {
        ContenderOutcome::Elected => Said::Elected,
        ContenderOutcome::LeadershipLost { .. } => Said::Lost,
        ContenderOutcome::Leader(leader) => Said::Leader(leader),
        ContenderOutcome::Failed { reason } => Said::Failed(reason),
    }
}

fn of_detector(outcome: DetectorOutcome) -> Said {
    match outcome {
        DetectorOutcome::Leader(leader) => Said::Leader(leader),
        DetectorOutcome::Failed { reason } => Said::Failed(reason),
    }
}

fn of_group(outcome: GroupOutcome) -> Said {
    match outcome {
        GroupOutcome::Members(members) => Said::Members(members),
        GroupOutcome::Failed { reason } => Said::Failed(reason),
    }
}

fn same<O>(effect: Effect<O>, say: impl Fn(O) -> Said) -> Effect<Said> {
    match effect {
        Effect::Connect => Effect::Connect,
        Effect::Request { ticket, request } => Effect::Request { ticket, request },
        Effect::Close => Effect::Close,
        Effect::SetTimer { timer, at } => Effect::SetTimer { timer, at },
        Effect::CancelTimer { timer } => Effect::CancelTimer { timer },
        Effect::Outcome(outcome) => Effect::Outcome(say(outcome)),
        Effect::Log { level, line, at } => Effect::Log { level, line, at },
    }
}

fn drive<M: Machine>(
    machine: &mut M,
    now: Time,
    event: Event,
    say: impl Fn(M::Outcome) -> Said,
) -> Vec<Effect<Said>> {
    let mut effects = Vec::new();
    machine.handle(now, event, &mut effects);
    effects.into_iter().map(|effect| same(effect, &say)).collect()
}

impl Any {
    fn handle(&mut self, now: Time, event: Event) -> Vec<Effect<Said>> {
        match self {
            Any::Contender(machine) => drive(&mut **machine, now, event, of_contender),
            Any::Detector(machine) => drive(&mut **machine, now, event, of_detector),
            Any::Group(machine) => drive(&mut **machine, now, event, of_group),
        }
    }

    fn leads_until(&self) -> Option<Time> {
        match self {
            Any::Contender(machine) => machine.leads_until(),
            Any::Detector(_) | Any::Group(_) => None,
        }
    }
}

/// A program with one machine.
#[derive(Debug)]
struct Actor {
    machine: Any,
    /// What it writes into its znode.
    data: Vec<u8>,
    /// Its clock runs so many millionths too fast, and is off by so much.
    drift: i64,
    offset: Duration,
    timers: BTreeMap<Timer, Time>,
    session: Option<SessionId>,
    /// Rises with each session that is asked for; what belongs to an earlier one comes to nothing.
    generation: u32,
    /// Rises each time the connection breaks.
    epoch: u32,
    is_link_up: bool,
    is_connected: bool,
    broke_at: Time,
    pending: BTreeSet<Ticket>,
    paused_until: Time,
    is_over: bool,
    has_led: bool,
    leader: Option<Leader>,
    members: BTreeSet<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Happening {
    Deliver { actor: usize, generation: u32, event: Event },
    Timer { actor: usize, timer: Timer, at: Time },
    Connect { actor: usize, generation: u32 },
    Arrive { actor: usize, generation: u32, epoch: u32, ticket: Ticket, request: Request },
    Answer { actor: usize, generation: u32, epoch: u32, ticket: Ticket, outcome: Result<Reply, RequestError> },
    Told { session: SessionId, path: String },
    Ping { actor: usize, generation: u32, epoch: u32 },
    Close { session: SessionId },
    Notice { actor: usize, epoch: u32 },
    Restore { actor: usize },
    Expiry,
    Fault,
    Replace { actor: usize },
    ServersBack,
}

pub struct World {
    rng: Rng,
    pub now: Time,
    servers: Servers,
    are_servers_down: bool,
    actors: Vec<Actor>,
    agenda: BTreeMap<(Time, u64), Happening>,
    count: u64,
    runs: u32,
    is_faulty: bool,
    pub elections: u32,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut world = World {
            rng: Rng::with_seed(seed),
            now: Time::ZERO + Duration::from_secs(1_000_000),
            servers: Servers::default(),
            are_servers_down: false,
            actors: Vec::new(),
            agenda: BTreeMap::new(),
            count: 0,
            runs: 0,
            is_faulty: true,
            elections: 0,
        };
        for kind in [0, 0, 0, 1, 1, 2, 2, 2] {
            let actor = world.actor(kind);
            world.actors.push(actor);
            let actor = world.actors.len() - 1;
            let delay = millis(world.rng.u64(0..2000));
            world.plan(delay, Happening::Deliver { actor, generation: 0, event: Event::Start });
        }
        world.plan(millis(100), Happening::Expiry);
        world.plan(millis(3000), Happening::Fault);
        world
    }

    fn actor(&mut self, kind: u32) -> Actor {
        self.runs += 1;
        let data = format!("run {}", self.runs).into_bytes();
        let config = |path: &str| Config { path: path.to_string(), acl: Acl::Open, session_timeout: TIMEOUT };
        let machine = match kind {
            0 => Any::Contender(Box::new(Contender::new(config(MASTERS), data.clone()))),
            1 => Any::Detector(Box::new(Detector::new(config(MASTERS)))),
            _ => Any::Group(Box::new(Group::new(config(REPLICAS), Some(data.clone())))),
        };
        Actor {
            machine,
            data,
            drift: self.rng.i64(-30_000..30_000),
            offset: millis(self.rng.u64(0..100_000)),
            timers: BTreeMap::new(),
            session: None,
            generation: 0,
            epoch: 0,
            is_link_up: !self.are_servers_down,
            is_connected: false,
            broke_at: Time::ZERO,
            pending: BTreeSet::new(),
            paused_until: Time::ZERO,
            is_over: false,
            has_led: false,
            leader: None,
            members: BTreeSet::new(),
        }
    }

    fn plan(&mut self, delay: Duration, happening: Happening) {
        self.count += 1;
        self.agenda.insert((self.now + delay, self.count), happening);
    }

    fn latency(&mut self) -> Duration {
        match self.rng.u32(0..20) {
            0 if self.is_faulty => millis(self.rng.u64(0..1500)),
            _ => millis(self.rng.u64(1..30)),
        }
    }

    /// The time by this actor's clock.
    fn clock(&self, actor: usize) -> Time {
        let actor = &self.actors[actor];
        let real = i128::from(self.now.as_nanos());
        let shown = real + real / 1_000_000 * i128::from(actor.drift);
        Time::from_nanos(u64::try_from(shown).unwrap_or_default()) + actor.offset
    }

    /// How long it really takes until this clock shows `at`.
    fn real_pause(&self, actor: usize, at: Time) -> Duration {
        let shown = at.since(self.clock(actor)).as_nanos() as f64;
        Duration::from_nanos((shown * 1e6 / (1e6 + self.actors[actor].drift as f64)) as u64 + 1000)
    }

    /// Goes on for so long; `is_faulty` says whether new faults come.
    pub fn run(&mut self, duration: Duration, is_faulty: bool) {
        self.is_faulty = is_faulty;
        let end = self.now + duration;
        while let Some(((at, _), _)) = self.agenda.first_key_value() {
            if *at > end {
                break;
            }
            let ((at, _), happening) = self.agenda.pop_first().unwrap();
            self.now = at;
            self.happen(happening);
            self.at_most_one_acts_as_leader();
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { actor, generation, event } => {
                if self.actors[actor].paused_until > self.now {
                    let pause = self.actors[actor].paused_until.since(self.now);
                    self.plan(pause, Happening::Deliver { actor, generation, event });
                } else if self.actors[actor].generation == generation {
                    self.deliver(actor, event);
                }
            }
            Happening::Timer { actor, timer, at } => {
                if self.actors[actor].timers.get(&timer) == Some(&at) {
                    if self.actors[actor].paused_until > self.now {
                        let pause =
                            self.actors[actor].paused_until.since(self.now) + millis(self.rng.u64(0..5));
                        return self.plan(pause, Happening::Timer { actor, timer, at });
                    }
                    self.actors[actor].timers.remove(&timer);
                    self.deliver(actor, Event::Timer(timer));
                }
            }
            Happening::Connect { actor, generation } => self.connect(actor, generation),
            Happening::Arrive { actor, generation, epoch, ticket, request } => {
                let (session, is_gone) = {
                    let actor = &self.actors[actor];
                    (
                        actor.session,
                        actor.generation != generation || actor.epoch != epoch || !actor.is_link_up,
                    )
                };
                let Some(session) = session.filter(|_| !is_gone) else { return };
                self.servers.hear(self.now, session);
                let (outcome, told) = self.servers.perform(session, request);
                self.tell(told);
                let delay = self.latency();
                self.plan(delay, Happening::Answer { actor, generation, epoch, ticket, outcome });
            }
            Happening::Answer { actor, generation, epoch, ticket, outcome } => {
                let there = &mut self.actors[actor];
                if there.generation == generation && there.epoch == epoch && there.pending.remove(&ticket) {
                    let event = Event::Answer { ticket, outcome };
                    self.happen(Happening::Deliver { actor, generation, event });
                }
            }
            Happening::Told { session, path } => {
                let found = self
                    .actors
                    .iter()
                    .position(|a| a.session == Some(session) && a.is_connected && a.is_link_up);
                if let Some(actor) = found {
                    let generation = self.actors[actor].generation;
                    self.happen(Happening::Deliver { actor, generation, event: Event::Changed { path } });
                }
            }
            Happening::Ping { actor, generation, epoch } => {
                let there = &self.actors[actor];
                if there.generation == generation && there.epoch == epoch && there.is_link_up {
                    if let Some(session) = there.session.filter(|_| there.paused_until <= self.now) {
                        self.servers.hear(self.now, session);
                    }
                    self.plan(TIMEOUT / 3, Happening::Ping { actor, generation, epoch });
                }
            }
            Happening::Close { session } => {
                let told = self.servers.close(session);
                self.tell(told);
            }
            Happening::Notice { actor, epoch } => self.notice(actor, epoch),
            Happening::Restore { actor } => {
                if !self.are_servers_down {
                    self.actors[actor].is_link_up = true;
                }
                let generation = self.actors[actor].generation;
                self.plan(millis(50), Happening::Connect { actor, generation });
            }
            Happening::Expiry => {
                if !self.are_servers_down {
                    for session in self.servers.expired(self.now) {
                        let told = self.servers.close(session);
                        self.tell(told);
                        // A server hangs up on a session that has expired.
                        let found =
                            self.actors.iter().position(|a| a.session == Some(session) && a.is_link_up);
                        if let Some(actor) = found {
                            self.cut(actor, millis(10));
                        }
                    }
                }
                self.plan(millis(100), Happening::Expiry);
            }
            Happening::Fault => {
                if self.is_faulty {
                    self.fault();
                }
                let delay = millis(self.rng.u64(100..6000));
                self.plan(delay, Happening::Fault);
            }
            Happening::Replace { actor } => {
                let next = self.actor(0);
                let old = &self.actors[actor];
                // The machine's clock stays what it was, and what was on its way to the old program comes to nothing.
                let (generation, epoch) = (old.generation + 1, old.epoch + 1);
                self.actors[actor] =
                    Actor { offset: old.offset, drift: old.drift, generation, epoch, ..next };
                self.deliver(actor, Event::Start);
            }
            Happening::ServersBack => {
                self.are_servers_down = false;
                self.servers.restart(self.now);
                for actor in 0..self.actors.len() {
                    self.plan(millis(20), Happening::Restore { actor });
                }
            }
        }
    }

    fn tell(&mut self, told: Vec<(SessionId, String)>) {
        for (session, path) in told {
            let delay = match self.rng.u32(0..10) {
                0 if self.is_faulty => millis(self.rng.u64(0..4000)),
                _ => self.latency(),
            };
            self.plan(delay, Happening::Told { session, path });
        }
    }

    fn connect(&mut self, index: usize, generation: u32) {
        let actor = &mut self.actors[index];
        if actor.generation != generation || actor.is_over || actor.is_connected || actor.generation == 0 {
            return;
        }
        if !actor.is_link_up {
            // The client library gives up on its own after a while.
            if actor.session.is_some() && self.now.since(actor.broke_at) > TIMEOUT * 7 / 5 {
                self.happen(Happening::Deliver {
                    actor: index,
                    generation,
                    event: Event::Session(SessionEvent::Expired),
                });
            } else {
                self.plan(millis(500), Happening::Connect { actor: index, generation });
            }
            return;
        }
        let session = match actor.session {
            Some(session) if !self.servers.is_alive(session) => {
                self.happen(Happening::Deliver {
                    actor: index,
                    generation,
                    event: Event::Session(SessionEvent::Expired),
                });
                return;
            }
            Some(session) => {
                self.servers.forget_watches(session);
                self.servers.hear(self.now, session);
                session
            }
            None => self.servers.open(self.now, TIMEOUT),
        };
        let actor = &mut self.actors[index];
        actor.session = Some(session);
        actor.is_connected = true;
        actor.epoch += 1;
        let epoch = actor.epoch;
        self.plan(TIMEOUT / 3, Happening::Ping { actor: index, generation, epoch });
        let event = Event::Session(SessionEvent::Connected { session, timeout: TIMEOUT });
        self.happen(Happening::Deliver { actor: index, generation, event });
    }

    /// The client sees that its connection is broken.
    fn notice(&mut self, index: usize, epoch: u32) {
        let actor = &mut self.actors[index];
        if actor.epoch != epoch || !actor.is_connected {
            return;
        }
        actor.is_connected = false;
        actor.broke_at = self.now;
        let generation = actor.generation;
        let pending = std::mem::take(&mut actor.pending);
        let mut events = vec![Event::Session(SessionEvent::Disconnected)];
        events.extend(
            pending
                .into_iter()
                .map(|ticket| Event::Answer { ticket, outcome: Err(RequestError::ConnectionLoss) }),
        );
        self.rng.shuffle(&mut events);
        for event in events {
            self.happen(Happening::Deliver { actor: index, generation, event });
        }
        self.plan(millis(100), Happening::Connect { actor: index, generation });
    }

    fn cut(&mut self, index: usize, duration: Duration) {
        let actor = &mut self.actors[index];
        actor.is_link_up = false;
        actor.epoch += 1;
        let epoch = actor.epoch;
        let blind = millis(self.rng.u64(0..3000));
        self.plan(blind, Happening::Notice { actor: index, epoch });
        self.plan(duration, Happening::Restore { actor: index });
    }

    fn fault(&mut self) {
        let actor = self.rng.usize(0..self.actors.len());
        match self.rng.u32(0..10) {
            0..4 => {
                let duration = millis(self.rng.u64(0..16_000));
                self.cut(actor, duration);
            }
            // A blip.
            4..7 => self.cut(actor, millis(10)),
            // It ends between two happenings, and no pause moves another: what waits for it stays in order.
            7 if self.actors[actor].paused_until <= self.now => {
                let pause = millis(self.rng.u64(0..20_000)) + Duration::from_nanos(7);
                self.actors[actor].paused_until = self.now + pause;
            }
            8 if !self.are_servers_down => {
                self.are_servers_down = true;
                let down = millis(self.rng.u64(100..25_000));
                for actor in 0..self.actors.len() {
                    self.cut(actor, down * 2);
                }
                self.plan(down, Happening::ServersBack);
            }
            // The machine room's door: one goes and comes back as another.
            _ => {
                if matches!(self.actors[actor].machine, Any::Contender(_)) {
                    self.actors[actor].is_over = true;
                    self.actors[actor].generation += 1;
                    self.plan(millis(500), Happening::Replace { actor });
                }
            }
        }
    }

    fn deliver(&mut self, index: usize, event: Event) {
        if self.actors[index].is_over {
            return;
        }
        let now = self.clock(index);
        if event == Event::Session(SessionEvent::Expired) {
            let actor = &mut self.actors[index];
            (actor.session, actor.is_connected) = (None, false);
            actor.pending.clear();
        }
        for effect in self.actors[index].machine.handle(now, event) {
            self.carry_out(index, effect);
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect<Said>) {
        let delay = self.latency();
        let actor = &mut self.actors[index];
        match effect {
            Effect::Connect => {
                actor.generation += 1;
                (actor.session, actor.is_connected) = (None, false);
                actor.pending.clear();
                let generation = actor.generation;
                self.plan(delay, Happening::Connect { actor: index, generation });
            }
            Effect::Request { ticket, request } => {
                let (generation, epoch) = (actor.generation, actor.epoch);
                if actor.is_connected {
                    actor.pending.insert(ticket);
                    self.plan(delay, Happening::Arrive { actor: index, generation, epoch, ticket, request });
                } else {
                    let event = Event::Answer { ticket, outcome: Err(RequestError::ConnectionLoss) };
                    self.plan(delay, Happening::Deliver { actor: index, generation, event });
                }
            }
            Effect::Close => {
                actor.is_over = true;
                actor.generation += 1;
                if let Some(session) = actor.session.take().filter(|_| actor.is_link_up) {
                    self.plan(delay, Happening::Close { session });
                }
                self.plan(millis(3000), Happening::Replace { actor: index });
            }
            Effect::SetTimer { timer, at } => {
                actor.timers.insert(timer, at);
                let pause = self.real_pause(index, at);
                self.plan(pause, Happening::Timer { actor: index, timer, at });
            }
            Effect::CancelTimer { timer } => {
                actor.timers.remove(&timer);
            }
            Effect::Outcome(said) => match said {
                Said::Elected => {
                    assert!(!actor.has_led, "elected is said once");
                    actor.has_led = true;
                    self.elections += 1;
                }
                Said::Lost => assert!(actor.has_led, "only who leads can lose that"),
                Said::Leader(leader) => {
                    assert_ne!(actor.leader, leader, "only changes are said");
                    actor.leader = leader;
                }
                Said::Members(members) => actor.members = members,
                Said::Failed(reason) => panic!("nothing here is refused: {reason}"),
            },
            Effect::Log { .. } => (),
        }
    }

    fn acts(&self, index: usize) -> bool {
        let actor = &self.actors[index];
        !actor.is_over && actor.machine.leads_until().is_some_and(|until| self.clock(index) < until)
    }

    fn acting(&self) -> Vec<usize> {
        (0..self.actors.len()).filter(|index| self.acts(*index)).collect()
    }

    fn at_most_one_acts_as_leader(&self) {
        let acting = self.acting();
        assert!(acting.len() <= 1, "{acting:?} act as leaders at once");
        // Nor does anybody act without a znode that the servers know.
        for index in acting {
            let session = self.actors[index].session.unwrap_or_default();
            assert!(self.servers.is_alive(session), "{index} acts without a session on the servers");
        }
    }

    /// After all has been well for a while.
    pub fn assert_all_is_well(&self) {
        let acting = self.acting();
        assert_eq!(acting.len(), 1, "one leads");
        let data = &self.actors[acting[0]].data;
        let mut masters = BTreeSet::new();
        let mut replicas = BTreeSet::new();
        for (index, actor) in self.actors.iter().enumerate() {
            match &actor.machine {
                Any::Contender(_) => masters.insert((actor.data.clone(), actor.session)),
                Any::Group(_) => replicas.insert((actor.data.clone(), actor.session)),
                Any::Detector(_) => true,
            };
            if !matches!(actor.machine, Any::Group(_)) {
                assert_eq!(
                    actor.leader.as_ref().map(|leader| &leader.data),
                    Some(data),
                    "{index} knows who leads"
                );
            }
        }
        for (path, expected) in [(MASTERS, masters), (REPLICAS, replicas)] {
            let names = self.servers.names(path);
            let found = names.iter().filter(|name| *name != "log_replicas").map(|name| {
                let znode = &self.servers.znodes[&format!("{path}/{name}")];
                (znode.data.clone(), Some(znode.owner))
            });
            let found: Vec<_> = found.collect();
            assert_eq!(found.len(), expected.len(), "one znode each below {path}: {found:?}");
            assert_eq!(BTreeSet::from_iter(found), expected, "no ghosts below {path}");
        }
        let all: BTreeSet<Vec<u8>> = self
            .actors
            .iter()
            .filter(|a| matches!(a.machine, Any::Group(_)))
            .map(|a| a.data.clone())
            .collect();
        for actor in self.actors.iter().filter(|actor| matches!(actor.machine, Any::Group(_))) {
            assert_eq!(actor.members, all, "each replica knows all");
        }
    }
}
