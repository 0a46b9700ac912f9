//! What a controller does for containers.

use std::sync::Arc;

use messor_flags::AgentFlags;
use messor_linux::cgroups::Group;
use messor_proto::mesos::slave::ContainerLimitation;
use messor_proto::mesos::{ContainerStatus, ResourceStatistics};
use messor_types::ContainerId;

use super::CgroupsError;
use super::blkio::Blkio;
use super::cpu::{Cpu, Cpuacct};
use super::devices::Devices;
use super::memory::Memory;
use super::net_cls::NetCls;
use super::perf_event::PerfEvent;
use super::plain::Plain;
use crate::isolator::{Container, IsolatorError, Limitations};

/// A container and its group in the hierarchy of the controller (in version 2: the one with the limits, not `leaf`).
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub id: &'a ContainerId,
    pub group: &'a Group,
}

/// As `Isolator`, for containers that have groups of their own. `prepare` or `recover` comes first; `cleanup` comes while
/// the group is still there, and may come twice.
pub trait Controller: Send + Sync {
    /// As version 1 names it.
    fn name(&self) -> &'static str;

    fn recover(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        let _ = at;
        Ok(())
    }

    fn prepare(&self, at: &At<'_>, container: &Container) -> Result<(), IsolatorError> {
        let _ = (at, container);
        Ok(())
    }

    fn isolate(&self, at: &At<'_>, container: &Container, pid: i32) -> Result<(), IsolatorError> {
        let _ = (at, container, pid);
        Ok(())
    }

    fn update(&self, at: &At<'_>, container: &Container) -> Result<(), IsolatorError> {
        let _ = (at, container);
        Ok(())
    }

    fn usage(&self, at: &At<'_>, statistics: &mut ResourceStatistics) -> Result<(), IsolatorError> {
        let _ = (at, statistics);
        Ok(())
    }

    fn status(&self, at: &At<'_>, status: &mut ContainerStatus) -> Result<(), IsolatorError> {
        let _ = (at, status);
        Ok(())
    }

    fn exceeded(&self, at: &At<'_>) -> Option<ContainerLimitation> {
        let _ = at;
        None
    }

    fn cleanup(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        let _ = at;
        Ok(())
    }
}

/// The controller of this name; `top` is the group that containers' groups are in.
pub fn make(
    name: &'static str,
    flags: &AgentFlags,
    top: &Group,
    limitations: &Arc<dyn Limitations>,
) -> Result<Box<dyn Controller>, CgroupsError> {
    Ok(match name {
        "cpu" => Box::new(Cpu::make(flags, top)?),
        "cpuacct" => Box::new(Cpuacct::make(flags)),
        "memory" => Box::new(Memory::make(flags, top, limitations.clone())?),
        "blkio" => Box::new(Blkio),
        "devices" => Box::new(Devices::make(flags)?),
        "net_cls" => Box::new(NetCls::make(flags)?),
        "perf_event" => Box::new(PerfEvent::make(flags)?),
        "cpuset" | "hugetlb" | "net_prio" | "pids" => Box::new(Plain(name)),
        other => return Err(CgroupsError::Unknown(other)),
    })
}
