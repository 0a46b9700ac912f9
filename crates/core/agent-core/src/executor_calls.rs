//! The HTTP API of executors, after http-api read a call: subscriptions, updates, messages, heartbeats.

use std::sync::Arc;

use messor_proto::mesos::executor::{self, call, event};
use messor_proto::mesos::internal::ExecutorToFrameworkMessage;
use messor_proto::mesos::task_status::{Reason, Source};
use messor_proto::mesos::{TaskState, TaskStatus};
use messor_stdx::Duration;
use messor_types::{ExecutorId, FrameworkId, TaskId};

use crate::agent::{Agent, State};
use crate::effect::{Effect, Outcome};
use crate::event::{ReplyId, StreamId, Timer};
use crate::executor::Channel;
use crate::record::Connection;
use crate::status::Sender;
use crate::tasks::{AgentUpdate, unless_lost, update_from_status};
use crate::turn::Turn;
use crate::view::ExecutorState;

/// Between two heartbeats on an executor's stream.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// What is wrong with a call of an executor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum CallError {
    #[error("Failed to validate Executor::Call: Expecting '{0}' to be present")]
    Missing(&'static str),
    #[error("Failed to validate Executor::Call: 'update.status.uuid' must have 16 bytes; it has {0}")]
    Uuid(usize),
    #[error(
        "Failed to validate Executor::Call: ExecutorID in Call: {call} does not match ExecutorID in TaskStatus: {status}"
    )]
    ExecutorId { call: String, status: String },
    #[error("Failed to validate Executor::Call: 'update.status.source' must be SOURCE_EXECUTOR")]
    Source,
    #[error("Failed to validate Executor::Call: 'update.status.state' must not be TASK_STAGING")]
    Staging,
    #[error("Framework cannot be found")]
    Framework,
    #[error("Executor cannot be found")]
    Executor,
}

impl From<CallError> for Outcome {
    fn from(error: CallError) -> Outcome {
        Outcome::Invalid(error.to_string())
    }
}

impl Agent {
    pub(crate) fn subscribe(
        &mut self,
        turn: &mut Turn<'_>,
        stream: StreamId,
        reply: ReplyId,
        call: &executor::Call,
    ) {
        let found = check_call(call).and_then(|()| self.find(call));
        let (framework, id) = match found {
            Ok(found) => found,
            Err(error) => return turn.reply(reply, error.into()),
        };
        let Some(subscribe) = call.subscribe.as_ref().filter(|_| call.r#type() == call::Type::Subscribe)
        else {
            return turn.reply(reply, CallError::Missing("subscribe").into());
        };
        turn.info(format!("Received SUBSCRIBE of executor '{id}' of framework {framework}"));
        turn.effect(Effect::StreamOpened { stream, reply });
        let terminating = self.frameworks.get(&framework).is_none_or(|framework| framework.terminating);
        let state = self.executor(&framework, &id).map(|executor| executor.state);
        let expected = matches!(state, Some(ExecutorState::Registering | ExecutorState::Running));
        if !expected || terminating || self.state == State::Terminating {
            turn.warning(format!(
                "Shutting down executor '{id}' of framework {framework}: it is not awaited"
            ));
            let shutdown =
                executor::Event { r#type: Some(event::Type::Shutdown.into()), ..executor::Event::default() };
            turn.effect(Effect::Stream { stream, event: Arc::new(shutdown) });
            turn.effect(Effect::CloseStream { stream });
            return;
        }
        self.detach(turn, &framework, &id);
        self.streams.insert(stream, (framework.clone(), id.clone()));
        let next_heartbeat = turn.now + HEARTBEAT_INTERVAL;
        self.attach(turn, &framework, &id, Channel::Http { stream, next_heartbeat });
        self.persist_connection(turn, &framework, &id, Connection::Http);
        self.set_heartbeat_timer(turn);

        let updates = &subscribe.unacknowledged_updates;
        let known = subscribe.unacknowledged_tasks.iter().map(|task| TaskId::from(&task.task_id));
        let known = known.chain(updates.iter().map(|update| TaskId::from(&update.status.task_id)));
        self.drop_unknown_to_executor(turn, &framework, &id, &known.collect::<Vec<_>>());
        if updates.is_empty() && self.shut_down_if_nothing_to_do(turn, &framework, &id) {
            return;
        }
        let (Some(found), Some(executor)) = (self.frameworks.get(&framework), self.executor(&framework, &id))
        else {
            return;
        };
        let subscribed = event::Subscribed {
            executor_info: executor.info.as_ref().clone(),
            framework_info: found.info.as_ref().clone(),
            agent_info: self.info.as_ref().clone(),
            container_id: Some((&executor.container).into()),
        };
        let event = executor::Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(subscribed),
            ..executor::Event::default()
        };
        turn.effect(Effect::Stream { stream, event: Arc::new(event) });
        // Those that are on disk already are acknowledged at once: SUBSCRIBED comes before that.
        for update in updates {
            self.executor_update(turn, &framework, &id, &update.status);
        }
        self.send_waiting_kills(turn, &framework, &id);
        self.update_container(turn, &framework, &id);
        self.send_queued(turn, &framework, &id);
    }

    pub(crate) fn executor_call(&mut self, turn: &mut Turn<'_>, reply: ReplyId, call: &executor::Call) {
        if let Err(error) = check_call(call) {
            return turn.reply(reply, error.into());
        }
        // Heartbeats may come with ids that mean nothing.
        if call.r#type() == call::Type::Heartbeat {
            return turn.reply(reply, Outcome::Accepted);
        }
        let (framework, id) = match self.find(call) {
            Ok(found) => found,
            Err(error) => return turn.reply(reply, error.into()),
        };
        let state = self.executor(&framework, &id).map(|executor| executor.state);
        if state == Some(ExecutorState::Registering) {
            return turn.reply(reply, Outcome::Forbidden("Executor is not subscribed".to_string()));
        }
        match (call.r#type(), &call.update, &call.message) {
            (call::Type::Update, Some(update), _) => {
                turn.reply(reply, Outcome::Accepted);
                self.executor_update(turn, &framework, &id, &update.status);
            }
            (call::Type::Message, _, Some(message)) => {
                turn.reply(reply, Outcome::Accepted);
                let message = ExecutorToFrameworkMessage {
                    agent_id: (&self.own_id()).into(),
                    framework_id: (&framework).into(),
                    executor_id: (&id).into(),
                    data: message.data.clone(),
                };
                self.message_to_framework(turn, message);
            }
            (call::Type::Subscribe, ..) => {
                let text = "SUBSCRIBE came without a stream to answer on".to_string();
                turn.reply(reply, Outcome::Invalid(text));
            }
            _ => {
                let text = "Received a call of unknown type".to_string();
                turn.reply(reply, Outcome::NotSupported(text));
            }
        }
    }

    fn executor_update(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        status: &TaskStatus,
    ) {
        let update = update_from_status(framework, &self.own_id(), status, turn.now);
        self.executor_says(turn, update, Sender::Http(id.clone()));
    }

    fn find(&self, call: &executor::Call) -> Result<(FrameworkId, ExecutorId), CallError> {
        let (framework, id) = (FrameworkId::from(&call.framework_id), ExecutorId::from(&call.executor_id));
        if !self.frameworks.contains_key(&framework) {
            return Err(CallError::Framework);
        }
        self.executor(&framework, &id).ok_or(CallError::Executor)?;
        Ok((framework, id))
    }

    /// Tasks that the agent gave to an executor and that it does not know never arrived there.
    pub(crate) fn drop_unknown_to_executor(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        known: &[TaskId],
    ) {
        let Some(found) = self.frameworks.get(framework) else {
            return;
        };
        let state = unless_lost(&found.info, TaskState::TaskDropped);
        let launched = found.executors.get(id).into_iter().flat_map(|executor| &executor.launched);
        let unknown: Vec<TaskId> = launched
            .filter(|(task, found)| found.state() == TaskState::TaskStaging && !known.contains(task))
            .map(|(task, _)| task.clone())
            .collect();
        for task in unknown {
            self.agent_update(
                turn,
                AgentUpdate {
                    framework,
                    executor: Some(id),
                    task: &task,
                    state,
                    reason: Reason::AgentRestarted,
                    message: "Task launched during agent restart".to_string(),
                },
            );
        }
    }

    /// Sends an event to an executor that has a stream; to any other it is lost.
    pub(crate) fn stream_event(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        event: executor::Event,
    ) {
        match self.executor(framework, id).map(|executor| &executor.channel) {
            Some(Channel::Http { stream, .. }) => {
                turn.effect(Effect::Stream { stream: *stream, event: Arc::new(event) });
            }
            _ => turn.warning(format!(
                "Cannot send {} to executor '{id}' of framework {framework}: it is not connected",
                event.r#type().as_str_name()
            )),
        }
    }

    /// The executor's channel is of no use any more.
    pub(crate) fn detach(&mut self, turn: &mut Turn<'_>, framework: &FrameworkId, id: &ExecutorId) {
        let Some(executor) = self.executor_mut(framework, id) else {
            return;
        };
        match std::mem::replace(&mut executor.channel, Channel::None) {
            Channel::None => {}
            Channel::Http { stream, .. } => {
                self.streams.remove(&stream);
                turn.effect(Effect::CloseStream { stream });
            }
            Channel::Driver(pid) => turn.effect(Effect::Unlink { pid }),
        }
    }

    pub(crate) fn stream_closed(&mut self, turn: &mut Turn<'_>, stream: StreamId) {
        let Some((framework, id)) = self.streams.remove(&stream) else {
            return;
        };
        turn.info(format!("The stream of executor '{id}' of framework {framework} is closed"));
        if let Some(executor) = self.executor_mut(&framework, &id) {
            executor.channel = Channel::None;
        }
    }

    pub(crate) fn heartbeat(&mut self, turn: &mut Turn<'_>) {
        let event = Arc::new(executor::Event {
            r#type: Some(event::Type::Heartbeat.into()),
            ..executor::Event::default()
        });
        for executor in self.frameworks.values_mut().flat_map(|framework| framework.executors.values_mut()) {
            if let Channel::Http { stream, next_heartbeat } = &mut executor.channel
                && *next_heartbeat <= turn.now
            {
                *next_heartbeat = turn.now + HEARTBEAT_INTERVAL;
                turn.effect(Effect::Stream { stream: *stream, event: event.clone() });
            }
        }
        self.set_heartbeat_timer(turn);
    }

    /// One timer for all streams: the next one that is due.
    fn set_heartbeat_timer(&self, turn: &mut Turn<'_>) {
        let executors = self.frameworks.values().flat_map(|framework| framework.executors.values());
        let due = executors.filter_map(|executor| match executor.channel {
            Channel::Http { next_heartbeat, .. } => Some(next_heartbeat),
            _ => None,
        });
        if let Some(at) = due.min() {
            turn.set_timer(Timer::Heartbeat, at);
        }
    }
}

/// Whether each call has what its type needs.
fn check_call(call: &executor::Call) -> Result<(), CallError> {
    if call.r#type.is_none() {
        return Err(CallError::Missing("type"));
    }
    match call.r#type() {
        call::Type::Subscribe if call.subscribe.is_none() => Err(CallError::Missing("subscribe")),
        call::Type::Message if call.message.is_none() => Err(CallError::Missing("message")),
        call::Type::Update => {
            let status = &call.update.as_ref().ok_or(CallError::Missing("update"))?.status;
            check_status(&call.executor_id.value, status)
        }
        _ => Ok(()),
    }
}

fn check_status(executor: &str, status: &TaskStatus) -> Result<(), CallError> {
    let uuid = status.uuid.as_ref().ok_or(CallError::Missing("uuid"))?;
    if uuid.len() != 16 {
        return Err(CallError::Uuid(uuid.len()));
    }
    if let Some(id) = &status.executor_id
        && id.value != executor
    {
        return Err(CallError::ExecutorId { call: executor.to_string(), status: id.value.clone() });
    }
    if status.source() != Source::Executor {
        return Err(CallError::Source);
    }
    if status.state() == TaskState::TaskStaging {
        return Err(CallError::Staging);
    }
    Ok(())
}
