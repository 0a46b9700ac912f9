//! The records of a replica of the log: its metadata and its actions by position. Must not know the protocol.

use std::path::Path;

use messor_proto::Message;
use messor_proto::mesos::internal::log::{Action, Metadata, Record, record};
use messor_replog::{Restored, Write};

use crate::batch::Change;
use crate::database::Database;
use crate::error::StoreError;
use crate::files::{Directory, Files};
use crate::keys::{METADATA, key_of};

/// One read gives no more than this, or one action.
const READ_BYTES: usize = 16 << 20;

/// A replica's disk. Calls block.
pub struct Storage {
    database: Database,
}

impl Storage {
    /// Opens the log in a directory, which is made if it is not there.
    pub fn open(path: &Path) -> Result<Storage, StoreError> {
        let directory = Directory::make(path).map_err(|error| StoreError::Io {
            action: "make",
            path: path.to_path_buf(),
            error,
        })?;
        Storage::open_in(Box::new(directory))
    }

    /// Opens a log that is there already.
    pub fn open_existing(path: &Path) -> Result<Storage, StoreError> {
        let io = |error| StoreError::Io { action: "open", path: path.to_path_buf(), error };
        let directory = Directory::existing(path).map_err(io)?;
        if !directory
            .list()
            .map_err(io)?
            .iter()
            .any(|name| name.starts_with("CURRENT") || name.ends_with(".log"))
        {
            return Err(StoreError::Missing {
                path: path.join("CURRENT"),
                what: "there is no log in this directory",
            });
        }
        Storage::open_in(Box::new(directory))
    }

    pub fn open_in(files: Box<dyn Files>) -> Result<Storage, StoreError> {
        Ok(Storage { database: Database::open(files)? })
    }

    /// Bytes of an interrupted write that were cut off the end when the log was opened.
    pub fn torn_bytes(&self) -> u64 {
        self.database.torn_bytes()
    }

    /// Reads and checks every record, and gathers what the machine has to know.
    pub fn restore(&self) -> Result<Restored, StoreError> {
        let mut restored = Restored::default();
        let keys: Vec<Vec<u8>> = self.database.keys().map(<[u8]>::to_vec).collect();
        for key in keys {
            let record = self.record(&key)?;
            restored.add(&record).map_err(|error| self.foreign(&key, &error.to_string()))?;
        }
        Ok(restored)
    }

    fn record(&self, key: &[u8]) -> Result<Record, StoreError> {
        let value = self.database.get(key)?.unwrap_or_default();
        let record = Record::decode(&*value).map_err(|error| self.foreign(key, &error.to_string()))?;
        let own = match (record::Type::try_from(record.r#type), &record.action) {
            (Ok(record::Type::Action), Some(action)) => key_of(action.position),
            _ => Some(METADATA.to_string()),
        };
        if own.as_ref().map(String::as_bytes) != Some(key) {
            return Err(self.foreign(key, "it belongs to another key"));
        }
        Ok(record)
    }

    fn foreign(&self, key: &[u8], what: &str) -> StoreError {
        StoreError::Foreign {
            path: self.database.path().to_path_buf(),
            what: format!("the record {}: {what}", key.escape_ascii()),
        }
    }

    /// Writes; it is durable after the next [`Storage::sync`].
    pub fn persist(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Metadata(metadata) => self.persist_metadata(metadata),
            Write::Action(action) => self.persist_action(action, 0),
            Write::Truncating { action, below } => self.persist_action(action, *below),
        }
    }

    fn persist_metadata(&mut self, metadata: &Metadata) -> Result<(), StoreError> {
        let record = Record {
            r#type: record::Type::Metadata.into(),
            promise: None,
            action: None,
            metadata: Some(*metadata),
        };
        let value = record.encode_to_vec();
        self.database.write(vec![Change::Put { key: METADATA.as_bytes(), value: &value }])
    }

    /// The removal of what is below goes with it, all or none.
    fn persist_action(&mut self, action: &Action, below: u64) -> Result<(), StoreError> {
        let Some(key) = key_of(action.position) else {
            return Err(self.foreign(b"", "a position that is too large"));
        };
        let record = Record {
            r#type: record::Type::Action.into(),
            promise: None,
            action: Some(action.clone()),
            metadata: None,
        };
        let value = record.encode_to_vec();
        let first = key_of(0).unwrap_or_default();
        let end = key_of(below).unwrap_or_default();
        let removed: Vec<Vec<u8>> = self
            .database
            .keys_between(first.as_bytes(), end.as_bytes())
            .filter(|removed| *removed != key.as_bytes())
            .map(<[u8]>::to_vec)
            .collect();
        let mut changes = vec![Change::Put { key: key.as_bytes(), value: &value }];
        changes.extend(removed.iter().map(|key| Change::Delete { key }));
        self.database.write(changes)
    }

    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.database.sync()
    }

    /// Gives room back that truncation has made. To be called after a sync; may take as long as writing all of the log.
    pub fn tidy(&mut self) -> Result<(), StoreError> {
        self.database.tidy()
    }

    /// The actions that there are of `from..=to`, in order; fewer when they are large.
    pub fn read(&self, from: u64, to: u64) -> Result<Vec<Action>, StoreError> {
        let first = key_of(from).unwrap_or_default();
        // One behind the last: no key is between a key and itself with a zero.
        let end = key_of(to).map(|key| format!("{key}\0")).unwrap_or_else(|| "B".to_string());
        let (mut actions, mut bytes) = (Vec::new(), 0);
        for key in self.database.keys_between(first.as_bytes(), end.as_bytes()) {
            if let Some(action) = self.record(key)?.action {
                bytes += action.append.as_ref().map_or(0, |append| append.bytes.len());
                actions.push(action);
            }
            if bytes >= READ_BYTES {
                break;
            }
        }
        Ok(actions)
    }
}
