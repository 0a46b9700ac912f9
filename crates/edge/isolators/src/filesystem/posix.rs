//! `filesystem/posix`: containers see the file system of the host; each persistent volume is a link in the sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messor_proto::mesos::container_info;
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_types::{ContainerId, Resources};

use super::volumes::{Persistent, persistent};
use crate::isolator::{Container, Isolator, IsolatorError, Recovered};
use crate::volume_groups::VolumeGroups;

#[derive(Debug)]
pub struct Posix {
    work_dir: PathBuf,
    /// The resources of each container: empty after a recovery, until the first update.
    containers: Mutex<BTreeMap<ContainerId, Resources>>,
    groups: Option<Arc<VolumeGroups>>,
}

impl Posix {
    pub fn new(work_dir: &Path, groups: Option<Arc<VolumeGroups>>) -> Posix {
        Posix { work_dir: work_dir.to_path_buf(), containers: Mutex::default(), groups }
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Resources>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the links from the volumes of before to those of now. The groups of the new ones.
    fn link(&self, container: &Container) -> Result<Vec<u32>, IsolatorError> {
        let sandbox = Path::new(&container.config.directory);
        let after = container.resources()?;
        // Held to the end: two containers with a shared volume must not both believe that nobody has it.
        let mut containers = self.containers();
        let mut others = Resources::new();
        for (_, resources) in containers.iter().filter(|(id, _)| **id != container.id) {
            others += resources;
        }
        let others = others.shared().unallocated();
        let before = containers.get(&container.id).cloned().unwrap_or_default();
        for volume in persistent(&self.work_dir, &before)? {
            if !after.contains_resource(&volume.resource) {
                remove(&sandbox.join(&volume.name))?;
            }
        }
        let mut groups = Vec::new();
        for volume in persistent(&self.work_dir, &after)? {
            volume.check()?;
            let known = before.contains_resource(&volume.resource);
            if !known {
                groups.extend(volume.open_to(sandbox, &others, self.groups.as_deref())?);
            }
            let link = sandbox.join(&volume.name);
            if !known || fs::symlink_metadata(&link).is_err() {
                make(&link, &volume)?;
            }
        }
        containers.insert(container.id.clone(), after);
        Ok(groups)
    }
}

impl Isolator for Posix {
    fn name(&self) -> &'static str {
        "filesystem/posix"
    }

    fn recover(&self, going_on: &[Recovered], _: &[ContainerId]) -> Result<(), IsolatorError> {
        let known = going_on.iter().map(|found| (found.container.id.clone(), Resources::new()));
        self.containers().extend(known);
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        if let Some(info) = &container.config.container_info {
            let wanted = if info.r#type() != container_info::Type::Mesos {
                Some("another type than MESOS")
            } else if info.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
                Some("an image")
            } else if !info.volumes.is_empty() {
                Some("volumes")
            } else {
                None
            };
            if let Some(wanted) = wanted {
                return Err(IsolatorError::Invalid(format!(
                    "ContainerInfo has {wanted}, which the isolator filesystem/posix does not support"
                )));
            }
        }
        let supplementary_groups = self.link(container)?;
        let has_some = !supplementary_groups.is_empty();
        Ok(has_some.then(|| ContainerLaunchInfo { supplementary_groups, ..Default::default() }))
    }

    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        // What runs already cannot get into a group any more.
        self.link(container).map(drop)
    }

    /// The links go with the sandbox.
    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        self.containers().remove(container);
        Ok(())
    }
}

fn in_the_way(link: &Path, error: io::Error) -> IsolatorError {
    IsolatorError::Failed(
        format!("'{}' is in the way of the link to a persistent volume", link.display()),
        error,
    )
}

fn make(link: &Path, volume: &Persistent) -> Result<(), IsolatorError> {
    match symlink(&volume.source, link) {
        // It is from a container of before that runs on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::read_link(link) {
            Ok(target) if target == volume.source => Ok(()),
            Ok(_) | Err(_) => Err(in_the_way(link, error)),
        },
        made => made.map_err(|error| in_the_way(link, error)),
    }
}

/// What the task put there in place of the link stays.
fn remove(link: &Path) -> Result<(), IsolatorError> {
    if fs::symlink_metadata(link).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(link).map_err(|error| in_the_way(link, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use messor_proto::mesos::volume::Mode;
    use messor_proto::mesos::{self, ContainerInfo, Volume};
    use std::os::unix::fs::{MetadataExt, lchown};

    fn volume(id: &str, name: &str) -> mesos::Resource {
        crate::tests::volume(id, name, Mode::Rw)
    }

    struct Host {
        work: tempfile::TempDir,
        sandbox: PathBuf,
        isolator: Posix,
    }

    impl Host {
        fn new() -> Host {
            let work = tempfile::tempdir().unwrap();
            let sandbox = work.path().join("sandbox");
            fs::create_dir(&sandbox).unwrap();
            for id in ["v", "w"] {
                fs::create_dir_all(work.path().join("volumes/roles/r").join(id)).unwrap();
            }
            let isolator = Posix::new(work.path(), None);
            Host { work, sandbox, isolator }
        }

        fn container(&self, resources: &[mesos::Resource]) -> Container {
            let mut container = container("c");
            container.config.directory = self.sandbox.to_str().unwrap().to_string();
            container.config.resources = resources.to_vec();
            container
        }

        fn update(&self, resources: &[mesos::Resource]) -> Result<(), IsolatorError> {
            self.isolator.update(&self.container(resources))
        }
    }

    #[test]
    fn a_volume_is_a_link_while_it_is_used() {
        let host = Host::new();
        let (v, w) = (volume("v", "data"), volume("w", "more"));
        host.isolator.prepare(&host.container(std::slice::from_ref(&v))).unwrap();
        fs::write(host.sandbox.join("data/file"), "kept").unwrap();
        assert_eq!(fs::read_to_string(host.work.path().join("volumes/roles/r/v/file")).unwrap(), "kept");
        host.update(&[v.clone(), w.clone()]).unwrap();
        // An agent that starts again does not know what is linked.
        let recovered = Recovered { container: host.container(&[]), pid: None };
        host.isolator.recover(&[recovered], &[]).unwrap();
        host.update(&[v, w.clone()]).unwrap();
        host.update(&[w]).unwrap();
        assert!(fs::symlink_metadata(host.sandbox.join("data")).is_err());
        assert!(host.sandbox.join("more").is_dir());
        assert!(host.work.path().join("volumes/roles/r/v/file").exists());
    }

    #[test]
    fn nothing_in_the_sandbox_is_lost_to_a_link() {
        let host = Host::new();
        fs::write(host.sandbox.join("data"), "mine").unwrap();
        let v = volume("v", "data");
        let error = host.update(std::slice::from_ref(&v)).unwrap_err().to_string();
        assert!(error.contains("is in the way of the link"), "{error}");
        host.update(&[]).unwrap();
        assert_eq!(fs::read_to_string(host.sandbox.join("data")).unwrap(), "mine");
        for name in ["../out", "/absolute", "..", "a/b"] {
            host.update(&[volume("v", name)]).unwrap();
        }
        assert_eq!(fs::read_dir(host.sandbox.parent().unwrap()).unwrap().count(), 2);
        assert!(
            host.update(&[volume("gone", "data2")]).is_err()
                || fs::metadata("/proc/self").unwrap().uid() == 0
        );
    }

    #[test]
    fn a_link_in_the_place_of_a_volume_is_refused() {
        let host = Host::new();
        let (path, other) = (host.work.path().join("volumes/roles/r/v"), host.work.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::remove_dir(&path).unwrap();
        symlink(&other, &path).unwrap();
        let error = host.update(&[volume("v", "data")]).unwrap_err().to_string();
        assert!(error.contains("something else in the place"), "{error}");
        assert!(fs::symlink_metadata(host.sandbox.join("data")).is_err());
    }

    /// U061: the root of a volume changes hands, what is in it does not.
    #[test]
    fn only_the_root_of_a_volume_changes_hands() {
        // Only the superuser can give files away.
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return;
        }
        let host = Host::new();
        lchown(&host.sandbox, Some(12_345), Some(12_345)).unwrap();
        let path = host.work.path().join("volumes/roles/r/v");
        fs::write(path.join("file"), "old").unwrap();
        host.update(&[volume("v", "data")]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), 12_345);
        assert_eq!(fs::metadata(path.join("file")).unwrap().uid(), 0);
    }

    #[test]
    fn what_a_container_would_miss_is_refused() {
        let host = Host::new();
        let mut wanting = host.container(&[]);
        let info = ContainerInfo { r#type: container_info::Type::Mesos as i32, ..Default::default() };
        wanting.config.container_info = Some(info.clone());
        host.isolator.prepare(&wanting).unwrap();
        wanting.config.container_info = Some(ContainerInfo { volumes: vec![Volume::default()], ..info });
        let error = host.isolator.prepare(&wanting).unwrap_err().to_string();
        assert_eq!(error, "ContainerInfo has volumes, which the isolator filesystem/posix does not support");
    }
}
