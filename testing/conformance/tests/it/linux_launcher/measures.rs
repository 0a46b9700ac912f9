//! What an agent measures of real tasks in their control groups, and what it does about a group that does not go away.

use std::process::Command;

use messor_testkit::{get, wait_for};
use serde_json::{Value, json};

use super::host::{Host, PATIENCE, task};

/// Of one executor, as operators ask for it.
fn statistics(host: &Host, executor: &str) -> Option<Value> {
    let all = get(host.cluster.agents[0], "/monitor/statistics").ok()?.json();
    let found = all.as_array()?.iter().find(|one| one["executor_id"] == executor)?;
    Some(found["statistics"].clone())
}

fn amount(statistics: &Value, name: &str) -> f64 {
    statistics[name].as_f64().unwrap_or_else(|| panic!("no {name}: {statistics:#}"))
}

#[test]
fn tasks_are_measured_by_their_control_groups() {
    let Some(host) = Host::start(
        "cgroups/cpu,cgroups/mem,cgroups/blkio",
        &["--cgroups_enable_cfs", "--cgroups_cpu_enable_pids_and_tids_count"],
    ) else {
        return;
    };
    let before = host.traces();
    host.launch(&[
        task("idle", "exec sleep 1000"),
        task("busy", "sleep 1000 & while :; do :; done"),
        // The kernel takes back what it keeps of the file, again and again.
        task("pressed", "while :; do dd if=/dev/zero of=file bs=1M count=96 status=none; done"),
    ]);
    for name in ["idle", "busy", "pressed"] {
        host.framework.until(name, "TASK_RUNNING");
    }
    let idle = wait_for("the idle task's memory", PATIENCE, || {
        let all = statistics(&host, "idle")?;
        // An executor and `sleep`.
        (all["mem_rss_bytes"].as_u64() > Some(0) && all["processes"].as_f64() == Some(2.0)).then_some(all)
    });
    // The executor has 0.1 CPUs and 32 MB of its own.
    let limit = f64::from(64 << 20);
    assert_eq!(["cpus_limit", "cpus_soft_limit"].map(|name| amount(&idle, name)), [0.2, 0.2], "{idle:#}");
    let limits = ["mem_limit_bytes", "mem_soft_limit_bytes"].map(|name| amount(&idle, name));
    assert_eq!(limits, [limit, limit], "{idle:#}");
    assert!(amount(&idle, "mem_total_bytes") >= amount(&idle, "mem_rss_bytes"), "{idle:#}");
    assert!(amount(&idle, "mem_total_bytes") <= limit, "{idle:#}");
    assert!(amount(&idle, "threads") >= 2.0, "{idle:#}");
    assert_eq!(amount(&idle, "mem_low_pressure_counter"), 0.0, "{idle:#}");
    let busy = wait_for("the busy task to be held back", PATIENCE, || {
        let all = statistics(&host, "busy")?;
        let is_held =
            all["cpus_nr_throttled"].as_u64() > Some(0) && all["cpus_user_time_secs"].as_f64() > Some(0.0);
        (is_held && all["processes"].as_f64() == Some(3.0)).then_some(all)
    });
    for name in ["cpus_user_time_secs", "cpus_throttled_time_secs", "cpus_nr_periods"] {
        assert!(amount(&busy, name) > 0.0, "{name}: {busy:#}");
    }
    let pressed = wait_for("memory to be scarce", PATIENCE, || {
        let all = statistics(&host, "pressed")?;
        // The file has no bytes each time when it is begun.
        let is_so =
            all["mem_low_pressure_counter"].as_u64() > Some(0) && all["mem_cache_bytes"].as_u64() > Some(0);
        is_so.then_some(all)
    });
    // They go on rising.
    let first = amount(&pressed, "mem_low_pressure_counter");
    wait_for("memory to be scarce again", PATIENCE, || {
        statistics(&host, "pressed").filter(|all| amount(all, "mem_low_pressure_counter") > first)
    });
    let disk = &pressed["blkio_statistics"]["throttling"];
    assert!(disk.as_array().is_some_and(|all| !all.is_empty()), "{pressed:#}");
    for name in ["idle", "busy", "pressed"] {
        host.kill(name);
        host.ends(name, "TASK_KILLED");
    }
    host.leaves_no_trace(&before);
}

/// Somebody else's process is in it: the container's end is told all the same, after the time of the flag and no longer.
#[test]
fn a_group_that_stays_is_given_up_after_a_time() {
    let flags = ["--cgroups_destroy_timeout=300ms"];
    let Some(mut host) = Host::start("cgroups/cpu,cgroups/mem", &flags) else { return };
    let before = host.traces();
    host.launch(&[task("t", "exec sleep 1000")]);
    host.framework.until("t", "TASK_RUNNING");
    let root = format!("/sys/fs/cgroup/cpu/{}", host.groups.root());
    let is_container = |path: &&std::path::PathBuf| {
        path.starts_with(&root) && path.join("cgroup.procs").exists() && *path != std::path::Path::new(&root)
    };
    let groups = host.groups.paths();
    let group = groups.iter().find(is_container).expect("the container's group");
    let mut stranger = Command::new("sleep").arg("1000").spawn().expect("sleep runs");
    std::fs::write(group.join("cgroup.procs"), stranger.id().to_string()).expect("it is put into the group");
    host.kill("t");
    host.ends("t", "TASK_KILLED");
    let errors = || {
        let metrics = get(host.cluster.agents[0], "/metrics/snapshot").ok()?.json();
        (metrics["containerizer/mesos/container_destroy_errors"] == json!(1.0)).then_some(())
    };
    wait_for("the group to be given up", PATIENCE, errors);
    assert!(group.exists());
    assert!(stranger.try_wait().expect("it is ours").is_none(), "a stranger's process lives on");
    stranger.kill().expect("it is ours");
    stranger.wait().expect("it is ours");
    // The next agent finds a group that is nobody's.
    host.cluster.kill("agent0");
    let flags = host.flags.clone();
    host.cluster.restart_agent(0, &flags);
    host.leaves_no_trace(&before);
}
