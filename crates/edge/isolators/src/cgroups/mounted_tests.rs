//! Controllers that this host has mounted nowhere: below a directory of the test's own.

use super::tests::*;
use super::*;
use crate::isolator::tests::nested;
use crate::tests::{skip, told};
use std::process::{Command, Stdio};

fn below(flags: &mut AgentFlags, base: &Path) {
    flags.containers.cgroups_hierarchy =
        <messor_flags::Location as messor_flags::FlagValue>::read(base.to_str().unwrap()).unwrap();
}

/// U107: a controller that is mounted nowhere is mounted.
#[test]
fn net_cls_is_mounted_and_gives_out_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let base = std::fs::canonicalize(folder.path()).unwrap();
    let set = |flags: &mut AgentFlags| {
        flags.containers.cgroups_net_cls_primary_handle = Some("0x12".to_string());
        flags.containers.cgroups_net_cls_secondary_handles = Some("0x1,0x2".to_string());
        below(flags, &base);
    };
    let there = Hierarchies::find(Path::new("/sys/fs/cgroup")).unwrap().controllers().unwrap();
    if !there.iter().any(|name| name == "net_cls") || Path::new("/sys/fs/cgroup/net_cls").exists() {
        return skip("mounting the controller net_cls: it is not there, or mounted already");
    }
    let Some(real) = Real::with(&["cgroups/net_cls"], set) else { return };
    let (a, b, c) = (usual("a"), usual("b"), usual("c"));
    let number = |container: &Container| {
        real.cgroups.status(container).unwrap().cgroup_info.unwrap().net_cls.unwrap().classid.unwrap()
    };
    real.cgroups.prepare(&a).unwrap();
    real.cgroups.prepare(&b).unwrap();
    assert_eq!((number(&a), number(&b)), (0x12_0001, 0x12_0002));
    assert_eq!(number(&nested(&a, "n")), 0x12_0001);
    assert!(real.cgroups.prepare(&c).unwrap_err().to_string().contains("are in use"));
    real.cgroups.cleanup(&c.id).unwrap();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    real.cgroups.isolate(&a, i32::try_from(sleeper.id()).unwrap()).unwrap();
    let file = base.join("net_cls").join(&real.root).join("a/net_cls.classid");
    assert_eq!(std::fs::read_to_string(file).unwrap().trim(), 0x12_0001.to_string());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let mut flags = AgentFlags::default();
    set(&mut flags);
    flags.containers.cgroups_root.clone_from(&real.root);
    let next = Cgroups::make(&flags, &["cgroups/net_cls"], told().0).unwrap();
    next.recover(&[a.clone(), b.clone()].map(|container| Recovered { container, pid: None }), &[]).unwrap();
    real.cgroups.cleanup(&b.id).unwrap();
    next.cleanup(&b.id).unwrap();
    next.prepare(&c).unwrap();
    let status = next.status(&c).unwrap().cgroup_info.unwrap().net_cls.unwrap();
    assert_eq!(status.classid, Some(0x12_0002), "that of a is still known to be in use");
    next.cleanup(&c.id).unwrap();
    next.cleanup(&a.id).unwrap();
    drop(real);
    messor_linux::mounts::unmount_below(&base).unwrap();
}

/// Of which nothing is set, as in 1.11.0: containers are in groups of their own, which others may set.
#[test]
fn hugetlb_and_net_prio_hold_containers() {
    let folder = tempfile::tempdir().unwrap();
    let base = std::fs::canonicalize(folder.path()).unwrap();
    let set = |flags: &mut AgentFlags| below(flags, &base);
    let there = Hierarchies::find(Path::new("/sys/fs/cgroup")).unwrap().controllers().unwrap();
    for name in ["hugetlb", "net_prio"] {
        if !there.iter().any(|one| one == name) || Path::new("/sys/fs/cgroup").join(name).exists() {
            skip("mounting the controllers hugetlb and net_prio: they are not there, or mounted already");
            continue;
        }
        let Some(real) = Real::with(&[&format!("cgroups/{name}")], set) else { return };
        let container = usual("a");
        real.cgroups.prepare(&container).unwrap();
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        real.cgroups.isolate(&container, i32::try_from(sleeper.id()).unwrap()).unwrap();
        real.cgroups.update(&container).unwrap();
        let group = base.join(name).join(&real.root).join("a");
        let inside = std::fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(inside.trim(), sleeper.id().to_string());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        real.cgroups.cleanup(&container.id).unwrap();
        assert!(!group.exists());
    }
    messor_linux::mounts::unmount_below(&base).unwrap();
}

#[test]
fn perf_samples_containers() {
    let folder = tempfile::tempdir().unwrap();
    let base = std::fs::canonicalize(folder.path()).unwrap();
    let set = |flags: &mut AgentFlags| {
        flags.containers.perf_events = Some("task-clock,context-switches".to_string());
        flags.containers.perf_interval = Duration::from_millis(200);
        flags.containers.perf_duration = Duration::from_millis(200);
        below(flags, &base);
    };
    let can = Command::new("perf").args(["stat", "-a", "true"]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) || Path::new("/sys/fs/cgroup/perf_event").exists() {
        return skip("perf: the program does not work here, or the controller is mounted already");
    }
    let Some(mut real) = Real::with(&["cgroups/perf_event"], set) else { return };
    let container = usual("c");
    real.cgroups.prepare(&container).unwrap();
    let pid = real.process("while :; do :; done");
    real.cgroups.isolate(&container, pid).unwrap();
    real.go();
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let found = real.cgroups.usage(&container).unwrap().perf;
        if let Some(clock) = found.and_then(|perf| perf.task_clock).filter(|clock| *clock > 0.0) {
            assert!(clock < 60_000.0);
            break;
        }
        assert!(std::time::Instant::now() < end, "no sample");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(real);
    messor_linux::mounts::unmount_below(&base).unwrap();
}
