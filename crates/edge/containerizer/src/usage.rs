//! What containers use: the sums of posix/cpu and posix/mem, beside what they were given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use messor_containers::{Standing, State};
use messor_linux::host;
use messor_proto::mesos::slave::ContainerConfig;
use messor_proto::mesos::{ContainerStatus, Resource, ResourceStatistics};
use messor_types::ContainerId;

use crate::containerizer::{Containerizer, Shared};
use crate::entry::Entry;
use crate::launch_info::merge;
use crate::processes::blocking;

const MEGABYTE: f64 = 1_048_576.0;

/// What the containerizer itself gives of the statistics of a container: what it may use. `cfs`: CPUs are a hard limit.
fn granted(config: &ContainerConfig, cfs: bool, now: SystemTime) -> ResourceStatistics {
    let megabytes = |amount: f64| (amount * MEGABYTE) as u64;
    let limit = |name: &str| config.limits.get(name).map(|limit| limit.value);
    let (cpus, memory) = (scalar(&config.resources, "cpus"), scalar(&config.resources, "mem"));
    ResourceStatistics {
        timestamp: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        cpus_soft_limit: cpus,
        // A limit without an end is that of the host.
        cpus_limit: match limit("cpus") {
            Some(cpus) if cpus.is_infinite() => Some(f64::from(host::processors())),
            Some(cpus) => Some(cpus),
            None => cpus.filter(|_| cfs),
        },
        mem_soft_limit_bytes: memory.map(megabytes),
        mem_limit_bytes: match limit("mem") {
            Some(memory) if memory.is_infinite() => host::memory().ok().map(|memory| memory.total_bytes),
            Some(memory) => Some(megabytes(memory)),
            None => memory.map(megabytes),
        },
        ..ResourceStatistics::default()
    }
}

impl Containerizer {
    /// The usage and the status of every container that is not about to end.
    pub async fn usage(
        &self,
    ) -> std::io::Result<BTreeMap<ContainerId, (ContainerStatus, ResourceStatistics)>> {
        let shared = self.shared.clone();
        blocking(move || look(&shared)).await.map_err(std::io::Error::other)
    }
}

impl Containerizer {
    /// Of one container that runs, with what its isolators say.
    pub async fn status(&self, container: ContainerId) -> Option<ContainerStatus> {
        let (entry, standing) = {
            let inner = self.shared.lock();
            (inner.entries.get(&container).cloned()?, inner.machine.standing_of(&container)?)
        };
        let pid = u32::try_from(standing.pid?).ok();
        let shared = self.shared.clone();
        let asked = blocking(move || {
            let mut status = ContainerStatus {
                container_id: Some((&container).into()),
                executor_pid: pid,
                ..ContainerStatus::default()
            };
            let mut unused = ResourceStatistics::default();
            ask_isolators(&shared, &entry, &standing.isolators, &mut unused, &mut status);
            status
        });
        asked.await.ok()
    }
}

fn look(shared: &Shared) -> BTreeMap<ContainerId, (ContainerStatus, ResourceStatistics)> {
    let now = SystemTime::now();
    let standing: Vec<(Arc<Entry>, Standing)> = {
        let inner = shared.lock();
        let known = inner.machine.standing().filter(|(_, standing)| standing.state != State::Destroying);
        known.filter_map(|(id, standing)| Some((inner.entries.get(id)?.clone(), standing))).collect()
    };
    let mut all = BTreeMap::new();
    for (entry, found) in &standing {
        let mut statistics = granted(&entry.state().config, shared.config.cfs, now);
        let mut status = ContainerStatus {
            container_id: Some((&entry.id).into()),
            executor_pid: found.pid.and_then(|pid| u32::try_from(pid).ok()),
            ..ContainerStatus::default()
        };
        if found.state == State::Running {
            ask_isolators(shared, entry, &found.isolators, &mut statistics, &mut status);
        }
        all.insert(entry.id.clone(), (status, statistics));
    }
    all
}

fn ask_isolators(
    shared: &Shared,
    entry: &Entry,
    isolators: &[usize],
    statistics: &mut ResourceStatistics,
    status: &mut ContainerStatus,
) {
    let seen = entry.seen();
    for isolator in isolators.iter().filter_map(|number| shared.isolators.get(*number)) {
        // Where it is asked something else just now, its part is left out rather than waited for.
        let Ok(_turn) = entry.calls.try_lock() else { return };
        let problem = |error: &dyn std::fmt::Display| {
            tracing::warn!("The isolator {} cannot tell of container {}: {error}", isolator.name(), entry.id);
        };
        // The time is ours, and no part may leave it out.
        let timestamp = statistics.timestamp;
        match isolator.usage(&seen).map(|part| merge(statistics, &ResourceStatistics { timestamp, ..part })) {
            Ok(Ok(merged)) => *statistics = merged,
            Ok(Err(error)) => problem(&error),
            Err(error) => problem(&error),
        }
        match isolator.status(&seen).map(|part| merge(status, &part)) {
            Ok(Ok(merged)) => *status = merged,
            Ok(Err(error)) => problem(&error),
            Err(error) => problem(&error),
        }
    }
}

fn scalar(resources: &[Resource], name: &str) -> Option<f64> {
    let values = resources.iter().filter(|resource| resource.name == name);
    let mut values = values.filter_map(|resource| Some(resource.scalar.as_ref()?.value)).peekable();
    values.peek()?;
    Some(values.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::value::Scalar;
    use std::time::Duration;

    #[test]
    fn what_was_given_stands_beside_what_is_used() {
        let resource = |name: &str, value| Resource {
            name: name.into(),
            scalar: Some(Scalar { value }),
            ..Resource::default()
        };
        let resources = vec![resource("cpus", 0.5), resource("cpus", 0.5), resource("mem", 32.0)];
        let mut given = ContainerConfig { resources, ..ContainerConfig::default() };
        let now = UNIX_EPOCH + Duration::from_millis(1500);
        let found = granted(&given, false, now);
        assert_eq!((found.timestamp, found.cpus_soft_limit), (1.5, Some(1.0)));
        assert_eq!((found.mem_limit_bytes, found.mem_soft_limit_bytes), (Some(32 << 20), Some(32 << 20)));
        assert_eq!((found.mem_rss_bytes, found.cpus_limit), (None, None));
        // U002: limits stand beside what was given.
        given.limits.insert("cpus".into(), Scalar { value: f64::INFINITY });
        given.limits.insert("mem".into(), Scalar { value: 64.0 });
        let found = granted(&given, false, now);
        assert_eq!((found.mem_limit_bytes, found.mem_soft_limit_bytes), (Some(64 << 20), Some(32 << 20)));
        assert_eq!(found.cpus_limit, Some(f64::from(host::processors())));
        given.limits.clear();
        assert_eq!(granted(&given, true, now).cpus_limit, Some(1.0));
    }
}
