//! Whole tasks on agents with `--launcher=linux` and isolators on this host's control groups of version 1: what they get, what
//! happens when they take more, what they cannot do, and that nothing is left of them.

mod abuse;
mod defaults;
mod host;
mod measures;
mod pods;
mod races;
mod restarts;
mod starts;
mod tasks;
mod volume_groups;
