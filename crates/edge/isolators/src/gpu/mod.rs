//! `gpu/nvidia`: whole GPUs of Nvidia, each for one container at a time. A container sees the device files of all of them,
//! and may use its own alone: that is said in the group of it that `cgroups/devices` made.

mod gpus;
mod hardware;
mod nvidia;

pub use gpus::{GpuError, Gpus};
pub use hardware::{Hardware, HardwareError, nvml};
pub use nvidia::Nvidia;

/// A device by its numbers.
pub type Numbers = (u32, u32);

#[cfg(test)]
mod tests;
