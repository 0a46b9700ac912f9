//! What is asked of a whole world, or of a message that arrives in it: whether invariants hold, and what is still waited for.

use std::time::Duration;

use messor_proto::Wire;
use messor_proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, RunTaskMessage, StatusUpdateMessage,
};
use messor_types::{AgentId, OperationUuid, Pid};

use crate::invariants;
use crate::keeper::Keeper;
use crate::network::Packet;
use crate::scheduler::Scheduler;
use crate::world::{LONGEST_CUT, World};

/// An election, the time that agents have to come back, their pings, two tries to reconcile.
const LONGEST_SILENCE: Duration = Duration::from_secs(360);

/// Whether somebody waits to hear of an operation.
pub fn has_feedback(body: &[u8]) -> bool {
    let message = ApplyOperationMessage::decode_checked(body).expect("the master's own messages are right");
    message.framework_id.is_some() && message.operation_info.id.is_some()
}

pub fn operation_in_words(message: &ApplyOperationMessage) -> String {
    let uuid = OperationUuid::from_proto(&message.operation_uuid).map(|uuid| uuid.to_string());
    let info = &message.operation_info;
    let id = info.id.as_ref().map_or("no id", |id| id.value.as_str());
    format!("{} {} ({id})", info.r#type().as_str_name(), uuid.unwrap_or_default())
}

impl World {
    /// Without faults a scheduler hears of each task, again and again.
    pub(crate) fn every_task_is_heard_of(&self) {
        let whole_since = self.agenda.start + self.options.faults_until + LONGEST_CUT;
        let unheard = self.schedulers.iter().filter_map(Scheduler::longest_unheard);
        for (what, since) in unheard.chain(self.keepers.iter().filter_map(Keeper::longest_unheard)) {
            let silence = self.agenda.now.since(since.max(whole_since));
            assert!(
                silence < LONGEST_SILENCE,
                "every task and operation is heard of: nothing of {what} for {silence:?}"
            );
        }
    }

    /// Operations with an id that agents did, and whose frameworks do not know it.
    pub(crate) fn untold(&self) -> Vec<&str> {
        let now = self.agenda.now;
        let mut untold = Vec::new();
        for node in &self.agents {
            let Some(process) = &node.process else { continue };
            let id = process.agent.view(now).info.id.as_ref().map(AgentId::from);
            let deeds = node.deeds.standing().filter(|deed| Some(&deed.agent) == id.as_ref());
            let ids = deeds.filter_map(|deed| deed.id.as_deref());
            untold.extend(ids.filter(|id| !self.keepers.iter().any(|keeper| keeper.done.contains(*id))));
        }
        untold
    }

    /// In what master and agents differ about resources and operations.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let now = self.agenda.now;
        let leader = self.masters.iter().filter_map(|node| node.process.as_ref()).find(|p| p.leads)?;
        let view = leader.master.view_without_metrics(now);
        let differs = self.agents.iter().enumerate().find_map(|(number, node)| {
            let agent = node.process.as_ref()?.agent.view(now);
            let id = agent.info.id.as_ref().map(AgentId::from)?;
            let known = view.agents.iter().find(|known| known.id == id)?;
            let same = known.total.non_revocable() == agent.total && agent.operations.is_empty();
            (!same).then(|| {
                let operations = &agent.operations;
                format!(
                    "master and agent {number} differ: {} and {}, {operations:?}",
                    known.total, agent.total
                )
            })
        });
        let waiting = view.operations.first().map(|operation| format!("the master has {operation:?}"));
        differs.or(waiting)
    }

    /// A launch says nothing that would tell its repetition from one more task of that id, which a framework may start
    /// when the first is over: agents run it. While the first lives it must do no harm.
    pub(crate) fn means_another_task(&self, packet: &Packet) -> bool {
        if packet.name != RunTaskMessage::NAME {
            return false;
        }
        let message =
            RunTaskMessage::decode_checked(&packet.body).expect("the master's own messages are right");
        let node = self.agents.iter().find(|node| node.pid == packet.to);
        let Some(process) = node.and_then(|node| node.process.as_ref()) else { return true };
        let view = process.agent.view(self.agenda.now);
        let mut executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
        !executors.any(|executor| {
            executor.queued_tasks.iter().any(|task| task.task_id == message.task.task_id)
                || executor.launched_tasks.iter().any(|task| task.task_id == message.task.task_id)
        })
    }

    pub(crate) fn check_acknowledgement(&self, number: usize, body: &[u8]) {
        let message = AcknowledgeOperationStatusMessage::decode_checked(body)
            .expect("the master's own messages are right");
        let uuid = OperationUuid::from_proto(&message.operation_uuid).expect("it has 16 bytes");
        let noted =
            self.keepers.iter().any(|keeper| keeper.noted_operations.contains(&message.status_uuid.value));
        assert!(
            noted || !self.agents[number].deeds.waits_for_its_framework(&uuid),
            "an operation is acknowledged only once delivered: {uuid} was not"
        );
    }

    pub(crate) fn check_order(&mut self, number: usize, from: &Pid, name: &str, body: &[u8]) {
        let scheduler = &self.schedulers[number];
        if name != StatusUpdateMessage::NAME || scheduler.master.as_ref() != Some(from) {
            return;
        }
        let message = StatusUpdateMessage::decode_checked(body).expect("the master's own messages are right");
        let (Some(uuid), true) = (&message.update.uuid, message.pid.is_some()) else { return };
        self.ends.noted(&message.update);
        let task = &message.update.status.task_id.value;
        for made in self.agents.iter().filter_map(|node| node.executors.made.get(task)) {
            invariants::updates_come_in_order(task, made, &scheduler.noted, uuid);
        }
    }
}
