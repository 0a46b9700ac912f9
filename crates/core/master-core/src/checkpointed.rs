//! What an agent keeps over restarts is counted by one function, here and on the agent.

pub(crate) use messor_types::apply_checkpointed;
