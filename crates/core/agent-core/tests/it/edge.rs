//! A fake edge: it keeps timers and time, answers what an edge answers by itself, and records the rest.

use std::collections::BTreeMap;

use messor_agent_core::{
    Agent, Config, ContainerCommand, ContainerEvent, Effect, Event, Launch, Outcome, Record, Recovered,
    ReplyId, StreamId, Timer, View,
};
use messor_proto::Wire;
use messor_proto::mesos::executor::{self, event};
use messor_proto::mesos::internal::{
    AgentRegisteredMessage, MasterAgentConnection, StatusUpdate, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage,
};
use messor_stdx::{Duration, Time};
use messor_types::{ContainerId, Pid};

use crate::build;

pub struct Edge {
    pub agent: Agent,
    pub now: Time,
    pub timers: BTreeMap<Timer, Time>,
    /// Records are durable at once; if not, when `persist_all` is called.
    pub durable_at_once: bool,
    pub sent: Vec<(Pid, &'static str, Vec<u8>)>,
    pub containers: Vec<ContainerCommand>,
    pub events: Vec<(StreamId, executor::Event)>,
    pub closed: Vec<StreamId>,
    pub opened: Vec<StreamId>,
    pub replies: Vec<(ReplyId, Outcome)>,
    pub records: Vec<(u64, Record)>,
    pub waiting: Vec<u64>,
    /// How often the resource estimator and the QoS controller were asked.
    pub estimates: usize,
    pub corrections: usize,
    pub links: Vec<String>,
    pub collected: Vec<String>,
    pub kept: Vec<String>,
    pub aborted: Option<String>,
    pub log: Vec<String>,
    next_reply: u64,
    next_stream: u64,
}

impl Edge {
    pub fn new() -> Edge {
        Edge::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Edge {
        let mut config = build::config();
        change(&mut config);
        let mut edge = Edge::recovered(config, Recovered::default(), BTreeMap::new());
        edge.containers.clear();
        edge.records.clear();
        edge
    }

    /// An agent that begins with a past; of its runs, `running` are still there.
    pub fn recovered(config: Config, recovered: Recovered, running: BTreeMap<ContainerId, u32>) -> Edge {
        let mut edge = Edge::before_recovery(config);
        edge.event(Event::Recovered(Box::new(recovered)));
        if edge.aborted.is_none() {
            edge.event(Event::Container(ContainerEvent::Recovered { running, destroyed: 0 }));
        }
        edge
    }

    pub fn before_recovery(config: Config) -> Edge {
        let now = Time::from_secs_f64(1_600_000_000.0);
        Edge {
            agent: Agent::new(config, now),
            now,
            timers: BTreeMap::new(),
            durable_at_once: true,
            sent: Vec::new(),
            containers: Vec::new(),
            events: Vec::new(),
            closed: Vec::new(),
            opened: Vec::new(),
            replies: Vec::new(),
            records: Vec::new(),
            waiting: Vec::new(),
            estimates: 0,
            corrections: 0,
            links: Vec::new(),
            collected: Vec::new(),
            kept: Vec::new(),
            aborted: None,
            log: Vec::new(),
            next_reply: 0,
            next_stream: 0,
        }
    }

    /// An agent that a master registered.
    pub fn registered() -> Edge {
        let mut edge = Edge::new();
        edge.register();
        edge
    }

    pub fn register(&mut self) {
        self.detect();
        self.advance(Duration::from_secs(1));
        self.master_says(AgentRegisteredMessage {
            agent_id: build::agent_id(),
            connection: Some(MasterAgentConnection { total_ping_timeout_seconds: Some(75.0) }),
        });
        self.sent.clear();
    }

    pub fn detect(&mut self) {
        self.event(Event::Detected { leader: Some(Box::new(build::master_info())) });
    }

    pub fn event(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.agent.handle(self.now, event, &mut effects);
        let mut durable = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, name, body } => self.sent.push((to, name, body)),
                Effect::Link { pid } => self.links.push(format!("link {pid}")),
                Effect::Unlink { pid } => self.links.push(format!("unlink {pid}")),
                Effect::StreamOpened { stream, .. } => self.opened.push(stream),
                Effect::Stream { stream, event } => self.events.push((stream, event.as_ref().clone())),
                Effect::CloseStream { stream } => self.closed.push(stream),
                Effect::Reply { reply, outcome } => self.replies.push((reply, outcome)),
                Effect::Estimate => self.estimates += 1,
                Effect::Correct => self.corrections += 1,
                Effect::Container(command) => self.containers.push(command),
                Effect::Persist { ticket, record } => {
                    self.records.push((ticket, record));
                    if self.durable_at_once {
                        durable.push(ticket);
                    } else {
                        self.waiting.push(ticket);
                    }
                }
                Effect::ScheduleGc { path } | Effect::ScheduleGcOfOld { path } => self.collected.push(path),
                Effect::UnscheduleGc { path } => self.kept.push(path),
                Effect::SetTimer { timer, at } => {
                    self.timers.insert(timer, at);
                }
                Effect::CancelTimer { timer } => {
                    self.timers.remove(&timer);
                }
                Effect::Abort { reason } => self.aborted = Some(reason),
                Effect::Log { line, .. } => self.log.push(line),
            }
        }
        for ticket in durable {
            self.event(Event::Persisted { ticket, outcome: Ok(()) });
        }
    }

    /// Everything that waits is on disk now, in order.
    pub fn persist_all(&mut self) {
        for ticket in std::mem::take(&mut self.waiting) {
            self.event(Event::Persisted { ticket, outcome: Ok(()) });
        }
    }

    pub fn message<M: Wire>(&mut self, from: &Pid, message: M) {
        self.event(Event::Message {
            from: from.clone(),
            name: M::NAME.to_string(),
            body: message.encode_bytes(),
        });
    }

    pub fn master_says<M: Wire>(&mut self, message: M) {
        self.message(&build::master(), message);
    }

    /// Lets time pass; timers fire when they are due, in order.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((timer, at)) =
            self.timers.iter().min_by_key(|(_, at)| **at).map(|(timer, at)| (timer.clone(), *at))
            && at <= end
        {
            self.timers.remove(&timer);
            self.now = self.now.max(at);
            self.event(Event::Timer(timer));
        }
        self.now = end;
    }

    pub fn view(&self) -> View {
        self.agent.view(self.now)
    }

    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.view().metrics;
        metrics.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no metric {name}")).1
    }

    /// The messages of one type that were sent, and to whom; they are taken away.
    pub fn take<M: Wire>(&mut self) -> Vec<(String, M)> {
        let (found, rest) =
            std::mem::take(&mut self.sent).into_iter().partition(|(_, name, _)| *name == M::NAME);
        self.sent = rest;
        let found: Vec<(Pid, &str, Vec<u8>)> = found;
        found.into_iter().map(|(to, _, body)| (to.to_string(), M::decode_checked(&body).unwrap())).collect()
    }

    /// The one message of a type that was sent.
    pub fn one<M: Wire>(&mut self) -> M {
        let mut all = self.take::<M>();
        assert_eq!(all.len(), 1, "messages {} in {all:?}; log: {:#?}", M::NAME, self.log);
        all.remove(0).1
    }

    /// The updates that went to the master.
    pub fn updates(&mut self) -> Vec<StatusUpdate> {
        let master = build::master().to_string();
        let all = self.take::<StatusUpdateMessage>();
        assert!(all.iter().all(|(to, _)| *to == master));
        all.into_iter().map(|(_, message)| message.update).collect()
    }

    /// State, reason, source and message of the one update that went to the master.
    pub fn one_update(&mut self) -> StatusUpdate {
        let mut all = self.updates();
        assert_eq!(all.len(), 1, "updates; log: {:#?}", self.log);
        all.remove(0)
    }

    pub fn acknowledge(&mut self, update: &StatusUpdate) {
        self.master_says(StatusUpdateAcknowledgementMessage {
            agent_id: build::agent_id(),
            framework_id: update.framework_id.clone(),
            task_id: update.status.task_id.clone(),
            uuid: update.uuid.clone().unwrap(),
        });
    }

    /// The one launch that was asked for.
    pub fn launch(&mut self) -> Launch {
        let mut launches: Vec<Launch> = Vec::new();
        self.containers.retain(|command| match command {
            ContainerCommand::Launch(launch) => {
                launches.push(launch.as_ref().clone());
                false
            }
            _ => true,
        });
        assert_eq!(launches.len(), 1, "launches; log: {:#?}", self.log);
        launches.remove(0)
    }

    pub fn destroyed(&mut self) -> Vec<ContainerId> {
        let commands = std::mem::take(&mut self.containers);
        let destroyed = commands.into_iter().filter_map(|command| match command {
            ContainerCommand::Destroy { container } => Some(container),
            _ => None,
        });
        destroyed.collect()
    }

    pub fn launched(&mut self, container: &ContainerId, pid: u32) {
        self.event(Event::Container(ContainerEvent::Launched { container: container.clone(), pid }));
    }

    pub fn exited(&mut self, container: &ContainerId, status: i32) {
        self.event(Event::Container(ContainerEvent::Exited {
            container: container.clone(),
            status: Some(status),
            limitation: None,
        }));
    }

    pub fn subscribe(&mut self, call: executor::Call) -> StreamId {
        self.next_stream += 1;
        self.next_reply += 1;
        let stream = StreamId(self.next_stream);
        self.event(Event::Subscribe { stream, reply: ReplyId(self.next_reply), call: Box::new(call) });
        stream
    }

    pub fn call(&mut self, call: executor::Call) -> Outcome {
        self.next_reply += 1;
        let reply = ReplyId(self.next_reply);
        self.event(Event::ExecutorCall { reply, call: Box::new(call) });
        let (last, outcome) = self.replies.pop().expect("a call is answered");
        assert_eq!(last, reply);
        outcome
    }

    /// The events that went to executors, taken away.
    pub fn event_types(&mut self) -> Vec<event::Type> {
        std::mem::take(&mut self.events).iter().map(|(_, event)| event.r#type()).collect()
    }

    /// Runs a command task up to its subscribed executor, and gives that one's container and stream.
    pub fn run_command(&mut self, task: &str) -> (ContainerId, StreamId) {
        self.master_says(build::run(build::framework(), build::command_task(task)));
        let container = self.launch().container;
        self.launched(&container, 4321);
        let stream = self.subscribe(build::subscribe(task));
        assert!(self.opened.contains(&stream), "log: {:#?}", self.log);
        (container, stream)
    }
}
