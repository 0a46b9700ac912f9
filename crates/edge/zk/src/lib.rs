//! ZooKeeper: carries out what the machines of `messor-election` want, and tells them what came of it.
//!
//! Each machine has a session of its own, as the parts of Apache Mesos have. It runs as a task of the tokio runtime; what it
//! says comes out of `Running::outcomes`. This crate must not know what a leader does, nor decide who it is.

mod master;
mod running;
mod session;

pub use master::{FindError, MasterInfoError, find_master, master_info, master_znode};
pub use messor_election::{
    Config, Contender, ContenderOutcome, Detector, DetectorOutcome, Group, GroupOutcome, Leader, Url,
    UrlError,
};
pub use running::{Lease, Running, contend, detect, join, run};
