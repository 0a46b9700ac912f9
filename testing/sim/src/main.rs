//! Replays one run: `cargo run -p messor-sim -- --seed 4711 --trace`.

use std::process::ExitCode;

use messor_sim::{Options, World};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut options = Options::of_seed(0);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match (word.as_str(), word.as_str() == "--seed") {
            ("--trace", _) => options.trace = true,
            (_, true) => match rest.next().and_then(|seed| seed.parse().ok()) {
                Some(seed) => options.seed = seed,
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    let seed = options.seed;
    let mut world = World::new(options);
    world.run();
    println!("seed {seed}: {}", world.scheduler.waiting());
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: messor-sim [--seed NUMBER] [--trace]");
    ExitCode::from(64)
}
