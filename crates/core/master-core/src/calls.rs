//! Calls of schedulers, whichever way they come: who may make them, and which part of the master they are for.

use std::collections::BTreeSet;

use messor_allocator::Event as Allocation;
use messor_proto::mesos::KillPolicy;
use messor_proto::mesos::allocator::inverse_offer_status::Status as InverseOfferAnswer;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{Call, call};
use messor_types::{AgentId, FrameworkId, Pid, Role, TaskId, validate_role};
use messor_validation::validate_scheduler_call;

use crate::effect::Outcome;
use crate::event::{ReplyId, StreamId};
use crate::master::Master;
use crate::notice::Notice;
use crate::turn::Turn;

impl Master {
    /// A call by HTTP that opens no stream.
    pub(crate) fn scheduler_call(
        &mut self,
        turn: &mut Turn<'_>,
        reply: ReplyId,
        principal: Option<String>,
        stream: Option<StreamId>,
        call: Call,
    ) {
        let outcome = match self.check_http_call(principal.as_deref(), stream, &call) {
            Ok(id) => self.perform(turn, &id, call),
            Err(outcome) => outcome,
        };
        turn.reply(reply, outcome);
    }

    fn check_http_call(
        &mut self,
        principal: Option<&str>,
        stream: Option<StreamId>,
        call: &Call,
    ) -> Result<FrameworkId, Outcome> {
        validate_scheduler_call(call, principal).map_err(|error| Outcome::Invalid(error.to_string()))?;
        let invalid = |text: &str| Outcome::Invalid(text.to_string());
        let id = call.framework_id.as_ref().map(FrameworkId::from);
        let id = id.ok_or_else(|| invalid("expecting 'framework_id' to be present"))?;
        let framework = self.frameworks.get_mut(&id).ok_or_else(|| invalid("framework cannot be found"))?;
        framework.counting.counts.calls.add(call.r#type(), 1);
        if let Some(principal) = principal
            && framework.record.principal.as_deref() != Some(principal)
        {
            return Err(Outcome::Invalid(format!(
                "the principal '{principal}' is not that of framework {id}"
            )));
        }
        if !framework.connected() {
            return Err(Outcome::Forbidden("framework is not subscribed".to_string()));
        }
        let Some(current) = framework.stream else {
            return Err(Outcome::Forbidden("framework is not connected by HTTP".to_string()));
        };
        if stream != Some(current) {
            return Err(Outcome::Invalid(format!(
                "the header 'Mesos-Stream-Id' must be that of the current subscription of framework {id}"
            )));
        }
        Ok(id)
    }

    /// A call of a driver.
    pub(crate) fn driver_call(&mut self, turn: &mut Turn<'_>, from: &Pid, call: Call) {
        let kind = call.r#type();
        let drop = |turn: &mut Turn<'_>, reason: &str| {
            turn.warning(format!("dropping {} of the driver at {from}: {reason}", kind.as_str_name()));
        };
        if let Err(error) = validate_scheduler_call(&call, None) {
            return drop(turn, &error.to_string());
        }
        if let (call::Type::Subscribe, Some(subscribe)) = (kind, call.subscribe.clone()) {
            return self.subscribe_by_driver(turn, from, subscribe);
        }
        if matches!(kind, call::Type::AcknowledgeOperationStatus | call::Type::ReconcileOperations) {
            return drop(turn, "drivers have no operation feedback: use the HTTP API");
        }
        let id = FrameworkId::from(call.framework_id.as_ref().map_or("", |id| id.value.as_str()));
        if self.framework_of(from, &id).is_ok() {
            self.count_call(&id, kind);
        }
        match self.framework_of(from, &id) {
            Err(reason) => drop(turn, &reason),
            Ok(framework) if !framework.connected() => {
                let message = "framework disconnected".to_string();
                turn.send(from, &wire::FrameworkErrorMessage { message });
            }
            Ok(_) => {
                if let Outcome::Invalid(message) = self.perform(turn, &id, call) {
                    turn.send(from, &wire::FrameworkErrorMessage { message });
                }
            }
        }
    }

    /// Carries out a call that was checked.
    fn perform(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, call: Call) -> Outcome {
        use call::Type;
        match call.r#type() {
            Type::Teardown => self.teardown(turn, id),
            Type::Accept => self.accept(turn, id, call.accept.unwrap_or_default()),
            Type::Decline => self.decline(turn, id, call.decline.unwrap_or_default()),
            Type::AcceptInverseOffers => {
                let call = call.accept_inverse_offers.unwrap_or_default();
                let ids = &call.inverse_offer_ids;
                self.answer_inverse_offers(turn, id, ids, call.filters, InverseOfferAnswer::Accept);
            }
            Type::DeclineInverseOffers => {
                let call = call.decline_inverse_offers.unwrap_or_default();
                let ids = &call.inverse_offer_ids;
                self.answer_inverse_offers(turn, id, ids, call.filters, InverseOfferAnswer::Decline);
            }
            Type::Revive => self.revive(turn, id, &call.revive.unwrap_or_default().roles),
            Type::Suppress => self.suppress(turn, id, &call.suppress.unwrap_or_default().roles),
            Type::Kill => self.kill(turn, id, call.kill.unwrap_or_default()),
            Type::Shutdown => self.shutdown(turn, id, call.shutdown.unwrap_or_default()),
            Type::Acknowledge => self.acknowledge(turn, id, call.acknowledge.unwrap_or_default()),
            Type::AcknowledgeOperationStatus => {
                self.acknowledge_operation(turn, id, call.acknowledge_operation_status.unwrap_or_default());
            }
            Type::Reconcile => self.reconcile(turn, id, &call.reconcile.unwrap_or_default().tasks),
            Type::ReconcileOperations => {
                self.reconcile_operations(turn, id, call.reconcile_operations.unwrap_or_default().operations);
            }
            Type::Message => self.send_to_executor(turn, id, call.message.unwrap_or_default()),
            Type::Request => self.request(turn, id),
            Type::UpdateFramework => {
                return self.update_framework_call(turn, id, call.update_framework.unwrap_or_default());
            }
            Type::Subscribe | Type::Unknown => {
                return Outcome::NotSupported("the type of the call is not known".to_string());
            }
        }
        Outcome::Accepted
    }

    /// REVIVE, of some roles or of all (U054).
    pub(crate) fn revive(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, roles: &[String]) {
        self.counters.messages_revive_offers.increment();
        let Some(roles) = self.own_roles(turn, id, roles, "REVIVE") else { return };
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let revived = |role: &String| roles.is_empty() || roles.contains(role.as_str());
        framework.change().suppressed_roles.retain(|role| !revived(role));
        turn.allocator(Allocation::ReviveOffers { framework_id: id.clone(), roles });
    }

    /// SUPPRESS, of some roles or of all (U054, U091).
    pub(crate) fn suppress(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, roles: &[String]) {
        self.counters.messages_suppress_offers.increment();
        let Some(roles) = self.own_roles(turn, id, roles, "SUPPRESS") else { return };
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let all = framework.roles.clone();
        let suppressed: Vec<String> =
            if roles.is_empty() { &all } else { &roles }.iter().map(Role::to_string).collect();
        let known = &mut framework.change().suppressed_roles;
        for role in suppressed {
            if !known.contains(&role) {
                known.push(role);
            }
        }
        turn.allocator(Allocation::SuppressOffers { framework_id: id.clone(), roles });
    }

    fn own_roles(
        &self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        roles: &[String],
        call: &str,
    ) -> Option<BTreeSet<Role>> {
        let framework = self.frameworks.get(id)?;
        let mut own = BTreeSet::new();
        for role in roles {
            let problem = match validate_role(role) {
                Err(error) => error.to_string(),
                Ok(()) if !framework.roles.contains(role.as_str()) => format!("it has no role '{role}'"),
                Ok(()) => {
                    own.insert(Role::new(role));
                    continue;
                }
            };
            turn.warning(format!("dropping {call} of framework {id}: {problem}"));
            return None;
        }
        Some(own)
    }

    pub(crate) fn request(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        self.counters.messages_resource_request.increment();
        turn.allocator(Allocation::RequestResources { framework_id: id.clone() });
    }

    pub(crate) fn kill(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, kill: call::Kill) {
        self.counters.messages_kill_task.increment();
        let task_id = TaskId::from(&kill.task_id);
        let task = self.frameworks.get(id).and_then(|framework| framework.tasks.get(&task_id));
        let Some(agent_id) = task.map(|entry| AgentId::from(&entry.task.agent_id)) else {
            turn.info(format!(
                "framework {id} kills task {task_id}, which is not known: answering with its state"
            ));
            let task = call::reconcile::Task { task_id: kill.task_id, agent_id: kill.agent_id };
            return self.reconcile(turn, id, &[task]);
        };
        if let Some(other) = kill.agent_id.filter(|other| other.value != agent_id.as_str()) {
            let other = other.value;
            return turn.warning(format!(
                "not killing task {task_id} of framework {id}: it runs on {agent_id}, not on {other}"
            ));
        }
        self.send_kill(turn, id, &agent_id, &task_id, kill.kill_policy);
    }

    /// Tells a task's agent to kill it. Without a policy its own holds.
    pub(crate) fn send_kill(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        agent_id: &AgentId,
        task_id: &TaskId,
        kill_policy: Option<KillPolicy>,
    ) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        // Kept until the task is gone: an agent that comes back is told again.
        agent.killed.insert((id.clone(), task_id.clone()));
        if !agent.connected {
            return turn.info(format!(
                "agent {agent_id} is disconnected: task {task_id} is killed when it comes back"
            ));
        }
        turn.info(format!("killing task {task_id} of framework {id} on agent {agent_id}"));
        let message = wire::KillTaskMessage { framework_id: id.into(), task_id: task_id.into(), kill_policy };
        turn.send(&agent.pid, &message);
    }

    fn shutdown(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, shutdown: call::Shutdown) {
        let agent_id = AgentId::from(&shutdown.agent_id);
        let executor = &shutdown.executor_id.value;
        let Some(agent) = self.agents.get(&agent_id) else {
            return turn.warning(format!(
                "not shutting down executor {executor} of framework {id}: agent {agent_id} is not known"
            ));
        };
        turn.info(format!("shutting down executor {executor} of framework {id} on agent {agent_id}"));
        let message = wire::ShutdownExecutorMessage {
            executor_id: Some(shutdown.executor_id),
            framework_id: Some(id.into()),
        };
        turn.send(&agent.pid, &message);
    }

    /// MESSAGE: to an executor.
    pub(crate) fn send_to_executor(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, message: call::Message) {
        self.counters.messages_framework_to_executor.increment();
        let agent_id = AgentId::from(&message.agent_id);
        let Some(agent) = self.agents.get(&agent_id).filter(|agent| agent.connected) else {
            self.counters.invalid_framework_to_executor_messages.increment();
            return turn
                .warning(format!("dropping a message of framework {id}: agent {agent_id} is not connected"));
        };
        let pid = agent.pid.clone();
        let message = wire::FrameworkToExecutorMessage {
            agent_id: message.agent_id,
            framework_id: id.into(),
            executor_id: message.executor_id,
            data: message.data,
        };
        turn.send(&pid, &message);
        self.counters.valid_framework_to_executor_messages.increment();
    }

    /// An operation of an ACCEPT is not carried out. HTTP schedulers that gave it an id hear why.
    pub(crate) fn drop_operation(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        operation: &messor_proto::mesos::offer::Operation,
        reason: &str,
    ) {
        let kind = operation.r#type().as_str_name();
        turn.warning(format!("dropping {kind} of framework {id}: {reason}"));
        self.operations.counts.count(operation.r#type(), messor_proto::mesos::OperationState::OperationError);
        if operation.id.is_some() {
            let status = messor_proto::mesos::OperationStatus {
                operation_id: operation.id.clone(),
                state: messor_proto::mesos::OperationState::OperationError as i32,
                message: Some(reason.to_string()),
                ..Default::default()
            };
            self.tell(turn, id, Notice::OperationStatus(status));
        }
    }
}
