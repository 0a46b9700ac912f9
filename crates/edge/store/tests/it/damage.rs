//! Flipped bytes are found and told, never served; a torn tail is cut.

use messor_replog::{Restored, Write};
use messor_store::{Storage, StoreError};
use proptest::prelude::*;

use crate::disk::{Disk, append, voting};

/// A log with small and large records; in each, the last is one that is acknowledged.
fn log(sizes: &[usize]) -> (Disk, String) {
    let disk = Disk::default();
    let mut storage = Storage::open_in(disk.boxed()).unwrap();
    storage.persist(&Write::Metadata(voting(3))).unwrap();
    for (position, size) in (0..).zip(sizes) {
        storage
            .persist(&Write::Action(Box::new(append(position, &vec![position as u8 + 1; *size]))))
            .unwrap();
    }
    storage.sync().unwrap();
    drop(storage);
    let name = disk.names().into_iter().find(|name| name.ends_with(".log")).unwrap();
    (disk, name)
}

fn mark_of(name: &str) -> String {
    format!("{name}.safe")
}

fn contents(disk: &Disk) -> Result<(Restored, Vec<messor_proto::mesos::internal::log::Action>), StoreError> {
    let storage = Storage::open_in(disk.boxed())?;
    Ok((storage.restore()?, storage.read(0, u64::MAX)?))
}

fn flipped(disk: &Disk, name: &str, at: usize, mask: u8) -> Disk {
    let copy = disk.copy();
    let mut bytes = copy.bytes(name);
    bytes[at] ^= mask;
    copy.put(name, bytes);
    copy
}

#[test]
fn each_flipped_bit_of_a_small_log_is_found() {
    let (disk, name) = log(&[5, 0, 40]);
    let right = contents(&disk.copy()).unwrap();
    for at in 0..disk.bytes(&name).len() {
        for bit in 0..8 {
            let error = contents(&flipped(&disk, &name, at, 1 << bit)).expect_err("it is found");
            assert!(
                matches!(error, StoreError::Damaged { .. }) && error.to_string().contains(&name),
                "{error}"
            );
        }
    }
    assert_eq!(right.1.len(), 3);
}

#[test]
fn each_flipped_bit_of_the_list_of_files_is_found() {
    let (disk, _) = log(&[5]);
    for name in disk.names().into_iter().filter(|name| name.starts_with("MANIFEST") || name == "CURRENT") {
        for at in 0..disk.bytes(&name).len() {
            for bit in 0..8 {
                let error = contents(&flipped(&disk, &name, at, 1 << bit)).expect_err("it is found");
                assert!(error.is_damage(), "{error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// In a log of some blocks there are zeros that fill up a block, which count for nothing.
    #[test]
    fn a_flipped_byte_is_found_or_counts_for_nothing(
        sizes in prop::collection::vec(prop_oneof![0..300usize, 32_600..32_760usize, 60_000..70_000usize], 1..8),
        at in any::<prop::sample::Index>(),
        mask in 1..=255u8,
    ) {
        let (disk, name) = log(&sizes);
        let right = contents(&disk.copy()).unwrap();
        let at = at.index(disk.bytes(&name).len());
        match contents(&flipped(&disk, &name, at, mask)) {
            Err(error) => prop_assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
            Ok(found) => prop_assert_eq!(found, right),
        }
    }

    #[test]
    fn a_torn_tail_is_cut(
        sizes in prop::collection::vec(prop_oneof![0..300usize, 32_600..32_760usize, 60_000..70_000usize], 1..8),
        at in any::<prop::sample::Index>(),
        zeros in prop_oneof![Just(0usize), 1..100_000usize],
    ) {
        let (disk, name) = log(&sizes);
        let (_, right) = contents(&disk.copy()).unwrap();
        let mut bytes = disk.bytes(&name);
        let at = at.index(bytes.len() + 1);
        bytes.truncate(at);
        // Zeros behind half a record are no end that a crash makes.
        let zeros = if at == disk.bytes(&name).len() { zeros } else { 0 };
        bytes.resize(at + zeros, 0);
        disk.put(&name, bytes);
        // All of it was safe on disk: no crash takes from that.
        match contents(&disk.copy()) {
            Ok((_, found)) => {
                prop_assert_eq!(at, disk.bytes(&name).len() - zeros);
                prop_assert_eq!(found.len(), right.len());
            }
            Err(error) => prop_assert!(
                matches!(error, StoreError::Damaged { .. }) && error.to_string().contains(&name),
                "{}", error
            ),
        }
        // Where nothing says so (LevelDB has no mark), it looks as if a crash had done it.
        disk.remove(&mark_of(&name));
        let (_, found) = contents(&disk).unwrap();
        prop_assert!(found.len() <= right.len());
        prop_assert_eq!(&found[..], &right[..found.len()]);
        if zeros > 0 {
            prop_assert_eq!(found.len(), right.len());
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let (disk, journal) = log(&[5]);
    let manifest = disk.names().into_iter().find(|name| name.starts_with("MANIFEST")).unwrap();
    for name in ["CURRENT", &manifest, &journal] {
        let copy = disk.copy();
        copy.remove(name);
        let error = contents(&copy).expect_err("it is missing");
        assert!(matches!(error, StoreError::Missing { .. }) && error.to_string().contains(name), "{error}");
    }
    for (text, wrong) in
        [("", "CURRENT"), ("MANIFEST-000002", "CURRENT"), ("MANIFEST-000077\n", "MANIFEST-000077")]
    {
        let copy = disk.copy();
        copy.put("CURRENT", text.as_bytes().to_vec());
        let error = contents(&copy).expect_err("it is wrong");
        assert!(error.is_damage() && error.to_string().contains(wrong), "{error}");
    }
    let copy = disk.copy();
    copy.put(&manifest, Vec::new());
    assert!(contents(&copy).expect_err("it is empty").to_string().contains(&manifest));
}

#[test]
fn a_flip_in_a_running_log_is_told() {
    let (disk, _) = log(&[500, 500]);
    let storage = Storage::open_in(disk.boxed()).unwrap();
    let name = disk.names().into_iter().find(|name| name.ends_with(".log")).unwrap();
    assert_eq!(storage.read(0, 9).unwrap().len(), 2);
    disk.flip(&name, 700);
    let error = storage.read(1, 1).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(storage.read(0, 0).unwrap().len(), 1);
}

#[test]
fn a_log_that_was_cut_is_damaged_wherever_it_was_cut() {
    let (disk, name) = log(&[5, 0, 40]);
    let whole = disk.bytes(&name);
    for end in 0..whole.len() {
        let copy = disk.copy();
        copy.put(&name, whole[..end].to_vec());
        let error = contents(&copy).expect_err("it is found").to_string();
        assert!(error.contains(&name) && error.contains("bytes of it were safe on disk"), "{error}");
    }
}

#[test]
fn a_wrong_mark_counts_for_nothing() {
    let (disk, name) = log(&[5, 0, 40]);
    let right = contents(&disk.copy()).unwrap();
    let mark = mark_of(&name);
    for at in 0..disk.bytes(&mark).len() {
        for bit in 0..8 {
            assert_eq!(contents(&flipped(&disk, &mark, at, 1 << bit)).unwrap(), right);
        }
        let copy = disk.copy();
        copy.put(&mark, disk.bytes(&mark)[..at].to_vec());
        assert_eq!(contents(&copy).unwrap(), right);
    }
}
