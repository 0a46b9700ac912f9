//! From an event of `tracing` to a line in the queue.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Zoned;
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
            &Zoned::now(),
            thread(),
            metadata.file().unwrap_or("unknown"),
            metadata.line().unwrap_or(0),
            &message.text,
        ));
    }
}

/// The thread as the kernel counts it.
pub fn thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// The message, and the other fields behind it as ` name=value`.
#[derive(Default)]
struct Message {
    text: String,
    fields: String,
}

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => self.text.write_str(value),
            name => write!(self.fields, " {name}={value}"),
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
