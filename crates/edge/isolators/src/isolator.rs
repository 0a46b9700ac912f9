//! The one trait of isolators.

use std::path::PathBuf;

use messor_proto::mesos::slave::{ContainerConfig, ContainerLaunchInfo, ContainerLimitation};
use messor_proto::mesos::{ContainerStatus, ResourceStatistics};
use messor_types::ContainerId;

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

    /// No process of the container is left.
    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        let _ = container;
        Ok(())
    }
}
