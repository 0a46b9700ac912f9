//! The one binary: called by any Mesos program name it is that program.

fn main() {}
