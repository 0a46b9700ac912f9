//! `cgroups/net_cls`: a number on everything that a container sends, by which the operator's rules know it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use messor_flags::AgentFlags;
use messor_proto::mesos::cgroup_info::NetCls as Status;
use messor_proto::mesos::{CgroupInfo, ContainerStatus};
use messor_types::ContainerId;

use super::CgroupsError;
use super::controller::{At, Controller};
use crate::isolator::{Container, IsolatorError};

const FILE: &str = "net_cls.classid";

pub struct NetCls {
    /// None: it is the operator who gives out the numbers.
    handles: Option<Handles>,
    given: Mutex<Given>,
}

/// The upper and the lower half of the numbers to give out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Handles {
    primary: u16,
    secondary: RangeInclusive<u16>,
}

#[derive(Debug, Default)]
struct Given {
    of: BTreeMap<ContainerId, u32>,
    /// Lower halves in use, some of them perhaps by groups that went on from before.
    used: BTreeSet<u16>,
}

fn number(text: &str) -> Option<u16> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn handles(flags: &AgentFlags) -> Result<Option<Handles>, CgroupsError> {
    let settings = &flags.containers;
    let Some(primary) = &settings.cgroups_net_cls_primary_handle else { return Ok(None) };
    let primary = number(primary).filter(|number| *number != 0).ok_or_else(|| {
        let error = format!("'{primary}' is not a number from 0x1 to 0xffff");
        CgroupsError::Flag("cgroups_net_cls_primary_handle", error)
    })?;
    let secondary = match &settings.cgroups_net_cls_secondary_handles {
        None => 1..=u16::MAX,
        Some(text) => {
            let range = text.split_once(',').and_then(|(low, high)| Some(number(low)?..=number(high)?));
            let sound = range.filter(|range| *range.start() > 0 && !range.is_empty());
            sound.ok_or_else(|| {
                let error = format!("'{text}' is not a range such as 0x1,0xffff, from 1 on");
                CgroupsError::Flag("cgroups_net_cls_secondary_handles", error)
            })?
        }
    };
    Ok(Some(Handles { primary, secondary }))
}

impl NetCls {
    pub fn make(flags: &AgentFlags) -> Result<NetCls, CgroupsError> {
        Ok(NetCls { handles: handles(flags)?, given: Mutex::default() })
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lower(handle: u32) -> u16 {
    (handle & 0xffff) as u16
}

impl Controller for NetCls {
    fn name(&self) -> &'static str {
        "net_cls"
    }

    fn recover(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        let text = at.group.number(FILE)?;
        let handle = u32::try_from(text).unwrap_or(0);
        if handle == 0 {
            return Ok(());
        }
        let mut given = self.given();
        // It keeps its number, even one that today's flags would not give.
        if self.handles.as_ref().is_some_and(|handles| u32::from(handles.primary) == handle >> 16) {
            given.used.insert(lower(handle));
        }
        given.of.insert(at.id.clone(), handle);
        Ok(())
    }

    fn prepare(&self, at: &At<'_>, _: &Container) -> Result<(), IsolatorError> {
        let Some(handles) = &self.handles else { return Ok(()) };
        let mut given = self.given();
        let free = handles.secondary.clone().find(|number| !given.used.contains(number));
        let Some(free) = free else {
            let text = format!(
                "--cgroups_net_cls_secondary_handles: all numbers below {:#x} are in use",
                handles.primary
            );
            return Err(IsolatorError::Invalid(text));
        };
        given.used.insert(free);
        given.of.insert(at.id.clone(), u32::from(handles.primary) << 16 | u32::from(free));
        Ok(())
    }

    fn isolate(&self, at: &At<'_>, _: &Container, _: i32) -> Result<(), IsolatorError> {
        let handle = self.given().of.get(at.id).copied();
        match handle {
            Some(handle) => Ok(at.group.write(FILE, &handle.to_string())?),
            None => Ok(()),
        }
    }

    fn status(&self, at: &At<'_>, status: &mut ContainerStatus) -> Result<(), IsolatorError> {
        let handle = self.given().of.get(at.id).copied();
        if let Some(handle) = handle {
            let info = status.cgroup_info.get_or_insert_with(CgroupInfo::default);
            info.net_cls = Some(Status { classid: Some(handle) });
        }
        Ok(())
    }

    fn cleanup(&self, at: &At<'_>) -> Result<(), IsolatorError> {
        let mut given = self.given();
        if let Some(handle) = given.of.remove(at.id) {
            given.used.remove(&lower(handle));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_from_the_flags() {
        let read = |primary: Option<&str>, secondary: Option<&str>| {
            let mut flags = AgentFlags::default();
            flags.containers.cgroups_net_cls_primary_handle = primary.map(str::to_string);
            flags.containers.cgroups_net_cls_secondary_handles = secondary.map(str::to_string);
            handles(&flags).map_err(|error| error.to_string())
        };
        assert_eq!(read(None, Some("nonsense")), Ok(None));
        assert_eq!(read(Some("0x12"), None), Ok(Some(Handles { primary: 0x12, secondary: 1..=0xffff })));
        assert_eq!(read(Some("18"), Some("0x1,0x20")).unwrap().unwrap().secondary, 1..=0x20);
        for wrong in ["0,5", "5", "9,5", "a,b", "1,0x10000"] {
            let error = read(Some("1"), Some(wrong)).unwrap_err();
            assert!(error.starts_with("--cgroups_net_cls_secondary_handles: "), "{error}");
        }
        assert!(read(Some("0x10000"), None).unwrap_err().starts_with("--cgroups_net_cls_primary_handle: "));
    }
}
