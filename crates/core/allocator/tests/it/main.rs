//! The allocator from outside: events in, offers out.

mod cluster;
mod random;
mod scenarios;
mod sharing;
