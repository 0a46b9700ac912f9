//! The codecs alone: messages to bytes and back, tasks to JSON and back. What is read again is what was written.

use std::fmt::Debug;
use std::hint::black_box;

use messor_proto::mesos::master::response::GetTasks;
use messor_proto::{Version, Wire};

use crate::report::{Report, timed};
use crate::samples;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Tasks in one answer, and half as many as messages of each other kind.
    pub tasks: usize,
    pub rounds: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { tasks: 10_000, rounds: 30 }
    }
}

const TASKS_PER_AGENT: usize = 10;

pub fn run(options: &Options) -> Result<Report, String> {
    let Options { tasks, rounds } = *options;
    let mut report = Report::default();
    let answer = GetTasks {
        tasks: (0..tasks).map(|number| samples::task(number, number % 500)).collect(),
        ..Default::default()
    };
    for version in [Version::V1, Version::V0] {
        let text = answer.to_json(version);
        let shape = format!("{tasks} tasks, {:.2} MB of JSON {version:?}", text.len() as f64 / 1e6);
        for _ in 0..rounds {
            let took = timed(|| black_box(answer.to_json(version))).0;
            report.record(&shape, "write", took);
            let (took, read) = timed(|| GetTasks::from_json(&text, version));
            report.record(&shape, "read", took);
            same(&answer, &read.map_err(|error| error.to_string())?)?;
        }
    }
    binary("answer of tasks", &[answer], rounds, &mut report)?;
    let updates: Vec<_> =
        (0..tasks).map(|number| samples::finished(number, number % 500, "slave(1)@10.0.0.1:5051")).collect();
    binary("status updates", &updates, rounds, &mut report)?;
    let agents = (tasks / TASKS_PER_AGENT).max(1);
    let agents: Vec<_> = (0..agents).map(|agent| samples::reregistration(agent, TASKS_PER_AGENT)).collect();
    binary("agents with 10 tasks that come back", &agents, rounds, &mut report)?;
    Ok(report)
}

fn binary<M: Wire + PartialEq + Debug>(
    name: &str,
    messages: &[M],
    rounds: usize,
    report: &mut Report,
) -> Result<(), String> {
    let encoded: Vec<Vec<u8>> = messages.iter().map(Wire::encode_bytes).collect();
    let bytes: usize = encoded.iter().map(Vec::len).sum();
    let shape = format!("{} {name}, {:.2} MB of protobuf", messages.len(), bytes as f64 / 1e6);
    for _ in 0..rounds {
        let took = timed(|| messages.iter().for_each(|message| drop(black_box(message.encode_bytes())))).0;
        report.record(&shape, "write", took);
        let (took, read) =
            timed(|| encoded.iter().map(|bytes| M::decode_checked(bytes)).collect::<Result<Vec<M>, _>>());
        report.record(&shape, "read, required fields checked", took);
        for (message, read) in messages.iter().zip(read.map_err(|error| error.to_string())?) {
            same(message, &read)?;
        }
    }
    Ok(())
}

fn same<M: PartialEq + Wire>(written: &M, read: &M) -> Result<(), String> {
    if written == read { Ok(()) } else { Err(format!("a {} is another one when it is read again", M::NAME)) }
}
