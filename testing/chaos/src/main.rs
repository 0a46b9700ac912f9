//! `cargo run -p messor-chaos -- [--rounds N] [--seed N] [--masters N] [--agents N] [--folder DIR]`
//!
//! Needs root. Logs of every process and the framework's journal are in DIR.

use std::process::ExitCode;

use messor_chaos::{Options, missing, run};

fn main() -> ExitCode {
    let mut options =
        Options { rounds: 100, seed: fastrand::u64(1..1_000_000), masters: 3, agents: 2, folder: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = value.parse::<u64>();
        match (flag.as_str(), number) {
            ("--rounds", Ok(number)) => options.rounds = u32::try_from(number).unwrap_or(u32::MAX),
            ("--seed", Ok(number)) => options.seed = number,
            ("--masters", Ok(number)) => options.masters = usize::try_from(number).unwrap_or(3),
            ("--agents", Ok(number)) => options.agents = usize::try_from(number).unwrap_or(2),
            ("--folder", _) if !value.is_empty() => options.folder = Some(value.into()),
            _ => {
                eprintln!(
                    "'{flag} {value}' is not understood: see the first lines of testing/chaos/src/main.rs"
                );
                return ExitCode::from(64);
            }
        }
    }
    if let Some(why) = missing() {
        eprintln!("chaos cannot run here: {why}");
        return ExitCode::from(3);
    }
    println!("seed {}, {} rounds", options.seed, options.rounds);
    match run(&options) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(found) => {
            eprintln!("{found}");
            ExitCode::FAILURE
        }
    }
}
