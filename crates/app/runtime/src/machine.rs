//! The thread that a machine runs on: one loop that takes messages, requests and timers one at a time, so that the
//! machine needs no lock and never waits.

use std::sync::Arc;
use std::time::Duration;

use messor_http_api::{Input, Inputs};
use messor_net::{Mailbox, NetEvent};
use messor_stdx::Time;
use tokio::sync::oneshot;

use crate::Clock;

/// A machine with its edges.
pub trait Driver: Send + 'static {
    type Event: Send + 'static;
    type View: Send + Sync + 'static;

    fn handle(&mut self, now: Time, event: Self::Event);
    /// A message, or news of a link.
    fn network(&mut self, now: Time, event: NetEvent);
    /// Handles every timer that is due.
    fn timers(&mut self, now: Time);
    fn next_timer(&self) -> Option<Time>;
    /// `load` is what waits behind the readers that get this view.
    fn view(&mut self, now: Time, load: Load) -> Arc<Self::View>;
    /// True once the program has to end.
    fn is_over(&self) -> bool;
}

/// What waits for a machine while a view of it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Messages of other processes, and news of links.
    pub messages: usize,
    /// Events of this process itself: results of I/O, the allocator's offers.
    pub events: usize,
    /// HTTP requests, readers or not.
    pub requests: usize,
    /// All who get this view.
    pub readers: usize,
}

/// So many inputs are taken before timers and other queues are looked at again.
const BURST: usize = 256;

/// Runs the machine on a thread of its own until the program ends. The receiver tells when the machine wants that.
pub fn run_machine<D: Driver>(
    name: &str,
    clock: Clock,
    mut driver: D,
    mut mailbox: Mailbox,
    mut inputs: Inputs<D::Event, D::View>,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (over, is_over) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name(name.to_string()).spawn(move || {
        runtime.block_on(async {
            while !driver.is_over() {
                let now = clock.now();
                driver.timers(now);
                let pause = driver.next_timer().map_or(Duration::from_secs(3600), |at| at.since(now));
                tokio::select! {
                    event = mailbox.recv() => {
                        driver.network(clock.now(), event);
                        for _ in 0..BURST {
                            let Some(event) = mailbox.try_recv() else { break };
                            driver.network(clock.now(), event);
                        }
                    }
                    input = inputs.recv() => {
                        let Some(input) = input else { break };
                        take_inputs(&clock, &mut driver, input, &mut inputs, mailbox.waiting());
                    }
                    () = tokio::time::sleep(pause) => (),
                }
            }
        });
        let _ = over.send(());
    })?;
    Ok(is_over)
}

/// Handles what waits. All who wait to read get one view, taken when the events before them are handled.
fn take_inputs<D: Driver>(
    clock: &Clock,
    driver: &mut D,
    first: Input<D::Event, D::View>,
    inputs: &mut Inputs<D::Event, D::View>,
    messages: usize,
) {
    let mut readers = Vec::new();
    let mut next = Some(first);
    for _ in 0..BURST {
        match next {
            Some(Input::Event(event) | Input::Request(event)) => driver.handle(clock.now(), event),
            Some(Input::View(reader)) => readers.push(reader),
            None => break,
        }
        next = inputs.try_recv();
    }
    // What was taken out last and not handled in the loop.
    match next {
        Some(Input::Event(event) | Input::Request(event)) => driver.handle(clock.now(), event),
        Some(Input::View(reader)) => readers.push(reader),
        None => (),
    }
    if !readers.is_empty() {
        let (events, requests) = inputs.waiting();
        let load = Load { messages, events, requests, readers: readers.len() };
        let view = driver.view(clock.now(), load);
        for reader in readers {
            let _ = reader.send(Arc::clone(&view));
        }
    }
}
