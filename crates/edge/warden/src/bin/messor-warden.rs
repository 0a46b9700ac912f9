//! The warden alone, for tests and measurements; what is installed is `mesos-containerizer warden`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    messor_warden::main(&arguments)
}
