//! TaskGroupInfo of a LAUNCH_GROUP: it is launched as a whole or not at all.

use messor_proto::mesos::{
    ContainerInfo, ExecutorInfo, TaskGroupInfo, TaskInfo, container_info, executor_info, health_check,
};
use messor_types::{ExecutorId, Resources, Scalar, TaskId};

use crate::executor::{ExecutorError, asks_to_share_cgroups, share_cgroups, validate_executor_at};
use crate::resources::{ResourcesError, validate_disjoint, validate_together};
use crate::task::{Site, TaskError, validate_any_task};

const LEAST_CPUS: Scalar = Scalar::from_millis(10);
const LEAST_MEM_MB: Scalar = Scalar::from_units(32);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskGroupError {
    /// Whose executor would wait for tasks that never come.
    #[error("'task_group.tasks' is empty")]
    NoTasks,
    #[error("task {task} is invalid: {error}")]
    Task { task: TaskId, error: TaskError },
    #[error("task {0} is there twice")]
    TaskTwice(TaskId),
    #[error("task {0} is invalid: 'executor' must be set")]
    NoExecutor(TaskId),
    #[error("task {0} is invalid: with networks of its own it cannot have an HTTP or TCP health check")]
    HealthCheckNetwork(TaskId),
    #[error("task {0} is invalid: 'container.type' must not be DOCKER")]
    TaskDocker(TaskId),
    #[error("task {0} is invalid: 'limits' needs 'share_cgroups' to be false")]
    Limits(TaskId),
    #[error("'executor' is invalid: {0}")]
    Executor(#[from] ExecutorError),
    #[error("'executor.type' must be set to DEFAULT or CUSTOM")]
    ExecutorType,
    #[error("'executor.container.type' must not be DOCKER")]
    ExecutorDocker,
    #[error("task {0} has another 'executor' than the group")]
    OtherExecutor(TaskId),
    #[error("'executor.resources' needs at least {LEAST_CPUS} cpus")]
    Cpus,
    #[error("'executor.resources' needs at least {LEAST_MEM_MB} MB of mem")]
    Mem,
    #[error("'executor.resources' needs disk")]
    Disk,
    #[error("the resources of the tasks and the executor are invalid together: {0}")]
    Together(ResourcesError),
    #[error(
        "the tasks and their executor need {needed}, which is more than the {available} that are available"
    )]
    Insufficient { needed: String, available: String },
    #[error("'share_cgroups' must not be true on an executor's container")]
    ExecutorShareCgroups,
    #[error("'share_cgroups' must be the same for all tasks of an executor")]
    ShareCgroups,
}

/// Checks a task group and its executor. Answers with the resources of each task, and those of the executor if it has
/// to be started.
pub fn validate_task_group(
    group: &TaskGroupInfo,
    executor: &ExecutorInfo,
    site: &Site<'_>,
    available: &Resources,
) -> Result<(Vec<Resources>, Option<Resources>), TaskGroupError> {
    if group.tasks.is_empty() {
        return Err(TaskGroupError::NoTasks);
    }
    let mut of_tasks = Vec::with_capacity(group.tasks.len());
    let mut ids = std::collections::BTreeSet::new();
    for task in &group.tasks {
        of_tasks.push(validate_grouped_task(task, site)?);
        if !ids.insert(&task.task_id.value) {
            return Err(TaskGroupError::TaskTwice(TaskId::from(&task.task_id)));
        }
    }
    let of_executor = validate_group_executor(group, executor, site)?;

    let mut parts: Vec<&Resources> = of_tasks.iter().collect();
    parts.push(&of_executor);
    let total: Resources = parts.iter().copied().sum();
    validate_together(&total).map_err(TaskGroupError::Together)?;
    validate_disjoint(&parts).map_err(TaskGroupError::Together)?;

    let started = (site.executor)(&ExecutorId::from(&executor.executor_id)).is_none();
    let needed = if started { total } else { of_tasks.iter().sum() };
    if !available.contains(&needed) {
        return Err(TaskGroupError::Insufficient {
            needed: needed.to_string(),
            available: available.to_string(),
        });
    }
    validate_share_cgroups(group, executor, site)?;
    Ok((of_tasks, started.then_some(of_executor)))
}

fn validate_grouped_task(task: &TaskInfo, site: &Site<'_>) -> Result<Resources, TaskGroupError> {
    let id = || TaskId::from(&task.task_id);
    let resources =
        validate_any_task(task, site).map_err(|error| TaskGroupError::Task { task: id(), error })?;
    if task.executor.is_none() {
        return Err(TaskGroupError::NoExecutor(id()));
    }
    if let Some(container) = &task.container {
        let by_network = task.health_check.as_ref().is_some_and(|check| {
            matches!(check.r#type(), health_check::Type::Http | health_check::Type::Tcp)
        });
        if !container.network_infos.is_empty() && by_network {
            return Err(TaskGroupError::HealthCheckNetwork(id()));
        }
        if is_docker(task.container.as_deref()) {
            return Err(TaskGroupError::TaskDocker(id()));
        }
    }
    if !task.limits.is_empty() && share_cgroups(task.container.as_deref()) != Some(false) {
        return Err(TaskGroupError::Limits(id()));
    }
    Ok(resources)
}

fn validate_group_executor(
    group: &TaskGroupInfo,
    executor: &ExecutorInfo,
    site: &Site<'_>,
) -> Result<Resources, TaskGroupError> {
    let resources = validate_executor_at(executor, site)?;
    if executor.r#type.is_none() || executor.r#type() == executor_info::Type::Unknown {
        return Err(TaskGroupError::ExecutorType);
    }
    if is_docker(executor.container.as_deref()) {
        return Err(TaskGroupError::ExecutorDocker);
    }
    let other = |task: &&TaskInfo| task.executor.as_ref().is_some_and(|of_task| of_task != executor);
    if let Some(task) = group.tasks.iter().find(other) {
        return Err(TaskGroupError::OtherExecutor(TaskId::from(&task.task_id)));
    }
    if resources.cpus().is_none_or(|cpus| cpus < LEAST_CPUS) {
        return Err(TaskGroupError::Cpus);
    }
    if resources.mem().is_none_or(|mem| mem < LEAST_MEM_MB) {
        return Err(TaskGroupError::Mem);
    }
    if resources.disk().is_none() {
        return Err(TaskGroupError::Disk);
    }
    Ok(resources)
}

fn validate_share_cgroups(
    group: &TaskGroupInfo,
    executor: &ExecutorInfo,
    site: &Site<'_>,
) -> Result<(), TaskGroupError> {
    if asks_to_share_cgroups(executor.container.as_deref()) {
        return Err(TaskGroupError::ExecutorShareCgroups);
    }
    let asked = group.tasks.iter().map(|task| share_cgroups(task.container.as_deref()).unwrap_or(true));
    let running = (site.shares_cgroups)(&ExecutorId::from(&executor.executor_id));
    let all: Vec<bool> = asked.chain(running).collect();
    if all.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(TaskGroupError::ShareCgroups);
    }
    Ok(())
}

fn is_docker(container: Option<&ContainerInfo>) -> bool {
    container.is_some_and(|container| container.r#type() == container_info::Type::Docker)
}
