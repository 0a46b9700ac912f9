//! Agents with GPUs: what they offer and to whom, and who may use which. The driver's library is made up, and so are its
//! devices: nobody answers behind them, but whether one may be opened is said by the kernel before that.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use messor_testkit::{Cluster, ControlGroups, Framework, Options, binary, get, scalar, skip, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const ISOLATION: &str = "--isolation=cgroups/devices,gpu/nvidia";
const CAPABILITIES: [&str; 3] = ["PARTITION_AWARE", "MULTI_ROLE", "GPU_RESOURCES"];

fn amount(offer: &Value, name: &str) -> f64 {
    let all = offer["resources"].as_array().into_iter().flatten();
    all.filter(|resource| resource["name"] == name)
        .filter_map(|resource| resource["scalar"]["value"].as_f64())
        .sum()
}

/// What is missing is said, and nothing is left behind that keeps an agent without GPUs from starting.
#[test]
fn without_the_driver_an_agent_says_what_is_missing() {
    let mut cluster = Cluster::with(&Options::default());
    cluster.kill("agent0");
    let refused = |flags: &[&str]| {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let (code, said) = cluster.run_agent(0, &flags, PATIENCE);
        assert_eq!(code, Some(1), "{said}");
        said
    };
    let said = refused(&["--nvidia_gpu_devices=0", "--resources=gpus:1"]);
    assert!(said.contains("--nvidia_gpu_devices: it goes with gpu/nvidia in --isolation"), "{said}");
    let said = refused(&[ISOLATION, "--nvidia_gpu_devices=0,x", "--resources=gpus:2"]);
    assert!(said.contains("--nvidia_gpu_devices: 'x' is not the number of a GPU"), "{said}");
    if Path::new("/dev/nvidiactl").exists() {
        return skip("an agent without Nvidia's driver: this host has one");
    }
    let said = refused(&[ISOLATION]);
    let expected =
        "--isolation: gpu/nvidia: the library of Nvidia's driver cannot be used: libnvidia-ml.so.1: ";
    assert!(said.contains(expected), "{said}");
    cluster.restart_agent(0, &[]);
}

/// Whatever an operator says of GPUs without the isolator goes to those alone that can do with GPUs.
#[test]
fn gpus_are_offered_to_those_that_ask_for_them() {
    let options = Options {
        master_flags: vec!["--allocation_interval=50ms".to_string()],
        agent_flags: vec!["--resources=cpus:2;mem:512;disk:512;gpus:2;ports:[]".to_string()],
        ..Options::default()
    };
    let cluster = Cluster::with(&options);
    let without = Framework::in_role(cluster.master, "root", "web");
    assert_eq!(without.offer_within(Duration::from_secs(2)), None);
    let with = Framework::subscribe(cluster.master, "root", &CAPABILITIES);
    let offer = with.offer(|resource| resource["name"] == "gpus");
    assert_eq!(amount(&offer, "gpus"), 2.0);
    // A part of one is no GPU.
    let half = json!({"name": "half", "task_id": {"value": "half"}, "agent_id": offer["agent_id"],
        "command": {"value": "true"}, "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("gpus", 0.5)]});
    with.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": [half]}})]);
    let end = with.end_of("half");
    assert_eq!(end["state"], "TASK_ERROR", "{end:#}");
    assert!(end["message"].as_str().is_some_and(|words| words.contains("'gpus'")), "{end:#}");
}

const LIBRARY: &str = r#"
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  if (index > 1) return 2;
  *device = (void *)(unsigned long)(index + 1);
  return 0;
}
int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) { *minor = 2 - (unsigned long)device; return 0; }
"#;

/// In a /dev of the agent's own, which ends with it and what comes of it.
const WRAPPER: &str = r#"#!/bin/sh
exec unshare --mount --propagation private sh -e -c '
  mkdir -p FOLDER/dev && mount -t tmpfs tmpfs FOLDER/dev
  cp -a /dev/null /dev/zero /dev/full /dev/tty /dev/random /dev/urandom FOLDER/dev
  for name in pts shm; do mkdir FOLDER/dev/$name; mount --bind /dev/$name FOLDER/dev/$name; done
  cp -a /dev/ptmx /dev/fd /dev/stdin /dev/stdout /dev/stderr FOLDER/dev
  mknod FOLDER/dev/nvidiactl c 195 255
  mknod FOLDER/dev/nvidia-uvm c 511 0
  for gpu in 0 1; do mknod FOLDER/dev/nvidia$gpu c 195 $gpu; done
  mount --rbind FOLDER/dev /dev
  LD_LIBRARY_PATH=FOLDER exec BINARY mesos-agent "$@"' sh "$@"
"#;

/// The programs in the folder of a cluster, with an agent that finds two GPUs.
pub fn make_up(folder: &Path) -> bool {
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-x", "c", "-o"])
        .arg(folder.join("libnvidia-ml.so.1"))
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write;
            child.stdin.take().expect("a pipe").write_all(LIBRARY.as_bytes())?;
            child.wait()
        });
    if !made.is_ok_and(|status| status.success()) {
        return false;
    }
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let installed =
        Command::new(binary()).arg("install").arg(&bin).stdout(std::process::Stdio::null()).status();
    assert!(installed.expect("messor install runs").success());
    let (agent, here) = (bin.join("mesos-agent"), folder.to_string_lossy());
    std::fs::remove_file(&agent).expect("a link");
    let words = WRAPPER.replace("FOLDER", &here).replace("BINARY", &binary().to_string_lossy());
    std::fs::write(&agent, words).expect("a file");
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
    true
}

/// Tells of each GPU whether it may be opened, then runs on until it is killed, if it is to.
fn task(id: &str, gpus: f64, agent: &Value, stays: bool) -> Value {
    let script = "for n in 0 1; do { : < /dev/nvidia$n; } 2>&1 | grep -q 'not permitted' && echo no || echo yes; done; \
                  { : < /dev/nvidiactl; } 2>&1 | grep -q 'not permitted' && echo no || echo yes; echo told";
    let script = if stays { format!("{script}; sleep 1000") } else { script.to_string() };
    let mut resources = vec![scalar("cpus", 0.1), scalar("mem", 32.0)];
    resources.extend((gpus > 0.0).then(|| scalar("gpus", gpus)));
    json!({"name": id, "task_id": {"value": id}, "agent_id": agent, "command": {"value": script}, "resources": resources})
}

#[test]
fn tasks_have_gpus_of_their_own_across_restarts_of_their_agent() {
    let Some(groups) = ControlGroups::new() else {
        return skip("tasks with GPUs: no control groups of version 1 here, or not root");
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
        .expect("a folder of ours");
    if !make_up(folder.path()) {
        return skip("tasks with GPUs: there is no compiler for C");
    }
    let flags = vec![
        ISOLATION.to_string(),
        "--launcher=linux".to_string(),
        format!("--cgroups_root={}", groups.root()),
        "--resources=cpus:2;mem:512;disk:512".to_string(),
    ];
    let options = Options {
        master_flags: vec!["--allocation_interval=50ms".to_string()],
        agent_flags: flags.clone(),
        ..Options::default()
    };
    let mut cluster = Cluster::within(folder, &options);
    let framework = Framework::subscribe(cluster.master, "root", &CAPABILITIES);
    let launch = |id: &str, gpus: f64, stays: bool| {
        let fits = |all: &[Value]| amount(&json!({"resources": all}), "gpus") >= gpus.max(1.0);
        let offer = framework.offer_of(fits);
        let task = task(id, gpus, &offer["agent_id"], stays);
        framework.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})]);
        amount(&offer, "gpus")
    };
    let told = |cluster: &Cluster, id: &str| {
        let log = wait_for("the sandbox of a task", PATIENCE, || {
            let state = get(cluster.agents[0], "/state").ok()?.json();
            let all = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
            // A framework that has nothing left is one that is completed.
            let frameworks = ["frameworks", "completed_frameworks"].iter().flat_map(|name| all(&state, name));
            let mut executors = frameworks.flat_map(|framework| {
                [all(&framework, "executors"), all(&framework, "completed_executors")].concat()
            });
            let found = executors.find(|executor| executor["id"] == id)?;
            let text =
                std::fs::read_to_string(Path::new(found["directory"].as_str()?).join("stdout")).ok()?;
            text.contains("told").then_some(text)
        });
        log.lines().filter(|line| ["yes", "no"].contains(line)).collect::<Vec<_>>().join(" ")
    };
    // What was offered of the agent before it was killed is of no use any more. It is all heard before this answer.
    let settle = |cluster: &Cluster, gpus: f64| {
        wait_for("the agent to be back", PATIENCE, || {
            let found = get(cluster.master, "/slaves").ok()?.json();
            let back = |agent: &Value| agent["reregistered_time"].is_number() || gpus < 2.0;
            let known = found["slaves"].as_array()?;
            known.iter().any(|agent| agent["resources"]["gpus"] == gpus && back(agent)).then_some(())
        });
        let one = json!({"task_id": {"value": "one"}});
        framework.call(json!({"type": "RECONCILE", "reconcile": {"tasks": [one]}}));
        framework.next("UPDATE", |event| event["update"]["status"]["reason"] == "REASON_RECONCILIATION");
    };
    // Discovered: nobody said how many there are.
    assert_eq!(launch("one", 1.0, true), 2.0);
    framework.until("one", "TASK_RUNNING");
    assert_eq!(told(&cluster, "one"), "yes no yes");
    // The next agent knows who has which: the other one is left.
    cluster.kill("agent0");
    cluster.restart_agent(0, &flags);
    settle(&cluster, 2.0);
    launch("other", 1.0, true);
    framework.until("other", "TASK_RUNNING");
    assert_eq!(told(&cluster, "other"), "no yes yes");
    framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": "one"}}}));
    framework.until("one", "TASK_KILLED");
    launch("again", 1.0, false);
    framework.until("again", "TASK_FINISHED");
    assert_eq!(told(&cluster, "again"), "yes no yes");
    framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": "other"}}}));
    framework.until("other", "TASK_KILLED");
    launch("none", 0.0, false);
    framework.until("none", "TASK_FINISHED");
    assert_eq!(told(&cluster, "none"), "no no yes");
    // Flags that say which: nvidia-smi's first is the second device here.
    let mut named = flags.clone();
    named[3].push_str(";gpus:1");
    named.push("--nvidia_gpu_devices=0".to_string());
    cluster.kill("agent0");
    let gone = cluster.folder().join("agent0/meta/slaves/latest");
    std::fs::remove_file(gone).expect("a link of the agent's");
    cluster.restart_agent(0, &named);
    settle(&cluster, 1.0);
    assert_eq!(launch("named", 1.0, false), 1.0);
    framework.until("named", "TASK_FINISHED");
    assert_eq!(told(&cluster, "named"), "no yes yes");
    drop(framework);
    drop(cluster);
}
