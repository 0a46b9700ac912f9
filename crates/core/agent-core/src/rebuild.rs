//! What is on disk of frameworks, executors and tasks becomes those again.
//!
//! It must not know what of it still runs.

use std::sync::Arc;

use messor_proto::mesos::{FrameworkInfo, Resource, resource};
use messor_types::{ExecutorId, resource_to_post_refinement};
use messor_updates::Key;

use crate::agent::{Agent, Ticket};
use crate::effect::Effect;
use crate::executor::Executor;
use crate::framework::Framework;
use crate::paths;
use crate::record::Record;
use crate::recovered::{RecoveredExecutor, RecoveredFramework, RecoveredRun, RecoveredTask};
use crate::run::only_role;
use crate::turn::Turn;
use crate::view::ExecutorState;

impl Agent {
    pub(crate) fn recover_framework(
        &mut self,
        turn: &mut Turn<'_>,
        recovered: RecoveredFramework,
        rebooted: bool,
    ) {
        let RecoveredFramework { id, mut info, pid, executors } = recovered;
        turn.info(format!("Recovering framework {id}"));
        // Files of 0.22 and before have it in their path alone.
        let complete = info.id.is_some();
        info.id = Some((&id).into());
        let mut framework = Framework::new(id.clone(), info, pid);
        for executor in executors {
            self.recover_executor(turn, &mut framework, executor, rebooted);
        }
        if framework.executors.is_empty() {
            collect_old(turn, paths::framework(&self.own_id(), &id));
            let view = framework.view(&self.config.work_dir);
            self.remember_framework(view);
            return;
        }
        self.frameworks.insert(id.clone(), framework);
        if !complete {
            self.persist_framework(turn, &id);
        }
    }

    fn recover_executor(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &mut Framework,
        recovered: RecoveredExecutor,
        rebooted: bool,
    ) {
        let agent = self.own_id();
        let RecoveredExecutor { id, mut info, command_executor, latest, runs } = recovered;
        let (mut latest, old): (Vec<RecoveredRun>, Vec<RecoveredRun>) =
            runs.into_iter().partition(|run| Some(&run.container) == latest.as_ref());
        let Some(run) = latest.pop() else {
            turn.warning(format!(
                "Executor '{id}' of framework {} has no run that can be recovered",
                framework.id
            ));
            collect_old(turn, paths::executor(&agent, &framework.id, &id));
            return;
        };
        for run in old {
            collect_old(turn, paths::run(&agent, &framework.id, &id, &run.container));
        }
        let changed = normalise(turn, &mut info.resources, &framework.info);
        let info = Arc::new(info);
        let directory = paths::run(&agent, &framework.id, &id, &run.container);
        let mut executor =
            Executor::new(info.clone(), run.container.clone(), directory.clone(), true, command_executor);
        if run.completed {
            executor.state = ExecutorState::Terminated;
            collect_old(turn, directory);
            collect_old(turn, paths::executor(&agent, &framework.id, &id));
            let limit = self.config.max_completed_executors_per_framework;
            framework.remember(executor.view(&self.config.work_dir), limit);
            return;
        }
        turn.info(format!("Recovering executor '{id}' of framework {}", framework.id));
        if changed {
            let record = Record::Executor {
                framework: framework.id.clone(),
                executor: id.clone(),
                info: Box::new(info.as_ref().clone()),
                container: run.container.clone(),
                command_executor,
            };
            self.persist(turn, record, Ticket::Nothing);
        }
        // Process ids and addresses mean nothing after the host's new start.
        if !rebooted {
            executor.process = run.forked_pid;
            executor.reached_before = run.connection;
        }
        for task in run.tasks {
            self.recover_task(turn, framework, &id, &mut executor, task);
        }
        self.containers.insert(run.container, (framework.id.clone(), id.clone()));
        framework.executors.insert(id, executor);
    }

    fn recover_task(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &Framework,
        id: &ExecutorId,
        executor: &mut Executor,
        recovered: RecoveredTask,
    ) {
        let RecoveredTask { mut task, updates } = recovered;
        let key = Key { framework: framework.id.clone(), task: (&task.task_id).into() };
        if normalise(turn, &mut task.resources, &framework.info) {
            let record = Record::Task {
                framework: framework.id.clone(),
                executor: id.clone(),
                container: executor.container.clone(),
                task: Box::new(task.clone()),
            };
            self.persist(turn, record, Ticket::Nothing);
        }
        if executor.recover_task(&framework.id, task, &updates) {
            let path = paths::task(&self.own_id(), &framework.id, id, &executor.container, &key.task);
            turn.effect(Effect::ScheduleGcOfOld { path: paths::meta(&path) });
        } else if !updates.is_empty() {
            let stream = self.updates.recover(key.clone(), &updates);
            if stream.errors > 0 {
                turn.error(format!(
                    "{} status updates on disk of task {} of framework {} do not fit those before them",
                    stream.errors, key.task, key.framework
                ));
                self.recovery_errors += stream.errors;
            }
        }
    }
}

/// What lies there, and the checkpoints of the same place, is removed when its time has come.
fn collect_old(turn: &mut Turn<'_>, path: String) {
    turn.effect(Effect::ScheduleGcOfOld { path: paths::meta(&path) });
    turn.effect(Effect::ScheduleGcOfOld { path });
}

/// Brings resources of whatever version into the present form: each says what role it is allocated to. True if one did
/// not: it is written down, as the framework may change its role.
fn normalise(turn: &mut Turn<'_>, resources: &mut [Resource], framework: &FrameworkInfo) -> bool {
    let role = only_role(framework);
    let mut changed = false;
    for resource in resources {
        resource_to_post_refinement(resource);
        if resource.allocation_info.is_some() {
            continue;
        }
        match &role {
            Some(role) => {
                resource.allocation_info = Some(resource::AllocationInfo { role: Some(role.clone()) });
                changed = true;
            }
            None => turn.error(format!(
                "Resource '{}' on disk is allocated to no role, and framework '{}' has several",
                resource.name, framework.name
            )),
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(deprecated)]
    fn resources_of_before_multiple_roles_get_the_framework_s_role() {
        let mut effects = Vec::new();
        let mut turn = Turn::new(messor_stdx::Time::from_secs_f64(0.0), &mut effects);
        let framework = FrameworkInfo { role: Some("web".to_string()), ..FrameworkInfo::default() };
        let mut resources = [Resource { name: "cpus".to_string(), ..Resource::default() }];
        assert!(normalise(&mut turn, &mut resources, &framework));
        let role = resources[0].allocation_info.as_ref().and_then(|info| info.role.as_deref());
        assert_eq!(role, Some("web"));
        assert!(!normalise(&mut turn, &mut resources, &framework), "once");
    }
}
