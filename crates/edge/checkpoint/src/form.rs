//! The form in which resources are on disk: as agents before 1.4 knew them wherever that can say them, so that an older
//! agent reads them; and back.

use messor_proto::mesos::resource::ReservationInfo;
use messor_proto::mesos::resource::reservation_info::Type;
use messor_proto::mesos::{FrameworkInfo, Resource, resource};
use messor_types::resource_to_post_refinement;

/// To `role` and `reservation`. A refined reservation has no older form and stays as it is.
#[allow(deprecated)] // `Resource.role` is what the older form is made of.
pub(crate) fn downgrade(resources: &mut [Resource]) {
    for resource in resources {
        // As in memory, first: what is older already comes out the same.
        resource_to_post_refinement(resource);
        match resource.reservations.as_slice() {
            [] => resource.role = Some("*".to_string()),
            [only] => {
                if only.r#type == Some(Type::Dynamic.into()) {
                    let of = ReservationInfo { r#type: None, role: None, ..only.clone() };
                    resource.reservation = Some(Box::new(of));
                }
                resource.role.clone_from(&only.role);
                resource.reservations.clear();
            }
            _ => {}
        }
    }
}

pub(crate) fn upgrade(resources: &mut [Resource]) {
    resources.iter_mut().for_each(resource_to_post_refinement);
}

/// Agents before 1.2 did not say to which role resources are allocated, as their frameworks had one.
#[allow(deprecated)] // `FrameworkInfo.role` is that one.
pub(crate) fn allocate(resources: &mut [Resource], framework: &FrameworkInfo) {
    let role = match framework.roles.as_slice() {
        [] => framework.role.clone().unwrap_or_else(|| "*".to_string()),
        [only] => only.clone(),
        _ => return,
    };
    for resource in resources.iter_mut().filter(|resource| resource.allocation_info.is_none()) {
        resource.allocation_info = Some(resource::AllocationInfo { role: Some(role.clone()) });
    }
}

#[cfg(test)]
#[allow(deprecated)]
mod tests {
    use super::*;

    fn resource(reservations: Vec<ReservationInfo>) -> Resource {
        Resource { name: "cpus".into(), reservations, ..Resource::default() }
    }

    fn reservation(kind: Type, role: &str, principal: Option<&str>) -> ReservationInfo {
        ReservationInfo {
            r#type: Some(kind.into()),
            role: Some(role.into()),
            principal: principal.map(Into::into),
            labels: None,
        }
    }

    #[test]
    fn forms_there_and_back() {
        for reservations in [
            vec![],
            vec![reservation(Type::Static, "a", None)],
            vec![reservation(Type::Dynamic, "a", Some("p"))],
            vec![reservation(Type::Static, "a", None), reservation(Type::Dynamic, "a/b", Some("p"))],
        ] {
            let mut all = [resource(reservations.clone())];
            downgrade(&mut all);
            assert_eq!(all[0].reservations.len(), if reservations.len() == 2 { 2 } else { 0 });
            assert_eq!(all[0].role.is_some(), reservations.len() < 2);
            let older = all.clone();
            downgrade(&mut all);
            assert_eq!(all, older);
            upgrade(&mut all);
            assert_eq!(all, [resource(reservations)]);
        }
    }

    #[test]
    fn resources_are_the_frameworks_role_where_nothing_is_said() {
        let mut all = [resource(vec![])];
        let framework = |roles: &[&str]| FrameworkInfo {
            roles: roles.iter().map(ToString::to_string).collect(),
            ..FrameworkInfo::default()
        };
        allocate(&mut all, &framework(&["a", "b"]));
        assert_eq!(all[0].allocation_info, None);
        allocate(&mut all, &framework(&["a"]));
        allocate(&mut all, &framework(&["b"]));
        assert_eq!(all[0].allocation_info.as_ref().unwrap().role.as_deref(), Some("a"));
    }
}
