//! mesos-executor: runs and checks the task of a command executor.
