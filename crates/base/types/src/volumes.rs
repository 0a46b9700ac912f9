//! Where the data of a persistent volume lies on its agent.

use messor_proto::mesos::resource::disk_info::{Source, source::Type};

use crate::Resource;

/// The directory of a persistent volume: absolute where its disk says so, else below the agent's work_dir. None: it is
/// no volume, or one of a disk that has no directory.
///
/// A `/` in the name of a role becomes a space, which no role has in its name.
pub fn volume_path(volume: &Resource) -> Option<String> {
    let source = volume.disk()?.source.as_ref();
    volume_directory(volume.reservation_role()?.as_str(), volume.persistence_id()?, source)
}

/// The same of a volume that is given by the role that it is reserved for, its id and its disk.
pub fn volume_directory(role: &str, id: &str, source: Option<&Source>) -> Option<String> {
    let role = role.replace('/', " ");
    // Both come from the wire, and both are names of one directory.
    if [role.as_str(), id].iter().any(|part| matches!(*part, "" | "." | "..") || part.contains('/')) {
        return None;
    }
    let below = format!("volumes/roles/{role}/{id}");
    let Some(source) = source else { return Some(below) };
    // Where a volume of a storage plugin is mounted is known to the plugin alone.
    if source.id.is_some() {
        return None;
    }
    match Type::try_from(source.r#type).ok()? {
        Type::Path => {
            let root = source.path.as_ref().and_then(|path| path.root.as_ref())?;
            Some(format!("{}/{below}", root.trim_end_matches('/')))
        }
        Type::Mount => source.mount.as_ref().and_then(|mount| mount.root.clone()),
        Type::Unknown | Type::Block | Type::Raw => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reservation, ReservationKind};
    use messor_proto::mesos::resource::DiskInfo;
    use messor_proto::mesos::resource::disk_info::{Persistence, source};

    fn volume(role: &str, id: &str, source: Option<Source>) -> Resource {
        let persistence = Some(Persistence { id: id.to_string(), principal: None });
        Resource::scalar("disk", 8.0)
            .with_reservation(Reservation::new(ReservationKind::Dynamic, role))
            .with_disk(DiskInfo { persistence, source, ..Default::default() })
    }

    #[test]
    fn volumes_lie_where_apache_mesos_has_them() {
        assert_eq!(volume_path(&volume("a/b", "v 1", None)).unwrap(), "volumes/roles/a b/v 1");
        let path = Source {
            r#type: Type::Path.into(),
            path: Some(source::Path { root: Some("/mnt/a/".to_string()) }),
            ..Default::default()
        };
        assert_eq!(volume_path(&volume("r", "v", Some(path))).unwrap(), "/mnt/a/volumes/roles/r/v");
        let mount = Source {
            r#type: Type::Mount.into(),
            mount: Some(source::Mount { root: Some("/mnt/b".to_string()) }),
            ..Default::default()
        };
        assert_eq!(volume_path(&volume("r", "v", Some(mount))).unwrap(), "/mnt/b");
    }

    #[test]
    fn no_volume_climbs() {
        for (role, id) in [("r", ".."), ("r", "a/b"), ("r", ""), ("..", "v")] {
            assert_eq!(volume_path(&volume(role, id, None)), None, "{role} {id}");
        }
        assert_eq!(volume_path(&Resource::scalar("disk", 8.0)), None);
    }
}
