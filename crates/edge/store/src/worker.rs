//! The thread of a replica's disk: it does what the machine wants in the order in which it was wanted, and syncs once for
//! all that waits. Must not know the protocol.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use messor_replog::{Event, Restored, Write};

use crate::error::StoreError;
use crate::files::Files;
use crate::storage::Storage;

/// So many requests wait; who makes one more waits itself. The disk waits for nobody, so it always comes to an end.
const WAITING: usize = 2048;
/// What is synced together.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 16 << 20;

enum Request {
    Persist { ticket: u64, write: Write },
    Read { ticket: u64, from: u64, to: u64 },
}

/// A disk with its thread. Dropping it waits for what it was given, and lets the directory go.
pub struct Store {
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the log in a directory, and gives `answer` an event for each request, from another thread. `answer` must
    /// not block.
    pub fn open(
        path: &Path,
        answer: impl FnMut(Event) + Send + 'static,
    ) -> Result<(Store, Restored), StoreError> {
        Store::start(Storage::open(path)?, answer)
    }

    /// The same, on other files than the system's.
    pub fn open_in(
        files: Box<dyn Files>,
        answer: impl FnMut(Event) + Send + 'static,
    ) -> Result<(Store, Restored), StoreError> {
        Store::start(Storage::open_in(files)?, answer)
    }

    fn start(
        storage: Storage,
        answer: impl FnMut(Event) + Send + 'static,
    ) -> Result<(Store, Restored), StoreError> {
        let restored = storage.restore()?;
        let (requests, incoming) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("log-store".to_string())
            .spawn(move || run(storage, &incoming, answer))
            .map_err(|error| StoreError::Failed(format!("cannot start a thread: {error}")))?;
        Ok((Store { requests: Some(requests), thread: Some(thread) }, restored))
    }

    pub fn persist(&self, ticket: u64, write: Write) {
        self.request(Request::Persist { ticket, write });
    }

    pub fn read(&self, ticket: u64, from: u64, to: u64) {
        self.request(Request::Read { ticket, from, to });
    }

    fn request(&self, request: Request) {
        let sent = self.requests.as_ref().map(|requests| requests.send(request));
        if !matches!(sent, Some(Ok(()))) {
            // Its thread ends with this value, or by a bug that has been told already.
            tracing::error!("the thread of the log's disk is gone");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the log's disk ended by a bug");
        }
    }
}

fn run(mut storage: Storage, requests: &Receiver<Request>, mut answer: impl FnMut(Event)) {
    while let Ok(first) = requests.recv() {
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(request) = next {
            if let Request::Persist { write, .. } = &request {
                bytes += write.cost();
            }
            group.push(request);
            if group.len() >= GROUP || bytes >= GROUP_BYTES {
                break;
            }
            next = requests.try_recv().ok();
        }
        let mut wrote = false;
        let mut answers: Vec<Event> = group
            .into_iter()
            .map(|request| match request {
                Request::Persist { ticket, write } => {
                    wrote = true;
                    Event::Persisted { ticket, outcome: told(storage.persist(&write)) }
                }
                Request::Read { ticket, from, to } => {
                    Event::Read { ticket, outcome: told(storage.read(from, to)) }
                }
            })
            .collect();
        if wrote && let Err(failed) = told(storage.sync()) {
            for event in &mut answers {
                if let Event::Persisted { outcome, .. } = event {
                    *outcome = Err(failed.clone());
                }
            }
        }
        answers.into_iter().for_each(&mut answer);
        // Damage shows in whatever is asked next, too.
        if wrote && let Err(error) = storage.tidy() {
            tracing::error!("{error}");
        }
    }
}

fn told<T>(outcome: Result<T, StoreError>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
}
