//! `linux/capabilities` (U040, U041): which capabilities a container's processes have, and which they may have at most.

use std::collections::BTreeSet;

use messor_flags::AgentFlags;
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_proto::mesos::{CapabilityInfo, CommandInfo, capability_info::Capability};
use messor_proto::{Version, Wire, WireEnum};

use crate::isolator::{Container, Isolator, IsolatorError};

#[derive(Debug)]
pub struct Capabilities {
    /// What the operator gives those who do not ask.
    effective: Option<CapabilityInfo>,
    /// The most that the operator lets anybody have.
    bounding: Option<CapabilityInfo>,
}

impl Capabilities {
    /// The error is a flag and what is wrong with it.
    pub fn make(flags: &AgentFlags) -> Result<Capabilities, (&'static str, String)> {
        let parse = |name: &'static str, flag: &Option<messor_flags::Json>| match flag {
            Some(json) => CapabilityInfo::from_json(json.as_str().as_bytes(), Version::V0)
                .map(Some)
                .map_err(|error| (name, error.to_string())),
            None => Ok(None),
        };
        let effective = parse("effective_capabilities", &flags.containers.effective_capabilities)?;
        let bounding = parse("bounding_capabilities", &flags.containers.bounding_capabilities)?;
        if let (Some(effective), Some(bounding)) = (&effective, &bounding)
            && !set(effective).is_subset(&set(bounding))
        {
            let error =
                format!("{} are more than --bounding_capabilities: {}", list(effective), list(bounding));
            return Err(("effective_capabilities", error));
        }
        Ok(Capabilities { effective, bounding })
    }
}

fn set(info: &CapabilityInfo) -> BTreeSet<i32> {
    info.capabilities.iter().copied().collect()
}

fn list(info: &CapabilityInfo) -> String {
    let name = |number| Capability::from_number(number).map_or("?", |known| known.wire_name(Version::V0));
    set(info).into_iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Isolator for Capabilities {
    fn name(&self) -> &'static str {
        "linux/capabilities"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let linux = container.linux_info();
        // U041: the older field means the effective ones.
        let asked = match linux.map(|info| (&info.capability_info, &info.effective_capabilities)) {
            Some((Some(_), Some(_))) => {
                let text =
                    "LinuxInfo has both 'capability_info' and 'effective_capabilities': give one of them";
                return Err(IsolatorError::Invalid(text.to_string()));
            }
            Some((older, newer)) => older.as_ref().or(newer.as_ref()),
            None => None,
        };
        let asked_bounding = linux.and_then(|info| info.bounding_capabilities.as_ref());
        if let (Some(asked), Some(most)) = (asked_bounding, &self.bounding)
            && !set(asked).is_subset(&set(most))
        {
            return Err(IsolatorError::Invalid(format!(
                "LinuxInfo.bounding_capabilities asks for {}, but only {} are allowed",
                list(asked),
                list(most)
            )));
        }
        let effective = asked.or(self.effective.as_ref());
        // Who says what it has means that it is to have no more.
        let Some(bounding) = asked_bounding.or(self.bounding.as_ref()).or(effective) else { return Ok(None) };
        if let Some(effective) = effective
            && !set(effective).is_subset(&set(bounding))
        {
            return Err(IsolatorError::Invalid(format!(
                "LinuxInfo.effective_capabilities asks for {}, but only {} are allowed",
                list(effective),
                list(bounding)
            )));
        }
        let mut info = ContainerLaunchInfo::default();
        if container.is_command_task() && container.config.rootfs.is_some() {
            // The executor changes the root for its task, for which it needs what the task may not have.
            let json =
                |info: &CapabilityInfo| String::from_utf8_lossy(&info.to_json(Version::V0)).into_owned();
            let mut arguments = vec![format!("--bounding_capabilities={}", json(bounding))];
            arguments.extend(effective.map(|info| format!("--effective_capabilities={}", json(info))));
            info.command = Some(CommandInfo { arguments, ..CommandInfo::default() });
        } else {
            info.bounding_capabilities = Some(bounding.clone());
            info.effective_capabilities = effective.cloned();
        }
        Ok(Some(info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use messor_proto::mesos::{ContainerInfo, LinuxInfo};

    const RAW: i32 = Capability::NetRaw as i32;
    const ADMIN: i32 = Capability::NetAdmin as i32;

    fn of(capabilities: &[i32]) -> Option<CapabilityInfo> {
        Some(CapabilityInfo { capabilities: capabilities.to_vec() })
    }

    fn asking(info: LinuxInfo) -> Container {
        let mut container = container("c");
        container.config.container_info =
            Some(ContainerInfo { linux_info: Some(info), ..ContainerInfo::default() });
        container
    }

    fn flags(effective: &str, bounding: &str) -> AgentFlags {
        let json = |text: &str| {
            (!text.is_empty()).then(|| <messor_flags::Json as messor_flags::FlagValue>::read(text).unwrap())
        };
        let mut flags = AgentFlags::default();
        flags.containers.effective_capabilities = json(effective);
        flags.containers.bounding_capabilities = json(bounding);
        flags
    }

    /// U041: who asks for effective ones alone is bounded by them; the older field means the same.
    #[test]
    fn what_a_container_gets() {
        let plain = Capabilities::make(&flags("", "")).unwrap();
        assert_eq!(plain.prepare(&container("c")).unwrap(), None);
        let newer = LinuxInfo { effective_capabilities: of(&[RAW]), ..LinuxInfo::default() };
        let older = LinuxInfo { capability_info: of(&[RAW]), ..LinuxInfo::default() };
        for info in [newer, older] {
            let info = plain.prepare(&asking(info)).unwrap().unwrap();
            assert_eq!((info.effective_capabilities, info.bounding_capabilities), (of(&[RAW]), of(&[RAW])));
        }
        let both = LinuxInfo {
            capability_info: of(&[RAW]),
            effective_capabilities: of(&[RAW]),
            ..LinuxInfo::default()
        };
        assert!(plain.prepare(&asking(both)).is_err());
        let bounded = LinuxInfo { bounding_capabilities: of(&[ADMIN]), ..LinuxInfo::default() };
        let info = plain.prepare(&asking(bounded)).unwrap().unwrap();
        assert_eq!((info.effective_capabilities, info.bounding_capabilities), (None, of(&[ADMIN])));
    }

    #[test]
    fn the_operator_has_the_last_word() {
        let raw = "{\"capabilities\":[\"NET_RAW\"]}";
        let both = "{\"capabilities\":[\"NET_RAW\",\"NET_ADMIN\"]}";
        let isolator = Capabilities::make(&flags(raw, both)).unwrap();
        let info = isolator.prepare(&container("c")).unwrap().unwrap();
        assert_eq!(
            (info.effective_capabilities, info.bounding_capabilities),
            (of(&[RAW]), of(&[RAW, ADMIN]))
        );
        let more =
            LinuxInfo { effective_capabilities: of(&[Capability::SysAdmin as i32]), ..Default::default() };
        let error = isolator.prepare(&asking(more)).unwrap_err().to_string();
        assert!(error.ends_with("asks for SYS_ADMIN, but only NET_ADMIN, NET_RAW are allowed"), "{error}");
        let more =
            LinuxInfo { bounding_capabilities: of(&[Capability::SysAdmin as i32]), ..Default::default() };
        assert!(isolator.prepare(&asking(more)).is_err());
        let (flag, error) = Capabilities::make(&flags(both, raw)).unwrap_err();
        assert_eq!(flag, "effective_capabilities");
        assert_eq!(error, "NET_ADMIN, NET_RAW are more than --bounding_capabilities: NET_RAW");
        assert_eq!(Capabilities::make(&flags("{\"capabilities\":[7.5]}", "")).unwrap_err().0, flag);
    }

    #[test]
    fn the_task_of_a_command_executor_with_a_root_is_left_to_the_executor() {
        let mut task = asking(LinuxInfo { effective_capabilities: of(&[RAW]), ..LinuxInfo::default() });
        task.config.task_info = Some(Default::default());
        task.config.rootfs = Some("/roots/c".to_string());
        let info = Capabilities::make(&flags("", "")).unwrap().prepare(&task).unwrap().unwrap();
        let arguments = info.command.unwrap().arguments;
        assert_eq!(arguments[0], "--bounding_capabilities={\"capabilities\":[\"NET_RAW\"]}");
        assert_eq!(arguments[1], "--effective_capabilities={\"capabilities\":[\"NET_RAW\"]}");
        assert!(info.bounding_capabilities.is_none());
    }
}
