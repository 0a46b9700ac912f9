//! A framework of a run that keeps things: over HTTP, it reserves, creates, resizes and destroys volumes, and runs tasks on
//! what it has. It acknowledges what it noted, asks about what it does not hear of, and makes mistakes now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_proto::mesos::resource::{AllocationInfo, DiskInfo, ReservationInfo, disk_info, reservation_info};
use messor_proto::mesos::scheduler::{Call, Event, call, event};
use messor_proto::mesos::{
    self, AgentId, CommandInfo, Filters, FrameworkId, FrameworkInfo, Offer, OperationId, OperationState,
    OperationStatus, Resource, TaskId, TaskInfo, TaskState, TaskStatus, Volume, framework_info, offer,
    volume,
};
use messor_stdx::{Random as Rng, Time};
use messor_types::{Pid, is_terminal_operation, is_terminal_task};

use crate::plans::{self, Holding};

/// What it wants done. Calls go to the master, with the number of the stream that they belong to.
pub enum Action {
    Subscribe(Box<Call>),
    Call(u64, Box<Call>),
    Timer(Time),
}

/// A task or an operation that it waits for the end of.
#[derive(Debug)]
struct Waiting {
    agent: AgentId,
    since: Time,
    /// When something was last said of it, as opposed to asked.
    heard: Time,
}

pub struct Keeper {
    pub pid: Pid,
    pub master: Option<Pid>,
    number: usize,
    rng: Rng,
    id: Option<FrameworkId>,
    /// The stream that it asked for last: it hears no other.
    pub asks: Option<u64>,
    /// The open stream of events.
    stream: Option<u64>,
    last_try: Time,
    /// It begins nothing any more.
    pub closing: bool,
    started: u64,
    tasks: BTreeMap<String, Waiting>,
    operations: BTreeMap<String, Waiting>,
    /// Every update of a task that was noted, by its uuid.
    pub noted: BTreeSet<Vec<u8>>,
    /// Every status of an operation that was noted, by its uuid.
    pub noted_operations: BTreeSet<Vec<u8>>,
    pub launched: BTreeSet<String>,
    /// Operations with an id that were asked for, ever.
    pub asked: BTreeSet<String>,
    /// Operations that it knows to be done.
    pub done: BTreeSet<String>,
    /// Those that it was told are not, and never will be.
    pub refused: BTreeSet<String>,
}

const RETRY: Duration = Duration::from_secs(2);
const RECONCILE: Duration = Duration::from_secs(30);
const MOST_TASKS: usize = 4;
const MOST_OPERATIONS: usize = 6;

impl Keeper {
    pub fn new(pid: Pid, number: usize, seed: u64) -> Keeper {
        Keeper {
            pid,
            master: None,
            number,
            rng: Rng::new(seed),
            id: None,
            asks: None,
            stream: None,
            last_try: Time::ZERO,
            closing: false,
            started: 0,
            tasks: BTreeMap::new(),
            operations: BTreeMap::new(),
            noted: BTreeSet::new(),
            noted_operations: BTreeSet::new(),
            launched: BTreeSet::new(),
            asked: BTreeSet::new(),
            done: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    pub fn id(&self) -> Option<&FrameworkId> {
        self.id.as_ref()
    }

    pub fn listens_to(&self, stream: u64) -> bool {
        self.stream == Some(stream)
    }

    pub fn waits_for_operation(&self, id: &str) -> bool {
        self.operations.contains_key(id)
    }

    pub fn is_done(&self) -> bool {
        self.closing && self.tasks.is_empty() && self.operations.is_empty()
    }

    pub fn waiting(&self) -> String {
        format!(
            "keeper {} waits for tasks {:?} and operations {:?}",
            self.number, self.tasks, self.operations
        )
    }

    /// What nothing was said of for the longest time, and since when.
    pub fn longest_unheard(&self) -> Option<(&str, Time)> {
        let all = self.tasks.iter().chain(&self.operations);
        all.map(|(id, waiting)| (id.as_str(), waiting.heard)).min_by_key(|(_, heard)| *heard)
    }

    fn call(&self, kind: call::Type, fill: impl FnOnce(&mut Call), actions: &mut Vec<Action>) {
        let Some(stream) = self.stream else { return };
        let mut call = Call { framework_id: self.id.clone(), r#type: Some(kind.into()), ..Call::default() };
        fill(&mut call);
        actions.push(Action::Call(stream, Box::new(call)));
    }

    fn subscribe(&mut self, now: Time, actions: &mut Vec<Action>) {
        use framework_info::capability::Type;
        let kinds = [
            Type::MultiRole,
            Type::PartitionAware,
            Type::SharedResources,
            Type::ReservationRefinement,
            Type::RevocableResources,
        ];
        let capability = |kind: Type| framework_info::Capability { r#type: Some(kind.into()) };
        let info = FrameworkInfo {
            user: "sim".into(),
            name: format!("keeper-{}", self.number),
            id: self.id.clone(),
            roles: plans::ROLES.iter().map(ToString::to_string).collect(),
            checkpoint: Some(true),
            failover_timeout: Some(1e6),
            capabilities: kinds.into_iter().map(capability).collect(),
            ..FrameworkInfo::default()
        };
        self.last_try = now;
        let subscribe = call::Subscribe { framework_info: info, ..Default::default() };
        actions.push(Action::Subscribe(Box::new(Call {
            framework_id: self.id.clone(),
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(subscribe),
            ..Call::default()
        })));
    }

    pub fn wake(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.stream.is_none() && self.master.is_some() && now.since(self.last_try) >= RETRY {
            self.subscribe(now, actions);
        }
        if self.stream.is_some() {
            self.reconcile(now, actions);
        }
        actions.push(Action::Timer(now + Duration::from_secs(1)));
    }

    /// Asks about everything that nothing was heard of for a while.
    fn reconcile(&mut self, now: Time, actions: &mut Vec<Action>) {
        let overdue = |waiting: &mut BTreeMap<String, Waiting>| -> Vec<(String, AgentId)> {
            let overdue = waiting.iter_mut().filter(|(_, waiting)| now.since(waiting.since) >= RECONCILE);
            overdue
                .map(|(id, waiting)| {
                    waiting.since = now;
                    (id.clone(), waiting.agent.clone())
                })
                .collect()
        };
        let tasks = overdue(&mut self.tasks);
        let operations = overdue(&mut self.operations);
        if !tasks.is_empty() {
            let task =
                |(id, agent)| call::reconcile::Task { task_id: TaskId { value: id }, agent_id: Some(agent) };
            let reconcile = call::Reconcile { tasks: tasks.into_iter().map(task).collect() };
            self.call(call::Type::Reconcile, |call| call.reconcile = Some(reconcile), actions);
        }
        if !operations.is_empty() {
            let operation = |(id, agent)| call::reconcile_operations::Operation {
                operation_id: OperationId { value: id },
                agent_id: Some(agent),
                resource_provider_id: None,
            };
            let operations = operations.into_iter().map(operation).collect();
            let reconcile = call::ReconcileOperations { operations };
            let fill = |call: &mut Call| call.reconcile_operations = Some(reconcile);
            self.call(call::Type::ReconcileOperations, fill, actions);
        }
    }

    /// The connection to a master broke.
    pub fn exited(&mut self, of: &Pid) {
        if self.master.as_ref() == Some(of) {
            self.stream = None;
        }
    }

    pub fn detected(&mut self, now: Time, master: Option<Pid>, actions: &mut Vec<Action>) {
        if self.master != master {
            self.master = master;
            self.stream = None;
            if self.master.is_some() {
                self.subscribe(now, actions);
            }
        }
    }

    pub fn fail_over(&mut self, pid: Pid) {
        self.pid = pid;
        self.master = None;
        self.stream = None;
    }

    /// A stream ended, or was never opened.
    pub fn closed(&mut self, stream: u64) {
        if self.stream == Some(stream) {
            self.stream = None;
        }
    }

    pub fn event(&mut self, now: Time, stream: u64, event: &Event, actions: &mut Vec<Action>) {
        if let Some(subscribed) = &event.subscribed
            && self.asks == Some(stream)
        {
            self.id = Some(subscribed.framework_id.clone());
            self.stream = Some(stream);
            return;
        }
        if self.stream != Some(stream) {
            return;
        }
        match event.r#type() {
            event::Type::Offers => {
                for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
                    self.offer(now, offer, actions);
                }
            }
            event::Type::Update => {
                let status = event.update.as_ref().expect("an UPDATE has one").status.clone();
                self.update(now, &status, actions);
            }
            event::Type::UpdateOperationStatus => {
                let update = event.update_operation_status.as_ref().expect("it has one");
                self.operation(now, &update.status, actions);
            }
            event::Type::Error => self.stream = None,
            _ => {}
        }
    }

    fn update(&mut self, now: Time, status: &TaskStatus, actions: &mut Vec<Action>) {
        let id = &status.task_id.value;
        assert!(self.launched.contains(id), "an update for a task that was never launched: {id}");
        if let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) {
            self.noted.insert(uuid.clone());
            let acknowledge = call::Acknowledge {
                agent_id: agent_id.clone(),
                task_id: status.task_id.clone(),
                uuid: uuid.clone(),
            };
            self.call(call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge), actions);
        }
        let Some(waiting) = self.tasks.get_mut(id) else { return };
        (waiting.since, waiting.heard) = (now, now);
        if is_terminal_task(status.state()) || status.state() == TaskState::TaskUnknown {
            self.tasks.remove(id);
        }
    }

    fn operation(&mut self, now: Time, status: &OperationStatus, actions: &mut Vec<Action>) {
        use OperationState::{OperationFinished, OperationGoneByOperator, OperationUnknown};
        let id = status.operation_id.clone().expect("frameworks hear only of operations with an id");
        assert!(self.asked.contains(&id.value), "a status of an operation that was never asked for: {id:?}");
        if let Some(waiting) = self.operations.get_mut(&id.value) {
            (waiting.since, waiting.heard) = (now, now);
        }
        let state = status.state();
        if let (Some(uuid), Some(agent)) = (&status.uuid, &status.agent_id) {
            // Sometimes it is too busy: the agent has to say it again.
            if self.rng.one_in(4) {
                return;
            }
            self.noted_operations.insert(uuid.value.clone());
            assert!(
                !self.refused.contains(&id.value),
                "what was said of an operation stays so: {} was refused, and is {} now",
                id.value,
                state.as_str_name()
            );
            if state == OperationFinished {
                self.done.insert(id.value.clone());
            }
            self.operations.remove(&id.value);
            let acknowledge = call::AcknowledgeOperationStatus {
                agent_id: Some(agent.clone()),
                resource_provider_id: None,
                uuid: uuid.value.clone(),
                operation_id: id,
            };
            let fill = |call: &mut Call| call.acknowledge_operation_status = Some(acknowledge);
            return self.call(call::Type::AcknowledgeOperationStatus, fill, actions);
        }
        // What is done is told with a uuid, sooner or later: that is what counts.
        let is_over = is_terminal_operation(state) && state != OperationFinished;
        if is_over || matches!(state, OperationUnknown | OperationGoneByOperator) {
            assert!(
                !self.done.contains(&id.value) || matches!(state, OperationUnknown | OperationGoneByOperator),
                "what was said of an operation stays so: {} was done, and is {} now",
                id.value,
                state.as_str_name()
            );
            // An agent that was let go may come back all the same, and with it what the master did not know.
            if self.operations.remove(&id.value).is_some() && state != OperationUnknown {
                self.refused.insert(id.value);
            }
        }
    }

    fn offer(&mut self, now: Time, offer: &Offer, actions: &mut Vec<Action>) {
        let filters = Some(Filters { refuse_seconds: Some(if self.closing { 30.0 } else { 1.0 }) });
        let operations = if self.closing { Vec::new() } else { self.plan(now, offer) };
        if operations.is_empty() {
            let decline = call::Decline { offer_ids: vec![offer.id.clone()], filters };
            return self.call(call::Type::Decline, |call| call.decline = Some(decline), actions);
        }
        let accept = call::Accept { offer_ids: vec![offer.id.clone()], operations, filters };
        self.call(call::Type::Accept, |call| call.accept = Some(accept), actions);
    }

    /// What to do with an offer: one step, or a few that rest on one another.
    fn plan(&mut self, now: Time, offer: &Offer) -> Vec<offer::Operation> {
        let role = offer.allocation_info.as_ref().map_or("", |info| info.role()).to_string();
        let mut holding = Holding::of(&offer.resources, &role);
        let mut operations = Vec::new();
        let steps = 1 + self.rng.below(3);
        for _ in 0..steps {
            let may_operate = self.operations.len() < MOST_OPERATIONS;
            let may_launch = self.tasks.len() < MOST_TASKS;
            let next = match self.rng.below(11) {
                0..=2 if may_operate => match self.rng.one_in(2) {
                    true => holding.refine(&mut self.rng).or_else(|| holding.reserve(&mut self.rng)),
                    false => holding.reserve(&mut self.rng),
                },
                3 | 4 if may_operate => {
                    self.started += 1;
                    let name = format!("v-{}-{}", self.number, self.started);
                    holding.create(&name, self.rng.one_in(3))
                }
                5 if may_operate && self.rng.one_in(2) => holding.destroy(&mut self.rng),
                6 if may_operate => holding.grow(&mut self.rng),
                7 if may_operate => holding.shrink(&mut self.rng),
                8 if may_operate && self.rng.one_in(2) => holding.unreserve(),
                9 if may_operate && self.rng.one_in(6) => Some(plans::wrong(&role)),
                _ if may_launch => {
                    let with_revocable = self.rng.one_in(2);
                    let task = holding.task(&mut self.rng, with_revocable);
                    task.map(|resources| self.launch(now, offer, resources))
                }
                _ => None,
            };
            let Some(mut operation) = next else { continue };
            let kind = operation.r#type();
            if kind != offer::operation::Type::Launch && !self.rng.one_in(3) {
                self.started += 1;
                let id = format!("op-{}-{}", self.number, self.started);
                operation.id = Some(OperationId { value: id.clone() });
                self.asked.insert(id.clone());
                let waiting = Waiting { agent: offer.agent_id.clone(), since: now, heard: now };
                self.operations.insert(id, waiting);
            }
            operations.push(operation);
        }
        operations
    }

    fn launch(&mut self, now: Time, offer: &Offer, resources: Vec<Resource>) -> offer::Operation {
        self.started += 1;
        let id = format!("kept-{}-{}", self.number, self.started);
        self.launched.insert(id.clone());
        let waiting = Waiting { agent: offer.agent_id.clone(), since: now, heard: now };
        self.tasks.insert(id.clone(), waiting);
        let task = TaskInfo {
            name: "k".into(),
            task_id: TaskId { value: id },
            agent_id: offer.agent_id.clone(),
            resources,
            command: Some(CommandInfo { value: Some("true".into()), ..CommandInfo::default() }),
            ..TaskInfo::default()
        };
        offer::Operation {
            r#type: Some(offer::operation::Type::Launch.into()),
            launch: Some(offer::operation::Launch { task_infos: vec![task] }),
            ..Default::default()
        }
    }
}

fn reservation(role: &str) -> ReservationInfo {
    ReservationInfo {
        r#type: Some(reservation_info::Type::Dynamic.into()),
        role: Some(role.into()),
        ..ReservationInfo::default()
    }
}

/// A resource as it is reserved for a role.
pub fn reserved(resource: Resource, role: &str) -> Resource {
    Resource { reservations: vec![reservation(role)], ..resource }
}

/// A reserved resource as it is reserved, within that, for a role below.
pub fn refined(mut resource: Resource, role: &str) -> Resource {
    resource.reservations.push(reservation(role));
    resource
}

pub fn allocated(resource: Resource, role: &str) -> Resource {
    Resource { allocation_info: Some(AllocationInfo { role: Some(role.into()) }), ..resource }
}

/// A volume of reserved disk.
pub fn volume(disk: Resource, id: &str, shared: bool) -> Resource {
    let info = DiskInfo {
        persistence: Some(disk_info::Persistence { id: id.into(), principal: None }),
        volume: Some(Volume {
            container_path: "data".into(),
            mode: volume::Mode::Rw.into(),
            ..Volume::default()
        }),
        ..DiskInfo::default()
    };
    Resource { disk: Some(Box::new(info)), shared: shared.then(mesos::resource::SharedInfo::default), ..disk }
}
