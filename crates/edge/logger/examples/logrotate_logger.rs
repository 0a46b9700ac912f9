//! The program as a file of its own, for the tests of this crate.

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    messor_logger::main(&words)
}
