//! The devices that containers may use: the usual ones, and those of `--allowed_devices`, as several isolators have them in
//! common.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use messor_flags::AgentFlags;
use messor_linux::cgroups::DeviceRule;
use messor_proto::mesos::DeviceWhitelist;
use messor_proto::{Version, Wire};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Block,
    Character,
}

/// One device, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub path: PathBuf,
    pub kind: Kind,
    pub major: u32,
    pub minor: u32,
    pub read: bool,
    pub write: bool,
    pub make: bool,
}

/// The error is of the flag's value.
pub fn allowed(flags: &AgentFlags) -> Result<Vec<Allowed>, String> {
    let Some(json) = &flags.containers.allowed_devices else { return Ok(Vec::new()) };
    let list = DeviceWhitelist::from_json(json.as_str().as_bytes(), Version::V0)
        .map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for entry in list.allowed_devices {
        let path = entry.device.path.as_deref().map(PathBuf::from).ok_or("a device has no 'path'")?;
        let shown = path.display();
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(format!("'{shown}' is not an absolute path without '..'"));
        }
        let given = |access: Option<bool>| access.unwrap_or(false);
        let (read, write, make) =
            (given(entry.access.read), given(entry.access.write), given(entry.access.mknod));
        if !read && !write && !make {
            return Err(format!("'{shown}' has no 'access': give read, write or mknod"));
        }
        let metadata = fs::metadata(&path).map_err(|error| format!("'{shown}': {error}"))?;
        let kind = if metadata.file_type().is_block_device() {
            Kind::Block
        } else if metadata.file_type().is_char_device() {
            Kind::Character
        } else {
            return Err(format!("'{shown}' is not a device"));
        };
        let (major, minor) = messor_linux::devices::numbers(metadata.rdev());
        found.push(Allowed { path, kind, major, minor, read, write, make });
    }
    Ok(found)
}

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

/// What every container may use; the error is of the value of `--allowed_devices`.
pub fn rules(flags: &AgentFlags) -> Result<Vec<DeviceRule>, String> {
    let allowed = allowed(flags)?;
    // Device files may be made of any; it is their use that is limited.
    let make = |block| DeviceRule { block, major: None, minor: None, read: false, write: false, make: true };
    let mut rules = vec![make(false), make(true)];
    rules.extend(USUAL.iter().map(|(major, minor)| DeviceRule {
        block: false,
        major: Some(*major),
        minor: *minor,
        read: true,
        write: true,
        make: true,
    }));
    rules.extend(allowed.iter().map(|device| DeviceRule {
        block: device.kind == Kind::Block,
        major: Some(device.major),
        minor: Some(device.minor),
        read: device.read,
        write: device.write,
        make: device.make,
    }));
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Allowed>, String> {
        let mut flags = AgentFlags::default();
        flags.containers.allowed_devices =
            Some(<messor_flags::Json as messor_flags::FlagValue>::read(text).unwrap());
        allowed(&flags)
    }

    #[test]
    fn devices_are_looked_up() {
        assert_eq!(allowed(&AgentFlags::default()), Ok(Vec::new()));
        let one = |path: &str, access: &str| {
            parse(&format!(
                "{{\"allowed_devices\":[{{\"device\":{{\"path\":\"{path}\"}},\"access\":{access}}}]}}"
            ))
        };
        let null = one("/dev/null", "{\"read\":true}").unwrap().remove(0);
        assert_eq!((null.kind, null.major, null.minor), (Kind::Character, 1, 3));
        assert_eq!((null.read, null.write, null.make), (true, false, false));
        assert!(one("/dev/null", "{}").unwrap_err().contains("has no 'access'"));
        assert!(one("/dev/none", "{\"read\":true}").unwrap_err().contains("'/dev/none': "));
        assert!(one("/proc/self/stat", "{\"read\":true}").unwrap_err().contains("is not a device"));
        assert!(one("/dev/../dev/null", "{\"read\":true}").unwrap_err().contains("absolute"));
    }
}
