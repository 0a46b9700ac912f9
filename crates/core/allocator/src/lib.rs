//! The hierarchical DRF allocator as a deterministic machine.

mod event;

pub use event::{AgentDetails, Effect, Event, FrameworkDetails, refuse_duration};
