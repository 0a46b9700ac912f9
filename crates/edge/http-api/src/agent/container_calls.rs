//! The calls of the v1 API about containers: nested and standalone ones are launched, waited for, killed, removed.
//!
//! Codes and words follow 1.11.0. It must not know how containers are run.

use std::ops::RangeInclusive;

use http::StatusCode;
use messor_agent_core::{ExecutorState, View};
use messor_proto::mesos::agent::response::{self, Type as Kind};
use messor_proto::mesos::agent::{Call, Response, call};
use messor_proto::mesos::slave::ContainerTermination;
use messor_proto::mesos::{ContainerId as WireContainerId, TaskResourceLimitation};
use messor_types::ContainerId;
use messor_validation::validate_container_call;

use super::container_source::{ContainerClass, ContainerError, ContainerLaunch, Launched};
use super::{AgentSite, calls::missing};
use crate::answer::{Answer, bad_request, empty, text};
use crate::call::respond;
use crate::request::MediaType;

/// What 1.11.0 sends where a call names no signal.
const SIGKILL: i32 = 9;

/// 0 asks whether a container can be signalled, and those without a name are Linux's last ones.
const SIGNALS: RangeInclusive<i32> = 0..=64;

impl AgentSite {
    /// Checks what the call says of containers.
    pub(super) fn check_container_call(call: &Call) -> Result<(), Answer> {
        validate_container_call(call)
            .map_err(|error| bad_request(format!("failed to validate agent::Call: {error}")))
    }

    /// The answer to a call about containers; None: it is about something else.
    pub(super) async fn container_call(
        &self,
        call: Call,
        media: MediaType,
    ) -> Option<Result<Answer, Answer>> {
        use call::Type;
        let kind = call.r#type();
        // That the field of the type is there was checked before.
        Some(match kind {
            Type::LaunchNestedContainer | Type::LaunchContainer => match launch_of(call) {
                Some(launch) => self.launch(launch).await,
                None => Err(missing("launch_container")),
            },
            Type::WaitNestedContainer => {
                let wait = call.wait_nested_container?;
                self.wait(&wait.container_id, true, media).await
            }
            Type::WaitContainer => self.wait(&call.wait_container?.container_id, false, media).await,
            Type::KillNestedContainer => {
                let kill = call.kill_nested_container?;
                self.kill(&kill.container_id, kill.signal).await
            }
            Type::KillContainer => {
                let kill = call.kill_container?;
                self.kill(&kill.container_id, kill.signal).await
            }
            Type::RemoveNestedContainer => self.remove(&call.remove_nested_container?.container_id).await,
            Type::RemoveContainer => self.remove(&call.remove_container?.container_id).await,
            _ => return None,
        })
    }

    async fn launch(&self, launch: ContainerLaunch) -> Result<Answer, Answer> {
        let id = launch.id.clone();
        tracing::info!("launching container {id}");
        match self.containers.launch(launch).await {
            Ok(Launched::Started) => Ok(empty(StatusCode::OK)),
            Ok(Launched::AlreadyExists) => Ok(empty(StatusCode::ACCEPTED)),
            Err(error) => {
                tracing::warn!("container {id} was not launched: {error}");
                Err(refusal_of_launch(&error))
            }
        }
    }

    async fn wait(&self, id: &WireContainerId, nested: bool, media: MediaType) -> Result<Answer, Answer> {
        let id = ContainerId::from(id);
        match self.containers.wait(&id).await {
            Some(termination) => Ok(respond(&waited(termination, nested), media)),
            None => Err(cannot_be_found(&id)),
        }
    }

    async fn kill(&self, id: &WireContainerId, signal: Option<i32>) -> Result<Answer, Answer> {
        let id = ContainerId::from(id);
        let signal = signal.unwrap_or(SIGKILL);
        if !SIGNALS.contains(&signal) {
            let (first, last) = (SIGNALS.start(), SIGNALS.end());
            return Err(bad_request(format!("'signal' is {signal}: signals are {first} to {last}")));
        }
        match self.containers.kill(&id, signal).await {
            Ok(true) => Ok(empty(StatusCode::OK)),
            Ok(false) => Err(text(
                StatusCode::NOT_FOUND,
                format!("Container '{id}' cannot be found (or is already killed)"),
            )),
            Err(error) => Err(refusal(&error)),
        }
    }

    async fn remove(&self, id: &WireContainerId) -> Result<Answer, Answer> {
        let id = ContainerId::from(id);
        match self.containers.remove(&id).await {
            Ok(()) => Ok(empty(StatusCode::OK)),
            Err(error) => Err(refusal(&error)),
        }
    }
}

/// Whether the container is an executor's or in one.
pub(super) fn is_of_executor(view: &View, id: &ContainerId) -> bool {
    let executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
    executors.filter(|e| e.state != ExecutorState::Terminated).any(|e| e.container == *id.root())
}

pub(super) fn cannot_be_found(id: &ContainerId) -> Answer {
    text(StatusCode::NOT_FOUND, format!("Container {id} cannot be found"))
}

/// Why a launch failed is most often the fault of what was asked: 1.11.0 answers 400 to all of it.
pub(super) fn refusal_of_launch(error: &ContainerError) -> Answer {
    match error {
        ContainerError::NotSupported(_) => text(StatusCode::NOT_IMPLEMENTED, error.to_string()),
        _ => bad_request(error.to_string()),
    }
}

pub(super) fn refusal(error: &ContainerError) -> Answer {
    let status = match error {
        ContainerError::Invalid(_) => StatusCode::BAD_REQUEST,
        ContainerError::NotFound(_) => StatusCode::NOT_FOUND,
        ContainerError::NotSupported(_) => StatusCode::NOT_IMPLEMENTED,
        ContainerError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(status, error.to_string())
}

/// What a call wants launched.
pub(super) fn launch_of(call: Call) -> Option<ContainerLaunch> {
    if let Some(launch) = call.launch_nested_container {
        return Some(ContainerLaunch {
            id: (&launch.container_id).into(),
            command: launch.command.unwrap_or_default(),
            container: launch.container,
            resources: Vec::new(),
            limits: Default::default(),
            class: ContainerClass::Default,
        });
    }
    if let Some(session) = call.launch_nested_container_session {
        return Some(ContainerLaunch {
            id: (&session.container_id).into(),
            command: session.command.unwrap_or_default(),
            container: session.container,
            resources: Vec::new(),
            limits: Default::default(),
            class: ContainerClass::Debug,
        });
    }
    call.launch_container.map(|launch| ContainerLaunch {
        id: (&launch.container_id).into(),
        command: launch.command.unwrap_or_default(),
        container: launch.container,
        resources: launch.resources,
        limits: launch.limits,
        class: ContainerClass::Default,
    })
}

fn waited(termination: ContainerTermination, nested: bool) -> Response {
    let ContainerTermination { status, state, reason, message, limited_resources } = termination;
    let limitation =
        (!limited_resources.is_empty()).then_some(TaskResourceLimitation { resources: limited_resources });
    if nested {
        let wait = response::WaitNestedContainer { exit_status: status, state, reason, limitation, message };
        return Response {
            r#type: Some(Kind::WaitNestedContainer.into()),
            wait_nested_container: Some(wait),
            ..Response::default()
        };
    }
    let wait = response::WaitContainer { exit_status: status, state, reason, limitation, message };
    Response { r#type: Some(Kind::WaitContainer.into()), wait_container: Some(wait), ..Response::default() }
}
