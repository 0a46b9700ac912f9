//! The containers of the v1 API, by the containerizer.

use std::path::PathBuf;

use messor_containerizer::{Answer, ContainerLaunch as Wanted, Containerizer};
use messor_http_api::{
    Answering, ContainerClass, ContainerError, ContainerLaunch, ContainerSource, Launched,
};
use messor_proto::mesos::ContainerStatus;
use messor_proto::mesos::slave::ContainerTermination;
use messor_types::ContainerId;

pub struct Source(pub Containerizer);

fn refused(id: &ContainerId, answer: Answer) -> ContainerError {
    match answer {
        Answer::NotFound => ContainerError::NotFound(id.clone()),
        Answer::NoParent => ContainerError::NotFound(id.parent().unwrap_or(id).clone()),
        Answer::Invalid(words) => ContainerError::Invalid(words),
        Answer::Failed { message, .. } => ContainerError::Failed(message),
        other => ContainerError::Failed(format!("container {id}: {other:?}")),
    }
}

impl ContainerSource for Source {
    fn launch(&self, launch: ContainerLaunch) -> Answering<'_, Result<Launched, ContainerError>> {
        Box::pin(async move {
            let id = launch.id;
            let wanted = Wanted {
                command: launch.command,
                container_info: launch.container,
                resources: launch.resources,
                limits: launch.limits.into_iter().map(|(name, limit)| (name, limit.value)).collect(),
                debug: launch.class == ContainerClass::Debug,
                user: None,
            };
            match self.0.launch(id.clone(), wanted).await {
                Answer::Launched { .. } => Ok(Launched::Started),
                Answer::Exists => Ok(Launched::AlreadyExists),
                answer => Err(refused(&id, answer)),
            }
        })
    }

    fn wait(&self, id: &ContainerId) -> Answering<'_, Option<ContainerTermination>> {
        Box::pin(self.0.wait(id.clone()))
    }

    fn kill(&self, id: &ContainerId, signal: i32) -> Answering<'_, Result<bool, ContainerError>> {
        let id = id.clone();
        Box::pin(async move {
            match self.0.kill(id.clone(), signal).await {
                Answer::Signalled => Ok(true),
                Answer::NotFound => Ok(false),
                answer => Err(refused(&id, answer)),
            }
        })
    }

    fn destroy(&self, id: &ContainerId) -> Answering<'_, ()> {
        let id = id.clone();
        Box::pin(async move { self.0.destroy(id) })
    }

    fn status(&self, id: &ContainerId) -> Answering<'_, Option<ContainerStatus>> {
        Box::pin(self.0.status(id.clone()))
    }

    fn remove(&self, id: &ContainerId) -> Answering<'_, Result<(), ContainerError>> {
        let id = id.clone();
        Box::pin(async move {
            match self.0.remove(id.clone()).await {
                Answer::Removed => Ok(()),
                answer => Err(refused(&id, answer)),
            }
        })
    }

    fn attach(&self, id: &ContainerId) -> Answering<'_, Result<PathBuf, ContainerError>> {
        let found = self.0.attach(id).map_err(ContainerError::Failed);
        Box::pin(async { found })
    }
}
