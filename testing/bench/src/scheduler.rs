//! A simulated scheduler: it launches tasks on what it is offered and acknowledges every update, over the v1 HTTP API or
//! by the messages of a v0 driver. Each update is checked to come once and in its turn.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messor_codec::http_client::{Part, RequestBody, ResponseCollector, ResponseDecoder, write_request_head};
use messor_codec::{message, recordio};
use messor_proto::mesos::framework_info::{self, capability};
use messor_proto::mesos::offer::{self, operation};
use messor_proto::mesos::scheduler::{Call, call};
use messor_proto::mesos::value::Scalar;
use messor_proto::mesos::{
    AgentId, CommandInfo, Filters, FrameworkId, FrameworkInfo, OfferFilters, OfferId, TaskId, TaskInfo,
    TaskState, offer_filters,
};
use messor_proto::{Version, Wire};
use prost::Message;

use crate::board::{Board, Count};
use crate::brief::{self, Id};
use crate::client::PROTOBUF;
use crate::fleet::{Said, read_uuid, task_id, task_number, task_resources};
use crate::wire::{ACCEPTED, Outbox, Requests};

pub const ROLE: &str = "bench";
const PROCESS: &str = "scheduler-bench";
/// An offer that is declined for so long does not come again by itself.
const FOR_EVER_SECONDS: f64 = 86_400.0 * 365.0;
const PATH: &str = "/master/api/v1/scheduler";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// v1: a stream of events, and calls on a connection of their own.
    Http,
    /// v0: libprocess messages both ways.
    Driver,
}

/// What it is to do with offers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// The number of its first task: there may be other schedulers beside it.
    pub first: usize,
    /// So many tasks in all,
    pub tasks: usize,
    /// and so many at most on one offer.
    pub tasks_per_offer: usize,
    /// Offers are kept, not declined.
    pub keeps_offers: bool,
    /// The framework comes back to its tasks: all of them run already.
    pub comes_back: bool,
    /// It is offered only what has so many CPUs.
    pub least_cpus: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Unknown,
    Launched,
    Running,
    Finished,
}

#[derive(Default)]
struct State {
    plan: Plan,
    launched: usize,
    tasks: Vec<Phase>,
    kept: Vec<String>,
    framework_id: String,
}

/// How calls go to the master.
enum Calls {
    Http { stream_id: Option<String> },
    Driver { from: SocketAddr, master: SocketAddr },
}

struct Inner {
    board: Arc<Board>,
    state: Mutex<State>,
    calls: Mutex<Option<(Calls, Outbox)>>,
}

pub struct Scheduler(Arc<Inner>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn framework(id: Option<&str>) -> FrameworkInfo {
    let capabilities = [capability::Type::MultiRole, capability::Type::ReservationRefinement];
    FrameworkInfo {
        user: "root".to_string(),
        name: "bench".to_string(),
        id: id.map(|id| FrameworkId { value: id.to_string() }),
        failover_timeout: Some(FOR_EVER_SECONDS),
        checkpoint: Some(true),
        roles: vec![ROLE.to_string()],
        capabilities: capabilities
            .iter()
            .map(|kind| framework_info::Capability { r#type: Some(*kind as i32) })
            .collect(),
        ..Default::default()
    }
}

fn at_least(cpus: f64) -> OfferFilters {
    let quantities = [("cpus".to_string(), Scalar { value: cpus })].into();
    let quantities = vec![offer_filters::ResourceQuantities { quantities }];
    let min_allocatable_resources = Some(offer_filters::MinAllocatableResources { quantities });
    OfferFilters { min_allocatable_resources }
}

fn offer_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<OfferId> {
    ids.into_iter().map(|id| OfferId { value: id.to_string() }).collect()
}

fn refuse(seconds: f64) -> Option<Filters> {
    Some(Filters { refuse_seconds: Some(seconds) })
}

fn task(number: usize, agent_id: &str) -> TaskInfo {
    let id = task_id(number);
    TaskInfo {
        name: id.clone(),
        task_id: TaskId { value: id },
        agent_id: AgentId { value: agent_id.to_string() },
        resources: task_resources(),
        command: Some(CommandInfo { value: Some("true".to_string()), ..Default::default() }),
        ..Default::default()
    }
}

impl Scheduler {
    /// Subscribes; with an id, as a framework that the master may know. The board counts that it is subscribed.
    pub fn subscribe(
        board: &Arc<Board>,
        master: SocketAddr,
        api: Api,
        plan: Plan,
        id: Option<&str>,
    ) -> Result<Scheduler, String> {
        let (phase, launched) =
            if plan.comes_back { (Phase::Running, plan.tasks) } else { (Phase::Unknown, 0) };
        let tasks = vec![phase; plan.tasks];
        let framework_id = id.unwrap_or_default().to_string();
        let state = State { plan, launched, tasks, framework_id, ..Default::default() };
        let inner =
            Arc::new(Inner { board: Arc::clone(board), state: Mutex::new(state), calls: Mutex::new(None) });
        let mut framework_info = framework(id);
        if let Some(cpus) = plan.least_cpus {
            framework_info.offer_filters.insert(ROLE.to_string(), at_least(cpus));
        }
        let subscribe = Call {
            framework_id: id.map(|id| FrameworkId { value: id.to_string() }),
            r#type: Some(call::Type::Subscribe as i32),
            subscribe: Some(call::Subscribe {
                framework_info,
                force: (api == Api::Driver).then_some(true),
                ..Default::default()
            }),
            ..Default::default()
        };
        let started = match api {
            Api::Http => inner.start_http(master, &subscribe),
            Api::Driver => inner.start_driver(master, &subscribe),
        };
        started.map_err(|error| format!("the scheduler cannot subscribe: {error}"))?;
        Ok(Scheduler(inner))
    }

    /// The ids of the offers that are kept, which are its own no longer.
    pub fn take_offers(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0.state).kept)
    }

    /// Declines offers, so that they may come again after so long.
    pub fn decline(&self, ids: &[String], seconds: f64) -> Result<(), String> {
        let decline =
            call::Decline { offer_ids: offer_ids(ids.iter().map(String::as_str)), filters: refuse(seconds) };
        let call =
            Call { r#type: Some(call::Type::Decline as i32), decline: Some(decline), ..Default::default() };
        self.call(call)
    }

    pub fn revive(&self) -> Result<(), String> {
        self.call(Call { r#type: Some(call::Type::Revive as i32), ..Default::default() })
    }

    pub fn suppress(&self) -> Result<(), String> {
        self.call(Call { r#type: Some(call::Type::Suppress as i32), ..Default::default() })
    }

    /// Asks for the state of these tasks, or of all the master knows.
    pub fn reconcile(&self, tasks: std::ops::Range<usize>) -> Result<(), String> {
        let tasks = tasks
            .map(|number| call::reconcile::Task {
                task_id: TaskId { value: task_id(number) },
                ..Default::default()
            })
            .collect();
        let reconcile = Some(call::Reconcile { tasks });
        self.call(Call { r#type: Some(call::Type::Reconcile as i32), reconcile, ..Default::default() })
    }

    fn call(&self, mut call: Call) -> Result<(), String> {
        call.framework_id = Some(FrameworkId { value: lock(&self.0.state).framework_id.clone() });
        let mut out = Vec::new();
        let mut calls = lock(&self.0.calls);
        let (calls, outbox) = calls.as_mut().ok_or("the scheduler is not subscribed")?;
        calls.write(&call, &mut out)?;
        outbox.put(|to| to.extend_from_slice(&out))
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some((_, outbox)) = lock(&self.0.calls).take() {
            outbox.end();
        }
    }
}

impl Calls {
    fn write(&self, call: &Call, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Calls::Driver { from, master } => {
                let from = format_args!("{PROCESS}@{from}");
                message::write(out, from, "master", master, Call::NAME, &call.encode_bytes());
            }
            Calls::Http { stream_id } => {
                let body = match call.subscribe {
                    Some(_) => call.encode_as(Version::V1),
                    None => call.encode_bytes(),
                };
                let mut headers =
                    vec![("Host", "localhost"), ("Content-Type", PROTOBUF), ("Accept", PROTOBUF)];
                if let Some(stream_id) = stream_id {
                    headers.push(("Mesos-Stream-Id", stream_id));
                }
                let framing = RequestBody::Length(body.len());
                write_request_head(out, "POST", PATH, &headers, framing)
                    .map_err(|error| error.to_string())?;
                out.extend_from_slice(&body);
            }
        }
        Ok(())
    }
}

fn connect(master: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(master).map_err(|error| format!("{master}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

impl Inner {
    fn run(self: &Arc<Inner>, work: impl FnOnce(&Inner) -> Result<(), String> + Send + 'static) {
        let inner = Arc::clone(self);
        std::thread::spawn(move || {
            if let Err(fault) = work(&inner) {
                inner.board.fail(format!("the scheduler: {fault}"));
            }
        });
    }

    fn start_http(self: &Arc<Inner>, master: SocketAddr, subscribe: &Call) -> Result<(), String> {
        let mut request = Vec::new();
        Calls::Http { stream_id: None }.write(subscribe, &mut request)?;
        let mut stream = connect(master)?;
        std::io::Write::write_all(&mut stream, &request).map_err(|error| error.to_string())?;
        let calls = connect(master)?;
        let mut answers = calls.try_clone().map_err(|error| error.to_string())?;
        let outbox = Outbox::new(calls, Arc::clone(&self.board));
        self.run(move |inner| inner.read_events(stream, outbox));
        self.run(move |inner| inner.read_answers(&mut answers));
        Ok(())
    }

    /// Each call is to be accepted.
    fn read_answers(&self, answers: &mut TcpStream) -> Result<(), String> {
        let mut collector = ResponseCollector::new(1 << 20);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = answers.read(&mut buffer).unwrap_or(0);
            if count == 0 {
                return Ok(());
            }
            collector.push(&buffer[..count]);
            while let Some(answer) = collector.next_response().map_err(|error| error.to_string())? {
                if answer.head.status != 202 {
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    return Err(format!("a call was answered {}: {text}", answer.head.status));
                }
            }
        }
    }

    fn read_events(&self, mut stream: TcpStream, outbox: Outbox) -> Result<(), String> {
        let mut decoder = ResponseDecoder::new();
        let mut records = recordio::Decoder::default();
        let mut buffer = vec![0; 256 * 1024];
        let mut outbox = Some(outbox);
        loop {
            let count = stream.read(&mut buffer).map_err(|error| format!("its stream: {error}"))?;
            if count == 0 {
                return Err("its connection ended".to_string());
            }
            decoder.push(&buffer[..count]);
            while let Some(part) = decoder.next_part().map_err(|error| error.to_string())? {
                match part {
                    Part::Head(head) if head.status == 200 => {
                        let stream_id = head.header("Mesos-Stream-Id").map(str::to_string);
                        let outbox = outbox.take().ok_or("two answers on one stream")?;
                        *lock(&self.calls) = Some((Calls::Http { stream_id }, outbox));
                    }
                    Part::Head(head) => return Err(format!("SUBSCRIBE was answered {}", head.status)),
                    Part::Data(data) => records.push(&data),
                    Part::End => return Err("its stream ended".to_string()),
                }
            }
            let mut batch = Batch::new(self);
            while let Some(record) = records.next_record().map_err(|error| error.to_string())? {
                let event = brief::Event::decode(record.as_slice()).map_err(|error| error.to_string())?;
                batch.event(event)?;
            }
            batch.send()?;
        }
    }

    fn start_driver(self: &Arc<Inner>, master: SocketAddr, subscribe: &Call) -> Result<(), String> {
        let broken = |error: std::io::Error| error.to_string();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken)?;
        let from = listener.local_addr().map_err(broken)?;
        let stream = connect(master)?;
        let mut answers = stream.try_clone().map_err(broken)?;
        std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        let outbox = Outbox::new(stream, Arc::clone(&self.board));
        let calls = Calls::Driver { from, master };
        let mut out = Vec::new();
        calls.write(subscribe, &mut out)?;
        *lock(&self.calls) = Some((calls, outbox.clone()));
        self.run(move |inner| {
            let (stream, _) = listener.accept().map_err(broken)?;
            inner.read_messages(stream)
        });
        outbox.put(|to| to.extend_from_slice(&out))
    }

    fn read_messages(&self, mut stream: TcpStream) -> Result<(), String> {
        let mut answers = stream.try_clone().map_err(|error| error.to_string())?;
        let mut requests = Requests::default();
        while requests.fill(&mut stream).unwrap_or(false) {
            let mut batch = Batch::new(self);
            let mut count = 0;
            while let Some(request) = requests.next()? {
                count += 1;
                batch.message(request.name, request.body)?;
            }
            batch.send()?;
            // The master may be gone meanwhile, which its end of the connection tells.
            let _ = std::io::Write::write_all(&mut answers, &ACCEPTED.repeat(count));
        }
        Ok(())
    }
}

/// What is answered to what was read in one go.
struct Batch<'a> {
    inner: &'a Inner,
    state: MutexGuard<'a, State>,
    calls: Vec<Call>,
}

impl<'a> Batch<'a> {
    fn new(inner: &'a Inner) -> Batch<'a> {
        Batch { inner, state: lock(&inner.state), calls: Vec::new() }
    }

    fn event(&mut self, event: brief::Event) -> Result<(), String> {
        match event {
            brief::Event { subscribed: Some(subscribed), .. } => self.subscribed(&subscribed),
            brief::Event { offers: Some(offers), .. } => self.offers(&offers.offers),
            brief::Event { update: Some(brief::Update { status: Some(status) }), .. } => self.update(&status),
            brief::Event { error: Some(error), .. } => Err(format!("the master said: {error:?}")),
            _ => Ok(()),
        }
    }

    fn message(&mut self, name: &str, body: &[u8]) -> Result<(), String> {
        let wrong = |error: prost::DecodeError| format!("{name}: {error}");
        match name.strip_prefix("mesos.internal.").unwrap_or(name) {
            "FrameworkRegisteredMessage" | "FrameworkReregisteredMessage" => {
                self.subscribed(&brief::Subscribed::decode(body).map_err(wrong)?)
            }
            "ResourceOffersMessage" => self.offers(&brief::Offers::decode(body).map_err(wrong)?.offers),
            "StatusUpdateMessage" => {
                let message = brief::StatusUpdateMessage::decode(body).map_err(wrong)?;
                let mut update = message.update.unwrap_or_default();
                let mut status = update.status.take().unwrap_or_default();
                // The driver acknowledges only what has an agent behind it.
                let acknowledged = message.pid.is_some_and(|pid| !pid.is_empty());
                status.uuid = update.uuid.filter(|uuid| acknowledged && !uuid.is_empty());
                status.agent_id = update.agent_id.or(status.agent_id);
                self.update(&status)
            }
            "RescindResourceOfferMessage" => Ok(()),
            other => Err(format!("it was sent a {other}: {}", String::from_utf8_lossy(body))),
        }
    }

    fn subscribed(&mut self, subscribed: &brief::Subscribed) -> Result<(), String> {
        self.state.framework_id = Id::text(&subscribed.framework_id).to_string();
        self.inner.board.add(Count::Subscribed, 1);
        Ok(())
    }

    fn offers(&mut self, offers: &[brief::Offer]) -> Result<(), String> {
        self.inner.board.add(Count::Offered, offers.len() as u64);
        let plan = self.state.plan;
        if plan.keeps_offers {
            self.state.kept.extend(offers.iter().map(|offer| Id::text(&offer.id).to_string()));
            return Ok(());
        }
        let before = self.state.launched;
        let mut declined = Vec::new();
        for offer in offers {
            let count = (plan.tasks - self.state.launched).min(plan.tasks_per_offer);
            if count == 0 {
                declined.push(Id::text(&offer.id));
                continue;
            }
            let numbers = self.state.launched..self.state.launched + count;
            self.state.launched += count;
            self.state.tasks[numbers.clone()].fill(Phase::Launched);
            let agent_id = Id::text(&offer.agent_id);
            let launch = operation::Launch {
                task_infos: numbers.map(|number| task(plan.first + number, agent_id)).collect(),
            };
            let accept = call::Accept {
                offer_ids: offer_ids([Id::text(&offer.id)]),
                operations: vec![offer::Operation {
                    r#type: Some(operation::Type::Launch as i32),
                    launch: Some(launch),
                    ..Default::default()
                }],
                filters: refuse(FOR_EVER_SECONDS),
            };
            let kind = Some(call::Type::Accept as i32);
            self.calls.push(Call { r#type: kind, accept: Some(accept), ..Default::default() });
        }
        if !declined.is_empty() {
            let decline = call::Decline { offer_ids: offer_ids(declined), filters: refuse(FOR_EVER_SECONDS) };
            let kind = Some(call::Type::Decline as i32);
            self.calls.push(Call { r#type: kind, decline: Some(decline), ..Default::default() });
        }
        if before < plan.tasks && self.state.launched == plan.tasks {
            let kind = Some(call::Type::Suppress as i32);
            self.calls.push(Call { r#type: kind, ..Default::default() });
        }
        Ok(())
    }

    fn update(&mut self, status: &brief::Status) -> Result<(), String> {
        let id = Id::text(&status.task_id);
        let first = self.state.plan.first;
        let number =
            task_number(id).ok_or_else(|| format!("an update of a task that is not ours: '{id}'"))?;
        let phase = number.checked_sub(first).and_then(|index| self.state.tasks.get_mut(index));
        let phase = phase.ok_or_else(|| format!("an update of another scheduler's task: '{id}'"))?;
        let state = status.state.unwrap_or(-1);
        let said = status.uuid.as_deref().map(read_uuid);
        let count = match (said, *phase) {
            (Some(Some((task, Said::Running))), Phase::Launched)
                if task == number && state == TaskState::TaskRunning as i32 =>
            {
                *phase = Phase::Running;
                Count::Running
            }
            (Some(Some((task, Said::Finished))), Phase::Running)
                if task == number && state == TaskState::TaskFinished as i32 =>
            {
                *phase = Phase::Finished;
                Count::Finished
            }
            (Some(Some((task, Said::Repeated))), Phase::Running)
                if task == number && state == TaskState::TaskRunning as i32 =>
            {
                Count::Repeated
            }
            (None, Phase::Running) if state == TaskState::TaskRunning as i32 => Count::Repeated,
            (_, phase) => return Err(format!("task {number} was {phase:?} and is told {status:?}")),
        };
        self.inner.board.add(count, 1);
        if let Some(uuid) = &status.uuid {
            let acknowledge = call::Acknowledge {
                agent_id: AgentId { value: Id::text(&status.agent_id).to_string() },
                task_id: TaskId { value: id.to_string() },
                uuid: uuid.clone(),
            };
            let kind = Some(call::Type::Acknowledge as i32);
            self.calls.push(Call { r#type: kind, acknowledge: Some(acknowledge), ..Default::default() });
        }
        Ok(())
    }

    fn send(self) -> Result<(), String> {
        let Batch { inner, state, calls } = self;
        if calls.is_empty() {
            return Ok(());
        }
        let framework_id = FrameworkId { value: state.framework_id.clone() };
        drop(state);
        let mut out = Vec::new();
        let mut to = lock(&inner.calls);
        let (to, outbox) = to.as_mut().ok_or("the scheduler is not subscribed")?;
        for mut call in calls {
            call.framework_id = Some(framework_id.clone());
            to.write(&call, &mut out)?;
        }
        outbox.put(|to| to.extend_from_slice(&out))
    }
}

/// A master that has brought a run no further for so long will not.
pub const STEP_TIME: Duration = Duration::from_secs(60);
