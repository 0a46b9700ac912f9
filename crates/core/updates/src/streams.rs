//! All streams of an agent: what comes in, and what is to be done about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use messor_proto::mesos::internal::StatusUpdate;
use messor_stdx::Time;
use messor_types::{FrameworkId, TaskId};

use crate::stream::{InFlight, RETRY_MAX, RETRY_MIN, Retry, Stream, Write};
use crate::update::{Entry, Key, Update};

/// Streams that may be open at a time: an update for one more task is refused.
pub const MAX_STREAMS: usize = 100_000;

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateAction<U: Update> {
    /// Make the record durable, then say so by `persisted` with this entry.
    Persist {
        key: U::Key,
        entry: u64,
        record: Box<U::Record>,
    },
    /// The update is taken care of: its sender may forget it.
    Accepted {
        key: U::Key,
        update: Arc<U>,
    },
    /// Send the update to the framework.
    Forward {
        key: U::Key,
        update: Arc<U>,
    },
    /// The framework has the update. `last`: a terminal one was among them, nothing else waits, the stream is gone.
    Delivered {
        key: U::Key,
        update: Arc<U>,
        last: bool,
    },
    /// Call `timer` at this time; setting it again moves it.
    SetTimer {
        key: U::Key,
        at: Time,
    },
    CancelTimer {
        key: U::Key,
    },
}

/// Why an update or an acknowledgement changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the update has no uuid of 16 bytes")]
    Uuid,
    #[error("the task's updates are checkpointed: {expected}, this one: {given}")]
    Checkpoint { expected: bool, given: bool },
    #[error("too many updates wait for the framework's acknowledgement")]
    Full,
    #[error("no update of the task waits for an acknowledgement")]
    Unknown,
    #[error("the acknowledgement is not of the update that waits for one")]
    Unexpected,
}

/// What is known of a stream when its records were read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredStream {
    /// A terminal update was acknowledged, and nothing is left: there is no such stream any more.
    pub over: bool,
    /// Records that do not fit those before them; they were passed over.
    pub errors: u32,
}

#[derive(Clone, Debug)]
pub struct UpdateStreams<U: Update> {
    streams: BTreeMap<U::Key, Stream<U>>,
    paused: bool,
    next_entry: u64,
}

impl<U: Update> Default for UpdateStreams<U> {
    fn default() -> Self {
        UpdateStreams::new()
    }
}

impl<U: Update> UpdateStreams<U> {
    /// Without a stream, and paused until the first `resume`.
    pub fn new() -> UpdateStreams<U> {
        UpdateStreams { streams: BTreeMap::new(), paused: true, next_entry: 0 }
    }

    /// Takes up a stream of before, of what is on disk of it in the order of writing. Nothing is asked for; what waits is
    /// forwarded with `resume`.
    pub fn recover(&mut self, key: U::Key, records: &[U::Record]) -> RecoveredStream {
        let mut stream = Stream::new(true);
        let mut errors = 0;
        for record in records {
            let fits = match U::entry(record) {
                Some(Entry::Update(update)) => stream.recover_update(update),
                Some(Entry::Acknowledgement(uuid)) => stream.recover_acknowledgement(uuid),
                None => false,
            };
            errors += u32::from(!fits);
        }
        let over = stream.over();
        if !over {
            self.streams.insert(key, stream);
        }
        RecoveredStream { over, errors }
    }

    /// A new update of a task, or one that its sender repeats because it was not told that it is accepted.
    pub fn update(
        &mut self,
        now: Time,
        key: U::Key,
        update: U,
        checkpoint: bool,
        actions: &mut Vec<UpdateAction<U>>,
    ) -> Result<(), Refused> {
        let uuid = match update.uuid() {
            Some(uuid) if uuid.len() == 16 => uuid.to_vec(),
            _ => return Err(Refused::Uuid),
        };
        if !self.streams.contains_key(&key) && self.streams.len() >= MAX_STREAMS {
            return Err(Refused::Full);
        }
        let stream = self.streams.entry(key.clone()).or_insert_with(|| Stream::new(checkpoint));
        if stream.checkpoint != checkpoint {
            return Err(Refused::Checkpoint { expected: stream.checkpoint, given: checkpoint });
        }
        if stream.waits(&uuid) || stream.remembers(&uuid) {
            // While the first one is on its way to disk, its `Accepted` is still to come and answers both.
            if !stream.being_written(&uuid) {
                actions.push(UpdateAction::Accepted { key, update: Arc::new(update) });
            }
            return Ok(());
        }
        if stream.full() && !update.is_terminal() {
            return Err(Refused::Full);
        }
        stream.expect(&uuid);
        let update = Arc::new(update);
        if checkpoint {
            let record = update.record();
            self.write(key, Write::Update(update), record, actions);
        } else {
            stream.pending.push_back(update.clone());
            actions.push(UpdateAction::Accepted { key: key.clone(), update });
            self.forward_if_first(now, &key, actions);
        }
        Ok(())
    }

    /// The framework's acknowledgement.
    pub fn acknowledge(
        &mut self,
        now: Time,
        key: &U::Key,
        uuid: &[u8],
        actions: &mut Vec<UpdateAction<U>>,
    ) -> Result<(), Refused> {
        let stream = self.streams.get_mut(key).ok_or(Refused::Unknown)?;
        let first = stream.pending.front().ok_or(Refused::Unknown)?;
        if stream.acknowledging || first.uuid() != Some(uuid) {
            return Err(Refused::Unexpected);
        }
        stream.acknowledging = true;
        if stream.checkpoint {
            let record = U::acknowledgement(uuid);
            if stream.retry.take().is_some() {
                actions.push(UpdateAction::CancelTimer { key: key.clone() });
            }
            self.write(key.clone(), Write::Acknowledgement, record, actions);
        } else {
            self.advance(now, key, actions);
        }
        Ok(())
    }

    /// What `UpdateAction::Persist` asked for is on disk. An entry of a stream that is gone is nothing.
    pub fn persisted(&mut self, now: Time, key: &U::Key, entry: u64, actions: &mut Vec<UpdateAction<U>>) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        for in_flight in stream.writing.iter_mut().filter(|in_flight| in_flight.entry == entry) {
            in_flight.done = true;
        }
        // Writes are told of in the order in which they were asked for, whatever order they end in.
        while let Some(stream) = self.streams.get_mut(key)
            && stream.writing.front().is_some_and(|in_flight| in_flight.done)
            && let Some(done) = stream.writing.pop_front()
        {
            match done.write {
                Write::Update(update) => {
                    stream.pending.push_back(update.clone());
                    actions.push(UpdateAction::Accepted { key: key.clone(), update });
                    self.forward_if_first(now, key, actions);
                }
                Write::Acknowledgement => self.advance(now, key, actions),
            }
        }
    }

    /// The time that `UpdateAction::SetTimer` named has come.
    pub fn timer(&mut self, now: Time, key: &U::Key, actions: &mut Vec<UpdateAction<U>>) {
        if self.paused {
            return;
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if let Some(retry) = stream.retry
            && retry.at <= now
        {
            let pause = (retry.pause * 2).min(RETRY_MAX);
            UpdateStreams::send(now, key, stream, pause, actions);
        }
    }

    /// No master: nothing is forwarded until `resume`.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Forward the first update of each stream at once.
    pub fn resume(&mut self, now: Time, actions: &mut Vec<UpdateAction<U>>) {
        self.paused = false;
        for (key, stream) in &mut self.streams {
            if !stream.pending.is_empty() && !stream.acknowledging {
                UpdateStreams::send(now, key, stream, RETRY_MIN, actions);
            }
        }
    }

    /// Whether an update of this uuid came before: one more is a repetition.
    pub fn knows(&self, key: &U::Key, uuid: &[u8]) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.waits(uuid) || stream.remembers(uuid))
    }

    /// Forgets a stream, whatever waits in it.
    pub fn remove(&mut self, key: &U::Key, actions: &mut Vec<UpdateAction<U>>) {
        if self.streams.remove(key).is_some_and(|stream| stream.retry.is_some()) {
            actions.push(UpdateAction::CancelTimer { key: key.clone() });
        }
    }

    pub fn contains(&self, key: &U::Key) -> bool {
        self.streams.contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn write(&mut self, key: U::Key, write: Write<U>, record: U::Record, actions: &mut Vec<UpdateAction<U>>) {
        let entry = self.next_entry;
        self.next_entry += 1;
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.writing.push_back(InFlight { entry, write, done: false });
            actions.push(UpdateAction::Persist { key, entry, record: Box::new(record) });
        }
    }

    fn forward_if_first(&mut self, now: Time, key: &U::Key, actions: &mut Vec<UpdateAction<U>>) {
        if let Some(stream) = self.streams.get_mut(key)
            && stream.pending.len() == 1
            && !self.paused
        {
            UpdateStreams::send(now, key, stream, RETRY_MIN, actions);
        }
    }

    fn send(
        now: Time,
        key: &U::Key,
        stream: &mut Stream<U>,
        pause: messor_stdx::Duration,
        actions: &mut Vec<UpdateAction<U>>,
    ) {
        if let Some(first) = stream.pending.front() {
            let at = now + pause;
            stream.retry = Some(Retry { pause, at });
            actions.push(UpdateAction::Forward { key: key.clone(), update: first.clone() });
            actions.push(UpdateAction::SetTimer { key: key.clone(), at });
        }
    }

    /// The first update is acknowledged, durably where that is asked for.
    fn advance(&mut self, now: Time, key: &U::Key, actions: &mut Vec<UpdateAction<U>>) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let timer = stream.retry.is_some();
        let Some(update) = stream.advance() else {
            return;
        };
        let last = stream.over();
        actions.push(UpdateAction::Delivered { key: key.clone(), update, last });
        if !self.paused && !stream.pending.is_empty() {
            UpdateStreams::send(now, key, stream, RETRY_MIN, actions);
        } else if timer {
            actions.push(UpdateAction::CancelTimer { key: key.clone() });
        }
        if last {
            self.streams.remove(key);
        }
    }
}

impl UpdateStreams<StatusUpdate> {
    /// Forget all streams of a framework: nobody is there to acknowledge.
    pub fn remove_framework(
        &mut self,
        framework: &FrameworkId,
        actions: &mut Vec<UpdateAction<StatusUpdate>>,
    ) {
        self.streams.retain(|key, stream| {
            let keep = key.framework != *framework;
            if !keep && stream.retry.is_some() {
                actions.push(UpdateAction::CancelTimer { key: key.clone() });
            }
            keep
        });
    }

    /// Whether there is an update that the framework did not acknowledge.
    pub fn wait_for(&self, framework: &FrameworkId) -> bool {
        let first = Key { framework: framework.clone(), task: TaskId::from("") };
        let mut own = self.streams.range(first..).take_while(|(key, _)| key.framework == *framework);
        own.any(|(_, stream)| !stream.pending.is_empty() || !stream.writing.is_empty())
    }
}
