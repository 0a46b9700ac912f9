//! What the agent must learn of tasks: kept until it acknowledges it, and sent again with each new subscription. It must
//! not know why anything is told.

use std::collections::VecDeque;

use messor_proto::mesos::executor::{Call, call};
use messor_proto::mesos::{ExecutorId, FrameworkId, TaskInfo, TaskStatus};

/// Results of checks are dropped while so many updates wait for the agent; changes of a task's state never are.
pub const WAITING_LIMIT: usize = 1000;

#[derive(Debug)]
struct Update {
    status: TaskStatus,
    /// Over the present subscription.
    sent: bool,
}

#[derive(Debug)]
pub struct Updates {
    framework: FrameworkId,
    executor: ExecutorId,
    waiting: VecDeque<Update>,
}

impl Updates {
    pub fn new(framework: FrameworkId, executor: ExecutorId) -> Updates {
        Updates { framework, executor, waiting: VecDeque::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether what can be left untold is to be left untold.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_LIMIT
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn add(&mut self, status: TaskStatus) {
        self.waiting.push_back(Update { status, sent: false });
    }

    /// The subscription is gone.
    pub fn lost(&mut self) {
        self.waiting.iter_mut().for_each(|update| update.sent = false);
    }

    /// Calls for all that this subscription did not carry yet.
    pub fn unsent(&mut self) -> Vec<Call> {
        let mut statuses = Vec::new();
        for update in self.waiting.iter_mut().filter(|update| !update.sent) {
            update.sent = true;
            statuses.push(update.status.clone());
        }
        let update = |status| Call { update: Some(call::Update { status }), ..self.call(call::Type::Update) };
        statuses.into_iter().map(update).collect()
    }

    /// SUBSCRIBE, with all that waits and these tasks, of which the agent may not know.
    pub fn subscribe(&mut self, tasks: Vec<TaskInfo>) -> Call {
        self.waiting.iter_mut().for_each(|update| update.sent = true);
        let updates = self.waiting.iter().map(|update| call::Update { status: update.status.clone() });
        let subscribe =
            call::Subscribe { unacknowledged_tasks: tasks, unacknowledged_updates: updates.collect() };
        Call { subscribe: Some(subscribe), ..self.call(call::Type::Subscribe) }
    }

    pub fn heartbeat(&self) -> Call {
        self.call(call::Type::Heartbeat)
    }

    /// The agent has this one for good. None: it is not known here.
    pub fn acknowledged(&mut self, uuid: &[u8]) -> Option<TaskStatus> {
        let index = self.waiting.iter().position(|update| update.status.uuid.as_deref() == Some(uuid))?;
        self.waiting.remove(index).map(|update| update.status)
    }

    fn call(&self, kind: call::Type) -> Call {
        Call {
            framework_id: self.framework.clone(),
            executor_id: self.executor.clone(),
            r#type: Some(kind as i32),
            ..Call::default()
        }
    }
}
