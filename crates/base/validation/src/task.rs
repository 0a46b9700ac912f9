//! TaskInfo of a LAUNCH.

use messor_proto::mesos::{ExecutorInfo, TaskInfo, executor_info};
use messor_types::{AgentCapabilities, AgentId, ExecutorId, FrameworkId, Resources, Scalar, TaskId};

use crate::checks::{CheckError, validate_check, validate_health_check};
use crate::command::{CommandError, validate_command};
use crate::container::{ContainerError, validate_container};
use crate::executor::{ExecutorError, asks_to_share_cgroups, share_cgroups, validate_executor_at};
use crate::ids::{IdError, validate_id};
use crate::resources::{
    ResourcesError, validate_disjoint, validate_one_role, validate_resources, validate_together,
};

/// Where tasks are to be launched: the framework, the agent, and what is known of both.
pub struct Site<'a> {
    pub framework: &'a FrameworkId,
    pub agent: &'a AgentId,
    pub agent_capabilities: AgentCapabilities,
    /// What a task id of the framework is in use for.
    pub task: &'a dyn Fn(&TaskId) -> TaskIdUse,
    /// The framework's executor of that id that runs on the agent.
    pub executor: &'a dyn Fn(&ExecutorId) -> Option<&'a ExecutorInfo>,
    /// `share_cgroups` of the tasks that the executor has already.
    pub shares_cgroups: &'a dyn Fn(&ExecutorId) -> Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskIdUse {
    Free,
    Taken,
    /// By a task on an agent that is unreachable: it may come back.
    Unreachable,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    #[error("'task_id' is invalid: {0}")]
    Id(#[from] IdError),
    #[error("task id {0} is in use: give each task another")]
    IdTaken(TaskId),
    #[error("task id {0} is that of a task on an unreachable agent: give each task another")]
    IdUnreachable(TaskId),
    #[error("'agent_id' is {given}, but the offers are of agent {expected}")]
    Agent { given: AgentId, expected: AgentId },
    #[error("'kill_policy.grace_period' must not be negative")]
    GracePeriod,
    #[error("'max_completion_time' must not be negative")]
    MaxCompletionTime,
    #[error("'check' is invalid: {0}")]
    Check(CheckError),
    #[error("'health_check' is invalid: {0}")]
    HealthCheck(CheckError),
    #[error("the task uses no resources")]
    NoResources,
    #[error("'resources' are invalid: {0}")]
    Resources(#[from] ResourcesError),
    #[error("the resources of the task and its executor are invalid together: {0}")]
    Together(ResourcesError),
    #[error("'command' is invalid: {0}")]
    Command(#[from] CommandError),
    #[error("'container' is invalid: {0}")]
    Container(#[from] ContainerError),
    #[error("'limits' cannot be used on this agent: it lacks the capability TASK_RESOURCE_LIMITS")]
    LimitsNotSupported,
    #[error("'limits' may have 'cpus' and 'mem', not '{0}'")]
    LimitName(String),
    #[error("'limits' has '{0}', so 'resources' must have it too")]
    LimitWithoutRequest(&'static str),
    #[error("'limits' has less '{0}' than 'resources'")]
    LimitTooSmall(&'static str),
    #[error("exactly one of 'command' and 'executor' must be set")]
    CommandOrExecutor,
    #[error("'executor' is invalid: {0}")]
    Executor(#[from] ExecutorError),
    #[error("'executor.type' must be CUSTOM in a LAUNCH")]
    ExecutorType,
    #[error("'executor.command' must be set")]
    ExecutorCommand,
    #[error("'executor.resources' must not have shared resources")]
    SharedExecutor,
    #[error("'share_cgroups' must not be true on an executor's container")]
    ExecutorShareCgroups,
    #[error("'share_cgroups' may be false for tasks of a task group only")]
    ShareCgroups,
    #[error("the task and its executor need {needed}, which is more than the {available} that are available")]
    Insufficient { needed: String, available: String },
}

/// Checks a task of a LAUNCH against what is left of the accepted offers. Its resources carry the allocation role.
/// Answers with the resources of the task, and those of its executor if that has to be started.
pub fn validate_task(
    task: &TaskInfo,
    site: &Site<'_>,
    available: &Resources,
) -> Result<(Resources, Option<Resources>), TaskError> {
    let resources = validate_any_task(task, site)?;
    let mut needed = resources.clone();
    let mut started = None;
    match (&task.executor, &task.command) {
        (Some(executor), None) => {
            let of_executor = validate_custom_executor(executor, site)?;
            validate_disjoint(&[&resources, &of_executor]).map_err(TaskError::Together)?;
            validate_together(&(&resources + &of_executor)).map_err(TaskError::Together)?;
            if (site.executor)(&ExecutorId::from(&executor.executor_id)).is_none() {
                needed += &of_executor;
                started = Some(of_executor);
            }
        }
        (None, Some(_)) => {}
        _ => return Err(TaskError::CommandOrExecutor),
    }
    if !available.contains(&needed) {
        return Err(TaskError::Insufficient { needed: needed.to_string(), available: available.to_string() });
    }
    if share_cgroups(task.container.as_deref()) == Some(false) {
        return Err(TaskError::ShareCgroups);
    }
    Ok((resources, started))
}

fn validate_custom_executor(executor: &ExecutorInfo, site: &Site<'_>) -> Result<Resources, TaskError> {
    let resources = validate_executor_at(executor, site)?;
    if executor.r#type.is_some() && executor.r#type() != executor_info::Type::Custom {
        return Err(TaskError::ExecutorType);
    }
    if executor.command.is_none() {
        return Err(TaskError::ExecutorCommand);
    }
    if resources.iter().any(|resource| resource.is_shared()) {
        return Err(TaskError::SharedExecutor);
    }
    if asks_to_share_cgroups(executor.container.as_deref()) {
        return Err(TaskError::ExecutorShareCgroups);
    }
    Ok(resources)
}

/// What holds for tasks of a LAUNCH and of a LAUNCH_GROUP; answers with the task's resources.
pub(crate) fn validate_any_task(task: &TaskInfo, site: &Site<'_>) -> Result<Resources, TaskError> {
    validate_id(&task.task_id.value)?;
    let id = TaskId::from(&task.task_id);
    match (site.task)(&id) {
        TaskIdUse::Free => {}
        TaskIdUse::Taken => return Err(TaskError::IdTaken(id)),
        TaskIdUse::Unreachable => return Err(TaskError::IdUnreachable(id)),
    }
    if task.agent_id.value != site.agent.as_str() {
        let (given, expected) = (AgentId::from(&task.agent_id), site.agent.clone());
        return Err(TaskError::Agent { given, expected });
    }
    let grace_period = task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    if grace_period.is_some_and(|period| period.nanoseconds < 0) {
        return Err(TaskError::GracePeriod);
    }
    if task.max_completion_time.as_ref().is_some_and(|time| time.nanoseconds < 0) {
        return Err(TaskError::MaxCompletionTime);
    }
    if let Some(check) = &task.check {
        validate_check(check).map_err(TaskError::Check)?;
    }
    if let Some(check) = &task.health_check {
        validate_health_check(check).map_err(TaskError::HealthCheck)?;
    }
    if task.resources.is_empty() {
        return Err(TaskError::NoResources);
    }
    let resources = validate_resources(&task.resources)?;
    // Nothing but zeros is no resources either: nothing would say which role the task is of.
    if resources.is_empty() {
        return Err(TaskError::NoResources);
    }
    validate_one_role(&resources)?;
    validate_together(&resources)?;
    if let Some(command) = &task.command {
        validate_command(command)?;
    }
    if let Some(container) = &task.container {
        validate_container(container)?;
    }
    validate_limits(task, &resources, site)?;
    Ok(resources)
}

fn validate_limits(task: &TaskInfo, resources: &Resources, site: &Site<'_>) -> Result<(), TaskError> {
    if task.limits.is_empty() {
        return Ok(());
    }
    if !site.agent_capabilities.task_resource_limits {
        return Err(TaskError::LimitsNotSupported);
    }
    for (name, limit) in &task.limits {
        let (name, request) = match name.as_str() {
            "cpus" => ("cpus", resources.cpus()),
            "mem" => ("mem", resources.mem()),
            other => return Err(TaskError::LimitName(other.to_string())),
        };
        let request = request.ok_or(TaskError::LimitWithoutRequest(name))?;
        // Infinity is the largest scalar; not-a-number the smallest.
        if Scalar::from_f64(limit.value) < request {
            return Err(TaskError::LimitTooSmall(name));
        }
    }
    Ok(())
}
