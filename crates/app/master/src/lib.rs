//! mesos-master: wires the master machine to its edges.
