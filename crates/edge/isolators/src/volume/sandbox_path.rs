//! `volume/sandbox_path`: parts of a container's own sandbox, or of its parent's, elsewhere in the container. Where nothing
//! can be mounted they are links.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messor_linux::mounts::path_of;
use messor_linux::paths::{Escape, Roots};
use messor_linux::users;
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_proto::mesos::volume::source::sandbox_path::Type as Whose;
use messor_proto::mesos::{Volume, volume::Mode, volume::source::Type};
use messor_types::ContainerId;

use super::{climbs, invalid, mount, target, volumes};
use crate::isolator::{Container, Isolator, IsolatorError, Recovered};
use crate::volume_groups::{Kind, VolumeGroups};

#[derive(Debug)]
pub struct SandboxPath {
    sandbox_directory: String,
    /// filesystem/linux and the linux launcher are in use.
    mounts: bool,
    sandboxes: Mutex<BTreeMap<ContainerId, PathBuf>>,
    groups: Option<Arc<VolumeGroups>>,
}

impl SandboxPath {
    pub fn new(sandbox_directory: &str, mounts: bool, groups: Option<Arc<VolumeGroups>>) -> SandboxPath {
        let sandbox_directory = sandbox_directory.to_string();
        SandboxPath { sandbox_directory, mounts, sandboxes: Mutex::default(), groups }
    }

    fn sandboxes(&self) -> MutexGuard<'_, BTreeMap<ContainerId, PathBuf>> {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sandbox that a volume is in; the container's own only where it is to show elsewhere.
    fn root(&self, container: &Container, volume: &Volume, whose: Whose) -> Result<PathBuf, IsolatorError> {
        match whose {
            Whose::Self_ if Path::new(&volume.container_path).is_absolute() => {
                Ok(PathBuf::from(&container.config.directory))
            }
            Whose::Self_ => {
                invalid(volume, "'container_path' of a SANDBOX_PATH volume of type SELF must be absolute")
            }
            Whose::Parent => {
                let Some(parent) = container.id.parent() else {
                    return invalid(
                        volume,
                        "only a nested container has a SANDBOX_PATH volume of type PARENT",
                    );
                };
                let found = self.sandboxes().get(parent).cloned();
                found.map_or_else(|| invalid(volume, "the sandbox of the parent is not known"), Ok)
            }
            Whose::Unknown => invalid(volume, "'source.sandbox_path.type' is neither SELF nor PARENT"),
        }
    }
}

impl SandboxPath {
    /// The group of what a container of another user shares with its parent.
    fn group(
        &self,
        container: &Container,
        source: &Path,
        whose: Whose,
    ) -> Result<Option<u32>, IsolatorError> {
        let (Some(groups), Some(user)) = (&self.groups, &container.config.user) else { return Ok(None) };
        if whose != Whose::Parent || user == "root" {
            return Ok(None);
        }
        let failed = |error| {
            IsolatorError::Failed(format!("cannot open '{}' to the user '{user}'", source.display()), error)
        };
        let user = users::find(user).map_err(|error| failed(io::Error::other(error)))?;
        let mut roots = Roots::default();
        roots.add(container.root_sandbox(), Escape::Refused);
        let opened = roots.open(source).map_err(failed)?;
        if fs::metadata(path_of(opened.as_fd())).map_err(failed)?.uid() == user.uid {
            return Ok(None);
        }
        groups.take(source, Kind::SandboxPath, opened.as_fd()).map(Some)
    }
}

/// The path in which sandbox. None: it is no such volume.
fn source(volume: &Volume) -> Option<(&str, Whose)> {
    if let Some(path) = volume.host_path.as_ref().filter(|path| !Path::new(path).is_absolute()) {
        return Some((path, Whose::Self_));
    }
    let source = volume.source.as_ref().filter(|source| source.r#type() == Type::SandboxPath)?;
    let info = source.sandbox_path.as_ref()?;
    Some((&info.path, info.r#type()))
}

/// Makes what is not there, as whose sandbox it is; the task's user may have put links in the way.
fn make_source(trusted: &Path, root: &Path, source: &Path) -> io::Result<()> {
    let mut roots = Roots::default();
    roots.add(trusted, Escape::Refused);
    match roots.open(source) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let made = roots.make_directories(source)?;
    let owner = fs::metadata(path_of(roots.open(root)?.as_fd()))?;
    chown(path_of(made.as_fd()), Some(owner.uid()), Some(owner.gid()))
}

fn link(trusted: &Path, source: &Path, target: &Path) -> io::Result<()> {
    let mut roots = Roots::default();
    roots.add(trusted, Escape::Refused);
    if let Some(above) = target.parent() {
        roots.make_directories(above)?;
    }
    let (above, name) = roots.open_parent(target)?;
    symlink(source, path_of(above.as_fd()).join(name))
}

impl Isolator for SandboxPath {
    fn name(&self) -> &'static str {
        "volume/sandbox_path"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        if let Some(groups) = &self.groups {
            let known = going_on.iter().map(|found| &found.container.id);
            groups.keep(&known.chain(orphans).collect::<Vec<_>>());
        }
        let known = going_on.iter().map(|found| &found.container);
        let known = known.map(|found| (found.id.clone(), PathBuf::from(&found.config.directory)));
        self.sandboxes().extend(known);
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let sandbox = PathBuf::from(&container.config.directory);
        self.sandboxes().insert(container.id.clone(), sandbox);
        let mut info = ContainerLaunchInfo::default();
        for volume in volumes(container)? {
            let Some((path, whose)) = source(volume) else { continue };
            if container.is_debug() {
                return invalid(
                    volume,
                    "a debug container has the volumes of its parent, and none of its own",
                );
            }
            if path.is_empty() || Path::new(path).is_absolute() || climbs(Path::new(path)) {
                return invalid(volume, format!("'{path}' is not a path in the sandbox without '..'"));
            }
            let absolute = Path::new(&volume.container_path).is_absolute();
            if !self.mounts && (absolute || container.config.rootfs.is_some()) {
                return invalid(
                    volume,
                    "it can be mounted only with --launcher=linux and filesystem/linux in --isolation",
                );
            }
            let root = self.root(container, volume, whose)?;
            let source = root.join(path);
            let target = target(container, volume, &self.sandbox_directory)?;
            make_source(container.root_sandbox(), &root, &source).map_err(|error| {
                IsolatorError::Failed(format!("cannot make '{}' in the sandbox", source.display()), error)
            })?;
            if self.mounts {
                info.mounts.push(mount(&source, &target, volume));
                info.supplementary_groups.extend(self.group(container, &source, whose)?);
                continue;
            }
            if volume.mode() == Mode::Ro {
                tracing::warn!(
                    "{} can write to its volume '{}', which is to be read alone: it is a link",
                    container.id,
                    volume.container_path
                );
            }
            link(container.root_sandbox(), &source, &target).map_err(|error| {
                IsolatorError::Failed(format!("cannot make the link '{}'", target.display()), error)
            })?;
        }
        if info.mounts.is_empty() { Ok(None) } else { Ok(Some(info)) }
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        self.sandboxes().remove(container);
        if let Some(groups) = &self.groups {
            groups.ended(container);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::{container, nested};
    use crate::kernel::{MS_BIND, MS_RDONLY, MS_REC};
    use messor_proto::mesos::volume::{Source, source};
    use messor_proto::mesos::{ContainerInfo, container_info};

    fn volume(path: &str, whose: Whose, inside: &str, mode: Mode) -> Volume {
        let sandbox_path = source::SandboxPath { r#type: Some(whose as i32), path: path.to_string() };
        let source = Source {
            r#type: Some(Type::SandboxPath as i32),
            sandbox_path: Some(sandbox_path),
            ..Source::default()
        };
        Volume {
            container_path: inside.to_string(),
            mode: mode as i32,
            source: Some(source),
            ..Volume::default()
        }
    }

    struct Host {
        _folder: tempfile::TempDir,
        parent: Container,
        child: Container,
    }

    impl Host {
        fn new() -> Host {
            let folder = tempfile::tempdir().unwrap();
            let top = fs::canonicalize(folder.path()).unwrap();
            fs::create_dir_all(top.join("p/containers/c")).unwrap();
            let (mut parent, text) = (container("p"), |path: PathBuf| path.to_str().unwrap().to_string());
            parent.config.directory = text(top.join("p"));
            let mut child = nested(&parent, "c");
            child.config.directory = text(top.join("p/containers/c"));
            Host { _folder: folder, parent, child }
        }

        fn child_with(&self, volumes: Vec<Volume>) -> Container {
            let mut child = self.child.clone();
            let r#type = container_info::Type::Mesos as i32;
            child.config.container_info = Some(ContainerInfo { r#type, volumes, ..ContainerInfo::default() });
            child
        }

        fn path(&self, path: &str) -> PathBuf {
            Path::new(&self.parent.config.directory).join(path)
        }
    }

    /// U020 as well: a volume that is read alone.
    #[test]
    fn a_part_of_the_parents_sandbox_is_mounted() {
        let host = Host::new();
        let isolator = SandboxPath::new("/mnt/mesos/sandbox", true, None);
        isolator.recover(&[Recovered { container: host.parent.clone(), pid: None }], &[]).unwrap();
        let asked = vec![
            volume("shared/data", Whose::Parent, "data", Mode::Ro),
            volume("own", Whose::Self_, "/usr", Mode::Rw),
        ];
        let info = isolator.prepare(&host.child_with(asked)).unwrap().unwrap();
        assert!(host.path("shared/data").is_dir() && host.path("containers/c/own").is_dir());
        assert_eq!(info.mounts[0].source.as_deref(), host.path("shared/data").to_str());
        assert_eq!(info.mounts[0].target, host.path("containers/c/data").to_str().unwrap());
        assert_eq!(info.mounts[0].flags, Some(MS_BIND | MS_REC | MS_RDONLY));
        assert_eq!((info.mounts[1].target.as_str(), info.mounts[1].flags), ("/usr", Some(MS_BIND | MS_REC)));
    }

    #[test]
    fn without_mounts_it_is_a_link() {
        let host = Host::new();
        let isolator = SandboxPath::new("/s", false, None);
        isolator.prepare(&host.parent).unwrap();
        let asked = vec![volume("data", Whose::Parent, "in/data", Mode::Rw)];
        assert_eq!(isolator.prepare(&host.child_with(asked)).unwrap(), None);
        assert_eq!(fs::read_link(host.path("containers/c/in/data")).unwrap(), host.path("data"));
        let absolute = vec![volume("data", Whose::Parent, "/usr", Mode::Rw)];
        let error = isolator.prepare(&host.child_with(absolute)).unwrap_err().to_string();
        assert!(error.contains("--launcher=linux and filesystem/linux"), "{error}");
    }

    #[test]
    fn nobody_is_led_out_of_a_sandbox() {
        let host = Host::new();
        let isolator = SandboxPath::new("/s", true, None);
        isolator.prepare(&host.parent).unwrap();
        let outside = host.path("../outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, host.path("link")).unwrap();
        for (path, whose, inside) in [
            ("link/x", Whose::Parent, "v"),
            ("../x", Whose::Parent, "v"),
            ("/etc", Whose::Parent, "v"),
            ("a", Whose::Parent, "../../v"),
            ("a", Whose::Self_, "v"),
            ("a", Whose::Unknown, "v"),
        ] {
            let asked = host.child_with(vec![volume(path, whose, inside, Mode::Rw)]);
            assert!(isolator.prepare(&asked).is_err(), "{path} {inside}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        let mut orphan = host.child_with(vec![volume("a", Whose::Parent, "v", Mode::Rw)]);
        orphan.id = ContainerId::new("alone");
        assert!(isolator.prepare(&orphan).unwrap_err().to_string().contains("only a nested container"));
    }
}
