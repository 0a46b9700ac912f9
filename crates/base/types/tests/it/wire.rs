//! Protobuf at the border: three forms of reservations outside, one inside (U044), and what is not let in.

use messor_proto::mesos::resource::{self, disk_info, reservation_info};
use messor_proto::mesos::{self, value};
use messor_types::{Resource, ResourceFormat, Resources, resource_to_post_refinement, validate_resource};

use crate::{dynamic, labels, sourced, volume};

fn scalar(name: &str, amount: f64) -> mesos::Resource {
    mesos::Resource {
        name: name.to_string(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        ..Default::default()
    }
}

fn ranges(pairs: &[(u64, u64)]) -> mesos::Resource {
    mesos::Resource {
        name: "ports".to_string(),
        r#type: value::Type::Ranges.into(),
        ranges: Some(value::Ranges {
            range: pairs.iter().map(|&(begin, end)| value::Range { begin, end }).collect(),
        }),
        ..Default::default()
    }
}

fn set(items: &[&str]) -> mesos::Resource {
    mesos::Resource {
        name: "disks".to_string(),
        r#type: value::Type::Set.into(),
        set: Some(value::Set { item: items.iter().map(|item| item.to_string()).collect() }),
        ..Default::default()
    }
}

fn info(kind: Option<reservation_info::Type>, role: Option<&str>) -> resource::ReservationInfo {
    resource::ReservationInfo {
        r#type: kind.map(Into::into),
        role: role.map(String::from),
        ..Default::default()
    }
}

const STATIC: Option<reservation_info::Type> = Some(reservation_info::Type::Static);
const DYNAMIC: Option<reservation_info::Type> = Some(reservation_info::Type::Dynamic);

/// U044: whatever form comes in, the same is inside.
#[test]
#[allow(deprecated)]
fn all_forms_mean_the_same() {
    let mut reservation = dynamic("role");
    reservation.principal = Some("me".to_string());
    reservation.labels = Some(labels(&[("a", "1")]));
    let dynamic = Resource::scalar("cpus", 2.0).with_reservation(reservation);
    let fixed = crate::resources("cpus(role):2").into_iter().next().unwrap();
    let plain = Resource::scalar("cpus", 2.0);
    for resource in [dynamic.clone(), fixed, plain] {
        for format in
            [ResourceFormat::PreRefinement, ResourceFormat::PostRefinement, ResourceFormat::Endpoint]
        {
            let mut wire = resource.to_proto(format);
            assert_eq!(Resource::from_proto(&wire).unwrap(), resource, "{format:?}");
            resource_to_post_refinement(&mut wire);
            assert_eq!(wire, resource.to_proto(ResourceFormat::PostRefinement), "{format:?}");
        }
    }

    let old = dynamic.to_proto(ResourceFormat::PreRefinement);
    assert_eq!(old.role.as_deref(), Some("role"));
    assert!(old.reservations.is_empty());
    let reservation = old.reservation.unwrap();
    assert_eq!((reservation.r#type, reservation.role), (None, None));
    assert_eq!(reservation.principal.as_deref(), Some("me"));

    let both = dynamic.to_proto(ResourceFormat::Endpoint);
    assert_eq!((both.role.as_deref(), both.reservations.len()), (Some("role"), 1));
    let plain = Resource::scalar("cpus", 2.0).to_proto(ResourceFormat::Endpoint);
    assert_eq!(plain.role.as_deref(), Some("*"));
}

/// U044
#[test]
#[allow(deprecated)]
fn refined_reservations_have_no_older_form() {
    let refined =
        Resource::scalar("cpus", 2.0).with_reservation(dynamic("a")).with_reservation(dynamic("a/b"));
    let wire = refined.to_proto(ResourceFormat::Endpoint);
    assert_eq!((wire.role.clone(), wire.reservation.clone(), wire.reservations.len()), (None, None, 2));
    assert_eq!(Resource::from_proto(&wire).unwrap(), refined);
}

#[test]
fn metadata_passes_through() {
    let provider = mesos::Resource {
        provider_id: Some(mesos::ResourceProviderId { value: "p".into() }),
        revocable: Some(resource::RevocableInfo::default()),
        allocation_info: Some(resource::AllocationInfo { role: Some("r".into()) }),
        ..scalar("cpus", 1.5)
    };
    assert_eq!(Resource::from_proto(&provider).unwrap().to_proto(ResourceFormat::PostRefinement), provider);
    for resource in [
        volume(64.0, "id"),
        volume(64.0, "id").with_shared(),
        sourced(1.0, disk_info::source::Type::Raw, Some("x")),
    ] {
        let wire = resource.to_proto(ResourceFormat::PostRefinement);
        assert_eq!(Resource::from_proto(&wire).unwrap(), resource);
    }
    for wire in [ranges(&[(1, 5), (7, 9)]), set(&["b", "a"])] {
        assert_eq!(Resource::from_proto(&wire).unwrap().to_proto(ResourceFormat::PostRefinement), wire);
    }
    let copies = Resources::from(volume(1.0, "id").with_shared());
    assert_eq!((&copies + &copies).to_proto(ResourceFormat::PostRefinement).len(), 1);
}

#[test]
#[allow(deprecated)]
fn invalid_resources_are_refused_by_name() {
    let with = |change: fn(&mut mesos::Resource)| {
        let mut resource = scalar("cpus", 1.0);
        change(&mut resource);
        resource
    };
    let stack =
        |list: Vec<resource::ReservationInfo>| mesos::Resource { reservations: list, ..scalar("cpus", 1.0) };
    let disk = |kind: disk_info::source::Type, mount: bool| {
        let mut wire = sourced(1.0, kind, None).to_proto(ResourceFormat::PostRefinement);
        let source = wire.disk.as_mut().unwrap().source.as_mut().unwrap();
        source.mount = mount.then(disk_info::source::Mount::default);
        wire
    };
    let bad = [
        (scalar("", 1.0), "it has no name"),
        (scalar("cpus", -1.0), "zero or at least 0.001"),
        (scalar("cpus", 0.0001), "zero or at least 0.001"),
        (scalar("cpus", f64::NAN), "zero or at least 0.001"),
        (scalar("cpus", f64::INFINITY), "zero or at least 0.001"),
        (with(|r| r.scalar = None), "must have the field 'scalar'"),
        (with(|r| r.set = Some(value::Set::default())), "must have the field 'scalar'"),
        (with(|r| r.r#type = value::Type::Ranges.into()), "must have the field 'ranges'"),
        (with(|r| r.r#type = value::Type::Set.into()), "must have the field 'set'"),
        (with(|r| r.r#type = value::Type::Text.into()), "its type is not"),
        (with(|r| r.r#type = 77), "its type is not"),
        (ranges(&[(5, 4)]), "range 5-4 begins behind its end"),
        (ranges(&[(1, 5), (5, 9)]), "overlap at 5"),
        (set(&["a", "a"]), "'a' twice"),
        (with(|r| r.disk = Some(Box::default())), "only the resource 'disk'"),
        (
            disk(disk_info::source::Type::Raw, true),
            "'disk.source.mount' cannot be set for a source of type RAW",
        ),
        (disk(disk_info::source::Type::Unknown, false), "'disk.source.type' is not"),
        (with(|r| r.role = Some("-x".into())), "begins with a dash"),
        (with(|r| r.reservation = Some(Box::default())), "role '*' cannot"),
        (
            with(|r| {
                r.role = Some("a".into());
                r.reservation = Some(Box::new(info(STATIC, None)));
            }),
            "'reservation.type' must not be set",
        ),
        (stack(vec![info(None, Some("a"))]), "needs the field 'type'"),
        (stack(vec![info(STATIC, None)]), "needs the field 'role'"),
        (stack(vec![info(STATIC, Some("*"))]), "role '*' cannot"),
        (stack(vec![info(DYNAMIC, Some("a")), info(STATIC, Some("a/b"))]), "cannot be STATIC"),
        (stack(vec![info(DYNAMIC, Some("a")), info(DYNAMIC, Some("b"))]), "'b' is no subrole of 'a'"),
        (
            mesos::Resource { role: Some("b".into()), ..stack(vec![info(STATIC, Some("a"))]) },
            "'role' contradicts",
        ),
        (
            mesos::Resource { role: Some("a".into()), ..stack(vec![info(DYNAMIC, Some("a"))]) },
            "'reservation' contradicts",
        ),
        (with(|r| r.shared = Some(resource::SharedInfo::default())), "only persistent volumes"),
    ];
    for (resource, expected) in bad {
        let error = validate_resource(&resource).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} / {expected}");
        assert!(error.contains(&format!("'{}'", resource.name)), "{error}");
        assert!(Resources::from_proto(&[resource]).is_err());
    }
    for good in [scalar("cpus", 0.0), ranges(&[]), set(&[]), stack(vec![info(STATIC, Some("a"))])] {
        assert_eq!(validate_resource(&good), Ok(()));
    }
}
