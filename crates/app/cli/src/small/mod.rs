//! The small programs beside `mesos`: mesos-ps, mesos-cat, mesos-tail, mesos-scp and mesos-usage.
//!
//! They take the flags that those of Apache Mesos take, and use what `mesos` has. Here is what they share.

mod ps;
mod sandbox;
mod scp;
mod usage;

use std::io::{self, Write};
use std::process::ExitCode;

use messor_flags::{CatFlags, Parsed, Program, PsFlags, Request, ScpFlags, TailFlags, UsageFlags};

use crate::console::{Console, ConsoleError, Screen};

#[derive(Debug, thiserror::Error)]
pub enum SmallError {
    #[error(transparent)]
    Flag(#[from] messor_flags::FlagError),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error("{0}")]
    Wrong(String),
    #[error("it cannot be printed: {0}")]
    Print(#[from] io::Error),
}

/// Lists tasks with what they use.
pub fn ps(words: &[String]) -> ExitCode {
    program::<PsFlags>(words, |parsed, out| {
        with_console(&parsed.flags.master, out, |console| console.processes())
    })
}

/// Prints a file of a sandbox.
pub fn cat(words: &[String]) -> ExitCode {
    program::<CatFlags>(words, |parsed, out| {
        let place = &parsed.flags.place;
        with_console(&place.master, out, |console| console.print_file(place, false))
    })
}

/// Prints a file of a sandbox as it grows.
pub fn tail(words: &[String]) -> ExitCode {
    program::<TailFlags>(words, |parsed, out| {
        let place = &parsed.flags.place;
        with_console(&place.master, out, |console| console.print_file(place, true))
    })
}

/// Copies files to the machines of all agents.
pub fn scp(words: &[String]) -> ExitCode {
    program::<ScpFlags>(words, |parsed, out| {
        let wanted = scp::Wanted::of(&parsed.positional)?;
        with_console(&parsed.flags.master, out, |console| console.copy_to_agents(&wanted))
    })
}

/// Measures a tree of processes.
pub fn usage(words: &[String]) -> ExitCode {
    program::<UsageFlags>(words, |parsed, out| usage::print(&parsed.flags, out))
}

fn with_console(
    master: &str,
    out: &mut dyn Write,
    work: impl FnOnce(&mut Console<'_, '_>) -> Result<(), ConsoleError>,
) -> Result<(), SmallError> {
    let mut screen = Screen::new(false, None, out);
    let mut console = Console::of_master(master, &mut screen)?;
    Ok(work(&mut console)?)
}

fn program<P: Program>(
    words: &[String],
    work: impl FnOnce(&Parsed<P>, &mut dyn Write) -> Result<(), SmallError>,
) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = run(words, work, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough.
        Err(SmallError::Print(error) | SmallError::Console(ConsoleError::Print(error)))
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // What was printed before comes first.
            let _ = out.flush();
            eprintln!("{}: {error}", P::NAME);
            ExitCode::FAILURE
        }
    }
}

fn run<P: Program>(
    words: &[String],
    work: impl FnOnce(&Parsed<P>, &mut dyn Write) -> Result<(), SmallError>,
    out: &mut dyn Write,
) -> Result<(), SmallError> {
    let parsed = match messor_flags::parse::<P>(words, &messor_log::Surroundings)? {
        Request::Run(parsed) => parsed,
        Request::Help(text) | Request::Version(text) => return Ok(writeln!(out, "{text}")?),
    };
    for warning in &parsed.warnings {
        eprintln!("{}: {warning}", P::NAME);
    }
    work(&parsed, out)
}
