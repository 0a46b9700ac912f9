//! The lines that wait to be written. A program that logs never waits for its log: what does not fit is counted and
//! lost. Must not know what lines are.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::line::{Line, Severity};

/// Bytes that may wait; when they do, further lines are lost and counted.
pub const BOUND: usize = 4 << 20;
/// Lines of errors may go beyond the bound by this much.
pub const RESERVE: usize = 1 << 20;

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    bytes: usize,
    lost: u64,
    closed: bool,
    /// Batches taken and not yet written.
    writing: bool,
    /// The writer sleeps until something comes: only then it takes a call of the kernel to wake it.
    waits: bool,
}

/// What a writer gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub lines: Vec<Line>,
    /// How many lines were lost since the batch before.
    pub lost: u64,
    pub closed: bool,
}

#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    /// Something came.
    filled: Condvar,
    /// Everything was written.
    emptied: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that panics runs under this lock; a panic elsewhere must still be logged.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn push(&self, line: Line) {
        let mut state = self.state();
        let bound = if line.severity >= Severity::Error { BOUND + RESERVE } else { BOUND };
        if state.closed || state.bytes + line.text.len() > bound {
            state.lost += 1;
            return;
        }
        state.bytes += line.text.len();
        state.lines.push(line);
        let waits = std::mem::take(&mut state.waits);
        drop(state);
        if waits {
            self.filled.notify_one();
        }
    }

    /// Waits for lines, up to `timeout` if there is one. The writer calls `written` when it is done with them.
    pub fn take(&self, timeout: Option<Duration>) -> Batch {
        let mut state = self.state();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        while state.lines.is_empty() && state.lost == 0 && !state.closed {
            state.waits = true;
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    state = self
                        .filled
                        .wait_timeout(state, left)
                        .unwrap_or_else(|poisoned| poisoned.into_inner())
                        .0;
                }
                None => state = self.filled.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
            }
        }
        state.bytes = 0;
        state.writing = true;
        state.waits = false;
        Batch {
            lines: std::mem::take(&mut state.lines),
            lost: std::mem::take(&mut state.lost),
            closed: state.closed,
        }
    }

    pub fn written(&self) {
        self.state().writing = false;
        self.emptied.notify_all();
    }

    /// Waits until all lines are written, but no longer than `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        self.filled.notify_one();
        while !(state.lines.is_empty() && state.lost == 0) || state.writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.emptied.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// No further lines: the writer ends once the rest is written.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(severity: Severity, bytes: usize) -> Line {
        Line { severity, text: "x".repeat(bytes) }
    }

    #[test]
    fn a_full_queue_loses_lines_and_says_how_many() {
        let queue = Queue::default();
        for _ in 0..5 {
            queue.push(line(Severity::Info, BOUND / 4));
        }
        queue.push(line(Severity::Error, RESERVE));
        queue.push(line(Severity::Error, 1));
        let batch = queue.take(None);
        assert_eq!((batch.lines.len(), batch.lost), (5, 2));
        queue.push(line(Severity::Info, 1));
        assert_eq!(queue.take(None).lines.len(), 1, "there is room again");
    }

    #[test]
    fn waiting_ends() {
        let queue = Queue::default();
        assert_eq!(queue.take(Some(Duration::ZERO)), Batch::default());
        queue.written();
        queue.flush(Duration::from_secs(60));
        queue.push(line(Severity::Info, 1));
        queue.flush(Duration::ZERO);
        queue.close();
        queue.push(line(Severity::Info, 1));
        assert_eq!(queue.take(None), Batch { lines: vec![line(Severity::Info, 1)], lost: 1, closed: true });
    }
}
