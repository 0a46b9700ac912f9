//! `cgroups/cpu`: the share of processor time, and the most of it (U002), by the controllers `cpu` and `cpuacct`.

use std::time::Duration;

use messor_flags::AgentFlags;
use messor_linux::cgroups::{Group, Version};
use messor_proto::mesos::ResourceStatistics;
use messor_types::ResourceName;

use super::CgroupsError;
use super::controller::{At, Controller};
use crate::isolator::{Container, IsolatorError};

/// Version 1: `cpu.shares` of one processor, and the least that Linux takes.
const SHARES: f64 = 1024.0;
const REVOCABLE_SHARES: f64 = 10.0;
const LEAST_SHARES: u64 = 2;

/// Version 2: `cpu.weight` of one processor, and what Linux takes.
const WEIGHT: f64 = 100.0;
const REVOCABLE_WEIGHT: f64 = 1.0;
const LEAST_WEIGHT: u64 = 1;
const MOST_WEIGHT: u64 = 10_000;

const PERIOD_MICROS: u64 = 100_000;
const LEAST_QUOTA_MICROS: u64 = 1_000;

pub struct Cpu {
    limits_always: bool,
    revocable_is_low: bool,
    counts: bool,
}

impl Cpu {
    pub fn make(flags: &AgentFlags, top: &Group) -> Result<Cpu, CgroupsError> {
        let settings = &flags.containers;
        let file = match top.version() {
            Version::V1 => "cpu.cfs_quota_us",
            Version::V2 => "cpu.max",
        };
        if settings.cgroups_enable_cfs && !top.has(file) {
            let error = format!("{} is not there: the kernel is built without it", top.file(file).display());
            return Err(CgroupsError::Flag("cgroups_enable_cfs", error));
        }
        Ok(Cpu {
            limits_always: settings.cgroups_enable_cfs,
            revocable_is_low: settings.revocable_cpu_low_priority,
            counts: settings.cgroups_cpu_enable_pids_and_tids_count,
        })
    }
}

impl Controller for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn update(&self, at: &At<'_>, container: &Container) -> Result<(), IsolatorError> {
        let resources = container.resources()?;
        let cpus = resources.cpus().map(|cpus| cpus.to_f64()).ok_or_else(|| {
            IsolatorError::Invalid(
                "the container has no resource 'cpus', which cgroups/cpu needs".to_string(),
            )
        })?;
        let name = ResourceName::new("cpus");
        let low = self.revocable_is_low && resources.revocable().scalar(&name).is_some();
        // None: as much as there is.
        let quota = match container.limit("cpus") {
            Some(limit) if limit.is_infinite() => Some(None),
            Some(limit) => Some(Some(limit)),
            None if self.limits_always => Some(Some(cpus)),
            None => None,
        };
        let micros = |cpus: f64| ((PERIOD_MICROS as f64 * cpus) as u64).max(LEAST_QUOTA_MICROS);
        match at.group.version() {
            Version::V1 => {
                let each = if low { REVOCABLE_SHARES } else { SHARES };
                let shares = ((each * cpus) as u64).max(LEAST_SHARES);
                at.group.write("cpu.shares", &shares.to_string())?;
                if let Some(quota) = quota {
                    at.group.write("cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
                    let quota = quota.map_or_else(|| "-1".to_string(), |cpus| micros(cpus).to_string());
                    at.group.write("cpu.cfs_quota_us", &quota)?;
                }
            }
            Version::V2 => {
                let each = if low { REVOCABLE_WEIGHT } else { WEIGHT };
                let weight = ((each * cpus) as u64).clamp(LEAST_WEIGHT, MOST_WEIGHT);
                at.group.write("cpu.weight", &weight.to_string())?;
                if let Some(quota) = quota {
                    let quota = quota.map_or_else(|| "max".to_string(), |cpus| micros(cpus).to_string());
                    at.group.write("cpu.max", &format!("{quota} {PERIOD_MICROS}"))?;
                }
            }
        }
        Ok(())
    }

    fn usage(&self, at: &At<'_>, statistics: &mut ResourceStatistics) -> Result<(), IsolatorError> {
        let v2 = at.group.version() == Version::V2;
        if !self.limits_always && !v2 {
            return Ok(());
        }
        let table = at.group.table("cpu.stat")?;
        if self.limits_always {
            let small = |name: &str| table.get(name).map(|count| u32::try_from(*count).unwrap_or(u32::MAX));
            statistics.cpus_nr_periods = small("nr_periods");
            statistics.cpus_nr_throttled = small("nr_throttled");
            let throttled = match at.group.version() {
                Version::V1 => table.get("throttled_time").map(|nanos| Duration::from_nanos(*nanos)),
                Version::V2 => table.get("throttled_usec").map(|micros| Duration::from_micros(*micros)),
            };
            statistics.cpus_throttled_time_secs = throttled.map(|time| time.as_secs_f64());
        }
        if v2 {
            let time =
                |name: &str| table.get(name).map(|micros| Duration::from_micros(*micros).as_secs_f64());
            statistics.cpus_user_time_secs = time("user_usec");
            statistics.cpus_system_time_secs = time("system_usec");
            if self.counts {
                count(&at.group.child(super::paths::LEAF), statistics)?;
            }
        }
        Ok(())
    }
}

/// Version 1 counts what is used in a controller of its own.
pub struct Cpuacct {
    counts: bool,
}

impl Cpuacct {
    pub fn make(flags: &AgentFlags) -> Cpuacct {
        Cpuacct { counts: flags.containers.cgroups_cpu_enable_pids_and_tids_count }
    }
}

impl Controller for Cpuacct {
    fn name(&self) -> &'static str {
        "cpuacct"
    }

    fn usage(&self, at: &At<'_>, statistics: &mut ResourceStatistics) -> Result<(), IsolatorError> {
        if self.counts {
            count(at.group, statistics)?;
        }
        let table = at.group.table("cpuacct.stat")?;
        if let (Some(user), Some(system)) = (table.get("user"), table.get("system")) {
            let ticks = messor_linux::host::ticks_per_second() as f64;
            statistics.cpus_user_time_secs = Some(*user as f64 / ticks);
            statistics.cpus_system_time_secs = Some(*system as f64 / ticks);
        }
        Ok(())
    }
}

/// As the containers' groups are: not those of nested ones that have their own.
fn count(group: &Group, statistics: &mut ResourceStatistics) -> Result<(), IsolatorError> {
    statistics.processes = Some(u32::try_from(group.processes()?.len()).unwrap_or(u32::MAX));
    statistics.threads = Some(u32::try_from(group.threads()?.len()).unwrap_or(u32::MAX));
    Ok(())
}
