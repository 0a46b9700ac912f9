//! `cgroups/devices`: which devices a container's processes may use: the usual ones, and those of `--allowed_devices`.

use messor_flags::AgentFlags;
use messor_linux::cgroups::DeviceRule;

use super::CgroupsError;
use super::controller::{At, Controller};
use crate::devices;
use crate::isolator::{Container, IsolatorError};

pub struct Devices {
    rules: Vec<DeviceRule>,
}

impl Devices {
    pub fn make(flags: &AgentFlags) -> Result<Devices, CgroupsError> {
        let rules = devices::rules(flags).map_err(|error| CgroupsError::Flag("allowed_devices", error))?;
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
