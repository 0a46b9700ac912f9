//! What a machine runs on: one loop that takes messages, requests and timers one at a time, so that the machine needs no
//! lock and never waits.

use std::sync::Arc;
use std::time::Duration;

use messor_http_api::{Input, Inputs};
use messor_net::{Mailbox, NetEvent};
use messor_stdx::Time;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::Clock;

/// A machine with its edges.
pub trait Driver: Send + 'static {
    type Event: Send + 'static;
    type View: Send + Sync + 'static;
    /// A message of another process, read by the network's threads.
    type Message: Send + 'static;

    fn handle(&mut self, now: Time, event: Self::Event);
    /// A message, or news of a link.
    fn network(&mut self, now: Time, event: NetEvent<Self::Message>);
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

const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Where a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the threads of the network, now on one and now on another: what has come is handled by the thread that read it, and
    /// no other has to be woken. For a machine whose effects never wait for anything.
    Network,
    /// On a thread of its own, which may touch files.
    OwnThread,
}

/// Runs the machine until the program ends. The receiver tells when the machine wants that.
pub fn run_machine<D: Driver>(
    name: &str,
    place: Place,
    clock: Clock,
    mut driver: D,
    mut mailbox: Mailbox<D::Message>,
    mut inputs: Inputs<D::Event, D::View>,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (over, is_over) = oneshot::channel();
    let work = async move {
        run(clock, &mut driver, &mut mailbox, &mut inputs).await;
        let _ = over.send(());
        (driver, mailbox, inputs)
    };
    match place {
        Place::Network => {
            tokio::spawn(async move {
                let machine = work.await;
                // There may be very much of it, and the program waits for the network's threads to end.
                std::thread::spawn(move || drop(machine));
            });
        }
        Place::OwnThread => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            std::thread::Builder::new().name(name.to_string()).spawn(move || runtime.block_on(work))?;
        }
    }
    Ok(is_over)
}

/// Ends the process when the machine panics: on the network's threads nothing else would, and the port would still answer.
struct EndsWithIt;

impl Drop for EndsWithIt {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// A step of a machine that may take long: where it runs on a thread of the network, another thread goes on with what that one
/// has to do.
pub fn at_length<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

async fn run<D: Driver>(
    clock: Clock,
    driver: &mut D,
    mailbox: &mut Mailbox<D::Message>,
    inputs: &mut Inputs<D::Event, D::View>,
) {
    // Before anything of the machine is dropped.
    let _guard = EndsWithIt;
    // Wakes at the machine's next deadline, and is set anew when that changes.
    let mut due = clock.now();
    let mut sleep = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let now = clock.now();
        driver.timers(now);
        // (A timer may be what ended it.)
        if driver.is_over() {
            break;
        }
        let next = driver.next_timer().unwrap_or(now + LONGEST_SLEEP);
        if next != due {
            due = next;
            sleep.as_mut().reset(Instant::now() + due.since(now));
        }
        tokio::select! {
            event = mailbox.recv() => {
                driver.network(clock.now(), event);
                let mut more = BURST;
                while more > 0 && let Some(event) = mailbox.try_recv() {
                    driver.network(clock.now(), event);
                    more -= 1;
                }
                if more == 0 {
                    // Who shares the thread has a turn, too.
                    tokio::task::yield_now().await;
                }
            }
            input = inputs.recv() => {
                let Some(input) = input else { break };
                if take_inputs(&clock, driver, input, inputs, mailbox.waiting()) {
                    tokio::task::yield_now().await;
                }
            }
            () = &mut sleep => due = Time::ZERO,
        }
    }
}

/// Handles what waits; true when there was enough of it to let others have a turn. All who wait to read get one view, taken
/// when the events before them are handled.
fn take_inputs<D: Driver>(
    clock: &Clock,
    driver: &mut D,
    first: Input<D::Event, D::View>,
    inputs: &mut Inputs<D::Event, D::View>,
    messages: usize,
) -> bool {
    let mut readers = Vec::new();
    let mut next = Some(first);
    let mut more = BURST;
    while more > 0 {
        match next {
            Some(Input::Event(event) | Input::Request(event)) => driver.handle(clock.now(), event),
            Some(Input::View(reader)) => readers.push(reader),
            None => break,
        }
        next = inputs.try_recv();
        more -= 1;
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
        let view = at_length(|| driver.view(clock.now(), load));
        for reader in readers {
            let _ = reader.send(Arc::clone(&view));
        }
    }
    more == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use messor_http_api::Machine;
    use messor_net::{Packet, Server, ServerOptions};

    use super::*;

    /// Counts what it is told; 13 is bad luck.
    struct Counter {
        sum: u64,
        due: Option<Time>,
    }

    impl Driver for Counter {
        type Event = u64;
        type View = u64;
        type Message = Packet;

        fn handle(&mut self, now: Time, event: u64) {
            assert!(event != 13, "bad luck");
            self.sum += event;
            self.due = (event == 100).then(|| now + Duration::from_millis(5));
        }

        fn network(&mut self, now: Time, _: NetEvent) {
            self.handle(now, 1);
        }

        fn timers(&mut self, now: Time) {
            if self.due.is_some_and(|due| due <= now) {
                self.due = None;
                self.sum += 1000;
            }
        }

        fn next_timer(&self) -> Option<Time> {
            self.due
        }

        fn view(&mut self, _: Time, _: Load) -> Arc<u64> {
            Arc::new(self.sum)
        }

        fn is_over(&self) -> bool {
            self.sum >= 2000
        }
    }

    async fn started(place: Place) -> (Machine<u64, u64>, oneshot::Receiver<()>, Server) {
        let options = ServerOptions { ip: Some([127, 0, 0, 1].into()), ..ServerOptions::default() };
        let server = Server::bind(options).await.unwrap();
        let mailbox = server.net().open("counter").unwrap();
        let (machine, inputs) = Machine::new();
        let counter = Counter { sum: 0, due: None };
        let over = run_machine("counter", place, Clock::start(), counter, mailbox, inputs).unwrap();
        (machine, over, server)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_messages_timers_and_views_wherever_it_runs() {
        for place in [Place::Network, Place::OwnThread] {
            let (machine, over, server) = started(place).await;
            let sum = async || *machine.view().await.unwrap();
            (0..1000).for_each(|_| machine.event(1));
            assert_eq!(sum().await, 1000);
            let net = server.net();
            net.send("counter", &net.pid("counter"), "m", "");
            while sum().await < 1001 {
                tokio::task::yield_now().await;
            }
            machine.event(100);
            over.await.unwrap();
        }
    }

    /// On the network's threads, too, where a panic of a request ends nothing else.
    #[test]
    fn a_machine_that_panics_ends_the_process() {
        const PLACE: &str = "MESSOR_TEST_PANICKING_MACHINE";
        if let Ok(place) = std::env::var(PLACE) {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let place = if place == "network" { Place::Network } else { Place::OwnThread };
                let (machine, over, _server) = started(place).await;
                machine.event(13);
                let _ = over.await;
            });
            return;
        }
        let this = "machine::tests::a_machine_that_panics_ends_the_process";
        for place in ["network", "own"] {
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            let ran = again.args(["--exact", this]).env(PLACE, place).output().unwrap();
            assert_eq!(ran.status.signal(), Some(6), "{place}: {ran:?}");
        }
    }
}
