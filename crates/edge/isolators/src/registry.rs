//! From `--isolation` to isolators.

use std::path::Path;
use std::sync::Arc;

use messor_flags::AgentFlags;

use crate::cgroups::{Cgroups, CgroupsError};
use crate::environment_secret::EnvironmentSecret;
use crate::filesystem::{self, LinuxError};
use crate::gpu::{Gpus, Nvidia};
use crate::isolator::{Isolator, Limitations};
use crate::posix::{self, Processes};
use crate::volume_groups::VolumeGroups;
use crate::{devices, disk, linux, namespaces, volume};

/// What isolators are told of the agent beside its flags.
#[derive(Clone)]
pub struct Host<'a> {
    /// Absolute.
    pub work_dir: &'a Path,
    /// Absolute.
    pub runtime_dir: &'a Path,
    pub limitations: Arc<dyn Limitations>,
    /// With gpu/nvidia alone, which is not made without.
    pub gpus: Option<Gpus>,
    /// Where volumes have groups of their own.
    pub volume_groups: Option<Arc<VolumeGroups>>,
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
    #[error("--isolation: filesystem/linux: {0}")]
    Linux(#[from] LinuxError),
    #[error("--isolation: volume/secret: {0}")]
    Secret(#[source] std::io::Error),
    #[error("--isolation: gpu/nvidia: nobody looked which GPUs there are")]
    NoGpus,
    #[error("cannot start the thread that measures disks: {0}")]
    Thread(#[source] std::io::Error),
    #[error("--{0}: {1}")]
    Flag(&'static str, String),
}

impl From<(&'static str, String)> for MakeError {
    fn from((flag, error): (&'static str, String)) -> MakeError {
        MakeError::Flag(flag, error)
    }
}

const SUPERUSER: &str = "the superuser";
const LINUX_LAUNCHER: &str = "--launcher=linux";
const LINUX_FILESYSTEM: &str = "filesystem/linux in --isolation";
const DEVICES: &str = "cgroups/devices in --isolation";

/// What isolators need that others do not.
const NEEDS: &[(&str, &[&str])] = &[
    ("disk/xfs", &[SUPERUSER]),
    ("filesystem/linux", &[SUPERUSER, LINUX_LAUNCHER]),
    ("filesystem/shared", &[SUPERUSER, LINUX_LAUNCHER]),
    ("gpu/nvidia", &[DEVICES]),
    ("linux/capabilities", &[SUPERUSER]),
    ("linux/devices", &[SUPERUSER, LINUX_LAUNCHER, LINUX_FILESYSTEM]),
    ("linux/seccomp", &[SUPERUSER]),
    ("namespaces/ipc", &[SUPERUSER, LINUX_LAUNCHER, LINUX_FILESYSTEM]),
    ("namespaces/pid", &[SUPERUSER, LINUX_LAUNCHER, LINUX_FILESYSTEM]),
    ("volume/host_path", &[LINUX_LAUNCHER, LINUX_FILESYSTEM]),
    ("volume/secret", &[LINUX_LAUNCHER, LINUX_FILESYSTEM]),
];

/// Those of Apache Mesos that are not built.
const NOT_SUPPORTED: [&str; 8] = [
    "appc/runtime",
    "docker/runtime",
    "docker/volume",
    "network/cni",
    "network/port_mapping",
    "network/ports",
    "volume/csi",
    "volume/image",
];

/// Every name that `make` takes, in the order in which containers are prepared; they are cleaned up after in the reverse.
const NAMES: &[&str] = &[
    "filesystem/posix",
    "filesystem/linux",
    "filesystem/shared",
    "posix/cpu",
    "posix/mem",
    "posix/rlimits",
    "cgroups/all",
    "cgroups/blkio",
    "cgroups/cpu",
    "cgroups/cpuset",
    "cgroups/devices",
    "cgroups/hugetlb",
    "cgroups/mem",
    "cgroups/net_cls",
    "cgroups/net_prio",
    "cgroups/perf_event",
    "cgroups/pids",
    "linux/devices",
    "linux/capabilities",
    "linux/nnp",
    "namespaces/ipc",
    "namespaces/pid",
    "volume/sandbox_path",
    "volume/host_path",
    "volume/secret",
    "disk/du",
    "disk/xfs",
    "linux/seccomp",
    "gpu/nvidia",
    "environment_secret",
];

/// The names that `--isolation` may have.
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// The isolators that the flags ask for, and those that are always there, in their order.
pub fn make(flags: &AgentFlags, host: &Host<'_>) -> Result<Vec<Arc<dyn Isolator>>, MakeError> {
    let wanted = complete(&flags.isolators())?;
    check_needs(&wanted, flags)?;
    let settings = &flags.containers;
    let sandbox_directory = settings.sandbox_directory.as_str();
    let groups = &host.volume_groups;
    let mounts = has_linux_launcher(flags) && wanted.contains(&"filesystem/linux");
    let cgroups: Vec<&str> = wanted.iter().filter(|name| name.starts_with("cgroups/")).copied().collect();
    let processes = Arc::new(Processes::default());
    let mut made: Vec<Arc<dyn Isolator>> = Vec::new();
    for name in NAMES.iter().filter(|name| wanted.contains(name)) {
        match *name {
            "filesystem/posix" => made.push(Arc::new(filesystem::Posix::new(host.work_dir, groups.clone()))),
            "filesystem/linux" => {
                made.push(Arc::new(filesystem::Linux::make(host.work_dir, groups.clone())?))
            }
            "filesystem/shared" => made.push(Arc::new(filesystem::Shared)),
            "posix/cpu" => made.push(Arc::new(posix::Cpu::new(processes.clone()))),
            "posix/mem" => made.push(Arc::new(posix::Mem::new(processes.clone()))),
            "posix/rlimits" => made.push(Arc::new(posix::Rlimits)),
            // One for all of them, in the place of the first.
            name if cgroups.first() == Some(&name) => {
                made.push(Arc::new(Cgroups::make(flags, &cgroups, host.limitations.clone())?));
            }
            "linux/devices" => {
                let allowed = devices::allowed(flags).map_err(|error| ("allowed_devices", error))?;
                made.push(Arc::new(linux::Devices::new(allowed)));
            }
            "linux/capabilities" => made.push(Arc::new(linux::Capabilities::make(flags)?)),
            "linux/nnp" => made.push(Arc::new(linux::Nnp)),
            "linux/seccomp" => made.push(Arc::new(linux::Seccomp::make(flags)?)),
            "namespaces/ipc" => {
                let never = settings.disallow_sharing_agent_ipc_namespace;
                let usual = settings.default_container_shm_size.as_ref().map(|size| size.0);
                made.push(Arc::new(namespaces::Ipc::new(host.runtime_dir, never, usual)));
            }
            "namespaces/pid" => {
                let never = settings.disallow_sharing_agent_pid_namespace;
                made.push(Arc::new(namespaces::Pid::new(never)));
            }
            "volume/sandbox_path" => {
                made.push(Arc::new(volume::SandboxPath::new(sandbox_directory, mounts, groups.clone())));
            }
            "volume/host_path" => {
                let below = settings.host_path_volume_force_creation.as_deref();
                let volumes = volume::HostPath::make(sandbox_directory, below)
                    .map_err(|error| ("host_path_volume_force_creation", error))?;
                made.push(Arc::new(volumes));
            }
            "volume/secret" => {
                let volumes =
                    volume::Secret::make(host.runtime_dir, sandbox_directory).map_err(MakeError::Secret)?;
                made.push(Arc::new(volumes));
            }
            "disk/du" => {
                let du = disk::Du::start(flags, host.limitations.clone()).map_err(MakeError::Thread)?;
                made.push(Arc::new(du));
            }
            "disk/xfs" => {
                let projects = Arc::new(messor_linux::projects::Xfs);
                let xfs = disk::Xfs::start(flags, host.work_dir, projects, host.limitations.clone())?;
                made.push(Arc::new(xfs));
            }
            "gpu/nvidia" => {
                let gpus = host.gpus.clone().ok_or(MakeError::NoGpus)?;
                made.push(Arc::new(Nvidia::make(gpus, flags, host.runtime_dir)?));
            }
            "environment_secret" => made.push(Arc::new(EnvironmentSecret)),
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
    let mut implied = vec!["environment_secret"];
    // As it was before these had names of their own.
    if all.contains(&"filesystem/linux") {
        implied.extend(["volume/host_path", "volume/sandbox_path"]);
    }
    for name in implied {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all.sort_by_key(|name| NAMES.iter().position(|known| known == name));
    Ok(all)
}

fn has_linux_launcher(flags: &AgentFlags) -> bool {
    flags.containers.launcher.as_deref() == Some("linux")
}

fn check_needs(wanted: &[&str], flags: &AgentFlags) -> Result<(), MakeError> {
    for (isolator, needs) in NEEDS.iter().filter(|(isolator, _)| wanted.contains(isolator)) {
        for need in *needs {
            let met = match *need {
                SUPERUSER => crate::is_superuser(),
                LINUX_LAUNCHER => has_linux_launcher(flags),
                LINUX_FILESYSTEM => wanted.contains(&"filesystem/linux"),
                DEVICES => wanted.iter().any(|name| ["cgroups/all", "cgroups/devices"].contains(name)),
                _ => true,
            };
            if !met {
                return Err(MakeError::Needs { isolator, need });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_always_there_is_there() {
        assert_eq!(
            complete(&["posix/cpu"]).unwrap(),
            ["filesystem/posix", "posix/cpu", "environment_secret"]
        );
        let linux = complete(&["namespaces/pid", "filesystem/linux", "volume/host_path"]).unwrap();
        let expected = [
            "filesystem/linux",
            "namespaces/pid",
            "volume/sandbox_path",
            "volume/host_path",
            "environment_secret",
        ];
        assert_eq!(linux, expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |names: &[&str]| complete(names).unwrap_err().to_string();
        assert_eq!(refused(&["cgroups/none"]), "--isolation: there is no isolator 'cgroups/none'");
        let built_later = refused(&["network/cni"]);
        assert!(built_later.starts_with("--isolation: the isolator 'network/cni' is not supported yet"));
        assert_eq!(
            refused(&["filesystem/shared", "filesystem/linux"]),
            "--isolation: filesystem/shared and filesystem/linux cannot go together: exactly one isolator prepares the \
             file system"
        );
    }

    #[test]
    fn what_isolators_need_is_named() {
        let needs = |launcher: &str, names: &[&str]| {
            let mut flags = AgentFlags::default();
            flags.containers.launcher = Some(launcher.to_string());
            check_needs(&complete(names).unwrap(), &flags)
        };
        if !crate::is_superuser() {
            return crate::tests::skip("isolators: some need the superuser");
        }
        needs("linux", &["filesystem/linux", "namespaces/pid", "volume/secret"]).unwrap();
        needs("posix", &["posix/cpu", "linux/nnp", "linux/capabilities"]).unwrap();
        let error = needs("posix", &["filesystem/linux"]).unwrap_err().to_string();
        assert_eq!(error, "--isolation: the isolator filesystem/linux needs --launcher=linux");
        let error = needs("linux", &["namespaces/pid"]).unwrap_err().to_string();
        assert_eq!(error, "--isolation: the isolator namespaces/pid needs filesystem/linux in --isolation");
        needs("posix", &["cgroups/all", "gpu/nvidia"]).unwrap();
        let error = needs("posix", &["gpu/nvidia"]).unwrap_err().to_string();
        assert_eq!(error, "--isolation: the isolator gpu/nvidia needs cgroups/devices in --isolation");
    }
}
