//! Which container has which GPUs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use messor_flags::AgentFlags;
use messor_linux::cgroups::{DeviceRule, Group, Hierarchies, Version};
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_types::ContainerId;

use super::Numbers;
use super::gpus::{Gpus, whole};
use crate::cgroups::{CgroupsError, group_name};
use crate::devices;
use crate::isolator::{Container, Isolator, IsolatorError, Recovered};
use crate::runtime;

/// Below the container's directory in --runtime_dir: its GPUs, a line each. Groups of version 2 do not tell what may be
/// used in them; those of version 1 do, also of containers that Apache Mesos started.
const RECORD: &str = "gpus";

pub struct Nvidia {
    gpus: Gpus,
    /// `--cgroups_root`.
    root: String,
    hierarchies: Hierarchies,
    /// What `cgroups/devices` lets every container use.
    usual: Vec<DeviceRule>,
    runtime_dir: PathBuf,
    /// Of every container that is not nested in another.
    owned: Mutex<BTreeMap<ContainerId, BTreeSet<Numbers>>>,
}

impl Nvidia {
    pub fn make(gpus: Gpus, flags: &AgentFlags, runtime_dir: &Path) -> Result<Nvidia, CgroupsError> {
        let hierarchies = Hierarchies::find(Path::new(flags.containers.cgroups_hierarchy.as_str()))?;
        Nvidia::over(hierarchies, gpus, flags, runtime_dir)
    }

    pub(super) fn over(
        mut hierarchies: Hierarchies,
        gpus: Gpus,
        flags: &AgentFlags,
        runtime_dir: &Path,
    ) -> Result<Nvidia, CgroupsError> {
        hierarchies.locate("devices")?;
        Ok(Nvidia {
            gpus,
            root: flags.containers.cgroups_root.trim_matches('/').to_string(),
            hierarchies,
            usual: devices::rules(flags).map_err(|error| CgroupsError::Flag("allowed_devices", error))?,
            runtime_dir: runtime_dir.to_path_buf(),
            owned: Mutex::default(),
        })
    }

    fn owned(&self) -> MutexGuard<'_, BTreeMap<ContainerId, BTreeSet<Numbers>>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self, id: &ContainerId) -> Result<Group, IsolatorError> {
        Ok(self.hierarchies.group("devices", &group_name(&self.root, id)?))
    }

    fn record(&self, id: &ContainerId) -> PathBuf {
        runtime::directory(&self.runtime_dir, id).join(RECORD)
    }

    /// Gives a container as many GPUs as it asks for, of those that nobody has, and takes the rest from it.
    fn settle(&self, container: &Container, new: bool) -> Result<(), IsolatorError> {
        let id = &container.id;
        let asked = whole(container.resources()?.gpus()).and_then(|asked| usize::try_from(asked).ok());
        let asked =
            asked.ok_or_else(|| IsolatorError::Invalid("'gpus' must be a whole number".to_string()))?;
        let (before, after) = {
            let mut owned = self.owned();
            let before = owned.get(id).cloned().ok_or_else(|| unknown(id))?;
            let after = if asked > before.len() {
                let taken: BTreeSet<Numbers> = owned.values().flatten().copied().collect();
                let mut free = self.gpus.devices.difference(&taken).copied();
                let more: Vec<Numbers> = free.by_ref().take(asked - before.len()).collect();
                if more.len() < asked - before.len() {
                    let (asked, there) = (asked - before.len(), more.len());
                    return Err(IsolatorError::Invalid(format!(
                        "'gpus': {asked} more are asked for, and {there} are free"
                    )));
                }
                let after: BTreeSet<Numbers> = before.iter().copied().chain(more).collect();
                // Nobody else gets them from here on; if the rest fails, until the container is gone.
                owned.insert(id.clone(), after.clone());
                after
            } else {
                before.iter().copied().skip(before.len() - asked).collect()
            };
            (before, after)
        };
        // It is written down first that the container has them, and last that it has them no more.
        if after.len() > before.len() {
            self.write(id, &after)?;
        }
        self.permit(id, &before, &after, new)?;
        if after.len() < before.len() {
            self.write(id, &after)?;
            self.owned().insert(id.clone(), after);
        }
        Ok(())
    }

    fn permit(
        &self,
        id: &ContainerId,
        before: &BTreeSet<Numbers>,
        after: &BTreeSet<Numbers>,
        new: bool,
    ) -> Result<(), IsolatorError> {
        if before == after && !new {
            return Ok(());
        }
        let control: Vec<DeviceRule> = self.gpus.control.iter().map(rule).collect();
        let mut added: Vec<DeviceRule> = if new { control.clone() } else { Vec::new() };
        added.extend(after.difference(before).map(rule));
        let removed: Vec<DeviceRule> = before.difference(after).map(rule).collect();
        let mut all = self.usual.clone();
        all.extend(control);
        all.extend(after.iter().map(rule));
        Ok(self.group(id)?.change_devices(&all, &added, &removed)?)
    }

    fn write(&self, id: &ContainerId, gpus: &BTreeSet<Numbers>) -> Result<(), IsolatorError> {
        if self.hierarchies.version() == Version::V1 {
            return Ok(());
        }
        let path = self.record(id);
        let text: String = gpus.iter().map(|(major, minor)| format!("{major}:{minor}\n")).collect();
        // An agent that ends amid this finds the one or the other.
        let new = path.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| IsolatorError::Failed(format!("cannot write {}", path.display()), error))
    }

    /// The GPUs that a container of before has.
    fn found(&self, id: &ContainerId) -> Result<BTreeSet<Numbers>, IsolatorError> {
        let group = self.group(id)?;
        let numbers: Vec<Numbers> = match self.hierarchies.version() {
            Version::V1 if !group.exists() => {
                tracing::warn!("container {id} has no control group of devices any more");
                Vec::new()
            }
            Version::V1 => {
                let rules = group.devices()?;
                let character = rules.iter().filter(|rule| !rule.block);
                character.filter_map(|rule| rule.major.zip(rule.minor)).collect()
            }
            Version::V2 => {
                let path = self.record(id);
                let failed = |error| IsolatorError::Failed(format!("cannot read {}", path.display()), error);
                match fs::read_to_string(&path) {
                    Ok(text) => read(&text).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?,
                    // It was started before there was this isolator.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                    Err(error) => return Err(failed(error)),
                }
            }
        };
        Ok(numbers.into_iter().filter(|numbers| self.gpus.devices.contains(numbers)).collect())
    }
}

impl Isolator for Nvidia {
    fn name(&self) -> &'static str {
        "gpu/nvidia"
    }

    /// Containers that are nested in others use what these have.
    fn supports_nesting(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        // Orphans have theirs until they are gone.
        let all = going_on.iter().map(|recovered| &recovered.container.id).chain(orphans);
        for id in all.filter(|id| id.parent().is_none()) {
            let gpus = self.found(id)?;
            self.owned().insert(id.clone(), gpus);
        }
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let wants = container.resources()?.gpus().is_some_and(|gpus| !gpus.is_zero());
        if wants && container.config.rootfs.is_some() {
            let text = "GPUs in containers with images, which need the driver's libraries in them";
            return Err(IsolatorError::NotSupported(text.to_string()));
        }
        if container.is_nested() {
            return Ok(None);
        }
        {
            let mut owned = self.owned();
            if owned.contains_key(&container.id) {
                let text = format!("container {} is there already", container.id);
                return Err(IsolatorError::Invalid(text));
            }
            owned.insert(container.id.clone(), BTreeSet::new());
        }
        self.settle(container, true)?;
        Ok(None)
    }

    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        if container.is_nested() { Ok(()) } else { self.settle(container, false) }
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        self.owned().remove(container);
        Ok(())
    }
}

fn rule(numbers: &Numbers) -> DeviceRule {
    let (major, minor) = *numbers;
    DeviceRule { block: false, major: Some(major), minor: Some(minor), read: true, write: true, make: true }
}

fn read(text: &str) -> Option<Vec<Numbers>> {
    let one = |line: &str| {
        let (major, minor) = line.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    text.lines().map(one).collect()
}

fn unknown(id: &ContainerId) -> IsolatorError {
    IsolatorError::Invalid(format!("container {id} is not known"))
}
