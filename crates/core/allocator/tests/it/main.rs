//! The allocator from outside: events in, offers out.

mod cluster;
mod quota;
mod random;
mod scenarios;
mod sharing;
