//! A master with a real allocator, a registry in memory and a fake edge that records what it is asked to do.
//! After every event the books of master and allocator are compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use messor_allocator::{Allocator, Effect as Allocation, Event as AllocatorEvent, Options};
use messor_master_core::{
    Config, Effect, Event, Master, Message, OperatorCall, Outcome, ReplyId, StreamId, Timer, View,
};
use messor_proto::Wire;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{self, Call, call, event};
use messor_proto::mesos::{
    self, AgentInfo, CommandInfo, FrameworkInfo, MasterInfo, Offer, TaskInfo, TaskState, TaskStatus,
    agent_info, framework_info, master,
};
use messor_registry::State;
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, Pid, ResourceFormat, Resources, parse_resources};

pub const START_SECS: u64 = 1_700_000_000;

pub struct Sent {
    pub to: Pid,
    pub name: &'static str,
    pub body: Vec<u8>,
}

pub struct World {
    pub master: Master,
    allocator: Allocator,
    options: Options,
    pub registry: State,
    pub now: Time,
    /// Agents answer pings at once.
    pub answer_pings: bool,
    /// Registry operations wait for `store_all`.
    pub hold_stores: bool,
    /// A task that the master knows of is not on its agent, or what it rests on is not.
    pub sums_are_off: bool,
    stores: VecDeque<(u64, messor_registry::Operation)>,
    pub sent: Vec<Sent>,
    streams: BTreeMap<StreamId, Vec<Arc<scheduler::Event>>>,
    pub closed: BTreeSet<StreamId>,
    pub published: Vec<Arc<master::Event>>,
    pub operator_views: Vec<Arc<View>>,
    replies: BTreeMap<ReplyId, Outcome>,
    timers: BTreeMap<Timer, Time>,
    pub links: Vec<Pid>,
    pub aborted: Option<String>,
    pub log: Vec<String>,
    /// All effects, for comparison.
    pub trace: Vec<String>,
    next: u64,
}

pub fn pid(text: &str) -> Pid {
    text.parse().unwrap()
}

pub fn agent_pid(number: u8) -> Pid {
    pid(&format!("slave(1)@10.0.0.{number}:5051"))
}

pub fn config() -> Config {
    Config::new(MasterInfo {
        id: "m".into(),
        port: 5050,
        pid: Some("master@10.0.0.254:5050".into()),
        ..Default::default()
    })
}

pub fn resources(text: &str) -> Vec<mesos::Resource> {
    let list = parse_resources(text, &messor_types::Role::star()).unwrap();
    list.into_iter().map(|resource| resource.to_proto(ResourceFormat::PostRefinement)).collect()
}

impl World {
    pub fn new() -> World {
        World::with(config(), State::default())
    }

    /// A master whose allocator has these options.
    pub fn with_options(options: Options) -> World {
        let mut world = World::standby(config());
        world.set_options(options);
        world.elect(State::default());
        world
    }

    fn set_options(&mut self, options: Options) {
        self.allocator = Allocator::new(options.clone());
        self.options = options;
    }

    pub fn with(config: Config, registry: State) -> World {
        let mut world = World::standby(config);
        world.elect(registry);
        world
    }

    /// A master takes over from this one, with its registry, at the same time.
    pub fn failover(&self) -> World {
        let mut world = World::standby(config());
        world.set_options(self.options.clone());
        world.now = self.now;
        world.next = self.next;
        world.answer_pings = self.answer_pings;
        world.trace = self.trace.clone();
        world.elect(self.registry.clone());
        world
    }

    pub fn elect(&mut self, registry: State) {
        self.registry = registry.clone();
        self.handle(Event::Elected { registry: Box::new(registry) });
    }

    /// A master that is not elected yet.
    pub fn standby(config: Config) -> World {
        let now = Time::from_nanos(START_SECS * 1_000_000_000);
        World {
            master: Master::new(config, now),
            allocator: Allocator::new(Options::default()),
            options: Options::default(),
            registry: State::default(),
            now,
            answer_pings: true,
            hold_stores: false,
            sums_are_off: false,
            stores: VecDeque::new(),
            sent: Vec::new(),
            streams: BTreeMap::new(),
            closed: BTreeSet::new(),
            published: Vec::new(),
            operator_views: Vec::new(),
            replies: BTreeMap::new(),
            timers: BTreeMap::new(),
            links: Vec::new(),
            aborted: None,
            log: Vec::new(),
            trace: Vec::new(),
            next: 1,
        }
    }

    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            self.master.handle(self.now, event, &mut effects);
            for effect in effects {
                self.trace.push(format!("{effect:?}"));
                self.carry_out(effect, &mut events);
            }
        }
        if !self.sums_are_off {
            self.check();
        }
    }

    fn carry_out(&mut self, effect: Effect, events: &mut VecDeque<Event>) {
        match effect {
            Effect::Send { to, name, body } => {
                if self.answer_pings && name == <wire::PingAgentMessage as Wire>::NAME {
                    let message = Message::read(<wire::PongAgentMessage as Wire>::NAME, b"");
                    events.push_back(Event::Message { from: to.clone(), message });
                }
                self.sent.push(Sent { to, name, body });
            }
            Effect::Link { pid } => self.links.push(pid),
            Effect::Unlink { pid } => self.links.retain(|linked| *linked != pid),
            Effect::StreamOpened { stream, .. } => drop(self.streams.insert(stream, Vec::new())),
            Effect::Stream { stream, event } => {
                assert!(!self.closed.contains(&stream), "an event for a stream that was closed: {event:?}");
                self.streams.get_mut(&stream).expect("an event for a stream that was opened").push(event);
            }
            Effect::CloseStream { stream } => drop(self.closed.insert(stream)),
            Effect::Reply { reply, outcome } => {
                assert!(self.replies.insert(reply, outcome).is_none(), "two answers to one request");
            }
            Effect::OperatorStreamOpened { view, .. } => self.operator_views.push(view),
            Effect::Publish { event } => self.published.push(event),
            Effect::Store { ticket, operation } => {
                self.stores.push_back((ticket, operation));
                if !self.hold_stores {
                    self.store_one(events);
                }
            }
            Effect::Allocator(event) => self.allocate(event, events),
            Effect::SetTimer { timer, at } => drop(self.timers.insert(timer, at)),
            Effect::CancelTimer { timer } => drop(self.timers.remove(&timer)),
            Effect::Abort { reason } => self.aborted = Some(reason),
            Effect::Log { line, .. } => self.log.push(line),
        }
    }

    pub fn store_one(&mut self, events: &mut VecDeque<Event>) {
        if let Some((ticket, operation)) = self.stores.pop_front() {
            let outcome = Ok(self.registry.apply(&operation).is_ok());
            events.push_back(Event::Stored { ticket, outcome });
        }
    }

    pub fn store_all(&mut self) {
        while !self.stores.is_empty() {
            let mut events = VecDeque::new();
            self.store_one(&mut events);
            for event in events {
                self.handle(event);
            }
        }
    }

    pub fn fail_store(&mut self) {
        let (ticket, _) = self.stores.pop_front().expect("a registry operation");
        self.handle(Event::Stored { ticket, outcome: Err("disk full".into()) });
    }

    fn allocate(&mut self, event: AllocatorEvent, events: &mut VecDeque<Event>) {
        let mut effects = Vec::new();
        self.allocator.handle(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Allocation::Wake => {}
                Allocation::Offer { framework_id, offers } => {
                    events.push_back(Event::Offer { framework: framework_id, offers });
                }
                Allocation::InverseOffer { framework_id, agents } => {
                    events.push_back(Event::InverseOffer { framework: framework_id, agents });
                }
                Allocation::Available { ticket, outcome } => {
                    events.push_back(Event::Available { ticket, outcome });
                }
                Allocation::AskHeld { roles } => events.push_back(Event::AskHeld { roles }),
                Allocation::Preempt(preemption) => events.push_back(Event::Preempt(Box::new(preemption))),
                Allocation::Inconsistent { reason } => panic!("master and allocator disagree: {reason}"),
            }
        }
    }

    /// Lets the allocator make offers.
    pub fn allocation(&mut self) {
        for event in self.decisions() {
            self.handle(event);
        }
    }

    /// Offers of the allocator that are on their way to the master.
    pub fn decisions(&mut self) -> VecDeque<Event> {
        let mut events = VecDeque::new();
        self.allocate(AllocatorEvent::Tick, &mut events);
        events
    }

    /// What must hold at all times.
    fn check(&self) {
        self.allocator.audit().expect("the allocator's books");
        let view = self.view();
        for agent in &view.agents {
            // What is shared can be used any number of times.
            let taken = (agent.used.clone() + &agent.offered).unallocated().non_shared();
            assert!(
                agent.total.contains(&taken),
                "agent {} of {} has given away {taken}",
                agent.id,
                agent.total
            );
        }
        for framework in &view.frameworks {
            let used: Resources = framework
                .tasks
                .iter()
                .filter(|task| !ended(task.state()))
                .map(|task| Resources::from_proto(&task.resources).unwrap())
                .chain(
                    framework
                        .executors
                        .iter()
                        .map(|(_, info)| Resources::from_proto(&info.resources).unwrap()),
                )
                .collect::<Vec<_>>()
                .iter()
                .sum();
            assert_eq!(framework.used, used, "what framework {} uses", framework.framework.id);
            let offered: Resources = framework
                .offers
                .iter()
                .map(|o| Resources::from_proto(&o.resources).unwrap())
                .collect::<Vec<_>>()
                .iter()
                .sum();
            assert_eq!(framework.offered, offered, "what framework {} is offered", framework.framework.id);
        }
    }

    pub fn view(&self) -> View {
        self.master.view(self.now)
    }

    pub fn metric(&self, name: &str) -> f64 {
        let view = self.view();
        view.metrics.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no metric {name}")).1
    }

    /// Time passes; timers fire in their order.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((timer, at)) = self
            .timers
            .iter()
            .map(|(timer, at)| (timer.clone(), *at))
            .min_by_key(|(_, at)| *at)
            .filter(|(_, at)| *at <= end)
        {
            self.timers.remove(&timer);
            self.now = self.now.max(at);
            self.handle(Event::Timer(timer));
        }
        self.now = end;
    }

    pub fn has_timer(&self, timer: &Timer) -> bool {
        self.timers.contains_key(timer)
    }

    // Processes that speak libprocess.

    pub fn message<M: Wire>(&mut self, from: &Pid, message: &M) {
        let message = Message::read(M::NAME, &message.encode_bytes());
        self.handle(Event::Message { from: from.clone(), message });
    }

    /// What a process was sent of one kind since the last time; the rest stays.
    pub fn take<M: Wire>(&mut self, to: &Pid) -> Vec<M> {
        let mut taken = Vec::new();
        self.sent.retain(|sent| {
            let fits = sent.to == *to && sent.name == M::NAME;
            if fits {
                taken.push(M::decode_checked(&sent.body).expect("a message that decodes"));
            }
            !fits
        });
        taken
    }

    pub fn names(&self, to: &Pid) -> Vec<&'static str> {
        self.sent
            .iter()
            .filter(|sent| sent.to == *to)
            .map(|sent| sent.name.rsplit('.').next().unwrap())
            .collect()
    }

    pub fn exited(&mut self, pid: &Pid) {
        self.handle(Event::Exited { pid: pid.clone() });
    }

    // Agents.

    /// Registers an agent with 4 cpus and 4096 MB.
    pub fn agent(&mut self, number: u8) -> AgentId {
        self.message(&agent_pid(number), &register(number));
        let registered = self.take::<wire::AgentRegisteredMessage>(&agent_pid(number));
        AgentId::from(&registered.last().expect("the agent is registered").agent_id)
    }

    /// An agent is silent until it is marked unreachable.
    pub fn lose(&mut self, number: u8) {
        let answer = std::mem::replace(&mut self.answer_pings, false);
        let registered =
            |world: &World| world.view().agents.iter().any(|agent| agent.pid == agent_pid(number));
        for _ in 0..12 {
            if !registered(self) {
                break;
            }
            self.advance(Duration::from_secs(10));
            for other in (1..10).filter(|other| *other != number) {
                self.message(&agent_pid(other), &wire::PongAgentMessage {});
            }
        }
        assert!(!registered(self), "the agent was given up");
        self.answer_pings = answer;
    }

    /// What an agent says when it comes back: its tasks and executors as the master knows them.
    pub fn reregistration(&self, number: u8, id: &AgentId) -> wire::ReregisterAgentMessage {
        let view = self.view();
        let here = |task: &mesos::Task| task.agent_id.value == id.as_str();
        let all =
            || view.frameworks.iter().filter(|f| !f.framework.info.id.as_ref().unwrap().value.is_empty());
        let fresh = register(number);
        wire::ReregisterAgentMessage {
            agent: AgentInfo { id: Some(id.into()), ..fresh.agent },
            version: fresh.version,
            agent_capabilities: fresh.agent_capabilities,
            frameworks: all().map(|framework| framework.framework.info.clone()).collect(),
            tasks: all()
                .flat_map(|f| f.tasks.iter().chain(&f.unreachable_tasks))
                .filter(|task| here(task))
                .map(|task| {
                    // What ended on the agent is over; what the master thinks lost runs on.
                    let ended = ended(task.state()) && task.status_update_state == Some(task.state);
                    let state = if ended { task.state() } else { TaskState::TaskRunning };
                    mesos::Task { state: state as i32, ..(***task).clone() }
                })
                .collect(),
            executor_infos: all()
                .flat_map(|f| &f.executors)
                .filter(|(agent, _)| agent == id)
                .map(|(_, info)| (**info).clone())
                .collect(),
            ..Default::default()
        }
    }

    /// An agent reports the state of a task.
    pub fn report(
        &mut self,
        number: u8,
        framework: &FrameworkId,
        agent: &AgentId,
        task: &str,
        state: TaskState,
    ) -> Vec<u8> {
        let uuid = (self.number() as u128).to_be_bytes().to_vec();
        let update = update(framework, agent, task, state, &uuid);
        let pid = Some(agent_pid(number).to_string());
        self.message(&agent_pid(number), &wire::StatusUpdateMessage { update, pid });
        uuid
    }

    // HTTP schedulers.

    pub fn try_subscribe(&mut self, info: FrameworkInfo) -> StreamId {
        let subscribe = call::Subscribe { framework_info: info.clone(), ..Default::default() };
        let call = Call {
            r#type: Some(call::Type::Subscribe as i32),
            framework_id: info.id,
            subscribe: Some(subscribe),
            ..Default::default()
        };
        let (stream, reply) = (StreamId(self.number()), ReplyId(self.number()));
        self.handle(Event::Subscribe { stream, reply, principal: None, call: Box::new(call) });
        stream
    }

    pub fn subscribe(&mut self, info: FrameworkInfo) -> Scheduler {
        let stream = self.try_subscribe(info);
        let events = self.all_events(stream);
        let subscribed = events[0].subscribed.as_ref().unwrap_or_else(|| panic!("refused: {events:?}"));
        assert_eq!(events[1].r#type(), event::Type::Heartbeat);
        Scheduler { id: FrameworkId::from(&subscribed.framework_id), stream }
    }

    /// The events of a stream since the last time, heartbeats too.
    pub fn all_events(&mut self, stream: StreamId) -> Vec<Arc<scheduler::Event>> {
        std::mem::take(self.streams.get_mut(&stream).expect("an open stream"))
    }

    pub fn events(&mut self, stream: StreamId) -> Vec<Arc<scheduler::Event>> {
        let mut events = self.all_events(stream);
        events.retain(|event| event.r#type() != event::Type::Heartbeat);
        events
    }

    pub fn is_open(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    pub fn offers(&mut self, stream: StreamId) -> Vec<Offer> {
        let events = self.events(stream);
        events.iter().filter_map(|event| event.offers.clone()).flat_map(|offers| offers.offers).collect()
    }

    pub fn updates(&mut self, stream: StreamId) -> Vec<TaskStatus> {
        self.events(stream)
            .iter()
            .filter_map(|event| event.update.clone())
            .map(|update| update.status)
            .collect()
    }

    pub fn try_call(&mut self, stream: Option<StreamId>, call: Call) -> Outcome {
        let reply = ReplyId(self.number());
        self.handle(Event::SchedulerCall { reply, principal: None, stream, call: Box::new(call) });
        self.replies.remove(&reply).expect("an answer")
    }

    pub fn call(
        &mut self,
        scheduler: &Scheduler,
        kind: call::Type,
        change: impl FnOnce(&mut Call),
    ) -> Outcome {
        let call = make_call(&scheduler.id, kind, change);
        self.try_call(Some(scheduler.stream), call)
    }

    /// The answers to an explicit reconciliation of one task.
    pub fn reconcile(
        &mut self,
        scheduler: &Scheduler,
        task: &str,
        agent: Option<&AgentId>,
    ) -> Vec<TaskStatus> {
        let task_id = mesos::TaskId { value: task.into() };
        let tasks = vec![call::reconcile::Task { task_id, agent_id: agent.map(Into::into) }];
        self.call(scheduler, call::Type::Reconcile, |call| call.reconcile = Some(call::Reconcile { tasks }));
        self.updates(scheduler.stream)
    }

    pub fn reconcile_all(&mut self, scheduler: &Scheduler) -> Vec<TaskStatus> {
        self.call(scheduler, call::Type::Reconcile, |call| call.reconcile = Some(Default::default()));
        self.updates(scheduler.stream)
    }

    pub fn operator(&mut self, call: OperatorCall) -> Outcome {
        let reply = ReplyId(self.number());
        self.handle(Event::Operator { reply, principal: None, call });
        self.replies.remove(&reply).expect("an answer")
    }

    pub fn reply(&mut self, reply: ReplyId) -> Option<Outcome> {
        self.replies.remove(&reply)
    }

    pub fn accept(&mut self, scheduler: &Scheduler, offers: &[&Offer], tasks: Vec<TaskInfo>) -> Outcome {
        self.call(scheduler, call::Type::Accept, |call| call.accept = Some(acceptance(offers, tasks)))
    }

    /// An agent, a scheduler and one task of it that runs.
    pub fn running(info: FrameworkInfo) -> Running {
        let mut world = World::new();
        let agent = world.agent(1);
        let scheduler = world.subscribe(info);
        world.allocation();
        let offer = world.offers(scheduler.stream).remove(0);
        world.accept(&scheduler, &[&offer], vec![task("t", &agent)]);
        world.report(1, &scheduler.id, &agent, "t", TaskState::TaskRunning);
        world.events(scheduler.stream);
        world.sent.clear();
        Running { world, agent, scheduler }
    }
}

pub struct Running {
    pub world: World,
    pub agent: AgentId,
    pub scheduler: Scheduler,
}

#[derive(Clone, Debug)]
pub struct Scheduler {
    pub id: FrameworkId,
    pub stream: StreamId,
}

pub fn ended(state: TaskState) -> bool {
    use TaskState::*;
    !matches!(state, TaskStaging | TaskStarting | TaskRunning | TaskKilling)
}

pub fn make_call(id: &FrameworkId, kind: call::Type, change: impl FnOnce(&mut Call)) -> Call {
    let mut call = Call { framework_id: Some(id.into()), r#type: Some(kind as i32), ..Default::default() };
    change(&mut call);
    call
}

pub fn acceptance(offers: &[&Offer], tasks: Vec<TaskInfo>) -> call::Accept {
    let operation = mesos::offer::Operation {
        r#type: Some(mesos::offer::operation::Type::Launch as i32),
        launch: Some(mesos::offer::operation::Launch { task_infos: tasks }),
        ..Default::default()
    };
    call::Accept {
        offer_ids: offers.iter().map(|offer| offer.id.clone()).collect(),
        operations: vec![operation],
        filters: None,
    }
}

pub fn register(number: u8) -> wire::RegisterAgentMessage {
    use agent_info::capability::Type;
    let capabilities = [
        Type::MultiRole,
        Type::HierarchicalRole,
        Type::ReservationRefinement,
        Type::ResourceProvider,
        Type::TaskResourceLimits,
        Type::AgentDraining,
    ];
    wire::RegisterAgentMessage {
        agent: AgentInfo {
            hostname: format!("host{number}"),
            resources: resources("cpus:4;mem:4096;disk:1000;ports:[1000-2000]"),
            checkpoint: Some(true),
            ..Default::default()
        },
        version: Some("1.11.0".into()),
        agent_capabilities: capabilities
            .map(|kind| agent_info::Capability { r#type: Some(kind as i32) })
            .to_vec(),
        resource_version_uuid: Some(mesos::Uuid { value: vec![number; 16] }),
        ..Default::default()
    }
}

pub fn update(
    framework: &FrameworkId,
    agent: &AgentId,
    task: &str,
    state: TaskState,
    uuid: &[u8],
) -> wire::StatusUpdate {
    wire::StatusUpdate {
        framework_id: framework.into(),
        agent_id: Some(agent.into()),
        status: TaskStatus {
            task_id: mesos::TaskId { value: task.into() },
            state: state as i32,
            source: Some(mesos::task_status::Source::Executor as i32),
            uuid: Some(uuid.to_vec()),
            ..Default::default()
        },
        timestamp: 7.0,
        uuid: Some(uuid.to_vec()),
        latest_state: Some(state as i32),
        ..Default::default()
    }
}

/// A framework of today: several roles, refined reservations, aware of partitions.
pub fn modern() -> FrameworkInfo {
    use framework_info::capability::Type;
    let capabilities = [Type::MultiRole, Type::ReservationRefinement, Type::PartitionAware];
    FrameworkInfo {
        user: "nobody".into(),
        name: "modern".into(),
        roles: vec!["a".into(), "b".into()],
        failover_timeout: Some(60.0),
        checkpoint: Some(true),
        capabilities: capabilities
            .map(|kind| framework_info::Capability { r#type: Some(kind as i32) })
            .to_vec(),
        ..Default::default()
    }
}

/// A framework of the first days.
pub fn old() -> FrameworkInfo {
    FrameworkInfo {
        user: "nobody".into(),
        name: "old".into(),
        failover_timeout: Some(60.0),
        ..Default::default()
    }
}

pub fn task(id: &str, agent: &AgentId) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: mesos::TaskId { value: id.into() },
        agent_id: agent.into(),
        resources: resources("cpus:1;mem:64"),
        command: Some(CommandInfo { value: Some("true".into()), ..Default::default() }),
        ..Default::default()
    }
}

pub fn states(updates: &[TaskStatus]) -> Vec<(TaskState, mesos::task_status::Reason)> {
    updates.iter().map(|status| (status.state(), status.reason())).collect()
}
