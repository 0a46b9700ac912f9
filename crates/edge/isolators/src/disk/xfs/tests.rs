//! Projects on a file system that is made up.

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
        flags.containers.xfs_quota_headroom.0 = 3 * MEGABYTE;
    });
    let asks = host.container("c");
    host.isolator.prepare(&asks).unwrap();
    // Between the two it may go on until it is looked at.
    assert_eq!(host.limit(7), (4 * MEGABYTE, 7 * MEGABYTE));
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
