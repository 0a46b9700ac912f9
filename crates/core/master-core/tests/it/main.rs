//! Scenarios: what is sent to a master, and what it does.

mod agents;
mod bad_input;
mod determinism;
mod drivers;
mod frameworks;
mod operators;
mod reconciling;
mod tasks;
mod world;
