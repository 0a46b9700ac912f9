//! RECONCILE: what the master knows of tasks, told as updates that need no acknowledgement (U108).

use messor_proto::mesos::internal::StatusUpdate;
use messor_proto::mesos::scheduler::call::reconcile;
use messor_proto::mesos::{Task, TaskState, task_status::Reason};
use messor_types::{AgentId, FrameworkId, TaskId};

use crate::master::Master;
use crate::notice::Notice;
use crate::publish::time_info;
use crate::state::Framework;
use crate::tasks;
use crate::turn::Turn;

impl Master {
    /// Without tasks: all that are known. With tasks: one answer each, but for those of which nothing can be said yet.
    pub(crate) fn reconcile(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, asked: &[reconcile::Task]) {
        self.counters.messages_reconcile_tasks.increment();
        let Some(framework) = self.frameworks.get(id) else { return };
        if asked.is_empty() {
            turn.info(format!(
                "implicit reconciliation of {} tasks of framework {id}",
                framework.tasks.len()
            ));
            for entry in framework.tasks.values() {
                let update = latest(turn, &entry.task);
                framework.tell(turn, Notice::Update { update, acknowledgee: None });
            }
            return;
        }
        turn.info(format!("explicit reconciliation of {} tasks of framework {id}", asked.len()));
        for task in asked {
            if let Some(update) = self.answer(turn, framework, task) {
                framework.tell(turn, Notice::Update { update, acknowledgee: None });
            }
        }
    }

    fn answer(
        &self,
        turn: &Turn<'_>,
        framework: &Framework,
        asked: &reconcile::Task,
    ) -> Option<StatusUpdate> {
        let task_id = TaskId::from(&asked.task_id);
        if let Some(entry) = framework.tasks.get(&task_id) {
            return Some(latest(turn, &entry.task));
        }
        let agent = asked.agent_id.as_ref().map(AgentId::from);
        let mut unreachable_time = None;
        let (state, text) = match &agent {
            // It may be there: the agents that would know are not back yet.
            Some(agent) if self.agents.recovered.contains_key(agent) => return None,
            None if !self.agents.recovered.is_empty() => return None,
            Some(agent) if self.agents.get(agent).is_some() => {
                (TaskState::TaskGone, "task is unknown to the agent")
            }
            Some(agent) if self.agents.unreachable.contains_key(agent) => {
                unreachable_time = self.agents.unreachable.get(agent).copied().map(time_info);
                (TaskState::TaskUnreachable, "task is unreachable")
            }
            Some(agent) if self.agents.gone.contains_key(agent) => {
                (TaskState::TaskGoneByOperator, "task is gone")
            }
            _ => (TaskState::TaskUnknown, "task is unknown"),
        };
        let state = if framework.capabilities.partition_aware { state } else { TaskState::TaskLost };
        let message = format!("reconciliation: {text}");
        let reason = Reason::Reconciliation;
        let mut update = tasks::update_of_master(
            turn.now,
            framework.id(),
            agent.as_ref(),
            &task_id,
            state,
            reason,
            message,
        );
        update.status.unreachable_time = unreachable_time;
        Some(update)
    }
}

/// The state of a task as the framework should know it: that of the last update it was sent, if there was one.
fn latest(turn: &Turn<'_>, task: &Task) -> StatusUpdate {
    let state = task.status_update_state.and_then(|state| TaskState::try_from(state).ok());
    let state = state.unwrap_or_else(|| task.state());
    tasks::update_of_task(turn.now, task, state, Reason::Reconciliation, "reconciliation: latest task state")
}
