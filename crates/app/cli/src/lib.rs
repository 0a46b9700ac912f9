//! mesos-execute, mesos-resolve and, later, the mesos command line.
