//! `cgroups/blkio`: what a container reads from and writes to disks. It is counted, not limited.

use std::collections::BTreeMap;

use messor_linux::cgroups::{Group, Version};
use messor_proto::mesos::ResourceStatistics;
use messor_proto::mesos::cgroup_info::blkio::{Operation, Statistics, Value, cfq, throttling};
use messor_proto::mesos::device::Number;

use super::controller::{At, Controller};
use crate::isolator::IsolatorError;

pub struct Blkio;

/// Major and minor number; None: all disks.
type Device = Option<(u64, u64)>;

/// One of the lists of a disk.
type List = fn(&mut cfq::Statistics) -> &mut Vec<Value>;

/// One line of a file of version 1: `8:0 Read 4096`, `8:0 4096`, or without a device.
fn parse(line: &str) -> Option<(Device, Value)> {
    let mut words = line.split_ascii_whitespace().peekable();
    let device = words
        .peek()?
        .split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    if device.is_some() {
        words.next();
    }
    let mut word = words.next()?;
    let mut operation = Operation::Unknown;
    if let Some(number) = words.next() {
        operation = match word {
            "Total" => Operation::Total,
            "Read" => Operation::Read,
            "Write" => Operation::Write,
            "Sync" => Operation::Sync,
            "Async" => Operation::Async,
            "Discard" => Operation::Discard,
            _ => return None,
        };
        word = number;
    } else if operation == Operation::Unknown && word.parse::<u64>().is_err() {
        return None;
    }
    Some((device, Value { op: Some(operation as i32), value: Some(word.parse().ok()?) }))
}

/// The lines of a file; none where the kernel has no such file.
fn values(group: &Group, name: &str) -> Result<Vec<(Device, Value)>, IsolatorError> {
    let text = group.read_if_there(name)?.unwrap_or_default();
    Ok(text.lines().filter_map(parse).collect())
}

/// Of the scheduler CFQ, which kernels have up to 5.0; `suffix` for those that count what is below as well.
fn scheduler(group: &Group, suffix: &str) -> Result<Vec<cfq::Statistics>, IsolatorError> {
    let mut all: BTreeMap<Device, cfq::Statistics> = BTreeMap::new();
    let file = |name: &str| format!("blkio.{name}{suffix}");
    for (device, value) in values(group, &file("time"))? {
        all.entry(device).or_default().time = value.value;
    }
    for (device, value) in values(group, &file("sectors"))? {
        all.entry(device).or_default().sectors = value.value;
    }
    let lists: [(&str, List); 6] = [
        ("io_service_bytes", |of| &mut of.io_service_bytes),
        ("io_serviced", |of| &mut of.io_serviced),
        ("io_service_time", |of| &mut of.io_service_time),
        ("io_wait_time", |of| &mut of.io_wait_time),
        ("io_merged", |of| &mut of.io_merged),
        ("io_queued", |of| &mut of.io_queued),
    ];
    for (name, list) in lists {
        for (device, value) in values(group, &file(name))? {
            list(all.entry(device).or_default()).push(value);
        }
    }
    for (device, statistics) in &mut all {
        statistics.device = number(*device);
    }
    Ok(in_order(all))
}

fn number(device: Device) -> Option<Number> {
    device.map(|(major_number, minor_number)| Number { major_number, minor_number })
}

/// Disk by disk, and then the sums, which are there always.
fn in_order<T: Default>(mut all: BTreeMap<Device, T>) -> Vec<T> {
    let sums = all.remove(&None).unwrap_or_default();
    all.into_values().chain([sums]).collect()
}

fn throttled(group: &Group) -> Result<Vec<throttling::Statistics>, IsolatorError> {
    let mut all: BTreeMap<Device, throttling::Statistics> = BTreeMap::new();
    for (device, value) in values(group, "blkio.throttle.io_serviced")? {
        all.entry(device).or_default().io_serviced.push(value);
    }
    for (device, value) in values(group, "blkio.throttle.io_service_bytes")? {
        all.entry(device).or_default().io_service_bytes.push(value);
    }
    for (device, statistics) in &mut all {
        statistics.device = number(*device);
    }
    Ok(in_order(all))
}

/// Version 2 counts once: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
fn counted(group: &Group) -> Result<Vec<throttling::Statistics>, IsolatorError> {
    let mut all: BTreeMap<Device, throttling::Statistics> = BTreeMap::new();
    for line in group.read("io.stat")?.lines() {
        let mut words = line.split_ascii_whitespace();
        let device = words.next().and_then(|word| word.split_once(':'));
        let device = device.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let Some(device) = device else { continue };
        let pairs = words.filter_map(|word| word.split_once('='));
        let pairs: BTreeMap<&str, u64> =
            pairs.filter_map(|(name, text)| Some((name, text.parse().ok()?))).collect();
        let list = |suffix: &str| -> Vec<Value> {
            let of = |letter: &str| pairs.get(format!("{letter}{suffix}").as_str()).copied().unwrap_or(0);
            let (read, write, discard) = (of("r"), of("w"), of("d"));
            let sum = read.saturating_add(write).saturating_add(discard);
            let named = [
                (Operation::Read, read),
                (Operation::Write, write),
                (Operation::Discard, discard),
                (Operation::Total, sum),
            ];
            let value = |(operation, value)| Value { op: Some(operation as i32), value: Some(value) };
            named.into_iter().map(value).collect()
        };
        all.insert(
            Some(device),
            throttling::Statistics {
                device: number(Some(device)),
                io_serviced: list("ios"),
                io_service_bytes: list("bytes"),
            },
        );
    }
    let sum = |list: fn(&throttling::Statistics) -> &Vec<Value>| -> Vec<Value> {
        let values = all.values().flat_map(list);
        let total =
            values.filter(|value| value.op() == Operation::Total).filter_map(|value| value.value).sum();
        vec![Value { op: Some(Operation::Total as i32), value: Some(total) }]
    };
    let sums = throttling::Statistics {
        device: None,
        io_serviced: sum(|of| &of.io_serviced),
        io_service_bytes: sum(|of| &of.io_service_bytes),
    };
    all.insert(None, sums);
    Ok(in_order(all))
}

impl Controller for Blkio {
    fn name(&self) -> &'static str {
        "blkio"
    }

    fn usage(&self, at: &At<'_>, statistics: &mut ResourceStatistics) -> Result<(), IsolatorError> {
        statistics.blkio_statistics = Some(match at.group.version() {
            Version::V1 => Statistics {
                cfq: scheduler(at.group, "")?,
                cfq_recursive: scheduler(at.group, "_recursive")?,
                throttling: throttled(at.group)?,
            },
            Version::V2 => Statistics { throttling: counted(at.group)?, ..Statistics::default() },
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let value = |op: Operation, value| Value { op: Some(op as i32), value: Some(value) };
        assert_eq!(parse("8:0 Read 4096"), Some((Some((8, 0)), value(Operation::Read, 4096))));
        assert_eq!(parse("253:16 Async 1"), Some((Some((253, 16)), value(Operation::Async, 1))));
        assert_eq!(parse("8:0 17"), Some((Some((8, 0)), value(Operation::Unknown, 17))));
        assert_eq!(parse("Total 99"), Some((None, value(Operation::Total, 99))));
        assert_eq!((parse(""), parse("8:0 Sideways 1"), parse("Total")), (None, None, None));
    }
}
