//! Sets of positions against a set of numbers, and what a store's records come to.

use std::collections::BTreeSet;

use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{Metadata, Promise, Record, record};
use messor_replog::{Positions, RecordError, Restored};
use proptest::prelude::*;

use crate::solo::{append, learned, nop, truncate};

proptest! {
    #[test]
    fn positions_are_a_set_of_numbers(steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..40), 0..60)) {
        let (mut positions, mut model) = (Positions::default(), BTreeSet::new());
        for (insert, first, last) in steps {
            if insert {
                positions.insert(first, last);
                model.extend(first..=last);
            } else {
                positions.remove(first, last);
                model.retain(|position| !(first..=last).contains(position));
            }
            prop_assert_eq!(positions.count(), model.len() as u64);
            prop_assert_eq!(positions.is_empty(), model.is_empty());
            for position in 0..45 {
                prop_assert_eq!(positions.contains(position), model.contains(&position));
                prop_assert_eq!(positions.first_from(position), model.range(position..).next().copied());
            }
            // Ranges neither overlap nor touch.
            let ranges: Vec<_> = positions.ranges().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", ranges);
        }
    }
}

#[test]
fn positions_reach_to_the_last_number() {
    let mut positions = Positions::range(5, u64::MAX);
    positions.insert(0, 4);
    assert_eq!(positions.count(), u64::MAX);
    positions.remove(u64::MAX, u64::MAX);
    assert_eq!(positions.ranges().collect::<Vec<_>>(), [(0, u64::MAX - 1)]);
}

fn action(action: messor_proto::mesos::internal::log::Action) -> Record {
    Record { r#type: record::Type::Action.into(), action: Some(action), ..Record::default() }
}

#[test]
fn an_empty_store_is_an_empty_log() {
    let restored = Restored::default();
    assert_eq!(restored.metadata.status(), Status::Empty);
    assert_eq!((restored.begin, restored.end), (0, 0));
}

#[test]
fn records_say_what_is_learned_and_where_the_log_begins() {
    let mut restored = Restored::default();
    let mut tombstone = learned(nop(3, 2));
    tombstone.nop.as_mut().unwrap().tombstone = Some(true);
    for record in [
        action(learned(append(2, 1, b"left over"))),
        action(tombstone),
        action(append(6, 2, b"a")),
        action(learned(append(5, 2, b"b"))),
    ] {
        restored.add(&record).unwrap();
    }
    assert_eq!((restored.begin, restored.end), (4, 6));
    assert!(restored.learned.contains(5) && restored.unlearned.contains(6));
    // Not learned, it truncates nothing; and never beyond itself.
    restored.add(&action(truncate(7, 2, 6))).unwrap();
    assert_eq!(restored.begin, 4);
    restored.add(&action(learned(truncate(7, 2, 99)))).unwrap();
    assert_eq!(restored.begin, 7);
}

#[test]
fn a_record_of_before_metadata_is_a_voting_replicas_promise() {
    let mut restored = Restored::default();
    let promise = Some(Promise { proposal: 4 });
    restored.add(&Record { r#type: record::Type::Promise.into(), promise, ..Record::default() }).unwrap();
    assert_eq!(restored.metadata, Metadata { status: Status::Voting.into(), promised: 4 });
}

#[test]
fn records_without_their_content_are_refused() {
    let mut restored = Restored::default();
    for r#type in [record::Type::Promise, record::Type::Action, record::Type::Metadata] {
        let record = Record { r#type: r#type.into(), ..Record::default() };
        assert_eq!(restored.add(&record), Err(RecordError::Empty));
    }
    assert_eq!(restored.add(&Record { r#type: 9, ..Record::default() }), Err(RecordError::Type(9)));
}
