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
mod tests {
    use super::*;
    use crate::isolator::tests::{container, resources};
    use crate::tests::{told, volume};
    use messor_proto::mesos::task_status::Reason;
    use messor_proto::mesos::volume::Mode;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A file system that counts by projects: directories by their names.
    #[derive(Default)]
    struct Fake {
        projects: Mutex<BTreeMap<PathBuf, u32>>,
        limits: Mutex<BTreeMap<u32, (u64, u64)>>,
        used: Mutex<BTreeMap<u32, u64>>,
    }

    impl Projects for Fake {
        fn check(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }

        fn project(&self, path: &Path) -> io::Result<Option<u32>> {
            Ok(self.projects.lock().unwrap().get(path).copied())
        }

        fn set_project(&self, path: &Path, project: u32) -> io::Result<()> {
            self.projects.lock().unwrap().insert(path.to_path_buf(), project);
            Ok(())
        }

        fn set_limits(&self, _: &Path, project: u32, soft: u64, hard: u64) -> io::Result<()> {
            self.limits.lock().unwrap().insert(project, (soft, hard));
            Ok(())
        }

        fn used(&self, _: &Path, project: u32) -> io::Result<u64> {
            Ok(self.used.lock().unwrap().get(&project).copied().unwrap_or(0))
        }
    }

    struct Host {
        folder: tempfile::TempDir,
        fake: Arc<Fake>,
        isolator: Xfs,
        told: mpsc::Receiver<(ContainerId, messor_proto::mesos::slave::ContainerLimitation)>,
    }

    impl Host {
        fn new(set: impl FnOnce(&mut AgentFlags)) -> Host {
            let (folder, fake) = (tempfile::tempdir().unwrap(), Arc::new(Fake::default()));
            fs::create_dir_all(folder.path().join("volumes/roles/r/v")).unwrap();
            let (isolator, told) = Host::start(folder.path(), &fake, set);
            Host { folder, fake, isolator, told }
        }

        fn start(
            path: &Path,
            fake: &Arc<Fake>,
            set: impl FnOnce(&mut AgentFlags),
        ) -> (Xfs, mpsc::Receiver<(ContainerId, messor_proto::mesos::slave::ContainerLimitation)>) {
            let mut flags = AgentFlags::default();
            flags.containers.xfs_project_range = "[7-8, 20-20]".to_string();
            flags.containers.container_disk_watch_interval = Duration::from_millis(10);
            flags.disk_watch_interval = Duration::from_millis(10);
            set(&mut flags);
            let (limitations, told) = told();
            (Xfs::start(&flags, path, fake.clone(), limitations).unwrap(), told)
        }

        fn container(&self, id: &str) -> Container {
            let mut container = container(id);
            let sandbox = self.folder.path().join("slaves/S/frameworks/F/executors/E/runs").join(id);
            fs::create_dir_all(&sandbox).unwrap();
            container.config.directory = sandbox.to_str().unwrap().to_string();
            container.config.resources = resources(&[("disk", 4.0)]);
            container
        }

        fn limit(&self, project: u32) -> (u64, u64) {
            self.fake.limits.lock().unwrap()[&project]
        }
    }

    fn enforcing(flags: &mut AgentFlags) {
        flags.containers.enforce_container_disk_quota = true;
    }

    /// U043: without the flag it is counted, and nobody is held to it.
    #[test]
    fn without_enforcement_it_is_counted() {
        let host = Host::new(|_| {});
        let mut asks = host.container("c");
        asks.config.resources.push(volume("v", "data", Mode::Rw));
        host.isolator.prepare(&asks).unwrap();
        assert_eq!((host.limit(7), host.limit(8)), ((0, 0), (0, 0)));
        host.fake.used.lock().unwrap().extend([(7, 9 * MEGABYTE), (8, 3 * MEGABYTE)]);
        let found = host.isolator.usage(&asks).unwrap();
        assert_eq!((found.disk_used_bytes, found.disk_limit_bytes), (Some(9 * MEGABYTE), Some(4 * MEGABYTE)));
        let of_volume = &found.disk_statistics[0];
        assert_eq!((of_volume.used_bytes, of_volume.limit_bytes), (Some(3 * MEGABYTE), Some(8 * MEGABYTE)));
        assert!(host.told.recv_timeout(Duration::from_millis(60)).is_err());
    }

    #[test]
    fn the_file_system_refuses_more_than_the_quota() {
        let host = Host::new(enforcing);
        let mut asks = host.container("c");
        host.isolator.prepare(&asks).unwrap();
        assert_eq!(host.limit(7), (4 * MEGABYTE, 4 * MEGABYTE));
        asks.config.resources = resources(&[("disk", 6.0)]);
        host.isolator.update(&asks).unwrap();
        assert_eq!(host.limit(7), (6 * MEGABYTE, 6 * MEGABYTE));
    }

    /// U031: who takes more is ended.
    #[test]
    fn with_the_flag_who_takes_more_is_ended() {
        let host = Host::new(|flags| {
            enforcing(flags);
            flags.containers.xfs_kill_containers = true;
        });
        let asks = host.container("c");
        host.isolator.prepare(&asks).unwrap();
        assert_eq!(host.limit(7), (4 * MEGABYTE, 14 * MEGABYTE));
        host.fake.used.lock().unwrap().insert(7, 5 * MEGABYTE);
        let (id, limitation) = host.told.recv_timeout(PATIENCE).unwrap();
        assert_eq!((id, limitation.reason()), (asks.id, Reason::ContainerLimitationDisk));
        assert_eq!(limitation.message.unwrap(), "Disk usage (5MB) exceeded quota (4MB)");
        assert_eq!(limitation.resources[0].scalar.as_ref().unwrap().value, 5.0);
    }

    #[test]
    fn ids_are_free_again_when_the_sandbox_is_gone() {
        let host = Host::new(|_| {});
        for id in ["a", "b", "c"] {
            host.isolator.prepare(&host.container(id)).unwrap();
        }
        let counted = [("disk/project_ids_free", 0.0), ("disk/project_ids_total", 3.0)];
        assert_eq!(host.isolator.metrics(), counted);
        let error = host.isolator.prepare(&host.container("d")).unwrap_err().to_string();
        assert_eq!(error, "--xfs_project_range: all project ids are in use");
        // The next agent knows them still.
        let (next, _told) = Host::start(host.folder.path(), &host.fake, |_| {});
        let going_on = Recovered { container: host.container("a"), pid: None };
        next.recover(&[going_on], &[]).unwrap();
        assert!(next.prepare(&host.container("d")).is_err());
        next.cleanup(&ContainerId::new("b")).unwrap();
        fs::remove_dir_all(&host.container("b").config.directory).unwrap();
        let end = Instant::now() + PATIENCE;
        while next.prepare(&host.container("e")).is_err() {
            assert!(Instant::now() < end, "no id becomes free");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(range("[5-7, 9-9]").unwrap().into_iter().collect::<Vec<_>>(), [5, 6, 7, 9]);
        for wrong in ["", "5-7", "[0-3]", "[7-5]", "[a-b]", "[1-4294967296]"] {
            assert!(range(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn another_file_system_is_refused_at_start() {
        let (limitations, _told) = told();
        let real = Arc::new(messor_linux::projects::Xfs);
        let error = Xfs::start(&AgentFlags::default(), Path::new("/proc"), real, limitations).err().unwrap();
        assert_eq!(error, ("isolation", "disk/xfs: '/proc' is not on an XFS file system".to_string()));
    }
}
