//! Clients that ask, and what others see meanwhile: who asks for /health, and a scheduler that waits for its next offer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::answers::{Read, ask};
use crate::board::{Board, Count};
use crate::client::Client;
use crate::masters::Master;
use crate::scheduler::{STEP_TIME, Scheduler};
use crate::waiting::End;
use crate::workloads::millis;

/// Time between two questions for /health, and between an offer and the next revival: who watches is no load of its own.
const PAUSE: Duration = Duration::from_millis(5);
const FOR_AN_HOUR_SECONDS: f64 = 3600.0;

/// A scheduler that is offered one agent: it declines the offer, revives and waits for the next.
pub(super) struct Offers<'a> {
    pub scheduler: &'a Scheduler,
    pub board: &'a Board,
    /// So many are waited for at least; it is read on until they have come.
    pub least: usize,
}

impl Offers<'_> {
    /// What one takes, in milliseconds.
    fn next(&self) -> Result<f64, String> {
        let offers = self.scheduler.take_offers();
        if offers.len() != 1 {
            return Err(format!("{} offers where one agent is to be offered", offers.len()));
        }
        let before = self.board.count(Count::Offered);
        self.scheduler.decline(&offers, FOR_AN_HOUR_SECONDS)?;
        let start = Instant::now();
        self.scheduler.revive()?;
        self.board.wait(Count::Offered, before + 1, STEP_TIME, "the next offer comes")?;
        Ok(millis(start.elapsed()))
    }

    /// One after the other, while nothing is read.
    pub(super) fn alone(&self) -> Result<Vec<f64>, String> {
        so_many(self.least, || self.next())
    }
}

/// So many clients ask at once, each so often.
pub(super) struct Asking<'a> {
    pub read: Read,
    pub clients: usize,
    pub rounds: usize,
    /// What is done before each question.
    pub before: &'a (dyn Fn() -> Result<(), String> + Sync),
    /// What becomes of each answer once the time is taken.
    pub see: &'a (dyn Fn(Vec<u8>) -> Result<(), String> + Sync),
}

/// In milliseconds.
#[derive(Default)]
pub(super) struct Seen {
    pub answers: Vec<f64>,
    pub health: Vec<f64>,
    pub offers: Vec<f64>,
}

/// What each of so many takes.
fn so_many(count: usize, mut one: impl FnMut() -> Result<f64, String>) -> Result<Vec<f64>, String> {
    let (end, mut times) = (End::default(), Vec::new());
    end.meanwhile(PAUSE, || {
        times.push(one()?);
        if times.len() >= count {
            end.tell();
        }
        Ok(())
    })?;
    Ok(times)
}

/// What an answer of /health takes.
fn ask_health(client: &mut Client) -> Result<f64, String> {
    let start = Instant::now();
    let answer = client.get("/master/health")?;
    let took = millis(start.elapsed());
    if answer.status != 200 {
        return Err(format!("/health was answered {}", answer.status));
    }
    Ok(took)
}

/// Asks for /health so often, while nothing is read.
pub(super) fn health_alone(master: &Master, count: usize) -> Result<Vec<f64>, String> {
    let mut client = master.client()?;
    so_many(count, || ask_health(&mut client))
}

/// Asks for /health again and again until told to end.
fn watch_health(client: &mut Client, end: &End) -> Result<Vec<f64>, String> {
    let mut times = Vec::new();
    end.meanwhile(PAUSE, || {
        times.push(ask_health(client)?);
        Ok(())
    })?;
    Ok(times)
}

impl Asking<'_> {
    /// One client: at least its rounds, and until it is enough.
    fn ask(&self, master: &Master, enough: &AtomicBool) -> Result<Vec<f64>, String> {
        let mut client = master.client()?;
        let mut times = Vec::new();
        while times.len() < self.rounds || !enough.load(Ordering::Relaxed) {
            (self.before)()?;
            let start = Instant::now();
            let answer = ask(&mut client, self.read)?;
            times.push(millis(start.elapsed()));
            (self.see)(answer.body)?;
        }
        Ok(times)
    }

    pub(super) fn run(&self, master: &Master, offers: Option<&Offers<'_>>) -> Result<Seen, String> {
        let (end, enough) = (End::default(), AtomicBool::new(offers.is_none()));
        let mut health = master.client()?;
        let mut seen = Seen::default();
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| watch_health(&mut health, &end));
            let asking: Vec<_> =
                (0..self.clients).map(|_| scope.spawn(|| self.ask(master, &enough))).collect();
            let mut outcome = Ok(());
            if let Some(offers) = offers {
                let have_read = End::default();
                outcome = have_read.meanwhile(PAUSE, || {
                    seen.offers.push(offers.next()?);
                    enough.store(seen.offers.len() >= offers.least, Ordering::Relaxed);
                    if asking.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                        have_read.tell();
                    }
                    Ok(())
                });
                enough.store(true, Ordering::Relaxed);
            }
            for thread in asking {
                match thread.join() {
                    Ok(Ok(times)) => seen.answers.extend(times),
                    Ok(Err(error)) => outcome = Err(error),
                    Err(_) => outcome = Err("a client panicked".to_string()),
                }
            }
            end.tell();
            seen.health = watch.join().map_err(|_| "the watch of /health panicked".to_string())??;
            outcome
        })?;
        Ok(seen)
    }
}
