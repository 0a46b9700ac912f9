//! `mesos-log benchmark`: appends of the sizes that a file names, one after another, each measured.

use std::fmt::Write;
use std::time::{Duration, Instant};

use messor_flags::LogToolFlags;
use messor_replog::{Answer, Command};
use messor_runtime::{Clock, Daemon, random_seed};
use messor_stdx::{Random, Time};
use tokio::sync::mpsc;

use super::ToolError;
use super::replica::Member;
use crate::replica::{Outcome, Replica};

const ELECTION: Duration = Duration::from_secs(15);
const APPEND: Duration = Duration::from_secs(10);

pub fn run(daemon: &Daemon<LogToolFlags>) -> Result<(), ToolError> {
    let flags = &daemon.flags;
    let input = flags.input.as_ref().ok_or(ToolError::Required("input"))?.as_str().to_string();
    let output = flags.output.as_ref().ok_or(ToolError::Required("output"))?.as_str().to_string();
    let sizes = sizes(&input)?;
    let kind = flags.data.clone();
    Member::of(daemon)?.run(daemon, |replica, outcomes| measure(replica, outcomes, sizes, kind, output))
}

fn sizes(input: &str) -> Result<Vec<u64>, ToolError> {
    let text = std::fs::read_to_string(input);
    let text = text.map_err(|error| ToolError::File { action: "read", path: input.to_string(), error })?;
    let size = |(line, text): (usize, &str)| {
        messor_stdx::parse_size(text.trim()).map_err(|error| ToolError::Trace { line: line + 1, error })
    };
    text.lines().enumerate().map(size).collect()
}

fn data(kind: &str, size: u64, random: &mut Random) -> Vec<u8> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    match kind {
        "zero" => vec![0; size],
        "one" => vec![0xff; size],
        _ => std::iter::repeat_with(|| random.uuid()).flatten().take(size).collect(),
    }
}

async fn measure(
    replica: Replica,
    mut outcomes: mpsc::UnboundedReceiver<Outcome>,
    sizes: Vec<u64>,
    kind: String,
    output: String,
) -> Result<(), ToolError> {
    let clock = Clock::start();
    let commands = replica.commands();
    commands.command(0, Command::Elect);
    answer(&mut outcomes, ELECTION).await?;
    let mut random = Random::new(random_seed());
    let mut lines = String::new();
    let begin = Instant::now();
    for (ticket, size) in (1..).zip(&sizes) {
        let data = data(&kind, *size, &mut random);
        let from = Instant::now();
        commands.command(ticket, Command::Append(data));
        answer(&mut outcomes, APPEND).await?;
        let milliseconds = from.elapsed().as_secs_f64() * 1000.0;
        // Writing to a text does not fail.
        let _ = writeln!(lines, "{} Appended {size} bytes in {milliseconds} ms", date(clock.now()));
    }
    println!("Total number of appends: {}", sizes.len());
    println!("Total time used: {}", messor_stdx::format_duration(begin.elapsed()));
    std::fs::write(&output, lines).map_err(|error| ToolError::File { action: "write", path: output, error })
}

fn date(now: Time) -> String {
    let nanoseconds = i128::from(now.as_nanos());
    jiff::Timestamp::from_nanosecond(nanoseconds)
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M:%S%.f+00:00").to_string())
}

async fn answer(
    outcomes: &mut mpsc::UnboundedReceiver<Outcome>,
    within: Duration,
) -> Result<Answer, ToolError> {
    let failed = |text: &dyn std::fmt::Display| Err(ToolError::Log(text.to_string()));
    match tokio::time::timeout(within, outcomes.recv()).await {
        Ok(Some(Outcome::Done { outcome: Ok(answer), .. })) => Ok(answer),
        Ok(Some(Outcome::Done { outcome: Err(failure), .. })) => failed(&failure),
        Ok(Some(Outcome::Failed { reason })) => failed(&reason),
        Ok(None) => failed(&"its thread ended"),
        Err(_) => failed(&format!("no answer within {}", messor_stdx::format_duration(within))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_as_large_as_it_is_told() {
        let mut random = Random::new(1);
        assert_eq!(data("zero", 3, &mut random), [0; 3]);
        assert_eq!(data("one", 2, &mut random), [0xff; 2]);
        assert_eq!(data("random", 100, &mut random).len(), 100);
    }

    #[test]
    fn dates_are_those_of_libprocess() {
        assert_eq!(date(Time::from_nanos(1_500_000_000)), "1970-01-01 00:00:01.5+00:00");
    }
}
