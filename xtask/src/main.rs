//! `cargo xtask codegen` makes the Rust code of `crates/base/proto`; its tests keep the rules of the house.

mod codegen;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("codegen") => codegen::run(),
        _ => Err("usage: cargo xtask codegen".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
