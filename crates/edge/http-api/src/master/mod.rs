//! What a master answers: routing, calls, streams.

mod agents;
pub mod binary;
mod calls;
pub mod lists;
mod logs;
mod maintenance;
mod model;
pub(crate) use model::time_info;
mod operations;
pub mod reads;
mod registry;
mod roles;
mod scheduler;
pub mod state;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use messor_codec::negotiation::accepts_encoding;
use messor_master_core::{Effect, Event, OperatorCall, Outcome, ReplyId, StreamId, View};
use messor_proto::Sink;
use messor_types::FrameworkId;
use tokio::sync::Semaphore;

use crate::answer::{Answer, bad_request, empty, json, method_not_allowed, not_found, not_supported, text};
use crate::common::Common;
use crate::endpoints::endpoints;
use crate::gateway::{Gateway, Reply, record};
use crate::health::{self, Fact, Readiness};
use crate::info::ProgramInfo;
use crate::machine::Machine;
use crate::request::{JSON, MediaType, Request};
use crate::respond;
use crate::together::{Together, processors};

/// The libprocess id of a master, and the first part of the paths of its endpoints.
pub const PROCESS: &str = "master";

pub use registry::REGISTRAR;

/// Both event streams say this often that they are alive.
pub const HEARTBEAT_INTERVAL_SECS: f64 = 15.0;

/// The HTTP side of a master.
pub struct MasterSite {
    common: Common,
    machine: Machine<Event, View>,
    gateway: Arc<Gateway<Outcome>>,
    together: Arc<Together>,
    /// First events of operators' streams that are written beside the machine.
    snapshots: Arc<Semaphore>,
}

/// What grows with the cluster waits for its turn; the rest is written at once.
const LARGE: [&str; 5] = ["/state", "/state-summary", "/slaves", "/frameworks", "/tasks"];

/// Of the state of things, of a master that leads and has recovered.
async fn document(
    machine: Machine<Event, View>,
    path: String,
    request: Request,
    program: Arc<ProgramInfo>,
    sink: Option<Sink>,
) -> Answer {
    let Some(view) = machine.view().await else { return ending() };
    if path == "/redirect" || view.elected_time.is_none() {
        let target = if path == "/redirect" { "" } else { &request.target };
        return redirect(leader_of(&view).as_deref(), target);
    }
    // An empty list would be a wrong answer, not a missing one.
    if !view.recovered && registry::methods_of(&path).is_some() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "this master has not recovered yet");
    }
    // Writing a large document takes a while: not on a thread that serves others.
    let written = tokio::task::spawn_blocking(move || {
        let query = &request.query;
        let body = match path.as_str() {
            "/state" => state::state(&view, &program, sink),
            "/state-summary" => state::state_summary(&view, &program),
            "/slaves" => state::slaves(&view, query),
            "/frameworks" => state::frameworks_document(&view, query),
            "/tasks" => state::tasks(&view, query),
            "/roles" => roles::roles(&view),
            other => registry::read(other, &view),
        };
        (json(&request, body), view)
    });
    match written.await {
        Ok((answer, view)) => {
            let_go(view);
            answer
        }
        Err(_) => ending(),
    }
}

/// Whether an answer may be under way before it is whole. What is compressed or wrapped is made of all of it.
fn takes_pieces(request: &Request) -> bool {
    let accepted = request.header(header::ACCEPT_ENCODING);
    // (Without chunks one that breaks off would look whole.)
    request.version >= http::Version::HTTP_11
        && request.method != Method::HEAD
        && request.query.get("jsonp").is_none()
        && !accepts_encoding(accepted, "gzip")
}

/// There are many pointers in a view, to be counted down: who asked does not wait for that.
fn let_go(view: Arc<View>) {
    drop(tokio::task::spawn_blocking(move || drop(view)));
}

/// The libprocess id of the allocator, whose one endpoint tells what offer constraints leave out.
const ALLOCATOR: &str = "allocator";

impl MasterSite {
    pub fn new(common: Common, machine: Machine<Event, View>) -> MasterSite {
        let teller = machine.clone();
        let gateway =
            Gateway::new(move |stream| teller.event(Event::StreamClosed { stream: StreamId(stream) }));
        let snapshots = Arc::new(Semaphore::new(processors().max(2)));
        MasterSite { common, machine, gateway, together: Together::new(), snapshots }
    }

    /// How many reads were answered by what was written for others.
    pub fn shared_answers(&self) -> u64 {
        self.together.shared()
    }

    /// The program ends: so do all streams.
    pub fn end(&self) {
        self.gateway.close_all();
    }

    /// Whether this site answers the path, when several share a port.
    pub fn owns(path: &str) -> bool {
        let below = |process: &str| {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(process));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        below(PROCESS) || below(registry::REGISTRAR) || below(ALLOCATOR)
    }

    /// The endpoints that belong to no process, where a port serves several.
    pub async fn shared(&self, request: &Request) -> messor_net::Response {
        if let Some(response) = self.common.download(request) {
            return response;
        }
        respond::whole(match self.common.handle(request).await {
            Some(answer) => answer,
            None => self.not_built(&request.path, request).unwrap_or_else(not_found),
        })
    }

    pub async fn handle(&self, request: Request) -> messor_net::Response {
        if request.path == "/"
            && let Some(elsewhere) = self.page_of_leader(&request).await
        {
            return respond::whole(elsewhere);
        }
        if let Some(response) = self.common.download(&request) {
            return response;
        }
        if let Some(answer) = self.common.handle(&request).await {
            return respond::whole(answer);
        }
        // `/state` is short for `/master/state`, and `x.json` is the older name of the read `x`.
        let path =
            request.path.strip_prefix("/master").filter(|p| p.starts_with('/')).unwrap_or(&request.path);
        let path = path.strip_suffix(".json").unwrap_or(path);
        if let Some(answer) =
            health::answer(&request, path, self.machine.view(), |view| readiness(view)).await
        {
            return respond::whole(answer);
        }
        match path {
            "/api/v1" => self.operator_call(&request).await,
            "/api/v1/scheduler" => self.scheduler_call(&request).await,
            _ => match agents::parts(path) {
                Some((agent, read)) => self.read_of_agent(agent, read, &request).await,
                None if LARGE.contains(&path) => self.large_read(path, &request).await,
                None => respond::whole(self.read_or_change(path, &request).await),
            },
        }
    }

    /// The page shows what the leading master knows: another one sends browsers there. Where nobody leads it says so.
    async fn page_of_leader(&self, request: &Request) -> Option<Answer> {
        let view = self.machine.view().await?;
        match (view.elected_time, leader_of(&view)) {
            (None, Some(leader)) => Some(redirect(Some(&leader), &request.target)),
            _ => None,
        }
    }

    async fn read_or_change(&self, path: &str, request: &Request) -> Answer {
        match path {
            "/health" => return empty(StatusCode::OK),
            "/flags" => return self.common.flags(request),
            "/teardown" => return self.teardown(request).await,
            "/registrar(1)/registry" => return self.registrar(request).await,
            "/task/logs" => return self.task_logs(request).await,
            "/agent/log" => return self.agent_log(request).await,
            "/allocator/offer_constraints_debug" => return self.offer_constraints_debug(request).await,
            _ => (),
        }
        let path = if path.starts_with("/quota/") { "/quota" } else { path };
        if let Some(refusal) = registry::refusal(path, request) {
            return refusal;
        }
        if let Some(kind) = operations::kind_of_path(path) {
            return self.operation(kind, request).await;
        }
        if maintenance::is_change(path, &request.method) {
            return self.maintenance(path, request).await;
        }
        if path == "/weights" && request.method == Method::PUT {
            return self.weights_put(request).await;
        }
        if path == "/quota" && request.method != Method::GET {
            return self.quota_change(request).await;
        }
        if let Some(refusal) = self.not_built(path, request) {
            return refusal;
        }
        if !matches!(path, "/roles" | "/redirect") && registry::methods_of(path).is_none() {
            return not_found();
        }
        let (machine, program) = (self.machine.clone(), Arc::clone(&self.common.program));
        document(machine, path.to_string(), request.clone(), program, None).await
    }

    async fn large_read(&self, path: &str, request: &Request) -> messor_net::Response {
        let (machine, program, path) =
            (self.machine.clone(), Arc::clone(&self.common.program), path.to_string());
        let what = format!("{} {}", request.method, request.target);
        self.large(what, JSON, request, |of, sink| document(machine, path, of, program, sink)).await
    }

    /// What grows with the cluster waits for its turn, is written for all who ask for the same, and is on its way before it is
    /// whole to who takes it so.
    async fn large<F>(
        &self,
        what: String,
        content_type: &'static str,
        request: &Request,
        write: impl FnOnce(Request, Option<Sink>) -> F + Send + 'static,
    ) -> messor_net::Response
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        // (What it may have for a body is not kept while it waits.)
        let of = Request { body: Bytes::new(), ..request.clone() };
        let in_pieces = takes_pieces(request);
        let answer = self.together.answer(format!("{what} {in_pieces}"), move |delivery| {
            write(of, in_pieces.then(|| delivery.sink(content_type)))
        });
        answer.await.unwrap_or_else(|| respond::whole(ending()))
    }

    /// An endpoint of the table that is not built: its methods are checked, then it says so.
    fn not_built(&self, path: &str, request: &Request) -> Option<Answer> {
        let full = format!("/{PROCESS}{path}");
        let endpoint = endpoints().find(|e| !e.built && (e.path == full || e.path == request.path))?;
        let used = request.method.as_str();
        if !endpoint.methods.is_empty() && !endpoint.methods.contains(&used) {
            return Some(method_not_allowed(&endpoint.methods.join(", "), &request.method));
        }
        Some(not_supported(endpoint.path))
    }

    async fn teardown(&self, request: &Request) -> Answer {
        if request.method != Method::POST {
            return method_not_allowed("POST", &request.method);
        }
        let body = String::from_utf8_lossy(&request.body);
        let form = match messor_codec::target::Query::parse(&body) {
            Ok(form) => form,
            Err(error) => return bad_request(format!("failed to read the form in the body: {error}")),
        };
        let Some(id) = form.get("frameworkId").filter(|id| !id.is_empty()) else {
            return bad_request("missing 'frameworkId' in the form of the body");
        };
        self.change(request, None, OperatorCall::Teardown { framework: FrameworkId::new(id) }).await
    }

    /// Asks the machine for a change and waits for its word.
    async fn change(&self, request: &Request, principal: Option<String>, call: OperatorCall) -> Answer {
        let (reply, answer) = self.gateway.request();
        self.machine.request(Event::Operator { reply: ReplyId(reply), principal, call });
        match answer.await {
            Ok(Reply::Outcome(outcome)) => answer_of(outcome, request),
            Ok(Reply::Stream(..)) | Err(_) => ending(),
        }
    }

    /// Does what the machine wants done at the HTTP side; gives back what is not for it.
    pub fn carry_out(&self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::StreamOpened { stream, reply } => self.gateway.open(stream.0, reply.0),
            Effect::Stream { stream, event } => {
                match event.subscribed.as_ref().and_then(|s| s.master_info.as_ref()) {
                    Some(info) => {
                        let mut shown = event.as_ref().clone();
                        if let Some(subscribed) = &mut shown.subscribed {
                            subscribed.master_info = Some(model::master_info(info));
                        }
                        self.gateway.send(stream.0, &shown);
                    }
                    None => self.gateway.send(stream.0, event.as_ref()),
                }
            }
            Effect::CloseStream { stream } => self.gateway.close(stream.0),
            Effect::Reply { reply, outcome } => self.gateway.reply(reply.0, outcome),
            Effect::OperatorStreamOpened { stream, reply, view } => {
                self.gateway.open_late(stream.0, reply.0);
                // At once, as in 1.11.0: whoever listens measures the interval from it.
                self.gateway.send(stream.0, &calls::heartbeat());
                self.send_snapshot(stream.0, view);
            }
            Effect::Publish { event } => self.gateway.publish(|media| record(event.as_ref(), media)),
            other => return Some(other),
        }
        None
    }

    /// The state of all there is takes a while to write: beside the machine, some at a time. As many wait as there may be operators
    /// (--max_operator_event_stream_subscribers).
    fn send_snapshot(&self, stream: u64, view: Arc<View>) {
        let Some(media) = self.gateway.media(stream) else { return };
        let gateway = Arc::clone(&self.gateway);
        let write = move || {
            let first = match media {
                MediaType::Json => reads::subscribed_json(&view, HEARTBEAT_INTERVAL_SECS),
                MediaType::Protobuf => binary::subscribed(&view, HEARTBEAT_INTERVAL_SECS),
            };
            gateway.send_first(stream, messor_codec::recordio::encode(&first).into());
        };
        let (gateway, turns) = (Arc::clone(&self.gateway), Arc::clone(&self.snapshots));
        tokio::spawn(async move {
            // (It is never closed.)
            let _turn = turns.acquire().await;
            if tokio::task::spawn_blocking(write).await.is_err() {
                gateway.lose(stream);
            }
        });
    }
}

/// A leader is of use once it has its registry, another master once it knows where to send everybody.
fn readiness(view: &View) -> Readiness {
    let (leads, leader) = (view.elected_time.is_some(), leader_of(view));
    let lacks = match (leads, &leader) {
        (true, _) if !view.recovered => Some("it leads, and has not recovered its registry yet"),
        (false, None) => Some("no master is known to lead"),
        _ => None,
    };
    let mut facts = vec![("leads", Fact::Flag(leads)), ("recovered", Fact::Flag(view.recovered))];
    facts.extend(leader.map(|leader| ("leader", Fact::Text(leader))));
    Readiness { lacks, facts }
}

pub(crate) fn ending() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "the master is ending")
}

pub(crate) fn answer_of(outcome: Outcome, request: &Request) -> Answer {
    match outcome {
        Outcome::Done => empty(StatusCode::OK),
        Outcome::Accepted => empty(StatusCode::ACCEPTED),
        Outcome::Invalid(words) => bad_request(words),
        Outcome::Forbidden(words) => text(StatusCode::FORBIDDEN, words),
        Outcome::NotFound(words) => text(StatusCode::NOT_FOUND, words),
        Outcome::Conflict(words) => text(StatusCode::CONFLICT, words),
        Outcome::NotLeading { leader } => redirect(leader.as_deref(), &request.target),
        Outcome::Unavailable(words) => text(StatusCode::SERVICE_UNAVAILABLE, words),
        Outcome::NotSupported(words) => text(StatusCode::NOT_IMPLEMENTED, words),
    }
}

/// `host:port` of the leading master.
pub(crate) fn leader_of(view: &View) -> Option<String> {
    view.leader.as_ref().map(|leader| format!("{}:{}", leader.hostname(), leader.port))
}

/// To the same target on the leading master, by the name it gives itself. Without a scheme, so that it stays the same.
pub(crate) fn redirect(leader: Option<&str>, target: &str) -> Answer {
    let Some(leader) = leader else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "no leader elected");
    };
    let mut answer = empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(value) = HeaderValue::from_str(&format!("//{leader}{target}")) {
        answer.headers_mut().insert(header::LOCATION, value);
    }
    answer
}
