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
use crate::journal::{JournalError, Reader, Writer};
use crate::manifest::Manifest;
use crate::table::{self, Entry, Handle, TableError};

const CURRENT: &str = "CURRENT";
const LOCK: &str = "LOCK";
/// So much of the .log file may be out of date, beside as much as counts, before it is written anew.
const WASTE_BYTES: u64 = 4 << 20;

/// Files by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Journal,
    Manifest,
    Table,
    Temporary,
}

fn kind_of(name: &str) -> Option<(Kind, u64)> {
    if let Some(number) = name.strip_prefix("MANIFEST-") {
        return Some((Kind::Manifest, number.parse().ok()?));
    }
    let (number, ending) = name.split_once('.')?;
    let kind = match ending {
        "log" => Kind::Journal,
        "ldb" | "sst" => Kind::Table,
        "dbtmp" => Kind::Temporary,
        _ => return None,
    };
    Some((kind, number.parse().ok()?))
}

fn journal_name(number: u64) -> String {
    format!("{number:06}.log")
}

fn manifest_name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

fn temporary_name(number: u64) -> String {
    format!("{number:06}.dbtmp")
}

/// Where a value is, in which of the files that were there at the start.
#[derive(Clone, Copy)]
enum Place {
    Journal { source: usize, offset: u64 },
    Table { source: usize, block: Handle },
}

struct Source {
    name: String,
    file: Box<dyn ReadFile>,
    size: u64,
}

/// What was found on disk.
#[derive(Default)]
struct Loaded {
    sources: Vec<Source>,
    /// The latest change of each key; no place if it is deleted.
    keys: BTreeMap<Box<[u8]>, (u64, Option<Place>)>,
    last_sequence: u64,
    next_file: u64,
    torn_bytes: u64,
}

impl Loaded {
    fn change(&mut self, key: &[u8], sequence: u64, place: Option<Place>) {
        self.last_sequence = self.last_sequence.max(sequence);
        match self.keys.get_mut(key) {
            Some(known) if known.0 > sequence => (),
            Some(known) => *known = (sequence, place),
            None => {
                self.keys.insert(key.into(), (sequence, place));
            }
        }
    }
}

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
        let Current { name, writer, reader } = &self.journal;
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
        self.journal.writer.sync().map_err(|error| self.fail("sync", error))
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

fn io(files: &dyn Files, name: &str, action: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = files.path().join(name);
    move |error| StoreError::Io { action, path, error }
}

fn damage(files: &dyn Files, name: &str, offset: u64, what: &str) -> StoreError {
    StoreError::Damaged { path: files.path().join(name), offset, what: what.to_string() }
}

fn of_journal(files: &dyn Files, name: &str, error: JournalError) -> StoreError {
    match error {
        JournalError::Io(error) => io(files, name, "read")(error),
        JournalError::Damaged { offset, what } => damage(files, name, offset, what),
    }
}

fn of_table(files: &dyn Files, name: &str, error: TableError) -> StoreError {
    match error {
        TableError::Io(error) => io(files, name, "read")(error),
        TableError::Damaged { offset, what } => damage(files, name, offset, what),
    }
}

/// Reads a value again from the record that it was written in.
fn value_in_journal(
    files: &dyn Files,
    name: &str,
    file: &dyn ReadFile,
    size: u64,
    offset: u64,
    key: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let found = Reader::new(file, size, offset).and_then(|mut reader| reader.next());
    let found = found.map_err(|error| of_journal(files, name, error))?;
    let value = found.and_then(|found| {
        Batch::decode(&found.data)?.changes.into_iter().rev().find_map(|change| match change {
            Change::Put { key: own, value } if own == key => Some(value.to_vec()),
            _ => None,
        })
    });
    value.ok_or_else(|| damage(files, name, offset, "a record that was there is gone"))
}

/// The keys that count, with their values.
fn live<'a>(
    files: &'a dyn Files,
    loaded: &'a Loaded,
) -> impl Iterator<Item = Result<(Box<[u8]>, Vec<u8>), StoreError>> + 'a {
    // Keys in order are often of one block.
    let mut last: Option<((usize, u64), Vec<Entry>)> = None;
    loaded.keys.iter().filter_map(move |(key, (sequence, place))| {
        let value = match (*place)? {
            Place::Journal { source, offset } => {
                let Source { name, file, size } = &loaded.sources[source];
                value_in_journal(files, name, file.as_ref(), *size, offset, key)
            }
            Place::Table { source, block } => {
                let Source { name, file, .. } = &loaded.sources[source];
                let here = (source, block.offset);
                if last.as_ref().is_none_or(|(there, _)| *there != here) {
                    match table::entries(file.as_ref(), block) {
                        Ok(entries) => last = Some((here, entries)),
                        Err(error) => return Some(Err(of_table(files, name, error))),
                    }
                }
                let entries = last.as_ref().map_or(&[][..], |(_, entries)| entries);
                entries
                    .iter()
                    .find(|entry| entry.key == **key && entry.sequence == *sequence)
                    .and_then(|entry| entry.value.clone())
                    .ok_or_else(|| damage(files, name, block.offset, "a record that was there is gone"))
            }
        };
        Some(value.map(|value| (key.clone(), value)))
    })
}

/// Reads everything that is there, and changes nothing.
fn load(files: &dyn Files) -> Result<Loaded, StoreError> {
    let names = files.list().map_err(io(files, "", "list"))?;
    let numbered = |name: &String| kind_of(name).map(|(_, number)| number);
    let mut loaded = Loaded {
        next_file: names.iter().filter_map(numbered).max().map_or(1, |last| last + 1),
        ..Loaded::default()
    };
    let Some(manifest) = load_manifest(files, &names)? else { return Ok(loaded) };
    loaded.next_file = loaded.next_file.max(manifest.next_file);
    loaded.last_sequence = manifest.last_sequence;
    for (number, size) in &manifest.tables {
        load_table(files, &names, *number, *size, &mut loaded)?;
    }
    let mut journals: Vec<(u64, &String)> = names
        .iter()
        .filter_map(|name| Some((kind_of(name).filter(|(kind, _)| *kind == Kind::Journal)?.1, name)))
        .filter(|(number, _)| {
            *number >= manifest.journal || (*number == manifest.journal_before && *number != 0)
        })
        .collect();
    journals.sort();
    if manifest.journal != 0 && !journals.iter().any(|(number, _)| *number == manifest.journal) {
        let path = files.path().join(journal_name(manifest.journal));
        return Err(StoreError::Missing { path, what: "the MANIFEST says that it is a part of this log" });
    }
    let mut torn = None;
    for (_, name) in journals {
        load_journal(files, name, &mut loaded, &mut torn)?;
    }
    Ok(loaded)
}

/// `None` where there is no database yet.
fn load_manifest(files: &dyn Files, names: &[String]) -> Result<Option<Manifest>, StoreError> {
    if !names.iter().any(|name| name == CURRENT) {
        for name in names {
            let holds_something = match kind_of(name) {
                Some((Kind::Table, _)) => true,
                // The making of a database may have been interrupted after its first, empty .log file.
                Some((Kind::Journal, _)) => size(files, name)? > 0,
                _ => false,
            };
            if holds_something {
                let what = "other files of a log are there; without it they cannot be read";
                return Err(StoreError::Missing { path: files.path().join(CURRENT), what });
            }
        }
        return Ok(None);
    }
    let length = size(files, CURRENT)?;
    let mut text = vec![0; length.min(64) as usize];
    let current = files.open(CURRENT).map_err(io(files, CURRENT, "open"))?;
    current.read_at(0, &mut text).map_err(io(files, CURRENT, "read"))?;
    let named = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n'));
    let named = named.filter(|name| matches!(kind_of(name), Some((Kind::Manifest, _))));
    let Some(name) = named else { return Err(damage(files, CURRENT, 0, "it names no MANIFEST")) };
    if !names.iter().any(|other| other == name) {
        let path = files.path().join(name);
        return Err(StoreError::Missing {
            path,
            what: "CURRENT says that it is the list of this log's files",
        });
    }
    let file = files.open(name).map_err(io(files, name, "open"))?;
    let size = size(files, name)?;
    let wrong = |error| of_journal(files, name, error);
    let mut reader = Reader::new(file.as_ref(), size, 0).map_err(wrong)?;
    let mut manifest = None;
    while let Some(found) = reader.next().map_err(wrong)? {
        let manifest = manifest.get_or_insert_with(Manifest::default);
        manifest.apply(&found.data).map_err(|what| damage(files, name, found.offset, what))?;
    }
    match manifest {
        Some(manifest) => Ok(Some(manifest)),
        None => Err(damage(files, name, 0, "it is empty")),
    }
}

fn size(files: &dyn Files, name: &str) -> Result<u64, StoreError> {
    files.open(name).and_then(|file| file.size()).map_err(io(files, name, "open"))
}

fn load_table(
    files: &dyn Files,
    names: &[String],
    number: u64,
    size: u64,
    loaded: &mut Loaded,
) -> Result<(), StoreError> {
    let Some(name) = names.iter().find(|name| kind_of(name) == Some((Kind::Table, number))) else {
        let path = files.path().join(format!("{number:06}.ldb"));
        return Err(StoreError::Missing { path, what: "the MANIFEST says that it is a part of this log" });
    };
    let file = files.open(name).map_err(io(files, name, "open"))?;
    let real = file.size().map_err(io(files, name, "read"))?;
    if real != size {
        return Err(damage(files, name, real, &format!("it should be {size} bytes long")));
    }
    let source = loaded.sources.len();
    for block in table::blocks(file.as_ref()).map_err(|error| of_table(files, name, error))? {
        let entries = table::entries(file.as_ref(), block).map_err(|error| of_table(files, name, error))?;
        for entry in entries {
            let place = entry.value.is_some().then_some(Place::Table { source, block });
            loaded.change(&entry.key, entry.sequence, place);
        }
    }
    loaded.sources.push(Source { name: name.clone(), file, size });
    Ok(())
}

/// `torn` is the end of a file that was cut; nothing may have been written behind it.
fn load_journal(
    files: &dyn Files,
    name: &str,
    loaded: &mut Loaded,
    torn: &mut Option<(String, u64)>,
) -> Result<(), StoreError> {
    let file = files.open(name).map_err(io(files, name, "open"))?;
    let size = file.size().map_err(io(files, name, "read"))?;
    let source = loaded.sources.len();
    let wrong = |error| of_journal(files, name, error);
    let mut reader = Reader::new(file.as_ref(), size, 0).map_err(wrong)?;
    while let Some(found) = reader.next().map_err(wrong)? {
        if let Some((torn, offset)) = torn {
            return Err(damage(files, torn, *offset, "it ends here, and yet there is a later file"));
        }
        let Some(batch) = Batch::decode(&found.data) else {
            return Err(damage(files, name, found.offset, "a record that is no list of changes"));
        };
        for (sequence, change) in (batch.sequence..).zip(batch.changes) {
            match change {
                Change::Put { key, .. } => {
                    loaded.change(key, sequence, Some(Place::Journal { source, offset: found.offset }));
                }
                Change::Delete { key } => loaded.change(key, sequence, None),
            }
        }
    }
    if let Some(offset) = reader.torn() {
        loaded.torn_bytes += size - offset;
        torn.get_or_insert((name.to_string(), offset));
    }
    loaded.sources.push(Source { name: name.to_string(), file, size });
    Ok(())
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
        for name in [temporary_name(number), temporary_name(number + 1), manifest_name(number + 1)] {
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
    let current = Current { name: journal_name(number), writer, reader };
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
