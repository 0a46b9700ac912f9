//! The runner: builds the targets with coverage and lets libFuzzer work on one for a while.
//!
//! What it finds of new inputs goes to `target/fuzz/TARGET/corpus`, inputs that fail to `target/fuzz/TARGET/failed-…`.

use std::path::Path;
use std::process::{Command, ExitCode};

/// Coverage as libFuzzer wants it. These are passes of LLVM that the stable compiler has too; only the sanitizers
/// need another one, and safe Rust has little use for them.
const COVERAGE: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("messor-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let names = || messor_fuzz::TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let (name, seconds) = match arguments {
        [name] => (name, 60),
        [name, seconds] => {
            (name, seconds.parse().map_err(|_| format!("'{seconds}' is no number of seconds"))?)
        }
        _ => return Err(format!("usage: messor-fuzz TARGET [SECONDS], with one of {}", names())),
    };
    if messor_fuzz::target(name).is_none() {
        return Err(format!("there is no target '{name}': use one of {}", names()));
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.join("../../target/fuzz").join(name);
    let corpus = found.join("corpus");
    std::fs::create_dir_all(&corpus).map_err(|error| format!("cannot make {}: {error}", corpus.display()))?;
    // A named platform keeps the coverage flags from build scripts and macros, which run without libFuzzer.
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "messor-fuzz", "--bin", "libfuzzer", "--features", "libfuzzer"])
        .args(["--target", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
        .args(["--config", "profile.dev.opt-level=2", "--"])
        .arg(&corpus)
        .arg(here.join("corpus").join(name))
        .arg(format!("-artifact_prefix={}/failed-", found.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-max_len=4096", "-timeout=10", "-print_final_stats=1"])
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .env("MESSOR_FUZZ_TARGET", name)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
