//! Examples, most of them from the pages of Mesos.

use messor_proto::mesos::resource::disk_info::source;
use messor_types::{Resource, ResourceConversion, ResourceQuantities, Resources, Role};

use crate::{dynamic, labels, resources, sourced, volume};

#[test]
fn the_usual_four() {
    let agent = resources(
        "cpus:24;gpus:2;mem:24576;disk:409600;ports:[21000-24000,30000-34000];bugs(debug_role):{a,b,c}",
    );
    let task = resources("cpus:1;mem:512;ports:[21000-21000]");
    assert!(agent.contains(&task));
    let rest = &agent - &task;
    assert_eq!(rest.cpus().unwrap().to_f64(), 23.0);
    assert_eq!(rest.mem().unwrap().to_f64(), 24064.0);
    assert_eq!(rest.ports().unwrap().to_string(), "[21001-24000, 30000-34000]");
    assert_eq!(
        agent.reserved_to(&Role::new("debug_role")).to_string(),
        "bugs(reservations: [(STATIC,debug_role)]):{a, b, c}"
    );
    assert_eq!(agent.names().len(), 6);
}

/// U098: disks with and without a volume, reserved and revocable resources are different things.
#[test]
fn different_metadata_does_not_merge() {
    let plain = Resource::scalar("disk", 64.0);
    let reserved = plain.clone().with_reservation(dynamic("role"));
    let mixed: Resources = [
        plain.clone(),
        reserved.clone(),
        volume(64.0, "id1"),
        volume(64.0, "id2"),
        plain.clone().with_revocable(),
        plain.clone().with_allocation(&Role::new("role")),
        sourced(64.0, source::Type::Path, None),
        sourced(64.0, source::Type::Mount, None),
        sourced(64.0, source::Type::Raw, Some("a")),
    ]
    .into_iter()
    .collect();
    assert_eq!(mixed.len(), 9);
    assert_eq!(mixed.disk().unwrap().to_f64(), 9.0 * 64.0);
    let more = mixed + &Resources::from(plain);
    assert_eq!(more.len(), 9, "like goes to like");
}

#[test]
fn what_exists_as_a_whole_is_not_divided() {
    let mount = Resources::from(sourced(64.0, source::Type::Mount, None));
    let smaller = Resources::from(sourced(32.0, source::Type::Mount, None));
    assert!(!mount.contains(&smaller));
    assert_eq!(&mount - &smaller, mount);
    let two = &mount + &mount;
    assert_eq!(two.len(), 2);
    assert!(two.contains(&two) && !mount.contains(&two));

    let path = Resources::from(sourced(64.0, source::Type::Path, None));
    assert!(path.contains(&Resources::from(sourced(32.0, source::Type::Path, None))));

    let one = Resources::from(volume(64.0, "id"));
    assert!(!one.contains(&Resources::from(volume(32.0, "id"))));
    assert!((&one - &one).is_empty());
}

#[test]
fn shared_volumes_are_counted() {
    let shared = Resources::from(volume(64.0, "id").with_shared());
    let twice = &shared + &shared;
    assert_eq!((twice.len(), twice.iter().next().unwrap().copies()), (1, 2));
    assert_eq!(twice.quantities(), ResourceQuantities::parse("disk:64").unwrap());
    assert!(twice.contains(&shared) && !shared.contains(&twice));
    assert_eq!(&twice - &shared, shared);
    assert_ne!(shared, Resources::from(volume(64.0, "id")));
}

#[test]
fn where_a_volume_is_mounted_is_not_its_identity() {
    let mounted = {
        let resource = volume(64.0, "id");
        let mut disk = resource.disk().unwrap().clone();
        disk.volume =
            Some(messor_proto::mesos::Volume { container_path: "data".into(), ..Default::default() });
        resource.with_disk(disk)
    };
    assert_eq!(Resources::from(mounted), Resources::from(volume(64.0, "id")));
}

#[test]
fn the_order_of_labels_means_nothing() {
    let reserved = |pairs: &[(&str, &str)]| {
        let mut reservation = dynamic("role");
        reservation.labels = Some(labels(pairs));
        Resources::from(Resource::scalar("cpus", 1.0).with_reservation(reservation))
    };
    assert_eq!(reserved(&[("a", "1"), ("b", "2")]), reserved(&[("b", "2"), ("a", "1")]));
    assert_ne!(reserved(&[("a", "1")]), reserved(&[("a", "2")]));
    assert_ne!(
        reserved(&[]),
        Resources::from(Resource::scalar("cpus", 1.0).with_reservation(dynamic("role")))
    );
}

#[test]
fn reservations_bind_to_a_role_and_those_below() {
    let refined: Resources = [
        Resource::scalar("cpus", 1.0),
        Resource::scalar("cpus", 2.0).with_reservation(dynamic("eng")),
        Resource::scalar("cpus", 4.0).with_reservation(dynamic("eng")).with_reservation(dynamic("eng/web")),
    ]
    .into_iter()
    .collect();
    let cpus = |role: &str| refined.allocatable_to(&Role::new(role)).cpus().unwrap().to_f64();
    assert_eq!(
        (cpus("*"), cpus("eng"), cpus("eng/web"), cpus("eng/web/x"), cpus("engine")),
        (1.0, 3.0, 7.0, 7.0, 1.0)
    );
    assert_eq!(refined.reserved_to(&Role::new("eng")).cpus().unwrap().to_f64(), 2.0);
    assert_eq!(refined.reservations().len(), 2);
    assert_eq!(refined.reserved().pop_reservation().len(), 2);
}

#[test]
fn finding_prefers_the_own_role_then_the_unreserved() {
    let offer = resources("cpus(role1):2;mem(role1):10;cpus:4;mem:20");
    let found = offer.find(&resources("cpus(role1):3;mem(role1):15")).unwrap();
    assert_eq!(found, resources("cpus(role1):2;mem(role1):10;cpus:1;mem:5"));
    assert_eq!(offer.find(&resources("cpus:7")), None);
    assert_eq!(offer.find(&resources("cpus:5")), Some(resources("cpus:4;cpus(role1):1")));
}

#[test]
fn conversions_happen_wholly_or_not_at_all() {
    let offered = resources("cpus:4;mem:100");
    let reserve = |cpus: f64| ResourceConversion {
        consumed: Resource::scalar("cpus", cpus).into(),
        converted: Resource::scalar("cpus", cpus).with_reservation(dynamic("role")).into(),
    };
    let after = offered.convert(&[reserve(1.0), reserve(2.0)]).unwrap();
    assert_eq!(after.unreserved(), resources("cpus:1;mem:100"));
    let error = offered.convert(&[reserve(3.0), reserve(2.0)]).unwrap_err();
    assert!(error.to_string().ends_with("does not contain cpus:2"), "{error}");
}

#[test]
fn ranges_and_sets_count_their_items() {
    let some = resources("ports:[1-10];disks:{a,b};cpus:1;cpus(role):1");
    let has = |text: &str| some.contains_quantities(&ResourceQuantities::parse(text).unwrap());
    assert!(has("ports:10;disks:2;cpus:2"));
    assert!(!has("ports:11") && !has("disks:3") && !has("cpus:2.001") && !has("mem:1"));
}
