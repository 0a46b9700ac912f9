//! What tasks get when they ask for it.
//!
//! Rows: U002 (limits of CPUs), U009 (linux/nnp), U013 (IPC namespaces, sizes of /dev/shm), U016 (linux/seccomp), U017 (allowed
//! devices, by cgroups/devices), U020 (volumes to be read alone), U040 and U041 (capabilities), U061 (owners of volumes).

use std::fs;
use std::os::unix::fs::MetadataExt;

use messor_testkit::scalar;
use serde_json::{Value, json};

use super::host::{Host, USER, in_container, read_group, task, task_of, with};

/// Everything that goes together.
const ISOLATION: &str = "cgroups/cpu,cgroups/mem,cgroups/pids,cgroups/devices,filesystem/linux,namespaces/pid,\
     namespaces/ipc,linux/capabilities,linux/nnp,linux/seccomp,posix/rlimits,disk/du,volume/host_path,\
     volume/sandbox_path,volume/secret";

/// A profile in Docker's form: all is allowed but for these, each a list of calls and when the rule is left out.
fn profile(rules: &[(&[&str], &str)]) -> String {
    let rule = |(names, unless): &(&[&str], &str)| {
        let excludes = if unless.is_empty() { json!({}) } else { json!({"caps": [unless]}) };
        json!({"names": names, "action": "SCMP_ACT_ERRNO", "args": [], "includes": {}, "excludes": excludes})
    };
    let architectures = json!([{"architecture": "SCMP_ARCH_X86_64",
                                "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}]);
    let syscalls: Vec<Value> = rules.iter().map(rule).collect();
    json!({"defaultAction": "SCMP_ACT_ALLOW", "archMap": architectures, "syscalls": syscalls}).to_string()
}

fn linux(info: Value) -> Value {
    json!({"linux_info": info})
}

fn own_namespace(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace").display().to_string()
}

#[test]
fn tasks_have_what_they_ask_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a folder");
    fs::write(path("usual.json"), profile(&[(&["ptrace"], "")])).expect("a file");
    let own = [(&["mkdir", "mkdirat"][..], ""), (&["chmod", "fchmodat", "fchmodat2"], "CAP_SYS_ADMIN")];
    fs::write(path("own.json"), profile(&own)).expect("a file");
    fs::create_dir(path("host")).expect("a folder");
    fs::write(path("host/file"), "of the host\n").expect("a file");
    let Some(host) = Host::start(
        ISOLATION,
        &[
            &format!("--seccomp_config_dir={}", folder.path().display()),
            "--seccomp_profile_name=usual.json",
            "--default_container_shm_size=8MB",
            r#"--allowed_devices={"allowed_devices": [{"device": {"path": "/dev/kmsg"}, "access": {"read": true}}]}"#,
        ],
    ) else {
        return;
    };
    let before = host.traces();

    let groups = [
        ("cpu", "cpu.shares"),
        ("cpu", "cpu.cfs_period_us"),
        ("cpu", "cpu.cfs_quota_us"),
        ("memory", "memory.soft_limit_in_bytes"),
        ("memory", "memory.limit_in_bytes"),
        ("pids", "pids.max"),
    ];
    let groups = groups.map(|(controller, file)| read_group(controller, file)).join("; ");
    let limits = json!({"cpus": {"value": 0.5}, "mem": {"value": 128.0}});
    let shared_memory = "readlink /proc/self/ns/ipc; df -B1M --output=size /dev/shm | tail -n 1 | tr -d ' '";
    let files = [("NOFILE", 321, 654), ("CORE", 0, 0)]
        .map(|(kind, soft, hard)| json!({"type": format!("RLMT_{kind}"), "soft": soft, "hard": hard}));
    let net = |names: &[&str]| json!({"capabilities": names});
    let raw_alone = json!({"effective_capabilities": net(&["NET_RAW"]),
                           "bounding_capabilities": net(&["NET_RAW", "NET_ADMIN"])});
    let seccomp = |info: Value| linux(json!({"seccomp": info}));
    let in_own = json!({"capability_info": net(&["NET_RAW"]), "seccomp": {"profile_name": "own.json"}});
    let secret = |text: &str| json!({"type": "VALUE", "value": {"data": text}});
    // "of nobody's business", as JSON has bytes.
    const SECRET: &str = "b2Ygbm9ib2R5J3MgYnVzaW5lc3M=";
    let at = |source: &str| json!({"type": "HOST_PATH", "host_path": {"path": path(source)}});
    let of_itself = json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "own"}});
    let volume = |place: &str, mode: &str, source: Value| json!({"container_path": place, "mode": mode, "source": source});
    let volumes = json!({"volumes": [
        volume("data/read", "RO", at("host")),
        volume("data/write", "RW", at("host")),
        volume("/mnt", "RW", of_itself),
        volume("hidden/secret", "RO", json!({"type": "SECRET", "secret": secret(SECRET)})),
    ]});
    let mut with_volumes = in_container(
        task(
            "volumes",
            "cat data/read/file hidden/secret; echo; echo $OF_ENVIRONMENT; ! touch data/read/new 2>/dev/null && touch data/write/new && \
             touch /mnt/new && ls own && ! touch hidden/secret && stat -f -c %T hidden/secret",
        ),
        volumes,
    );
    with_volumes["command"]["environment"] =
        json!({"variables": [{"name": "OF_ENVIRONMENT", "type": "SECRET", "secret": secret(SECRET)}]});
    host.launch(&[
        task("usual", &format!("{groups}; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status")),
        with(task("limits", &groups), "limits", limits),
        in_container(task("rlimits", "ulimit -Sn; ulimit -Hn; ulimit -Hc"), json!({"rlimit_info": {"rlimits": files}})),
        in_container(task_of(USER, "capabilities", "grep ^Cap /proc/self/status; id -un"), linux(raw_alone)),
        in_container(task("of-root", "mkdir new; chmod 700 stdout && echo changed"), seccomp(json!({"profile_name": "own.json"}))),
        in_container(task("of-less", "mkdir new; chmod 700 stdout; true"), linux(in_own)),
        in_container(task("unconfined", "grep ^Seccomp: /proc/self/status"), seccomp(json!({"unconfined": true}))),
        in_container(task("ipc", shared_memory), linux(json!({"ipc_mode": "PRIVATE", "shm_size": 4}))),
        in_container(task("ipc-usual", shared_memory), linux(json!({"ipc_mode": "PRIVATE"}))),
        in_container(task("ipc-host", shared_memory), linux(json!({"ipc_mode": "SHARE_PARENT"}))),
        task("pid", "readlink /proc/self/ns/pid; ls /proc | grep -c '^[0-9]'; cat /proc/1/comm"),
        in_container(task("pid-host", "readlink /proc/self/ns/pid"), linux(json!({"share_pid_namespace": true}))),
        task("devices", "head -c 1 /dev/zero | wc -c; : < /dev/kmsg && echo read; (: > /dev/kmsg) 2>/dev/null || echo no more"),
        with_volumes,
    ]);
    let said = |name: &str| {
        host.ends(name, "TASK_FINISHED");
        host.stdout(name)
    };
    // The executor has 0.1 CPUs and 32 MB of its own.
    let (soft, hard) = (64 << 20, 160 << 20);
    assert_eq!(
        said("usual"),
        format!("204\n100000\n-1\n{soft}\n{soft}\nmax\nNoNewPrivs:\t1\nSeccomp:\t2\n"),
        "U009, U016"
    );
    assert_eq!(said("limits"), format!("204\n100000\n60000\n{soft}\n{hard}\nmax\n"), "U002");
    assert_eq!(said("rlimits"), "321\n654\n0\n");
    let sets = [("Inh", 0x3000), ("Prm", 0x2000), ("Eff", 0x2000), ("Bnd", 0x3000), ("Amb", 0x2000)];
    let sets = sets.map(|(name, set)| format!("Cap{name}:\t{set:016x}\n")).concat();
    assert_eq!(said("capabilities"), format!("{sets}{USER}\n"), "U040, U041");
    assert_eq!(said("of-root"), "changed\n");
    assert_eq!(said("of-less"), "");
    for (name, calls) in [("of-root", &["mkdir"][..]), ("of-less", &["mkdir", "chmod"])] {
        let output = host.output(name);
        let refused =
            |call: &&str| output.contains(&format!("{call}: ")) && output.contains("Operation not permitted");
        assert!(calls.iter().all(refused), "U016: {output}");
    }
    assert_eq!(said("unconfined"), "Seccomp:\t0\n");
    let host_ipc = own_namespace("ipc");
    for (name, size) in [("ipc", "4"), ("ipc-usual", "8")] {
        let said = said(name);
        let (namespace, own_size) = said.trim_end().split_once('\n').expect("two lines");
        assert!(namespace != host_ipc && own_size == size, "U013: {said}");
    }
    assert!(said("ipc-host").starts_with(&host_ipc), "U013");
    let seen = said("pid");
    let seen: Vec<&str> = seen.lines().collect();
    assert!(seen[0] != own_namespace("pid") && seen[1].parse::<u32>().expect("a number") < 10, "{seen:?}");
    assert_eq!(seen[2], "messor-init");
    assert_eq!(said("pid-host").trim_end(), own_namespace("pid"));
    assert_eq!(said("devices"), "1\nread\nno more\n", "U017");
    let secret = "of nobody's business\n";
    assert_eq!(said("volumes"), format!("of the host\n{secret}{secret}new\nramfs\n"), "U020");
    assert!(path("host/new").exists());
    // On the host there is but the place where it was mounted.
    assert_eq!(fs::read(host.sandbox("volumes").join("hidden/secret")).unwrap_or_default(), b"");

    // A volume that lasts, of another user, in a pod; what its tasks share; one that is looked after.
    let disk = json!({"persistence": {"id": "v"}, "volume": {"container_path": "kept", "mode": "RW"}});
    let bare = with(scalar("disk", 8.0), "reservations", json!([{"type": "DYNAMIC", "role": "web"}]));
    let kept = with(bare.clone(), "disk", disk);
    let made = vec![
        json!({"type": "RESERVE", "reserve": {"resources": [bare]}}),
        json!({"type": "CREATE", "create": {"volumes": [kept]}}),
    ];
    let in_common = json!({"volumes": [volume("common", "RW",
        json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared"}}))]});
    let mut of_user = task_of(USER, "of-user", "echo of the user > kept/file");
    of_user["resources"].as_array_mut().expect("a list").push(kept.clone());
    host.launch_after(made, &[of_user]);
    host.ends("of-user", "TASK_FINISHED");
    let volume_path = host.cluster.folder().join("agent0/volumes/roles/web/v");
    assert_eq!(fs::metadata(&volume_path).expect("a volume").uid(), 65534, "U061");
    let mut writer =
        task("writer", "grep -q user kept/file && echo kept > kept/file && echo told > common/file");
    writer["resources"].as_array_mut().expect("a list").push(kept.clone());
    let reader = task("reader", "until cat common/file; do sleep 0.05; done 2>/dev/null");
    let pod = [writer, reader].map(|task| in_container(task, in_common.clone()));
    host.launch_group("pod", Vec::new(), &pod);
    for name in ["writer", "reader"] {
        host.ends(name, "TASK_FINISHED");
    }
    host.leaves_no_trace(&before);
    assert_eq!(fs::read_to_string(volume_path.join("file")).expect("it is kept"), "kept\n");
    assert_eq!(
        fs::metadata(volume_path.join("file")).expect("it is kept").uid(),
        65534,
        "U061: not its contents"
    );

    let check = json!({"type": "COMMAND", "command": {"value": "test -e well"}, "delay_seconds": 0,
                       "interval_seconds": 0.1, "grace_period_seconds": 10});
    let command = "touch well; until test -e go; do sleep 0.05; done; rm well; sleep 1000";
    host.launch(&[with(
        task("healthy", command),
        "health_check",
        with(check, "consecutive_failures", json!(1)),
    )]);
    let healthy = |wanted: bool| {
        let fits = |event: &Value| event["update"]["status"]["healthy"] == wanted;
        host.framework.next("UPDATE", fits)
    };
    healthy(true);
    fs::write(host.sandbox("healthy").join("go"), "").expect("a file");
    healthy(false);
    let end = host.framework.end_of("healthy");
    assert!(end["state"] == "TASK_KILLED" || end["state"] == "TASK_FAILED", "{end}");
    assert_eq!(end["healthy"], false, "{end}");
    host.leaves_no_trace(&before);
}

/// Each in the place of the host's, alone or by the agent's flag, and gone with the sandbox.
#[test]
fn directories_of_the_host_are_replaced_by_their_own() {
    let by_default = json!({"type": "MESOS", "volumes": [
        {"container_path": "/var/tmp", "host_path": "of-my-own", "mode": "RW"}]});
    let flag = format!("--default_container_info={by_default}");
    let Some(host) = Host::start("filesystem/shared,cgroups/cpu,cgroups/mem", &[&flag]) else { return };
    let before = host.traces();
    let name = format!("messor-shared-{}", std::process::id());
    let of_host = std::path::Path::new("/var/tmp").join(&name);
    fs::write(&of_host, "of the host\n").expect("a file");
    let command = |task: &str| {
        format!(
            "ls /var/tmp | wc -l; echo {task} > /var/tmp/{name}; stat -c '%a %u' /var/tmp; until test -e go; do sleep 0.05; done; \
             cat /var/tmp/{name}"
        )
    };
    let volumes = |source: &str, target: &str| json!({"volumes": [{"container_path": target, "host_path": source, "mode": "RW"}]});
    host.launch(&[
        task("default", &command("default")),
        in_container(task_of(USER, "asked", &command("asked")), volumes("a/b", "/var/tmp")),
        in_container(task("nowhere", "true"), volumes("a", "/no/such/directory")),
        in_container(task("climbing", "true"), volumes("../out", "/var/tmp")),
    ]);
    for name in ["nowhere", "climbing"] {
        let end = host.ends(name, "TASK_FAILED");
        assert_eq!(end["reason"], "REASON_CONTAINER_LAUNCH_FAILED", "{end:#}");
    }
    // Beside each other.
    let own = [("default", "of-my-own"), ("asked", "a/b")]
        .map(|(task, folder)| (task, host.sandbox(task).join(folder).join(&name)));
    for (task, path) in &own {
        let said = || fs::read_to_string(path).ok().filter(|said| *said == format!("{task}\n"));
        messor_testkit::wait_for("a task's own directory", super::host::PATIENCE, said);
    }
    assert_eq!(fs::read_to_string(&of_host).expect("it is there"), "of the host\n");
    for (task, _) in &own {
        fs::write(host.sandbox(task).join("go"), "").expect("a file");
        host.ends(task, "TASK_FINISHED");
        assert_eq!(host.stdout(task), format!("0\n1777 0\n{task}\n"), "{}", host.output(task));
    }
    host.leaves_no_trace(&before);
    fs::remove_file(&of_host).expect("it is ours");
}
