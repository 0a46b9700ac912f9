//! The resource estimator and the QoS controller of an agent, asked when the machine wants it: with what all executors
//! use, on a thread that may wait. The machine asks again only when it has the answer, so that one question waits at most.

use std::sync::{Arc, Mutex, PoisonError};

use messor_agent_core::{Event, View};
use messor_flags::AgentFlags;
use messor_http_api::{Machine, UsageSource};
use messor_oversubscription::{
    ModuleError, Modules, QosController, ResourceEstimator, UsageError, qos_controller, resource_estimator,
};
use messor_proto::mesos::resource_usage::{Executor, executor};
use messor_proto::mesos::{self, ExecutorInfo, ResourceUsage};
use messor_runtime::Failure;
use messor_types::ResourceFormat;
use tokio::runtime::Handle;

type Shared<T> = Arc<Mutex<Box<T>>>;

pub struct Oversubscription {
    estimator: Option<Shared<dyn ResourceEstimator>>,
    controller: Option<Shared<dyn QosController>>,
    machine: Machine<Event, View>,
    usage: Arc<dyn UsageSource>,
    runtime: Handle,
}

impl Oversubscription {
    pub fn new(
        flags: &AgentFlags,
        modules: &Modules,
        machine: Machine<Event, View>,
        usage: Arc<dyn UsageSource>,
    ) -> Result<Oversubscription, Failure> {
        let words = |error: ModuleError| Failure::Words(error.to_string());
        let estimator = flags.resource_estimator.as_deref().map(|name| resource_estimator(name, modules));
        let controller = flags.qos_controller.as_deref().map(|name| qos_controller(name, modules));
        Ok(Oversubscription {
            estimator: estimator.transpose().map_err(words)?.map(|made| Arc::new(Mutex::new(made))),
            controller: controller.transpose().map_err(words)?.map(|made| Arc::new(Mutex::new(made))),
            machine,
            usage,
            runtime: Handle::current(),
        })
    }

    pub fn estimate(&self) {
        if let Some(estimator) = &self.estimator {
            self.ask(
                estimator,
                |estimator, usage| estimator.oversubscribable(usage),
                |answer| Event::Estimated(answer.map(|all| all.to_proto(ResourceFormat::PostRefinement))),
            );
        }
    }

    pub fn correct(&self) {
        if let Some(controller) = &self.controller {
            self.ask(controller, |controller, usage| controller.corrections(usage), Event::Corrections);
        }
    }

    fn ask<T: ?Sized + Send + 'static, A: Send + 'static>(
        &self,
        whom: &Shared<T>,
        question: fn(&mut T, &ResourceUsage) -> Result<A, UsageError>,
        event: fn(Result<A, String>) -> Event,
    ) {
        let (whom, machine, source) = (Arc::clone(whom), self.machine.clone(), Arc::clone(&self.usage));
        self.runtime.spawn(async move {
            // None: the agent is ending.
            let Some(view) = machine.view().await else { return };
            let usage = usage(&view, source.usage().await);
            let answer = tokio::task::spawn_blocking(move || {
                question(&mut whom.lock().unwrap_or_else(PoisonError::into_inner), &usage)
            });
            let answer = match answer.await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            machine.event(event(answer));
        });
    }
}

/// What all executors have and use.
fn usage(view: &View, mut containers: messor_http_api::Usage) -> ResourceUsage {
    let mut executors = Vec::new();
    for framework in &view.frameworks {
        for found in &framework.executors {
            let task = |task: &mesos::Task| executor::Task {
                name: task.name.clone(),
                id: task.task_id.clone(),
                resources: task.resources.clone(),
                labels: task.labels.clone(),
            };
            executors.push(Executor {
                executor_info: ExecutorInfo {
                    framework_id: Some((&framework.id).into()),
                    executor_id: (&found.id).into(),
                    ..ExecutorInfo::clone(&found.info)
                },
                allocated: found.resources.to_proto(ResourceFormat::PostRefinement),
                statistics: containers.remove(&found.container).and_then(|container| container.statistics),
                container_id: (&found.container).into(),
                tasks: found.launched_tasks.iter().map(|launched| task(launched)).collect(),
            });
        }
    }
    ResourceUsage { executors, total: view.total.to_proto(ResourceFormat::PostRefinement) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_agent_core::{ExecutorState, ExecutorView, FrameworkView};
    use messor_proto::mesos::{FrameworkInfo, Task, TaskId};
    use messor_stdx::Memo;
    use messor_types::{ContainerId, ExecutorId, FrameworkId, Resources};

    #[test]
    fn u073_usage_names_tasks_that_have_not_ended() {
        let task = |id: &str| {
            let task_id = TaskId { value: id.into() };
            Arc::new(Memo::new(Task { task_id, name: format!("the {id}"), ..Task::default() }))
        };
        let executor = ExecutorView {
            id: ExecutorId::new("e"),
            info: Arc::default(),
            container: ContainerId::new("c"),
            directory: "/sandbox".into(),
            state: ExecutorState::Running,
            command_executor: false,
            resources: Resources::default(),
            queued_tasks: Vec::new(),
            launched_tasks: vec![task("running")],
            terminated_tasks: vec![task("terminated")],
            completed_tasks: vec![task("completed")],
        };
        let framework = FrameworkView {
            id: FrameworkId::new("f"),
            info: Arc::new(FrameworkInfo::default()),
            pid: None,
            executors: vec![executor],
            completed_executors: Vec::new(),
        };
        let view = View { frameworks: vec![framework], ..View::default() };
        let found = usage(&view, Default::default());
        let names: Vec<&str> = found.executors[0].tasks.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["the running"]);
    }
}
