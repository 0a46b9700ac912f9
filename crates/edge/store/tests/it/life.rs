//! What is written is there; truncation gives room back; directories are not shared.

use std::sync::mpsc;

use messor_replog::{Event, Positions, Restored, Write};
use messor_store::{Storage, Store, StoreError};

use crate::disk::{Disk, append, truncate, voting};

fn write(storage: &mut Storage, write: Write) {
    storage.persist(&write).unwrap();
    storage.sync().unwrap();
}

#[test]
fn what_is_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replicated_log");
    let mut storage = Storage::open(&path).unwrap();
    assert_eq!(storage.restore().unwrap(), Restored::default());
    write(&mut storage, Write::Metadata(voting(3)));
    // Larger than blocks of the log, and empty.
    let sizes = [10, 0, 32 * 1024 - 40, 100_000, 1, 40_000];
    for (position, size) in (0..).zip(sizes) {
        write(&mut storage, Write::Action(Box::new(append(position, &vec![position as u8; size]))));
    }
    let mut unlearned = append(9, b"not yet");
    unlearned.learned = None;
    write(&mut storage, Write::Action(Box::new(unlearned.clone())));
    for _ in 0..3 {
        let restored = storage.restore().unwrap();
        assert_eq!(restored.metadata, voting(3));
        assert_eq!((restored.begin, restored.end), (0, 9));
        assert_eq!(restored.learned, Positions::range(0, 5));
        assert_eq!(restored.unlearned, Positions::range(9, 9));
        let mut read = storage.read(0, u64::MAX).unwrap();
        assert_eq!(read.pop(), Some(unlearned.clone()));
        for (position, (action, size)) in (0..).zip(read.iter().zip(sizes)) {
            assert_eq!(*action, append(position, &vec![position as u8; size]));
        }
        assert_eq!(read.len(), sizes.len());
        assert_eq!(storage.read(3, 3).unwrap().len(), 1);
        assert!(storage.read(6, 8).unwrap().is_empty());
        drop(storage);
        storage = Storage::open_existing(&path).unwrap();
        assert_eq!(storage.torn_bytes(), 0);
    }
}

#[test]
fn truncation_gives_room_back() {
    let disk = Disk::default();
    let mut storage = Storage::open_in(disk.boxed()).unwrap();
    let mut largest = 0;
    for position in 0..600 {
        if position % 20 == 19 {
            let action = Box::new(truncate(position, position - 5));
            write(&mut storage, Write::Truncating { action, below: position - 5 });
        } else {
            write(&mut storage, Write::Action(Box::new(append(position, &vec![1; 100_000]))));
        }
        storage.tidy().unwrap();
        largest = largest.max(disk.total());
    }
    // 25 entries of 0.1 MB count at most; twice that, and 4 MB, is when it is written anew, into another file at first.
    assert!(largest < 16_000_000, "{largest}");
    let before = storage.restore().unwrap();
    assert_eq!((before.begin, before.end), (594, 599));
    drop(storage);
    let storage = Storage::open_in(disk.boxed()).unwrap();
    assert_eq!(storage.restore().unwrap(), before);
    assert_eq!(storage.read(0, 1000).unwrap().len(), 6);
    assert_eq!(disk.names().len(), 4, "{:?}", disk.names());
}

#[test]
fn a_directory_has_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replicated_log");
    let storage = Storage::open(&path).unwrap();
    let Err(error) = Storage::open(&path) else { panic!("opened twice") };
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    // The refusal has not let the lock go.
    assert!(matches!(Storage::open(&path), Err(StoreError::Locked { .. })));
    drop(storage);
    Storage::open(&path).unwrap();
}

#[test]
fn a_log_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let Err(error) = Storage::open(&path) else { panic!("opened") };
    assert!(error.to_string().contains("a/b"), "{error}");
    assert!(matches!(Storage::open_existing(folder.path()), Err(StoreError::Missing { .. })));
}

#[test]
fn the_thread_answers_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replicated_log");
    let (sender, answers) = mpsc::channel();
    let answer = move |event| sender.send(event).unwrap();
    let (store, restored) = Store::open(&path, answer).unwrap();
    assert_eq!(restored, Restored::default());
    for position in 0..1000 {
        store.persist(position, Write::Action(Box::new(append(position, b"x"))));
    }
    store.read(1000, 990, 2000);
    store.persist(1001, Write::Metadata(voting(9)));
    for expected in 0..1002 {
        match answers.recv().unwrap() {
            Event::Persisted { ticket, outcome: Ok(()) } => assert_eq!(ticket, expected),
            Event::Read { ticket: 1000, outcome: Ok(actions) } => {
                assert_eq!((expected, actions.len()), (1000, 10));
            }
            other => panic!("{other:?}"),
        }
    }
    drop(store);
    let (_store, restored) = Store::open(&path, |_| ()).unwrap();
    assert_eq!((restored.end, restored.metadata), (999, voting(9)));
}
