//! `namespaces/ipc` (U013): whose shared memory and System V objects a container sees.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use messor_linux::mounts::{self, Table};
use messor_proto::mesos::linux_info::IpcMode;
use messor_proto::mesos::slave::{ContainerLaunchInfo, ContainerMountInfo};
use messor_types::ContainerId;

use crate::fault::{self, Amid};
use crate::isolator::{Container, Isolator, IsolatorError, Recovered};
use crate::kernel::{CLONE_NEWIPC, MS_BIND, MS_NODEV, MS_NOSUID, MS_STRICTATIME};
use crate::runtime;

/// The agent's, which is the host's.
const AGENTS: &str = "/dev/shm";

const NAME: &str = "shm";

const MEGABYTE: u64 = 1 << 20;

/// What of /dev/shm a container has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Memory {
    /// At this path of the host.
    At(PathBuf),
    /// In its mount namespace alone.
    Inside,
}

#[derive(Debug)]
pub struct Ipc {
    runtime_dir: PathBuf,
    /// `--disallow_sharing_agent_ipc_namespace`.
    never_the_agents: bool,
    /// `--default_container_shm_size`, in bytes.
    usual_size: Option<u64>,
    containers: Mutex<BTreeMap<ContainerId, Memory>>,
}

impl Ipc {
    pub fn new(runtime_dir: &Path, never_the_agents: bool, usual_size: Option<u64>) -> Ipc {
        Ipc {
            runtime_dir: runtime_dir.to_path_buf(),
            never_the_agents,
            usual_size,
            containers: Mutex::default(),
        }
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Memory>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self, id: &ContainerId) -> PathBuf {
        runtime::directory(&self.runtime_dir, id).join(NAME)
    }

    /// What of the parent a container sees that shares with it; what a container without a parent sees is the agent's.
    fn above(&self, id: &ContainerId) -> Memory {
        match id.parent() {
            Some(parent) => self.containers().get(parent).cloned().unwrap_or(Memory::Inside),
            None => Memory::At(PathBuf::from(AGENTS)),
        }
    }

    fn memory(&self, container: &Container, mode: Option<IpcMode>) -> Memory {
        match mode {
            Some(IpcMode::Private) => Memory::At(self.directory(&container.id)),
            Some(IpcMode::ShareParent) => self.above(&container.id),
            _ if container.is_debug() => self.above(&container.id),
            _ if container.config.rootfs.is_some() => Memory::Inside,
            _ => Memory::At(PathBuf::from(AGENTS)),
        }
    }

    /// A file system of its own for a container's /dev/shm, on the host, where those nested in it find it.
    fn mount(&self, path: &Path, size: Option<u64>) -> io::Result<()> {
        fs::create_dir_all(path)?;
        fault::pass(Amid::MemoryNamed);
        let options = match size {
            Some(bytes) => format!("mode=1777,size={bytes}"),
            None => "mode=1777".to_string(),
        };
        let flags = u64::from(MS_NOSUID | MS_NODEV | MS_STRICTATIME);
        mounts::mount(Some(Path::new("tmpfs")), path, Some("tmpfs"), flags, Some(&options))
    }
}

fn target(container: &Container) -> String {
    match &container.config.rootfs {
        Some(rootfs) => Path::new(rootfs).join("dev/shm").to_string_lossy().into_owned(),
        None => AGENTS.to_string(),
    }
}

impl Isolator for Ipc {
    fn name(&self) -> &'static str {
        "namespaces/ipc"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        for found in going_on {
            let mode = mode(&found.container);
            let memory = self.memory(&found.container, mode);
            self.containers().insert(found.container.id.clone(), memory);
        }
        let failed = |error| IsolatorError::Failed("cannot read the mounts of the host".to_string(), error);
        let table = Table::current().map_err(failed)?;
        for entry in table.below(&self.runtime_dir).filter(|entry| entry.target.ends_with(NAME)) {
            let Some(id) = entry.target.parent().and_then(|path| runtime::container(&self.runtime_dir, path))
            else {
                continue;
            };
            if !self.containers().contains_key(&id) && !orphans.contains(&id) {
                self.cleanup(&id)?;
            }
        }
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let invalid = |text: &str| Err(IsolatorError::Invalid(text.to_string()));
        let mode = mode(container);
        let asked = container.linux_info().and_then(|info| info.shm_size);
        if asked.is_some() && mode != Some(IpcMode::Private) {
            return invalid(
                "LinuxInfo.shm_size: only a container with ipc_mode PRIVATE has a /dev/shm of its own",
            );
        }
        if mode == Some(IpcMode::Unknown) {
            return invalid("LinuxInfo.ipc_mode is not known");
        }
        let mut info = ContainerLaunchInfo::default();
        if container.is_nested() && container.is_debug() {
            if mode == Some(IpcMode::Private) {
                return invalid(
                    "LinuxInfo.ipc_mode: a debug container is in the IPC namespace of its parent",
                );
            }
            info.enter_namespaces.push(CLONE_NEWIPC);
            // Before the list is locked, which this looks into.
            let memory = self.memory(container, None);
            self.containers().insert(container.id.clone(), memory);
            return Ok(Some(info));
        }
        let memory = self.memory(container, mode);
        let bind = |source: &Path| ContainerMountInfo {
            source: Some(source.to_string_lossy().into_owned()),
            target: target(container),
            flags: Some(MS_BIND),
            ..ContainerMountInfo::default()
        };
        match mode {
            Some(IpcMode::Private) => {
                info.clone_namespaces.push(CLONE_NEWIPC);
                let size = asked.map(|megabytes| u64::from(megabytes) * MEGABYTE).or(self.usual_size);
                let path = self.directory(&container.id);
                // Before it is there, so that it is cleaned up.
                self.containers().insert(container.id.clone(), memory);
                self.mount(&path, size).map_err(|error| {
                    IsolatorError::Failed(format!("cannot mount the shared memory {}", path.display()), error)
                })?;
                info.mounts.push(bind(&path));
                return Ok(Some(info));
            }
            Some(IpcMode::ShareParent) => {
                if container.is_nested() {
                    info.enter_namespaces.push(CLONE_NEWIPC);
                } else if self.never_the_agents {
                    return invalid(
                        "LinuxInfo.ipc_mode: --disallow_sharing_agent_ipc_namespace keeps containers out of the \
                         agent's IPC namespace",
                    );
                }
                match &memory {
                    Memory::Inside => {
                        return invalid(
                            "LinuxInfo.ipc_mode: the /dev/shm of the parent is in its own mount namespace and cannot be \
                             shared",
                        );
                    }
                    // It sees the agent's anyway, unless it has a root of its own.
                    Memory::At(path) if path == Path::new(AGENTS) && container.config.rootfs.is_none() => {}
                    Memory::At(path) => info.mounts.push(bind(path)),
                }
            }
            _ => {
                // As it was before there were modes: an IPC namespace of its own for a pod, and the host's /dev/shm.
                if container.is_nested() {
                    info.enter_namespaces.push(CLONE_NEWIPC);
                } else {
                    info.clone_namespaces.push(CLONE_NEWIPC);
                }
                if container.config.rootfs.is_some() {
                    info.mounts.push(ContainerMountInfo {
                        source: Some("tmpfs".to_string()),
                        target: target(container),
                        r#type: Some("tmpfs".to_string()),
                        flags: Some(MS_NOSUID | MS_NODEV | MS_STRICTATIME),
                        options: Some("mode=1777".to_string()),
                    });
                }
            }
        }
        self.containers().insert(container.id.clone(), memory);
        Ok(Some(info))
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        let path = self.directory(container);
        let failed = |error| {
            IsolatorError::Failed(format!("cannot unmount the shared memory {}", path.display()), error)
        };
        if path.exists() {
            mounts::unmount_below(&path).map_err(failed)?;
            fault::pass(Amid::MemoryUnmounted);
            fs::remove_dir(&path).map_err(failed)?;
        }
        self.containers().remove(container);
        Ok(())
    }
}

fn mode(container: &Container) -> Option<IpcMode> {
    let number = container.linux_info()?.ipc_mode?;
    Some(IpcMode::try_from(number).unwrap_or(IpcMode::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::{container, nested};
    use messor_proto::mesos::{ContainerInfo, LinuxInfo};

    fn with(mut container: Container, mode: IpcMode, shm_size: Option<u32>) -> Container {
        let linux_info = Some(LinuxInfo { ipc_mode: Some(mode as i32), shm_size, ..LinuxInfo::default() });
        container.config.container_info = Some(ContainerInfo { linux_info, ..ContainerInfo::default() });
        container
    }

    /// U013: of its own, of any size, and shared with those nested in it.
    #[test]
    fn a_container_has_its_own_shared_memory() {
        if !crate::is_superuser() {
            return crate::tests::skip("mounts: needs the superuser");
        }
        let folder = tempfile::tempdir().unwrap();
        let runtime_dir = fs::canonicalize(folder.path()).unwrap();
        let isolator = Ipc::new(&runtime_dir, false, Some(8 * MEGABYTE));
        let own = with(container("c"), IpcMode::Private, Some(4));
        let info = isolator.prepare(&own).unwrap().unwrap();
        assert_eq!((info.clone_namespaces, info.enter_namespaces), (vec![CLONE_NEWIPC], vec![]));
        let path = runtime_dir.join("containers/c/shm");
        assert_eq!(
            (info.mounts[0].source.as_deref(), info.mounts[0].target.as_str()),
            (path.to_str(), "/dev/shm")
        );
        let size = |path: &Path| messor_linux::host::disk(path).unwrap().total_bytes;
        assert_eq!(size(&path), 4 * MEGABYTE);
        let shared = with(nested(&own, "n"), IpcMode::ShareParent, None);
        let info = isolator.prepare(&shared).unwrap().unwrap();
        assert_eq!(info.enter_namespaces, [CLONE_NEWIPC]);
        assert_eq!(info.mounts[0].source.as_deref(), path.to_str());
        let other = with(nested(&own, "o"), IpcMode::Private, None);
        isolator.prepare(&other).unwrap();
        assert_eq!(size(&runtime_dir.join("containers/c/containers/o/shm")), 8 * MEGABYTE);
        // The next agent knows one, is told of one to destroy, and of the third nothing.
        isolator.prepare(&with(container("unknown"), IpcMode::Private, None)).unwrap();
        let next = Ipc::new(&runtime_dir, false, None);
        next.recover(&[Recovered { container: own.clone(), pid: None }], std::slice::from_ref(&other.id))
            .unwrap();
        assert!(!runtime_dir.join("containers/unknown/shm").exists());
        let info = next.prepare(&shared).unwrap().unwrap();
        assert_eq!(info.mounts[0].source.as_deref(), path.to_str());
        for id in [&other.id, &shared.id, &own.id, &own.id] {
            next.cleanup(id).unwrap();
        }
        assert_eq!(Table::current().unwrap().below(&runtime_dir).count(), 0);
    }

    #[test]
    fn a_session_has_what_its_parent_has() {
        let isolator = Ipc::new(Path::new("/nowhere"), false, None);
        isolator.prepare(&container("c")).unwrap();
        let mut debug = nested(&container("c"), "d");
        debug.config.container_class = Some(messor_proto::mesos::slave::ContainerClass::Debug as i32);
        let info = isolator.prepare(&debug).unwrap().unwrap();
        assert_eq!((info.clone_namespaces, info.enter_namespaces), (vec![], vec![CLONE_NEWIPC]));
    }

    #[test]
    fn without_a_mode_it_is_as_it_was() {
        let isolator = Ipc::new(Path::new("/nowhere"), true, None);
        let plain = isolator.prepare(&container("c")).unwrap().unwrap();
        assert_eq!((plain.clone_namespaces.as_slice(), plain.mounts.len()), (&[CLONE_NEWIPC][..], 0));
        let inner = isolator.prepare(&nested(&container("c"), "n")).unwrap().unwrap();
        assert_eq!((inner.enter_namespaces.as_slice(), inner.mounts.len()), (&[CLONE_NEWIPC][..], 0));
        let mut rooted = container("r");
        rooted.config.rootfs = Some("/roots/r".to_string());
        let info = isolator.prepare(&rooted).unwrap().unwrap();
        assert_eq!(info.mounts[0].target, "/roots/r/dev/shm");
        let sharing = with(nested(&rooted, "n"), IpcMode::ShareParent, None);
        assert!(isolator.prepare(&sharing).unwrap_err().to_string().contains("its own mount namespace"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let isolator = Ipc::new(Path::new("/nowhere"), true, None);
        let refused = |container: &Container| isolator.prepare(container).unwrap_err().to_string();
        let shared = with(container("c"), IpcMode::ShareParent, None);
        assert!(refused(&shared).contains("--disallow_sharing_agent_ipc_namespace"));
        assert!(
            refused(&with(container("c"), IpcMode::ShareParent, Some(4))).starts_with("LinuxInfo.shm_size: ")
        );
        let mut debug = with(nested(&container("c"), "d"), IpcMode::Private, None);
        debug.config.container_class = Some(messor_proto::mesos::slave::ContainerClass::Debug as i32);
        assert!(refused(&debug).contains("debug container"));
        let allowing = Ipc::new(Path::new("/nowhere"), false, None);
        let info = allowing.prepare(&shared).unwrap().unwrap();
        assert!(info.clone_namespaces.is_empty() && info.mounts.is_empty());
    }
}
