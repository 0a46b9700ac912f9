//! `cgroups/devices`: which devices a container's processes may use: the usual ones, and those of `--allowed_devices`.

use messor_flags::AgentFlags;
use messor_linux::cgroups::DeviceRule;

use super::CgroupsError;
use super::controller::{At, Controller};
use crate::devices::{self, Kind};
use crate::isolator::{Container, IsolatorError};

/// What everybody may use: character devices by major and, but for terminals, minor number.
const USUAL: [(u32, Option<u32>); 12] = [
    (5, Some(1)),    // console
    (4, Some(0)),    // tty0
    (4, Some(1)),    // tty1
    (136, None),     // pts/*
    (5, Some(2)),    // ptmx
    (10, Some(200)), // net/tun
    (1, Some(3)),    // null
    (1, Some(5)),    // zero
    (1, Some(7)),    // full
    (5, Some(0)),    // tty
    (1, Some(9)),    // urandom
    (1, Some(8)),    // random
];

pub struct Devices {
    rules: Vec<DeviceRule>,
}

impl Devices {
    pub fn make(flags: &AgentFlags) -> Result<Devices, CgroupsError> {
        let allowed =
            devices::allowed(flags).map_err(|error| CgroupsError::Flag("allowed_devices", error))?;
        // Device files may be made of any; it is their use that is limited.
        let make =
            |block| DeviceRule { block, major: None, minor: None, read: false, write: false, make: true };
        let mut rules = vec![make(false), make(true)];
        let usual = |(major, minor): &(u32, Option<u32>)| DeviceRule {
            block: false,
            major: Some(*major),
            minor: *minor,
            read: true,
            write: true,
            make: true,
        };
        rules.extend(USUAL.iter().map(usual));
        rules.extend(allowed.iter().map(|device| DeviceRule {
            block: device.kind == Kind::Block,
            major: Some(device.major),
            minor: Some(device.minor),
            read: device.read,
            write: device.write,
            make: device.make,
        }));
        Ok(Devices { rules })
    }
}

impl Controller for Devices {
    fn name(&self) -> &'static str {
        "devices"
    }

    fn prepare(&self, at: &At<'_>, _: &Container) -> Result<(), IsolatorError> {
        Ok(at.group.allow_devices(&self.rules)?)
    }
}
