//! The directories of persistent volumes: made when a volume is, and removed with all that is in them when it is
//! destroyed (U069). It must not know why.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use messor_proto::mesos::Resource;
use messor_proto::mesos::resource::disk_info::source::Type;
use messor_types::{resource_to_post_refinement, volume_directory};

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("the persistent volume '{0}' has no role or no id that can be the name of a directory")]
    Name(String),
    #[error(
        "not supported yet: the persistent volume '{0}' is on a disk that is neither PATH nor MOUNT, or of CSI"
    )]
    Source(String),
    #[error("the persistent volume at '{path}': {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Brings the directories from the volumes among `before` to those among `after`.
/// `removed` is told of each volume that is gone.
pub(crate) fn bring(
    work_dir: &Path,
    before: &[Resource],
    after: &[Resource],
    removed: &dyn Fn(&Path),
) -> Result<(), VolumeError> {
    let (before, after) = (paths(work_dir, before)?, paths(work_dir, after)?);
    for (path, is_mount) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
        make(path, *is_mount).map_err(|source| VolumeError::Io { path: path.clone(), source })?;
    }
    for (path, is_mount) in before.iter().filter(|(path, _)| !after.contains_key(*path)) {
        tracing::info!("removing the persistent volume at {}", path.display());
        // Links in a volume are its user's: none is followed, and neither is one in its place.
        let outcome = match is_mount {
            true => empty(path),
            false => fs::remove_dir_all(path).and_then(|()| sync(path.parent())),
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("the persistent volume at {} is not there", path.display());
            }
            Err(source) => return Err(VolumeError::Io { path: path.clone(), source }),
            Ok(()) => {}
        }
        removed(path);
    }
    Ok(())
}

/// Where the persistent volumes are, and whether each is a mount point, which stays.
fn paths(work_dir: &Path, resources: &[Resource]) -> Result<BTreeMap<PathBuf, bool>, VolumeError> {
    let mut paths = BTreeMap::new();
    for resource in resources {
        let Some(disk) = resource.disk.as_ref().filter(|disk| disk.persistence.is_some()) else { continue };
        let id = disk.persistence.as_ref().map(|persistence| persistence.id.clone()).unwrap_or_default();
        let (is_mount, has_directory) = match &disk.source {
            None => (false, true),
            Some(source) => {
                let kind = source.r#type();
                let roots = source.path.as_ref().map(|path| &path.root);
                let roots = roots.or(source.mount.as_ref().map(|mount| &mount.root));
                let plain = source.id.is_none() && roots.is_some_and(Option::is_some);
                (kind == Type::Mount, plain && matches!(kind, Type::Path | Type::Mount))
            }
        };
        if !has_directory {
            return Err(VolumeError::Source(id));
        }
        let mut resource = resource.clone();
        resource_to_post_refinement(&mut resource);
        let role = resource.reservations.last().and_then(|reservation| reservation.role.as_deref());
        let path = volume_directory(role.unwrap_or_default(), &id, disk.source.as_ref());
        let path = path.ok_or(VolumeError::Name(id))?;
        paths.insert(work_dir.join(path), is_mount);
    }
    Ok(paths)
}

/// Makes a volume's directory, which stays made: the resources that have it are on disk next. One that is there already
/// stays as it is, as a mount point is, and what an agent made that could not finish.
fn make(path: &Path, is_mount: bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() || is_mount => return Ok(()),
        // Data would lie, and owners would change, somewhere else.
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "there is something else in its place"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(path)?;
    // Each may be new, up to the disk that `volumes/roles/ROLE/ID` is on.
    path.ancestors().take(5).try_for_each(|directory| sync(Some(directory)))
}

fn sync(directory: Option<&Path>) -> io::Result<()> {
    directory.map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

/// Removes what is in a directory, not the directory.
fn empty(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::resource::disk_info::{Persistence, Source, source};
    use messor_proto::mesos::resource::{DiskInfo, ReservationInfo};

    fn volume(role: &str, id: &str, source: Option<Source>) -> Resource {
        let persistence = Some(Persistence { id: id.into(), principal: None });
        Resource {
            name: "disk".into(),
            disk: Some(Box::new(DiskInfo { persistence, source, volume: None })),
            reservations: vec![ReservationInfo { role: Some(role.into()), ..ReservationInfo::default() }],
            ..Resource::default()
        }
    }

    #[test]
    fn volumes_come_and_go_with_their_data() {
        let work = tempfile::tempdir().unwrap();
        let mount = Some(Source {
            r#type: Type::Mount.into(),
            mount: Some(source::Mount { root: Some("mounted".into()) }),
            ..Source::default()
        });
        let all = [volume("a/b", "v1", None), volume("a", "v2", mount), Resource::default()];
        bring(work.path(), &[], &all, &|_| ()).unwrap();
        let (plain, mounted) = (work.path().join("volumes/roles/a b/v1"), work.path().join("mounted"));
        for directory in [&plain, &mounted] {
            fs::create_dir(directory.join("d")).unwrap();
            fs::write(directory.join("f"), "data").unwrap();
        }
        bring(work.path(), &all, &all, &|_| ()).unwrap();
        assert!(plain.join("f").exists());
        bring(work.path(), &all, &[], &|_| ()).unwrap();
        assert!(!plain.exists() && mounted.is_dir());
        assert_eq!(fs::read_dir(mounted).unwrap().count(), 0);
        bring(work.path(), &all[..1], &[], &|_| ()).unwrap();
    }

    /// Volumes that are made again after a crash keep what is in them; nothing is made or removed through a link.
    #[test]
    fn links_in_the_place_of_volumes_or_in_them_are_not_followed() {
        let work = tempfile::tempdir().unwrap();
        let other = work.path().join("other");
        fs::create_dir_all(other.join("deep")).unwrap();
        fs::write(other.join("file"), "other's").unwrap();
        let all = [volume("a", "v", None)];
        let path = work.path().join("volumes/roles/a/v");
        bring(work.path(), &[], &all, &|_| ()).unwrap();
        fs::write(path.join("file"), "kept").unwrap();
        bring(work.path(), &[], &all, &|_| ()).unwrap();
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept");
        std::os::unix::fs::symlink(&other, path.join("link")).unwrap();
        bring(work.path(), &all, &[], &|_| ()).unwrap();
        assert!(!path.exists() && other.join("deep").is_dir() && other.join("file").exists());

        std::os::unix::fs::symlink(&other, &path).unwrap();
        let error = bring(work.path(), &[], &all, &|_| ()).unwrap_err();
        assert!(error.to_string().contains("something else in its place"), "{error}");
        bring(work.path(), &all, &[], &|_| ()).unwrap();
        assert!(fs::symlink_metadata(&path).is_err() && other.join("file").exists());
    }

    /// U036: the root of a disk is below the work directory unless it is absolute.
    #[test]
    fn roots_of_disks_may_be_relative() {
        let (work, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = |root: &str| Source {
            r#type: Type::Path.into(),
            path: Some(source::Path { root: Some(root.into()) }),
            ..Source::default()
        };
        let absolute = disk.path().to_str().unwrap();
        let all = [volume("a", "v", Some(path("disks/1/"))), volume("a", "w", Some(path(absolute)))];
        bring(work.path(), &[], &all, &|_| ()).unwrap();
        assert!(work.path().join("disks/1/volumes/roles/a/v").is_dir());
        assert!(disk.path().join("volumes/roles/a/w").is_dir());
    }

    #[test]
    fn a_volume_does_not_lead_out() {
        let work = tempfile::tempdir().unwrap();
        for (role, id) in [("a", ".."), ("a", "x/y"), ("a", ""), ("", "v"), ("..", "v")] {
            let error = bring(work.path(), &[], &[volume(role, id, None)], &|_| ()).unwrap_err();
            assert!(matches!(error, VolumeError::Name(_)), "{role} {id}");
        }
    }
}
