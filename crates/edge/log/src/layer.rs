//! From an event of `tracing` to a line in the queue.

use std::fmt::Write as _;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::level::LevelHandle;
use crate::line::Line;
use crate::queue::Queue;

pub struct LogLayer {
    pub level: LevelHandle,
    pub queue: Arc<Queue>,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // The level may change later, so only what is wanted at every level is decided for good.
        if self.level.always(metadata) { Interest::always() } else { Interest::sometimes() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.level.now(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut message = Message::default();
        event.record(&mut message);
        message.text.push_str(&message.fields);
        self.queue.push(Line::new(
            (*metadata.level()).into(),
            &crate::time::now(),
            thread(),
            message.file.as_deref().or(metadata.file()).unwrap_or("unknown"),
            message.number.or(metadata.line()).unwrap_or(0),
            &message.text,
        ));
    }
}

/// The thread as the kernel counts it.
pub fn thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// The message, and the other fields behind it as ` name=value`. The fields `log.file` and `log.line` say where a line
/// comes from that somebody else writes to the log, as drivers do for their machines.
#[derive(Default)]
struct Message {
    text: String,
    fields: String,
    file: Option<String>,
    number: Option<u32>,
}

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => self.text.write_str(value),
            "log.file" => {
                self.file = Some(value.to_string());
                Ok(())
            }
            name => write!(self.fields, " {name}={value}"),
        };
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "log.line" => self.number = u32::try_from(value).ok(),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::line::Severity;

    /// What a log gets of what `say` says, without times and threads.
    fn said(say: impl FnOnce()) -> Vec<String> {
        let queue = Arc::new(Queue::default());
        let layer = LogLayer { level: LevelHandle::new(Severity::Info, 0), queue: Arc::clone(&queue) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        let lines = queue.take(None).lines;
        queue.written();
        lines
            .into_iter()
            .map(|line| line.text.split_whitespace().skip(3).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn lines_show_where_they_were_said() {
        let lines = said(|| {
            tracing::info!("own");
            tracing::warn!(log.file = "crates/core/agent-core/src/tasks.rs", log.line = 42_u32, "another's");
            tracing::info!(count = 3_u64, name = "x", "fields");
        });
        assert!(lines[0].starts_with("layer.rs:") && lines[0].ends_with("] own"), "{lines:?}");
        assert_eq!(lines[1], "tasks.rs:42] another's");
        assert!(lines[2].ends_with("] fields count=3 name=x"), "{lines:?}");
    }
}
