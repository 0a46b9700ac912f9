//! Measures Messor and Apache Mesos over the wire.

fn main() {}
