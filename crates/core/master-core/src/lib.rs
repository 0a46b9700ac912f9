//! The master as a deterministic machine: agents, frameworks, tasks, offers.
