//! The thread of the allocator: a machine of its own beside the master's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messor_allocator::{Allocator, Effect, Event, Options};
use messor_http_api::Machine;
use messor_metrics::{Snapshot, Timer};
use messor_runtime::Clock;
use messor_stdx::Time;

/// Where events for the allocator go. As many wait as the master makes while one allocation runs; each stems from an
/// input of the master, which are bounded.
#[derive(Clone)]
pub struct ToAllocator {
    sender: Sender<Event>,
    waiting: Arc<AtomicUsize>,
}

impl ToAllocator {
    /// With the end where the events come out; who takes them from there uncounts them.
    pub fn channel() -> (ToAllocator, Receiver<Event>) {
        let (sender, receiver) = channel();
        (ToAllocator { sender, waiting: Arc::default() }, receiver)
    }

    /// False when the allocator ended.
    pub fn send(&self, event: Event) -> bool {
        // Before it is there to be taken, or the count could fall below nothing.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.sender.send(event).is_ok()
    }
}

/// What the allocator last said of itself, and what waits for it.
#[derive(Clone)]
pub struct Told {
    metrics: Arc<Mutex<Vec<(String, f64)>>>,
    waiting: Arc<AtomicUsize>,
}

impl Told {
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let mut all = self.metrics.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let waiting = self.waiting.load(Ordering::Relaxed) as f64;
        // Under the older name too (U063).
        for name in ["allocator/event_queue_dispatches", "allocator/mesos/event_queue_dispatches"] {
            all.push((name.to_string(), waiting));
        }
        all
    }
}

/// How long allocations take, and how long they wait before they begin.
#[derive(Default)]
struct Runs {
    took: Timer,
    waited: Timer,
    /// Since when an allocation is due.
    due: Option<Time>,
}

impl Runs {
    fn metrics(&self) -> Vec<(String, f64)> {
        let mut snapshot = Snapshot::new();
        snapshot.timer("allocator/mesos/allocation_run", &self.took);
        snapshot.timer("allocator/mesos/allocation_run_latency", &self.waited);
        snapshot.into_values()
    }

    fn ran(&mut self, began: Time, ended: Time) {
        self.took.record(ended.since(began));
        let due = self.due.take().unwrap_or(began);
        self.waited.record(began.since(due));
    }
}

/// When nothing waits any more, so long the next events are left to come together: else this thread would be woken for each,
/// as when agents come back one after another.
const GATHER: Duration = Duration::from_micros(200);

pub fn start(
    options: Options,
    clock: Clock,
    master: Machine<messor_master_core::Event, messor_master_core::View>,
) -> std::io::Result<(ToAllocator, Told)> {
    let (to_allocator, receiver) = ToAllocator::channel();
    let told = Told { metrics: Arc::default(), waiting: Arc::clone(&to_allocator.waiting) };
    let published = told.clone();
    std::thread::Builder::new()
        .name("allocator".to_string())
        .spawn(move || run(options, clock, &receiver, &master, &published))?;
    Ok((to_allocator, told))
}

fn run(
    options: Options,
    clock: Clock,
    events: &Receiver<Event>,
    master: &Machine<messor_master_core::Event, messor_master_core::View>,
    told: &Told,
) {
    let interval = options.allocation_interval;
    let mut allocator = Allocator::new(options);
    let mut runs = Runs::default();
    let mut next_tick = clock.now() + interval;
    let mut wake = false;
    loop {
        // Everything that waits is taken in before one allocation is made of it.
        let event =
            match events.recv_timeout(if wake { Duration::ZERO } else { next_tick.since(clock.now()) }) {
                Ok(event) => {
                    told.waiting.fetch_sub(1, Ordering::Relaxed);
                    event
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if clock.now() >= next_tick => {
                    runs.due.get_or_insert(next_tick);
                    next_tick = clock.now() + interval;
                    wake = false;
                    Event::Tick
                }
                Err(RecvTimeoutError::Timeout) if wake => {
                    wake = false;
                    Event::Allocate
                }
                Err(RecvTimeoutError::Timeout) => continue,
            };
        let is_tick = matches!(event, Event::Tick);
        let is_due = matches!(event, Event::Tick | Event::Allocate);
        let mut effects = Vec::new();
        let (began, runs_before) = (clock.now(), allocator.allocation_runs());
        allocator.handle(began, event, &mut effects);
        if allocator.allocation_runs() > runs_before {
            runs.ran(began, clock.now());
        } else if is_due {
            // There was nothing to allocate.
            runs.due = None;
        }
        for effect in effects {
            match effect {
                Effect::Wake => {
                    wake = true;
                    runs.due.get_or_insert(clock.now());
                }
                Effect::Offer { framework_id, offers } => {
                    master.event(messor_master_core::Event::Offer { framework: framework_id, offers });
                }
                Effect::InverseOffer { framework_id, agents } => {
                    let framework = framework_id;
                    master.event(messor_master_core::Event::InverseOffer { framework, agents });
                }
                Effect::Available { ticket, outcome } => {
                    master.event(messor_master_core::Event::Available { ticket, outcome });
                }
                Effect::AskHeld { roles } => master.event(messor_master_core::Event::AskHeld { roles }),
                Effect::Preempt(preemption) => {
                    master.event(messor_master_core::Event::Preempt(Box::new(preemption)));
                }
                Effect::Inconsistent { reason } => tracing::error!("allocator: {reason}"),
            }
        }
        if is_tick {
            let mut metrics = allocator.metrics();
            metrics.extend(runs.metrics());
            *told.metrics.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = metrics;
        }
        if !wake && told.waiting.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(GATHER);
        }
    }
}
