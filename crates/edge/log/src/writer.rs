//! The thread that writes lines: to standard error and to files. It alone waits for them.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use jiff::Zoned;

use crate::files::LogFiles;
use crate::layer::thread;
use crate::line::{Line, Severity};
use crate::queue::Queue;

/// After a batch, so long the next lines are left to come together: else this thread would be woken for each.
const GATHER: Duration = Duration::from_millis(2);

pub struct Writer {
    pub queue: Arc<Queue>,
    /// Standard error; `quiet` leaves it to fatal lines.
    pub console: Box<dyn Write + Send>,
    pub quiet: bool,
    pub files: Option<LogFiles>,
    /// How long lines for files may be held back.
    pub hold: Duration,
}

impl Writer {
    /// Writes until the queue is closed. `_ended` is dropped when that is done.
    pub fn run(mut self, _ended: Sender<()>) {
        let mut held_since: Option<Instant> = None;
        loop {
            let wait = held_since.map(|since| self.hold.saturating_sub(since.elapsed()));
            let batch = self.queue.take(wait);
            let now = crate::time::now();
            self.write(&batch.lines, &now);
            if batch.lost > 0 {
                let text =
                    format!("{} lines were lost, as they came faster than they could be written", batch.lost);
                self.write(&[Line::new(Severity::Warning, &now, thread(), file!(), line!(), &text)], &now);
            }
            let since = *held_since.get_or_insert_with(Instant::now);
            // Only ordinary lines may be held back, as by glog.
            let urgent = batch.closed || batch.lines.iter().any(|line| line.severity > Severity::Info);
            if urgent || since.elapsed() >= self.hold {
                if let Some(files) = &mut self.files {
                    files.flush(&now);
                }
                held_since = None;
            }
            self.queue.written();
            if batch.closed {
                return;
            }
            if !batch.lines.is_empty() && !urgent {
                std::thread::sleep(GATHER);
            }
        }
    }

    fn write(&mut self, lines: &[Line], now: &Zoned) {
        let mut text = String::new();
        for line in lines {
            if !self.quiet || line.severity == Severity::Fatal {
                text.push_str(&line.text);
            }
            if let Some(files) = &mut self.files {
                files.add(line, now);
            }
        }
        // Standard error may be closed, or a pipe that nobody reads any more: that is no reason to stop.
        let _ = self.console.write_all(text.as_bytes()).and_then(|()| self.console.flush());
    }
}
