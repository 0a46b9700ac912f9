//! Disks that fail: whatever happens, what was acknowledged is there, and nothing that was never written is.

use std::collections::BTreeMap;

use messor_replog::{Restored, Write};
use messor_store::Storage;
use proptest::prelude::*;

use crate::disk::{Disk, Faults, append, truncate, voting};

#[derive(Clone, Debug)]
enum Step {
    Append { size: usize },
    Truncate { keep: u64 },
    Promise(u64),
    Sync,
    Reopen,
    Fault { calls_left: u64, tears: bool, keeps: Vec<u16>, names_kept: bool },
    Full { room: usize },
    NoSync,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop_oneof![0..200usize, 30_000..70_000usize, 200_000..600_000usize]
            .prop_map(|size| Step::Append { size }),
        2 => (0..6u64).prop_map(|keep| Step::Truncate { keep }),
        2 => any::<u64>().prop_map(Step::Promise),
        6 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        3 => (0..24u64, any::<bool>(), prop::collection::vec(any::<u16>(), 1..4), any::<bool>())
            .prop_map(|(calls_left, tears, keeps, names_kept)| Step::Fault { calls_left, tears, keeps, names_kept }),
        1 => (0..2_000_000usize).prop_map(|room| Step::Full { room }),
        1 => Just(Step::NoSync),
    ]
}

/// What was promised, and what is at each position.
type Contents = (Option<u64>, BTreeMap<u64, Vec<u8>>);

/// What a log may hold: the state after each write, in order. It has to be one of those from the last synced one on.
struct Model {
    states: Vec<Contents>,
    synced: usize,
    next: u64,
}

impl Model {
    fn write(&mut self, change: impl FnOnce(&mut Option<u64>, &mut BTreeMap<u64, Vec<u8>>)) {
        let (mut promised, mut actions) = self.states.last().unwrap().clone();
        change(&mut promised, &mut actions);
        self.states.push((promised, actions));
    }

    /// Looks at what there is, and goes on from there.
    fn check(&mut self, storage: &Storage) {
        let restored = storage.restore().unwrap();
        let promised =
            (restored.metadata != Restored::default().metadata).then_some(restored.metadata.promised);
        let mut actions = BTreeMap::new();
        let mut from = 0;
        loop {
            let read = storage.read(from, u64::MAX).unwrap();
            let Some(last) = read.last() else { break };
            from = last.position + 1;
            actions.extend(read.into_iter().map(|action| {
                let bytes = action.append.map_or_else(|| b"truncate".to_vec(), |append| append.bytes);
                (action.position, bytes)
            }));
        }
        let found = (promised, actions);
        let at = self.states[self.synced..].iter().position(|state| *state == found);
        assert!(at.is_some(), "what is there was never so, or was so before the last sync");
        self.states = vec![found];
        self.synced = 0;
    }
}

fn run(steps: Vec<Step>) {
    let disk = Disk::default();
    let mut storage = Storage::open_in(disk.boxed()).unwrap();
    let mut model = Model { states: vec![(None, BTreeMap::new())], synced: 0, next: 0 };
    let mut power: Option<(Vec<u16>, bool)> = None;
    for step in steps {
        let written = match step {
            Step::Append { size } => {
                let position = model.next;
                model.next += 1;
                let bytes = vec![position as u8; size];
                model.write(|_, actions| drop(actions.insert(position, bytes.clone())));
                storage.persist(&Write::Action(Box::new(append(position, &bytes))))
            }
            Step::Truncate { keep } => {
                let position = model.next;
                model.next += 1;
                let below = position.saturating_sub(keep);
                model.write(|_, actions| {
                    actions.retain(|other, _| *other >= below);
                    actions.insert(position, b"truncate".to_vec());
                });
                let action = Box::new(truncate(position, below));
                storage.persist(&Write::Truncating { action, below })
            }
            Step::Promise(proposal) => {
                model.write(|promised, _| *promised = Some(proposal));
                storage.persist(&Write::Metadata(voting(proposal)))
            }
            Step::Sync => match storage.sync() {
                Ok(()) => {
                    model.synced = model.states.len() - 1;
                    storage.tidy()
                }
                Err(error) => Err(error),
            },
            Step::Reopen => {
                drop(storage);
                storage = Storage::open_in(disk.boxed()).unwrap_or_else(|_| {
                    disk.set(Faults::default());
                    Storage::open_in(disk.boxed()).unwrap()
                });
                model.check(&storage);
                Ok(())
            }
            Step::Fault { calls_left, tears, keeps, names_kept } => {
                power = Some((keeps, names_kept));
                disk.set(Faults { calls_left: Some(calls_left), tears, ..Faults::default() });
                Ok(())
            }
            Step::Full { room } => {
                disk.set(Faults { room: Some(disk.total() + room), ..Faults::default() });
                Ok(())
            }
            Step::NoSync => {
                disk.set(Faults { no_sync: true, ..Faults::default() });
                Ok(())
            }
        };
        if written.is_err() {
            // It says so from now on, whatever the disk does.
            disk.set(Faults::default());
            assert!(storage.persist(&Write::Metadata(voting(1))).is_err());
            assert!(storage.sync().is_err());
            drop(storage);
            if let Some((keeps, names_kept)) = power.take() {
                let mut keeps = keeps.iter().cycle();
                let keep = |unsynced| {
                    keeps.next().map_or(0, |part| unsynced * usize::from(*part) / usize::from(u16::MAX))
                };
                disk.lose_power(keep, names_kept);
            }
            storage = Storage::open_in(disk.boxed()).unwrap();
            model.check(&storage);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_there(steps in prop::collection::vec(step(), 1..60)) {
        run(steps);
    }
}

#[test]
fn the_making_of_a_log_can_be_interrupted_anywhere() {
    let mut made = false;
    for calls_left in 0..60 {
        for (tears, names_kept) in [(false, false), (true, false), (false, true), (true, true)] {
            let disk = Disk::default();
            disk.set(Faults { calls_left: Some(calls_left), tears, ..Faults::default() });
            made = Storage::open_in(disk.boxed()).is_ok();
            disk.lose_power(|unsynced| unsynced / 2, names_kept);
            let storage = Storage::open_in(disk.boxed()).unwrap();
            assert_eq!(storage.restore().unwrap(), Restored::default());
        }
    }
    assert!(made, "it never got to its end");
}

#[test]
fn a_full_disk_is_told_and_the_log_goes_on_when_there_is_room() {
    let disk = Disk::default();
    let mut storage = Storage::open_in(disk.boxed()).unwrap();
    storage.persist(&Write::Metadata(voting(4))).unwrap();
    storage.sync().unwrap();
    disk.set(Faults { room: Some(disk.total() + 1000), ..Faults::default() });
    let error = storage.persist(&Write::Action(Box::new(append(0, &[1; 5000])))).unwrap_err();
    assert!(error.to_string().contains("cannot write to /disk/000001.log"), "{error}");
    drop(storage);
    disk.set(Faults::default());
    let storage = Storage::open_in(disk.boxed()).unwrap();
    assert!(storage.torn_bytes() > 0);
    assert_eq!(storage.restore().unwrap(), Restored { metadata: voting(4), ..Restored::default() });
}
