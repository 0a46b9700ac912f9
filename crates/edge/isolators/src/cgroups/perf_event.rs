//! `cgroups/perf_event`: what the processor and the kernel count of a container's work, sampled from time to time by the
//! program perf.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use messor_flags::AgentFlags;
use messor_proto::mesos::{PerfStatistics, ResourceStatistics};
use messor_proto::{Version, Wire};
use messor_types::ContainerId;

use super::CgroupsError;
use super::controller::{At, Controller};
use crate::isolator::{Container, IsolatorError};

const FLAG: &str = "perf_events";

/// What perf prints of one sample goes no further than this; with more, the sample is left out.
const OUTPUT_LIMIT_BYTES: usize = 8 << 20;

pub struct PerfEvent {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    events: Vec<String>,
    interval: Duration,
    duration: Duration,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    ended: bool,
    /// Each container with its group, from the root of the hierarchy, and its last sample.
    containers: BTreeMap<ContainerId, (String, Option<PerfStatistics>)>,
}

impl PerfEvent {
    pub fn make(flags: &AgentFlags) -> Result<PerfEvent, CgroupsError> {
        let settings = &flags.containers;
        let Some(list) = &settings.perf_events else { return Ok(PerfEvent { shared: None }) };
        let events: Vec<String> =
            list.split(',').map(str::trim).filter(|event| !event.is_empty()).map(str::to_string).collect();
        if events.iter().any(|event| event.starts_with('-')) || events.is_empty() {
            return Err(CgroupsError::Flag(FLAG, format!("'{list}' is not a list of events")));
        }
        if settings.perf_duration > settings.perf_interval {
            let error = "a sample must not be longer than --perf_interval".to_string();
            return Err(CgroupsError::Flag("perf_duration", error));
        }
        let mut arguments = vec!["stat".to_string()];
        for event in &events {
            arguments.extend(["--event".to_string(), event.clone()]);
        }
        arguments.push("true".to_string());
        perf(&arguments).map_err(|error| CgroupsError::Flag(FLAG, error))?;
        let shared = Arc::new(Shared {
            events,
            interval: settings.perf_interval,
            duration: settings.perf_duration,
            state: Mutex::default(),
            ended: Condvar::new(),
        });
        let run = shared.clone();
        std::thread::Builder::new()
            .name("perf-sampler".to_string())
            .spawn(move || run.run())
            .map_err(CgroupsError::Listen)?;
        Ok(PerfEvent { shared: Some(shared) })
    }

    fn add(&self, at: &At<'_>) {
        if let Some(shared) = &self.shared {
            shared.state().containers.insert(at.id.clone(), (at.group.name(), None));
        }
    }
}

impl Drop for PerfEvent {
    /// A sample that is being taken ends by itself.
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.state().ended = true;
            shared.ended.notify_all();
        }
    }
}

fn perf(arguments: &[String]) -> Result<String, String> {
    let output = Command::new("perf")
        .args(arguments)
        // With a comma in numbers, the fields could not be told apart.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("the program perf cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(500).collect();
        return Err(format!("perf {} fails ({}): {said}", arguments.join(" "), output.status));
    }
    if output.stdout.len() > OUTPUT_LIMIT_BYTES {
        return Err("perf says more than can be read".to_string());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let next = Instant::now() + self.interval;
            if let Err(error) = self.sample() {
                tracing::warn!("no sample of containers: {error}");
            }
            let mut state = self.state();
            loop {
                if state.ended {
                    return;
                }
                let left = next.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn sample(&self) -> Result<(), String> {
        let groups: Vec<String> = self.state().containers.values().map(|(group, _)| group.clone()).collect();
        if groups.is_empty() {
            return Ok(());
        }
        let mut arguments: Vec<String> =
            ["stat", "--all-cpus", "--field-separator", ",", "--log-fd", "1"].map(str::to_string).to_vec();
        for event in &self.events {
            for group in &groups {
                arguments.extend(["--event", event, "--cgroup", group].map(str::to_string));
            }
        }
        arguments.extend(["--", "sleep"].map(str::to_string));
        arguments.push(self.duration.as_secs_f64().to_string());
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let found = parse(&perf(&arguments)?, begin, self.duration.as_secs_f64())?;
        for (group, last) in self.state().containers.values_mut() {
            if let Some(statistics) = found.get(group) {
                *last = Some(*statistics);
            }
        }
        Ok(())
    }
}

/// By group.
fn parse(text: &str, begin: f64, duration: f64) -> Result<BTreeMap<String, PerfStatistics>, String> {
    let mut fields: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(',').collect();
        // Older programs leave the unit out, and newer ones add more and more behind.
        let (value, event, group) = match words[..] {
            [value, event, group] => (value, event, group),
            [value, _unit, event, group, ..] => (value, event, group),
            _ => return Err(format!("perf says what is not understood: '{line}'")),
        };
        // Some ratios have no event, and some processors do not count everything.
        if event.is_empty() || value == "<not supported>" {
            continue;
        }
        let value = if value == "<not counted>" { "0" } else { value };
        if value.parse::<f64>().is_err() {
            return Err(format!("perf says what is not understood: '{line}'"));
        }
        let name = event.to_ascii_lowercase().replace('-', "_");
        fields.entry(group.to_string()).or_default().insert(name, value.to_string());
    }
    let message = |(group, fields): (String, BTreeMap<String, String>)| {
        let mut json = format!("{{\"timestamp\":{begin},\"duration\":{duration}");
        for (name, value) in &fields {
            // A name is what perf made of a flag's; in JSON it must stay a name.
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                json += &format!(",\"{name}\":{value}");
            }
        }
        json.push('}');
        let statistics = PerfStatistics::from_json(json.as_bytes(), Version::V0);
        Ok((group, statistics.map_err(|error| format!("perf says what is not understood: {error}"))?))
    };
    fields.into_iter().map(message).collect()
}

impl Controller for PerfEvent {
    fn name(&self) -> &'static str {
        "perf_event"
    }

    fn recover(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        self.add(at);
        Ok(())
    }

    fn prepare(&self, at: &At<'_>, _: &Container) -> Result<(), IsolatorError> {
        self.add(at);
        Ok(())
    }

    fn usage(&self, at: &At<'_>, statistics: &mut ResourceStatistics) -> Result<(), IsolatorError> {
        if let Some(shared) = &self.shared {
            statistics.perf = shared.state().containers.get(at.id).and_then(|(_, last)| *last);
        }
        Ok(())
    }

    fn cleanup(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        if let Some(shared) = &self.shared {
            shared.state().containers.remove(at.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perf_prints_is_read() {
        let text = "1108.86,msec,task-clock,mesos/a,7776001510891,100.00,2.027,CPUs utilized\n\
            27,,context-switches,mesos/a,1,100.00,2.4,K/sec\n\
            <not counted>,,cycles,mesos/b,0,0.00,,\n\
            <not supported>,,instructions,mesos/b,0,0.00,,\n\
            5,L1-dcache-loads,mesos/b\n";
        let found = parse(text, 1.5, 10.0).unwrap();
        let a = &found["mesos/a"];
        assert_eq!((a.timestamp, a.duration), (1.5, 10.0));
        assert_eq!((a.task_clock, a.context_switches, a.cycles), (Some(1108.86), Some(27), None));
        let b = &found["mesos/b"];
        assert_eq!((b.cycles, b.instructions, b.l1_dcache_loads), (Some(0), None, Some(5)));
        assert!(parse("nonsense", 0.0, 0.0).is_err());
        assert!(parse("x,,cycles,g", 0.0, 0.0).is_err());
    }

    #[test]
    fn flags_are_checked() {
        let make = |events: &str, duration: u64| {
            let mut flags = AgentFlags::default();
            flags.containers.perf_events = Some(events.to_string());
            flags.containers.perf_duration = Duration::from_secs(duration);
            PerfEvent::make(&flags).err().map(|error| error.to_string())
        };
        assert!(make("cycles", 61).unwrap().starts_with("--perf_duration: "));
        assert!(make("--help", 1).unwrap().starts_with("--perf_events: "));
        assert!(make("no-such-event", 1).unwrap().starts_with("--perf_events: "));
    }
}
