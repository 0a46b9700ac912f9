//! `filesystem/linux`: each container has mounts of its own; persistent volumes are mounted in its sandbox, by the agent, and
//! show in the container because the work directory is on a mount that passes mounts on.
//!
//! Nothing that is mounted in a sandbox may stay when the container has gone: the sandbox is removed later, and with it
//! would go what the volume holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messor_linux::mounts::{self, Table};
use messor_linux::paths::{Escape, Roots, is_directory};
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_types::{ContainerId, Resources};

use super::volumes::{Persistent, persistent};
use crate::fault::{self, Amid};
use crate::isolator::{Container, Isolator, IsolatorError, Recovered};
use crate::kernel::CLONE_NEWNS;
use crate::volume_groups::VolumeGroups;

#[derive(Debug, thiserror::Error)]
pub enum LinuxError {
    #[error("cannot make the work directory '{path}' pass mounts on to containers: {source}")]
    Shared { path: PathBuf, source: io::Error },
}

#[derive(Debug)]
pub struct Linux {
    /// Without symbolic links, as the table of mounts has it.
    work_dir: PathBuf,
    containers: Mutex<BTreeMap<ContainerId, Known>>,
    groups: Option<Arc<VolumeGroups>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    sandbox: PathBuf,
    /// Empty after a recovery, until the first update.
    resources: Resources,
}

impl Linux {
    pub fn make(work_dir: &Path, groups: Option<Arc<VolumeGroups>>) -> Result<Linux, LinuxError> {
        let failed = |source| LinuxError::Shared { path: work_dir.to_path_buf(), source };
        let work_dir = fs::canonicalize(work_dir).map_err(failed)?;
        share(&work_dir).map_err(failed)?;
        Ok(Linux { work_dir, containers: Mutex::default(), groups })
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Known>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the mounts from the volumes of before to those of now. The groups of the new ones.
    fn mount(&self, container: &Container) -> Result<Vec<u32>, IsolatorError> {
        let sandbox = fs::canonicalize(&container.config.directory).map_err(|error| {
            IsolatorError::Failed(format!("cannot find the sandbox '{}'", container.config.directory), error)
        })?;
        let after = container.resources()?;
        // Held to the end: two containers with a shared volume must not both believe that nobody has it.
        let mut containers = self.containers();
        let mut others = Resources::new();
        for (_, known) in containers.iter().filter(|(id, _)| **id != container.id) {
            others += &known.resources;
        }
        let others = others.shared().unallocated();
        let before = containers.get(&container.id).map(|known| known.resources.clone()).unwrap_or_default();
        for volume in persistent(&self.work_dir, &before)? {
            if !after.contains_resource(&volume.resource) {
                remove(&sandbox.join(&volume.name))?;
                fault::pass(Amid::VolumeUnmounted);
            }
        }
        let mut groups = Vec::new();
        for volume in persistent(&self.work_dir, &after)? {
            if before.contains_resource(&volume.resource) {
                continue;
            }
            volume.check()?;
            groups.extend(volume.open_to(&sandbox, &others, self.groups.as_deref())?);
            let target = sandbox.join(&volume.name);
            bind(&sandbox, &volume, &target).map_err(|error| {
                let text = format!(
                    "cannot mount the persistent volume '{}' at '{}'",
                    volume.source.display(),
                    target.display()
                );
                IsolatorError::Failed(text, error)
            })?;
            fault::pass(Amid::VolumeMounted);
        }
        containers.insert(container.id.clone(), Known { sandbox, resources: after });
        Ok(groups)
    }

    /// The container in whose sandbox this path is, and the sandbox.
    fn sandbox_of(&self, path: &Path) -> Option<(ContainerId, PathBuf)> {
        let below = path.strip_prefix(&self.work_dir).ok()?;
        let parts: Vec<&str> = below
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let names = ["slaves", "frameworks", "executors", "runs"];
        if parts.len() < 8 || names.iter().enumerate().any(|(index, name)| parts[index * 2] != *name) {
            return None;
        }
        let mut sandbox: PathBuf = self.work_dir.join(parts[..8].iter().collect::<PathBuf>());
        let mut id = ContainerId::new(parts[7]);
        for pair in parts[8..].chunks_exact(2) {
            if pair[0] != "containers" {
                break;
            }
            id = ContainerId::nested(&id, pair[1]);
            sandbox = sandbox.join(pair[0]).join(pair[1]);
        }
        Some((id, sandbox))
    }
}

/// Makes a directory the root of a mount that passes mounts on to copies of it, and to nothing else.
fn share(path: &Path) -> io::Result<()> {
    let table = Table::current()?;
    let Some(entry) = table.containing(path) else { return Err(io::ErrorKind::NotFound.into()) };
    // Passed on to a mount that is around it, a mount in a sandbox would be there twice.
    let alone = |group| {
        table.0.iter().all(|other| {
            other.id == entry.id || other.shared != Some(group) || !path.starts_with(&other.target)
        })
    };
    if entry.shared.is_some_and(alone) {
        return Ok(());
    }
    if entry.target != path {
        mounts::mount(Some(path), path, None, mounts::BIND, None)?;
    }
    mounts::set_propagation(path, mounts::PRIVATE, false)?;
    mounts::set_propagation(path, mounts::SHARED, false)
}

/// As the table of mounts has it. No link below the outermost sandbox is followed: it could lead to what is mounted for others.
fn real_sandbox(container: &Container) -> PathBuf {
    let (root, sandbox) = (container.root_sandbox(), Path::new(&container.config.directory));
    let real = fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
    match sandbox.strip_prefix(root) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

/// The sandbox is the task's: no link in it is followed.
fn bind(sandbox: &Path, volume: &Persistent, target: &Path) -> io::Result<()> {
    if Table::current()?.is_mount_point(target) {
        // It is from before the agent was started again.
        return Ok(());
    }
    if fs::symlink_metadata(target).is_ok_and(|found| found.is_symlink()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a symbolic link in its place"));
    }
    let mut roots = Roots::default();
    roots.add(sandbox, Escape::Refused);
    let place = roots.make_directories(target)?;
    let source = Roots::default().open(&volume.source)?;
    if !is_directory(&source)? {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let flags = if volume.is_read_only() { mounts::READ_ONLY } else { 0 };
    mounts::bind(source.as_fd(), place.as_fd(), false, flags)
}

fn remove(target: &Path) -> Result<(), IsolatorError> {
    let failed =
        |error| IsolatorError::Failed(format!("cannot unmount the volume at '{}'", target.display()), error);
    let table = Table::current().map_err(failed)?;
    if table.is_mount_point(target) {
        // One that is in use is not taken away from under its users.
        mounts::unmount(target).map_err(failed)?;
    }
    match fs::remove_dir(target) {
        Ok(()) => Ok(()),
        // Something that the task put in its place stays the task's.
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::DirectoryNotEmpty => {
                Ok(())
            }
            _ => Err(failed(error)),
        },
    }
}

impl Isolator for Linux {
    fn name(&self) -> &'static str {
        "filesystem/linux"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        for found in going_on {
            let sandbox = real_sandbox(&found.container);
            let known = Known { sandbox, resources: Resources::new() };
            self.containers().insert(found.container.id.clone(), known);
        }
        let failed = |error| IsolatorError::Failed("cannot read the mounts of the host".to_string(), error);
        let table = Table::current().map_err(failed)?;
        let mut unknown = BTreeSet::new();
        for entry in table.below(&self.work_dir) {
            let Some((id, sandbox)) = self.sandbox_of(&entry.target) else { continue };
            if self.containers().contains_key(&id) {
                continue;
            }
            self.containers().insert(id.clone(), Known { sandbox, resources: Resources::new() });
            if !orphans.contains(&id) {
                unknown.insert(id);
            }
        }
        for id in unknown.iter().rev() {
            tracing::info!("what is mounted in the sandbox of {id}, which nobody knows, is unmounted");
            self.cleanup(id)?;
        }
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let invalid = |text: &str| Err(IsolatorError::Invalid(text.to_string()));
        let info = container.config.container_info.as_ref();
        if container.is_nested() && container.is_debug() {
            if info.is_some_and(|info| !info.volumes.is_empty()) {
                return invalid("ContainerInfo.volumes: a debug container has the volumes of its parent");
            }
            return Ok(Some(ContainerLaunchInfo {
                enter_namespaces: vec![CLONE_NEWNS],
                ..Default::default()
            }));
        }
        if container.config.rootfs.is_some() {
            return Err(IsolatorError::NotSupported(
                "containers with a root file system of their own".to_string(),
            ));
        }
        if container.standalone && !container.resources()?.persistent_volumes().is_empty() {
            return invalid("a standalone container cannot have persistent volumes");
        }
        // Those nested in it see what is in the sandbox of the outermost.
        let sandbox = real_sandbox(container);
        let mut info = ContainerLaunchInfo { clone_namespaces: vec![CLONE_NEWNS], ..Default::default() };
        if container.is_nested() {
            self.containers().insert(container.id.clone(), Known { sandbox, resources: Resources::new() });
        } else {
            // Before anything is mounted, so that it can be cleaned up.
            self.containers().insert(container.id.clone(), Known { sandbox, resources: Resources::new() });
            info.supplementary_groups = self.mount(container)?;
        }
        Ok(Some(info))
    }

    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        // What runs already cannot get into a group any more.
        if container.is_nested() { Ok(()) } else { self.mount(container).map(drop) }
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        let Some(known) = self.containers().get(container).cloned() else { return Ok(()) };
        let sandbox = known.sandbox;
        if sandbox.starts_with(&self.work_dir) && sandbox != self.work_dir {
            mounts::unmount_below(&sandbox).map_err(|error| {
                IsolatorError::Failed(format!("cannot unmount what is in '{}'", sandbox.display()), error)
            })?;
        }
        self.containers().remove(container);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::{container, nested};
    use crate::tests::{Scratch, volume};
    use messor_proto::mesos::Resource;
    use messor_proto::mesos::volume::Mode;

    struct Host {
        scratch: Scratch,
        isolator: Linux,
    }

    impl Host {
        /// None, with a word about it, where nothing can be mounted.
        fn new() -> Option<Host> {
            if !crate::is_superuser() {
                crate::tests::skip("mounts: needs the superuser");
                return None;
            }
            let scratch = Scratch::new();
            for id in ["v", "w"] {
                fs::create_dir_all(scratch.path().join("volumes/roles/r").join(id)).unwrap();
            }
            let isolator = Linux::make(scratch.path(), None).unwrap();
            Some(Host { scratch, isolator })
        }

        fn sandbox(&self, id: &str) -> PathBuf {
            self.scratch.path().join("slaves/S/frameworks/F/executors/E/runs").join(id)
        }

        fn container(&self, id: &str, resources: &[Resource]) -> Container {
            let mut container = container(id);
            fs::create_dir_all(self.sandbox(id)).unwrap();
            container.config.directory = self.sandbox(id).to_str().unwrap().to_string();
            container.config.resources = resources.to_vec();
            container
        }

        fn mounted(&self) -> usize {
            Table::current().unwrap().below(&self.scratch.path().join("slaves")).count()
        }
    }

    #[test]
    fn volumes_are_mounted_while_they_are_used() {
        let Some(host) = Host::new() else { return };
        let (v, w) = (volume("v", "data", Mode::Rw), volume("w", "more", Mode::Ro));
        let c = host.container("c", std::slice::from_ref(&v));
        let info = host.isolator.prepare(&c).unwrap().unwrap();
        assert_eq!(info.clone_namespaces, [CLONE_NEWNS]);
        fs::write(host.sandbox("c").join("data/file"), "kept").unwrap();
        host.isolator.update(&host.container("c", &[v.clone(), w.clone()])).unwrap();
        // U020: as it was asked for.
        let refused = fs::write(host.sandbox("c").join("more/file"), "no").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
        host.isolator.update(&host.container("c", std::slice::from_ref(&w))).unwrap();
        assert!(!host.sandbox("c").join("data").exists());
        assert_eq!(fs::read_to_string(host.scratch.path().join("volumes/roles/r/v/file")).unwrap(), "kept");
        // The next agent finds it mounted, and mounts it no second time.
        let next = Linux::make(host.scratch.path(), None).unwrap();
        next.recover(&[Recovered { container: c.clone(), pid: None }], &[]).unwrap();
        next.update(&host.container("c", &[v, w])).unwrap();
        assert_eq!(host.mounted(), 2);
        next.cleanup(&c.id).unwrap();
        next.cleanup(&c.id).unwrap();
        assert_eq!(host.mounted(), 0);
    }

    #[test]
    fn what_nobody_knows_is_unmounted_and_what_it_holds_stays() {
        let Some(host) = Host::new() else { return };
        let v = volume("v", "data", Mode::Rw);
        fs::write(host.scratch.path().join("volumes/roles/r/v/file"), "kept").unwrap();
        for id in ["orphan", "unknown"] {
            host.isolator.prepare(&host.container(id, std::slice::from_ref(&v))).unwrap();
        }
        assert_eq!(host.mounted(), 2);
        let next = Linux::make(host.scratch.path(), None).unwrap();
        next.recover(&[], &[ContainerId::new("orphan")]).unwrap();
        assert_eq!(host.mounted(), 1);
        next.cleanup(&ContainerId::new("orphan")).unwrap();
        assert_eq!(host.mounted(), 0);
        fs::remove_dir_all(host.scratch.path().join("slaves")).unwrap();
        assert_eq!(fs::read_to_string(host.scratch.path().join("volumes/roles/r/v/file")).unwrap(), "kept");
    }

    #[test]
    fn no_link_in_a_sandbox_is_followed() {
        let Some(host) = Host::new() else { return };
        let c = host.container("c", &[volume("v", "data", Mode::Rw)]);
        let outside = host.scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, host.sandbox("c").join("data")).unwrap();
        assert!(host.isolator.prepare(&c).is_err());
        assert!(!Table::current().unwrap().is_mount_point(&outside));
        host.isolator.cleanup(&c.id).unwrap();
    }

    #[test]
    fn debug_containers_enter_the_mounts_of_their_parent() {
        let Some(host) = Host::new() else { return };
        let parent = host.container("p", &[]);
        host.isolator.prepare(&parent).unwrap();
        let mut debug = nested(&parent, "d");
        debug.config.container_class = Some(messor_proto::mesos::slave::ContainerClass::Debug as i32);
        let info = host.isolator.prepare(&debug).unwrap().unwrap();
        assert_eq!((info.enter_namespaces, info.clone_namespaces), (vec![CLONE_NEWNS], vec![]));
        let mut standalone = host.container("s", &[volume("v", "data", Mode::Rw)]);
        standalone.standalone = true;
        assert!(host.isolator.prepare(&standalone).is_err());
        let inner = host.sandbox("p").join("containers/a/containers/b/data");
        let found = host.isolator.sandbox_of(&inner).unwrap();
        assert_eq!(
            (found.0.to_string(), found.1),
            ("p.a.b".to_string(), host.sandbox("p").join("containers/a/containers/b"))
        );
    }
}
