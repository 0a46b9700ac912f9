//! Where the threads of a run meet: counts of what has happened, and the first thing that went wrong.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::progress::Progress;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Agents that the master said are registered,
    Registered,
    /// and registered again.
    Reregistered,
    Subscribed,
    /// Agents offered, the same ones again included.
    Offered,
    /// Tasks that came to their agent,
    Launched,
    /// whose running the scheduler was told,
    Running,
    /// and whose acknowledgement came back to the agent.
    RunningAcknowledged,
    Finished,
    FinishedAcknowledged,
    /// Updates that say no more than is known: answers to a reconciliation, or repetitions that were asked for.
    Repeated,
    RepeatedAcknowledged,
    /// Subscribers of events that were told the state, and those that have heard of everything that happened.
    Watching,
    Watched,
}

/// How often whoever waits looks how far it is.
const LOOK_TIME: Duration = Duration::from_millis(200);

const COUNTS: usize = Count::Watched as usize + 1;

#[derive(Default)]
struct State {
    counts: [u64; COUNTS],
    fault: Option<String>,
    /// What is waited for.
    wanted: Option<(usize, u64)>,
    /// After this, faults are the end of the run and not told.
    closed: bool,
}

#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, count: Count, more: u64) {
        let mut state = self.lock();
        let index = count as usize;
        state.counts[index] += more;
        if state.wanted.is_some_and(|(wanted, target)| wanted == index && state.counts[index] >= target) {
            self.changed.notify_all();
        }
    }

    pub fn count(&self, count: Count) -> u64 {
        self.lock().counts[count as usize]
    }

    /// The first fault is kept; whoever waits is told of it.
    pub fn fail(&self, fault: String) {
        let mut state = self.lock();
        if !state.closed && state.fault.is_none() {
            state.fault = Some(fault);
            self.changed.notify_all();
        }
    }

    /// Connections that break from now on are no faults: the master is to be stopped.
    pub fn close(&self) -> Result<(), String> {
        let mut state = self.lock();
        state.closed = true;
        state.fault.clone().map_or(Ok(()), Err)
    }

    pub fn reopen(&self) {
        self.lock().closed = false;
    }

    /// Waits until a count is reached, and checks that it is not passed; nothing new for so long as `limit` is a fault.
    pub fn wait(&self, count: Count, target: u64, limit: Duration, what: &str) -> Result<(), String> {
        let now = self.reach(count, target, limit, what)?;
        if now > target {
            return Err(format!("{what}: {now} of {target}, more than there may be"));
        }
        Ok(())
    }

    /// The same of a count that goes on: how far it is then.
    pub fn reach(&self, count: Count, target: u64, limit: Duration, what: &str) -> Result<u64, String> {
        let progress = Progress::new(what, target);
        let mut moved = Instant::now();
        let mut last = None;
        let mut state = self.lock();
        let outcome = loop {
            if let Some(fault) = &state.fault {
                break Err(format!("{what}: {fault}"));
            }
            let now = state.counts[count as usize];
            if now >= target {
                break Ok(now);
            }
            progress.show(now);
            if last.replace(now) != Some(now) {
                moved = Instant::now();
            }
            let left = limit.saturating_sub(moved.elapsed());
            if left.is_zero() {
                let counts = &state.counts;
                break Err(format!("{what}: {now} of {target}, and no more for {limit:?}; {counts:?}"));
            }
            state.wanted = Some((count as usize, target));
            state = self
                .changed
                .wait_timeout(state, left.min(LOOK_TIME))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        };
        state.wanted = None;
        drop(state);
        progress.clear();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    #[test]
    fn waits_for_no_less_and_no_more() {
        let board = Board::default();
        board.add(Count::Running, 2);
        board.wait(Count::Running, 2, SHORT, "two").unwrap();
        assert!(board.wait(Count::Running, 3, SHORT, "three").unwrap_err().contains("2 of 3"));
        assert!(board.wait(Count::Running, 1, SHORT, "one").unwrap_err().contains("more than"));
        assert_eq!(board.reach(Count::Running, 1, SHORT, "one"), Ok(2));
        board.fail("first".into());
        board.fail("second".into());
        assert_eq!(board.wait(Count::Running, 2, SHORT, "two").unwrap_err(), "two: first");
    }

    #[test]
    fn a_closed_board_takes_no_faults() {
        let board = Board::default();
        board.close().unwrap();
        board.fail("the connection broke".into());
        board.wait(Count::Offered, 0, SHORT, "none").unwrap();
    }
}
