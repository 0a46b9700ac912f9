//! What an agent answers: routing, executors' calls and streams, the operator API.

mod attaching;
mod calls;
mod container_calls;
mod container_source;
mod containers;
mod resource_providers;
pub mod state;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Method, StatusCode};
use messor_agent_core::{Effect, Event, Outcome, ReplyId, StreamId, View};
use messor_proto::mesos::executor::{Call, call};
use messor_proto::mesos::{ContainerStatus, ResourceStatistics, TaskStatus};
use messor_types::ContainerId;

use crate::answer::{Answer, bad_request, empty, json, method_not_allowed, not_found, not_supported, text};
use crate::call::{accepted, decode};
use crate::common::Common;
use crate::endpoints::endpoints;
use crate::gateway::{Gateway, Reply};
use crate::health::{self, Fact, Readiness};
use crate::machine::Machine;
use crate::request::Request;
use crate::respond;

pub use container_source::{
    Answering, ContainerClass, ContainerError, ContainerLaunch, ContainerSource, Launched, NoContainers,
};

/// What the containerizer knows of a container at this moment; either may fail while a container comes or goes.
#[derive(Clone, Debug, Default)]
pub struct ContainerUsage {
    pub status: Option<ContainerStatus>,
    pub statistics: Option<ResourceStatistics>,
    /// The container, or the outermost one around it, was launched by an operator and is of no executor.
    pub standalone: bool,
}

pub type Usage = BTreeMap<ContainerId, ContainerUsage>;

pub trait UsageSource: Send + Sync {
    /// Of all containers, nested and standalone ones too, by one look.
    fn usage(&self) -> Pin<Box<dyn Future<Output = Usage> + Send + '_>>;

    /// What is being done to containers at this moment: the step, and to which.
    fn pending(&self) -> Vec<(ContainerId, String)> {
        Vec::new()
    }
}

/// The HTTP side of an agent.
pub struct AgentSite {
    common: Common,
    machine: Machine<Event, View>,
    gateway: Arc<Gateway<Outcome>>,
    usage: Arc<dyn UsageSource>,
    containers: Arc<dyn ContainerSource>,
    /// `slave(1)`: its libprocess id, and the first part of the paths of its endpoints.
    process: String,
}

impl AgentSite {
    pub fn new(
        common: Common,
        machine: Machine<Event, View>,
        usage: Arc<dyn UsageSource>,
        containers: Arc<dyn ContainerSource>,
        process: impl Into<String>,
    ) -> AgentSite {
        let teller = machine.clone();
        let gateway =
            Gateway::new(move |stream| teller.event(Event::StreamClosed { stream: StreamId(stream) }));
        AgentSite { common, machine, gateway, usage, containers, process: process.into() }
    }

    /// Whether the path names this agent's process, when several share a port.
    pub fn owns(&self, path: &str) -> bool {
        path.strip_prefix('/')
            .and_then(|p| p.strip_prefix(self.process.as_str()))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The endpoints that belong to no process, where a port serves several.
    pub async fn shared(&self, request: &Request) -> Option<messor_net::Response> {
        match self.common.download(request) {
            Some(response) => Some(response),
            None => self.common.handle(request).await.map(respond::whole),
        }
    }

    pub async fn handle(&self, request: Request) -> messor_net::Response {
        if let Some(response) = self.shared(&request).await {
            return response;
        }
        // `/state` is short for `/slave(1)/state`.
        let path = match self.owns(&request.path) {
            true => &request.path[self.process.len() + 1..],
            false => &request.path,
        };
        // The older name of a read; of this one a probe of 1.11.0 has 404.
        let older = path.strip_suffix(".json").filter(|path| *path != "/monitor/statistics");
        let path = older.unwrap_or(path);
        if let Some(answer) =
            health::answer(&request, path, self.machine.view(), |view| readiness(view)).await
        {
            return respond::whole(answer);
        }
        match path {
            "/api/v1" => match self.recovered_view().await {
                Ok(_) => self.operator_call(&request).await.unwrap_or_else(respond::whole),
                Err(refusal) => respond::whole(refusal),
            },
            "/api/v1/executor" => match self.executor_call(&request).await {
                Ok(response) => response,
                Err(refusal) => respond::whole(refusal),
            },
            "/api/v1/resource_provider" => respond::whole(resource_providers::answer(&request)),
            _ => respond::whole(self.read(path, &request).await),
        }
    }

    async fn read(&self, path: &str, request: &Request) -> Answer {
        match path {
            "/health" => return empty(StatusCode::OK),
            "/flags" => return self.common.flags(request),
            "/containerizer/debug" => {
                return match request.method {
                    Method::GET => self.pending(request),
                    _ => method_not_allowed("GET", &request.method),
                };
            }
            "/containers" | "/monitor/statistics" => {
                let Some(view) = self.machine.view().await else { return ending() };
                return if path == "/containers" {
                    self.containers(&view, request).await
                } else {
                    self.statistics(&view, request).await
                };
            }
            "/state" => (),
            _ => return self.not_built(path, request).unwrap_or_else(not_found),
        }
        let view = match self.recovered_view().await {
            Ok(view) => view,
            Err(refusal) => return refusal,
        };
        let program = Arc::clone(&self.common.program);
        match tokio::task::spawn_blocking(move || state::state(&view, &program)).await {
            Ok(body) => json(request, body),
            Err(_) => ending(),
        }
    }

    /// Until an agent has taken up its past, what is known may be less than what runs.
    async fn recovered_view(&self) -> Result<Arc<View>, Answer> {
        let view = self.machine.view().await.ok_or_else(ending)?;
        if view.recovering {
            return Err(text(StatusCode::SERVICE_UNAVAILABLE, "the agent has not finished recovery"));
        }
        Ok(view)
    }

    fn not_built(&self, path: &str, request: &Request) -> Option<Answer> {
        let full = format!("/slave(1){path}");
        let endpoint = endpoints().find(|e| !e.built && e.path == full)?;
        if !endpoint.methods.contains(&request.method.as_str()) {
            return Some(method_not_allowed(&endpoint.methods.join(", "), &request.method));
        }
        if request.method == Method::POST && request.content_type().is_none() {
            return Some(bad_request("expecting 'Content-Type' to be present"));
        }
        Some(not_supported(endpoint.path))
    }

    /// The v1 executor API.
    async fn executor_call(&self, request: &Request) -> Result<messor_net::Response, Answer> {
        let call: Call = decode(request)?;
        let kind = call.r#type();
        if call.r#type.is_none() || kind == call::Type::Unknown {
            return Err(bad_request("failed to validate executor::Call: 'type' is missing or no known call"));
        }
        let missing = match kind {
            call::Type::Subscribe if call.subscribe.is_none() => Some("subscribe"),
            call::Type::Update if call.update.is_none() => Some("update"),
            call::Type::Message if call.message.is_none() => Some("message"),
            _ => None,
        };
        if let Some(field) = missing {
            return Err(bad_request(format!(
                "failed to validate executor::Call: expecting '{field}' to be present"
            )));
        }
        let (reply, answer) = self.gateway.request();
        let reply = ReplyId(reply);
        let mut call = Box::new(call);
        if kind == call::Type::Subscribe {
            let media = accepted(request)?;
            let stream = self.gateway.prepare(media, false);
            self.machine.request(Event::Subscribe { stream: StreamId(stream), reply, call });
            return match answer.await {
                Ok(Reply::Stream(body, _)) => Ok(respond::stream(body, media, None)),
                Ok(Reply::Outcome(outcome)) => {
                    self.gateway.forget(stream);
                    Err(answer_of(outcome))
                }
                Err(_) => Err(ending()),
            };
        }
        if let Some(update) = &mut call.update {
            self.add_nested_status(&mut update.status).await;
        }
        self.machine.request(Event::ExecutorCall { reply, call });
        match answer.await {
            Ok(Reply::Outcome(outcome)) => Ok(respond::whole(answer_of(outcome))),
            Ok(Reply::Stream(..)) | Err(_) => Err(ending()),
        }
    }

    /// Of a task in a container of its own the agent's machine knows nothing but what its executor says.
    async fn add_nested_status(&self, status: &mut TaskStatus) {
        let Some(given) = &mut status.container_status else { return };
        let nested = given.container_id.as_ref().filter(|id| id.parent.is_some());
        let Some(id) = nested.filter(|_| given.executor_pid.is_none()).map(ContainerId::from) else { return };
        if let Some(found) = self.containers.status(&id).await {
            given.executor_pid = found.executor_pid;
            if given.network_infos.is_empty() {
                given.network_infos = found.network_infos;
            }
            given.cgroup_info = given.cgroup_info.take().or(found.cgroup_info);
        }
    }

    /// Does what the machine wants done at the HTTP side; gives back what is not for it.
    pub fn carry_out(&self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::StreamOpened { stream, reply } => self.gateway.open(stream.0, reply.0),
            Effect::Stream { stream, event } => self.gateway.send(stream.0, event.as_ref()),
            Effect::CloseStream { stream } => self.gateway.close(stream.0),
            Effect::Reply { reply, outcome } => self.gateway.reply(reply.0, outcome),
            other => return Some(other),
        }
        None
    }
}

/// An agent is of use once a master has it registered.
fn readiness(view: &View) -> Readiness {
    let lacks = match (view.recovering, view.registered) {
        (true, _) => Some("it has not recovered yet what was there before"),
        (false, false) => Some("no master has it registered"),
        (false, true) => None,
    };
    let mut facts =
        vec![("recovered", Fact::Flag(!view.recovering)), ("registered", Fact::Flag(view.registered))];
    let leader = view.leader.as_ref().map(|leader| format!("{}:{}", leader.hostname(), leader.port));
    facts.extend(leader.map(|leader| ("leader", Fact::Text(leader))));
    Readiness { lacks, facts }
}

pub(crate) fn ending() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending")
}

fn answer_of(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Accepted => empty(StatusCode::ACCEPTED),
        Outcome::Invalid(words) => bad_request(words),
        Outcome::Forbidden(words) => text(StatusCode::FORBIDDEN, words),
        Outcome::Unavailable(words) => text(StatusCode::SERVICE_UNAVAILABLE, words),
        Outcome::NotSupported(words) => text(StatusCode::NOT_IMPLEMENTED, words),
    }
}
