//! Random events against what must always hold; each law has its name in the message of its assertion.

use std::collections::{BTreeMap, BTreeSet};

use messor_proto::mesos::TaskState;
use messor_stdx::{Duration, Time};
use messor_updates::{Action, Key, RETRY_MAX, Refused, Streams};
use proptest::prelude::*;

use crate::{key, update, uuid};

const TASKS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Update { task: usize, terminal: bool },
    Repeat { pick: prop::sample::Index },
    Acknowledge { task: usize },
    WrongAcknowledge { task: usize },
    Persisted { pick: prop::sample::Index },
    Wait { seconds: u64 },
    Pause,
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let task = 0..TASKS.len();
    let step = prop_oneof![
        4 => (task.clone(), prop::bool::weighted(0.15)).prop_map(|(task, terminal)| Step::Update { task, terminal }),
        2 => any::<prop::sample::Index>().prop_map(|pick| Step::Repeat { pick }),
        4 => task.clone().prop_map(|task| Step::Acknowledge { task }),
        1 => task.prop_map(|task| Step::WrongAcknowledge { task }),
        6 => any::<prop::sample::Index>().prop_map(|pick| Step::Persisted { pick }),
        2 => (0u64..700).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
    ];
    prop::collection::vec(step, 0..120)
}

/// What a watcher who sees only calls and actions knows.
#[derive(Default)]
struct Watcher {
    paused: bool,
    sent_in: BTreeMap<Key, Vec<u64>>,
    durable: BTreeSet<u64>,
    accepted: BTreeSet<u64>,
    forwarded: BTreeMap<Key, u64>,
    delivered: BTreeMap<Key, Vec<u64>>,
    ended: BTreeSet<Key>,
    /// An acknowledgement is asked to be written and not in force.
    acknowledging: BTreeSet<Key>,
    timers: BTreeMap<Key, Time>,
    writes: Vec<(Key, u64, Option<u64>)>,
}

fn number(uuid: &Option<Vec<u8>>) -> u64 {
    u64::from_be_bytes(uuid.as_ref().unwrap()[8..].try_into().unwrap())
}

impl Watcher {
    fn see(&mut self, now: Time, checkpoint: bool, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist { key, entry, record } => {
                    assert!(checkpoint, "only what is checkpointed is written");
                    let of = record.update.as_ref().map(|update| number(&update.uuid));
                    if of.is_none() {
                        self.acknowledging.insert(key.clone());
                    }
                    self.writes.push((key, entry, of));
                }
                Action::Accepted { update, .. } => {
                    let update = number(&update.uuid);
                    assert!(!checkpoint || self.durable.contains(&update), "accepted only what is durable");
                    self.accepted.insert(update);
                }
                Action::Forward { key, update } => {
                    let update = number(&update.uuid);
                    assert!(!self.paused, "nothing is forwarded while paused");
                    assert!(!checkpoint || self.durable.contains(&update), "forwarded only what is durable");
                    let delivered = self.delivered.get(&key).map_or(0, Vec::len);
                    assert_eq!(
                        self.sent_in[&key][delivered], update,
                        "forwarded in order, after what is before it"
                    );
                    self.forwarded.insert(key, update);
                }
                Action::Delivered { key, update, last } => {
                    let update = number(&update.uuid);
                    assert_eq!(self.forwarded.get(&key), Some(&update), "delivered only what was forwarded");
                    let delivered = self.delivered.entry(key.clone()).or_default();
                    assert_eq!(self.sent_in[&key][delivered.len()], update, "delivered once and in order");
                    delivered.push(update);
                    self.acknowledging.remove(&key);
                    if last {
                        self.ended.insert(key);
                    }
                }
                Action::SetTimer { key, at } => {
                    assert!(at > now && at.since(now) <= RETRY_MAX, "the pause is bounded");
                    self.timers.insert(key, at);
                }
                Action::CancelTimer { key } => {
                    self.timers.remove(&key);
                }
            }
        }
    }

    /// Something that waits for the framework is sent again, for ever.
    fn check_at_least_once(&self) {
        for (key, sent_in) in &self.sent_in {
            let delivered = self.delivered.get(key).map_or(0, Vec::len);
            let waiting = sent_in.get(delivered).filter(|update| self.accepted.contains(update));
            if let Some(update) = waiting
                && !self.paused
                && !self.acknowledging.contains(key)
                && !self.ended.contains(key)
            {
                assert_eq!(self.forwarded.get(key), Some(update), "what waits first was forwarded");
                assert!(self.timers.contains_key(key), "and is going to be forwarded again");
            }
        }
    }
}

fn run(steps: Vec<Step>, checkpoint: bool) {
    let mut streams = Streams::new();
    let mut watcher = Watcher { paused: true, ..Watcher::default() };
    let mut now = Time::from_nanos(1_000_000_000_000);
    let mut next = 0;
    let mut all: Vec<(usize, u64, TaskState)> = Vec::new();
    for step in steps {
        let mut actions = Vec::new();
        match step {
            Step::Update { task, terminal } => {
                let key = key(TASKS[task]);
                let over = all.iter().any(|(of, _, state)| *of == task && *state == TaskState::TaskFinished);
                if over {
                    continue;
                }
                next += 1;
                let state = if terminal { TaskState::TaskFinished } else { TaskState::TaskRunning };
                all.push((task, next, state));
                watcher.sent_in.entry(key.clone()).or_default().push(next);
                streams.update(now, key, update(TASKS[task], next, state), checkpoint, &mut actions).unwrap();
                if !checkpoint {
                    watcher.durable.insert(next);
                }
            }
            Step::Repeat { pick } => {
                if all.is_empty() {
                    continue;
                }
                let (task, number, state) = all[pick.index(all.len())];
                if watcher.ended.contains(&key(TASKS[task])) {
                    continue;
                }
                let again = update(TASKS[task], number, state);
                streams.update(now, key(TASKS[task]), again, checkpoint, &mut actions).unwrap();
                assert!(
                    !actions.iter().any(|action| !matches!(action, Action::Accepted { .. })),
                    "a repeated update is not handled twice"
                );
            }
            Step::Acknowledge { task } => {
                let key = key(TASKS[task]);
                if let Some(update) = watcher.forwarded.get(&key).copied() {
                    let known = watcher.delivered.get(&key).is_some_and(|all| all.contains(&update));
                    let result = streams.acknowledge(now, &key, &uuid(update), &mut actions);
                    assert!(!known || result.is_err(), "an update is acknowledged once");
                }
            }
            Step::WrongAcknowledge { task } => {
                let result = streams.acknowledge(now, &key(TASKS[task]), &uuid(u64::MAX), &mut actions);
                assert!(matches!(result, Err(Refused::Unknown | Refused::Unexpected)));
                assert_eq!(actions, [], "a wrong acknowledgement changes nothing");
            }
            Step::Persisted { pick } => {
                if watcher.writes.is_empty() {
                    continue;
                }
                let (key, entry, of) = watcher.writes.remove(pick.index(watcher.writes.len()));
                watcher.durable.extend(of);
                streams.persisted(now, &key, entry, &mut actions);
            }
            Step::Wait { seconds } => {
                now = now + Duration::from_secs(seconds);
                let due: Vec<Key> =
                    watcher.timers.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
                for key in due {
                    watcher.timers.remove(&key);
                    streams.timer(now, &key, &mut actions);
                }
            }
            Step::Pause => {
                streams.pause();
                watcher.paused = true;
            }
            Step::Resume => {
                watcher.paused = false;
                streams.resume(now, &mut actions);
            }
        }
        watcher.see(now, checkpoint, actions);
        watcher.check_at_least_once();
    }
    for ended in &watcher.ended {
        assert!(!streams.contains(ended), "an acknowledged terminal update ends the stream");
    }
}

proptest! {
    #[test]
    fn the_laws_hold_without_checkpoints(steps in steps()) {
        run(steps, false);
    }

    #[test]
    fn the_laws_hold_with_checkpoints(steps in steps()) {
        run(steps, true);
    }
}
