//! A LevelDB database that is small in keys: all of them are in memory with the place of their value, the values are on
//! disk. Must not know what keys and values mean.
//!
//! What is on disk is always a database that LevelDB opens, and any that LevelDB made is opened here. But only as much of
//! it is used as a log needs: while it is open here it is one .log file, which grows. When most of it is out of date, and
//! each time it is opened, what counts is written into a new one, and CURRENT is turned to that. So a sync of the disk
//! that failed, or a tail that a crash tore, is never built upon.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound;

use crate::batch::{Batch, Change};
use crate::error::StoreError;
use crate::files::{Files, Lock, ReadFile};
use crate::journal::Writer;
use crate::loading::{io, live, load, value_in_journal};
use crate::manifest::Manifest;
use crate::mark::Mark;
use crate::names::{CURRENT, Kind, LOCK, journal_name, kind_of, manifest_name, mark_name, temporary_name};

/// So much of the .log file may be out of date, beside as much as counts, before it is written anew.
const WASTE_BYTES: u64 = 4 << 20;

#[derive(Clone, Copy)]
struct Slot {
    offset: u64,
    /// What it takes in the file, about.
    bytes: u64,
}

pub(crate) struct Database {
    files: Box<dyn Files>,
    _lock: Box<dyn Lock>,
    keys: BTreeMap<Box<[u8]>, Slot>,
    journal: Current,
    last_sequence: u64,
    next_file: u64,
    live_bytes: u64,
    /// No smaller .log file is written anew; set when that could not be done.
    rewrite_above: u64,
    /// What was cut off when it was opened.
    torn_bytes: u64,
    /// Why nothing is written any more: what is on disk is not known then.
    failed: Option<String>,
}

/// The .log file that is written to.
struct Current {
    name: String,
    writer: Writer,
    reader: Box<dyn ReadFile>,
    mark: Mark,
}

/// What an entry takes beside key and value: headers of batch and fragment, lengths.
const ENTRY_BYTES: u64 = 32;

impl Database {
    /// Opens the database, or makes one where the directory has none.
    pub(crate) fn open(files: Box<dyn Files>) -> Result<Database, StoreError> {
        let lock = lock(files.as_ref())?;
        let loaded = load(files.as_ref())?;
        let mut next_file = loaded.next_file;
        let torn_bytes = loaded.torn_bytes;
        if torn_bytes > 0 {
            tracing::warn!(
                "{}: cut {torn_bytes} bytes off the end, of a write that a crash interrupted",
                files.path().display()
            );
        }
        let written =
            write_anew(files.as_ref(), &mut next_file, loaded.last_sequence, live(files.as_ref(), &loaded))?;
        written.switch(files.as_ref())?;
        let database = Database {
            _lock: lock,
            keys: written.keys,
            live_bytes: written.bytes,
            last_sequence: written.last_sequence,
            next_file,
            rewrite_above: 0,
            torn_bytes,
            failed: None,
            journal: written.current,
            files,
        };
        database.remove_others();
        Ok(database)
    }

    /// The path of the directory.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.files.path()
    }

    pub(crate) fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().map(|key| &**key)
    }

    /// The keys from `first` on that are before `end`.
    pub(crate) fn keys_between(&self, first: &[u8], end: &[u8]) -> impl Iterator<Item = &[u8]> {
        let (first, end) = (first, end.max(first));
        self.keys.range::<[u8], _>((Bound::Included(first), Bound::Excluded(end))).map(|(key, _)| &**key)
    }

    /// The value, read from disk and checked.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(slot) = self.keys.get(key) else { return Ok(None) };
        let Current { name, writer, reader, .. } = &self.journal;
        value_in_journal(self.files.as_ref(), name, reader.as_ref(), writer.end(), slot.offset, key).map(Some)
    }

    /// Writes changes, all or none. They are safe after the next [`Database::sync`].
    pub(crate) fn write(&mut self, changes: Vec<Change<'_>>) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(StoreError::Failed(failed.clone()));
        }
        let batch = Batch { sequence: self.last_sequence + 1, changes };
        let offset = match self.journal.writer.add(&batch.encode()) {
            Ok(offset) => offset,
            Err(error) => return Err(self.fail("write to", error)),
        };
        self.last_sequence += batch.changes.len() as u64;
        for change in batch.changes {
            let (key, slot) = match change {
                Change::Put { key, value } => {
                    (key, Some(Slot { offset, bytes: (key.len() + value.len()) as u64 + ENTRY_BYTES }))
                }
                Change::Delete { key } => (key, None),
            };
            let before = match slot {
                Some(slot) => self.keys.insert(key.into(), slot),
                None => self.keys.remove(key),
            };
            self.live_bytes += slot.map_or(0, |slot| slot.bytes);
            self.live_bytes -= before.map_or(0, |before| before.bytes);
        }
        Ok(())
    }

    /// Returns once all that was written survives a loss of power.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(StoreError::Failed(failed.clone()));
        }
        let Current { writer, mark, .. } = &mut self.journal;
        let synced = writer.sync().map_err(|error| ("sync", error));
        let marked =
            synced.and_then(|()| mark.set(writer.end()).map_err(|error| ("mark what is safe of", error)));
        marked.map_err(|(action, error)| self.fail(action, error))
    }

    fn fail(&mut self, action: &'static str, error: std::io::Error) -> StoreError {
        let error = io(self.files.as_ref(), &self.journal.name, action)(error);
        self.failed = Some(error.to_string());
        error
    }

    /// Writes what counts into a new file once most of this one is out of date. All that was written has to be synced.
    /// If there is no room for it, the old file goes on.
    pub(crate) fn tidy(&mut self) -> Result<(), StoreError> {
        let size = self.journal.writer.end();
        if self.failed.is_some() || size <= self.rewrite_above || size <= self.live_bytes * 2 + WASTE_BYTES {
            return Ok(());
        }
        let from = &self.journal;
        let files = self.files.as_ref();
        let entries = self.keys.iter().map(|(key, slot)| {
            let value = value_in_journal(
                files,
                &from.name,
                from.reader.as_ref(),
                from.writer.end(),
                slot.offset,
                key,
            );
            value.map(|value| (key.clone(), value))
        });
        let mut next_file = self.next_file;
        let written = write_anew(files, &mut next_file, self.last_sequence, entries);
        self.next_file = next_file;
        let written = match written {
            Ok(written) => written,
            Err(error) if error.is_damage() => {
                self.failed = Some(error.to_string());
                return Err(error);
            }
            Err(error) => {
                tracing::warn!("the log is not compacted: {error}");
                self.rewrite_above = size * 2;
                return Ok(());
            }
        };
        if let Err(error) = written.switch(files) {
            self.failed = Some(error.to_string());
            return Err(error);
        }
        self.journal = written.current;
        self.keys = written.keys;
        self.live_bytes = written.bytes;
        self.last_sequence = written.last_sequence;
        self.rewrite_above = 0;
        self.remove_others();
        Ok(())
    }

    /// Removes the files of before. One that stays is in nobody's way, and is removed the next time.
    fn remove_others(&self) {
        let names = match self.files.list() {
            Ok(names) => names,
            Err(error) => return tracing::warn!("cannot list {}: {error}", self.files.path().display()),
        };
        for name in names {
            let keep = match kind_of(&name) {
                None => true,
                // CURRENT names the newest; its number is that of the .log file and one.
                Some((Kind::Manifest, _)) => name == self.manifest_of_journal(),
                Some((Kind::Journal, _)) => name == self.journal.name,
                Some((Kind::Mark, number)) => journal_name(number) == self.journal.name,
                Some((Kind::Table | Kind::Temporary, _)) => false,
            };
            if !keep && let Err(error) = self.files.remove(&name) {
                tracing::warn!("cannot remove {}: {error}", self.files.path().join(&name).display());
            }
        }
    }

    fn manifest_of_journal(&self) -> String {
        kind_of(&self.journal.name).map_or_else(String::new, |(_, number)| manifest_name(number + 1))
    }
}

fn lock(files: &dyn Files) -> Result<Box<dyn Lock>, StoreError> {
    match files.lock(LOCK) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(StoreError::Locked { path: files.path().join(LOCK) }),
        Err(error) => Err(io(files, LOCK, "lock")(error)),
    }
}

/// A database of one .log file that is written and safe, but not what CURRENT names yet.
struct Written {
    number: u64,
    current: Current,
    keys: BTreeMap<Box<[u8]>, Slot>,
    bytes: u64,
    last_sequence: u64,
}

/// Writes the entries into new files. Their names are such that they count for nothing until [`Written::switch`].
fn write_anew(
    files: &dyn Files,
    next_file: &mut u64,
    last_sequence: u64,
    entries: impl Iterator<Item = Result<(Box<[u8]>, Vec<u8>), StoreError>>,
) -> Result<Written, StoreError> {
    let number = *next_file;
    *next_file += 2;
    let written = write_files(files, number, last_sequence, entries);
    if written.is_err() {
        let names = [
            temporary_name(number),
            mark_name(number),
            temporary_name(number + 1),
            manifest_name(number + 1),
        ];
        for name in names {
            if let Err(error) = files.remove(&name)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!("cannot remove {}: {error}", files.path().join(&name).display());
            }
        }
    }
    written
}

fn write_files(
    files: &dyn Files,
    number: u64,
    last_sequence: u64,
    entries: impl Iterator<Item = Result<(Box<[u8]>, Vec<u8>), StoreError>>,
) -> Result<Written, StoreError> {
    let name = temporary_name(number);
    let create = |name: &str| files.create(name).map_err(io(files, name, "make"));
    let mut writer = Writer::new(create(&name)?);
    let (mut keys, mut bytes, mut sequence) = (BTreeMap::new(), 0, last_sequence);
    for entry in entries {
        let (key, value) = entry?;
        sequence += 1;
        let batch = Batch { sequence, changes: vec![Change::Put { key: &key, value: &value }] };
        let offset = writer.add(&batch.encode()).map_err(io(files, &name, "write to"))?;
        let slot = Slot { offset, bytes: (key.len() + value.len()) as u64 + ENTRY_BYTES };
        bytes += slot.bytes;
        keys.insert(key, slot);
    }
    writer.sync().map_err(io(files, &name, "sync"))?;
    let mark = Mark::create(files, number, writer.end())?;

    let manifest =
        Manifest { journal: number, next_file: number + 2, last_sequence, ..Manifest::default() }.encode();
    let list = manifest_name(number + 1);
    let mut file = Writer::new(create(&list)?);
    file.add(&manifest).map_err(io(files, &list, "write to"))?;
    file.sync().map_err(io(files, &list, "sync"))?;

    let current = temporary_name(number + 1);
    let mut file = create(&current)?;
    file.append(format!("{list}\n").as_bytes()).map_err(io(files, &current, "write to"))?;
    file.sync().map_err(io(files, &current, "sync"))?;
    files.sync_directory().map_err(io(files, "", "sync"))?;

    let reader = files.open(&name).map_err(io(files, &name, "open"))?;
    let current = Current { name: journal_name(number), writer, reader, mark };
    Ok(Written { number, current, keys, bytes, last_sequence: sequence })
}

impl Written {
    /// Makes it the database. After an error it is not known which of the two it is.
    fn switch(&self, files: &dyn Files) -> Result<(), StoreError> {
        for (from, to) in [
            (temporary_name(self.number), self.current.name.as_str()),
            (temporary_name(self.number + 1), CURRENT),
        ] {
            files.rename(&from, to).map_err(io(files, &from, "rename"))?;
            files.sync_directory().map_err(io(files, "", "sync"))?;
        }
        Ok(())
    }
}
