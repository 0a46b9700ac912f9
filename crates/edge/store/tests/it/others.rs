//! The files are those of LevelDB: another program that reads and writes them agrees.

use messor_proto::Message;
use messor_proto::mesos::internal::log::{Record, record};
use messor_replog::{Positions, Write};
use messor_store::Storage;
use rusty_leveldb::{DB, LdbIterator, Options};

use crate::disk::{append, truncate, voting};

fn options() -> Options {
    Options { create_if_missing: true, reuse_logs: false, ..Options::default() }
}

#[test]
fn another_reader_finds_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replicated_log");
    let mut storage = Storage::open(&path).unwrap();
    storage.persist(&Write::Metadata(voting(7))).unwrap();
    for position in 0..20 {
        storage
            .persist(&Write::Action(Box::new(append(position, &vec![9; position as usize * 5000]))))
            .unwrap();
    }
    storage.persist(&Write::Truncating { action: Box::new(truncate(20, 15)), below: 15 }).unwrap();
    storage.sync().unwrap();
    drop(storage);
    let mut other = DB::open(&path, options()).unwrap();
    let mut keys = Vec::new();
    let mut entries = other.new_iter().unwrap();
    while let Some((key, value)) = entries.next() {
        keys.push(String::from_utf8(key.to_vec()).unwrap());
        Record::decode(&value[..]).unwrap();
    }
    let expected: Vec<String> = [0].into_iter().chain(16..22).map(|number| format!("{number:010}")).collect();
    assert_eq!(keys, expected);
}

/// Tables on several levels, deletions in newer ones of what is in older ones, and a log beside them.
#[test]
fn what_another_wrote_is_read() {
    for compressor in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replicated_log");
        let options = Options { write_buffer_size: 64 << 10, compressor, ..options() };
        let mut other = DB::open(&path, options).unwrap();
        let record = |position: u64| {
            let action = append(position, &vec![position as u8; (position * 31 % 3000) as usize]);
            let action = Some(action);
            Record { r#type: record::Type::Action.into(), promise: None, action, metadata: None }
                .encode_to_vec()
        };
        for position in 0..500u64 {
            other.put(format!("{:010}", position + 1).as_bytes(), &record(position)).unwrap();
            if position % 100 == 99 {
                for gone in position - 80..position - 40 {
                    other.delete(format!("{:010}", gone + 1).as_bytes()).unwrap();
                }
            }
        }
        other.close().unwrap();
        drop(other);
        let tables = || {
            let names = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().ends_with(".ldb")).count()
        };
        assert!(tables() > 1);
        let storage = Storage::open(&path).unwrap();
        assert_eq!(tables(), 0);
        let mut expected = Positions::range(0, 499);
        for hundred in 0..5 {
            expected.remove(hundred * 100 + 19, hundred * 100 + 58);
        }
        assert_eq!(storage.restore().unwrap().learned, expected);
        for action in storage.read(0, 499).unwrap() {
            let position = action.position;
            assert_eq!(action, append(position, &vec![position as u8; (position * 31 % 3000) as usize]));
        }
    }
}
