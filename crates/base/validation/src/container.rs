//! ContainerInfo and its volumes.

use messor_proto::mesos::{ContainerInfo, Volume, container_info, volume::source};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    #[error("volume '{0}' needs exactly one of 'host_path', 'image' and 'source'")]
    VolumeOneOf(String),
    #[error("volume '{path}' of type {kind} needs '{field}'")]
    VolumeSource { path: String, kind: &'static str, field: &'static str },
    #[error("volume '{0}' has no known 'source.type'")]
    VolumeSourceType(String),
    #[error("a container of type DOCKER needs 'docker'")]
    Docker,
    #[error("'docker.parameters' must not have a 'name': the agent names the containers")]
    DockerName,
}

pub fn validate_container(container: &ContainerInfo) -> Result<(), ContainerError> {
    for volume in &container.volumes {
        validate_volume(volume)?;
    }
    if container.r#type() == container_info::Type::Docker {
        let docker = container.docker.as_ref().ok_or(ContainerError::Docker)?;
        if docker.parameters.iter().any(|parameter| parameter.key == "name") {
            return Err(ContainerError::DockerName);
        }
    }
    Ok(())
}

pub fn validate_volume(volume: &Volume) -> Result<(), ContainerError> {
    let path = || volume.container_path.clone();
    let given = [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(ContainerError::VolumeOneOf(path()));
    }
    let Some(source) = &volume.source else { return Ok(()) };
    let (present, kind, field) = match source.r#type() {
        source::Type::DockerVolume => {
            (source.docker_volume.is_some(), "DOCKER_VOLUME", "source.docker_volume")
        }
        source::Type::HostPath => (source.host_path.is_some(), "HOST_PATH", "source.host_path"),
        source::Type::SandboxPath => (source.sandbox_path.is_some(), "SANDBOX_PATH", "source.sandbox_path"),
        source::Type::Secret => (source.secret.is_some(), "SECRET", "source.secret"),
        source::Type::CsiVolume => {
            let field = "source.csi_volume.static_provisioning";
            (source.csi_volume.as_ref().is_some_and(|v| v.static_provisioning.is_some()), "CSI_VOLUME", field)
        }
        source::Type::Unknown => return Err(ContainerError::VolumeSourceType(path())),
    };
    if present { Ok(()) } else { Err(ContainerError::VolumeSource { path: path(), kind, field }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::{Parameter, volume::Source};

    #[test]
    fn a_volume_has_one_source_of_its_type() {
        let volume = |host: Option<&str>, source: Option<Source>| Volume {
            container_path: "/v".into(),
            host_path: host.map(str::to_string),
            source,
            ..Default::default()
        };
        let typed = |kind: source::Type| Source { r#type: Some(kind as i32), ..Default::default() };
        let host_path = source::HostPath { path: "/h".into(), mount_propagation: None };
        let host_source = Source { host_path: Some(host_path), ..typed(source::Type::HostPath) };
        assert_eq!(validate_volume(&volume(Some("/h"), None)), Ok(()));
        assert_eq!(validate_volume(&volume(None, Some(host_source.clone()))), Ok(()));
        for wrong in [volume(None, None), volume(Some("/h"), Some(host_source))] {
            assert_eq!(validate_volume(&wrong), Err(ContainerError::VolumeOneOf("/v".into())));
        }
        use source::Type::{CsiVolume, DockerVolume, HostPath, SandboxPath, Secret, Unknown};
        for kind in [CsiVolume, DockerVolume, HostPath, SandboxPath, Secret] {
            let error = validate_volume(&volume(None, Some(typed(kind)))).unwrap_err();
            assert!(matches!(error, ContainerError::VolumeSource { .. }), "{kind:?}: {error}");
        }
        let unknown = validate_volume(&volume(None, Some(typed(Unknown))));
        assert_eq!(unknown, Err(ContainerError::VolumeSourceType("/v".into())));
    }

    #[test]
    fn docker_containers_have_docker_and_no_name() {
        let docker = |docker: Option<container_info::DockerInfo>| ContainerInfo {
            r#type: container_info::Type::Docker as i32,
            docker,
            ..Default::default()
        };
        let named = container_info::DockerInfo {
            parameters: vec![Parameter { key: "name".into(), value: "x".into() }],
            ..Default::default()
        };
        assert_eq!(validate_container(&docker(None)), Err(ContainerError::Docker));
        assert_eq!(validate_container(&docker(Some(named))), Err(ContainerError::DockerName));
        assert_eq!(validate_container(&docker(Some(Default::default()))), Ok(()));
    }
}
