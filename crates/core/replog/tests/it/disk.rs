//! A disk of a run: it does what it is given in order, late, several writes at once; a crash takes back a last part of
//! what it had not called persisted; truncated records stay now and then.

use std::collections::{BTreeMap, VecDeque};

use messor_proto::mesos::internal::log::{Action, Metadata, Record, record};
use messor_replog::{Event, Restored, Write};

use crate::rng::Rng;

#[derive(Default)]
pub struct Disk {
    pub metadata: Option<Metadata>,
    pub actions: BTreeMap<u64, Action>,
    given: VecDeque<Job>,
    /// Something is being done.
    pub busy: bool,
}

pub enum Job {
    Persist { ticket: u64, write: Write },
    Read { ticket: u64, from: u64, to: u64 },
}

impl Disk {
    pub fn give(&mut self, job: Job) {
        self.given.push_back(job);
    }

    pub fn is_idle(&self) -> bool {
        self.given.is_empty()
    }

    /// Does the next job, and writes behind it as far as chance will. Gives the events of it, and what was written.
    pub fn work(&mut self, rng: &mut Rng) -> (Vec<Event>, Vec<Write>) {
        let (mut events, mut written) = (Vec::new(), Vec::new());
        while let Some(job) = self.given.pop_front() {
            match job {
                Job::Persist { ticket, write } => {
                    self.write(&write, rng);
                    written.push(write);
                    events.push(Event::Persisted { ticket, outcome: Ok(()) });
                }
                Job::Read { ticket, from, to } => {
                    let found: Vec<Action> =
                        self.actions.range(from..=to).map(|(_, action)| action.clone()).collect();
                    let most = if rng.one_in(2) { found.len() } else { 1 + rng.index(found.len()) };
                    let outcome = Ok(found.into_iter().take(most).collect());
                    events.push(Event::Read { ticket, outcome });
                    break;
                }
            }
            if !matches!(self.given.front(), Some(Job::Persist { .. })) || rng.one_in(3) {
                break;
            }
        }
        (events, written)
    }

    fn write(&mut self, write: &Write, rng: &mut Rng) {
        match write {
            Write::Metadata(metadata) => self.metadata = Some(*metadata),
            Write::Action(action) => {
                self.actions.insert(action.position, (**action).clone());
            }
            Write::Truncating { action, below } => {
                self.actions.insert(action.position, (**action).clone());
                if !rng.one_in(4) {
                    self.actions.retain(|position, _| position >= below);
                }
            }
        }
    }

    /// Takes away a read that comes next, as a test answers it in another way.
    pub fn take_read(&mut self) -> Option<u64> {
        match self.given.pop_front()? {
            Job::Read { ticket, .. } => Some(ticket),
            Job::Persist { .. } => None,
        }
    }

    /// The machine stops: some first part of what it was given is there afterwards. Gives what was written so.
    pub fn crash(&mut self, rng: &mut Rng) -> Vec<Write> {
        let kept = rng.index(self.given.len() + 1);
        let mut written = Vec::new();
        for job in std::mem::take(&mut self.given).into_iter().take(kept) {
            if let Job::Persist { write, .. } = job {
                self.write(&write, rng);
                written.push(write);
            }
        }
        self.busy = false;
        written
    }

    pub fn restore(&self) -> Restored {
        let metadata = self.metadata.map(|metadata| Record {
            r#type: record::Type::Metadata.into(),
            metadata: Some(metadata),
            ..Record::default()
        });
        let actions = self.actions.values().map(|action| Record {
            r#type: record::Type::Action.into(),
            action: Some(action.clone()),
            ..Record::default()
        });
        let mut restored = Restored::default();
        for record in metadata.into_iter().chain(actions) {
            restored.add(&record).unwrap();
        }
        restored
    }
}
