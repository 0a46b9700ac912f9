//! The whole cluster on one thread from one seed, with faults and invariants.
//!
//! The machines are the real ones: masters with their allocators, registrars, replicas of the log and election; agents with
//! their detectors. Simulated are network, ZooKeeper, disks, clocks, executors, schedulers (drivers, and keepers of
//! reservations and volumes by HTTP) and operators, who change quota and weights, drain agents and take machines down.
//!
//! Faults: processes and whole machines crash, disks lose what was not synced, fail a write or die, messages are lost, doubled, late and
//! out of order where the protocol has to bear it, every message of libprocess may come twice, connections break, hosts are cut off both ways or one way, ZooKeeper
//! goes away and ends sessions, executors are killed, schedulers fail over, clocks drift.

mod agenda;
mod agents;
mod checks;
mod deeds;
mod disks;
mod executors;
mod faults;
mod http;
mod invariants;
mod keeper;
mod ledger;
mod maintenance;
mod masters;
mod network;
mod operators;
mod plans;
mod scheduler;
mod world;
mod zk;
mod zookeeper;

pub use world::{KEEPERS, Options, Report, World};
