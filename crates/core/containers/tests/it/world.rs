//! A host with its disk, isolators and processes, an agent on it that crashes, and what must hold of them all.

use std::collections::{BTreeMap, BTreeSet};

use messor_containers::{
    Answer, Containers, Effect, Event, Found, IsolatorTraits, Kind, Outcome, Process, Spec, State, Step,
    Ticket,
};
use messor_proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use messor_stdx::Random;
use messor_types::ContainerId;

const TRAITS: [IsolatorTraits; 4] = [
    IsolatorTraits { nesting: true, standalone: true },
    IsolatorTraits { nesting: false, standalone: false },
    IsolatorTraits { nesting: true, standalone: false },
    IsolatorTraits { nesting: true, standalone: true },
];

/// What is kept of a container on the disk.
#[derive(Clone, Debug)]
struct Kept {
    kind: Kind,
    pid: Option<i32>,
    status: Option<i32>,
    termination: Option<ContainerTermination>,
}

#[derive(Clone, Debug)]
struct Running {
    container: ContainerId,
    /// Not let go on yet: it ends with its agent.
    waits: bool,
}

pub struct World {
    random: Random,
    trace: bool,
    machine: Containers,
    /// What was wanted and is not done yet.
    flights: Vec<Effect>,
    calm: bool,
    disk: BTreeMap<ContainerId, Kept>,
    prepared: BTreeSet<(usize, ContainerId)>,
    processes: BTreeMap<i32, Running>,
    watched: BTreeMap<ContainerId, u64>,
    /// End steps fail twice in a row at most: what is given up on is another test's.
    failures: BTreeMap<ContainerId, u32>,
    last_pid: i32,
    last_ticket: u64,
    last_name: u64,
    /// Executors that the agent began and of whose end it did not hear: this survives it.
    known: BTreeSet<ContainerId>,
    launching: BTreeMap<Ticket, ContainerId>,
    launched: BTreeSet<ContainerId>,
    waiting: BTreeMap<Ticket, ContainerId>,
    recovering: bool,
    pub crashes: u64,
    pub ends: u64,
    /// The kinds of containers and steps at which an agent crashed, and those that failed.
    pub crashed_at: BTreeSet<(String, &'static str)>,
    pub failed_at: BTreeSet<&'static str>,
}

/// Every step there is.
pub const STEPS: [&str; 12] = [
    "begin",
    "provision",
    "prepare",
    "fork",
    "isolate",
    "update",
    "fetch",
    "go on",
    "kill all",
    "clean up",
    "unprovision",
    "finish",
];

fn name(step: &Step) -> &'static str {
    let number = match step {
        Step::Begin => 0,
        Step::Provision => 1,
        Step::Prepare(_) => 2,
        Step::Fork => 3,
        Step::Isolate(_) => 4,
        Step::Update(_) => 5,
        Step::Fetch => 6,
        Step::GoOn => 7,
        Step::KillAll => 8,
        Step::CleanUp(_) => 9,
        Step::Unprovision => 10,
        Step::Finish(_) => 11,
    };
    STEPS[number]
}

impl World {
    pub fn new(seed: u64, trace: bool) -> World {
        World {
            random: Random::new(seed),
            trace,
            machine: Containers::new(TRAITS.to_vec()),
            flights: Vec::new(),
            calm: false,
            disk: BTreeMap::new(),
            prepared: BTreeSet::new(),
            processes: BTreeMap::new(),
            watched: BTreeMap::new(),
            failures: BTreeMap::new(),
            last_pid: 100,
            last_ticket: 0,
            last_name: 0,
            known: BTreeSet::new(),
            launching: BTreeMap::new(),
            launched: BTreeSet::new(),
            waiting: BTreeMap::new(),
            recovering: false,
            crashes: 0,
            ends: 0,
            crashed_at: BTreeSet::new(),
            failed_at: BTreeSet::new(),
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        !self.calm && self.random.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let at = self.random.below(all.len().max(1) as u64) as usize;
        all.get(at).cloned()
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    fn log(&self, line: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{}", line());
        }
    }

    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            match self.random.below(100) {
                0 => self.crash(),
                1..=8 => self.act(),
                9..=12 => self.process_ends(),
                _ => self.carry_out_one(),
            }
        }
        // From here on nothing fails, and everything is to end.
        self.calm = true;
        loop {
            while !self.flights.is_empty() {
                self.carry_out_one();
            }
            let roots: Vec<ContainerId> = self.machine.standing().map(|(id, _)| id.root().clone()).collect();
            let Some(root) = roots.first() else { break };
            self.event(Event::Destroy { container: root.clone() });
        }
        self.nothing_is_left();
    }

    /// Named: *every container that was begun ends*, *nothing of it is left*, *every question is answered*.
    fn nothing_is_left(&self) {
        assert!(self.disk.is_empty(), "kept: {:?}", self.disk);
        assert!(self.prepared.is_empty(), "not cleaned up: {:?}", self.prepared);
        assert!(self.processes.is_empty(), "running: {:?}", self.processes);
        assert!(self.launching.is_empty(), "launches without an answer: {:?}", self.launching);
        assert!(self.waiting.is_empty(), "waiting without an answer: {:?}", self.waiting);
        assert!(self.launched.is_empty(), "ends that were not told: {:?}", self.launched);
        assert!(self.known.is_empty(), "executors without an end: {:?}", self.known);
        assert_eq!(self.machine.destroy_errors(), 0);
    }

    fn act(&mut self) {
        let standing: Vec<ContainerId> = self.machine.standing().map(|(id, _)| id.clone()).collect();
        let any = self.pick(&standing);
        let roll = self.random.below(14);
        match (roll, any) {
            (0..=2, _) | (_, None) => {
                let kind = if roll == 2 { Kind::Standalone } else { Kind::Executor };
                self.last_name += 1;
                let container = ContainerId::new(&format!("c{}", self.last_name));
                if kind == Kind::Executor && !self.recovering {
                    self.known.insert(container.clone());
                }
                self.launch(container, kind);
            }
            // An id that is there, or was: it is refused, or free again.
            (3, Some(container)) if container.parent().is_some() => self.launch(container, Kind::Nested),
            (3..=6, Some(parent)) => {
                // Mostly in one that can have it.
                let all = self.machine.standing();
                let running = all.filter(|(_, found)| found.state == State::Running);
                let running: Vec<ContainerId> = running.map(|(id, _)| id.clone()).collect();
                let parent = if roll == 6 { parent } else { self.pick(&running).unwrap_or(parent) };
                let kind = if roll == 3 { Kind::Debug } else { Kind::Nested };
                let name = format!("n{}", self.random.below(4));
                self.launch(ContainerId::nested(&parent, &name), kind);
            }
            (7 | 8, Some(container)) => self.event(Event::Destroy { container }),
            (9, Some(container)) => self.event(Event::Update { container }),
            (10, Some(mut container)) => {
                // One that waits to begin in it, where there is such.
                let expected: Vec<ContainerId> = self.machine.expected_in(&container).cloned().collect();
                if let Some(one) = self.pick(&expected) {
                    container = one;
                }
                let (signal, ticket) = (15, self.ticket());
                self.event(Event::Kill { container, signal, ticket });
            }
            (11, Some(container)) => {
                let limitation = ContainerLimitation::default();
                self.event(Event::Limited { container, limitation });
            }
            (12, Some(container)) => {
                let ticket = self.ticket();
                self.waiting.insert(ticket, container.clone());
                self.event(Event::Wait { container, ticket });
            }
            (_, Some(_)) => {
                let ended = self.disk.iter().filter(|(_, kept)| kept.termination.is_some());
                let ended: Vec<ContainerId> = ended.map(|(id, _)| id.clone()).collect();
                if let Some(container) = self.pick(&ended) {
                    let ticket = self.ticket();
                    self.event(Event::Remove { container, ticket });
                }
            }
        }
    }

    fn launch(&mut self, container: ContainerId, kind: Kind) {
        let spec = Spec { kind, image: self.chance(20), fetches: self.chance(40) };
        let ticket = self.ticket();
        self.launching.insert(ticket, container.clone());
        self.event(Event::Launch { container, spec, ticket });
    }

    fn process_ends(&mut self) {
        let running = self.processes.iter().filter(|(_, process)| !process.waits);
        let running: Vec<i32> = running.map(|(pid, _)| *pid).collect();
        let Some(pid) = self.pick(&running) else { return };
        let container = self.processes.remove(&pid).expect("it runs").container;
        if let Some(kept) = self.disk.get_mut(&container) {
            kept.status = Some(0);
        }
        if let Some(run) = self.watched.get(&container).copied() {
            self.event(Event::Exited { container, run });
        }
    }

    fn event(&mut self, event: Event) {
        self.log(|| format!("-> {event:?}"));
        let mut effects = Vec::new();
        self.machine.handle(event, &mut effects);
        for effect in effects {
            // Between any two effects the agent may be killed.
            if self.random.below(400) == 0 && !self.calm {
                return self.crash();
            }
            self.log(|| format!("   {effect:?}"));
            match effect {
                Effect::Answer { ticket, answer } => self.answer(ticket, &answer),
                Effect::Ended { container, termination, .. } => self.ended(&container, &termination),
                Effect::Watch { container, run, .. } => {
                    self.watched.insert(container.clone(), run);
                    if !self.processes.values().any(|process| process.container == container) {
                        self.flights.push(Effect::RetryLater { container, run, after: Default::default() });
                    }
                }
                Effect::Recovered { running, .. } => self.recovered(running),
                Effect::RecoveryFailed { message } => panic!("{message}"),
                Effect::Log { .. } | Effect::NotThere { .. } | Effect::StopFetch { .. } => {}
                Effect::Update { container, isolators } => {
                    for isolator in isolators {
                        assert!(
                            self.prepared.contains(&(isolator, container.clone())),
                            "update of a stranger"
                        );
                    }
                }
                other => self.flights.push(other),
            }
        }
    }

    fn carry_out_one(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = self.random.below(self.flights.len() as u64) as usize;
        match self.flights.swap_remove(at) {
            Effect::Do { container, run, step } => {
                let kind = self.machine.standing_of(&container).map(|found| format!("{:?}", found.kind));
                let outcome = self.perform(&container, &step);
                if self.random.below(200) == 0 && !self.calm {
                    self.crashed_at.extend(kind.map(|kind| (kind, name(&step))));
                    return self.crash();
                }
                self.event(Event::Done { container, run, step, outcome });
            }
            // Also what a watch says that found nothing to watch.
            Effect::RetryLater { container, run, .. } => {
                let crashes = self.crashes;
                if self.watched.get(&container) == Some(&run) {
                    self.event(Event::Exited { container: container.clone(), run });
                }
                if self.crashes == crashes {
                    self.event(Event::Retry { container, run });
                }
            }
            Effect::Remove { container, ticket } => {
                let has_kept = self.disk.get(&container).is_none_or(|kept| kept.termination.is_some());
                assert!(has_kept, "files of a container that lives are removed");
                self.disk.retain(|id, _| *id != container && !is_within(id, &container));
                self.event(Event::Removed { container, ticket, outcome: Ok(()) });
            }
            Effect::Look { .. } => {
                let found = self.look();
                self.event(Event::Looked(Ok(found)));
            }
            Effect::RecoverIsolators { going_on, orphans } => {
                for process in self.processes.values() {
                    let known = going_on.contains(&process.container) || orphans.contains(&process.container);
                    assert!(known, "nobody knows of the process of {}", process.container);
                }
                self.prepared.retain(|(_, id)| going_on.contains(id) || orphans.contains(id));
                self.launched = going_on.into_iter().collect();
                self.event(Event::IsolatorsRecovered(Ok(())));
            }
            Effect::Signal { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn look(&self) -> Vec<Found> {
        let found = self.disk.iter().map(|(id, kept)| Found {
            container: id.clone(),
            kind: kept.kind,
            process: match kept.pid.filter(|pid| self.processes.contains_key(pid)) {
                Some(pid) => Process::Runs(pid),
                None => Process::None,
            },
            status: kept.status,
            termination: kept.termination.clone(),
        });
        found.collect()
    }

    /// Everything that was asked for and not answered is done or not; what waits ends; a new agent begins.
    fn crash(&mut self) {
        self.crashes += 1;
        self.log(|| "!! crash".to_string());
        for flight in std::mem::take(&mut self.flights) {
            if let Effect::Do { container, step, .. } = flight {
                let kind = self.machine.standing_of(&container).map(|found| format!("{:?}", found.kind));
                self.crashed_at.extend(kind.map(|kind| (kind, name(&step))));
                if self.random.below(2) == 0 {
                    self.perform(&container, &step);
                }
            }
        }
        self.processes.retain(|_, process| !process.waits);
        for _ in 0..self.random.below(3) {
            self.watched.clear();
            self.process_ends();
        }
        self.watched.clear();
        self.launching.clear();
        self.launched.clear();
        self.waiting.clear();
        self.failures.clear();
        self.machine = Containers::new(TRAITS.to_vec());
        self.recovering = true;
        let known = self.known.iter().cloned().collect();
        self.event(Event::Recover { known });
    }

    fn recovered(&mut self, running: BTreeMap<ContainerId, Option<i32>>) {
        self.recovering = false;
        for (id, pid) in &running {
            assert!(self.known.contains(id), "{id} goes on, but nobody knows of it");
            if pid.is_none() {
                self.launched.insert(id.clone());
            }
        }
        for id in std::mem::take(&mut self.known) {
            if running.contains_key(&id) {
                self.known.insert(id);
            } else {
                assert_eq!(self.trace_of(&id), None, "{id} does not go on");
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        if let Some(container) = self.waiting.remove(&ticket) {
            if let Answer::Ended(termination) = answer {
                self.is_told_durably(&container, termination);
            }
            return;
        }
        let Some(container) = self.launching.remove(&ticket) else { return };
        match answer {
            Answer::Launched { pid } => {
                assert!(self.launched.insert(container.clone()), "{container} is launched twice");
                let kept = self.disk.get(&container).expect("it was noted before it was said to run");
                assert!(pid.is_none() || kept.pid == *pid, "its pid is durable first");
            }
            Answer::Failed { .. }
                if self.machine.standing_of(&container).is_none() && container.parent().is_none() =>
            {
                assert_eq!(self.trace_of(&container), None, "{container} failed");
                self.known.remove(&container);
            }
            _ => {}
        }
    }

    /// Named: *an end is told exactly once*.
    fn ended(&mut self, container: &ContainerId, termination: &ContainerTermination) {
        assert!(self.launched.remove(container), "{container} ends twice, or was never launched");
        self.is_told_durably(container, termination);
        self.known.remove(container);
        self.watched.remove(container);
        self.ends += 1;
    }

    /// Named: *what is durable comes first*.
    fn is_told_durably(&self, container: &ContainerId, termination: &ContainerTermination) {
        let root_lives = self.disk.contains_key(container.root());
        let noted = self.disk.get(container).map(|kept| kept.termination.as_ref());
        assert!(
            noted == Some(Some(termination))
                || noted.is_none() && (container.parent().is_none() || !root_lives),
            "the end of {container} is told before it is noted: {noted:?}"
        );
        assert!(!self.prepared.iter().any(|(_, id)| id == container), "{container} is not cleaned up");
    }

    fn trace_of(&self, container: &ContainerId) -> Option<&'static str> {
        if self.disk.contains_key(container) {
            Some("it is on the disk")
        } else if self.prepared.iter().any(|(_, id)| id == container) {
            Some("an isolator has it")
        } else if self.processes.values().any(|process| process.container == *container) {
            Some("it has a process")
        } else {
            None
        }
    }

    fn perform(&mut self, container: &ContainerId, step: &Step) -> Outcome {
        let ends = matches!(step, Step::KillAll | Step::CleanUp(_) | Step::Unprovision | Step::Finish(_));
        let failures = self.failures.get(container).copied().unwrap_or(0);
        let fails = self.chance(7) && (!ends || failures < 2);
        let before = fails && self.chance(50);
        self.failures.insert(container.clone(), if fails { failures + 1 } else { 0 });
        self.log(|| format!("   .. {container} {step:?} fails: {fails}"));
        self.failed_at.extend(fails.then(|| name(step)));
        if before {
            return Outcome::Failed("before".into());
        }
        let outcome = self.do_it(container, step);
        if fails {
            // What waits and is not wanted ends.
            self.processes.retain(|_, process| process.container != *container || !process.waits);
            return Outcome::Failed("after".into());
        }
        outcome
    }

    fn do_it(&mut self, container: &ContainerId, step: &Step) -> Outcome {
        let has_process = self.processes.values().any(|process| process.container == *container);
        match step {
            Step::Begin => {
                let kind = self.machine.standing_of(container).map_or(Kind::Executor, |found| found.kind);
                let kept = Kept { kind, pid: None, status: None, termination: None };
                let before = self.disk.insert(container.clone(), kept);
                assert!(before.is_none(), "two containers of the id {container}");
                if let Some(parent) = container.parent() {
                    assert!(self.disk.contains_key(parent), "a parent is there before its child");
                    let mut processes = self.processes.values();
                    let waits = processes.any(|process| process.container == *parent && process.waits);
                    assert!(!waits, "{container} begins within what is not ready");
                }
            }
            Step::Prepare(isolator) => {
                assert!(self.disk.contains_key(container), "it is noted before it is prepared");
                let later = self.prepared.iter().any(|(other, id)| other >= isolator && id == container);
                assert!(!later, "isolators of {container} prepare in order, and once");
                self.prepared.insert((*isolator, container.clone()));
            }
            Step::Fork => {
                assert!(!has_process, "{container} has a process already");
                self.last_pid += 1;
                let process = Running { container: container.clone(), waits: true };
                self.processes.insert(self.last_pid, process);
                self.disk.get_mut(container).expect("noted").pid = Some(self.last_pid);
                return Outcome::Forked { pid: self.last_pid };
            }
            Step::Isolate(isolator) => {
                assert!(self.prepared.contains(&(*isolator, container.clone())), "prepared before isolated");
                assert!(has_process);
            }
            Step::GoOn => {
                if self.chance(5) {
                    self.processes.retain(|_, process| process.container != *container);
                    return Outcome::NotExecuted { status: 256 };
                }
                let process = self.processes.values_mut().find(|process| process.container == *container);
                process.expect("it waits").waits = false;
            }
            Step::KillAll => {
                // Named: *children before parents*.
                for process in self.processes.values() {
                    assert!(!is_within(&process.container, container), "a child outlives {container}");
                }
                for (_, id) in &self.prepared {
                    assert!(!is_within(id, container), "a child of {container} is not cleaned up");
                }
                self.processes.retain(|_, process| process.container != *container);
                self.watched.remove(container);
                let kept = self.disk.get_mut(container).expect("kept until the end");
                if has_process {
                    kept.status = Some(9);
                }
                return Outcome::Killed { status: kept.status };
            }
            Step::CleanUp(isolator) => {
                assert!(!has_process, "{container} is cleaned up while a process is left");
                // Named: *in reverse order*.
                let later = self.prepared.iter().any(|(other, id)| other > isolator && id == container);
                assert!(!later, "isolators of {container} clean up in reverse order");
                self.prepared.remove(&(*isolator, container.clone()));
            }
            Step::Finish(termination) => {
                assert!(!has_process, "{container} ends with a process");
                let left = self.prepared.iter().any(|(_, id)| id == container);
                assert!(!left, "{container} ends without being cleaned up");
                if container.parent().is_some() {
                    // It may never have got so far as to be noted.
                    if let Some(kept) = self.disk.get_mut(container) {
                        kept.termination = Some((**termination).clone());
                    }
                } else {
                    self.disk.retain(|id, _| id != container && !is_within(id, container));
                }
            }
            Step::Provision | Step::Unprovision | Step::Fetch | Step::Update(_) => {}
        }
        Outcome::Done
    }

    pub fn runs_anything(&self) -> bool {
        self.machine.standing().any(|(_, found)| found.state == State::Running)
    }
}

fn is_within(container: &ContainerId, outer: &ContainerId) -> bool {
    container.parent().is_some_and(|parent| parent == outer || is_within(parent, outer))
}
