//! `cgroups/*`: containers in control groups, one isolator for all controllers. What is particular to a controller is in
//! its own file, for version 1 and version 2 side by side.
//!
//! A container has the group `ROOT/ID` in each hierarchy, one nested in it that has its own `ROOT/ID/mesos/NESTED`. In
//! version 2, where a group with controllers for those below it has no processes itself, processes are in `leaf` below
//! that.

mod blkio;
mod controller;
mod cpu;
mod devices;
mod memory;
mod names;
mod net_cls;
mod paths;
mod perf_event;
mod plain;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messor_flags::AgentFlags;
use messor_linux::cgroups::{Group, GroupError, Hierarchies, HierarchyError, Version};
use messor_linux::users;
use messor_proto::mesos::slave::container_file_operation::{Operation, Parameters, Symlink};
use messor_proto::mesos::slave::{
    ContainerFileOperation, ContainerLaunchInfo, ContainerLimitation, ContainerMountInfo,
};
use messor_proto::mesos::{CommandInfo, ContainerStatus, ResourceStatistics};
use messor_proto::{Version as Names, Wire};
use messor_types::ContainerId;

use crate::fault::{self, Amid};
use crate::isolator::{Container, Isolator, IsolatorError, Limitations, Recovered};
use crate::kernel::{CLONE_NEWCGROUP, CLONE_NEWNS, MS_BIND, MS_REC};
use controller::{At, Controller};
use names::{name_in, wanted};
use paths::LEAF;
pub(crate) use paths::group as group_name;

#[derive(Debug, thiserror::Error)]
pub enum CgroupsError {
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("control groups need the superuser")]
    NotRoot,
    #[error("the kernel has none of the controllers that are supported")]
    NoController,
    #[error("control groups of version 2 have nothing like {0}")]
    NotInVersion2(&'static str),
    #[error("the controller '{0}' is not known")]
    Unknown(&'static str),
    #[error("--{0}: {1}")]
    Flag(&'static str, String),
    #[error("cannot listen for memory that runs out: {0}")]
    Listen(#[source] io::Error),
}

/// The groups of all containers.
pub struct Cgroups {
    /// `--cgroups_root`.
    root: String,
    hierarchies: Hierarchies,
    controllers: Vec<Box<dyn Controller>>,
    places: Vec<Place>,
    /// Where the launcher has the group of its own by which it ends a container, to be shown in containers with a root
    /// of their own.
    freezer: Option<PathBuf>,
    removal_patience: Duration,
    known: Mutex<BTreeMap<ContainerId, Known>>,
}

/// One hierarchy, with the controllers in it.
struct Place {
    path: PathBuf,
    /// Any of its controllers, by which its groups are found.
    name: &'static str,
    /// Indexes into `controllers`.
    controllers: Vec<usize>,
}

/// A container that has groups of its own.
#[derive(Clone, Debug)]
struct Known {
    /// Its group, from the root of a hierarchy.
    group: String,
    /// Indexes of the hierarchies where it has one: a controller that was added to `--isolation` later has none of
    /// containers that run on.
    places: BTreeSet<usize>,
}

impl Cgroups {
    /// `isolators` are those names of `--isolation` that begin with `cgroups/`.
    pub fn make(
        flags: &AgentFlags,
        isolators: &[&str],
        limitations: Arc<dyn Limitations>,
    ) -> Result<Cgroups, CgroupsError> {
        if !crate::is_superuser() {
            return Err(CgroupsError::NotRoot);
        }
        let hierarchies = Hierarchies::find(Path::new(flags.containers.cgroups_hierarchy.as_str()))?;
        Cgroups::over(hierarchies, flags, isolators, limitations)
    }

    fn over(
        mut hierarchies: Hierarchies,
        flags: &AgentFlags,
        isolators: &[&str],
        limitations: Arc<dyn Limitations>,
    ) -> Result<Cgroups, CgroupsError> {
        let settings = &flags.containers;
        let root = settings.cgroups_root.trim_matches('/').to_string();
        if root.is_empty() || root.split('/').any(|part| matches!(part, "" | "." | "..")) {
            let error = format!("'{}' is not the name of a control group", settings.cgroups_root);
            return Err(CgroupsError::Flag("cgroups_root", error));
        }
        let wanted = wanted(&hierarchies, isolators)?;
        let mut places: Vec<Place> = Vec::new();
        let mut names: Vec<&'static str> = Vec::new();
        for name in wanted {
            let path = hierarchies.locate(name_in(hierarchies.version(), name))?;
            let index = names.len();
            names.push(name);
            match places.iter_mut().find(|place| place.path == path) {
                Some(place) => place.controllers.push(index),
                None => places.push(Place { path, name, controllers: vec![index] }),
            }
        }
        let freezer = match hierarchies.version() {
            Version::V1 if settings.launcher.as_deref() == Some("linux") => {
                Some(hierarchies.locate("freezer")?)
            }
            _ => None,
        };
        let mut made = Cgroups {
            root,
            hierarchies,
            controllers: Vec::new(),
            places,
            freezer,
            removal_patience: settings.cgroups_destroy_timeout,
            known: Mutex::default(),
        };
        let kernel_names: Vec<&str> = names.iter().map(|name| name_in(made.version(), name)).collect();
        for place in &made.places {
            made.make_root(place, &kernel_names)?;
        }
        for name in names {
            let top = made.hierarchies.group(name, &made.root);
            made.controllers.push(controller::make(name, flags, &top, &limitations)?);
        }
        Ok(made)
    }

    fn version(&self) -> Version {
        self.hierarchies.version()
    }

    /// The group that all others are in.
    fn make_root(&self, place: &Place, names: &[&str]) -> Result<(), GroupError> {
        let mut path = String::new();
        for part in self.root.split('/') {
            self.enable(&self.hierarchies.group(place.name, &path), names)?;
            path = if path.is_empty() { part.to_string() } else { format!("{path}/{part}") };
            self.hierarchies.group(place.name, &path).make()?;
        }
        self.enable(&self.hierarchies.group(place.name, &path), names)
    }

    /// In version 2, the groups in this one get the controllers.
    fn enable(&self, group: &Group, names: &[&str]) -> Result<(), GroupError> {
        if self.version() == Version::V1 {
            return Ok(());
        }
        let present = group.read("cgroup.subtree_control")?;
        let missing: Vec<String> = names
            .iter()
            // These are everywhere.
            .filter(|name| !["devices", "perf_event"].contains(name))
            .filter(|name| !present.split_ascii_whitespace().any(|there| there == **name))
            .map(|name| format!("+{name}"))
            .collect();
        if missing.is_empty() { Ok(()) } else { group.write("cgroup.subtree_control", &missing.join(" ")) }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container itself, or the nearest that it is nested in, that has groups of its own.
    fn holder(&self, id: &ContainerId) -> Option<(ContainerId, Known)> {
        let known = self.known();
        let mut current = Some(id);
        while let Some(id) = current {
            if let Some(found) = known.get(id) {
                return Some((id.clone(), found.clone()));
            }
            current = id.parent();
        }
        None
    }

    fn group(&self, place: &Place, name: &str) -> Group {
        self.hierarchies.group(place.name, name)
    }

    /// The group that processes are in.
    fn members(&self, place: &Place, name: &str) -> Group {
        let group = self.group(place, name);
        match self.version() {
            Version::V1 => group,
            Version::V2 => group.child(LEAF),
        }
    }

    /// Every controller that a container has, with its group.
    fn each<E: From<IsolatorError>>(
        &self,
        id: &ContainerId,
        known: &Known,
        mut act: impl FnMut(&dyn Controller, &At<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for index in &known.places {
            let place = &self.places[*index];
            let group = self.group(place, &known.group);
            for controller in &place.controllers {
                act(&*self.controllers[*controller], &At { id, group: &group })?;
            }
        }
        Ok(())
    }

    /// Whether this container has the groups of the one it is nested in.
    fn shares(container: &Container) -> bool {
        let shares = container.linux_info().and_then(|info| info.share_cgroups).unwrap_or(true);
        container.is_nested() && shares
    }

    fn make_groups(&self, container: &Container, known: &Known) -> Result<(), IsolatorError> {
        let names: Vec<&str> =
            self.controllers.iter().map(|controller| name_in(self.version(), controller.name())).collect();
        let owner = owner(container)?;
        for place in &self.places {
            // Somebody may have removed the root since.
            self.make_root(place, &names)?;
            let mut group = self.group(place, &self.root);
            let below = &known.group[self.root.len() + 1..];
            let parts: Vec<&str> = below.split('/').collect();
            for (index, part) in parts.iter().enumerate() {
                group = group.child(part);
                let made = group.make()?;
                let last = index + 1 == parts.len();
                // In version 2 the launcher ends a container by the same group, and may have made it.
                if last && !made && self.version() == Version::V1 {
                    let path = group.path().display();
                    return Err(IsolatorError::Invalid(format!("the control group {path} is there already")));
                }
                self.enable(&group, &names)?;
            }
            fault::pass(Amid::GroupMade);
            let members = self.members(place, &known.group);
            if self.version() == Version::V2 {
                members.make()?;
            }
            // So that it can make groups in it; the files stay the agent's, and with them the limits.
            if let Some((uid, gid)) = owner {
                std::os::unix::fs::chown(members.path(), Some(uid), Some(gid)).map_err(|error| {
                    let path = members.path().display();
                    IsolatorError::Failed(format!("cannot give {path} to the container's user"), error)
                })?;
            }
        }
        Ok(())
    }

    /// U019: a container with its own root sees its own groups below /sys/fs/cgroup.
    fn mounts(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let Some(rootfs) = &container.config.rootfs else { return Ok(None) };
        let target = Path::new(rootfs).join("sys/fs/cgroup");
        let (_, holder) = self.holder(&container.id).ok_or_else(|| unknown(&container.id))?;
        let mut info = ContainerLaunchInfo { clone_namespaces: vec![CLONE_NEWNS], ..Default::default() };
        let bind = |source: &Path, target: &Path| ContainerMountInfo {
            source: Some(source.to_string_lossy().into_owned()),
            target: target.to_string_lossy().into_owned(),
            flags: Some(MS_BIND | MS_REC),
            ..ContainerMountInfo::default()
        };
        match self.version() {
            Version::V2 => {
                info.clone_namespaces.push(CLONE_NEWCGROUP);
                for place in &self.places {
                    info.mounts.push(bind(self.members(place, &holder.group).path(), &target));
                }
            }
            Version::V1 => {
                for place in &self.places {
                    let Some(directory) = place.path.file_name() else { continue };
                    if place.controllers.len() > 1 {
                        for controller in &place.controllers {
                            info.file_operations.push(link(
                                &Path::new("/sys/fs/cgroup").join(directory),
                                &target.join(self.controllers[*controller].name()),
                            ));
                        }
                    }
                    let group = self.group(place, &holder.group);
                    info.mounts.push(bind(group.path(), &target.join(directory)));
                }
                if let Some(freezer) = &self.freezer {
                    let own = freezer.join(paths::group(&self.root, &container.id)?);
                    info.mounts.push(bind(&own, &target.join("freezer")));
                }
            }
        }
        if !container.is_command_task() {
            return Ok(Some(info));
        }
        // The command executor runs on the host's root; it is the task that gets another, by the executor.
        let json = String::from_utf8_lossy(&info.to_json(Names::V0)).into_owned();
        let argument = format!("--task_launch_info={json}");
        let command = CommandInfo { arguments: vec![argument], ..CommandInfo::default() };
        Ok(Some(ContainerLaunchInfo { command: Some(command), ..ContainerLaunchInfo::default() }))
    }

    /// What a container of before has still.
    fn recover_one(&self, id: &ContainerId) -> Result<(), IsolatorError> {
        let group = paths::group(&self.root, id)?;
        let mut known = Known { group, places: BTreeSet::new() };
        for (index, place) in self.places.iter().enumerate() {
            if self.group(place, &known.group).exists() {
                known.places.insert(index);
            } else {
                tracing::warn!("container {id} has no control group in {}", place.path.display());
            }
        }
        self.each(id, &known, |controller, at| controller.recover(at))?;
        self.known().insert(id.clone(), known);
        Ok(())
    }

    /// The containers that groups are found of.
    fn found(&self) -> Result<BTreeSet<ContainerId>, IsolatorError> {
        let mut found = BTreeSet::new();
        for place in &self.places {
            self.search(&self.group(place, &self.root), &mut Vec::new(), &mut found)?;
        }
        Ok(found)
    }

    fn search(
        &self,
        group: &Group,
        above: &mut Vec<String>,
        found: &mut BTreeSet<ContainerId>,
    ) -> Result<(), IsolatorError> {
        for child in group.children()? {
            let Some(name) = child.path().file_name().and_then(|name| name.to_str()) else { continue };
            above.push(name.to_string());
            match paths::meaning(above) {
                paths::Meaning::Container(id) => {
                    found.insert(id);
                    self.search(&child, above, found)?;
                }
                paths::Meaning::Separator => self.search(&child, above, found)?,
                // It goes with the group that it is in.
                paths::Meaning::Other => {}
            }
            above.pop();
        }
        Ok(())
    }
}

impl Isolator for Cgroups {
    fn name(&self) -> &'static str {
        "cgroups"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        for recovered in going_on.iter().filter(|found| !Cgroups::shares(&found.container)) {
            self.recover_one(&recovered.container.id)?;
        }
        let left: Vec<ContainerId> = {
            let known = self.known();
            self.found()?.into_iter().filter(|id| !known.contains_key(id)).collect()
        };
        // Those that are nested first.
        for id in left.iter().rev() {
            self.recover_one(id)?;
            if !orphans.contains(id) {
                tracing::info!("the control groups of {id}, which nobody knows, are removed");
                if let Err(error) = self.cleanup(id) {
                    tracing::warn!("the control groups of {id} are left behind: {error}");
                }
            }
        }
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        if Cgroups::shares(container) {
            return self.mounts(container);
        }
        if container.is_debug() {
            let text = "LinuxInfo.share_cgroups: a debug container cannot have control groups of its own";
            return Err(IsolatorError::Invalid(text.to_string()));
        }
        if container.id.parent().is_some_and(|parent| parent.parent().is_some()) {
            let text = "LinuxInfo.share_cgroups: only containers nested in one that is not can have control groups of \
                        their own";
            return Err(IsolatorError::Invalid(text.to_string()));
        }
        let known = Known {
            group: paths::group(&self.root, &container.id)?,
            places: (0..self.places.len()).collect(),
        };
        if self.known().contains_key(&container.id) {
            return Err(IsolatorError::Invalid(format!("container {} is there already", container.id)));
        }
        // Before anything is made, so that it can be cleaned up.
        self.known().insert(container.id.clone(), known.clone());
        self.make_groups(container, &known)?;
        self.each(&container.id, &known, |controller, at| controller.prepare(at, container))?;
        self.each(&container.id, &known, |controller, at| controller.update(at, container))?;
        self.mounts(container)
    }

    fn isolate(&self, container: &Container, pid: i32) -> Result<(), IsolatorError> {
        let (holder, known) = self.holder(&container.id).ok_or_else(|| unknown(&container.id))?;
        let own = holder == container.id;
        if own {
            self.each(&holder, &known, |controller, at| controller.isolate(at, container, pid))?;
        }
        for index in &known.places {
            let place = &self.places[*index];
            let members = self.members(place, &known.group);
            if !own {
                if !members.exists() {
                    continue;
                }
                // The launcher has it in a group of its own below, where the same limits hold.
                if self.version() == Version::V2 && is_in(pid, &self.group(place, &known.group)) {
                    continue;
                }
            }
            members.enter(pid)?;
            fault::pass(Amid::GroupEntered);
        }
        Ok(())
    }

    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        let known = self.known().get(&container.id).cloned();
        match known {
            Some(known) => {
                self.each(&container.id, &known, |controller, at| controller.update(at, container))
            }
            None if Cgroups::shares(container) => Ok(()),
            None => Err(unknown(&container.id)),
        }
    }

    fn usage(&self, container: &Container) -> Result<ResourceStatistics, IsolatorError> {
        let mut statistics = ResourceStatistics::default();
        let Some(known) = self.known().get(&container.id).cloned() else { return Ok(statistics) };
        self.each(&container.id, &known, |controller, at| {
            // What one controller cannot tell does not keep others from telling.
            if let Err(error) = controller.usage(at, &mut statistics) {
                tracing::warn!("a part of the usage of {} is missing: {error}", container.id);
            }
            Ok::<(), IsolatorError>(())
        })?;
        Ok(statistics)
    }

    fn status(&self, container: &Container) -> Result<ContainerStatus, IsolatorError> {
        let mut status = ContainerStatus::default();
        let (holder, known) = self.holder(&container.id).ok_or_else(|| unknown(&container.id))?;
        self.each(&holder, &known, |controller, at| controller.status(at, &mut status))?;
        Ok(status)
    }

    fn exceeded(&self, container: &ContainerId) -> Option<ContainerLimitation> {
        let known = self.known().get(container).cloned()?;
        let mut found = None;
        let _ = self.each(container, &known, |controller, at| {
            found = found.take().or_else(|| controller.exceeded(at));
            Ok::<(), IsolatorError>(())
        });
        found
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        let Some(known) = self.known().get(container).cloned() else { return Ok(()) };
        self.each(container, &known, |controller, at| controller.cleanup(at))?;
        for index in &known.places {
            self.group(&self.places[*index], &known.group).remove(self.removal_patience)?;
            fault::pass(Amid::GroupRemoved);
        }
        self.known().remove(container);
        Ok(())
    }
}

fn unknown(id: &ContainerId) -> IsolatorError {
    IsolatorError::Invalid(format!("container {id} has no control groups"))
}

fn link(source: &Path, target: &Path) -> ContainerFileOperation {
    ContainerFileOperation {
        operation: Some(Operation::Symlink as i32),
        parameters: Some(Parameters::Symlink(Symlink {
            source: Some(source.to_string_lossy().into_owned()),
            target: Some(target.to_string_lossy().into_owned()),
        })),
    }
}

/// Who may make groups in the container's; nobody else than the agent where tasks run as the agent's user.
fn owner(container: &Container) -> Result<Option<(u32, u32)>, IsolatorError> {
    let config = &container.config;
    let user = match &config.task_info {
        // The executor is the agent's user then, and the task is whom its command says.
        Some(task) if config.rootfs.is_some() => {
            task.command.as_ref().and_then(|command| command.user.as_ref())
        }
        _ => config.user.as_ref(),
    };
    if config.user.is_none() {
        return Ok(None);
    }
    let Some(user) = user else { return Ok(None) };
    let found = users::find(user).map_err(|error| IsolatorError::Invalid(error.to_string()))?;
    Ok(Some((found.uid, found.gid)))
}

/// Whether a process is in a group or one below it.
fn is_in(pid: i32, group: &Group) -> bool {
    group.processes().is_ok_and(|pids| pids.contains(&pid))
        || group.children().is_ok_and(|children| children.iter().any(|child| is_in(pid, child)))
}

#[cfg(test)]
mod mounted_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod unified_tests;
