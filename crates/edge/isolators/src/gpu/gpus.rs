//! Which GPUs an agent has for its containers, by its flags and its hardware.

use std::collections::{BTreeMap, BTreeSet};

use messor_flags::AgentFlags;
use messor_types::{Resources, Scalar};

use super::Numbers;
use super::hardware::{Hardware, HardwareError};

#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("--isolation: gpu/nvidia: {0}")]
    Hardware(#[from] HardwareError),
    #[error("--nvidia_gpu_devices: it goes with gpu/nvidia in --isolation")]
    NoIsolator,
    #[error("--nvidia_gpu_devices: '{0}' is not the number of a GPU")]
    Number(String),
    #[error("--nvidia_gpu_devices: the GPU {0} is there twice")]
    Twice(u32),
    #[error("--nvidia_gpu_devices: --resources says that there are no 'gpus'")]
    None,
    #[error("--nvidia_gpu_devices: it needs as many 'gpus' in --resources")]
    NotInResources,
    #[error(
        "--resources: 'gpus' needs --nvidia_gpu_devices, which says which ones, with the isolator gpu/nvidia"
    )]
    NoDevices,
    #[error("--resources: 'gpus' must be a whole number, not {0}")]
    Fraction(f64),
    #[error("--resources has {resources} 'gpus', and --nvidia_gpu_devices {devices}")]
    Different { resources: u32, devices: usize },
    #[error("--resources has {asked} 'gpus', and this host {there}")]
    TooMany { asked: u32, there: u32 },
    #[error("--nvidia_gpu_devices: {0} and {1} are the same device")]
    SameDevice(u32, u32),
}

/// The GPUs that containers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    pub(super) devices: BTreeSet<Numbers>,
    /// Devices that go with every GPU.
    pub(super) control: Vec<Numbers>,
    in_resources: bool,
}

impl Gpus {
    /// Those that `flags` ask for; `given` are the resources of `--resources`. None: the flags have no gpu/nvidia, and what
    /// `gpus` there are is between the operator and the tasks.
    pub fn find(
        flags: &AgentFlags,
        given: &Resources,
        hardware: impl FnOnce() -> Result<Box<dyn Hardware>, HardwareError>,
    ) -> Result<Option<Gpus>, GpuError> {
        let named = match &flags.containers.nvidia_gpu_devices {
            Some(text) => Some(parse(text)?),
            None => None,
        };
        if !flags.isolators().contains(&"gpu/nvidia") {
            return if named.is_some() { Err(GpuError::NoIsolator) } else { Ok(None) };
        }
        let hardware = hardware()?;
        let there = hardware.count()?;
        let asked = given.gpus().unwrap_or_default();
        // Resources of nothing are none, so that only the words tell of `gpus:0`.
        let says_none = asked.is_zero() && flags.resources.as_ref().is_some_and(|text| text.contains("gpus"));
        let indexes: Vec<u32> = match named {
            Some(_) if says_none => return Err(GpuError::None),
            Some(_) if asked.is_zero() => return Err(GpuError::NotInResources),
            Some(named) => {
                let asked = whole(Some(asked)).ok_or(GpuError::Fraction(asked.to_f64()))?;
                if usize::try_from(asked) != Ok(named.len()) {
                    return Err(GpuError::Different { resources: asked, devices: named.len() });
                }
                if asked > there {
                    return Err(GpuError::TooMany { asked, there });
                }
                named
            }
            None if !asked.is_zero() => return Err(GpuError::NoDevices),
            None if says_none => Vec::new(),
            None => (0..there).collect(),
        };
        let mut devices = BTreeMap::new();
        for index in indexes {
            if let Some(other) = devices.insert(hardware.gpu(index)?, index) {
                return Err(GpuError::SameDevice(other, index));
            }
        }
        let devices = devices.into_keys().collect();
        Ok(Some(Gpus { devices, control: hardware.control()?, in_resources: !asked.is_zero() || says_none }))
    }

    /// What the agent's resources have beside those of the flag, in its words.
    pub fn discovered(&self) -> Option<String> {
        (!self.in_resources && !self.devices.is_empty()).then(|| format!("gpus:{}", self.devices.len()))
    }
}

/// Numbers as nvidia-smi has them, with commas in between.
fn parse(text: &str) -> Result<Vec<u32>, GpuError> {
    let mut numbers = Vec::new();
    for word in text.split(',').map(str::trim) {
        // Without a sign, which `parse` would take.
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { word.parse().ok() } else { None };
        let number = number.ok_or_else(|| GpuError::Number(word.to_string()))?;
        if numbers.contains(&number) {
            return Err(GpuError::Twice(number));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

/// None: not a whole number.
pub(super) fn whole(amount: Option<Scalar>) -> Option<u32> {
    let amount = amount.unwrap_or_default();
    (amount.millis() % 1000 == 0).then(|| u32::try_from(amount.units()).ok()).flatten()
}
