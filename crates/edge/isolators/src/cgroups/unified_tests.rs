//! Version 2 for real: on hosts that have it alone. `testing/cgroup2/run` makes one.

use messor_proto::mesos::task_status::Reason;

use super::tests::{PATIENCE, Real, sharing, usual};
use super::*;
use crate::isolator::tests::{nested, resources};
use crate::tests::skip;

const BASE: &str = "/sys/fs/cgroup";

fn real(isolators: &[&str], set: impl FnOnce(&mut AgentFlags)) -> Option<Real> {
    if !Hierarchies::find(Path::new(BASE)).is_ok_and(|found| found.version() == Version::V2) {
        skip("control groups of version 2 alone: testing/cgroup2/run has a machine with them");
        return None;
    }
    Real::on(BASE, isolators, set)
}

fn read(real: &Real, file: &str) -> String {
    let path = Path::new(BASE).join(&real.root).join(file);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .trim()
        .to_string()
}

#[test]
fn version_2_alone_holds_containers() {
    let all = ["cgroups/all"];
    let Some(mut real) = real(&all, |flags| flags.containers.cgroups_enable_cfs = true) else { return };
    let container = usual("c");
    real.cgroups.prepare(&container).unwrap();
    assert_eq!(
        (read(&real, "c/cpu.weight"), read(&real, "c/cpu.max")),
        ("100".into(), "100000 100000".into())
    );
    assert_eq!(read(&real, "c/memory.max"), (64 << 20).to_string());
    let pid = real.process("while :; do :; done");
    real.cgroups.isolate(&container, pid).unwrap();
    assert_eq!(read(&real, "c/leaf/cgroup.procs"), pid.to_string());
    // One that shares is in the same, one that does not has its own.
    let (shared, mut own) = (nested(&container, "s"), sharing(nested(&container, "o"), false));
    own.config.resources = resources(&[("cpus", 0.5), ("mem", 32.0)]);
    real.cgroups.prepare(&shared).unwrap();
    real.cgroups.prepare(&own).unwrap();
    assert_eq!(
        (read(&real, "c/mesos/o/cpu.weight"), read(&real, "c/mesos/o/cpu.max")),
        ("50".into(), "50000 100000".into())
    );
    let (second, third) = (real.process("true"), real.process("true"));
    real.cgroups.isolate(&shared, second).unwrap();
    real.cgroups.isolate(&own, third).unwrap();
    assert_eq!(read(&real, "c/leaf/cgroup.procs"), format!("{pid}\n{second}"));
    assert_eq!(read(&real, "c/mesos/o/leaf/cgroup.procs"), third.to_string());
    let usage = real.cgroups.usage(&container).unwrap();
    assert!(usage.mem_total_bytes > Some(0) && usage.cpus_user_time_secs.is_some(), "{usage:?}");
    assert!(usage.cpus_nr_periods.is_some() && usage.blkio_statistics.is_some(), "{usage:?}");
    real.end();
    real.cgroups.cleanup(&own.id).unwrap();
    real.cgroups.cleanup(&container.id).unwrap();
    assert!(!Path::new(BASE).join(&real.root).join("c").exists());
}

/// U033.
#[test]
fn version_2_alone_tells_of_memory_that_ran_out() {
    let Some(mut real) = real(&["cgroups/mem"], |_| {}) else { return };
    let mut hog = usual("c");
    hog.config.resources = resources(&[("cpus", 1.0), ("mem", 32.0)]);
    real.cgroups.prepare(&hog).unwrap();
    let pid = real.process("exec tail /dev/zero");
    real.cgroups.isolate(&hog, pid).unwrap();
    real.go();
    let (id, limitation) = real.told.recv_timeout(PATIENCE).unwrap();
    assert_eq!((id, limitation.reason()), (hog.id.clone(), Reason::ContainerLimitationMemory));
    let message = limitation.message.unwrap();
    assert!(message.starts_with("Memory limit exceeded: Requested: 32MB Maximum Used: "), "{message}");
    assert!(message.contains("\n\nMEMORY STATISTICS: \nanon "), "{message}");
    real.end();
    real.cgroups.cleanup(&hog.id).unwrap();
    assert!(real.told.try_recv().is_err());
}
