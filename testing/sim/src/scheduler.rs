//! A framework of a run: a v0 driver with a number of tasks to bring to their end, as a careful framework does it:
//! it acknowledges what it has noted, reconciles what it has not heard of, and starts again what was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_proto::Wire;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{Call, call};
use messor_proto::mesos::{
    self, AgentId, CommandInfo, FrameworkId, FrameworkInfo, Offer, Resource, TaskId, TaskInfo, TaskState,
    framework_info, offer, value,
};
use messor_stdx::Time;
use messor_types::{Pid, is_terminal_task};

/// What the scheduler wants done.
pub enum Action {
    Send {
        name: &'static str,
        body: Vec<u8>,
    },
    Link,
    /// Wake me.
    Timer(Time),
}

#[derive(Debug)]
struct Known {
    agent: Option<AgentId>,
    state: TaskState,
    since: Time,
    /// When something was last said of it, as opposed to asked.
    heard: Time,
}

pub struct Scheduler {
    pub pid: Pid,
    /// As the detector last said; messages of others are not heard.
    pub master: Option<Pid>,
    kind: Kind,
    id: Option<FrameworkId>,
    /// This process was registered nowhere yet: it takes the framework over from one of before.
    takes_over: bool,
    connected: bool,
    last_try: Time,
    wanted: u32,
    started: u32,
    pub finished: u32,
    tasks: BTreeMap<String, Known>,
    /// Every update that was noted, by its uuid: only these may be acknowledged to an agent.
    pub noted: BTreeSet<Vec<u8>>,
    /// Tasks that were launched, ever.
    pub launched: BTreeSet<String>,
}

/// What a framework is like.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub number: usize,
    /// Its executors outlive their agents.
    pub checkpoint: bool,
    pub partition_aware: bool,
}

/// Tasks in flight, so that there are some all through a run: of all schedulers more than the agents have room for.
const AT_ONCE: u32 = 6;
const RETRY: Duration = Duration::from_secs(2);
const RECONCILE: Duration = Duration::from_secs(30);

pub fn scalar(name: &str, amount: f64) -> Resource {
    Resource {
        name: name.into(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        ..Resource::default()
    }
}

impl Scheduler {
    pub fn new(pid: Pid, wanted: u32, kind: Kind) -> Scheduler {
        Scheduler {
            pid,
            master: None,
            kind,
            id: None,
            takes_over: true,
            connected: false,
            last_try: Time::ZERO,
            wanted,
            started: 0,
            finished: 0,
            tasks: BTreeMap::new(),
            noted: BTreeSet::new(),
            launched: BTreeSet::new(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.finished >= self.wanted
    }

    pub fn checkpoints(&self) -> bool {
        self.kind.checkpoint
    }

    /// The task that nothing was said of for the longest time, and since when.
    pub fn longest_unheard(&self) -> Option<(&str, Time)> {
        let heard = self.tasks.iter().map(|(id, known)| (id.as_str(), known.heard));
        heard.min_by_key(|(_, heard)| *heard)
    }

    /// Tasks it still waits for, for a report.
    pub fn waiting(&self) -> String {
        format!("{} of {} finished; waits for {:?}", self.finished, self.wanted, self.tasks)
    }

    fn send<M: Wire>(message: &M, actions: &mut Vec<Action>) {
        actions.push(Action::Send { name: M::NAME, body: message.encode_bytes() });
    }

    fn call(&self, kind: call::Type, fill: impl FnOnce(&mut Call), actions: &mut Vec<Action>) {
        let mut call = Call { framework_id: self.id.clone(), r#type: Some(kind.into()), ..Call::default() };
        fill(&mut call);
        Scheduler::send(&call, actions);
    }

    fn subscribe(&mut self, now: Time, actions: &mut Vec<Action>) {
        use framework_info::capability::Type;
        let capability = |kind: Type| framework_info::Capability { r#type: Some(kind.into()) };
        let mut capabilities = vec![capability(Type::MultiRole)];
        if self.kind.partition_aware {
            capabilities.push(capability(Type::PartitionAware));
        }
        let info = FrameworkInfo {
            user: "sim".into(),
            name: format!("sim-{}", self.kind.number),
            id: self.id.clone(),
            roles: vec![format!("role-{}", self.kind.number)],
            checkpoint: Some(self.kind.checkpoint),
            failover_timeout: Some(1e6),
            capabilities,
            ..FrameworkInfo::default()
        };
        self.last_try = now;
        actions.push(Action::Link);
        let force = Some(self.takes_over && self.id.is_some());
        let subscribe = call::Subscribe { framework_info: info, force, ..Default::default() };
        self.call(call::Type::Subscribe, |call| call.subscribe = Some(subscribe), actions);
    }

    pub fn wake(&mut self, now: Time, actions: &mut Vec<Action>) {
        if !self.connected && self.master.is_some() && now.since(self.last_try) >= RETRY {
            self.subscribe(now, actions);
        }
        if self.connected {
            let overdue: Vec<_> = self
                .tasks
                .iter_mut()
                .filter(|(_, known)| now.since(known.since) >= RECONCILE)
                .map(|(id, known)| {
                    known.since = now;
                    call::reconcile::Task {
                        task_id: TaskId { value: id.clone() },
                        agent_id: known.agent.clone(),
                    }
                })
                .collect();
            if !overdue.is_empty() {
                let reconcile = call::Reconcile { tasks: overdue };
                self.call(call::Type::Reconcile, |call| call.reconcile = Some(reconcile), actions);
            }
        }
        actions.push(Action::Timer(now + Duration::from_secs(1)));
    }

    pub fn exited(&mut self, of: &Pid) {
        if self.master.as_ref() == Some(of) {
            self.connected = false;
        }
    }

    /// The detector's word. A driver registers with whoever leads, at once.
    pub fn detected(&mut self, now: Time, master: Option<Pid>, actions: &mut Vec<Action>) {
        if self.master != master {
            self.master = master;
            self.connected = false;
            if self.master.is_some() {
                self.subscribe(now, actions);
            }
        }
    }

    /// Its process ends and another takes its place, with all that the framework keeps, at another address.
    pub fn fail_over(&mut self, pid: Pid) {
        self.pid = pid;
        self.takes_over = true;
        self.master = None;
        self.connected = false;
    }

    pub fn message(&mut self, now: Time, from: &Pid, name: &str, body: &[u8], actions: &mut Vec<Action>) {
        if self.master.as_ref() != Some(from) {
            return;
        }
        match name {
            wire::FrameworkRegisteredMessage::NAME => {
                let message = decode::<wire::FrameworkRegisteredMessage>(body);
                self.id = Some(message.framework_id);
                self.connected = true;
                self.takes_over = false;
            }
            wire::FrameworkReregisteredMessage::NAME => {
                self.connected = true;
                self.takes_over = false;
            }
            wire::ResourceOffersMessage::NAME if self.connected => {
                for offer in decode::<wire::ResourceOffersMessage>(body).offers {
                    self.offer(now, offer, actions);
                }
            }
            wire::StatusUpdateMessage::NAME => self.update(now, decode(body), actions),
            // A master that saw the connection break says so, and a driver ends on it. Its supervisor starts it again.
            wire::FrameworkErrorMessage::NAME => {
                let words = decode::<wire::FrameworkErrorMessage>(body).message;
                assert_eq!(
                    words.to_lowercase(),
                    "framework disconnected",
                    "the master refuses what is right"
                );
                self.connected = false;
            }
            _ => (),
        }
    }

    fn offer(&mut self, now: Time, offer: Offer, actions: &mut Vec<Action>) {
        let cpus = offer.resources.iter().filter(|r| r.name == "cpus");
        let cpus: f64 = cpus.filter_map(|r| r.scalar.as_ref()).map(|s| s.value).sum();
        let filters = Some(mesos::Filters { refuse_seconds: Some(1.0) });
        let in_flight = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        if cpus < 1.0 || in_flight >= AT_ONCE || self.finished + in_flight >= self.wanted {
            let decline = call::Decline { offer_ids: vec![offer.id], filters };
            return self.call(call::Type::Decline, |call| call.decline = Some(decline), actions);
        }
        self.started += 1;
        let id = format!("task-{}-{}", self.kind.number, self.started);
        let task = TaskInfo {
            name: "t".into(),
            task_id: TaskId { value: id.clone() },
            agent_id: offer.agent_id.clone(),
            resources: vec![scalar("cpus", 1.0), scalar("mem", 64.0)],
            command: Some(CommandInfo { value: Some("true".into()), ..CommandInfo::default() }),
            ..TaskInfo::default()
        };
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch.into()),
            launch: Some(offer::operation::Launch { task_infos: vec![task] }),
            ..Default::default()
        };
        self.launched.insert(id.clone());
        let known =
            Known { agent: Some(offer.agent_id), state: TaskState::TaskStaging, since: now, heard: now };
        self.tasks.insert(id, known);
        let accept = call::Accept { offer_ids: vec![offer.id], operations: vec![launch], filters };
        self.call(call::Type::Accept, |call| call.accept = Some(accept), actions);
    }

    fn update(&mut self, now: Time, message: wire::StatusUpdateMessage, actions: &mut Vec<Action>) {
        let update = message.update;
        let id = update.status.task_id.value.clone();
        assert!(self.launched.contains(&id), "an update for a task that was never launched: {id}");
        let state = update.status.state();
        if let Some(uuid) = update.uuid.filter(|uuid| !uuid.is_empty())
            && message.pid.is_some()
        {
            self.noted.insert(uuid.clone());
            if let Some(agent_id) = update.agent_id.clone() {
                let acknowledge = call::Acknowledge { agent_id, task_id: TaskId { value: id.clone() }, uuid };
                self.call(call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge), actions);
            }
        }
        let Some(known) = self.tasks.get_mut(&id) else { return };
        known.state = state;
        known.since = now;
        known.heard = now;
        // An unreachable task may come back; an unknown one will not.
        if is_terminal_task(state) || state == TaskState::TaskUnknown {
            self.tasks.remove(&id);
            // What was lost is started again under another id, by the next offer.
            if state == TaskState::TaskFinished {
                self.finished += 1;
            }
        }
    }
}

fn decode<M: Wire>(body: &[u8]) -> M {
    M::decode_checked(body).unwrap_or_else(|error| panic!("the master sent a wrong {}: {error}", M::NAME))
}
