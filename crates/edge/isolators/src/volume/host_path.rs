//! `volume/host_path`: files and directories of the host in containers.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use messor_linux::mounts::Table;
use messor_linux::paths::{Escape, Roots};
use messor_proto::mesos::mount_propagation::Mode;
use messor_proto::mesos::slave::{ContainerLaunchInfo, ContainerMountInfo};
use messor_proto::mesos::{Volume, volume::source::Type};

use super::{invalid, mount, target, volumes};
use crate::isolator::{Container, Isolator, IsolatorError};
use crate::kernel::MS_SHARED;

#[derive(Debug)]
pub struct HostPath {
    sandbox_directory: String,
    /// `--host_path_volume_force_creation`: below these, what is not there is made.
    made_below: Vec<PathBuf>,
}

impl HostPath {
    /// The error is of `--host_path_volume_force_creation`.
    pub fn make(sandbox_directory: &str, made_below: Option<&str>) -> Result<HostPath, String> {
        let mut list = Vec::new();
        for path in made_below.unwrap_or_default().split(':').filter(|path| !path.is_empty()) {
            if !Path::new(path).is_absolute() || super::climbs(Path::new(path)) {
                return Err(format!("'{path}' is not an absolute path without '..'"));
            }
            list.push(PathBuf::from(path));
        }
        Ok(HostPath { sandbox_directory: sandbox_directory.to_string(), made_below: list })
    }

    /// Makes a directory of the host, if it may be made.
    fn make_directory(&self, path: &Path) -> io::Result<bool> {
        let Some(path) = normal(path) else { return Ok(false) };
        let Some(allowed) = self.made_below.iter().find(|allowed| path.starts_with(allowed)) else {
            return Ok(false);
        };
        fs::create_dir_all(allowed)?;
        // Whoever may write there must not lead out of it by links.
        let mut roots = Roots::default();
        roots.add(allowed, Escape::Refused);
        roots.make_directories(&path)?;
        Ok(true)
    }
}

/// Without `.` and `..`; None: it begins with more of these than there are directories.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    Some(normal)
}

/// The path on the host, and whether mounts below it are to show on the host as well. None: it is no such volume.
fn source(volume: &Volume) -> Result<Option<(PathBuf, bool)>, IsolatorError> {
    // The older way; a relative path there means one in the sandbox.
    if let Some(path) = volume.host_path.as_ref().filter(|path| Path::new(path).is_absolute()) {
        return Ok(Some((PathBuf::from(path), false)));
    }
    let Some(source) = volume.source.as_ref().filter(|source| source.r#type() == Type::HostPath) else {
        return Ok(None);
    };
    let Some(info) = &source.host_path else { return Ok(None) };
    let path = PathBuf::from(&info.path);
    if !path.is_absolute() {
        return invalid(volume, format!("'source.host_path.path' is not absolute: '{}'", info.path));
    }
    let both_ways = info.mount_propagation.is_some_and(|how| how.mode() == Mode::Bidirectional);
    Ok(Some((path, both_ways)))
}

impl Isolator for HostPath {
    fn name(&self) -> &'static str {
        "volume/host_path"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let mut info = ContainerLaunchInfo::default();
        for volume in volumes(container)? {
            let Some((path, both_ways)) = source(volume)? else { continue };
            if container.is_debug() {
                return invalid(
                    volume,
                    "a debug container has the volumes of its parent, and none of its own",
                );
            }
            if !path.exists() {
                let made = self.make_directory(&path).map_err(|error| {
                    IsolatorError::Failed(format!("cannot make '{}' of the host", path.display()), error)
                })?;
                if !made {
                    let text = format!(
                        "'{}' is not there on the host, and not below a directory of \
                         --host_path_volume_force_creation",
                        path.display()
                    );
                    return invalid(volume, text);
                }
            }
            let target = target(container, volume, &self.sandbox_directory)?;
            if both_ways {
                info.mounts.push(shared(&path, volume)?);
            }
            // It is where it is to be, as the container has the host's root.
            if path != target {
                info.mounts.push(mount(&path, &target, volume));
            }
        }
        if info.mounts.is_empty() { Ok(None) } else { Ok(Some(info)) }
    }
}

/// Keeps the mount that a path lies on shared with the host, so that mounts below show there too.
fn shared(path: &Path, volume: &Volume) -> Result<ContainerMountInfo, IsolatorError> {
    let failed =
        |error| IsolatorError::Failed(format!("cannot look for the mount of '{}'", path.display()), error);
    let real = fs::canonicalize(path).map_err(failed)?;
    let table = Table::current().map_err(failed)?;
    match table.containing(&real) {
        Some(entry) if entry.shared.is_some() => Ok(ContainerMountInfo {
            target: entry.target.to_string_lossy().into_owned(),
            flags: Some(MS_SHARED),
            ..ContainerMountInfo::default()
        }),
        _ => invalid(
            volume,
            format!("mounts below '{}' cannot show on the host: it is not on a shared mount", path.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use crate::kernel::{MS_BIND, MS_RDONLY, MS_REC};
    use messor_proto::mesos::volume::{self, Source, source};
    use messor_proto::mesos::{ContainerInfo, MountPropagation, container_info};

    fn volume(host: &str, inside: &str, mode: volume::Mode) -> Volume {
        let host_path = source::HostPath { path: host.to_string(), mount_propagation: None };
        let source =
            Source { r#type: Some(Type::HostPath as i32), host_path: Some(host_path), ..Source::default() };
        Volume {
            container_path: inside.to_string(),
            mode: mode as i32,
            source: Some(source),
            ..Volume::default()
        }
    }

    fn with(volumes: Vec<Volume>) -> Container {
        let mut container = container("c");
        container.config.directory = "/sandbox".to_string();
        let r#type = container_info::Type::Mesos as i32;
        container.config.container_info = Some(ContainerInfo { r#type, volumes, ..ContainerInfo::default() });
        container
    }

    fn mounts(isolator: &HostPath, container: &Container) -> Vec<(String, String, u32)> {
        let info = isolator.prepare(container).unwrap().unwrap();
        let text = |mount: ContainerMountInfo| (mount.source.unwrap(), mount.target, mount.flags.unwrap());
        info.mounts.into_iter().map(text).collect()
    }

    /// U020: read alone, where it is to be.
    #[test]
    fn paths_of_the_host_are_mounted_where_they_are_asked_for() {
        let isolator = HostPath::make("/mnt/mesos/sandbox", None).unwrap();
        let (all, read) = (MS_BIND | MS_REC, MS_BIND | MS_REC | MS_RDONLY);
        let older = Volume {
            container_path: "old".to_string(),
            host_path: Some("/usr".to_string()),
            mode: volume::Mode::Ro as i32,
            ..Volume::default()
        };
        let asked = vec![
            volume("/etc", "data/etc", volume::Mode::Rw),
            older,
            volume("/usr", "/usr", volume::Mode::Rw),
        ];
        let mut container = with(asked);
        let expected = |source: &str, target: &str, flags| (source.to_string(), target.to_string(), flags);
        let found = mounts(&isolator, &container);
        assert_eq!(
            found,
            [expected("/etc", "/sandbox/data/etc", all), expected("/usr", "/sandbox/old", read)]
        );
        container.config.rootfs = Some("/roots/c".to_string());
        let found = mounts(&isolator, &container);
        assert_eq!(found[0], expected("/etc", "/roots/c/mnt/mesos/sandbox/data/etc", all));
        assert_eq!(found[2], expected("/usr", "/roots/c/usr", all));
        assert_eq!(isolator.prepare(&with(vec![])).unwrap(), None);
    }

    #[test]
    fn what_is_not_there_is_made_only_where_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        let allowed = top.join("allowed");
        let isolator = HostPath::make("/s", allowed.to_str()).unwrap();
        let asked = |path: &Path| {
            isolator.prepare(&with(vec![volume(path.to_str().unwrap(), "v", volume::Mode::Rw)]))
        };
        asked(&allowed.join("a/b")).unwrap();
        assert!(allowed.join("a/b").is_dir());
        fs::create_dir(top.join("out")).unwrap();
        std::os::unix::fs::symlink(top.join("out"), allowed.join("link")).unwrap();
        assert!(asked(&allowed.join("link/x")).is_err());
        for wrong in [top.join("other"), allowed.join("../other"), top.join("allowed2")] {
            let error = asked(&wrong).unwrap_err().to_string();
            assert!(error.contains("--host_path_volume_force_creation"), "{error}");
        }
        assert_eq!(fs::read_dir(top.join("out")).unwrap().count(), 0);
        assert!(HostPath::make("/s", Some("relative")).is_err());
    }

    #[test]
    fn nothing_climbs_and_nothing_is_made_on_the_host() {
        let isolator = HostPath::make("/s", None).unwrap();
        for (inside, word) in
            [("../x", "without '..'"), ("/no/such/place", "must exist"), ("", "without '..'")]
        {
            let error = isolator.prepare(&with(vec![volume("/etc", inside, volume::Mode::Rw)])).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let relative = volume("etc", "v", volume::Mode::Rw);
        assert!(isolator.prepare(&with(vec![relative])).unwrap_err().to_string().contains("not absolute"));
        let mut debug = with(vec![volume("/etc", "v", volume::Mode::Rw)]);
        debug.config.container_class = Some(messor_proto::mesos::slave::ContainerClass::Debug as i32);
        assert!(isolator.prepare(&debug).is_err());
    }

    #[test]
    fn mounts_show_on_the_host_only_from_a_shared_mount() {
        let isolator = HostPath::make("/s", None).unwrap();
        let mut asked = volume("/proc", "v", volume::Mode::Rw);
        let host_path = asked.source.as_mut().unwrap().host_path.as_mut().unwrap();
        host_path.mount_propagation = Some(MountPropagation { mode: Some(Mode::Bidirectional as i32) });
        let is_shared = Table::current().unwrap().containing(Path::new("/proc")).unwrap().shared.is_some();
        match isolator.prepare(&with(vec![asked])) {
            Ok(info) => {
                assert!(is_shared);
                assert_eq!(info.unwrap().mounts[0].flags, Some(MS_SHARED));
            }
            Err(error) => {
                assert!(!is_shared && error.to_string().contains("not on a shared mount"), "{error}")
            }
        }
    }
}
