//! What is on disk, as it is found when a database is opened: read whole, checked, and not changed. Must not know what
//! becomes of it.

use std::collections::BTreeMap;

use crate::batch::{Batch, Change};
use crate::error::StoreError;
use crate::files::{Files, ReadFile};
use crate::journal::{JournalError, Reader};
use crate::manifest::Manifest;
use crate::mark;
use crate::names::{CURRENT, Kind, journal_name, kind_of};
use crate::table::{self, Entry, Handle, TableError};

/// Where a value is, in which of the files that were there at the start.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Journal { source: usize, offset: u64 },
    Table { source: usize, block: Handle },
}

pub(crate) struct Source {
    pub name: String,
    pub file: Box<dyn ReadFile>,
    pub size: u64,
}

/// What was found on disk.
#[derive(Default)]
pub(crate) struct Loaded {
    pub sources: Vec<Source>,
    /// The latest change of each key; no place if it is deleted.
    pub keys: BTreeMap<Box<[u8]>, (u64, Option<Place>)>,
    pub last_sequence: u64,
    pub next_file: u64,
    pub torn_bytes: u64,
}

impl Loaded {
    pub fn change(&mut self, key: &[u8], sequence: u64, place: Option<Place>) {
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

/// The keys that count, with their values.
pub(crate) fn live<'a>(
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
pub(crate) fn load(files: &dyn Files) -> Result<Loaded, StoreError> {
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
    for (number, name) in journals {
        let safe = mark::read(files, &names, number)?;
        load_journal(files, name, safe, &mut loaded, &mut torn)?;
    }
    Ok(loaded)
}

/// `None` where there is no database yet.
pub(crate) fn load_manifest(files: &dyn Files, names: &[String]) -> Result<Option<Manifest>, StoreError> {
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

pub(crate) fn size(files: &dyn Files, name: &str) -> Result<u64, StoreError> {
    files.open(name).and_then(|file| file.size()).map_err(io(files, name, "open"))
}

pub(crate) fn load_table(
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

/// `safe` is how much of it has to be there; `torn` is the end of a file that was cut: nothing may have been written behind
/// it.
pub(crate) fn load_journal(
    files: &dyn Files,
    name: &str,
    safe: Option<u64>,
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
    let end = reader.torn().unwrap_or(size);
    if let Some(safe) = safe.filter(|safe| *safe > end) {
        let what =
            format!("it ends here, and {safe} bytes of it were safe on disk: it was cut or overwritten");
        return Err(damage(files, name, end, &what));
    }
    if let Some(offset) = reader.torn() {
        loaded.torn_bytes += size - offset;
        torn.get_or_insert((name.to_string(), offset));
    }
    loaded.sources.push(Source { name: name.to_string(), file, size });
    Ok(())
}

pub(crate) fn io(
    files: &dyn Files,
    name: &str,
    action: &'static str,
) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = files.path().join(name);
    move |error| StoreError::Io { action, path, error }
}

pub(crate) fn damage(files: &dyn Files, name: &str, offset: u64, what: &str) -> StoreError {
    StoreError::Damaged { path: files.path().join(name), offset, what: what.to_string() }
}

pub(crate) fn of_journal(files: &dyn Files, name: &str, error: JournalError) -> StoreError {
    match error {
        JournalError::Io(error) => io(files, name, "read")(error),
        JournalError::Damaged { offset, what } => damage(files, name, offset, what),
    }
}

pub(crate) fn of_table(files: &dyn Files, name: &str, error: TableError) -> StoreError {
    match error {
        TableError::Io(error) => io(files, name, "read")(error),
        TableError::Damaged { offset, what } => damage(files, name, offset, what),
    }
}

/// Reads a value again from the record that it was written in.
pub(crate) fn value_in_journal(
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
