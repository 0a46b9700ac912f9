//! Tasks that change at a steady pace while they are read, so that part of what a master may remember of them is stale in each answer.

use std::time::{Duration, Instant};

use crate::board::{Board, Count};
use crate::fleet::Fleet;
use crate::scheduler::STEP_TIME;
use crate::waiting::End;

/// Of all tasks, this part tells an update each second, and as many have changed before each question.
const PART: usize = 100;
/// Where there are few, so many all the same.
const LEAST_A_SECOND: usize = 100;
const TICK: Duration = Duration::from_millis(10);
/// One task after this many others: not one agent's after each other.
const STRIDE: usize = 7919;

pub(super) struct Changes<'a> {
    pub fleet: &'a Fleet,
    pub board: &'a Board,
    pub tasks: usize,
}

impl Changes<'_> {
    fn pace(&self) -> usize {
        (self.tasks / PART).max(LEAST_A_SECOND)
    }

    /// Updates until it is ended: how many.
    fn tell(&self, end: &End) -> Result<u64, String> {
        let (start, mut told) = (Instant::now(), 0);
        end.meanwhile(TICK, || {
            let due = (start.elapsed().as_secs_f64() * self.pace() as f64) as usize;
            let tasks = (told..due).map(|number| number * STRIDE % self.tasks);
            // Each update has a number of its own, also where a task has told one before.
            for (number, task) in (told..due).zip(tasks) {
                self.fleet.repeat([task], number as u32)?;
            }
            told = due;
            Ok(())
        })?;
        Ok(told as u64)
    }

    /// Waits until some more tasks have changed, and their updates were acknowledged.
    pub(super) fn some_more(&self) -> Result<(), String> {
        let more = (self.tasks / PART).max(1) as u64;
        let now = self.board.count(Count::RepeatedAcknowledged);
        self.board.reach(Count::RepeatedAcknowledged, now + more, STEP_TIME, "tasks change").map(|_| ())
    }

    /// Does the work while tasks change, then waits until every update was acknowledged; with how many of them came in a second.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> Result<T, String>) -> Result<(T, f64), String> {
        let end = End::default();
        let before = self.board.count(Count::RepeatedAcknowledged);
        std::thread::scope(|scope| {
            let telling = scope.spawn(|| self.tell(&end));
            let start = Instant::now();
            let done = work();
            let came = self.board.count(Count::RepeatedAcknowledged) - before;
            let pace = came as f64 / start.elapsed().as_secs_f64();
            end.tell();
            let told = telling.join().map_err(|_| "who tells updates panicked".to_string())??;
            let done = done?;
            let all = before + told;
            self.board.wait(Count::RepeatedAcknowledged, all, STEP_TIME, "all updates are acknowledged")?;
            Ok((done, pace))
        })
    }
}
