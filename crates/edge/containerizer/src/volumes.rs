//! Persistent volumes in a sandbox: each is a link under the name that the task asks for, as Apache Mesos's
//! posix file system has it. Containers with another root see nothing of this.
//!
//! The volumes are made and removed by who keeps the agent's resources; here they are there.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::{Path, PathBuf};

use messor_proto::mesos;
use messor_types::{Resources, volume_path};

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("the resources of the container cannot be read: {0}")]
    Resources(#[from] messor_types::ResourceError),
    #[error("the persistent volume {0} has no directory")]
    NoDirectory(String),
    #[error("the persistent volume at '{path}' cannot be given to the task's user: {source}")]
    Owner { path: PathBuf, source: io::Error },
    #[error("there is something else in the place of the persistent volume at '{0}'")]
    NotDirectory(PathBuf),
    #[error("'{path}' is in the way of the link to a persistent volume: {source}")]
    Link { path: PathBuf, source: io::Error },
}

/// The volumes of a container, before and after.
pub(crate) struct Change<'a> {
    pub before: &'a [mesos::Resource],
    pub after: &'a [mesos::Resource],
    /// What other containers use at the same time.
    pub others: &'a Resources,
}

/// Brings the links in a sandbox from the volumes of before to those of now.
pub(crate) fn update(work_dir: &Path, sandbox: &Path, change: &Change<'_>) -> Result<(), VolumeError> {
    let volumes =
        |list: &[mesos::Resource]| Ok::<_, VolumeError>(Resources::from_proto(list)?.persistent_volumes());
    let (before, after) = (volumes(change.before)?, volumes(change.after)?);
    for volume in before.iter().filter(|volume| !after.contains_resource(volume)) {
        if let Some(link) = link_of(sandbox, volume) {
            remove(&link)?;
        }
    }
    for volume in &after {
        let Some(link) = link_of(sandbox, volume) else {
            tracing::warn!(
                "the volume {volume} gets no link: its 'container_path' is not a name in the sandbox"
            );
            continue;
        };
        let path = volume_path(volume).ok_or_else(|| VolumeError::NoDirectory(volume.to_string()))?;
        let path = work_dir.join(path);
        // A link there would give away, and show, what is somewhere else. Mount points are the operator's.
        let is_mount = volume.disk().and_then(|disk| disk.source.as_ref()).is_some_and(|s| s.mount.is_some());
        if !is_mount && fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) {
            return Err(VolumeError::NotDirectory(path));
        }
        let known = before.contains_resource(volume);
        // Those who use it already keep it.
        let shared = change.others.clone().unallocated();
        let in_use = volume.is_shared() && shared.contains_resource(&volume.clone().without_allocation());
        if !known && !in_use {
            own(sandbox, &path).map_err(|source| VolumeError::Owner { path: path.clone(), source })?;
        }
        if !known || fs::symlink_metadata(&link).is_err() {
            make(&link, &path)?;
        }
    }
    Ok(())
}

/// Where a volume shows; None: its path is absolute or leads through folders, which only other roots have.
fn link_of(sandbox: &Path, volume: &messor_types::Resource) -> Option<PathBuf> {
    let name = &volume.disk()?.volume.as_ref()?.container_path;
    let plain = !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\0']);
    plain.then(|| sandbox.join(name))
}

/// The root of the volume belongs to whom the sandbox belongs to; what is in it is left alone (U061).
fn own(sandbox: &Path, path: &Path) -> io::Result<()> {
    let owner = fs::metadata(sandbox)?;
    let is = fs::symlink_metadata(path)?;
    if owner.uid() == 0 || (is.uid(), is.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    lchown(path, Some(owner.uid()), Some(owner.gid()))
}

fn make(link: &Path, path: &Path) -> Result<(), VolumeError> {
    match symlink(path, link) {
        // It is from a container of before that runs on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::read_link(link) {
            Ok(target) if target == path => Ok(()),
            Ok(_) | Err(_) => Err(VolumeError::Link { path: link.to_path_buf(), source: error }),
        },
        made => made.map_err(|source| VolumeError::Link { path: link.to_path_buf(), source }),
    }
}

/// What the task put there in place of the link stays.
fn remove(link: &Path) -> Result<(), VolumeError> {
    if fs::symlink_metadata(link).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(link).map_err(|source| VolumeError::Link { path: link.to_path_buf(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::Volume;
    use messor_proto::mesos::resource::{DiskInfo, disk_info::Persistence};
    use messor_types::{Reservation, ReservationKind, Resource, ResourceFormat};

    fn volume(id: &str, name: &str) -> mesos::Resource {
        let disk = DiskInfo {
            persistence: Some(Persistence { id: id.to_string(), principal: None }),
            volume: Some(Volume { container_path: name.to_string(), ..Default::default() }),
            ..Default::default()
        };
        Resource::scalar("disk", 8.0)
            .with_reservation(Reservation::new(ReservationKind::Dynamic, "r"))
            .with_disk(disk)
            .to_proto(ResourceFormat::PostRefinement)
    }

    struct Host {
        work: tempfile::TempDir,
        sandbox: PathBuf,
    }

    impl Host {
        fn new() -> Host {
            let work = tempfile::tempdir().unwrap();
            let sandbox = work.path().join("sandbox");
            fs::create_dir(&sandbox).unwrap();
            for id in ["v", "w"] {
                fs::create_dir_all(work.path().join("volumes/roles/r").join(id)).unwrap();
            }
            Host { work, sandbox }
        }

        fn update(&self, before: &[mesos::Resource], after: &[mesos::Resource]) -> Result<(), VolumeError> {
            let change = Change { before, after, others: &Resources::new() };
            update(self.work.path(), &self.sandbox, &change)
        }
    }

    #[test]
    fn a_volume_is_a_link_while_it_is_used() {
        let host = Host::new();
        let (v, w) = (volume("v", "data"), volume("w", "more"));
        host.update(&[], std::slice::from_ref(&v)).unwrap();
        fs::write(host.sandbox.join("data/file"), "kept").unwrap();
        assert_eq!(fs::read_to_string(host.work.path().join("volumes/roles/r/v/file")).unwrap(), "kept");
        host.update(std::slice::from_ref(&v), &[v.clone(), w.clone()]).unwrap();
        // An agent that starts again does not know what is linked.
        host.update(&[], &[v.clone(), w.clone()]).unwrap();
        host.update(&[v, w.clone()], &[w]).unwrap();
        assert!(fs::symlink_metadata(host.sandbox.join("data")).is_err());
        assert!(host.sandbox.join("more").is_dir());
        assert!(host.work.path().join("volumes/roles/r/v/file").exists());
    }

    #[test]
    fn nothing_in_the_sandbox_is_lost_to_a_link() {
        let host = Host::new();
        fs::write(host.sandbox.join("data"), "mine").unwrap();
        let v = volume("v", "data");
        assert!(matches!(host.update(&[], std::slice::from_ref(&v)), Err(VolumeError::Link { .. })));
        host.update(&[v], &[]).unwrap();
        assert_eq!(fs::read_to_string(host.sandbox.join("data")).unwrap(), "mine");
        for name in ["../out", "/absolute", "..", "a/b"] {
            host.update(&[], &[volume("v", name)]).unwrap();
        }
        assert_eq!(fs::read_dir(host.sandbox.parent().unwrap()).unwrap().count(), 2);
        let error = host.update(&[], &[volume("gone", "data2")]).unwrap_err();
        assert!(matches!(error, VolumeError::Owner { .. }), "{error}");
    }

    #[test]
    fn a_link_in_the_place_of_a_volume_is_refused() {
        let host = Host::new();
        let (path, other) = (host.work.path().join("volumes/roles/r/v"), host.work.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::remove_dir(&path).unwrap();
        symlink(&other, &path).unwrap();
        let error = host.update(&[], &[volume("v", "data")]).unwrap_err();
        assert!(matches!(error, VolumeError::NotDirectory(_)), "{error}");
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
        host.update(&[], &[volume("v", "data")]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), 12_345);
        assert_eq!(fs::metadata(path.join("file")).unwrap().uid(), 0);
    }
}
