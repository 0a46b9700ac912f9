//! The life of every container as a deterministic machine.
//!
//! A container begins, is prepared by its isolators one after the other, forked, held to what it may by each of them,
//! gets its files, runs; and from whatever point it is at when it is to end, it ends: first what is nested in it, then
//! every process, then each isolator that prepared it cleans up, in reverse order. What the agent of before left is
//! taken up again or ended in the same way.
//!
//! It must not know processes, files, control groups, what an isolator does, agents, HTTP or clocks: each step is an
//! effect whose outcome comes back as an event, and at most one step of a container is under way at any time.

mod container;
mod containers;
mod destroying;
mod effect;
mod event;
mod launching;
mod recovery;

pub use container::State;
pub use containers::{Containers, Standing};
pub use effect::{Answer, Effect, Failure, Step};
pub use event::{Event, Found, IsolatorTraits, Kind, Outcome, Process, Spec, Ticket};
