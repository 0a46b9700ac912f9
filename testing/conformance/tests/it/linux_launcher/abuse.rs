//! What tasks cannot do: each of these takes more than it may, hides, or reaches for what is not its own. All of it is contained,
//! told of with the right reason, and cleaned up.
//!
//! Rows: U009 (setuid with linux/nnp), U033 (limitations).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use messor_testkit::files::entries;
use messor_testkit::{scalar, wait_for};
use serde_json::{Value, json};

use super::host::{Host, OTHER_USER, PATIENCE, USER, in_container, task, task_of, with};

/// Containers that are launched while somebody swaps what they are given for links.
const ROUNDS: usize = 10;

/// Wherever a container is launched, its sandbox, its volume or what it shares leads to the victim for a moment. The sandbox is
/// known by its name, which is there before anything is opened in it.
const RACE: &str = r#"
import os, time
os.chdir("../..")
os.mkdir("decoy")
def swap(name, link):
    try:
        os.rename(name, "was-" + name)
    except OSError:
        pass
    try:
        os.symlink(link, name)
        time.sleep(0.0005)
        os.unlink(name)
    except OSError:
        pass
    try:
        os.rename("was-" + name, name)
    except OSError:
        pass
while True:
    for name in os.listdir("containers"):
        if not os.path.lexists("decoy/" + name):
            os.symlink("VICTIM/inner", "decoy/" + name)
    swap("containers", "decoy")
    swap("data", "VICTIM")
    swap("shared", "VICTIM")
    time.sleep(0.0005)
"#;

/// ptrace(2) of each process that is named: PTRACE_ATTACH and PTRACE_SEIZE, and process_vm_readv(2) of it.
const PTRACE: &str = r#"
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
def named(result):
    return errno.errorcode[ctypes.get_errno()] if result < 0 else "done"
for pid in map(int, sys.argv[1:]):
    said = [named(libc.ptrace(ctypes.c_long(request), pid, None, None)) for request in (16, 0x4206)]
    byte = ctypes.create_string_buffer(1)
    here, there = Part(ctypes.addressof(byte), 1), Part(0x400000, 1)
    said.append(named(libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)))
    print(*said, flush=True)
"#;

/// Something of the host that tasks must not change.
pub struct Victim(tempfile::TempDir);

impl Victim {
    pub fn new() -> Victim {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
        fs::write(folder.path().join("file"), "of the host\n").expect("a file");
        fs::create_dir(folder.path().join("inner")).expect("a folder");
        Victim(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Each name with its owner, its mode and what it holds.
    pub fn state(&self) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
        let mut paths = vec![self.path().to_path_buf()];
        let mut state = BTreeMap::new();
        while let Some(path) = paths.pop() {
            let found = fs::symlink_metadata(&path).expect("it is there");
            if found.is_dir() {
                paths.extend(entries(&path));
            }
            let content = if found.is_file() { fs::read(&path).expect("it is read") } else { Vec::new() };
            state.insert(path, (found.uid(), found.mode(), content));
        }
        state
    }

    fn is_mounted_on(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        mounts.lines().any(|line| line.contains(&*self.path().to_string_lossy()))
    }
}

#[test]
fn greedy_tasks_end_and_are_told_why() {
    let Some(host) = Host::start(
        "cgroups/cpu,cgroups/mem,cgroups/pids,filesystem/linux,disk/du",
        &[
            "--enforce_container_disk_quota",
            "--container_disk_watch_interval=200ms",
            "--gc_delay=5secs",
            "--disk_watch_interval=500ms",
        ],
    ) else {
        return;
    };
    let before = host.traces();
    // A bomb of processes too is memory: that of the kernel for each of them counts.
    host.launch(&[
        task("hog", "tail /dev/zero"),
        task_of(USER, "bomb", "bomb() { bomb | bomb & }; bomb; sleep 1000"),
        task("disk", "dd if=/dev/zero of=full bs=1M count=64 status=none; sleep 1000"),
    ]);
    for (name, reason, resource) in [
        ("hog", "REASON_CONTAINER_LIMITATION_MEMORY", "mem"),
        ("bomb", "REASON_CONTAINER_LIMITATION_MEMORY", "mem"),
        ("disk", "REASON_CONTAINER_LIMITATION_DISK", "disk"),
    ] {
        let status = host.ends(name, "TASK_FAILED");
        assert_eq!(status["reason"], reason, "{status:#}");
        let limited = &status["limitation"]["resources"][0];
        assert_eq!(limited["name"], resource, "U033: {status:#}");
        assert!(limited["scalar"]["value"].as_f64() >= Some(16.0), "U033: {status:#}");
    }
    host.leaves_no_trace(&before);
    // What they filled goes with the sandbox, when gc_delay is over.
    for name in ["hog", "bomb", "disk"] {
        wait_for("the sandbox to be removed", PATIENCE, || (!host.sandbox(name).exists()).then_some(()));
    }
}

/// Without a PID namespace or anything else but the launcher and the usual rights of users.
#[test]
fn tasks_of_users_reach_nothing_that_is_not_theirs() {
    let Some(host) = Host::start("cgroups/cpu,cgroups/mem,filesystem/linux,cgroups/devices", &[]) else {
        return;
    };
    let before = host.traces();
    let folder = host.cluster.folder().display().to_string();
    let setuid = host.cluster.folder().join("setuid-id");
    fs::copy("/usr/bin/id", &setuid).expect("id is copied");
    fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).expect("a file of ours");
    let secret = json!({"type": "SECRET", "name": "OF_VICTIM",
                        "secret": {"type": "VALUE", "value": {"data": "aGlkZGVu"}}});
    let mut victim = task_of(USER, "victim", "echo mine > words; sleep 1000");
    victim["command"]["environment"] = json!({"variables": [secret]});
    host.launch(&[victim]);
    host.framework.until("victim", "TASK_RUNNING");
    wait_for("the victim's words", PATIENCE, || host.sandbox("victim").join("words").exists().then_some(()));
    let words = host.sandbox("victim").join("words").display().to_string();
    let agent = host.cluster.pid("agent0");
    let warden = host.wardens()[0];
    let partitions = fs::read_to_string("/proc/partitions").expect("the disks");
    let disk: Vec<&str> = partitions.lines().nth(2).unwrap_or("7 0").split_whitespace().take(2).collect();
    let disk = disk.join(" ");
    let hidden = "setsid sh -c '(env -i setsid sleep 1234 &); env -i setsid sleep 1235' >/dev/null 2>&1 &";
    host.launch(&[
        task_of(USER, "daemon", &format!("{hidden} sleep 0.3; echo left")),
        task("root-daemon", &format!("{hidden} sleep 0.3; echo left")),
        // As anywhere without linux/nnp.
        task_of(USER, "setuid", &format!("{} -u", setuid.display())),
        task_of(USER, "mknod", &format!("mknod disk b {disk} || echo refused")),
        task("root-mknod", &format!("mknod disk b {disk} && ! head -c 1 disk && ! mount disk /mnt && echo refused")),
        // By the call itself: what is not traced cannot be read by it either.
        task_of(USER, "attach", &format!("python3 -c '{}' {agent} {warden} 1", PTRACE)),
        task_of(USER, "ptrace", &format!("for f in mem environ maps fd/0; do (: < /proc/{agent}/$f) || echo refused; done; kill {agent} || echo refused")),
        task_of(OTHER_USER, "spy", &format!("cat {words} || echo refused; find {folder} -type f -readable ! -path '*/spy/*' ! -path '{folder}/*.log' ! -path '{folder}/master/*' -size +0 ! -name status ! -path '{folder}/bin/*' ! -name setuid-id; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep OF_VICTIM")),
    ]);
    let said = |name: &str| {
        host.framework.end_of(name);
        host.stdout(name)
    };
    assert_eq!(said("daemon"), "left\n");
    assert_eq!(said("root-daemon"), "left\n");
    assert_eq!(said("setuid"), "0\n");
    assert_eq!(said("mknod"), "refused\n", "{}", host.output("mknod"));
    assert_eq!(said("root-mknod"), "refused\n", "{}", host.output("root-mknod"));
    assert_eq!(said("ptrace"), "refused\n".repeat(5), "{}", host.output("ptrace"));
    assert_eq!(said("attach"), "EPERM EPERM EPERM\n".repeat(3), "{}", host.output("attach"));
    assert_eq!(said("spy"), "refused\n", "{}", host.output("spy"));
    host.kill("victim");
    host.ends("victim", "TASK_KILLED");
    host.leaves_no_trace(&before);
}

#[test]
fn tasks_of_root_stay_in_their_namespaces() {
    let Some(host) = Host::start(
        "cgroups/cpu,cgroups/mem,cgroups/devices,filesystem/linux,namespaces/pid,namespaces/ipc,linux/nnp,linux/capabilities",
        &[
            r#"--bounding_capabilities={"capabilities": ["CHOWN", "DAC_OVERRIDE", "SETUID", "SETGID", "KILL"]}"#,
            r#"--effective_capabilities={"capabilities": ["CHOWN", "DAC_OVERRIDE", "SETUID", "SETGID", "KILL"]}"#,
        ],
    ) else {
        return;
    };
    let before = host.traces();
    let setuid = host.cluster.folder().join("setuid-id");
    fs::copy("/usr/bin/id", &setuid).expect("id is copied");
    fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).expect("a file of ours");
    let agent = host.cluster.pid("agent0");
    let group = format!("/sys/fs/cgroup/freezer/{}", host.groups.root());
    host.launch(&[
        task_of(USER, "setuid", &format!("{} -u", setuid.display())),
        task("signal", &format!("kill -0 {agent} || echo refused; test -e /proc/{agent} || echo unseen")),
        task("attach", &format!("python3 -c '{}' {agent} {}", PTRACE, host.wardens()[0])),
        task("init", "kill -KILL 1; kill -STOP 1; cat /proc/1/environ /proc/1/maps | head -c 1 || echo refused; echo on"),
        task("mknod", "mknod null c 1 3 || echo refused; mount -t tmpfs none /mnt || echo refused; unshare -m true || echo refused"),
        task("daemon", "setsid sh -c '(env -i setsid sleep 1234 &); env -i setsid sleep 1235' >/dev/null 2>&1 & sleep 0.3; echo left"),
        // Its own group is found and left, by root: its namespace ends it all the same.
        task("leaver", &format!("echo 0 > {group}/cgroup.procs; env -i setsid sleep 1236 >/dev/null 2>&1 & sleep 0.3; cat /proc/self/cgroup | grep -c {}", host.groups.root())),
    ]);
    let said = |name: &str| {
        host.ends(name, "TASK_FINISHED");
        host.stdout(name)
    };
    assert_eq!(said("setuid"), "65534\n", "U009");
    assert_eq!(said("signal"), "refused\nunseen\n", "{}", host.output("signal"));
    assert_eq!(said("attach"), "ESRCH ESRCH ESRCH\n".repeat(2), "{}", host.output("attach"));
    assert!(said("init").ends_with("on\n"), "{}", host.output("init"));
    assert_eq!(said("mknod"), "refused\n".repeat(3), "{}", host.output("mknod"));
    assert_eq!(said("daemon"), "left\n");
    said("leaver");
    host.leaves_no_trace(&before);
}

/// An artifact that a script makes as ARCHIVE, to be extracted.
pub fn archive(folder: &Path, name: &str, script: &str) -> Value {
    let (work, path) = (folder.join(format!("{name}.d")), folder.join(name));
    fs::create_dir(&work).expect("a folder");
    let script =
        format!("set -e; cd {}; {}", work.display(), script.replace("ARCHIVE", &path.display().to_string()));
    let done = Command::new("bash").arg("-c").arg(&script).status().expect("bash runs");
    assert!(done.success(), "{script}");
    json!({"value": path, "extract": true})
}

#[test]
fn links_in_sandboxes_lead_nowhere() {
    let Some(host) = Host::start("cgroups/cpu,cgroups/mem,filesystem/linux", &[]) else { return };
    let before = host.traces();
    let victim = Victim::new();
    let state = victim.state();
    let archives = tempfile::tempdir().expect("a temporary folder");
    let at = victim.path().display();

    // Archives that write through links of their own, and links in the place of what the agent opens or makes.
    let through = archive(
        archives.path(),
        "through.tar",
        &format!(
            "ln -s {at} link; tar cf ARCHIVE link; rm link; mkdir link; echo no > link/file; echo no > link/new; tar rf ARCHIVE link/file link/new"
        ),
    );
    let hard = archive(
        archives.path(),
        "hard.tar",
        &format!(
            "ln {at}/file hard; tar cf ARCHIVE --transform=s,^hard,first, hard; \
         python3 -c 'import tarfile; t = tarfile.open(\"ARCHIVE\", \"w\"); i = tarfile.TarInfo(\"hard\"); i.type = tarfile.LNKTYPE; i.linkname = \"{at}/file\"; t.addfile(i); t.close()'"
        ),
    );
    let climbing = archive(
        archives.path(),
        "climbing.tar",
        "echo no > x; tar cPf ARCHIVE --transform=s,x,../../climbed, x",
    );
    let outputs = archive(
        archives.path(),
        "outputs.tar",
        &format!("ln -s {at}/file stdout; ln -s {at}/new stderr; tar cf ARCHIVE stdout stderr"),
    );
    let volume = archive(archives.path(), "volume.tar", &format!("ln -s {at} data; tar cf ARCHIVE data"));
    let host_path = json!({"volumes": [{"container_path": "data/made", "mode": "RW",
        "source": {"type": "HOST_PATH", "host_path": {"path": victim.path().join("inner")}}}]});
    let fetching = |id: &str, uri: &Value, command: &str| {
        let mut task = task(id, command);
        task["command"]["uris"] = json!([uri]);
        task
    };
    host.launch(&[
        fetching("through", &through, "true"),
        fetching("hard", &hard, "true"),
        fetching("climbing", &climbing, "true"),
        fetching("outputs", &outputs, "echo no; echo no >&2"),
        in_container(fetching("volume", &volume, "touch data/made/no"), host_path),
    ]);
    for (name, words) in [
        ("through", "'link/file' cannot be written"),
        ("hard", "'hard' cannot be written"),
        ("climbing", "'..' in its path"),
        ("volume", "symbolic links that lead out of the sandbox"),
    ] {
        let status = host.ends(name, "TASK_FAILED");
        assert_eq!(status["reason"], "REASON_CONTAINER_LAUNCH_FAILED", "{status:#}");
        assert!(status["message"].as_str().is_some_and(|message| message.contains(words)), "{status:#}");
    }
    // What it writes goes to the files that were there before.
    host.ends("outputs", "TASK_FINISHED");
    assert!(!host.sandbox("climbing").join("../../climbed").exists());
    host.leaves_no_trace(&before);
    assert_eq!(victim.state(), state);

    // A task that swaps what containers beside it are given in their executor's sandbox for links, while they are launched.
    let disk = json!({"persistence": {"id": "v"}, "volume": {"container_path": "data", "mode": "RW"}});
    let bare = with(scalar("disk", 8.0), "reservations", json!([{"type": "DYNAMIC", "role": "web"}]));
    let kept = with(bare.clone(), "disk", disk);
    let race = RACE.replace("VICTIM", &at.to_string());
    host.launch_group("pod", Vec::new(), &[task("racer", &format!("exec python3 -c '{race}'"))]);
    host.framework.until("racer", "TASK_RUNNING");
    let made = || {
        vec![
            json!({"type": "RESERVE", "reserve": {"resources": [bare]}}),
            json!({"type": "CREATE", "create": {"volumes": [kept]}}),
        ]
    };
    let in_common = json!({"volumes": [{"container_path": "common", "mode": "RW",
        "source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared/inner/new"}}}]});
    for round in 0..ROUNDS {
        let mut task = task(&format!("raced-{round}"), "true");
        task["resources"].as_array_mut().expect("a list").push(kept.clone());
        let operations = if round == 0 { made() } else { Vec::new() };
        host.launch_group("pod", operations, &[in_container(task, in_common.clone())]);
        // It may be launched or not.
        host.framework.end_of(&format!("raced-{round}"));
        assert_eq!(victim.state(), state);
        assert!(!victim.is_mounted_on());
    }
    host.kill("racer");
    host.framework.end_of("racer");
    host.leaves_no_trace(&before);
    assert_eq!(victim.state(), state);
}

/// In a mount namespace that it has in common with its executor, which sees no process then.
#[test]
fn a_task_without_proc_is_killed_all_the_same() {
    let Some(host) = Host::start("filesystem/linux", &[]) else { return };
    let before = host.traces();
    host.launch(&[task("t", "umount --lazy /proc && echo gone > done; exec sleep 1000")]);
    let done = || host.sandbox("t").join("done").exists().then_some(());
    wait_for("the task to unmount /proc", PATIENCE, done);
    let start = std::time::Instant::now();
    host.kill("t");
    host.ends("t", "TASK_KILLED");
    // Not by its agent, which would do it in the end.
    assert!(host.output("t").contains("/proc is not mounted"), "{}", host.output("t"));
    assert!(start.elapsed() < std::time::Duration::from_secs(20));
    host.leaves_no_trace(&before);
}
