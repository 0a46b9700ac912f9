//! Version 1 with the groups of this host, each test in a root of its own; version 2 on a fake.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use messor_linux::cgroups::Fake;
use messor_proto::mesos::slave::ContainerLimitation;
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::value::Scalar;
use messor_proto::mesos::{ContainerInfo, LinuxInfo, TaskInfo};
use messor_types::Resources;

use super::*;
use crate::isolator::tests::{container, nested, resources};
use crate::tests::{skip, told};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The files that version 2 has in each group.
const UNIFIED: [(&str, &str); 18] = [
    ("cgroup.controllers", "cpu io memory pids\n"),
    ("cgroup.subtree_control", ""),
    ("cgroup.procs", ""),
    ("cgroup.threads", ""),
    ("cpu.weight", "100\n"),
    ("cpu.max", "max 100000\n"),
    (
        "cpu.stat",
        "usage_usec 3\nuser_usec 1500000\nsystem_usec 250000\nnr_periods 4\nnr_throttled 2\nthrottled_usec 500000\n",
    ),
    ("memory.current", "1048576\n"),
    ("memory.low", "0\n"),
    ("memory.max", "max\n"),
    ("memory.peak", "33554432\n"),
    ("memory.swap.max", "max\n"),
    ("memory.swap.current", "4096\n"),
    ("memory.events", "low 0\noom 0\noom_kill 0\n"),
    ("memory.stat", "anon 10\nfile 20\nkernel 30\nsock 40\nfile_mapped 50\nunevictable 60\n"),
    ("io.stat", "8:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n"),
    ("pids.max", "max\n"),
    ("cpuset.cpus", ""),
];

/// A container with 1 processor and 64 MB.
pub(super) fn usual(id: &str) -> Container {
    let mut container = container(id);
    container.config.resources = resources(&[("cpus", 1.0), ("mem", 64.0)]);
    container
}

fn limited(mut container: Container, limits: &[(&str, f64)]) -> Container {
    container.config.limits =
        limits.iter().map(|(name, value)| (name.to_string(), Scalar { value: *value })).collect();
    container
}

pub(super) fn sharing(mut container: Container, share: bool) -> Container {
    let linux_info = Some(LinuxInfo { share_cgroups: Some(share), ..LinuxInfo::default() });
    container.config.container_info = Some(ContainerInfo { linux_info, ..ContainerInfo::default() });
    container
}

fn unified(flags: &AgentFlags, isolators: &[&str]) -> (tempfile::TempDir, Arc<Fake>, Cgroups) {
    let folder = tempfile::tempdir().unwrap();
    let fake = Arc::new(Fake::new(&UNIFIED));
    for (name, text) in UNIFIED {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let hierarchies = Hierarchies::over(fake.clone(), folder.path(), Version::V2, &[]);
    let made = Cgroups::over(hierarchies, flags, isolators, told().0).unwrap();
    (folder, fake, made)
}

/// The groups of this host, in a root that is removed at the end.
pub(crate) struct Real {
    pub root: String,
    pub cgroups: Cgroups,
    pub told: mpsc::Receiver<(ContainerId, ContainerLimitation)>,
    children: Vec<Child>,
}

impl Real {
    /// None, with a word about it, where this host cannot.
    pub(super) fn with(isolators: &[&str], set: impl FnOnce(&mut AgentFlags)) -> Option<Real> {
        let usable = Hierarchies::find(Path::new("/sys/fs/cgroup")).is_ok_and(|h| h.version() == Version::V1);
        if !usable {
            skip("control groups of version 1: this host does not have them");
            return None;
        }
        Real::make(isolators, set)
    }

    /// On the hierarchy that is mounted there.
    pub fn on(mount: &str, isolators: &[&str], set: impl FnOnce(&mut AgentFlags)) -> Option<Real> {
        let flags = |flags: &mut AgentFlags| {
            set(flags);
            flags.containers.cgroups_hierarchy =
                <messor_flags::Location as messor_flags::FlagValue>::read(mount).unwrap();
        };
        Real::make(isolators, flags)
    }

    fn make(isolators: &[&str], set: impl FnOnce(&mut AgentFlags)) -> Option<Real> {
        let (limitations, told) = told();
        let mut flags = AgentFlags::default();
        let number = std::process::id();
        let root = format!("messor-test-{number}-{:?}", std::thread::current().id());
        let root: String = root.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        flags.containers.cgroups_root.clone_from(&root);
        set(&mut flags);
        if !crate::is_superuser() {
            skip("control groups: need the superuser");
            return None;
        }
        let cgroups = Cgroups::make(&flags, isolators, limitations).unwrap();
        Some(Real { root, cgroups, told, children: Vec::new() })
    }

    fn read(&self, controller: &str, file: &str) -> String {
        let path = format!("/sys/fs/cgroup/{controller}/{}/{file}", self.root);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_string()
    }

    /// A process that waits for a line before it becomes `script`.
    pub fn process(&mut self, script: &str) -> i32 {
        let child = Command::new("/bin/sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.children.push(child);
        pid
    }

    pub fn go(&mut self) {
        use std::io::Write;
        self.children.last_mut().unwrap().stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    pub fn end(&mut self) {
        for mut child in self.children.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.end();
        for place in &self.cgroups.places {
            if let Err(error) = self.cgroups.group(place, &self.root).remove(PATIENCE) {
                eprintln!("left behind: {error}");
            }
        }
    }
}

#[test]
fn shares_and_quotas_are_written() {
    let Some(real) = Real::with(&["cgroups/cpu"], |flags| flags.containers.cgroups_enable_cfs = true) else {
        return;
    };
    let mut asks = usual("c");
    real.cgroups.prepare(&asks).unwrap();
    assert_eq!(real.read("cpu", "c/cpu.shares"), "1024");
    assert_eq!(real.read("cpu", "c/cpu.cfs_quota_us"), "100000");
    asks.config.resources = resources(&[("cpus", 0.001), ("mem", 64.0)]);
    real.cgroups.update(&asks).unwrap();
    assert_eq!(
        (real.read("cpu", "c/cpu.shares"), real.read("cpu", "c/cpu.cfs_quota_us")),
        ("2".into(), "1000".into())
    );
    real.cgroups.update(&limited(asks, &[("cpus", f64::INFINITY)])).unwrap();
    assert_eq!(real.read("cpu", "c/cpu.cfs_quota_us"), "-1");
    let usage = real.cgroups.usage(&usual("c")).unwrap();
    assert_eq!((usage.cpus_nr_periods, usage.cpus_user_time_secs), (Some(0), Some(0.0)));
    real.cgroups.cleanup(&ContainerId::new("c")).unwrap();
    real.cgroups.cleanup(&ContainerId::new("c")).unwrap();
    assert!(!Path::new("/sys/fs/cgroup/cpu").join(&real.root).join("c").exists());
}

/// U002: a limit is a quota, whether or not the flag asks for quotas.
#[test]
fn a_limit_is_a_quota_without_the_flag() {
    let Some(real) = Real::with(&["cgroups/cpu"], |_| {}) else { return };
    let mut low = usual("c");
    for resource in &mut low.config.resources {
        resource.revocable = Some(Default::default());
    }
    real.cgroups.prepare(&low).unwrap();
    assert_eq!(
        (real.read("cpu", "c/cpu.shares"), real.read("cpu", "c/cpu.cfs_quota_us")),
        ("10".into(), "-1".into())
    );
    real.cgroups.update(&limited(usual("c"), &[("cpus", 1.5)])).unwrap();
    assert_eq!(real.read("cpu", "c/cpu.cfs_quota_us"), "150000");
}

#[test]
fn memory_has_a_soft_and_a_hard_limit() {
    let Some(real) = Real::with(&["cgroups/mem"], |flags| flags.containers.cgroups_limit_swap = true) else {
        return;
    };
    let both = |real: &Real| {
        let of = |name: &str| real.read("memory", name).parse::<u64>().unwrap() >> 20;
        assert_eq!(of("c/memory.memsw.limit_in_bytes"), of("c/memory.limit_in_bytes"));
        (of("c/memory.soft_limit_in_bytes"), of("c/memory.limit_in_bytes"))
    };
    let mut asks = usual("c");
    real.cgroups.prepare(&asks).unwrap();
    assert_eq!(both(&real), (64, 64));
    // Less is a wish, more is granted: what is in use is not killed for.
    asks.config.resources = resources(&[("cpus", 1.0), ("mem", 1.0)]);
    real.cgroups.update(&asks).unwrap();
    assert_eq!(both(&real), (32, 64));
    real.cgroups.update(&limited(asks.clone(), &[("mem", 128.0)])).unwrap();
    assert_eq!(both(&real), (32, 128));
    real.cgroups.update(&limited(asks, &[("mem", f64::INFINITY)])).unwrap();
    assert!(both(&real).1 > 1 << 40);
    let usage = real.cgroups.usage(&usual("c")).unwrap();
    assert!(usage.mem_total_bytes.is_some() && usage.mem_total_memsw_bytes.is_some());
    assert_eq!((usage.mem_rss_bytes, usage.mem_low_pressure_counter), (Some(0), Some(0)));
}

/// U033: who takes more memory than the limit is told of, with what it had.
#[test]
fn memory_that_runs_out_is_told_at_once() {
    let Some(mut real) = Real::with(&["cgroups/mem", "cgroups/cpu"], |_| {}) else { return };
    let mut hog = usual("c");
    hog.config.resources = resources(&[("cpus", 1.0), ("mem", 32.0)]);
    real.cgroups.prepare(&hog).unwrap();
    let pid = real.process("exec tail /dev/zero");
    real.cgroups.isolate(&hog, pid).unwrap();
    assert_eq!(real.read("memory", "c/cgroup.procs"), pid.to_string());
    real.go();
    let (id, limitation) = real.told.recv_timeout(PATIENCE).unwrap();
    assert_eq!((id, limitation.reason()), (ContainerId::new("c"), Reason::ContainerLimitationMemory));
    let message = limitation.message.unwrap();
    assert!(
        message.starts_with(
            "Memory limit exceeded: Requested: 32MB Maximum Used: 32MB\n\nMEMORY STATISTICS: \n"
        ),
        "{message}"
    );
    assert!(message.contains("total_rss "), "{message}");
    let used = Resources::from_proto(&limitation.resources).unwrap();
    assert_eq!(used.mem().unwrap().to_f64(), 32.0);
    real.end();
    real.cgroups.cleanup(&hog.id).unwrap();
    assert!(real.told.try_recv().is_err(), "it is told once, and not for the removal");
}

#[test]
fn a_task_beyond_its_request_is_the_first_to_be_killed() {
    let Some(mut real) = Real::with(&["cgroups/mem"], |_| {}) else { return };
    let mut task = limited(usual("c"), &[("mem", 128.0)]);
    task.config.task_info = Some(TaskInfo::default());
    real.cgroups.prepare(&task).unwrap();
    let pid = real.process("true");
    real.cgroups.isolate(&task, pid).unwrap();
    let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    let expected = 1000 - 1000 * (64u64 << 20) / messor_linux::host::memory().unwrap().total_bytes;
    assert_eq!(score.trim(), expected.to_string());
}

#[test]
fn nested_containers_share_or_have_their_own() {
    let Some(mut real) = Real::with(&["cgroups/cpu", "cgroups/cpuset", "cgroups/pids"], |_| {}) else {
        return;
    };
    let parent = usual("p");
    let (shared, own) = (nested(&parent, "s"), sharing(nested(&parent, "o"), false));
    real.cgroups.prepare(&parent).unwrap();
    real.cgroups.prepare(&shared).unwrap();
    let mut own = own;
    own.config.resources = resources(&[("cpus", 0.5)]);
    real.cgroups.prepare(&own).unwrap();
    let (first, second) = (real.process("true"), real.process("true"));
    real.cgroups.isolate(&shared, first).unwrap();
    real.cgroups.isolate(&own, second).unwrap();
    for controller in ["cpu", "cpuset", "pids"] {
        assert_eq!(real.read(controller, "p/cgroup.procs"), first.to_string());
        assert_eq!(real.read(controller, "p/mesos/o/cgroup.procs"), second.to_string());
    }
    assert_eq!(real.read("cpu", "p/mesos/o/cpu.shares"), "512");
    real.cgroups.update(&shared).unwrap();
    let deeper = sharing(nested(&own, "d"), false);
    assert!(real.cgroups.prepare(&deeper).unwrap_err().to_string().starts_with("LinuxInfo.share_cgroups: "));
    real.end();
    real.cgroups.cleanup(&own.id).unwrap();
    real.cgroups.cleanup(&shared.id).unwrap();
    real.cgroups.cleanup(&parent.id).unwrap();
    assert!(!Path::new("/sys/fs/cgroup/cpu").join(&real.root).join("p").exists());
}

#[test]
fn the_next_agent_goes_on_and_removes_what_nobody_knows() {
    let Some(real) = Real::with(&["cgroups/cpu", "cgroups/mem"], |_| {}) else { return };
    let mut small = sharing(nested(&usual("keep"), "n"), false);
    small.config.resources = resources(&[("cpus", 0.5), ("mem", 32.0)]);
    for made in [&usual("keep"), &usual("orphan"), &usual("unknown"), &small] {
        real.cgroups.prepare(made).unwrap();
    }
    let mut flags = AgentFlags::default();
    flags.containers.cgroups_root.clone_from(&real.root);
    let (limitations, _told) = told();
    let next = Cgroups::make(&flags, &["cgroups/cpu", "cgroups/mem", "cgroups/pids"], limitations).unwrap();
    let going_on = [usual("keep"), small].map(|container| Recovered { container, pid: None });
    next.recover(&going_on, &[ContainerId::new("orphan"), ContainerId::new("gone")]).unwrap();
    let top = Path::new("/sys/fs/cgroup/cpu").join(&real.root);
    assert!(
        top.join("keep/mesos/n").exists() && top.join("orphan").exists() && !top.join("unknown").exists()
    );
    // It was started without the controller pids, and goes on without it.
    next.update(&usual("keep")).unwrap();
    next.cleanup(&ContainerId::new("orphan")).unwrap();
    next.cleanup(&ContainerId::new("gone")).unwrap();
    assert!(!top.join("orphan").exists());
    let pids = next.places.iter().find(|place| place.name == "pids").unwrap();
    next.group(pids, &real.root).remove(PATIENCE).unwrap();
}

/// U018: all that the kernel has.
#[test]
fn all_are_all_that_there_are() {
    let Some(real) = Real::with(&["cgroups/cpu"], |_| {}) else { return };
    let all = wanted(&real.cgroups.hierarchies, &["cgroups/all", "cgroups/cpu"]).unwrap();
    assert!(["cpu", "cpuacct", "memory", "pids"].iter().all(|name| all.contains(name)), "{all:?}");
    assert!(!all.contains(&"freezer"));
}

/// U019: a container with an image sees its own groups.
#[test]
fn a_container_with_a_root_sees_its_own_groups() {
    let Some(real) = Real::with(&["cgroups/cpu", "cgroups/mem"], |_| {}) else { return };
    let mut rooted = usual("c");
    rooted.config.rootfs = Some("/roots/c".to_string());
    let info = real.cgroups.prepare(&rooted).unwrap().unwrap();
    assert_eq!(info.clone_namespaces, [CLONE_NEWNS]);
    let mounts: Vec<(String, String)> =
        info.mounts.into_iter().map(|mount| (mount.source.unwrap(), mount.target)).collect();
    let expected = |name: &str| {
        (format!("/sys/fs/cgroup/{name}/{}/c", real.root), format!("/roots/c/sys/fs/cgroup/{name}"))
    };
    assert_eq!(mounts, ["cpu", "cpuacct", "memory"].map(expected));
    rooted.id = ContainerId::new("d");
    rooted.config.task_info = Some(TaskInfo::default());
    let info = real.cgroups.prepare(&rooted).unwrap().unwrap();
    let argument = &info.command.unwrap().arguments[0];
    assert!(argument.starts_with("--task_launch_info={") && argument.contains("/roots/c/sys"), "{argument}");
    assert!(info.mounts.is_empty());
}

#[test]
fn version_2_has_the_same_in_its_own_files() {
    let mut flags = AgentFlags::default();
    flags.containers.cgroups_enable_cfs = true;
    flags.containers.cgroups_limit_swap = true;
    let (folder, fake, cgroups) = unified(&flags, &["cgroups/cpu", "cgroups/mem", "cgroups/pids"]);
    let asks = limited(usual("c"), &[("mem", 128.0)]);
    cgroups.prepare(&asks).unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.path().join("mesos").join(file)).unwrap();
    assert_eq!(read("c/cpu.weight"), "100");
    assert_eq!(read("c/cpu.max"), "100000 100000");
    assert_eq!(
        (read("c/memory.low"), read("c/memory.max")),
        ((64 << 20).to_string(), (128 << 20).to_string())
    );
    assert_eq!(read("c/memory.swap.max"), "0");
    let enabled: Vec<PathBuf> = fake
        .writes()
        .into_iter()
        .filter(|(file, text)| file.ends_with("cgroup.subtree_control") && text == "+cpu +memory +pids")
        .map(|(file, _)| file.parent().unwrap().to_path_buf())
        .collect();
    let top = folder.path();
    assert_eq!(enabled, [top.to_path_buf(), top.join("mesos"), top.join("mesos/c")], "but not in the leaf");
    cgroups.isolate(&asks, 1234).unwrap();
    assert_eq!((read("c/leaf/cgroup.procs"), read("c/cgroup.procs")), ("1234".into(), String::new()));
    let usage = cgroups.usage(&asks).unwrap();
    assert_eq!((usage.cpus_user_time_secs, usage.cpus_system_time_secs), (Some(1.5), Some(0.25)));
    assert_eq!((usage.cpus_nr_throttled, usage.cpus_throttled_time_secs), (Some(2), Some(0.5)));
    assert_eq!((usage.mem_total_bytes, usage.mem_total_memsw_bytes), (Some(1 << 20), Some((1 << 20) + 4096)));
    assert_eq!((usage.mem_rss_bytes, usage.mem_cache_bytes), (Some(10), Some(20)));
    cgroups.update(&limited(asks.clone(), &[("mem", f64::INFINITY), ("cpus", f64::INFINITY)])).unwrap();
    assert_eq!((read("c/memory.max"), read("c/cpu.max")), ("max".into(), "max 100000".into()));
    // A nested one that shares is moved, unless it is below already.
    cgroups.isolate(&nested(&asks, "s"), 99).unwrap();
    assert_eq!(read("c/leaf/cgroup.procs"), "99");
    cgroups.isolate(&nested(&asks, "t"), 99).unwrap();
    assert_eq!(fake.writes().iter().filter(|(_, text)| text == "99").count(), 1);
    let own = sharing(nested(&asks, "o"), false);
    cgroups
        .prepare(&Container {
            config: messor_proto::mesos::slave::ContainerConfig {
                resources: resources(&[("cpus", 2.0), ("mem", 64.0)]),
                ..own.config.clone()
            },
            ..own.clone()
        })
        .unwrap();
    assert_eq!(read("c/mesos/o/cpu.weight"), "200");
    cgroups.cleanup(&own.id).unwrap();
    cgroups.cleanup(&asks.id).unwrap();
    assert!(!folder.path().join("mesos/c").exists());
}

#[test]
fn version_2_tells_of_memory_that_ran_out() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in UNIFIED {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let hierarchies = Hierarchies::over(Arc::new(Fake::new(&UNIFIED)), folder.path(), Version::V2, &[]);
    let (limitations, told) = told();
    let cgroups = Cgroups::over(hierarchies, &AgentFlags::default(), &["cgroups/mem"], limitations).unwrap();
    cgroups.prepare(&usual("c")).unwrap();
    std::fs::write(folder.path().join("mesos/c/memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
    let (id, limitation) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!((id, limitation.reason()), (ContainerId::new("c"), Reason::ContainerLimitationMemory));
    let message = limitation.message.unwrap();
    assert!(
        message.starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: 32MB\n\nMEMORY"),
        "{message}"
    );
}

#[test]
fn version_2_has_no_net_cls() {
    let hierarchies = Hierarchies::over(Arc::new(Fake::new(&[])), Path::new("/"), Version::V2, &[]);
    let error = wanted(&hierarchies, &["cgroups/net_cls"]).unwrap_err().to_string();
    assert_eq!(error, "control groups of version 2 have nothing like cgroups/net_cls");
}

/// What a shell says to opening these devices, in the group of a container.
pub(crate) fn opened(real: &mut Real, container: &Container, devices: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("answer");
    let path = answer.display();
    let script = format!(
        "for d in {devices}; do if (: < $d); then echo yes; else echo no; fi; done > {path}.new 2>/dev/null; mv {path}.new {path}"
    );
    let pid = real.process(&script);
    real.cgroups.isolate(container, pid).unwrap();
    real.go();
    real.children.pop().unwrap().wait().unwrap();
    std::fs::read_to_string(answer).unwrap().replace('\n', " ").trim().to_string()
}

#[test]
fn devices_are_the_usual_ones_and_those_that_are_allowed() {
    let allow = |flags: &mut AgentFlags| {
        let json = r#"{"allowed_devices":[{"device":{"path":"/dev/kmsg"},"access":{"read":true}}]}"#;
        flags.containers.allowed_devices =
            Some(<messor_flags::Json as messor_flags::FlagValue>::read(json).unwrap());
    };
    let Some(mut real) = Real::with(&["cgroups/devices"], allow) else { return };
    real.cgroups.prepare(&usual("c")).unwrap();
    let list = real.read("devices", "c/devices.list");
    for line in ["c *:* m", "b *:* m", "c 1:3 rwm", "c 136:* rwm", "c 10:200 rwm", "c 1:11 r"] {
        assert!(list.lines().any(|found| found == line), "{line} in {list}");
    }
    assert_eq!(list.lines().count(), 15);
    let disk = std::fs::read_dir("/sys/class/block").unwrap().next().unwrap().unwrap().file_name();
    let devices = format!("/dev/null /dev/urandom /dev/kmsg /dev/{}", disk.to_str().unwrap());
    assert_eq!(opened(&mut real, &usual("c"), &devices), "yes yes yes no");
}

/// On the second version of this host, if it has one: the program is the kernel's to run.
#[test]
fn version_2_limits_devices_by_a_program() {
    let Some(mount) = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|path| Hierarchies::find(Path::new(path)).is_ok_and(|found| found.version() == Version::V2))
    else {
        return skip("control groups of version 2: they are not mounted");
    };
    let Some(mut real) = Real::on(mount, &["cgroups/devices"], |_| {}) else { return };
    let container = usual("c");
    real.cgroups.prepare(&container).unwrap();
    assert_eq!(opened(&mut real, &container, "/dev/null /dev/urandom /dev/kmsg"), "yes yes no");
    real.cgroups.cleanup(&container.id).unwrap();
}

#[test]
fn what_disks_do_is_counted() {
    let Some(mut real) = Real::with(&["cgroups/blkio"], |_| {}) else { return };
    real.cgroups.prepare(&usual("c")).unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let file = folder.path().join("file");
    let pid = real.process(&format!("dd if=/dev/zero of={} bs=1M count=1 oflag=direct", file.display()));
    real.cgroups.isolate(&usual("c"), pid).unwrap();
    real.go();
    let done = real.children.pop().unwrap().wait().unwrap();
    let found = real.cgroups.usage(&usual("c")).unwrap().blkio_statistics.unwrap();
    // The sums stand last, whether or not there is more.
    let sums = found.throttling.last().unwrap();
    assert!(sums.device.is_none());
    if !done.success() || found.throttling.len() < 2 {
        return skip(
            "counting what disks do: the file system of the sources cannot write directly to a disk",
        );
    }
    let written = |value: &&messor_proto::mesos::cgroup_info::blkio::Value| {
        value.op() == messor_proto::mesos::cgroup_info::blkio::Operation::Write
    };
    let bytes = found.throttling[0].io_service_bytes.iter().find(written).unwrap().value;
    assert!(bytes >= Some(1 << 20), "{found:?}");
}
