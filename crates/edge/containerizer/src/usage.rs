//! What containers use: the sums of posix/cpu and posix/mem, beside what they were given.

use std::time::{SystemTime, UNIX_EPOCH};

use messor_linux::procfs::{self, Process};
use messor_proto::mesos::{Resource, ResourceStatistics};

const MEGABYTE: f64 = 1_048_576.0;

/// The statistics of one container, from a list of processes taken once for all.
pub(crate) fn statistics(
    processes: &[Process],
    pid: Option<i32>,
    resources: &[Resource],
    now: SystemTime,
) -> ResourceStatistics {
    let memory = scalar(resources, "mem").map(|megabytes| (megabytes * MEGABYTE) as u64);
    let mut statistics = ResourceStatistics {
        timestamp: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        cpus_soft_limit: scalar(resources, "cpus"),
        mem_soft_limit_bytes: memory,
        mem_limit_bytes: memory,
        ..ResourceStatistics::default()
    };
    if let Some(pid) = pid {
        let usage = procfs::tree_usage(processes, pid);
        statistics.cpus_user_time_secs = Some(usage.user_time.as_secs_f64());
        statistics.cpus_system_time_secs = Some(usage.system_time.as_secs_f64());
        statistics.mem_rss_bytes = Some(usage.resident_bytes);
    }
    statistics
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
        let given = [resource("cpus", 0.5), resource("cpus", 0.5), resource("mem", 32.0)];
        let now = UNIX_EPOCH + Duration::from_millis(1500);
        let found = statistics(&[], None, &given, now);
        assert_eq!((found.timestamp, found.cpus_soft_limit), (1.5, Some(1.0)));
        assert_eq!((found.mem_limit_bytes, found.mem_soft_limit_bytes), (Some(32 << 20), Some(32 << 20)));
        assert_eq!((found.mem_rss_bytes, found.cpus_limit), (None, None));

        let me = i32::try_from(std::process::id()).unwrap();
        let processes = procfs::processes().unwrap();
        assert!(statistics(&processes, Some(me), &[], now).mem_rss_bytes.unwrap() > 0);
    }
}
