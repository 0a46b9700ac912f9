//! The agent as a deterministic machine: executors, tasks, updates.
//!
//! It must not know sockets, HTTP, JSON, processes, clocks or files: events come in, effects go out.

mod effect;
mod event;
mod record;
mod view;

pub use effect::{ContainerCommand, Effect, Launch, Level, Outcome};
pub use event::{ContainerEvent, Event, LaunchFailure, ReplyId, StreamId, Timer};
pub use record::Record;
pub use view::{ExecutorState, ExecutorView, FrameworkView, View};
