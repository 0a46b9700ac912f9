//! `disk/xfs`: disk space by project quotas of XFS, which the file system counts itself (U031, U043). Each sandbox and each
//! volume is a project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use messor_flags::AgentFlags;
use messor_linux::host;
use messor_linux::projects::Projects;
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_proto::mesos::{DiskStatistics, Resource, ResourceStatistics, resource::DiskInfo};
use messor_stdx::format_size;
use messor_types::{ContainerId, Resources, volume_path};

use super::{MEGABYTE, is_mount, limitation};
use crate::isolator::{Container, Isolator, IsolatorError, Limitations, Recovered};

/// What becomes of who takes too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// U043: it is counted.
    Counts,
    /// The file system refuses more.
    Refuses,
    /// U031: it may take a little more, and is ended for it.
    Kills { headroom: u64 },
}

pub struct Xfs {
    shared: Arc<Shared>,
}

struct Shared {
    work_dir: PathBuf,
    projects: Arc<dyn Projects>,
    policy: Policy,
    limitations: Arc<dyn Limitations>,
    /// Every id that may be given out.
    range: BTreeSet<u32>,
    /// Between two looks at who takes too much, and at which ids are free again.
    looks: Duration,
    reclaims: Duration,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    ended: bool,
    containers: BTreeMap<ContainerId, Known>,
    /// Each id that is in use, and where: it is free when these are gone, long after the container.
    used: BTreeMap<u32, BTreeSet<PathBuf>>,
}

#[derive(Clone, Default)]
struct Known {
    sandbox: PathBuf,
    places: BTreeMap<PathBuf, Place>,
    /// It is told of once.
    exceeded: bool,
}

#[derive(Clone, Default)]
struct Place {
    /// None: a disk of its own, which no project divides.
    project: Option<u32>,
    bytes: u64,
    disk: Option<Box<DiskInfo>>,
}

/// `[5000-10000]`, with commas in between.
fn range(text: &str) -> Option<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for part in text.trim().strip_prefix('[')?.strip_suffix(']')?.split(',') {
        let (low, high) = part.trim().split_once('-')?;
        let (low, high): (u32, u32) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        // 0 is no project. Nobody has a million containers.
        if low == 0 || high < low || high - low > 1 << 20 {
            return None;
        }
        ids.extend(low..=high);
    }
    Some(ids)
}

impl Xfs {
    /// The error is a flag and what is wrong with it.
    pub fn start(
        flags: &AgentFlags,
        work_dir: &Path,
        projects: Arc<dyn Projects>,
        limitations: Arc<dyn Limitations>,
    ) -> Result<Xfs, (&'static str, String)> {
        let settings = &flags.containers;
        projects.check(work_dir).map_err(|error| ("isolation", format!("disk/xfs: {error}")))?;
        let ids = range(&settings.xfs_project_range).ok_or_else(|| {
            let error =
                format!("'{}' is not a list of ranges such as [5000-10000]", settings.xfs_project_range);
            ("xfs_project_range", error)
        })?;
        let policy = match (settings.enforce_container_disk_quota, settings.xfs_kill_containers) {
            (false, _) => Policy::Counts,
            (true, false) => Policy::Refuses,
            (true, true) => Policy::Kills { headroom: settings.xfs_quota_headroom.0 },
        };
        let shared = Arc::new(Shared {
            work_dir: work_dir.to_path_buf(),
            projects,
            policy,
            limitations,
            range: ids,
            looks: settings.container_disk_watch_interval,
            reclaims: flags.disk_watch_interval,
            state: Mutex::default(),
            ended: Condvar::new(),
        });
        let run = shared.clone();
        let spawned = std::thread::Builder::new().name("disk-quotas".to_string()).spawn(move || run.run());
        spawned.map_err(|error| ("isolation", format!("disk/xfs: cannot start its thread: {error}")))?;
        Ok(Xfs { shared })
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.ended.notify_all();
    }
}

fn failed(what: String) -> impl FnOnce(io::Error) -> IsolatorError {
    move |error| IsolatorError::Failed(what, error)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let (mut look, mut reclaim) = (Instant::now() + self.looks, Instant::now() + self.reclaims);
        let mut state = self.state();
        while !state.ended {
            let now = Instant::now();
            if now >= look {
                drop(state);
                self.look();
                look = Instant::now() + self.looks;
                state = self.state();
            } else if now >= reclaim {
                self.reclaim(&mut state);
                reclaim = Instant::now() + self.reclaims;
            } else {
                let left = look.min(reclaim).saturating_duration_since(now);
                state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Tells of those that take more than they have.
    fn look(&self) {
        if !matches!(self.policy, Policy::Kills { .. }) {
            return;
        }
        let all: Vec<(ContainerId, Known)> =
            self.state().containers.iter().map(|(id, known)| (id.clone(), known.clone())).collect();
        for (id, known) in all.into_iter().filter(|(_, known)| !known.exceeded) {
            for (path, place) in &known.places {
                let Some(project) = place.project else { continue };
                let used = match self.projects.used(path, project) {
                    Ok(used) => used,
                    Err(error) => {
                        tracing::warn!(
                            "the disk usage of {id} at '{}' is not known: {error}",
                            path.display()
                        );
                        continue;
                    }
                };
                if used <= place.bytes {
                    continue;
                }
                if let Some(known) = self.state().containers.get_mut(&id) {
                    known.exceeded = true;
                }
                let volume = place.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
                let volume = volume.map(|volume| format!(" for volume '{}'", volume.id)).unwrap_or_default();
                let message = format!(
                    "Disk usage ({}) exceeded quota ({}){volume}",
                    format_size(used),
                    format_size(place.bytes)
                );
                let amount = messor_types::Resource::scalar("disk", (used / MEGABYTE) as f64)
                    .to_proto(messor_types::ResourceFormat::PostRefinement);
                let resource = Resource { disk: place.disk.clone(), ..amount };
                self.limitations.exceeded(&id, limitation(vec![resource], message));
                break;
            }
        }
    }

    /// Ids whose directories were removed are free again.
    fn reclaim(&self, state: &mut State) {
        let in_use: BTreeSet<u32> = state
            .containers
            .values()
            .flat_map(|known| known.places.values().filter_map(|place| place.project))
            .collect();
        state.used.retain(|project, paths| {
            if in_use.contains(project) {
                return true;
            }
            paths.retain(|path| path.exists());
            if paths.is_empty() {
                if let Err(error) = self.projects.set_limits(&self.work_dir, *project, 0, 0) {
                    tracing::warn!("the limit of project {project} is not removed: {error}");
                }
                return false;
            }
            true
        });
    }

    /// Gives a directory an id of its own.
    fn assign(&self, state: &mut State, path: &Path) -> Result<u32, IsolatorError> {
        let free = self.range.iter().find(|id| !state.used.contains_key(id)).copied();
        let Some(free) = free else {
            return Err(IsolatorError::Invalid(
                "--xfs_project_range: all project ids are in use".to_string(),
            ));
        };
        state.used.entry(free).or_default().insert(path.to_path_buf());
        self.projects
            .set_project(path, free)
            .map_err(failed(format!("cannot give '{}' the project {free}", path.display())))?;
        Ok(free)
    }

    fn limit(&self, path: &Path, project: u32, bytes: u64) -> Result<(), IsolatorError> {
        let (soft, hard) = match self.policy {
            Policy::Counts => (0, 0),
            Policy::Refuses => (bytes, bytes),
            Policy::Kills { headroom } => (bytes, bytes.saturating_add(headroom)),
        };
        self.projects
            .set_limits(path, project, soft, hard)
            .map_err(failed(format!("cannot limit project {project} at '{}'", path.display())))
    }

    /// The ids that directories of before have.
    fn find(&self, state: &mut State, pattern: &[&str]) -> Result<(), IsolatorError> {
        let mut level = vec![self.work_dir.clone()];
        for part in pattern {
            let mut next = Vec::new();
            for path in level {
                if *part != "*" {
                    next.push(path.join(part));
                } else if let Ok(entries) = fs::read_dir(&path) {
                    let directories =
                        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                    next.extend(directories.map(|entry| entry.path()));
                }
            }
            level = next;
        }
        for path in level.into_iter().filter(|path| path.is_dir()) {
            let found = self
                .projects
                .project(&path)
                .map_err(failed(format!("cannot tell the project of '{}'", path.display())))?;
            if let Some(project) = found {
                state.used.entry(project).or_default().insert(path);
            }
        }
        Ok(())
    }
}

/// What of the sandbox itself a container may take.
fn sandbox_bytes(resources: &[Resource]) -> Option<u64> {
    let plain = resources.iter().filter(|resource| resource.name == "disk" && resource.disk.is_none());
    let mut amounts = plain.filter_map(|resource| Some(resource.scalar.as_ref()?.value)).peekable();
    amounts.peek()?;
    Some((amounts.sum::<f64>() * MEGABYTE as f64) as u64)
}

impl Isolator for Xfs {
    fn name(&self) -> &'static str {
        "disk/xfs"
    }

    fn metrics(&self) -> Vec<(&'static str, f64)> {
        let used = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).used.len();
        let total = self.shared.range.len();
        vec![
            ("disk/project_ids_free", total.saturating_sub(used) as f64),
            ("disk/project_ids_total", total as f64),
        ]
    }

    fn recover(&self, going_on: &[Recovered], _: &[ContainerId]) -> Result<(), IsolatorError> {
        let shared = &self.shared;
        let mut state = shared.state();
        let sandboxes = ["slaves", "*", "frameworks", "*", "executors", "*", "runs", "*"];
        shared.find(&mut state, &sandboxes)?;
        shared.find(&mut state, &["volumes", "roles", "*", "*"])?;
        for found in going_on.iter().map(|found| &found.container).filter(|found| !found.is_nested()) {
            let sandbox = PathBuf::from(&found.config.directory);
            let known = shared
                .projects
                .project(&sandbox)
                .map_err(failed(format!("cannot tell the project of '{}'", sandbox.display())))?;
            // It began without this isolator; its limits come with the first update.
            let project = match known {
                Some(project) => {
                    state.used.entry(project).or_default().insert(sandbox.clone());
                    project
                }
                None => shared.assign(&mut state, &sandbox)?,
            };
            let bytes = sandbox_bytes(&found.config.resources).unwrap_or(u64::MAX);
            let place = Place { project: Some(project), bytes, disk: None };
            let places = BTreeMap::from([(sandbox.clone(), place)]);
            state.containers.insert(found.id.clone(), Known { sandbox, places, exceeded: false });
        }
        Ok(())
    }

    /// Early, so that all that is put into the sandbox is of its project from the beginning.
    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let sandbox = PathBuf::from(&container.config.directory);
        {
            let mut state = self.shared.state();
            let project = self.shared.assign(&mut state, &sandbox)?;
            let place = Place { project: Some(project), bytes: u64::MAX, disk: None };
            let places = BTreeMap::from([(sandbox.clone(), place)]);
            state.containers.insert(container.id.clone(), Known { sandbox, places, exceeded: false });
        }
        self.update(container)?;
        Ok(None)
    }

    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        let shared = &self.shared;
        let mut state = shared.state();
        let Some(mut known) = state.containers.get(&container.id).cloned() else { return Ok(()) };
        if let (Some(bytes), Some(place)) =
            (sandbox_bytes(&container.config.resources), known.places.get_mut(&known.sandbox))
        {
            place.bytes = bytes;
            if let Some(project) = place.project {
                shared.limit(&known.sandbox, project, bytes)?;
            }
        }
        let mut places = BTreeMap::new();
        places.extend(known.places.remove_entry(&known.sandbox));
        let wrong =
            |error| IsolatorError::Invalid(format!("the container's resources cannot be read: {error}"));
        for resource in &container.config.resources {
            let Some(disk) = resource.disk.as_ref().filter(|disk| disk.persistence.is_some()) else {
                continue;
            };
            let typed = Resources::from_proto(std::slice::from_ref(resource)).map_err(wrong)?;
            let Some(path) = typed.iter().next().and_then(volume_path) else { continue };
            let path = shared.work_dir.join(path);
            let bytes = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value) * MEGABYTE as f64;
            let mut place = Place { project: None, bytes: bytes as u64, disk: Some(disk.clone()) };
            if !is_mount(disk) {
                let present = shared
                    .projects
                    .project(&path)
                    .map_err(failed(format!("cannot tell the project of '{}'", path.display())))?;
                let project = match present {
                    Some(project) => {
                        state.used.entry(project).or_default().insert(path.clone());
                        project
                    }
                    None => {
                        shared.projects.check(&path).map_err(failed("disk/xfs".to_string()))?;
                        shared.assign(&mut state, &path)?
                    }
                };
                shared.limit(&path, project, place.bytes)?;
                place.project = Some(project);
            }
            places.insert(path, place);
        }
        known.places = places;
        state.containers.insert(container.id.clone(), known);
        Ok(())
    }

    fn usage(&self, container: &Container) -> Result<ResourceStatistics, IsolatorError> {
        let mut statistics = ResourceStatistics::default();
        let Some(known) = self.shared.state().containers.get(&container.id).cloned() else {
            return Ok(statistics);
        };
        for (path, place) in &known.places {
            let used = match place.project {
                Some(project) => self.shared.projects.used(path, project),
                None => host::disk(path).map(|disk| disk.total_bytes.saturating_sub(disk.free_bytes)),
            };
            let used =
                used.map_err(failed(format!("the disk usage at '{}' is not known", path.display())))?;
            let limit = (place.bytes != u64::MAX).then_some(place.bytes);
            match &place.disk {
                None => {
                    statistics.disk_used_bytes = Some(used);
                    statistics.disk_limit_bytes = limit;
                }
                Some(disk) => statistics.disk_statistics.push(DiskStatistics {
                    source: disk.source.clone(),
                    persistence: disk.persistence.clone(),
                    limit_bytes: place.project.and(limit),
                    used_bytes: Some(used),
                }),
            }
        }
        Ok(statistics)
    }

    /// The ids stay in use until the sandbox is removed.
    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        self.shared.state().containers.remove(container);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
