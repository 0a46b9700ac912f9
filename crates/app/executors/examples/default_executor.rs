//! The default executor as a program of its own, for this crate's tests: the real one is `messor`.

fn main() -> std::process::ExitCode {
    messor_executors::default_executor(std::env::args_os().skip(1).collect())
}
