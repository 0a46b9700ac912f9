//! What the driver of Nvidia's GPUs tells of them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Numbers;

/// As the driver's developers numbered its devices for good.
const MAJOR: u32 = 195;

/// Needed by every program that uses a GPU.
const CONTROL: [&str; 2] = ["nvidiactl", "nvidia-uvm"];
/// Of help to profilers, where it is there.
const TOOLS: &str = "nvidia-uvm-tools";

#[derive(Debug, thiserror::Error)]
pub enum HardwareError {
    #[error("the library of Nvidia's driver cannot be used: libnvidia-ml.so.1: {0}")]
    Library(String),
    #[error("the driver does not tell how many GPUs there are: {0}")]
    Count(String),
    #[error("the driver does not tell of the GPU {index}: {error}")]
    Gpu { index: u32, error: String },
    #[error(
        "the device {path} of Nvidia's driver cannot be looked at: {source}; `nvidia-modprobe -c0 -u` makes it"
    )]
    Device { path: PathBuf, source: io::Error },
}

/// The GPUs of a host.
pub trait Hardware {
    fn count(&self) -> Result<u32, HardwareError>;

    /// The device of the GPU that nvidia-smi calls `index`.
    fn gpu(&self, index: u32) -> Result<Numbers, HardwareError>;

    /// The devices that go with every GPU.
    fn control(&self) -> Result<Vec<Numbers>, HardwareError>;
}

struct Nvml(nvml_wrapper::Nvml);

/// Those of this host, by the library that comes with the driver.
pub fn nvml() -> Result<Box<dyn Hardware>, HardwareError> {
    let nvml = nvml_wrapper::Nvml::init().map_err(|error| HardwareError::Library(error.to_string()))?;
    Ok(Box::new(Nvml(nvml)))
}

impl Hardware for Nvml {
    fn count(&self) -> Result<u32, HardwareError> {
        self.0.device_count().map_err(|error| HardwareError::Count(error.to_string()))
    }

    fn gpu(&self, index: u32) -> Result<Numbers, HardwareError> {
        let minor = self.0.device_by_index(index).and_then(|device| device.minor_number());
        let minor = minor.map_err(|error| HardwareError::Gpu { index, error: error.to_string() })?;
        Ok((MAJOR, minor))
    }

    fn control(&self) -> Result<Vec<Numbers>, HardwareError> {
        control(Path::new("/dev"))
    }
}

fn control(directory: &Path) -> Result<Vec<Numbers>, HardwareError> {
    let mut found = Vec::new();
    for name in CONTROL {
        let path = directory.join(name);
        found.push(numbers(&path).map_err(|source| HardwareError::Device { path, source })?);
    }
    found.extend(numbers(&directory.join(TOOLS)));
    Ok(found)
}

fn numbers(path: &Path) -> io::Result<Numbers> {
    let found = fs::metadata(path)?;
    if !found.file_type().is_char_device() {
        return Err(io::Error::other("it is no character device"));
    }
    Ok(messor_linux::devices::numbers(found.rdev()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_the_driver_are_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        let error = control(folder.path()).unwrap_err().to_string();
        assert!(error.contains("/nvidiactl of Nvidia's driver cannot be looked at: No such file"), "{error}");
        for name in CONTROL {
            std::os::unix::fs::symlink("/dev/null", folder.path().join(name)).unwrap();
        }
        assert_eq!(control(folder.path()).unwrap(), [(1, 3), (1, 3)]);
        std::os::unix::fs::symlink("/dev/zero", folder.path().join(TOOLS)).unwrap();
        assert_eq!(control(folder.path()).unwrap(), [(1, 3), (1, 3), (1, 5)]);
        std::fs::remove_file(folder.path().join("nvidiactl")).unwrap();
        std::fs::write(folder.path().join("nvidiactl"), "").unwrap();
        let error = control(folder.path()).unwrap_err().to_string();
        assert!(error.contains("it is no character device"), "{error}");
    }
}
