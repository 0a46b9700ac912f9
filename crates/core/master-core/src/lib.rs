//! The master as a deterministic machine: agents, frameworks, tasks, offers.
//!
//! It must not know sockets, HTTP, JSON, clocks or files: events come in, effects go out.

mod effect;
mod event;
mod view;

pub use effect::{Effect, Level, Outcome};
pub use event::{Event, OperatorCall, ReplyId, StreamId, Timer};
pub use view::{AgentView, FrameworkRecord, FrameworkView, View};
