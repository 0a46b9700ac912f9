//! The one binary: called by any Mesos program name it is that program.
//!
//! The programs stand in `programs`, what `messor` itself can do in `commands`. Nothing here knows how a program works.

mod build;
mod commands;
mod documents;
mod install;
mod local;
mod programs;
mod wrapper;

use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// sysexits.h: the command line is wrong.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut words = Vec::new();
    for (number, word) in std::env::args_os().enumerate() {
        match word.into_string() {
            Ok(word) => words.push(word),
            // Flags are text; the file system's other names cannot be given.
            Err(word) => return refuse(&format!("messor: argument {number} is not UTF-8: {word:?}")),
        }
    }
    let called = words.first().map_or("", |path| path.rsplit('/').next().unwrap_or(path)).to_string();
    let words = words.get(1..).unwrap_or_default();
    match programs::named(&called) {
        Some(program) => program.run(words),
        // Somebody made a link by a name that Mesos has not.
        None if called.starts_with("mesos") => refuse(&programs::unknown(&called)),
        None => commands::run(words),
    }
}

/// Prints an answer. A reader that has seen enough and closed its end is no failure.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says why not, for the user's mistakes and for what is not built.
fn refuse(text: &str) -> ExitCode {
    // Nothing is left to tell anybody if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(USAGE)
}

#[cfg(test)]
mod tests {
    /// With the program's own allocator, which is not that of other tests.
    #[test]
    fn freed_memory_can_be_given_back() {
        let resident_kilobytes = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
        };
        let blocks: Vec<Box<[u8]>> = (0..100_000).map(|at| vec![at as u8; 600].into_boxed_slice()).collect();
        let most = resident_kilobytes();
        drop(blocks);
        messor_linux::memory::give_back();
        let now = resident_kilobytes();
        assert!(now + 40_000 < most, "{most} KB before, {now} now");
    }
}
