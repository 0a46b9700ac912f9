//! `filesystem/shared`: directories of the host's root that a container has of its own, such as /tmp: each is a directory of
//! the sandbox in its place. It is the older of two ways; `filesystem/linux` is the newer.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use messor_linux::mounts::path_of;
use messor_linux::paths::{Escape, Roots};
use messor_proto::mesos::slave::{ContainerLaunchInfo, ContainerMountInfo};
use messor_proto::mesos::{Volume, container_info};
use messor_validation::validate_volume;

use crate::isolator::{Container, Isolator, IsolatorError};
use crate::kernel::{CLONE_NEWNS, MS_BIND};

#[derive(Debug)]
pub struct Shared;

fn invalid<T>(volume: &Volume, text: &str) -> Result<T, IsolatorError> {
    Err(IsolatorError::Invalid(format!("volume '{}': {text}", volume.container_path)))
}

/// The new directory belongs to whom that in whose place it is belongs to, and lets in whom that one lets in.
fn make(sandbox: &Path, path: &Path, like: &Path) -> io::Result<()> {
    let found = fs::metadata(like)?;
    let mut roots = Roots::default();
    roots.add(sandbox, Escape::Refused);
    let made = roots.make_directories(path)?;
    let made = path_of(made.as_fd());
    chown(&made, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(&made, fs::Permissions::from_mode(found.mode() & 0o7777))
}

impl Isolator for Shared {
    fn name(&self) -> &'static str {
        "filesystem/shared"
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let Some(info) = &container.config.container_info else { return Ok(None) };
        if info.r#type() != container_info::Type::Mesos {
            let text = "ContainerInfo.type: the isolator filesystem/shared is for MESOS containers";
            return Err(IsolatorError::Invalid(text.to_string()));
        }
        if info.volumes.is_empty() {
            return Ok(None);
        }
        let mut launch = ContainerLaunchInfo { clone_namespaces: vec![CLONE_NEWNS], ..Default::default() };
        let sandbox = Path::new(&container.config.directory);
        let mut seen: Vec<&Path> = Vec::new();
        for volume in &info.volumes {
            validate_volume(volume).map_err(|error| IsolatorError::Invalid(error.to_string()))?;
            let Some(host_path) = volume.host_path.as_deref() else {
                return invalid(volume, "filesystem/shared needs 'host_path', relative to the sandbox");
            };
            let (inner, target) = (Path::new(host_path), Path::new(&volume.container_path));
            let plain = inner.components().all(|part| matches!(part, Component::Normal(_)));
            if !inner.is_absolute() && !plain {
                return invalid(volume, "'host_path' must be a path in the sandbox without '..'");
            }
            if !target.is_absolute() || !target.is_dir() {
                return invalid(
                    volume,
                    "'container_path' must be an absolute path of a directory of the host",
                );
            }
            // One of them would hide the other.
            if seen.iter().any(|other| target.starts_with(other) || other.starts_with(target)) {
                return invalid(
                    volume,
                    "'container_path' is in the directory of another volume, or around it",
                );
            }
            seen.push(target);
            let source: PathBuf = sandbox.join(inner);
            if inner.is_absolute() {
                if !inner.exists() {
                    return invalid(volume, "'host_path' is absolute and not there on the host");
                }
            } else {
                make(sandbox, &source, target).map_err(|error| {
                    IsolatorError::Failed(format!("cannot make '{}'", source.display()), error)
                })?;
            }
            launch.mounts.push(ContainerMountInfo {
                source: Some(source.to_string_lossy().into_owned()),
                target: volume.container_path.clone(),
                flags: Some(MS_BIND),
                ..ContainerMountInfo::default()
            });
        }
        Ok(Some(launch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use messor_proto::mesos::{ContainerInfo, volume::Mode};

    fn with(folder: &Path, volumes: &[(&str, &str)]) -> Container {
        let mut container = container("c");
        container.config.directory = folder.to_str().unwrap().to_string();
        let volume = |(host, inside): &(&str, &str)| Volume {
            container_path: inside.to_string(),
            host_path: Some(host.to_string()),
            mode: Mode::Rw as i32,
            ..Volume::default()
        };
        container.config.container_info = Some(ContainerInfo {
            r#type: container_info::Type::Mesos as i32,
            volumes: volumes.iter().map(volume).collect(),
            ..ContainerInfo::default()
        });
        container
    }

    #[test]
    fn a_container_has_a_directory_of_its_own_in_the_place_of_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let info = Shared.prepare(&with(folder.path(), &[("mine/tmp", "/tmp")])).unwrap().unwrap();
        let made = folder.path().join("mine/tmp");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&made), mode(Path::new("/tmp")));
        assert_eq!(
            (info.mounts[0].source.as_deref(), info.mounts[0].target.as_str()),
            (made.to_str(), "/tmp")
        );
        assert_eq!(info.clone_namespaces, [CLONE_NEWNS]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in [
            &[("/no/such/place", "/tmp")][..],
            &[("../x", "/tmp")],
            &[("x", "relative")],
            &[("x", "/no/such/place")],
            &[("x", "/usr"), ("y", "/usr/bin")],
        ] {
            assert!(Shared.prepare(&with(folder.path(), wrong)).is_err(), "{wrong:?}");
        }
        assert_eq!(Shared.prepare(&container("c")).unwrap(), None);
    }
}
