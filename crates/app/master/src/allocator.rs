//! The thread of the allocator: a machine of its own beside the master's.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messor_allocator::{Allocator, Effect, Event, Options};
use messor_http_api::Machine;
use messor_runtime::Clock;

/// Where events for the allocator go. As many wait as the master makes while one allocation runs; each stems from an
/// input of the master, which are bounded.
pub type ToAllocator = Sender<Event>;

/// What the allocator last said of itself.
pub type SharedMetrics = Arc<Mutex<Vec<(String, f64)>>>;

pub fn start(
    options: Options,
    clock: Clock,
    master: Machine<messor_master_core::Event, messor_master_core::View>,
) -> std::io::Result<(ToAllocator, SharedMetrics)> {
    let (sender, receiver) = channel();
    let metrics = SharedMetrics::default();
    let published = Arc::clone(&metrics);
    std::thread::Builder::new()
        .name("allocator".to_string())
        .spawn(move || run(options, clock, &receiver, &master, &published))?;
    Ok((sender, metrics))
}

fn run(
    options: Options,
    clock: Clock,
    events: &Receiver<Event>,
    master: &Machine<messor_master_core::Event, messor_master_core::View>,
    metrics: &Mutex<Vec<(String, f64)>>,
) {
    let interval = options.allocation_interval;
    let mut allocator = Allocator::new(options);
    let mut next_tick = clock.now() + interval;
    let mut wake = false;
    loop {
        // Everything that waits is taken in before one allocation is made of it.
        let event =
            match events.recv_timeout(if wake { Duration::ZERO } else { next_tick.since(clock.now()) }) {
                Ok(event) => event,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if clock.now() >= next_tick => {
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
        let mut effects = Vec::new();
        allocator.handle(clock.now(), event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Wake => wake = true,
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
            *metrics.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = allocator.metrics();
        }
    }
}
