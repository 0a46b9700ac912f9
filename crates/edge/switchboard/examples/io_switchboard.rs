//! The program as one of its own, for this crate's tests: the real one is `messor`.

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    messor_switchboard::main(&words)
}
