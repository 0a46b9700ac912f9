//! Draining: every task is killed, no new one is taken, and when nothing is left the agent is as before. What was
//! ordered is kept on disk until then, so that an agent that starts again goes on with it.
//!
//! It must not know what a drained agent is for: that is the master's.

use messor_proto::mesos::internal::{DrainAgentMessage, StatusUpdate};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{DrainConfig, DurationInfo, FrameworkInfo, KillPolicy, TaskState};
use messor_stdx::Time;
use messor_types::{ExecutorId, FrameworkCapabilities, FrameworkId, Pid, TaskId};

use crate::agent::{Agent, Ticket};
use crate::record::Record;
use crate::turn::Turn;

/// What was ordered, and since when the agent goes by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drain {
    pub config: DrainConfig,
    pub since: Time,
}

impl Agent {
    pub(crate) fn drain_message(&mut self, turn: &mut Turn<'_>, from: &Pid, message: DrainAgentMessage) {
        if !self.is_from_master(turn, from, "an order to drain") {
            return;
        }
        // Nothing runs here, so nothing has to be killed; and it is for the master to send no more.
        if self.has_nothing() {
            return turn.info("Asked to drain: there is nothing here, so it is done".to_string());
        }
        turn.info(format!("Draining{}", describe(&message.config)));
        self.drain = Some(Drain { config: message.config, since: turn.now });
        let record = Record::DrainConfig(Some(Box::new(message.config)));
        self.persist(turn, record, Ticket::Drain);
    }

    /// What an agent of before was ordered and did not finish.
    pub(crate) fn recover_drain(&mut self, turn: &mut Turn<'_>, config: DrainConfig) {
        turn.info(format!("Going on with draining{}", describe(&config)));
        self.drain = Some(Drain { config, since: turn.now });
    }

    /// The order is on disk: what it ends here is ended even if the agent does not live to see it.
    pub(crate) fn kill_all_tasks(&mut self, turn: &mut Turn<'_>) {
        let Some(Drain { config, .. }) = self.drain else {
            return;
        };
        let mut tasks: Vec<(FrameworkId, ExecutorId, TaskId, Option<KillPolicy>)> = Vec::new();
        for framework in self.frameworks.values().filter(|framework| !framework.terminating) {
            for executor in framework.executors.values() {
                let launched = executor.launched.iter().map(|(id, task)| (id, task.kill_policy));
                let queued = executor.queued.iter().map(|(id, task)| (id, task.info.kill_policy));
                tasks.extend(launched.chain(queued).map(|(id, policy)| {
                    let policy = shortened(policy, config.max_grace_period);
                    (framework.id.clone(), executor.id.clone(), id.clone(), policy)
                }));
            }
        }
        for (framework, executor, task, policy) in tasks {
            self.kill(turn, &framework, &executor, &task, policy);
        }
    }

    /// The drain is over when nothing is left of frameworks and operations.
    pub(crate) fn finish_drain_if_idle(&mut self, turn: &mut Turn<'_>) {
        if self.drain.is_some() && self.has_nothing() {
            turn.info("Finished draining".to_string());
            self.drain = None;
            self.persist(turn, Record::DrainConfig(None), Ticket::Nothing);
        }
    }

    fn has_nothing(&self) -> bool {
        self.frameworks.is_empty() && self.operations.known.is_empty()
    }

    /// A framework that is told of the end of a task hears that it is because of the drain.
    ///
    /// 1.11.0 makes TASK_GONE_BY_OPERATOR, which is an end, also of TASK_KILLING, with which the task still runs. Here
    /// it stays what it is.
    pub(crate) fn mark_drained(&self, framework: &FrameworkInfo, update: &mut StatusUpdate) {
        let Some(drain) = &self.drain else {
            return;
        };
        let state = update.status.state();
        if !matches!(state, TaskState::TaskKilling | TaskState::TaskKilled) {
            return;
        }
        update.status.reason = Some(Reason::AgentDraining.into());
        let partition_aware = FrameworkCapabilities::from_proto(&framework.capabilities).partition_aware;
        if drain.config.mark_gone() && partition_aware && state == TaskState::TaskKilled {
            update.status.state = TaskState::TaskGoneByOperator.into();
        }
    }
}

fn nanoseconds(duration: Option<DurationInfo>) -> Option<i64> {
    duration.map(|duration| duration.nanoseconds)
}

/// The policy to kill with where the task's own leaves it more time than `longest`. None: the task's own holds.
fn shortened(own: Option<KillPolicy>, longest: Option<DurationInfo>) -> Option<KillPolicy> {
    let own = nanoseconds(own.and_then(|policy| policy.grace_period));
    // A task that says nothing has the executor's default, which is not known here.
    let is_shorter = own.is_none_or(|own| nanoseconds(longest) < Some(own));
    (longest.is_some() && is_shorter).then_some(KillPolicy { grace_period: longest })
}

fn describe(config: &DrainConfig) -> String {
    let mut text = String::new();
    if let Some(nanoseconds) = nanoseconds(config.max_grace_period) {
        let longest = messor_stdx::Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        text.push_str(&format!(", with {} for a task to end", messor_stdx::format_duration(longest)));
    }
    if config.mark_gone() {
        text.push_str(", and the agent is going to be marked gone");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_of_two_grace_periods_holds() {
        let duration = |nanoseconds| Some(DurationInfo { nanoseconds });
        let policy = |nanoseconds| Some(KillPolicy { grace_period: duration(nanoseconds) });
        assert_eq!(shortened(policy(7), None), None);
        assert_eq!(shortened(policy(7), duration(7)), None);
        assert_eq!(shortened(policy(7), duration(8)), None);
        assert_eq!(shortened(policy(8), duration(7)), policy(7));
        assert_eq!(shortened(None, duration(7)), policy(7));
        assert_eq!(shortened(Some(KillPolicy { grace_period: None }), duration(0)), policy(0));
        assert_eq!(shortened(None, None), None);
    }
}
