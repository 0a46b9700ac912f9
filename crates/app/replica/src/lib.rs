//! A replica of the log in a program, for the master and for `mesos-log`: the machine of `messor_replog` with the network
//! of `messor_net` and the disk of `messor_store`. It decides nothing.
//!
//! The owner gives commands by [`Commands`] and hears [`Outcome`]s. Where the replicas are several, it also says who they
//! are, as ZooKeeper's group has them.

mod group;
mod replica;
mod tool;

pub use group::{belong, pids};
pub use replica::{Commands, Options, Outcome, PROCESS, Replica, StartError};
pub use tool::main;
