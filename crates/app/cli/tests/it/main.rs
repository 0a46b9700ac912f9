//! mesos-execute and mesos-resolve against a master made of threads.

mod execute;
mod fake;
