//! MARK_AGENT_GONE: an operator says that an agent will never come back. Its tasks are over for certain.

use std::sync::Arc;

use messor_proto::mesos::internal::ShutdownMessage;
use messor_proto::mesos::{OperationState, TaskState, task_status::Reason};
use messor_registry::Operation;
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, TaskId};

use crate::effect::Outcome;
use crate::event::ReplyId;
use crate::master::Master;
use crate::notice::Notice;
use crate::registering::Pending;
use crate::removal::Ending;
use crate::tasks;
use crate::turn::Turn;

/// What the agent and the frameworks are told.
pub(crate) const GONE: &str = "the agent has been marked gone";

impl Master {
    pub(crate) fn mark_agent_gone(&mut self, turn: &mut Turn<'_>, reply: ReplyId, id: AgentId) {
        let agents = &self.agents;
        if agents.gone.contains_key(&id) {
            return turn.reply(reply, Outcome::Done);
        }
        let under_way = if agents.marking_gone.contains(&id) {
            Some("is being marked gone")
        } else if agents.removing.contains(&id) {
            Some("is being removed")
        } else if agents.marking_unreachable.contains(&id) {
            Some("is being marked unreachable")
        } else {
            None
        };
        if let Some(what) = under_way {
            let text = format!("agent '{id}' {what}: try again when that is done");
            return turn.reply(reply, Outcome::Unavailable(text));
        }
        let known = agents.get(&id).is_some()
            || agents.recovered.contains_key(&id)
            || agents.unreachable.contains_key(&id);
        if !known {
            return turn.reply(reply, Outcome::NotFound(format!("no agent has the id '{id}'")));
        }
        turn.info(format!("marking agent {id} gone"));
        self.store_gone(turn, id, Some(reply));
    }

    pub(crate) fn store_gone(&mut self, turn: &mut Turn<'_>, id: AgentId, reply: Option<ReplyId>) {
        self.agents.marking_gone.insert(id.clone());
        let operation = Operation::MarkAgentGone { id: id.clone(), time: turn.now };
        self.store(turn, operation, Pending::Gone { id, time: turn.now, reply });
    }

    /// The registry has the agent as gone.
    pub(crate) fn agent_marked_gone(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        time: Time,
        reply: Option<ReplyId>,
        accepted: bool,
    ) {
        self.agents.marking_gone.remove(id);
        if !accepted {
            let text = format!("the registry knows agent '{id}' no more");
            turn.info(text.clone());
            reply.into_iter().for_each(|reply| turn.reply(reply, Outcome::Conflict(text.clone())));
            return;
        }
        turn.info(format!("marked agent {id} gone"));
        self.agents.gone.insert(id.clone(), time);
        self.agents.forget_draining(id);
        let recovered = self.agents.recovered.remove(id).is_some();
        self.agents.unreachable.shift_remove(id);
        if let Some(agent) = self.agents.get(id) {
            turn.send(&agent.pid, &ShutdownMessage { message: Some(GONE.to_string()) });
            let frameworks: Vec<FrameworkId> = agent.tasks.keys().cloned().collect();
            for framework in frameworks {
                let ending = self.gone_for(&framework);
                self.end_tasks_of(turn, id, &framework, ending);
            }
            self.forget_operations_of(turn, id, Some((OperationState::OperationGoneByOperator, GONE)));
            self.forget_agent(turn, id);
        } else if recovered {
            // What ran there is not known to this master; frameworks learn it when they ask.
            self.unschedule_removal(turn, id);
            self.tell_agent_lost(turn, id);
        }
        self.end_unreachable_tasks_of(turn, id);
        reply.into_iter().for_each(|reply| turn.reply(reply, Outcome::Done));
    }

    fn gone_for(&self, framework: &FrameworkId) -> Ending<'static> {
        let aware = self.frameworks.get(framework).is_some_and(|known| known.capabilities.partition_aware);
        let (state, reason) = if aware {
            (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator)
        } else {
            (TaskState::TaskLost, Reason::AgentRemoved)
        };
        Ending { state, reason, message: GONE, unreachable: None }
    }

    /// Tasks that were unreachable with the agent are over now.
    fn end_unreachable_tasks_of(&mut self, turn: &mut Turn<'_>, agent: &AgentId) {
        let most = self.config.max_completed_tasks_per_framework;
        for framework_id in self.agents.lost_frameworks.remove(agent).unwrap_or_default() {
            let ending = self.gone_for(&framework_id);
            let Some(framework) = self.frameworks.get_mut(&framework_id) else { continue };
            for mut task in framework.take_unreachable_of(agent) {
                let id = TaskId::from(&task.task_id);
                let mut update = tasks::update_of_master(
                    turn.now,
                    &framework_id,
                    Some(agent),
                    &id,
                    ending.state,
                    ending.reason,
                    ending.message.to_string(),
                );
                update.executor_id = task.executor_id.clone();
                tasks::apply(Arc::make_mut(&mut task).change(), &update);
                let Some(framework) = self.frameworks.get_mut(&framework_id) else { continue };
                framework.remember_completed(Arc::clone(&task), most);
                self.publish_task_updated(turn, &task, &update.status);
                let notice = Notice::Update { update, acknowledgee: None };
                if let Some(known) = self.frameworks.get(&framework_id).filter(|known| known.connected()) {
                    known.tell(turn, notice);
                }
            }
        }
    }
}
