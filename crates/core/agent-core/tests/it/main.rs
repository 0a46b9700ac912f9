//! The agent as a black box: events in, effects out, through a fake edge that records.

mod bad_input;
mod bounds;
mod build;
mod checkpoints;
mod crash;
mod determinism;
mod disk;
mod drains;
mod drivers;
mod edge;
mod exits;
mod groups;
mod kills;
mod launches;
mod laws;
mod operations;
mod oversubscription;
mod reconnection;
mod recovered_updates;
mod recovery;
mod refusals;
mod registration;
mod shutdown;
mod streams;
mod updates;
