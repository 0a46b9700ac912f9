//! ExecutorInfo: by itself, and where it is to run.

use messor_proto::mesos::{ContainerInfo, ExecutorInfo, container_info, executor_info};
use messor_types::{ExecutorId, FrameworkId, Resources};

use crate::command::{CommandError, validate_command};
use crate::container::{ContainerError, validate_container};
use crate::ids::{IdError, validate_id};
use crate::resources::{ResourcesError, validate_one_role, validate_resources, validate_together};
use crate::task::Site;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorError {
    #[error("'command' must not be set for an executor of type DEFAULT")]
    DefaultCommand,
    #[error("'container.type' must be MESOS for an executor of type DEFAULT")]
    DefaultContainer,
    #[error("'container.mesos.image' must not be set for an executor of type DEFAULT")]
    DefaultImage,
    #[error("'command' must be set for an executor of type CUSTOM")]
    NoCommand,
    #[error("'executor_id' is invalid: {0}")]
    Id(#[from] IdError),
    #[error("'shutdown_grace_period' must not be negative")]
    GracePeriod,
    #[error("'command' is invalid: {0}")]
    Command(#[from] CommandError),
    #[error("'container' is invalid: {0}")]
    Container(#[from] ContainerError),
    #[error("'framework_id' must be set to {0}")]
    NoFramework(FrameworkId),
    #[error("'framework_id' is {given}, but the framework is {expected}")]
    Framework { given: FrameworkId, expected: FrameworkId },
    #[error("'resources' are invalid: {0}")]
    Resources(#[from] ResourcesError),
    #[error(
        "executor {0} runs already with another ExecutorInfo: use another 'executor_id' or the same ExecutorInfo"
    )]
    Incompatible(ExecutorId),
}

/// Checks an ExecutorInfo by itself.
pub fn validate_executor(executor: &ExecutorInfo) -> Result<(), ExecutorError> {
    match executor.r#type() {
        executor_info::Type::Default => {
            if executor.command.is_some() {
                return Err(ExecutorError::DefaultCommand);
            }
            if let Some(container) = &executor.container {
                if container.r#type() != container_info::Type::Mesos {
                    return Err(ExecutorError::DefaultContainer);
                }
                if container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
                    return Err(ExecutorError::DefaultImage);
                }
            }
        }
        executor_info::Type::Custom if executor.command.is_none() => return Err(ExecutorError::NoCommand),
        executor_info::Type::Custom | executor_info::Type::Unknown => {}
    }
    validate_id(&executor.executor_id.value)?;
    if executor.shutdown_grace_period.as_ref().is_some_and(|period| period.nanoseconds < 0) {
        return Err(ExecutorError::GracePeriod);
    }
    if let Some(command) = &executor.command {
        validate_command(command)?;
    }
    if let Some(container) = &executor.container {
        validate_container(container)?;
    }
    Ok(())
}

/// Checks an ExecutorInfo where it is to run; answers with its resources.
pub(crate) fn validate_executor_at(
    executor: &ExecutorInfo,
    site: &Site<'_>,
) -> Result<Resources, ExecutorError> {
    // Type UNKNOWN is an executor of an older framework, which has no type: it needs its command all the same, and
    // who runs a task with it looks after that.
    validate_executor(executor)?;
    match &executor.framework_id {
        None => return Err(ExecutorError::NoFramework(site.framework.clone())),
        Some(id) if id.value != site.framework.as_str() => {
            let (given, expected) = (FrameworkId::from(id), site.framework.clone());
            return Err(ExecutorError::Framework { given, expected });
        }
        Some(_) => {}
    }
    let resources = validate_resources(&executor.resources)?;
    validate_one_role(&resources)?;
    validate_together(&resources)?;
    let id = ExecutorId::from(&executor.executor_id);
    match (site.executor)(&id) {
        Some(existing) if existing != executor => Err(ExecutorError::Incompatible(id)),
        _ => Ok(resources),
    }
}

/// `share_cgroups` was set to true by hand.
pub(crate) fn asks_to_share_cgroups(container: Option<&ContainerInfo>) -> bool {
    share_cgroups(container) == Some(true)
}

pub(crate) fn share_cgroups(container: Option<&ContainerInfo>) -> Option<bool> {
    container?.linux_info.as_ref()?.share_cgroups
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::{CommandInfo, DurationInfo, Image, container_info::MesosInfo};

    #[test]
    fn executors_by_themselves() {
        let executor = |kind: Option<executor_info::Type>| ExecutorInfo {
            r#type: kind.map(|kind| kind as i32),
            executor_id: ExecutorId::new("e").into(),
            ..Default::default()
        };
        let command = Some(CommandInfo::default());
        let default = executor(Some(executor_info::Type::Default));
        let container = |kind: container_info::Type, image: bool| {
            let mesos = MesosInfo { image: image.then(Image::default) };
            Some(Box::new(ContainerInfo { r#type: kind as i32, mesos: Some(mesos), ..Default::default() }))
        };
        let custom = ExecutorInfo { command: command.clone(), ..executor(Some(executor_info::Type::Custom)) };
        let docker = container(container_info::Type::Docker, false);
        for (executor, expected) in [
            (executor(None), Ok(())),
            (default.clone(), Ok(())),
            (ExecutorInfo { command, ..default.clone() }, Err(ExecutorError::DefaultCommand)),
            (
                ExecutorInfo { container: docker.clone(), ..default.clone() },
                Err(ExecutorError::DefaultContainer),
            ),
            (
                ExecutorInfo { container: container(container_info::Type::Mesos, true), ..default },
                Err(ExecutorError::DefaultImage),
            ),
            (custom.clone(), Ok(())),
            (executor(Some(executor_info::Type::Custom)), Err(ExecutorError::NoCommand)),
            (
                ExecutorInfo { executor_id: ExecutorId::new("").into(), ..custom.clone() },
                Err(ExecutorError::Id(IdError::Empty)),
            ),
            (
                ExecutorInfo {
                    shutdown_grace_period: Some(DurationInfo { nanoseconds: -1 }),
                    ..custom.clone()
                },
                Err(ExecutorError::GracePeriod),
            ),
            (
                ExecutorInfo { container: docker, ..custom },
                Err(ExecutorError::Container(ContainerError::Docker)),
            ),
        ] {
            assert_eq!(validate_executor(&executor), expected, "{executor:?}");
        }
    }
}
