//! mesos-agent: wires the agent machine to its edges.
