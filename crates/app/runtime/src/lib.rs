//! What the daemons share: start-up from flags, the port, signals, and what a machine runs on.
//!
//! It must not know what a master or an agent is.

mod clock;
mod machine;
mod memory;
mod random;
mod start;
mod timers;

pub use clock::Clock;
pub use machine::{Driver, Load, Place, at_length, run_machine};
pub use memory::network_threads;
pub use random::{random_seed, random_uuid};
pub use start::{
    Address, Daemon, Failure, LevelLogging, Listening, complain, listen, serve, snapshot_pace, start,
};
pub use timers::Timers;
