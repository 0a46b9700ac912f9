//! Resources that a task or executor asks for.

use std::collections::BTreeSet;

use messor_proto::mesos;
use messor_types::{Resource, ResourceError, Resources, Role};

use crate::ids::{IdError, validate_id};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error("'gpus' must be a whole number")]
    Gpus,
    #[error("a persistent volume cannot be made of revocable resources")]
    RevocableVolume,
    #[error("a persistent volume cannot be made of unreserved resources")]
    UnreservedVolume,
    #[error("'disk.volume' must be set for a persistent volume")]
    NoVolume,
    #[error("'disk.volume.host_path' must not be set for a persistent volume")]
    HostPath,
    #[error("'disk.persistence.id' is invalid: {0}")]
    PersistenceId(#[from] IdError),
    #[error("'disk.volume' without 'disk.persistence' is not supported")]
    VolumeAlone,
    #[error("'disk' is set but empty")]
    EmptyDisk,
    #[error("dynamically reserved resources cannot be revocable")]
    RevocableReservation,
    #[error("the persistent volume '{0}' is there twice")]
    VolumeTwice(String),
    #[error("the resource '{0}' is not allocated to a role")]
    NotAllocated(String),
    #[error("the resources are allocated to the roles '{0}' and '{1}': use those of one role")]
    Roles(Role, Role),
    #[error("'{0}' is both revocable and not: use one kind")]
    MixedRevocable(String),
    #[error("the same items of a range or a set are used more than once")]
    Overlap,
}

/// Checks resources from the wire, each by itself, and reads them.
pub fn validate_resources(list: &[mesos::Resource]) -> Result<Resources, ResourcesError> {
    let resources = Resources::from_proto(list)?;
    if resources.gpus().is_some_and(|gpus| gpus.millis() % 1000 != 0) {
        return Err(ResourcesError::Gpus);
    }
    for resource in list {
        validate_disk(resource)?;
    }
    if resources.iter().any(|resource| resource.is_dynamically_reserved() && resource.is_revocable()) {
        return Err(ResourcesError::RevocableReservation);
    }
    Ok(resources)
}

fn validate_disk(resource: &mesos::Resource) -> Result<(), ResourcesError> {
    let Some(disk) = &resource.disk else { return Ok(()) };
    let Some(persistence) = &disk.persistence else {
        return match (&disk.volume, &disk.source) {
            (Some(_), _) => Err(ResourcesError::VolumeAlone),
            (None, None) => Err(ResourcesError::EmptyDisk),
            (None, Some(_)) => Ok(()),
        };
    };
    let read = Resource::from_proto(resource)?;
    if read.is_revocable() {
        return Err(ResourcesError::RevocableVolume);
    }
    if read.is_unreserved() {
        return Err(ResourcesError::UnreservedVolume);
    }
    let volume = disk.volume.as_ref().ok_or(ResourcesError::NoVolume)?;
    if volume.host_path.is_some() {
        return Err(ResourcesError::HostPath);
    }
    Ok(validate_id(&persistence.id)?)
}

/// What resources that are used together must keep.
pub(crate) fn validate_together(resources: &Resources) -> Result<(), ResourcesError> {
    let mut volumes = BTreeSet::new();
    for volume in resources.iter().filter(|resource| resource.is_persistent_volume()) {
        let id = volume.persistence_id().unwrap_or_default();
        if !volumes.insert((volume.reservation_role(), id)) {
            return Err(ResourcesError::VolumeTwice(id.to_string()));
        }
    }
    for name in resources.names() {
        let (revocable, regular): (Vec<&Resource>, Vec<&Resource>) = resources
            .iter()
            .filter(|resource| *resource.name() == name)
            .partition(|resource| resource.is_revocable());
        if !revocable.is_empty() && !regular.is_empty() {
            return Err(ResourcesError::MixedRevocable(name.to_string()));
        }
    }
    Ok(())
}

/// All of it is allocated, and to one role.
pub(crate) fn validate_one_role(resources: &Resources) -> Result<(), ResourcesError> {
    let mut first: Option<&Role> = None;
    for resource in resources {
        let role = resource
            .allocation_role()
            .ok_or_else(|| ResourcesError::NotAllocated(resource.name().to_string()))?;
        let first = *first.get_or_insert(role);
        if role != first {
            return Err(ResourcesError::Roles(first.clone(), role.clone()));
        }
    }
    Ok(())
}

/// Items of ranges and sets cannot be used by two at a time; shared resources can.
pub(crate) fn validate_disjoint(parts: &[&Resources]) -> Result<(), ResourcesError> {
    fn items(resource: &Resource) -> u64 {
        let ranges = resource.as_ranges().map_or(0, |ranges| ranges.count());
        ranges + resource.as_set().map_or(0, |set| set.len() as u64)
    }
    let mut total = Resources::new();
    let mut count = 0;
    for part in parts {
        total += *part;
        count += part.iter().filter(|resource| !resource.is_shared()).map(items).sum::<u64>();
    }
    let merged: u64 = total.iter().filter(|resource| !resource.is_shared()).map(items).sum();
    if merged == count { Ok(()) } else { Err(ResourcesError::Overlap) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::resource::{DiskInfo, RevocableInfo, disk_info};
    use messor_types::ResourceFormat;

    fn scalar(name: &str, value: f64) -> mesos::Resource {
        Resource::scalar(name, value).to_proto(ResourceFormat::PostRefinement)
    }

    fn volume(role: Option<&str>, id: &str) -> mesos::Resource {
        let persistence = disk_info::Persistence { id: id.into(), principal: None };
        let volume = mesos::Volume { container_path: "path".into(), mode: 1, ..Default::default() };
        let disk = DiskInfo { persistence: Some(persistence), volume: Some(volume), ..Default::default() };
        let reservations = role.map(|role| mesos::resource::ReservationInfo {
            r#type: Some(mesos::resource::reservation_info::Type::Dynamic as i32),
            role: Some(role.into()),
            ..Default::default()
        });
        mesos::Resource {
            disk: Some(Box::new(disk)),
            reservations: reservations.into_iter().collect(),
            ..scalar("disk", 8.0)
        }
    }

    #[test]
    fn each_resource_is_right_by_itself() {
        let check = |resource: mesos::Resource| validate_resources(&[resource]).map(|_| ());
        assert_eq!(check(scalar("cpus", 1.5)), Ok(()));
        assert_eq!(check(scalar("gpus", 2.0)), Ok(()));
        assert_eq!(check(scalar("gpus", 1.5)), Err(ResourcesError::Gpus));
        assert!(matches!(check(scalar("cpus", -1.0)), Err(ResourcesError::Resource(_))));
        assert_eq!(check(volume(Some("r"), "v")), Ok(()));
        assert_eq!(check(volume(None, "v")), Err(ResourcesError::UnreservedVolume));
        assert!(matches!(check(volume(Some("r"), "a/b")), Err(ResourcesError::PersistenceId(_))));
        let mut wrong = volume(Some("r"), "v");
        wrong.revocable = Some(RevocableInfo::default());
        assert_eq!(check(wrong), Err(ResourcesError::RevocableVolume));
        let mut wrong = volume(Some("r"), "v");
        wrong.disk.as_mut().unwrap().volume.as_mut().unwrap().host_path = Some("/h".into());
        assert_eq!(check(wrong), Err(ResourcesError::HostPath));
        let mut wrong = volume(Some("r"), "v");
        wrong.disk.as_mut().unwrap().volume = None;
        assert_eq!(check(wrong), Err(ResourcesError::NoVolume));
        let mut wrong = volume(Some("r"), "v");
        wrong.disk.as_mut().unwrap().persistence = None;
        assert_eq!(check(wrong), Err(ResourcesError::VolumeAlone));
        let empty = mesos::Resource { disk: Some(Box::default()), ..scalar("disk", 1.0) };
        assert_eq!(check(empty), Err(ResourcesError::EmptyDisk));
        let mut wrong = volume(Some("r"), "v");
        (wrong.disk, wrong.revocable) = (None, Some(RevocableInfo::default()));
        assert_eq!(check(wrong), Err(ResourcesError::RevocableReservation));
    }

    #[test]
    fn resources_fit_together() {
        let cpus = Resource::scalar("cpus", 1.0);
        let check = |list: Vec<Resource>| validate_together(&list.into_iter().collect());
        assert_eq!(check(vec![cpus.clone(), Resource::scalar("mem", 1.0).with_revocable()]), Ok(()));
        let mixed = check(vec![cpus.clone(), cpus.clone().with_revocable()]);
        assert_eq!(mixed, Err(ResourcesError::MixedRevocable("cpus".into())));
        let twice = Resources::from_proto(&[volume(Some("r"), "v"), volume(Some("r"), "v")]).unwrap();
        assert_eq!(validate_together(&twice), Err(ResourcesError::VolumeTwice("v".into())));
        let two = Resources::from_proto(&[volume(Some("r"), "v"), volume(Some("s"), "v")]).unwrap();
        assert_eq!(validate_together(&two), Ok(()));
    }

    #[test]
    fn one_allocation_role() {
        let (a, b) = (Role::new("a"), Role::new("b"));
        let cpus = Resource::scalar("cpus", 1.0);
        let check = |list: Vec<Resource>| validate_one_role(&list.into_iter().collect());
        assert_eq!(check(vec![cpus.clone().with_allocation(&a)]), Ok(()));
        assert_eq!(check(vec![cpus.clone()]), Err(ResourcesError::NotAllocated("cpus".into())));
        let two = check(vec![cpus.clone().with_allocation(&a), cpus.with_allocation(&b)]);
        assert_eq!(two, Err(ResourcesError::Roles(a, b)));
    }

    #[test]
    fn items_are_used_once() {
        let ports = |from, to| Resources::from(Resource::ranges("ports", [(from, to)]));
        assert_eq!(validate_disjoint(&[&ports(1, 5), &ports(6, 9)]), Ok(()));
        assert_eq!(validate_disjoint(&[&ports(1, 5), &ports(5, 9)]), Err(ResourcesError::Overlap));
        let set = |item| Resources::from(Resource::set("disks", [item]));
        assert_eq!(validate_disjoint(&[&set("a"), &set("a")]), Err(ResourcesError::Overlap));
    }
}
