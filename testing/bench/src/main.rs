//! `cargo run --release -p messor-bench -- allocator [--shape NAME]... [--runs N] [--rounds N] [--json]`
//!
//! `--shape`, as often as one likes: only these; `--list` names them. `--rounds`: how often agents are offered and
//! declined in a run, in place of the shape's own number.

use std::process::ExitCode;

use messor_bench::allocator::{Options, SHAPES, run};

// As in `messor`, or the figures would be another program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "usage: messor-bench allocator [--shape NAME]... [--runs N] [--rounds N] [--json] [--list]";

fn options(mut arguments: impl Iterator<Item = String>) -> Result<(Options, bool), String> {
    let mut options = Options::default();
    let mut json = false;
    match arguments.next().as_deref() {
        Some("allocator") => {}
        other => return Err(format!("'{}' is not measured", other.unwrap_or_default())),
    }
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{flag} needs a value"));
        let number = |text: String| text.parse::<usize>().ok().filter(|number| *number > 0);
        match flag.as_str() {
            "--json" => json = true,
            "--list" => {
                for shape in SHAPES {
                    println!("{}", shape.name);
                }
                std::process::exit(0);
            }
            "--shape" => {
                let name = value()?;
                if !SHAPES.iter().any(|shape| shape.name == name) {
                    return Err(format!("there is no shape '{name}': see --list"));
                }
                options.shapes.push(name);
            }
            "--runs" => options.runs = number(value()?).ok_or("--runs is a number from 1")?,
            "--rounds" => options.rounds = Some(number(value()?).ok_or("--rounds is a number from 1")?),
            _ => return Err(format!("'{flag}' is not understood")),
        }
    }
    Ok((options, json))
}

fn main() -> ExitCode {
    let (options, json) = match options(std::env::args().skip(1)) {
        Ok(understood) => understood,
        Err(error) => {
            eprintln!("messor-bench: {error}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match run(&options) {
        Ok(report) if json => println!("{}", report.to_json()),
        Ok(report) => print!("{report}"),
        Err(error) => {
            eprintln!("messor-bench: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
