//! What holds for all resources, whatever they are.

use messor_proto::mesos::resource::disk_info::source;
use messor_types::{Resource, Resources, Role};
use proptest::prelude::*;

use crate::{dynamic, sourced, volume};

/// Some of everything: values of all types, reservations, volumes, disks, revocable and shared resources.
fn resource() -> impl Strategy<Value = Resource> {
    let amount = (0u32..4000).prop_map(|thousandths| f64::from(thousandths) / 1000.0);
    let plain = prop_oneof![
        (prop_oneof![Just("cpus"), Just("mem"), Just("gold")], amount)
            .prop_map(|(name, amount)| Resource::scalar(name, amount)),
        proptest::collection::vec((0u64..50, 0u64..9), 0..3).prop_map(|pairs| {
            Resource::ranges("ports", pairs.into_iter().map(|(begin, length)| (begin, begin + length)))
        }),
        proptest::collection::btree_set("[a-e]", 0..4)
            .prop_map(|items| Resource::set("disks", items.iter().map(String::as_str))),
    ];
    let marked = (plain, 0..5).prop_map(|(plain, kind)| match kind {
        0 => plain.with_reservation(dynamic("a")),
        1 => plain.with_reservation(dynamic("a")).with_reservation(dynamic("a/b")),
        2 => plain.with_revocable(),
        _ => plain,
    });
    let whole = prop_oneof![
        "[u-w]".prop_map(|id| volume(64.0, &id)),
        "[x-z]".prop_map(|id| volume(32.0, &id).with_shared()),
        Just(sourced(128.0, source::Type::Mount, None)),
        (1u32..5).prop_map(|units| sourced(f64::from(units), source::Type::Path, None)),
        Just(sourced(7.0, source::Type::Raw, Some("r1"))),
    ];
    (prop_oneof![4 => marked, 1 => whole], 0..3).prop_map(|(resource, allocation)| match allocation {
        0 => resource.with_allocation(&Role::new("a")),
        _ => resource,
    })
}

fn some() -> impl Strategy<Value = Resources> {
    proptest::collection::vec(resource(), 0..8).prop_map(|list| list.into_iter().collect())
}

/// Sets of numbers and words add up to unions, so that taking away what was added may take more than was added.
fn disjoint(a: &Resources, b: &Resources) -> bool {
    a.iter().filter(|resource| !resource.is_scalar()).all(|resource| {
        let untouched = Resources::from(resource.clone()) - b;
        untouched == Resources::from(resource.clone())
    })
}

proptest! {
    #[test]
    fn addition_commutes(a in some(), b in some()) {
        prop_assert_eq!(&a + &b, &b + &a);
    }

    #[test]
    fn addition_associates(a in some(), b in some(), c in some()) {
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
    }

    #[test]
    fn nothing_is_neutral(a in some()) {
        prop_assert_eq!(&a + &Resources::new(), a.clone());
        prop_assert_eq!(&a - &Resources::new(), a.clone());
        prop_assert_eq!(&Resources::new() - &a, Resources::new());
        prop_assert!((&a - &a).is_empty());
    }

    #[test]
    fn a_sum_contains_its_parts(a in some(), b in some()) {
        let sum = &a + &b;
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        prop_assert!(a.contains(&Resources::new()));
        prop_assert_eq!(Resources::new().contains(&a), a.is_empty());
    }

    #[test]
    fn what_was_added_can_be_taken(a in some(), b in some()) {
        prop_assume!(disjoint(&a, &b));
        prop_assert_eq!(&(&a + &b) - &b, a);
    }

    #[test]
    fn what_is_contained_can_be_taken_and_given_back(a in some(), b in some()) {
        let sum = &a + &b;
        let rest = &sum - &a;
        prop_assert!(sum.contains(&rest));
        prop_assert_eq!(&rest + &a, sum);
    }

    #[test]
    fn containment_is_an_order(a in some(), b in some(), c in some()) {
        let (ab, abc) = (&a + &b, &(&a + &b) + &c);
        prop_assert!(a.contains(&a));
        prop_assert!(abc.contains(&ab) && ab.contains(&a) && abc.contains(&a));
        if ab.contains(&c) && c.contains(&ab) {
            prop_assert_eq!(ab, c);
        }
    }

    #[test]
    fn quantities_add_up(a in some(), b in some()) {
        prop_assume!(a.shared().is_empty() && b.shared().is_empty());
        let mut sum = a.quantities();
        sum += &b.quantities();
        prop_assert_eq!((&a + &b).quantities(), sum.clone());
        prop_assert!((&a + &b).contains_quantities(&sum));
    }

    /// U098: what differs in its metadata stays apart, so that filters find again what was put in.
    #[test]
    fn parts_make_the_whole(a in some()) {
        prop_assert_eq!(&a.reserved() + &a.unreserved(), a.clone());
        prop_assert_eq!(&a.revocable() + &a.non_revocable(), a.clone());
        prop_assert_eq!(&a.shared() + &a.non_shared(), a.clone());
        let by_role: Resources = a.allocations().values().sum();
        prop_assert_eq!(by_role, a.filter(|resource| resource.allocation_role().is_some()));
    }

    #[test]
    fn allocation_is_all_or_nothing(a in some()) {
        let role = Role::new("z");
        let bare = a.clone().unallocated();
        prop_assert_eq!(bare.clone().allocated_to(&role), a.clone().allocated_to(&role));
        prop_assert_eq!(a.allocated_to(&role).unallocated(), bare);
    }

    #[test]
    fn reservations_push_and_pop(a in some()) {
        let flat = a.to_unreserved();
        prop_assert_eq!(flat.push_reservation(&dynamic("q")).pop_reservation(), flat.clone());
        prop_assert!(flat.reserved().is_empty());
        prop_assert_eq!(flat.push_reservation(&dynamic("q")).reserved_to(&Role::new("q")).len(), flat.len());
    }

    #[test]
    fn what_is_found_is_there_and_is_enough(a in some(), b in some()) {
        if let Some(found) = a.find(&b) {
            prop_assert!(found.to_unreserved().contains(&b.to_unreserved()));
        }
        prop_assert!(a.find(&Resources::new()).is_some());
    }
}
