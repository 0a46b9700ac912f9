//! What is counted, and what /metrics/snapshot shows of the agent.

use messor_metrics::{Counter, Snapshot};
use messor_proto::mesos::{Resource, TaskState};
use messor_stdx::Time;

use crate::agent::{Agent, State};
use crate::executor::{Executor, total};
use crate::view::ExecutorState;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub container_launch_errors: Counter,
    pub executors_preempted: Counter,
    pub executors_terminated: Counter,
    pub invalid_framework_messages: Counter,
    pub invalid_status_updates: Counter,
    pub valid_framework_messages: Counter,
    pub valid_status_updates: Counter,
    tasks_failed: Counter,
    tasks_finished: Counter,
    tasks_gone: Counter,
    tasks_killed: Counter,
    tasks_lost: Counter,
}

impl Counters {
    /// A task came to its end. TASK_ERROR and TASK_DROPPED have no counter in 1.11.0.
    pub fn task_ended(&mut self, state: TaskState) {
        match state {
            TaskState::TaskFinished => self.tasks_finished.increment(),
            TaskState::TaskFailed => self.tasks_failed.increment(),
            TaskState::TaskKilled => self.tasks_killed.increment(),
            TaskState::TaskLost => self.tasks_lost.increment(),
            TaskState::TaskGone => self.tasks_gone.increment(),
            _ => {}
        }
    }
}

const SCALARS: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

impl Agent {
    /// Everything under `slave/` but slave/executor_directory_max_allowed_age_secs, which is known to who collects
    /// sandboxes.
    pub(crate) fn metrics(&self, now: Time) -> Vec<(String, f64)> {
        let mut snapshot = Snapshot::new();
        for (name, counter) in [
            ("container_launch_errors", self.counters.container_launch_errors),
            ("executors_preempted", self.counters.executors_preempted),
            ("executors_terminated", self.counters.executors_terminated),
            ("invalid_framework_messages", self.counters.invalid_framework_messages),
            ("invalid_status_updates", self.counters.invalid_status_updates),
            ("tasks_failed", self.counters.tasks_failed),
            ("tasks_finished", self.counters.tasks_finished),
            ("tasks_gone", self.counters.tasks_gone),
            ("tasks_killed", self.counters.tasks_killed),
            ("tasks_lost", self.counters.tasks_lost),
            ("valid_framework_messages", self.counters.valid_framework_messages),
            ("valid_status_updates", self.counters.valid_status_updates),
        ] {
            snapshot.counter(format!("slave/{name}"), counter);
        }
        let flag = |is: bool| if is { 1.0 } else { 0.0 };
        let executors = || self.frameworks.values().flat_map(|framework| framework.executors.values());
        let in_state = |state| executors().filter(|executor| executor.state == state).count() as f64;
        let tasks =
            |state: TaskState| executors().map(|executor| launched_in(executor, state)).sum::<usize>();
        let queued: usize = executors().map(|executor| executor.queued.len()).sum();
        for (name, value) in [
            ("executors_registering", in_state(ExecutorState::Registering)),
            ("executors_running", in_state(ExecutorState::Running)),
            ("executors_terminating", in_state(ExecutorState::Terminating)),
            ("frameworks_active", self.frameworks.len() as f64),
            ("recovery_errors", f64::from(self.recovery_errors)),
            ("registered", flag(self.master.is_some() && self.state == State::Running)),
            ("tasks_killing", tasks(TaskState::TaskKilling) as f64),
            ("tasks_running", tasks(TaskState::TaskRunning) as f64),
            ("tasks_staging", (queued + tasks(TaskState::TaskStaging)) as f64),
            ("tasks_starting", tasks(TaskState::TaskStarting) as f64),
            ("uptime_secs", now.since(self.start_time).as_secs_f64()),
        ] {
            snapshot.gauge(format!("slave/{name}"), value);
        }
        if let Some(took) = self.recovery_time {
            snapshot.gauge("slave/recovery_time_secs".to_string(), took.as_secs_f64());
        }
        let used: Vec<Resource> = executors().flat_map(Executor::allocated).collect();
        let used = total(&used);
        for name in SCALARS {
            let has = self.info.resources.iter().filter(|resource| resource.name == name);
            let all: f64 = has.filter_map(|resource| resource.scalar).map(|scalar| scalar.value).sum();
            let named = messor_types::ResourceName::new(name);
            let of = |resources: messor_types::Resources| resources.quantities().get(&named).to_f64();
            let (firm, revocable) = (of(used.non_revocable()), of(used.revocable()));
            let promised = self.oversubscribed.clone().map_or(0.0, of);
            let share = |used: f64, all: f64| if all == 0.0 { 0.0 } else { used / all };
            for (what, value) in [
                ("total", all),
                ("used", firm),
                ("percent", share(firm, all)),
                ("revocable_total", promised),
                ("revocable_used", revocable),
                ("revocable_percent", share(revocable, promised)),
            ] {
                snapshot.gauge(format!("slave/{name}_{what}"), value);
            }
        }
        snapshot.into_values()
    }
}

fn launched_in(executor: &Executor, state: TaskState) -> usize {
    executor.launched.values().filter(|task| task.state() == state).count()
}
