//! One framework with its executors.
//!
//! It must not know masters or effects.

use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use messor_proto::mesos::FrameworkInfo;
use messor_types::{ExecutorId, FrameworkId, Pid, TaskId};

use crate::executor::Executor;
use crate::view::{ExecutorView, FrameworkView};

/// How libprocess writes a PID that is none, as of a scheduler without a driver.
pub(crate) const NO_PID: &str = "@0.0.0.0:0";

/// A PID in a message, which may be none.
pub(crate) fn parse_pid(text: Option<&str>) -> Option<Pid> {
    let pid: Pid = text?.parse().ok()?;
    (!pid.id.is_empty() && pid.address.port() != 0).then_some(pid)
}

#[derive(Clone, Debug)]
pub(crate) struct Framework {
    pub id: FrameworkId,
    pub info: Arc<FrameworkInfo>,
    /// Of a scheduler that has a driver.
    pub pid: Option<Pid>,
    /// It was shut down: nothing new begins, and nobody acknowledges updates any more.
    pub terminating: bool,
    pub executors: IndexMap<ExecutorId, Executor>,
    /// Bounded by the configuration, oldest first.
    pub completed: VecDeque<Arc<ExecutorView>>,
}

impl Framework {
    pub fn new(id: FrameworkId, info: FrameworkInfo, pid: Option<Pid>) -> Framework {
        Framework {
            id,
            info: Arc::new(info),
            pid,
            terminating: false,
            executors: IndexMap::new(),
            completed: VecDeque::new(),
        }
    }

    pub fn checkpoint(&self) -> bool {
        self.info.checkpoint()
    }

    /// The executor that has the task: queued, launched, or ended and not acknowledged.
    pub fn executor_of(&self, task: &TaskId) -> Option<&Executor> {
        self.executors.values().find(|executor| executor.has_task(task))
    }

    pub fn executor_of_mut(&mut self, task: &TaskId) -> Option<&mut Executor> {
        self.executors.values_mut().find(|executor| executor.has_task(task))
    }

    pub fn has_task(&self, task: &TaskId) -> bool {
        self.executor_of(task).is_some()
    }

    /// One that did not end.
    pub fn has_live_task(&self, task: &TaskId) -> bool {
        self.executor_of(task).is_some_and(|executor| !executor.terminated.contains_key(task))
    }

    pub fn remember(&mut self, executor: ExecutorView, limit: usize) {
        if limit == 0 {
            return;
        }
        while self.completed.len() >= limit {
            self.completed.pop_front();
        }
        self.completed.push_back(Arc::new(executor));
    }

    pub fn view(&self, work_dir: &str) -> FrameworkView {
        FrameworkView {
            id: self.id.clone(),
            info: self.info.clone(),
            pid: self.pid.clone(),
            executors: self.executors.values().map(|executor| executor.view(work_dir)).collect(),
            completed_executors: self.completed.iter().cloned().collect(),
        }
    }
}
