//! What agents say when they register and come back.

use std::collections::BTreeSet;

use messor_proto::mesos::internal::{RegisterAgentMessage, ReregisterAgentMessage};
use messor_proto::mesos::{AgentInfo, TaskState};
use messor_types::{ResourceError, Resources, validate_resource};

use crate::executor::{ExecutorError, validate_executor};
use crate::framework::{FrameworkError, validate_framework};
use crate::ids::{IdError, validate_id};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AgentError {
    #[error("the agent's id is invalid: {0}")]
    Id(IdError),
    #[error("the agent has no id")]
    NoId,
    #[error(transparent)]
    Resources(#[from] ResourceError),
    #[error("resources are checkpointed, but 'checkpoint' of the agent is not set")]
    NotCheckpointing,
    #[error("framework '{id}' is invalid: {error}")]
    Framework { id: String, error: FrameworkError },
    #[error("framework '{0}' has no id, or is there twice")]
    FrameworkId(String),
    #[error("executor '{id}' is invalid: {error}")]
    Executor { id: String, error: ExecutorError },
    #[error("executor '{0}' is of a framework that the agent does not name")]
    ExecutorFramework(String),
    #[error("executor '{0}' is there twice")]
    ExecutorTwice(String),
    #[error("task '{task}' has an invalid id: {error}")]
    TaskId { task: String, error: IdError },
    #[error("task '{0}' is of another agent")]
    TaskAgent(String),
    #[error("task '{0}' is of a framework that the agent does not name")]
    TaskFramework(String),
    #[error("task '{0}' runs in an executor that the agent does not name")]
    TaskExecutor(String),
}

fn validate_info(info: &AgentInfo) -> Result<(), AgentError> {
    if let Some(id) = &info.id {
        validate_id(&id.value).map_err(AgentError::Id)?;
    }
    Resources::from_proto(&info.resources)?;
    Ok(())
}

pub fn validate_register_agent(message: &RegisterAgentMessage) -> Result<(), AgentError> {
    validate_info(&message.agent)?;
    if !message.checkpointed_resources.is_empty() && !message.agent.checkpoint() {
        return Err(AgentError::NotCheckpointing);
    }
    Resources::from_proto(&message.checkpointed_resources)?;
    Ok(())
}

pub fn validate_reregister_agent(message: &ReregisterAgentMessage) -> Result<(), AgentError> {
    validate_info(&message.agent)?;
    let agent_id = message.agent.id.as_ref().ok_or(AgentError::NoId)?;
    Resources::from_proto(&message.checkpointed_resources)?;

    let mut frameworks = BTreeSet::new();
    for framework in &message.frameworks {
        let id = framework.id.as_ref().map_or("", |id| id.value.as_str());
        validate_framework(framework).map_err(|error| AgentError::Framework { id: id.to_string(), error })?;
        if id.is_empty() || !frameworks.insert(id) {
            return Err(AgentError::FrameworkId(id.to_string()));
        }
    }
    let mut executors = BTreeSet::new();
    for executor in &message.executor_infos {
        let id = executor.executor_id.value.as_str();
        let framework = executor.framework_id.as_ref().map_or("", |id| id.value.as_str());
        validate_executor(executor).map_err(|error| AgentError::Executor { id: id.to_string(), error })?;
        Resources::from_proto(&executor.resources)?;
        if !frameworks.contains(framework) {
            return Err(AgentError::ExecutorFramework(id.to_string()));
        }
        if !executors.insert((framework, id)) {
            return Err(AgentError::ExecutorTwice(id.to_string()));
        }
    }
    for task in &message.tasks {
        let id = || task.task_id.value.clone();
        let framework = task.framework_id.value.as_str();
        validate_id(&task.task_id.value).map_err(|error| AgentError::TaskId { task: id(), error })?;
        if task.agent_id != *agent_id {
            return Err(AgentError::TaskAgent(id()));
        }
        if !frameworks.contains(framework) {
            return Err(AgentError::TaskFramework(id()));
        }
        if let Some(executor) = &task.executor_id
            && task.state() == TaskState::TaskRunning
            && !executors.contains(&(framework, executor.value.as_str()))
        {
            return Err(AgentError::TaskExecutor(id()));
        }
        // Whether they can be read; the sum is made where the task is taken.
        task.resources.iter().try_for_each(validate_resource)?;
    }
    Ok(())
}
