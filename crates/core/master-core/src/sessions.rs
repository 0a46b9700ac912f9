//! What becomes of subscribed frameworks: disconnected, deactivated, updated, removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use messor_allocator::Event as Allocation;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{FrameworkInfo, TaskState, task_status::Reason};
use messor_registry::Operation;
use messor_types::{AgentId, FrameworkId, Pid, TaskId};
use messor_validation::validate_framework_update;

use crate::effect::{Effect, Outcome};
use crate::event::{OperatorCall, ReplyId, StreamId, Timer};
use crate::master::Master;
use crate::reregistering::update_framework_message;
use crate::state::Framework;
use crate::subscribing::Wishes;
use crate::tasks;
use crate::turn::Turn;

impl Master {
    /// The connection to a framework is gone; it has its failover_timeout to come back.
    pub(crate) fn framework_disconnected(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        let Some(framework) = self.frameworks.registered.get_mut(id) else { return };
        if !framework.connected() {
            return;
        }
        if let Some(stream) = framework.stream.take() {
            self.frameworks.by_stream.remove(&stream);
        }
        framework.change().connected = false;
        let timeout = framework.failover_timeout();
        turn.info(format!("framework {} disconnected; it has {timeout:?} to fail over", framework.name()));
        self.deactivate(turn, id, true);
        turn.set_timer(Timer::FrameworkFailover(id.clone()), timeout);
    }

    pub(crate) fn failover_time_over(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        if self.frameworks.get(id).is_some_and(|framework| !framework.connected()) {
            turn.info(format!("framework {id} did not fail over in time"));
            self.remove_framework(turn, id);
        }
    }

    /// No more offers; those that are out are taken back, with or without telling the framework.
    fn deactivate(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, rescind: bool) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        if !framework.record.active {
            return;
        }
        framework.change().active = false;
        let offers = framework.offers.clone();
        turn.allocator(Allocation::DeactivateFramework { framework_id: id.clone() });
        for offer in &offers {
            if rescind { self.rescind(turn, offer) } else { self.discard(turn, offer, None) }
        }
        self.withdraw_inverse_offers(turn, id, rescind);
    }

    /// The older message of a driver that stops but wants to fail over.
    pub(crate) fn deactivate_framework(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: &wire::DeactivateFrameworkMessage,
    ) {
        self.counters.messages_deactivate_framework.increment();
        let id = FrameworkId::from(&message.framework_id);
        match self.framework_of(from, &id) {
            Ok(framework) if framework.connected() => self.deactivate(turn, &id, true),
            Ok(_) => turn.info(format!("ignoring that framework {id} deactivates: it is disconnected")),
            Err(reason) => turn.warning(format!("ignoring that {from} deactivates a framework: {reason}")),
        }
    }

    pub(crate) fn unregister_framework(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: &wire::UnregisterFrameworkMessage,
    ) {
        let id = FrameworkId::from(&message.framework_id);
        match self.framework_of(from, &id) {
            Ok(_) => self.teardown(turn, &id),
            Err(reason) => turn.warning(format!("ignoring that {from} unregisters a framework: {reason}")),
        }
    }

    pub(crate) fn teardown(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        self.counters.messages_unregister_framework.increment();
        self.remove_framework(turn, id);
    }

    pub(crate) fn operator_call(
        &mut self,
        turn: &mut Turn<'_>,
        reply: ReplyId,
        principal: Option<String>,
        call: OperatorCall,
    ) {
        match call {
            OperatorCall::Teardown { framework } => {
                let outcome = if self.frameworks.get(&framework).is_some() {
                    self.remove_framework(turn, &framework);
                    Outcome::Done
                } else {
                    Outcome::Invalid(format!("no framework has the id '{framework}'"))
                };
                turn.reply(reply, outcome);
            }
            OperatorCall::UpdateWeights { weights } => self.update_weights(turn, reply, weights),
            OperatorCall::UpdateQuota { configs, force } => self.update_quota(turn, reply, configs, force),
            OperatorCall::SetQuota { request } => self.set_quota(turn, reply, &request),
            OperatorCall::RemoveQuota { role } => self.remove_quota(turn, reply, &role),
            OperatorCall::Operation { agent, operation } => {
                self.operator_operation(turn, reply, principal.as_deref(), &agent, *operation);
            }
            OperatorCall::MarkAgentGone { agent } => self.mark_agent_gone(turn, reply, agent),
            OperatorCall::DrainAgent { agent, max_grace_period, mark_gone } => {
                self.drain(turn, reply, agent, max_grace_period, mark_gone);
            }
            OperatorCall::DeactivateAgent { agent } => self.deactivate_by_operator(turn, reply, agent),
            OperatorCall::ReactivateAgent { agent } => self.reactivate_by_operator(turn, reply, agent),
            OperatorCall::UpdateSchedule { schedule } => {
                self.change_maintenance(turn, reply, Operation::UpdateSchedule { schedule });
            }
            OperatorCall::StartMaintenance { machines } => {
                self.change_maintenance(turn, reply, Operation::StartMaintenance { machines });
            }
            OperatorCall::StopMaintenance { machines } => {
                self.change_maintenance(turn, reply, Operation::StopMaintenance { machines });
            }
        }
    }

    /// A framework ends, and with it everything it runs. It is kept among the completed ones.
    pub(crate) fn remove_framework(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else { return };
        turn.info(format!("removing framework {}", framework.name()));
        let (task_ids, executors): (Vec<TaskId>, Vec<_>) =
            (framework.tasks.keys().cloned().collect(), framework.executors.keys().cloned().collect());
        self.deactivate(turn, id, false);
        for agent in self.agents.registered.values() {
            turn.send(&agent.pid, &wire::ShutdownFrameworkMessage { framework_id: id.into() });
        }
        let message = format!("framework {id} removed");
        let mut emptied = BTreeSet::new();
        for task_id in &task_ids {
            let Some(entry) = self.frameworks.get(id).and_then(|framework| framework.tasks.get(task_id))
            else {
                continue;
            };
            let agent = AgentId::from(&entry.task.agent_id);
            let executor_id = entry.task.executor_id.clone();
            let (state, reason) = (TaskState::TaskKilled, Reason::FrameworkRemoved);
            let mut update =
                tasks::update_of_master(turn.now, id, Some(&agent), task_id, state, reason, message.clone());
            update.executor_id = executor_id;
            self.update_task(turn, id, task_id, &update);
            self.remove_task(turn, id, task_id, false);
            emptied.insert(agent);
        }
        self.end_unreachable_tasks(turn, id, &message);
        for (agent, executor) in &executors {
            self.remove_executor(turn, agent, id, executor);
        }
        let Some(mut framework) = self.frameworks.registered.shift_remove(id) else { return };
        turn.push(Effect::CancelTimer { timer: Timer::FrameworkFailover(id.clone()) });
        if let Some(stream) = framework.stream.take() {
            self.frameworks.by_stream.remove(&stream);
            turn.push(Effect::CloseStream { stream });
        }
        if let Some(pid) = &framework.record.pid {
            self.frameworks.by_pid.remove(pid);
            turn.push(Effect::Unlink { pid: pid.clone() });
        }
        let record = framework.change();
        record.connected = false;
        record.active = false;
        record.recovered = false;
        record.unregistered_time = Some(turn.now);
        self.inverse_offers.forget_framework(id);
        turn.allocator(Allocation::RemoveFramework { framework_id: id.clone() });
        if let Some(principal) = &framework.record.principal {
            let has_it = |other: &Framework| other.record.principal.as_ref() == Some(principal);
            if !self.frameworks.registered.values().any(has_it) {
                self.counters.forget_principal(principal);
            }
        }
        let info = framework.info().clone();
        self.frameworks.remember_completed(framework, self.config.max_completed_frameworks);
        self.publish_framework_removed(turn, info);
        self.check_all_drained(turn, &emptied);
    }

    fn end_unreachable_tasks(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, message: &str) {
        let most = self.config.max_completed_tasks_per_framework;
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        for (task_id, mut task) in std::mem::take(&mut framework.unreachable_tasks) {
            let agent = AgentId::from(&task.agent_id);
            if let Some(frameworks) = self.agents.lost_frameworks.get_mut(&agent) {
                frameworks.remove(id);
                if frameworks.is_empty() {
                    self.agents.lost_frameworks.remove(&agent);
                }
            }
            let (state, reason) = (TaskState::TaskKilled, Reason::FrameworkRemoved);
            let mut update = tasks::update_of_master(
                turn.now,
                id,
                Some(&agent),
                &task_id,
                state,
                reason,
                message.to_string(),
            );
            update.executor_id = task.executor_id.clone();
            tasks::apply(Arc::make_mut(&mut task).change(), &update);
            framework.remember_completed(task, most);
        }
    }

    /// UPDATE_FRAMEWORK.
    pub(crate) fn update_framework_call(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        update: call::UpdateFramework,
    ) -> Outcome {
        let info = update.framework_info;
        let checked =
            self.check_framework(&info, &update.suppressed_roles, update.offer_constraints.as_ref());
        let offer_constraints = match checked {
            Ok(constraints) => constraints,
            Err(error) => return Outcome::Invalid(error),
        };
        let Some(framework) = self.frameworks.get(id) else {
            return Outcome::Invalid("framework cannot be found".to_string());
        };
        if let Err(error) = validate_framework_update(framework.info(), &info) {
            return Outcome::Invalid(format!("'framework_info' cannot be updated so: {error}"));
        }
        let changed = *framework.info() != info;
        let wishes = Wishes { suppressed_roles: update.suppressed_roles, offer_constraints };
        self.update_framework(turn, id, info, wishes);
        if changed {
            self.send_framework_updates(turn, id);
        }
        Outcome::Done
    }

    pub(crate) fn update_framework(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        info: FrameworkInfo,
        wishes: Wishes,
    ) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.update_info(info);
        let record = framework.change();
        record.suppressed_roles = wishes.suppressed_roles;
        record.offer_constraints = wishes.offer_constraints;
        turn.allocator(Allocation::UpdateFramework {
            framework_id: id.clone(),
            details: framework.details(),
        });
        let roles = framework.roles.clone();
        let offers = framework.offers.clone();
        for offer in &offers {
            if self.offers.get(offer).is_some_and(|record| !roles.contains(&record.role)) {
                self.rescind(turn, offer);
            }
        }
    }

    /// Operators and agents learn how a framework stands now.
    pub(crate) fn send_framework_updates(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        self.publish_framework(turn, id, false);
        let Some(framework) = self.frameworks.get(id) else { return };
        let message = update_framework_message(framework);
        for agent in self.agents.registered.values() {
            turn.send(&agent.pid, &message);
        }
    }

    pub(crate) fn operator_subscribed(&mut self, turn: &mut Turn<'_>, stream: StreamId, reply: ReplyId) {
        let view = Arc::new(self.view(turn.now));
        turn.push(Effect::OperatorStreamOpened { stream, reply, view });
        self.operators.insert(stream);
        while self.operators.len() > self.config.max_operator_event_stream_subscribers {
            let Some(oldest) = self.operators.shift_remove_index(0) else { break };
            turn.push(Effect::CloseStream { stream: oldest });
        }
    }
}
