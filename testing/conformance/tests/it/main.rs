//! End-to-end tests: real processes, real frameworks, the real Apache Mesos 1.11.0 where it is there.

mod bad_input;
mod clients;
mod flows;
mod footprint;
mod probes;
mod replicated_log;
mod run;
mod tasks;
mod zookeeper;
