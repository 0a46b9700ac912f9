//! The one trait of isolators.

use std::path::{Path, PathBuf};

use messor_proto::mesos::slave::{ContainerClass, ContainerConfig, ContainerLaunchInfo, ContainerLimitation};
use messor_proto::mesos::{ContainerStatus, ResourceStatistics};
use messor_types::{ContainerId, Resources};

/// A container as its isolators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// With its parents, where it is nested.
    pub id: ContainerId,
    /// Resources, limits, user, sandbox (absolute), container info, command, class (DEBUG of sessions), as checkpointed.
    pub config: ContainerConfig,
    /// It was launched by an operator (LAUNCH_CONTAINER) and is of no executor.
    pub standalone: bool,
    /// Its directory below --runtime_dir. An isolator may keep files of its own there, that the next agent reads.
    pub runtime_directory: PathBuf,
}

/// A container that an agent of before left, and that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    pub container: Container,
    /// None: it was never started, or its process is gone.
    pub pid: Option<i32>,
}

#[derive(Debug, thiserror::Error)]
pub enum IsolatorError {
    /// What the container asks for is wrong; the words name the field.
    #[error("{0}")]
    Invalid(String),
    #[error("not supported yet: {0}")]
    NotSupported(String),
    /// What was to be done, and why it failed.
    #[error("{0}: {1}")]
    Failed(String, #[source] std::io::Error),
}

impl From<messor_linux::cgroups::GroupError> for IsolatorError {
    fn from(error: messor_linux::cgroups::GroupError) -> IsolatorError {
        IsolatorError::Failed("control groups".to_string(), std::io::Error::other(error))
    }
}

impl Container {
    pub(crate) fn linux_info(&self) -> Option<&messor_proto::mesos::LinuxInfo> {
        self.config.container_info.as_ref()?.linux_info.as_ref()
    }

    pub(crate) fn is_nested(&self) -> bool {
        self.id.parent().is_some()
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.config.container_class() == ContainerClass::Debug
    }

    /// The sandbox of the outermost container. All that is below it belongs to the task's user, the way to the sandboxes of
    /// nested containers too; its own name does not.
    pub fn root_sandbox(&self) -> &Path {
        let mut path = Path::new(&self.config.directory);
        let mut id = &self.id;
        while let (Some(parent), Some(above)) = (id.parent(), path.parent().and_then(Path::parent)) {
            (id, path) = (parent, above);
        }
        path
    }

    /// The task of a command executor, which the executor itself gives another root.
    pub(crate) fn is_command_task(&self) -> bool {
        self.config.task_info.is_some()
    }

    /// The resources as they add up.
    pub(crate) fn resources(&self) -> Result<Resources, IsolatorError> {
        Resources::from_proto(&self.config.resources).map_err(|error| {
            IsolatorError::Invalid(format!("the container's resources cannot be read: {error}"))
        })
    }

    /// The limit on a resource; infinity is none.
    pub(crate) fn limit(&self, name: &str) -> Option<f64> {
        self.config.limits.get(name).map(|limit| limit.value)
    }
}

/// Where an isolator tells that a container went beyond what it may; the containerizer then ends it. Any thread may call
/// it; it does not block.
pub trait Limitations: Send + Sync {
    fn exceeded(&self, container: &ContainerId, limitation: ContainerLimitation);
}

/// All calls may block, come from any thread, and for one container one at a time, in the order in which they stand
/// here. Different containers are called for at the same time. A call that fails leaves nothing behind that `cleanup`
/// does not remove; `cleanup` is called for every container that `prepare` was called for, whether or not that succeeded,
/// may be called twice, and for a container that the isolator does not know it does nothing.
pub trait Isolator: Send + Sync {
    /// As in `--isolation`, such as `cgroups/cpu`.
    fn name(&self) -> &'static str;

    /// Whether it is asked about nested containers as well.
    fn supports_nesting(&self) -> bool {
        false
    }

    fn supports_standalone(&self) -> bool {
        false
    }

    /// What it counts, in the names of 1.11.0 behind `containerizer/mesos/`.
    fn metrics(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Once, before anything else. `going_on` are parents before their children. Afterwards everything else that is found
    /// of this isolator on the host and is of no known container is removed; `orphans` are going to be destroyed by the
    /// containerizer, which calls `cleanup` for each.
    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        let _ = (going_on, orphans);
        Ok(())
    }

    /// Before the first process starts. What it answers is merged with what others answer and carried out by the
    /// launcher in the new process; the paths of mounts are of the host (before a change of root).
    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let _ = container;
        Ok(None)
    }

    /// The first process is there and waits to go on.
    fn isolate(&self, container: &Container, pid: i32) -> Result<(), IsolatorError> {
        let _ = (container, pid);
        Ok(())
    }

    /// New resources or limits of a running container, which `container.config` has.
    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        let _ = container;
        Ok(())
    }

    /// Its part of the usage; parts of several isolators are merged.
    fn usage(&self, container: &Container) -> Result<ResourceStatistics, IsolatorError> {
        let _ = container;
        Ok(ResourceStatistics::default())
    }

    fn status(&self, container: &Container) -> Result<ContainerStatus, IsolatorError> {
        let _ = container;
        Ok(ContainerStatus::default())
    }

    /// Whether the container has gone beyond what it may, asked when one of its processes was killed: word of that through
    /// `Limitations` may still be on its way.
    fn exceeded(&self, container: &ContainerId) -> Option<ContainerLimitation> {
        let _ = container;
        None
    }

    /// No process of the container is left.
    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        let _ = container;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A container of which only the id is said.
    pub fn container(id: &str) -> Container {
        Container {
            id: ContainerId::new(id),
            config: ContainerConfig::default(),
            standalone: false,
            runtime_directory: PathBuf::from("/nowhere"),
        }
    }

    /// One nested in another.
    pub fn nested(parent: &Container, id: &str) -> Container {
        Container { id: ContainerId::nested(&parent.id, id), ..container(id) }
    }

    #[test]
    fn the_outermost_sandbox_is_two_names_up_for_each_container_around() {
        let mut container = nested(&nested(&container("a"), "b"), "c");
        container.config.directory = "/runs/a/containers/b/containers/c".to_string();
        assert_eq!(container.root_sandbox(), Path::new("/runs/a"));
    }

    /// Resources by name and amount.
    pub fn resources(amounts: &[(&str, f64)]) -> Vec<messor_proto::mesos::Resource> {
        let all: Resources =
            amounts.iter().map(|(name, amount)| messor_types::Resource::scalar(name, *amount)).collect();
        all.to_proto(messor_types::ResourceFormat::PostRefinement)
    }
}
