//! What the container calls of the v1 API need of the containerizer. It must not know HTTP.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use messor_proto::mesos::slave::ContainerTermination;
use messor_proto::mesos::{CommandInfo, ContainerInfo, ContainerStatus, Resource, value};
use messor_types::ContainerId;

pub type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a container is for. A session (LAUNCH_NESTED_CONTAINER_SESSION) is of class DEBUG in Mesos: it shares everything
/// with its parent, and an agent that comes back ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerClass {
    Default,
    Debug,
}

/// A container to start. The call is valid as far as that can be told without knowing containers.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerLaunch {
    /// With its parents. Without any, it is a standalone one.
    pub id: ContainerId,
    /// An empty one where the call has none.
    pub command: CommandInfo,
    pub container: Option<ContainerInfo>,
    /// Of its own: of standalone containers, and of nested ones that do not share their parent's cgroups.
    pub resources: Vec<Resource>,
    pub limits: BTreeMap<String, value::Scalar>,
    pub class: ContainerClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launched {
    /// Its program runs.
    Started,
    /// There is one of this id, running or starting.
    AlreadyExists,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// What the container asks for is wrong; the words name the field.
    #[error("{0}")]
    Invalid(String),
    /// There is no such container, or no such parent.
    #[error("container '{0}' cannot be found")]
    NotFound(ContainerId),
    #[error("not supported yet: {0}")]
    NotSupported(String),
    #[error("{0}")]
    Failed(String),
}

/// The containers of an agent: of executors, nested and standalone ones.
pub trait ContainerSource: Send + Sync {
    /// Starts a nested or standalone container; done when its program runs. What fails leaves nothing behind.
    fn launch(&self, launch: ContainerLaunch) -> Answering<'_, Result<Launched, ContainerError>>;

    /// Waits until it is gone, with everything in it. Of a nested container that ended the answer is kept until it is
    /// removed or its outermost container is gone. None: there is no such container.
    fn wait(&self, id: &ContainerId) -> Answering<'_, Option<ContainerTermination>>;

    /// Sends a signal to its first process; one that has none yet is destroyed. False: there is no such container.
    fn kill(&self, id: &ContainerId, signal: i32) -> Answering<'_, Result<bool, ContainerError>>;

    /// Ends it and all that is in it, if it is there. Done when that is under way; `wait` tells the end.
    fn destroy(&self, id: &ContainerId) -> Answering<'_, ()>;

    /// Its first process, its addresses and its cgroups; None: it does not run, or nothing is known.
    fn status(&self, id: &ContainerId) -> Answering<'_, Option<ContainerStatus>> {
        let _ = id;
        Box::pin(async { None })
    }

    /// Forgets a container that has ended, and removes its files.
    fn remove(&self, id: &ContainerId) -> Answering<'_, Result<(), ContainerError>>;

    /// The socket of its I/O switchboard.
    fn attach(&self, id: &ContainerId) -> Answering<'_, Result<PathBuf, ContainerError>>;
}

/// Of a program that has no such containers.
pub struct NoContainers;

impl ContainerSource for NoContainers {
    fn launch(&self, _: ContainerLaunch) -> Answering<'_, Result<Launched, ContainerError>> {
        Box::pin(async { Err(ContainerError::NotSupported("nested and standalone containers".to_string())) })
    }

    fn wait(&self, _: &ContainerId) -> Answering<'_, Option<ContainerTermination>> {
        Box::pin(async { None })
    }

    fn kill(&self, _: &ContainerId, _: i32) -> Answering<'_, Result<bool, ContainerError>> {
        Box::pin(async { Ok(false) })
    }

    fn destroy(&self, _: &ContainerId) -> Answering<'_, ()> {
        Box::pin(async {})
    }

    fn remove(&self, id: &ContainerId) -> Answering<'_, Result<(), ContainerError>> {
        let id = id.clone();
        Box::pin(async { Err(ContainerError::NotFound(id)) })
    }

    fn attach(&self, id: &ContainerId) -> Answering<'_, Result<PathBuf, ContainerError>> {
        let id = id.clone();
        Box::pin(async { Err(ContainerError::NotFound(id)) })
    }
}
