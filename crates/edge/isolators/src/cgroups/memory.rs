//! `cgroups/mem`: how much memory a container is to have, how much it may have at most, and word of its having had more
//! (U033).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messor_flags::AgentFlags;
use messor_linux::cgroups::{Group, Listener, Pressure, Ticket, Version};
use messor_linux::host;
use messor_proto::mesos::ResourceStatistics;
use messor_proto::mesos::slave::ContainerLimitation;
use messor_proto::mesos::task_status::Reason;
use messor_stdx::format_size;
use messor_types::{ContainerId, Resource, ResourceFormat};

use super::CgroupsError;
use super::controller::{At, Controller};
use crate::isolator::{Container, IsolatorError, Limitations};

const MEGABYTE: u64 = 1 << 20;
const LEAST: u64 = 32 * MEGABYTE;

/// How memory is short, from hardly to badly; version 1 counts each.
const LEVELS: [&str; 3] = ["low", "medium", "critical"];

pub struct Memory {
    limits_swap: bool,
    listener: Listener,
    limitations: Arc<dyn Limitations>,
    containers: Mutex<BTreeMap<ContainerId, State>>,
}

struct State {
    ticket: Ticket,
    /// In the order of `LEVELS`, as far as the kernel counts them.
    pressure: Vec<Option<Pressure>>,
    /// Whether the most that it may have was written once. From then on it only grows: less could kill at once.
    limited: bool,
}

impl Memory {
    pub fn make(
        flags: &AgentFlags,
        top: &Group,
        limitations: Arc<dyn Limitations>,
    ) -> Result<Memory, CgroupsError> {
        let limits_swap = flags.containers.cgroups_limit_swap;
        let swap_file = match top.version() {
            Version::V1 => "memory.memsw.limit_in_bytes",
            Version::V2 => "memory.swap.max",
        };
        if limits_swap && !top.has(swap_file) {
            let error =
                format!("{} is not there: the kernel does not count swap", top.file(swap_file).display());
            return Err(CgroupsError::Flag("cgroups_limit_swap", error));
        }
        if top.version() == Version::V1 {
            // Whoever waits for this agent to end a container would wait in vain where the kernel does not kill first.
            if top.table("memory.oom_control")?.get("oom_kill_disable") == Some(&1) {
                top.write("memory.oom_control", "0")?;
            }
        }
        let listener = Listener::start().map_err(CgroupsError::Listen)?;
        Ok(Memory { limits_swap, listener, limitations, containers: Mutex::default() })
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, State>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, at: &At<'_>, limited: bool) -> Result<(), IsolatorError> {
        let (id, group, limitations) = (at.id.clone(), at.group.clone(), self.limitations.clone());
        let tell = move || limitations.exceeded(&id, limitation(&group));
        let ticket = self.listener.listen(at.group, Box::new(tell)).map_err(|error| {
            IsolatorError::Failed(format!("cannot listen for memory that runs out in {:?}", at.group), error)
        })?;
        let pressure = |level: &&str| match at.group.version() {
            Version::V1 => Pressure::listen(at.group, level)
                .inspect_err(|error| tracing::warn!("no memory pressure ({level}) of {}: {error}", at.id))
                .ok(),
            Version::V2 => None,
        };
        let state = State { ticket, pressure: LEVELS.iter().map(pressure).collect(), limited };
        if let Some(before) = self.containers().insert(at.id.clone(), state) {
            self.listener.end(before.ticket);
        }
        Ok(())
    }
}

/// The most that a group may have; None: no limit.
fn most(group: &Group) -> Result<Option<u64>, IsolatorError> {
    match group.version() {
        // A number of whole pages, near the largest there is, where there is no limit.
        Version::V1 => Ok(Some(group.number("memory.limit_in_bytes")?).filter(|bytes| *bytes < 1 << 62)),
        Version::V2 => {
            if group.read("memory.max")?.trim() == "max" {
                Ok(None)
            } else {
                Ok(Some(group.number("memory.max")?))
            }
        }
    }
}

fn limitation(group: &Group) -> ContainerLimitation {
    let (limit, peak) = match group.version() {
        Version::V1 => {
            (group.number("memory.limit_in_bytes").ok(), group.number("memory.max_usage_in_bytes").ok())
        }
        Version::V2 => {
            let limit = most(group).ok().flatten();
            // Kernels before 5.19 do not remember it; it was the limit, or else it would not have run out.
            (limit, group.number("memory.peak").ok().or(limit))
        }
    };
    let mut message = "Memory limit exceeded: ".to_string();
    if let Some(limit) = limit {
        message += &format!("Requested: {} ", format_size(limit));
    }
    if let Some(peak) = peak {
        message += &format!("Maximum Used: {}\n", format_size(peak));
    }
    if let Ok(statistics) = group.read("memory.stat") {
        message += &format!("\nMEMORY STATISTICS: \n{statistics}\n");
    }
    let megabytes = peak.unwrap_or(0) as f64 / MEGABYTE as f64;
    ContainerLimitation {
        resources: vec![Resource::scalar("mem", megabytes).to_proto(ResourceFormat::PostRefinement)],
        message: Some(message),
        reason: Some(Reason::ContainerLimitationMemory as i32),
    }
}

impl Controller for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn recover(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        self.listen(at, true)
    }

    fn prepare(&self, at: &At<'_>, _: &Container) -> Result<(), IsolatorError> {
        self.listen(at, false)
    }

    /// A task that has more than it asked for is the first that the kernel kills when the host's memory runs out.
    fn isolate(&self, at: &At<'_>, container: &Container, pid: i32) -> Result<(), IsolatorError> {
        if !container.is_command_task() && !container.is_nested() {
            return Ok(());
        }
        let soft = at.group.number(soft_file(at.group))?;
        if most(at.group)?.is_some_and(|most| most <= soft) {
            return Ok(());
        }
        let path = format!("/proc/{pid}/oom_score_adj");
        let failed = |error| IsolatorError::Failed(format!("cannot set {path}"), error);
        let total = host::memory().map_err(failed)?.total_bytes.max(1);
        let score = 1000 - 1000 * u128::from(soft.min(total)) / u128::from(total);
        std::fs::write(&path, score.to_string()).map_err(failed)
    }

    fn update(&self, at: &At<'_>, container: &Container) -> Result<(), IsolatorError> {
        let megabytes = container.resources()?.mem().map(|mem| mem.to_f64()).ok_or_else(|| {
            IsolatorError::Invalid("the container has no resource 'mem', which cgroups/mem needs".to_string())
        })?;
        let bytes = |megabytes: f64| (megabytes as u64).saturating_mul(MEGABYTE).max(LEAST);
        let soft = bytes(megabytes);
        at.group.write(soft_file(at.group), &soft.to_string())?;
        let hard = match container.limit("mem") {
            Some(limit) if limit.is_infinite() => None,
            Some(limit) => Some(bytes(limit)),
            None => Some(soft),
        };
        let limited = self.containers().get(at.id).is_some_and(|state| state.limited);
        let present = most(at.group)?;
        let grows = match (present, hard) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(present), Some(hard)) => hard > present,
        };
        if limited && !grows {
            return Ok(());
        }
        match at.group.version() {
            Version::V1 => {
                let text = hard.map_or_else(|| "-1".to_string(), |bytes| bytes.to_string());
                let mut files = vec!["memory.limit_in_bytes"];
                if self.limits_swap {
                    files.push("memory.memsw.limit_in_bytes");
                }
                // That of memory may never be more than that of both.
                if limited {
                    files.reverse();
                }
                files.iter().try_for_each(|file| at.group.write(file, &text))?;
            }
            Version::V2 => {
                let text = hard.map_or_else(|| "max".to_string(), |bytes| bytes.to_string());
                at.group.write("memory.max", &text)?;
                if self.limits_swap {
                    // Swap has a limit of its own: with none of it, memory and swap together keep to that of memory.
                    at.group.write("memory.swap.max", if hard.is_some() { "0" } else { "max" })?;
                }
            }
        }
        if let Some(state) = self.containers().get_mut(at.id) {
            state.limited = true;
        }
        Ok(())
    }

    fn usage(&self, at: &At<'_>, statistics: &mut ResourceStatistics) -> Result<(), IsolatorError> {
        let group = at.group;
        let table = group.table("memory.stat")?;
        let of = |name: &str| table.get(name).copied();
        match group.version() {
            Version::V1 => {
                statistics.mem_total_bytes = Some(group.number("memory.usage_in_bytes")?);
                statistics.mem_kmem_usage_bytes = group.number_if_there("memory.kmem.usage_in_bytes")?;
                statistics.mem_kmem_tcp_usage_bytes =
                    group.number_if_there("memory.kmem.tcp.usage_in_bytes")?;
                if self.limits_swap {
                    statistics.mem_total_memsw_bytes = Some(group.number("memory.memsw.usage_in_bytes")?);
                }
                statistics.mem_file_bytes = of("total_cache");
                statistics.mem_anon_bytes = of("total_rss");
                statistics.mem_mapped_file_bytes = of("total_mapped_file");
                statistics.mem_swap_bytes = of("total_swap");
                statistics.mem_unevictable_bytes = of("total_unevictable");
            }
            Version::V2 => {
                let (total, swap) =
                    (group.number("memory.current")?, group.number_if_there("memory.swap.current")?);
                statistics.mem_total_bytes = Some(total);
                statistics.mem_kmem_usage_bytes = of("kernel");
                statistics.mem_kmem_tcp_usage_bytes = of("sock");
                if self.limits_swap {
                    statistics.mem_total_memsw_bytes = swap.map(|swap| total + swap);
                }
                statistics.mem_file_bytes = of("file");
                statistics.mem_anon_bytes = of("anon");
                statistics.mem_mapped_file_bytes = of("file_mapped");
                statistics.mem_swap_bytes = swap;
                statistics.mem_unevictable_bytes = of("unevictable");
            }
        }
        statistics.mem_cache_bytes = statistics.mem_file_bytes;
        statistics.mem_rss_bytes = statistics.mem_anon_bytes;
        if let Some(state) = self.containers().get(at.id) {
            let count = |index: usize| state.pressure[index].as_ref().map(Pressure::count);
            statistics.mem_low_pressure_counter = count(0);
            statistics.mem_medium_pressure_counter = count(1);
            statistics.mem_critical_pressure_counter = count(2);
        }
        Ok(())
    }

    fn exceeded(&self, at: &At<'_>) -> Option<ContainerLimitation> {
        let ticket = self.containers().get(at.id)?.ticket;
        self.listener.ran_out(ticket).then(|| limitation(at.group))
    }

    fn cleanup(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        let state = self.containers().remove(at.id);
        if let Some(state) = state {
            self.listener.end(state.ticket);
        }
        Ok(())
    }
}

fn soft_file(group: &Group) -> &'static str {
    match group.version() {
        Version::V1 => "memory.soft_limit_in_bytes",
        Version::V2 => "memory.low",
    }
}
