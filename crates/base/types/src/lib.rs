//! Ids, PIDs, roles, attributes and the algebra of Resources.

mod pid;

pub use pid::{Pid, PidError};
