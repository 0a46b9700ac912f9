//! From `--isolation` to isolators.

use std::path::Path;
use std::sync::Arc;

use messor_flags::AgentFlags;

use crate::cgroups::{Cgroups, CgroupsError};
use crate::filesystem;
use crate::isolator::{Isolator, Limitations};
use crate::posix::{self, Processes};

/// What isolators are told of the agent beside its flags.
#[derive(Clone)]
pub struct Host<'a> {
    /// Absolute.
    pub work_dir: &'a Path,
    /// Absolute.
    pub runtime_dir: &'a Path,
    pub limitations: Arc<dyn Limitations>,
}

#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error("--isolation: there is no isolator '{0}'")]
    Unknown(String),
    #[error("--isolation: the isolator '{name}' is not supported yet; there are {present}")]
    NotSupported { name: String, present: String },
    #[error("--isolation: {0} cannot go together: exactly one isolator prepares the file system")]
    Filesystems(String),
    #[error("--isolation: the isolator {isolator} needs {need}")]
    Needs { isolator: &'static str, need: &'static str },
    #[error("--isolation: the control groups cannot be used: {0}")]
    Cgroups(#[from] CgroupsError),
}

/// Those of Apache Mesos that are not built.
const NOT_SUPPORTED: [&str; 9] = [
    "appc/runtime",
    "docker/runtime",
    "docker/volume",
    "network/cni",
    "network/port_mapping",
    "network/ports",
    "volume/csi",
    "volume/image",
    "windows/cpu",
];

/// Every name that `make` takes, in the order in which containers are prepared; they are cleaned up after in the reverse.
const NAMES: &[&str] = &[
    "filesystem/posix",
    "posix/cpu",
    "posix/mem",
    "posix/rlimits",
    "cgroups/all",
    "cgroups/cpu",
    "cgroups/cpuset",
    "cgroups/hugetlb",
    "cgroups/mem",
    "cgroups/net_prio",
    "cgroups/pids",
];

/// The names that `--isolation` may have.
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// The isolators that the flags ask for, and those that are always there, in their order.
pub fn make(flags: &AgentFlags, host: &Host<'_>) -> Result<Vec<Arc<dyn Isolator>>, MakeError> {
    let wanted = complete(&flags.isolators())?;
    let cgroups: Vec<&str> = wanted.iter().filter(|name| name.starts_with("cgroups/")).copied().collect();
    let processes = Arc::new(Processes::default());
    let mut made: Vec<Arc<dyn Isolator>> = Vec::new();
    for name in NAMES.iter().filter(|name| wanted.contains(name)) {
        match *name {
            "filesystem/posix" => made.push(Arc::new(filesystem::Posix::new(host.work_dir))),
            "posix/cpu" => made.push(Arc::new(posix::Cpu::new(processes.clone()))),
            "posix/mem" => made.push(Arc::new(posix::Mem::new(processes.clone()))),
            "posix/rlimits" => made.push(Arc::new(posix::Rlimits)),
            // One for all of them, in the place of the first.
            name if cgroups.first() == Some(&name) => {
                made.push(Arc::new(Cgroups::make(flags, &cgroups, host.limitations.clone())?));
            }
            _ => {}
        }
    }
    Ok(made)
}

/// Every isolator that these names lead to, in their order; an error for what cannot be.
fn complete<'a>(names: &[&'a str]) -> Result<Vec<&'a str>, MakeError> {
    for name in names {
        if NOT_SUPPORTED.contains(name) {
            return Err(MakeError::NotSupported { name: name.to_string(), present: NAMES.join(", ") });
        }
        if !NAMES.contains(name) {
            return Err(MakeError::Unknown(name.to_string()));
        }
    }
    let mut all: Vec<&str> = names.to_vec();
    let filesystems: Vec<&str> = all.iter().filter(|name| name.starts_with("filesystem/")).copied().collect();
    match filesystems.len() {
        0 => all.push("filesystem/posix"),
        1 => {}
        _ => return Err(MakeError::Filesystems(filesystems.join(" and "))),
    }
    all.sort_by_key(|name| NAMES.iter().position(|known| known == name));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_always_there_is_there() {
        assert_eq!(complete(&["posix/cpu"]).unwrap(), ["filesystem/posix", "posix/cpu"]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |names: &[&str]| complete(names).unwrap_err().to_string();
        assert_eq!(refused(&["cgroups/none"]), "--isolation: there is no isolator 'cgroups/none'");
        assert!(
            refused(&["network/cni"])
                .starts_with("--isolation: the isolator 'network/cni' is not supported yet")
        );
    }
}
