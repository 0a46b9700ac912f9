//! All streams of an agent: what comes in, and what is to be done about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use messor_proto::mesos::internal::{StatusUpdate, StatusUpdateRecord, status_update_record};
use messor_stdx::Time;
use messor_types::{FrameworkId, TaskId};

use crate::stream::{InFlight, RETRY_MAX, RETRY_MIN, Retry, Stream, Write, terminal};

/// Streams that may be open at a time: an update for one more task is refused.
pub const MAX_STREAMS: usize = 100_000;

/// Which stream: the task of a framework.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub framework: FrameworkId,
    pub task: TaskId,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the record durable, then say so by `Streams::persisted` with this entry.
    Persist {
        key: Key,
        entry: u64,
        record: Box<StatusUpdateRecord>,
    },
    /// The update is taken care of: its sender may forget it.
    Accepted {
        key: Key,
        update: Arc<StatusUpdate>,
    },
    /// Send the update to the framework.
    Forward {
        key: Key,
        update: Arc<StatusUpdate>,
    },
    /// The framework has the update. `last`: a terminal one was among them, nothing else waits, the stream is gone.
    Delivered {
        key: Key,
        update: Arc<StatusUpdate>,
        last: bool,
    },
    /// Call `Streams::timer` at this time; setting it again moves it.
    SetTimer {
        key: Key,
        at: Time,
    },
    CancelTimer {
        key: Key,
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

#[derive(Clone, Debug)]
pub struct Streams {
    streams: BTreeMap<Key, Stream>,
    paused: bool,
    next_entry: u64,
}

impl Default for Streams {
    fn default() -> Self {
        Streams::new()
    }
}

impl Streams {
    /// Without a stream, and paused until the first `resume`.
    pub fn new() -> Streams {
        Streams { streams: BTreeMap::new(), paused: true, next_entry: 0 }
    }

    /// A new update of a task, or one that its sender repeats because it was not told that it is accepted.
    pub fn update(
        &mut self,
        now: Time,
        key: Key,
        update: StatusUpdate,
        checkpoint: bool,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refused> {
        let uuid = match &update.uuid {
            Some(uuid) if uuid.len() == 16 => uuid.clone(),
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
                actions.push(Action::Accepted { key, update: Arc::new(update) });
            }
            return Ok(());
        }
        if stream.full() && !terminal(update.status.state) {
            return Err(Refused::Full);
        }
        stream.expect(&uuid);
        let update = Arc::new(update);
        if checkpoint {
            let record = StatusUpdateRecord {
                r#type: status_update_record::Type::Update.into(),
                update: Some(update.as_ref().clone()),
                uuid: None,
            };
            self.write(key, Write::Update(update), record, actions);
        } else {
            stream.pending.push_back(update.clone());
            actions.push(Action::Accepted { key: key.clone(), update });
            self.forward_if_first(now, &key, actions);
        }
        Ok(())
    }

    /// The framework's acknowledgement.
    pub fn acknowledge(
        &mut self,
        now: Time,
        key: &Key,
        uuid: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Refused> {
        let stream = self.streams.get_mut(key).ok_or(Refused::Unknown)?;
        let first = stream.pending.front().ok_or(Refused::Unknown)?;
        if stream.acknowledging || first.uuid.as_deref() != Some(uuid) {
            return Err(Refused::Unexpected);
        }
        stream.acknowledging = true;
        if stream.checkpoint {
            let record = StatusUpdateRecord {
                r#type: status_update_record::Type::Ack.into(),
                update: None,
                uuid: Some(uuid.to_vec()),
            };
            if stream.retry.take().is_some() {
                actions.push(Action::CancelTimer { key: key.clone() });
            }
            self.write(key.clone(), Write::Acknowledgement, record, actions);
        } else {
            self.advance(now, key, actions);
        }
        Ok(())
    }

    /// What `Action::Persist` asked for is on disk. An entry of a stream that is gone is nothing.
    pub fn persisted(&mut self, now: Time, key: &Key, entry: u64, actions: &mut Vec<Action>) {
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
                    actions.push(Action::Accepted { key: key.clone(), update });
                    self.forward_if_first(now, key, actions);
                }
                Write::Acknowledgement => self.advance(now, key, actions),
            }
        }
    }

    /// The time that `Action::SetTimer` named has come.
    pub fn timer(&mut self, now: Time, key: &Key, actions: &mut Vec<Action>) {
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
            Streams::send(now, key, stream, pause, actions);
        }
    }

    /// No master: nothing is forwarded until `resume`.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Forward the first update of each stream at once.
    pub fn resume(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.paused = false;
        for (key, stream) in &mut self.streams {
            if !stream.pending.is_empty() && !stream.acknowledging {
                Streams::send(now, key, stream, RETRY_MIN, actions);
            }
        }
    }

    /// Forget all streams of a framework: nobody is there to acknowledge.
    pub fn remove_framework(&mut self, framework: &FrameworkId, actions: &mut Vec<Action>) {
        self.streams.retain(|key, stream| {
            let keep = key.framework != *framework;
            if !keep && stream.retry.is_some() {
                actions.push(Action::CancelTimer { key: key.clone() });
            }
            keep
        });
    }

    /// Whether an update of this uuid came before: one more is a repetition.
    pub fn knows(&self, key: &Key, uuid: &[u8]) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.waits(uuid) || stream.remembers(uuid))
    }

    /// Whether there is an update that the framework did not acknowledge.
    pub fn wait_for(&self, framework: &FrameworkId) -> bool {
        let first = Key { framework: framework.clone(), task: TaskId::from("") };
        let mut own = self.streams.range(first..).take_while(|(key, _)| key.framework == *framework);
        own.any(|(_, stream)| !stream.pending.is_empty() || !stream.writing.is_empty())
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.streams.contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn write(&mut self, key: Key, write: Write, record: StatusUpdateRecord, actions: &mut Vec<Action>) {
        let entry = self.next_entry;
        self.next_entry += 1;
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.writing.push_back(InFlight { entry, write, done: false });
            actions.push(Action::Persist { key, entry, record: Box::new(record) });
        }
    }

    fn forward_if_first(&mut self, now: Time, key: &Key, actions: &mut Vec<Action>) {
        if let Some(stream) = self.streams.get_mut(key)
            && stream.pending.len() == 1
            && !self.paused
        {
            Streams::send(now, key, stream, RETRY_MIN, actions);
        }
    }

    fn send(
        now: Time,
        key: &Key,
        stream: &mut Stream,
        pause: messor_stdx::Duration,
        actions: &mut Vec<Action>,
    ) {
        if let Some(first) = stream.pending.front() {
            let at = now + pause;
            stream.retry = Some(Retry { pause, at });
            actions.push(Action::Forward { key: key.clone(), update: first.clone() });
            actions.push(Action::SetTimer { key: key.clone(), at });
        }
    }

    /// The first update is acknowledged, durably where that is asked for.
    fn advance(&mut self, now: Time, key: &Key, actions: &mut Vec<Action>) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let timer = stream.retry.is_some();
        let Some(update) = stream.advance() else {
            return;
        };
        let last = stream.over();
        actions.push(Action::Delivered { key: key.clone(), update, last });
        if !self.paused && !stream.pending.is_empty() {
            Streams::send(now, key, stream, RETRY_MIN, actions);
        } else if timer {
            actions.push(Action::CancelTimer { key: key.clone() });
        }
        if last {
            self.streams.remove(key);
        }
    }
}
