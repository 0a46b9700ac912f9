//! `cargo xtask codegen` makes the Rust code of `crates/base/proto`; its tests keep the rules of the house.

mod codegen;
#[cfg(test)]
mod flags;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (task, option) = (arguments.next(), arguments.next());
    let outcome = match (task.as_deref(), option.as_deref()) {
        (Some("codegen"), None) => codegen::run(),
        (Some("codegen"), Some("--snapshot")) => codegen::run().and_then(|()| codegen::write_snapshot()),
        _ => Err("usage: cargo xtask codegen [--snapshot]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
