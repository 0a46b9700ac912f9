//! The older messages of v0 drivers: each is one call in another dress.

use messor_proto::mesos::internal as wire;
use messor_proto::mesos::offer;
use messor_proto::mesos::scheduler::call;
use messor_types::{FrameworkId, Pid};

use crate::master::Master;
use crate::turn::Turn;

impl Master {
    /// The framework of an older message, if it comes from where that framework is.
    fn driver(
        &self,
        turn: &mut Turn<'_>,
        from: &Pid,
        id: &messor_proto::mesos::FrameworkId,
        what: &str,
    ) -> Option<FrameworkId> {
        let id = FrameworkId::from(id);
        match self.framework_of(from, &id) {
            Ok(_) => Some(id),
            Err(reason) => {
                turn.warning(format!("ignoring {what} of {from}: {reason}"));
                None
            }
        }
    }

    /// Without tasks the offers are declined.
    pub(crate) fn driver_launch(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::LaunchTasksMessage,
    ) {
        let Some(id) = self.driver(turn, from, &message.framework_id, "a launch") else { return };
        let (offer_ids, filters) = (message.offer_ids, Some(message.filters));
        if message.tasks.is_empty() {
            return self.decline(turn, &id, call::Decline { offer_ids, filters });
        }
        let operation = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: message.tasks }),
            ..Default::default()
        };
        self.accept(turn, &id, call::Accept { offer_ids, operations: vec![operation], filters });
    }

    pub(crate) fn driver_kill(&mut self, turn: &mut Turn<'_>, from: &Pid, message: wire::KillTaskMessage) {
        let Some(id) = self.driver(turn, from, &message.framework_id, "a kill") else { return };
        let kill = call::Kill { task_id: message.task_id, agent_id: None, kill_policy: message.kill_policy };
        self.kill(turn, &id, kill);
    }

    pub(crate) fn driver_acknowledge(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::StatusUpdateAcknowledgementMessage,
    ) {
        let id = self.driver(turn, from, &message.framework_id, "an acknowledgement");
        let Some(id) = id.filter(|_| message.uuid.len() == 16) else {
            return self.counters.invalid_status_update_acknowledgements.increment();
        };
        let acknowledge =
            call::Acknowledge { agent_id: message.agent_id, task_id: message.task_id, uuid: message.uuid };
        self.acknowledge(turn, &id, acknowledge);
    }

    pub(crate) fn driver_message(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::FrameworkToExecutorMessage,
    ) {
        let Some(id) = self.driver(turn, from, &message.framework_id, "a message") else {
            return self.counters.invalid_framework_to_executor_messages.increment();
        };
        let message = call::Message {
            agent_id: message.agent_id,
            executor_id: message.executor_id,
            data: message.data,
        };
        self.send_to_executor(turn, &id, message);
    }

    pub(crate) fn driver_request(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: &wire::ResourceRequestMessage,
    ) {
        let Some(id) = self.driver(turn, from, &message.framework_id, "a request") else { return };
        self.request(turn, &id);
    }

    pub(crate) fn driver_revive(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::ReviveOffersMessage,
    ) {
        let Some(id) = self.driver(turn, from, &message.framework_id, "a revival") else { return };
        self.revive(turn, &id, &message.roles);
    }

    pub(crate) fn driver_reconcile(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::ReconcileTasksMessage,
    ) {
        let Some(id) = self.driver(turn, from, &message.framework_id, "a reconciliation") else { return };
        let task = |status: messor_proto::mesos::TaskStatus| call::reconcile::Task {
            task_id: status.task_id,
            agent_id: status.agent_id,
        };
        let tasks: Vec<call::reconcile::Task> = message.statuses.into_iter().map(task).collect();
        self.reconcile(turn, &id, &tasks);
    }
}
