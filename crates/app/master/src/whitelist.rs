//! --whitelist: a file with the host names of the agents to offer, one a line, read again and again. The allocator is told
//! when it changed. While it cannot be read, what it last said holds; before that, all agents are offered.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use messor_allocator::Event;

use crate::allocator::ToAllocator;

/// As often as Apache Mesos 1.11.0 does.
const READ_INTERVAL: Duration = Duration::from_secs(5);

/// Names of a million hosts fit into this; what is longer is not taken for a whitelist.
const MOST_BYTES: u64 = 64 << 20;

/// The watch ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    _ends: Sender<()>,
}

struct Watcher {
    path: PathBuf,
    last: Option<BTreeSet<String>>,
    /// What went wrong last: said once, not each time.
    error: Option<String>,
    allocator: ToAllocator,
}

/// Reads the file now, before anything is offered, and from now on. `*` means all agents, as it did long ago.
pub fn watch(path: &str, allocator: ToAllocator) -> std::io::Result<Option<Watch>> {
    if path == "*" {
        tracing::warn!("--whitelist=* is deprecated: without the flag all agents are offered");
        return Ok(None);
    }
    let mut watcher = Watcher { path: path.into(), last: None, error: None, allocator };
    watcher.look();
    let (watch, end) = channel();
    std::thread::Builder::new()
        .name("whitelist".to_string())
        .spawn(move || watcher.run(READ_INTERVAL, &end))?;
    Ok(Some(Watch { _ends: watch }))
}

impl Watcher {
    fn run(mut self, interval: Duration, end: &Receiver<()>) {
        while end.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    fn look(&mut self) {
        match read(&self.path) {
            Ok(hosts) => {
                self.error = None;
                if self.last.as_ref() != Some(&hosts) {
                    self.last = Some(hosts.clone());
                    // The allocator ends only with the master.
                    let _ = self.allocator.send(Event::UpdateWhitelist { whitelist: Some(hosts) });
                }
            }
            Err(error) => {
                let error = error.to_string();
                if self.error.as_ref() != Some(&error) {
                    tracing::error!("--whitelist: '{}' cannot be read: {error}", self.path.display());
                    self.error = Some(error);
                }
            }
        }
    }
}

fn read(path: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(std::io::Error::other("it is longer than 64 MB"));
    }
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(event: Event) -> Vec<String> {
        match event {
            Event::UpdateWhitelist { whitelist: Some(hosts) } => hosts.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn changes_are_told_and_what_cannot_be_read_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let (allocator, told) = ToAllocator::channel();
        let mut watcher = Watcher { path: path.clone(), last: None, error: None, allocator };
        watcher.look();
        assert!(told.try_recv().is_err(), "all agents are offered before the file is there");
        std::fs::write(&path, "one\n\ntwo \n").unwrap();
        watcher.look();
        assert_eq!(hosts(told.try_recv().unwrap()), ["one", "two"]);
        watcher.look();
        assert!(told.try_recv().is_err(), "nothing changed");
        std::fs::remove_file(&path).unwrap();
        watcher.look();
        assert!(told.try_recv().is_err(), "what it last said holds");
        std::fs::write(&path, "").unwrap();
        watcher.look();
        assert!(hosts(told.try_recv().unwrap()).is_empty(), "an empty file lists nobody");
    }

    #[test]
    fn the_file_is_read_again_until_the_watch_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let (allocator, told) = ToAllocator::channel();
        let watcher = Watcher { path: path.clone(), last: None, error: None, allocator };
        let (watch, end) = channel();
        let thread = std::thread::spawn(move || watcher.run(Duration::from_millis(1), &end));
        std::fs::write(&path, "one\n").unwrap();
        // A write is seen in parts at times: the last word counts.
        while hosts(told.recv_timeout(Duration::from_secs(60)).unwrap()) != ["one"] {}
        drop(watch);
        thread.join().unwrap();
    }
}
