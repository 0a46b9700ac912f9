//! `mesos-containerizer` alone, for tests; what is installed is the one binary under that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    messor_containerizer::main(&arguments)
}
