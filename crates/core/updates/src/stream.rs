//! The updates of one task or operation.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use messor_stdx::{Duration, Time};

use crate::update::Update;

/// The pause before an update is sent again: this one first, then twice as long each time, up to `RETRY_MAX`.
pub const RETRY_MIN: Duration = Duration::from_secs(10);
pub const RETRY_MAX: Duration = Duration::from_secs(10 * 60);

/// Updates that may wait in one stream. One more is refused, unless it is terminal: the end of a task is always told.
pub const MAX_PENDING: usize = 1_024;

/// Acknowledged updates whose ids a stream remembers to know a late duplicate; the oldest is forgotten.
pub const MAX_REMEMBERED: usize = 1_024;

/// What is being written to disk, in order.
#[derive(Clone, Debug)]
pub(crate) enum Write<U> {
    Update(Arc<U>),
    Acknowledgement,
}

#[derive(Clone, Debug)]
pub(crate) struct InFlight<U> {
    pub entry: u64,
    pub write: Write<U>,
    pub done: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream<U> {
    pub checkpoint: bool,
    /// Durable (where that is asked for) and not acknowledged, in order. The first one is being sent.
    pub pending: VecDeque<Arc<U>>,
    /// Asked to be written, in order; done ones in front of it are taken off.
    pub writing: VecDeque<InFlight<U>>,
    /// Uuids of `pending` and of the updates in `writing`.
    waiting: BTreeSet<Vec<u8>>,
    remembered: VecDeque<Vec<u8>>,
    /// The acknowledgement of the first pending update is being written.
    pub acknowledging: bool,
    pub retry: Option<Retry>,
    /// A terminal update was acknowledged: when nothing is left, the stream is over.
    pub terminated: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub pause: Duration,
    pub at: Time,
}

impl<U: Update> Stream<U> {
    pub fn new(checkpoint: bool) -> Stream<U> {
        Stream {
            checkpoint,
            pending: VecDeque::new(),
            writing: VecDeque::new(),
            waiting: BTreeSet::new(),
            remembered: VecDeque::new(),
            acknowledging: false,
            retry: None,
            terminated: false,
        }
    }

    /// An update of this uuid came before and is on its way to disk or waits.
    pub fn waits(&self, uuid: &[u8]) -> bool {
        self.waiting.contains(uuid)
    }

    pub fn being_written(&self, uuid: &[u8]) -> bool {
        self.writing.iter().any(|entry| match &entry.write {
            Write::Update(update) => update.uuid() == Some(uuid),
            Write::Acknowledgement => false,
        })
    }

    /// An update of this uuid was acknowledged before.
    pub fn remembers(&self, uuid: &[u8]) -> bool {
        self.remembered.iter().any(|known| known == uuid)
    }

    pub fn full(&self) -> bool {
        self.waiting.len() >= MAX_PENDING
    }

    /// Nothing comes any more, and nothing is left to be told. A task whose id is used again too soon is refused in the
    /// stream of the first one: that refusal still goes out after the first one's end.
    pub fn over(&self) -> bool {
        self.terminated && self.pending.is_empty() && self.writing.is_empty()
    }

    pub fn expect(&mut self, uuid: &[u8]) {
        self.waiting.insert(uuid.to_vec());
    }

    /// An update that is on disk already; false if it cannot be one of this stream.
    pub fn recover_update(&mut self, update: &U) -> bool {
        let Some(uuid) = update.uuid().filter(|uuid| uuid.len() == 16) else { return false };
        if self.waits(uuid) || self.remembers(uuid) {
            return false;
        }
        self.expect(uuid);
        self.pending.push_back(Arc::new(update.clone()));
        true
    }

    pub fn recover_acknowledgement(&mut self, uuid: &[u8]) -> bool {
        let fits = self.pending.front().is_some_and(|first| first.uuid() == Some(uuid));
        fits && self.advance().is_some()
    }

    /// Takes the acknowledged update off.
    pub fn advance(&mut self) -> Option<Arc<U>> {
        let update = self.pending.pop_front()?;
        self.acknowledging = false;
        self.retry = None;
        let uuid = update.uuid().unwrap_or_default().to_vec();
        self.waiting.remove(&uuid);
        self.terminated |= update.is_terminal();
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(uuid);
        Some(update)
    }
}
