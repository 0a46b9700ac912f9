//! The hierarchical DRF allocator as a deterministic machine: who is offered which resources of which agent.
//!
//! Work grows with what changed, not with agents × frameworks. Three things make that so. Agents are looked at only
//! after something changed that concerns them. The order of roles and frameworks is kept as shares change (`tree`),
//! and not made for each agent. And what was found out once, that a framework can use nothing of what an agent has
//! available, is remembered in a bit (`agent`) until either of them changes, so that frameworks which declined
//! are passed over 64 at a time.
//!
//! The rejected alternative, that of Apache Mesos, asks for each agent all roles and for each role all frameworks,
//! each time: simple, and quadratic where most frameworks want nothing.

mod agent;
mod allocator;
mod audit;
mod bits;
mod constraints;
mod event;
mod framework;
mod judge;
mod ledger;
mod load;
mod maintenance;
mod metrics;
mod options;
mod passes;
mod preemption;
mod run;
mod tree;

pub use allocator::Allocator;
pub use constraints::{OfferConstraints, OfferConstraintsError, RegexLimits};
pub use event::{AgentDetails, Effect, Event, FrameworkDetails, refuse_duration};
pub use options::{Options, Priorities, SorterKind, Sorters};
pub use preemption::{Held, Preemption, Revocable};
