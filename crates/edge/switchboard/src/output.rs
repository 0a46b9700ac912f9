//! Output: read from the container, written to the log, and told to whoever is attached.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use messor_proto::mesos::agent::process_io::data;
use tokio::sync::{mpsc, watch};

use crate::text::{self, Media};

/// At most so much is read and told at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Pieces that wait for one client.
const WAITING_PIECES: usize = 64;

/// A client that reads nothing for so long is cut off. Until then the container's output waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    media: Media,
    sender: mpsc::Sender<Bytes>,
}

#[derive(Default)]
struct State {
    next: u64,
    clients: BTreeMap<u64, Client>,
    begun: bool,
    /// Streams of output that did not end yet.
    open: usize,
    failure: Option<String>,
}

/// All who are attached to the output. It is shared by threads that read and the server.
pub struct Output {
    state: Mutex<State>,
    begun: Condvar,
    /// Whether all output has ended.
    ended: watch::Sender<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Output {
    /// Begins to read, at once or with the first client.
    pub fn start(
        streams: Vec<(data::Type, File, File)>,
        tty: bool,
        wait_for_connection: bool,
    ) -> io::Result<Arc<Output>> {
        let output = Arc::new(Output {
            state: Mutex::new(State { open: streams.len(), begun: !wait_for_connection, ..State::default() }),
            begun: Condvar::new(),
            ended: watch::channel(false).0,
        });
        for (kind, from, log) in streams {
            let output = Arc::clone(&output);
            std::thread::Builder::new()
                .name("output".to_string())
                .stack_size(128 * 1024)
                .spawn(move || output.redirect(kind, from, log, tty))?;
        }
        Ok(output)
    }

    /// Output is read from now on, attached or not.
    pub fn begin(&self) {
        lock(&self.state).begun = true;
        self.begun.notify_all();
    }

    /// One more client. The channel ends with the output, or when the client is too slow.
    pub fn attach(&self, media: Media) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        let mut state = lock(&self.state);
        if state.open > 0 {
            let id = state.next;
            state.next += 1;
            state.clients.insert(id, Client { media, sender });
        }
        drop(state);
        self.begin();
        receiver
    }

    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Why output could not be read or logged to its end.
    pub fn failure(&self) -> Option<String> {
        lock(&self.state).failure.clone()
    }

    /// A heartbeat for every client that is not busy anyway.
    pub fn heartbeat(&self, interval: Duration) {
        let message = text::heartbeat(interval);
        for client in lock(&self.state).clients.values() {
            let _ = client.sender.try_send(text::record(&message, client.media).into());
        }
    }

    fn redirect(&self, kind: data::Type, from: File, log: File, tty: bool) {
        let mut state = lock(&self.state);
        while !state.begun {
            state = self.begun.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        drop(state);
        let outcome = self.copy(kind, from, log, tty);
        let mut state = lock(&self.state);
        if let Err(error) = outcome {
            state.failure.get_or_insert(format!("{}: {error}", kind.as_str_name()));
        }
        state.open -= 1;
        if state.open == 0 {
            state.clients.clear();
            drop(state);
            self.ended.send_replace(true);
        }
    }

    fn copy(&self, kind: data::Type, mut from: File, mut log: File, tty: bool) -> io::Result<()> {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // That is how a terminal tells that nobody has its other end open.
                Err(error) if tty && error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            log.write_all(&buffer[..count])?;
            self.tell(kind, &buffer[..count]);
        }
    }

    fn tell(&self, kind: data::Type, bytes: &[u8]) {
        let clients: Vec<(u64, Media, mpsc::Sender<Bytes>)> = lock(&self.state)
            .clients
            .iter()
            .map(|(id, client)| (*id, client.media, client.sender.clone()))
            .collect();
        if clients.is_empty() {
            return;
        }
        let message = text::process_io(kind, bytes.to_vec());
        for (id, media, sender) in clients {
            if !send(&sender, text::record(&message, media).into()) {
                lock(&self.state).clients.remove(&id);
            }
        }
    }
}

/// Waits for a slow client for some time. False: it is gone, or too slow.
fn send(sender: &mpsc::Sender<Bytes>, mut piece: Bytes) -> bool {
    let begin = std::time::Instant::now();
    loop {
        match sender.try_send(piece) {
            Ok(()) => return true,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
            Err(mpsc::error::TrySendError::Full(back)) => piece = back,
        }
        if begin.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
