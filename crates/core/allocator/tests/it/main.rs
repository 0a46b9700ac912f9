//! The allocator from outside: events in, offers out.

mod against_model;
mod cluster;
mod maintenance;
mod model;
mod preemption;
mod quota;
mod random;
mod scenarios;
mod sharing;
