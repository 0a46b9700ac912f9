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
pub(crate) fn bring(work_dir: &Path, before: &[Resource], after: &[Resource]) -> Result<(), VolumeError> {
    let (before, after) = (paths(work_dir, before)?, paths(work_dir, after)?);
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        fs::create_dir_all(path).map_err(|source| VolumeError::Io { path: path.clone(), source })?;
    }
    for (path, is_mount) in before.iter().filter(|(path, _)| !after.contains_key(*path)) {
        tracing::info!("removing the persistent volume at {}", path.display());
        let removed = if *is_mount { empty(path) } else { fs::remove_dir_all(path) };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("the persistent volume at {} is not there", path.display());
            }
            Err(source) => return Err(VolumeError::Io { path: path.clone(), source }),
            Ok(()) => {}
        }
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
        bring(work.path(), &[], &all).unwrap();
        let (plain, mounted) = (work.path().join("volumes/roles/a b/v1"), work.path().join("mounted"));
        for directory in [&plain, &mounted] {
            fs::create_dir(directory.join("d")).unwrap();
            fs::write(directory.join("f"), "data").unwrap();
        }
        bring(work.path(), &all, &all).unwrap();
        assert!(plain.join("f").exists());
        bring(work.path(), &all, &[]).unwrap();
        assert!(!plain.exists() && mounted.is_dir());
        assert_eq!(fs::read_dir(mounted).unwrap().count(), 0);
        bring(work.path(), &all[..1], &[]).unwrap();
    }

    #[test]
    fn a_volume_does_not_lead_out() {
        let work = tempfile::tempdir().unwrap();
        for (role, id) in [("a", ".."), ("a", "x/y"), ("a", ""), ("", "v"), ("..", "v")] {
            let error = bring(work.path(), &[], &[volume(role, id, None)]).unwrap_err();
            assert!(matches!(error, VolumeError::Name(_)), "{role} {id}");
        }
    }
}
