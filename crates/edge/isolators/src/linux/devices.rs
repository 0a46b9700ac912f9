//! `linux/devices` (U017): the devices of `--allowed_devices` in the /dev of containers that have a root of their own.
//! Others see the host's /dev anyway; whether they may use what is in it is said by `cgroups/devices`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use messor_proto::mesos::slave::{ContainerLaunchInfo, ContainerMountInfo};

use crate::devices::{Allowed, Kind};
use crate::isolator::{Container, Isolator, IsolatorError};
use crate::kernel::MS_BIND;

#[derive(Debug)]
pub struct Devices {
    allowed: Vec<Allowed>,
}

impl Devices {
    pub fn new(allowed: Vec<Allowed>) -> Devices {
        Devices { allowed }
    }
}

impl Isolator for Devices {
    fn name(&self) -> &'static str {
        "linux/devices"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let Some(rootfs) = container.config.rootfs.as_ref().filter(|_| !self.allowed.is_empty()) else {
            return Ok(None);
        };
        // Made by filesystem/linux, and out of reach of everybody but the container's user.
        let directory = container.runtime_directory.join("devices");
        let mut info = ContainerLaunchInfo::default();
        for allowed in &self.allowed {
            let name: PathBuf =
                allowed.path.strip_prefix("/dev").unwrap_or(&allowed.path).components().collect();
            let name = name.strip_prefix("/").map(Path::to_path_buf).unwrap_or(name);
            let node = directory.join(&name);
            let failed =
                |error| IsolatorError::Failed(format!("cannot make the device {}", node.display()), error);
            if let Some(parent) = node.parent() {
                fs::create_dir_all(parent).map_err(failed)?;
            }
            // Whoever is in the container may use it: the container is what is limited.
            let mut mode = 0o600;
            if allowed.read {
                mode |= 0o044;
            }
            if allowed.write {
                mode |= 0o022;
            }
            let block = allowed.kind == Kind::Block;
            messor_linux::devices::make(&node, block, allowed.major, allowed.minor).map_err(failed)?;
            fs::set_permissions(&node, fs::Permissions::from_mode(mode)).map_err(failed)?;
            info.mounts.push(ContainerMountInfo {
                source: Some(node.to_string_lossy().into_owned()),
                target: Path::new(rootfs).join("dev").join(&name).to_string_lossy().into_owned(),
                flags: Some(MS_BIND),
                ..ContainerMountInfo::default()
            });
        }
        Ok(Some(info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    /// U017.
    #[test]
    fn devices_are_made_and_shown() {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut rooted = container("c");
        rooted.runtime_directory = folder.path().to_path_buf();
        let null = |write| Allowed {
            path: PathBuf::from("/dev/some/null"),
            kind: Kind::Character,
            major: 1,
            minor: 3,
            read: true,
            write,
            make: false,
        };
        let isolator = Devices::new(vec![null(false)]);
        assert_eq!(isolator.prepare(&rooted).unwrap(), None);
        rooted.config.rootfs = Some("/roots/c".to_string());
        let info = isolator.prepare(&rooted).unwrap().unwrap();
        let node = folder.path().join("devices/some/null");
        let found = fs::metadata(&node).unwrap();
        assert!(found.file_type().is_char_device());
        assert_eq!((found.rdev(), found.mode() & 0o777), (1 << 8 | 3, 0o644));
        assert_eq!(info.mounts[0].target, "/roots/c/dev/some/null");
        assert_eq!(info.mounts[0].source.as_deref(), node.to_str());
    }
}
