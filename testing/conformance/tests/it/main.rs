//! End-to-end tests: real processes, real frameworks, the real Apache Mesos 1.11.0 where it is there.

mod agents;
mod allocation;
mod artifacts;
mod attach;
mod bad_input;
mod clients;
mod console;
mod disks;
mod domain_sockets;
mod election;
mod faults;
mod flows;
mod footprint;
mod linux_launcher;
mod log_tool;
mod loggers;
mod probes;
mod recovery;
mod replicated_log;
mod run;
mod scenarios;
mod take_over;
mod tasks;
mod terminals;
mod tmux;
mod zookeeper;
