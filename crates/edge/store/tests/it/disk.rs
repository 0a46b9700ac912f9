//! A disk that is only in memory: it forgets what was not synced when the power goes, tears what it half wrote, fills up,
//! and fails to sync. And the actions that the tests write.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use messor_proto::mesos::internal::log::{Action, Metadata, action, metadata};
use messor_store::{AppendFile, Files, Lock, ReadFile};

#[derive(Default)]
struct Data {
    bytes: Vec<u8>,
    synced: usize,
    /// Before it was overwritten last, without a sync since.
    before: Option<Vec<u8>>,
}

type File = Arc<Mutex<Data>>;

#[derive(Default)]
struct State {
    names: BTreeMap<String, File>,
    /// The names as they were when the directory was last synced.
    synced_names: BTreeMap<String, File>,
    locked: bool,
    faults: Faults,
}

#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// So many more calls that change something succeed.
    pub calls_left: Option<u64>,
    /// What all files hold together at most.
    pub room: Option<usize>,
    /// A call that fails has written half of what it should.
    pub tears: bool,
    /// Syncs fail.
    pub no_sync: bool,
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn set(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    /// The power goes and comes back: of what was not synced, each file keeps as much of its beginning as `keeps` says,
    /// and the directory is as it was synced, or as it was last, if `names_kept`.
    pub fn lose_power(&self, mut keeps: impl FnMut(usize) -> usize, names_kept: bool) {
        let mut state = self.0.lock().unwrap();
        state.faults = Faults::default();
        state.locked = false;
        if !names_kept {
            state.names = state.synced_names.clone();
        }
        for file in state.names.values() {
            let mut data = file.lock().unwrap();
            if let Some(before) = data.before.take()
                && keeps(1) == 0
            {
                data.bytes = before;
            }
            let unsynced = data.bytes.len() - data.synced;
            let kept = data.synced + keeps(unsynced).min(unsynced);
            data.bytes.truncate(kept);
            data.synced = kept;
        }
        state.synced_names = state.names.clone();
    }

    pub fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap().names[name].lock().unwrap().bytes.clone()
    }

    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let synced = bytes.len();
        let file = Arc::new(Mutex::new(Data { bytes, synced, before: None }));
        let mut state = self.0.lock().unwrap();
        state.synced_names.insert(name.to_string(), Arc::clone(&file));
        state.names.insert(name.to_string(), file);
    }

    /// Changes a byte of a file that may be open.
    pub fn flip(&self, name: &str, at: usize) {
        self.0.lock().unwrap().names[name].lock().unwrap().bytes[at] ^= 0x10;
    }

    /// Another disk with the same on it.
    pub fn copy(&self) -> Disk {
        let copy = Disk::default();
        for name in self.names() {
            copy.put(&name, self.bytes(&name));
        }
        copy
    }

    pub fn remove(&self, name: &str) {
        let mut state = self.0.lock().unwrap();
        state.names.remove(name);
        state.synced_names.remove(name);
    }

    pub fn total(&self) -> usize {
        self.0.lock().unwrap().total()
    }

    pub fn boxed(&self) -> Box<dyn Files> {
        Box::new(self.clone())
    }

    fn call(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        match &mut state.faults.calls_left {
            Some(0) => Err(io::Error::other("the disk is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl State {
    fn total(&self) -> usize {
        self.names.values().map(|file| file.lock().unwrap().bytes.len()).sum()
    }
}

struct Reading(File);

impl ReadFile for Reading {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let data = self.0.lock().unwrap();
        let from = data.bytes.get(offset as usize..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(from.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

struct Appending {
    disk: Disk,
    file: File,
}

impl AppendFile for Appending {
    fn append(&mut self, data: &[u8]) -> io::Result<()> {
        let fits = self.disk.call();
        let (faults, total) = {
            let state = self.disk.0.lock().unwrap();
            (state.faults, state.total())
        };
        let room = faults.room.map_or(usize::MAX, |room| room.saturating_sub(total));
        let written = match &fits {
            Ok(()) => data.len().min(room),
            Err(_) if faults.tears => data.len().min(room) / 2,
            Err(_) => 0,
        };
        self.file.lock().unwrap().bytes.extend_from_slice(&data[..written]);
        fits?;
        if written < data.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn overwrite(&mut self, data: &[u8]) -> io::Result<()> {
        self.disk.call()?;
        let mut file = self.file.lock().unwrap();
        let before = file.bytes.clone();
        file.bytes[..data.len()].copy_from_slice(data);
        file.before.get_or_insert(before);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.call()?;
        if self.disk.0.lock().unwrap().faults.no_sync {
            return Err(io::Error::other("the disk does not sync"));
        }
        let mut data = self.file.lock().unwrap();
        data.synced = data.bytes.len();
        data.before = None;
        Ok(())
    }
}

struct Locked(Disk);

impl Lock for Locked {}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().locked = false;
    }
}

impl Files for Disk {
    fn path(&self) -> &Path {
        Path::new("/disk")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        let state = self.0.lock().unwrap();
        Ok(Box::new(Reading(Arc::clone(state.names.get(name).ok_or(ErrorKind::NotFound)?))))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn AppendFile>> {
        self.call()?;
        let file = File::default();
        self.0.lock().unwrap().names.insert(name.to_string(), Arc::clone(&file));
        Ok(Box::new(Appending { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call()?;
        let mut state = self.0.lock().unwrap();
        let file = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_string(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call()?;
        self.0.lock().unwrap().names.remove(name).ok_or(ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.call()?;
        let mut state = self.0.lock().unwrap();
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = self.0.lock().unwrap();
        if std::mem::replace(&mut state.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Locked(self.clone()))))
    }
}

pub fn voting(promised: u64) -> Metadata {
    Metadata { status: metadata::Status::Voting.into(), promised }
}

pub fn append(position: u64, bytes: &[u8]) -> Action {
    Action {
        position,
        promised: 1,
        performed: Some(1),
        learned: Some(true),
        r#type: Some(action::Type::Append.into()),
        nop: None,
        append: Some(action::Append { bytes: bytes.to_vec(), cksum: None }),
        truncate: None,
    }
}

pub fn truncate(position: u64, to: u64) -> Action {
    Action {
        r#type: Some(action::Type::Truncate.into()),
        append: None,
        truncate: Some(action::Truncate { to }),
        ..append(position, b"")
    }
}
