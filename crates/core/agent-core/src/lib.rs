//! The agent as a deterministic machine: executors, tasks, updates.
