//! Isolators of volumes: what else than its sandbox a container sees.

mod host_path;
mod sandbox_path;
mod secret;

pub use host_path::HostPath;
pub use sandbox_path::SandboxPath;
pub use secret::Secret;

use std::path::{Component, Path, PathBuf};

use messor_proto::mesos::slave::ContainerMountInfo;
use messor_proto::mesos::volume::Mode;
use messor_proto::mesos::{Volume, container_info};
use messor_validation::validate_volume;

use crate::isolator::{Container, IsolatorError};
use crate::kernel::{MS_BIND, MS_RDONLY, MS_REC};

/// The volumes of a container, each found sound.
fn volumes(container: &Container) -> Result<&[Volume], IsolatorError> {
    let Some(info) = &container.config.container_info else { return Ok(&[]) };
    if info.r#type() != container_info::Type::Mesos {
        return Err(IsolatorError::Invalid(
            "ContainerInfo.type: only MESOS containers have volumes here".to_string(),
        ));
    }
    for volume in &info.volumes {
        validate_volume(volume).map_err(|error| IsolatorError::Invalid(error.to_string()))?;
    }
    Ok(&info.volumes)
}

fn invalid<T>(volume: &Volume, text: impl std::fmt::Display) -> Result<T, IsolatorError> {
    Err(IsolatorError::Invalid(format!("volume '{}': {text}", volume.container_path)))
}

fn climbs(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

/// Where a volume is to be mounted, as a path of the host. The launcher makes what of it is not there, without being led
/// out of the root or the sandbox by links.
fn target(container: &Container, volume: &Volume, sandbox_directory: &str) -> Result<PathBuf, IsolatorError> {
    let path = Path::new(&volume.container_path);
    if volume.container_path.is_empty() || climbs(path) {
        return invalid(volume, "'container_path' must be a path without '..'");
    }
    let sandbox = Path::new(&container.config.directory);
    match (&container.config.rootfs, path.strip_prefix("/")) {
        (Some(rootfs), Ok(inner)) => Ok(Path::new(rootfs).join(inner)),
        (Some(rootfs), Err(_)) => {
            let inside = sandbox_directory.trim_start_matches('/');
            Ok(Path::new(rootfs).join(inside).join(path))
        }
        (None, Err(_)) => Ok(sandbox.join(path)),
        // On the host's root nothing is made.
        (None, Ok(_)) if path.exists() => Ok(path.to_path_buf()),
        (None, Ok(_)) => invalid(
            volume,
            "'container_path' is absolute: it must exist where a container has the host's root",
        ),
    }
}

/// U020: a volume that is to be read alone is.
fn mount(source: &Path, target: &Path, volume: &Volume) -> ContainerMountInfo {
    let read_only = if volume.mode() == Mode::Ro { MS_RDONLY } else { 0 };
    ContainerMountInfo {
        source: Some(source.to_string_lossy().into_owned()),
        target: target.to_string_lossy().into_owned(),
        flags: Some(MS_BIND | MS_REC | read_only),
        ..ContainerMountInfo::default()
    }
}
