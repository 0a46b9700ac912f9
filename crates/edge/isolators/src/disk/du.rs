//! `disk/du`: how much the sandbox of a container and each of its volumes take, by going through them from time to time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use messor_flags::AgentFlags;
use messor_linux::disk_usage;
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_proto::mesos::{DiskStatistics, ResourceStatistics};
use messor_stdx::format_size;
use messor_types::ContainerId;

use super::{Quotas, limitation};
use crate::isolator::{Container, Isolator, IsolatorError, Limitations, Recovered};

pub struct Du {
    shared: Arc<Shared>,
}

struct Shared {
    interval: Duration,
    enforces: bool,
    limitations: Arc<dyn Limitations>,
    state: Mutex<State>,
    woken: Condvar,
    ended: AtomicBool,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<ContainerId, Known>,
    /// Paths that were never measured are not left waiting for the next round.
    is_new: bool,
}

#[derive(Clone, Default)]
struct Known {
    sandbox: PathBuf,
    /// Of the root file system, which counts as the sandbox does.
    ephemeral: Vec<PathBuf>,
    quotas: Quotas,
    used: BTreeMap<PathBuf, u64>,
    /// It is told of once.
    exceeded: bool,
}

impl Known {
    fn is_ephemeral(&self, path: &Path) -> bool {
        path == self.sandbox || self.ephemeral.iter().any(|ephemeral| ephemeral == path)
    }

    fn ephemeral_bytes(&self) -> u64 {
        self.used.iter().filter(|(path, _)| self.is_ephemeral(path)).map(|(_, bytes)| bytes).sum()
    }
}

impl Du {
    pub fn start(flags: &AgentFlags, limitations: Arc<dyn Limitations>) -> std::io::Result<Du> {
        let shared = Arc::new(Shared {
            interval: flags.containers.container_disk_watch_interval,
            enforces: flags.containers.enforce_container_disk_quota,
            limitations,
            state: Mutex::default(),
            woken: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let run = shared.clone();
        std::thread::Builder::new().name("disk-usage".to_string()).spawn(move || run.run())?;
        Ok(Du { shared })
    }

    fn known(container: &Container) -> Known {
        Known {
            sandbox: PathBuf::from(&container.config.directory),
            ephemeral: container.config.ephemeral_volumes.iter().map(PathBuf::from).collect(),
            ..Known::default()
        }
    }
}

impl Drop for Du {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.woken.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Round after round, one directory at a time, with the interval between the ends and the beginnings of two rounds.
    fn run(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            let round: Vec<(ContainerId, PathBuf)> = {
                let mut state = self.state();
                state.is_new = false;
                let paths = |(id, known): (&ContainerId, &Known)| {
                    known.quotas.keys().map(|path| (id.clone(), path.clone())).collect::<Vec<_>>()
                };
                state.containers.iter().flat_map(paths).collect()
            };
            for (id, path) in round {
                self.measure(&id, &path);
            }
            let next = Instant::now() + self.interval;
            let mut state = self.state();
            while !state.is_new && !self.ended.load(Ordering::Relaxed) {
                let left = next.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state = self.woken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn measure(&self, id: &ContainerId, path: &Path) {
        let excluded: BTreeSet<PathBuf> = match self.state().containers.get(id) {
            // Volumes count apart.
            Some(known) if known.is_ephemeral(path) => {
                known.quotas.keys().filter(|other| !known.is_ephemeral(other)).cloned().collect()
            }
            Some(_) => BTreeSet::new(),
            None => return,
        };
        let bytes = match disk_usage::usage(path, &excluded, &|| self.ended.load(Ordering::Relaxed)) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("the disk usage of {} at '{}' is not known: {error}", id, path.display());
                return;
            }
        };
        let mut state = self.state();
        // It may have gone meanwhile, or the volume.
        let Some(known) = state.containers.get_mut(id) else { return };
        let Some(quota) = known.quotas.get(path).cloned() else { return };
        known.used.insert(path.to_path_buf(), bytes);
        let used = if known.is_ephemeral(path) { known.ephemeral_bytes() } else { bytes };
        if self.enforces && !quota.is_mount() && used > quota.bytes && !known.exceeded {
            known.exceeded = true;
            drop(state);
            let message =
                format!("Disk usage ({}) exceeds quota ({})", format_size(used), format_size(quota.bytes));
            self.limitations.exceeded(id, limitation(quota.resources, message));
        }
    }
}

fn quotas(known: &Known, container: &Container) -> Quotas {
    let mut quotas = Quotas::new();
    for resource in container.config.resources.iter().filter(|resource| resource.name == "disk") {
        let volume = resource.disk.as_ref().and_then(|disk| disk.volume.as_ref());
        let path =
            volume.map_or_else(|| known.sandbox.clone(), |volume| known.sandbox.join(&volume.container_path));
        quotas.entry(path).or_default().add(resource);
    }
    if let Some(quota) = quotas.get(&known.sandbox).cloned() {
        quotas.extend(known.ephemeral.iter().map(|path| (path.clone(), quota.clone())));
    }
    quotas
}

impl Isolator for Du {
    fn name(&self) -> &'static str {
        "disk/du"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], _: &[ContainerId]) -> Result<(), IsolatorError> {
        // What is nested in another is in its sandbox.
        for found in going_on.iter().filter(|found| !found.container.is_nested()) {
            self.shared.state().containers.insert(found.container.id.clone(), Du::known(&found.container));
            self.update(&found.container)?;
        }
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        if !container.is_nested() {
            self.shared.state().containers.insert(container.id.clone(), Du::known(container));
            self.update(container)?;
        }
        Ok(None)
    }

    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        let mut state = self.shared.state();
        let Some(known) = state.containers.get_mut(&container.id) else { return Ok(()) };
        known.quotas = quotas(known, container);
        let Known { quotas, used, .. } = known;
        used.retain(|path, _| quotas.contains_key(path));
        if quotas.keys().any(|path| !used.contains_key(path)) {
            state.is_new = true;
            self.shared.woken.notify_all();
        }
        Ok(())
    }

    fn usage(&self, container: &Container) -> Result<ResourceStatistics, IsolatorError> {
        let mut statistics = ResourceStatistics::default();
        let state = self.shared.state();
        let Some(known) = state.containers.get(&container.id) else { return Ok(statistics) };
        for (path, quota) in known.quotas.iter().filter(|(path, _)| !known.is_ephemeral(path)) {
            let disk = quota.disk();
            statistics.disk_statistics.push(DiskStatistics {
                source: disk.and_then(super::source).cloned(),
                persistence: disk.and_then(|disk| disk.persistence.clone()),
                limit_bytes: Some(quota.bytes),
                used_bytes: known.used.get(path).copied(),
            });
        }
        if let Some(quota) = known.quotas.get(&known.sandbox) {
            let measured = known.used.contains_key(&known.sandbox);
            statistics.disk_limit_bytes = Some(quota.bytes);
            statistics.disk_used_bytes = measured.then(|| known.ephemeral_bytes());
            statistics.disk_statistics.push(DiskStatistics {
                limit_bytes: statistics.disk_limit_bytes,
                used_bytes: statistics.disk_used_bytes,
                ..DiskStatistics::default()
            });
        }
        Ok(statistics)
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        self.shared.state().containers.remove(container);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::{container, nested, resources};
    use crate::tests::{told, volume};
    use messor_proto::mesos::task_status::Reason;
    use messor_proto::mesos::volume::Mode;
    use std::fs;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn flags(enforces: bool) -> AgentFlags {
        let mut flags = AgentFlags::default();
        flags.containers.container_disk_watch_interval = Duration::from_millis(20);
        flags.containers.enforce_container_disk_quota = enforces;
        flags
    }

    fn in_sandbox(folder: &Path, megabytes: f64) -> Container {
        let mut container = container("c");
        container.config.directory = folder.to_str().unwrap().to_string();
        container.config.resources = resources(&[("disk", megabytes), ("mem", 32.0)]);
        container
    }

    fn used(isolator: &Du, container: &Container) -> ResourceStatistics {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = isolator.usage(container).unwrap();
            if found.disk_statistics.iter().all(|disk| disk.used_bytes.is_some()) {
                return found;
            }
            assert!(Instant::now() < end, "nothing is measured");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_sandbox_and_its_volumes_are_measured_apart() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("data/file"), vec![1; 2 << 20]).unwrap();
        fs::write(folder.path().join("own"), vec![1; 1 << 20]).unwrap();
        let (limitations, told) = told();
        let isolator = Du::start(&flags(false), limitations).unwrap();
        let mut asks = in_sandbox(folder.path(), 0.5);
        asks.config.resources.push(volume("v", "data", Mode::Rw));
        isolator.prepare(&asks).unwrap();
        let found = used(&isolator, &asks);
        assert_eq!(found.disk_limit_bytes, Some(512 << 10));
        let own = found.disk_used_bytes.unwrap();
        assert!((1 << 20..2 << 20).contains(&own), "{own}");
        assert_eq!(found.disk_statistics.len(), 2);
        let of_volume = &found.disk_statistics[0];
        assert_eq!(of_volume.persistence.as_ref().unwrap().id, "v");
        assert!(of_volume.used_bytes.unwrap() >= 2 << 20 && of_volume.limit_bytes == Some(8 << 20));
        assert!(told.try_recv().is_err(), "nobody is held to it without the flag");
        assert_eq!(isolator.usage(&nested(&asks, "n")).unwrap(), ResourceStatistics::default());
        isolator.cleanup(&asks.id).unwrap();
        assert_eq!(isolator.usage(&asks).unwrap(), ResourceStatistics::default());
    }

    #[test]
    fn who_takes_more_than_it_has_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let (limitations, told) = told();
        let isolator = Du::start(&flags(true), limitations).unwrap();
        let asks = in_sandbox(folder.path(), 1.0);
        let recovered = Recovered { container: asks.clone(), pid: None };
        isolator.recover(&[recovered], &[]).unwrap();
        used(&isolator, &asks);
        assert!(told.try_recv().is_err());
        // At once, so that no part of it is measured.
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), vec![1; 3 << 20]).unwrap();
        fs::rename(outside.path().join("file"), folder.path().join("file")).unwrap();
        let (id, limitation) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!((id, limitation.reason()), (asks.id.clone(), Reason::ContainerLimitationDisk));
        let message = limitation.message.unwrap();
        assert!(
            message.starts_with("Disk usage (3") && message.ends_with(") exceeds quota (1MB)"),
            "{message}"
        );
        assert_eq!(limitation.resources[0].name, "disk");
        // A volume alone.
        let mut other = in_sandbox(folder.path(), 64.0);
        other.id = ContainerId::new("d");
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("data/file"), vec![1; 9 << 20]).unwrap();
        other.config.resources.push(volume("v", "data", Mode::Rw));
        isolator.prepare(&other).unwrap();
        let (id, limitation) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!((id, limitation.resources[0].disk.is_some()), (other.id, true));
    }
}
