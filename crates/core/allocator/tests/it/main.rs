//! The allocator from outside: events in, offers out.

mod cluster;
mod maintenance;
mod quota;
mod random;
mod scenarios;
mod sharing;
