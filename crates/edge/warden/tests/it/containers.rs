//! Namespaces, mounts, roots, capabilities and filters.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use messor_linux::capabilities::CapabilitySet;
use messor_linux::container::{
    Before, CapabilityRequest, Enter, FileOperation, Mount, Namespaces, Process, StartError, Step,
};
use messor_linux::mounts;
use messor_linux::users::Identity;
use messor_linux::{Exit, Signal};

use crate::house::{House, eventually, is_alive, is_root, kill, process, shell};

const NOBODY: u32 = 65534;

fn nobody() -> Option<Identity> {
    Some(Identity { uid: NOBODY, gid: NOBODY, groups: vec![NOBODY] })
}

fn mount(source: &str, target: &Path, kind: &str) -> Mount {
    let kind = (!kind.is_empty()).then(|| kind.to_owned());
    Mount { source: Some(source.into()), target: target.into(), kind, ..Mount::default() }
}

fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>, flags: u64) -> Mount {
    let flags = mounts::BIND | flags;
    Mount { source: Some(source.into()), target: target.into(), flags, ..Mount::default() }
}

/// A root with the host's programs in it, and the plan of a process there.
fn rooted(house: &House, script: &str) -> (PathBuf, Process) {
    let root = fs::canonicalize(house.folder.path()).unwrap().join("root");
    for directory in ["proc", "dev", "tmp", "etc", "mnt/sandbox"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let mut wanted = shell(script);
    for directory in ["/usr", "/bin", "/sbin", "/lib", "/lib64"] {
        let found = Path::new(directory);
        if let Ok(to) = fs::read_link(found) {
            let _ = symlink(to, root.join(&directory[1..]));
        } else if found.exists() {
            wanted.mounts.push(bind(
                directory,
                root.join(&directory[1..]),
                mounts::RECURSIVE | mounts::READ_ONLY,
            ));
        }
    }
    let safe = mounts::NO_SETUID | mounts::NO_EXECUTION | mounts::NO_DEVICES;
    wanted.mounts.push(Mount { flags: safe, ..mount("proc", &root.join("proc"), "proc") });
    wanted.mounts.push(Mount {
        options: Some("mode=755".into()),
        flags: mounts::NO_SETUID | mounts::NO_EXECUTION,
        ..mount("tmpfs", &root.join("dev"), "tmpfs")
    });
    for device in ["null", "zero", "urandom"] {
        wanted.mounts.push(bind(format!("/dev/{device}"), root.join("dev").join(device), 0));
    }
    let link = root.join("dev/fd");
    wanted.operations.push(FileOperation::Symlink { to: "/proc/self/fd".into(), link });
    wanted.clone = Namespaces::MOUNT | Namespaces::PID | Namespaces::IPC | Namespaces::UTS;
    wanted.rootfs = Some(root.clone());
    (root, wanted)
}

#[test]
fn a_container_has_its_own_root_processes_and_mounts() {
    if !is_root() {
        return;
    }
    let before = mounts::Table::current().unwrap();
    let house = House::new();
    let script = "echo $$; ls /; ls /dev; cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l; pwd; \
        cat /proc/self/mountinfo | cut -d' ' -f5 | sort | head -3; touch /usr/x; echo $?; echo x > /dev/null && echo ok";
    let (_, wanted) = rooted(&house, script);
    let (exit, output) = house.run(wanted);
    assert_eq!(exit, Exit::Exited(0), "{output}");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "2", "process 1 is the init: {output}");
    assert!(output.contains("messor-init"), "{output}");
    assert!(!output.contains("home") && !output.contains("\nroot\n"), "nothing of the host: {output}");
    assert!(output.contains("fd\nnull\nurandom\nzero\n"), "{output}");
    assert!(output.contains("Read-only file system") && output.ends_with("ok\n"), "{output}");
    assert_eq!(mounts::Table::current().unwrap(), before, "the host's mounts are as they were");
}

#[test]
fn masked_and_read_only_paths() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let script = "cat /proc/version | wc -c; ls /proc/sys/kernel | wc -l; ls /etc/secret | wc -l; \
        echo x > /mnt/sandbox/file || echo refused; cat /mnt/sandbox/file";
    let (root, mut wanted) = rooted(&house, script);
    fs::create_dir(root.join("etc/secret")).unwrap();
    fs::write(root.join("etc/secret/key"), "k").unwrap();
    fs::write(root.join("mnt/sandbox/file"), "as it was\n").unwrap();
    wanted.masked_paths = ["proc/version", "proc/sys/kernel", "etc/secret", "no/such", "dev/null/x"]
        .map(|path| root.join(path))
        .to_vec();
    wanted.read_only_paths = vec![root.join("mnt/sandbox"), root.join("nothing")];
    let (_, output) = house.run(wanted);
    let lines: Vec<&str> = output.lines().filter(|line| !line.starts_with("/bin/sh")).collect();
    assert_eq!(lines, ["0", "0", "0", "refused", "as it was"]);
}

#[test]
fn mount_targets_do_not_lead_out_of_what_a_task_controls() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let top = fs::canonicalize(house.folder.path()).unwrap();
    let (victim, volume) = (top.join("victim"), top.join("volume"));
    for directory in [&victim, &volume] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(volume.join("inside"), "").unwrap();
    let (root, mut wanted) = rooted(&house, "ls /etc/deep/there; echo $?");
    // A task of before left this in its root: as the host sees it, it leads to the victim.
    symlink(&victim, root.join("etc/way")).unwrap();
    symlink("/etc/deep", root.join("etc/short")).unwrap();
    wanted.mounts.push(bind(&volume, root.join("etc/short/there"), 0));
    fs::create_dir(root.join("etc/deep")).unwrap();
    assert_eq!(house.run(wanted).1, "inside\n0\n");

    let (_, mut wanted) = rooted(&house, "true");
    wanted.mounts.push(bind(&volume, root.join("etc/way/x"), 0));
    match house.launch("c", wanted).unwrap_err() {
        StartError::Step { step: Step::MountTarget, source, .. } => {
            // In the root there is no such directory, and nothing is made where a link dangles.
            assert!(matches!(source.raw_os_error(), Some(2 | 17)), "{source}");
        }
        other => panic!("{other}"),
    }
    // A sandbox without a root of its own: out of it is an error.
    let sandbox = top.join("sandbox");
    fs::create_dir(&sandbox).unwrap();
    symlink(&victim, sandbox.join("data")).unwrap();
    symlink("../victim", sandbox.join("up")).unwrap();
    for name in ["data", "data/new", "up", "up/new"] {
        let mut wanted = shell("true");
        wanted.clone = Namespaces::MOUNT;
        wanted.untrusted = vec![sandbox.clone()];
        wanted.mounts = vec![bind(&volume, sandbox.join(name), 0)];
        match house.launch("c", wanted).unwrap_err() {
            StartError::Step { step: Step::Escape, source, .. } => {
                assert_eq!(source.raw_os_error(), Some(18), "{name}");
            }
            other => panic!("{other}"),
        }
        // The same for what is to be mounted, and for operations.
        let mut wanted = shell("true");
        wanted.clone = Namespaces::MOUNT;
        wanted.untrusted = vec![sandbox.clone()];
        wanted.mounts = vec![bind(sandbox.join(name), &volume, 0)];
        let error = house.launch("c", wanted).unwrap_err();
        assert!(matches!(error, StartError::Step { step: Step::Escape, .. }), "{error}");
    }
    let made = FileOperation::MakeDirectory { path: sandbox.join("up/made"), with_parents: true };
    let wanted = Process { operations: vec![made], untrusted: vec![sandbox], ..shell("true") };
    let error = house.launch("c", wanted).unwrap_err();
    assert!(matches!(error, StartError::Step { step: Step::Escape, .. }), "{error}");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn mounts_stay_inside_and_propagate_as_they_are_told() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let top = fs::canonicalize(house.folder.path()).unwrap();
    let (shared, plain) = (top.join("shared"), top.join("plain"));
    for directory in [&shared, &plain, &shared.join("sub"), &plain.join("sub")] {
        fs::create_dir(directory).unwrap();
    }
    // On the host: a shared mount.
    mounts::mount(Some(&shared), &shared, None, mounts::BIND, None).unwrap();
    mounts::set_propagation(&shared, mounts::SHARED, false).unwrap();
    let is_there = |path: &Path| mounts::Table::current().unwrap().is_mount_point(path);

    let script = format!(
        "mount -t tmpfs none {0}/sub && mount -t tmpfs none {1}/sub",
        shared.display(),
        plain.display()
    );
    let wanted = Process { clone: Namespaces::MOUNT, ..shell(&script) };
    assert_eq!(house.run(wanted), (Exit::Exited(0), String::new()));
    assert!(!is_there(&shared.join("sub")) && !is_there(&plain.join("sub")));

    let kept = Mount { target: shared.clone(), flags: mounts::SHARED, ..Mount::default() };
    let mut wanted = Process { clone: Namespaces::MOUNT, ..shell(&script) };
    wanted.mounts = vec![kept.clone()];
    assert_eq!(house.run(wanted), (Exit::Exited(0), String::new()));
    assert!(is_there(&shared.join("sub")) && !is_there(&plain.join("sub")));
    mounts::unmount(&shared.join("sub")).unwrap();

    // What would show on the host is not mounted below it.
    let mut wanted = Process { clone: Namespaces::MOUNT, ..shell("true") };
    wanted.mounts = vec![kept, bind(&plain, shared.join("sub"), 0)];
    let error = house.launch("c", wanted).unwrap_err();
    assert!(matches!(error, StartError::Step { step: Step::SharedTarget, .. }), "{error}");
    assert_eq!(mounts::unmount_below(&shared).unwrap(), [shared.as_path()]);
    assert!(mounts::unmount_below(&shared).unwrap().is_empty());
}

#[test]
fn read_only_goes_for_all_mounts_below() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let top = fs::canonicalize(house.folder.path()).unwrap();
    let (source, target) = (top.join("source"), top.join("target"));
    fs::create_dir_all(source.join("below")).unwrap();
    let mut wanted = shell(&format!(
        "touch {0}/x; touch {0}/below/x; touch {1}/below/y && echo written",
        target.display(),
        source.display()
    ));
    wanted.clone = Namespaces::MOUNT;
    wanted.mounts = vec![
        mount("none", &source.join("below"), "tmpfs"),
        bind(&source, &target, mounts::RECURSIVE | mounts::READ_ONLY | mounts::NO_EXECUTION),
    ];
    let (_, output) = house.run(wanted);
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
    assert!(output.ends_with("written\n"), "{output}");
    assert!(!source.join("below/y").exists());
}

#[test]
fn file_operations() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let top = fs::canonicalize(house.folder.path()).unwrap();
    fs::create_dir(top.join("tmpfs")).unwrap();
    fs::write(top.join("old"), "moved").unwrap();
    fs::create_dir(top.join("tree")).unwrap();
    fs::write(top.join("tree/leaf"), "leaf").unwrap();
    let mut wanted =
        shell("cd \"$0\"; cat near; cat tmpfs/far/leaf; readlink link; ls -d a/b/c; cat mounted/leaf");
    wanted.arguments.push(top.clone().into());
    wanted.clone = Namespaces::MOUNT;
    wanted.mounts = vec![mount("none", &top.join("tmpfs"), "tmpfs")];
    wanted.operations = vec![
        FileOperation::Rename { from: top.join("old"), to: top.join("near") },
        FileOperation::MakeDirectory { path: top.join("a/b/c"), with_parents: true },
        FileOperation::MakeDirectory { path: top.join("mounted"), with_parents: false },
        FileOperation::Symlink { to: "some where".into(), link: top.join("link") },
        FileOperation::Mount(bind(top.join("tree"), top.join("mounted"), 0)),
    ];
    // Over to another filesystem, which is a copy.
    let mut copied = wanted.operations.clone();
    copied.push(FileOperation::Rename { from: top.join("tree2"), to: top.join("tmpfs/far") });
    fs::create_dir(top.join("tree2")).unwrap();
    fs::write(top.join("tree2/leaf"), "far\n").unwrap();
    wanted.operations = copied;
    assert_eq!(house.run(wanted), (Exit::Exited(0), "movedfar\nsome where\na/b/c\nleaf".into()));
    assert!(!top.join("tree2").exists());
    let fails = |operation: FileOperation| {
        let wanted = Process { operations: vec![operation], ..shell("true") };
        match house.launch("c", wanted).unwrap_err() {
            StartError::Step { step, source, .. } => (step, source.raw_os_error().unwrap()),
            other => panic!("{other}"),
        }
    };
    let link = FileOperation::Symlink { to: "x".into(), link: top.join("link") };
    assert_eq!(fails(link), (Step::Symlink, 17));
    let directory = FileOperation::MakeDirectory { path: top.join("no/such"), with_parents: false };
    assert_eq!(fails(directory), (Step::MakeDirectory, 2));
    let gone = FileOperation::Rename { from: top.join("gone"), to: top.join("x") };
    assert_eq!(fails(gone), (Step::Rename, 2));
    let mounted = FileOperation::Mount(bind(top.join("tree"), top.join("mounted"), 0));
    let wanted = Process { operations: vec![mounted], ..shell("true") };
    assert!(
        house.launch("c", wanted).unwrap_err().to_string().contains("'file_operations' needs a new mount")
    );
}

#[test]
fn commands_before_run_in_the_namespaces_and_must_succeed() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let before = |script: &str| Before {
        program: "/bin/sh".into(),
        arguments: vec!["sh".into(), "-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
    };
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut wanted = shell("cat /proc/sys/kernel/hostname; id -u");
    wanted.clone = Namespaces::UTS;
    wanted.identity = nobody();
    wanted.before = vec![before("echo inner > /proc/sys/kernel/hostname")];
    assert_eq!(house.run(wanted).1, "inner\n65534\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), host);
    let wanted = Process { before: vec![before("exit 4")], ..shell("true") };
    let error = house.launch("c", wanted).unwrap_err();
    assert_eq!(error.to_string(), "the command 'exit 4' to run before exited with status 4");
}

#[test]
fn the_init_tells_how_the_program_ended_and_takes_all_with_it() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let inner = |script: &str| Process { clone: Namespaces::PID, ..shell(script) };
    assert_eq!(house.run(inner("exit 3")).0, Exit::Exited(3));
    assert_eq!(house.run(inner("kill -9 $$")).0, Exit::Signalled { signal: 9, core_dumped: false });
    // Signals to it are the program's, TERM too, which a process 1 would not get.
    let ready = house.path("ready");
    let script = format!("trap 'exit 8' TERM; : > {}; while :; do sleep 0.01; done", ready.display());
    let pid = house.launch("c", inner(&script)).unwrap();
    eventually("the program has set its trap", || ready.exists());
    house.warden().signal(pid, Signal::TERM).unwrap();
    assert_eq!(house.ended().exit, Some(Exit::Exited(8)));
    // What is left ends with the program.
    let (exit, output) = house.run(inner("setsid sleep 1000 >/dev/null 2>&1 & echo done"));
    assert_eq!((exit, output.as_str()), (Exit::Exited(0), "done\n"));
    let left = messor_linux::procfs::processes().unwrap();
    let warden = house.warden().pid().unwrap();
    assert!(!left.iter().any(|process| process.parent == warden), "{left:?}");
    // The init is killed: so is everything.
    let pid = house.launch("c", inner("sleep 1000")).unwrap();
    kill(pid);
    assert_eq!(house.ended().exit, Some(Exit::Signalled { signal: 9, core_dumped: false }));
    // A program that cannot be executed is told through the init as well.
    let error =
        house.launch("c", Process { clone: Namespaces::PID, ..process("/no/such", &[]) }).unwrap_err();
    assert!(matches!(error, StartError::Step { step: Step::Execute, .. }), "{error}");
    assert_eq!(house.noted("c"), "256");
}

#[test]
fn a_process_enters_the_namespaces_of_another() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let (_, mut outer) = rooted(&house, "echo outer > /proc/sys/kernel/hostname; sleep 1000");
    outer.clone = outer.clone | Namespaces::NET;
    let pid = house.launch("outer", outer).unwrap();
    let all = Namespaces::MOUNT | Namespaces::PID | Namespaces::IPC | Namespaces::UTS | Namespaces::NET;
    let script = "cat /proc/1/comm; cat /proc/sys/kernel/hostname; ls -d /dev/zero /home 2>&1; \
        ls /proc | grep -c '^[0-9]'; for n in mnt pid uts net ipc; do readlink /proc/self/ns/$n; done; pwd";
    let inner = Process { enter: Some(Enter { pid, namespaces: all }), ..shell(script) };
    let (exit, output) = house.run(inner);
    assert_eq!(exit, Exit::Exited(0), "{output}");
    assert!(
        output.starts_with("messor-init\nouter\n") && output.contains("'/home': No such file"),
        "{output}"
    );
    for name in ["mnt", "pid", "uts", "net", "ipc"] {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert!(output.contains(theirs.to_str().unwrap()), "{name}: {output}");
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(theirs, ours);
    }
    // A namespace of pids inside the other one.
    let nested = Process {
        enter: Some(Enter { pid, namespaces: Namespaces::PID }),
        clone: Namespaces::PID,
        ..shell("echo $$; exit 6")
    };
    assert_eq!(house.run(nested), (Exit::Exited(6), "2\n".into()));
    // The warden itself stayed where it is, and what it forks afterwards as well.
    let (_, output) = house.run(shell("readlink /proc/self/ns/pid"));
    assert_eq!(output.trim(), fs::read_link("/proc/self/ns/pid").unwrap().to_str().unwrap());
    // One that is gone cannot be entered.
    house.warden().signal(pid, Signal::KILL).unwrap();
    assert_eq!(house.ended().container, "outer");
    let late = Process { enter: Some(Enter { pid, namespaces: Namespaces::PID }), ..shell("true") };
    let error = house.launch("c", late).unwrap_err();
    assert!(matches!(error, StartError::Step { step: Step::EnterPidNamespace, .. }), "{error}");
    assert!(!is_alive(pid));
}

#[test]
fn capabilities_u040_u041() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let set = |numbers: &[u8]| Some(numbers.iter().copied().collect::<CapabilitySet>());
    let show = "grep ^Cap /proc/self/status | tr '\\n' ' '";
    let line = |inheritable: u64, permitted: u64, effective: u64, bounding: u64, ambient: u64| {
        format!(
            "CapInh:\t{inheritable:016x} CapPrm:\t{permitted:016x} CapEff:\t{effective:016x} CapBnd:\t{bounding:016x} CapAmb:\t{ambient:016x} "
        )
    };
    // Effective ones are ambient, so that a user other than root keeps them over exec.
    let (kill, net) = (1u64 << 5, 1u64 << 10);
    let request = CapabilityRequest { effective: set(&[10]), bounding: set(&[5, 10]) };
    let wanted = Process { capabilities: Some(request), identity: nobody(), ..shell(show) };
    assert_eq!(house.run(wanted).1, line(kill | net, net, net, kill | net, net));
    // Without bounding ones, they bound as well.
    let request = CapabilityRequest { effective: set(&[5]), bounding: None };
    let wanted = Process { capabilities: Some(request), ..shell(show) };
    assert_eq!(house.run(wanted).1, line(kill, kill, kill, kill, kill));
    // None at all, for root too.
    let request = CapabilityRequest { effective: set(&[]), bounding: None };
    let wanted = Process { capabilities: Some(request), ..shell(show) };
    assert_eq!(house.run(wanted).1, line(0, 0, 0, 0, 0));
    // Bounding ones alone: root has no more than these after exec.
    let request = CapabilityRequest { effective: None, bounding: set(&[5, 10]) };
    let wanted = Process { capabilities: Some(request), ..shell(show) };
    assert_eq!(house.run(wanted).1, line(kill | net, kill | net, kill | net, kill | net, 0));
    // What this process does not have, it cannot give.
    let have = messor_linux::capabilities::Capabilities::current().unwrap().permitted;
    if let Some(missing) = (0..=40).find(|number| !have.contains(*number)) {
        let request = CapabilityRequest { effective: set(&[missing]), bounding: None };
        let error = house.launch("c", Process { capabilities: Some(request), ..shell("true") }).unwrap_err();
        assert!(matches!(error, StartError::Step { step: Step::Capabilities, .. }), "{error}");
    }
}

#[test]
fn a_cgroup_namespace_begins_at_the_cgroup_that_was_entered() {
    if !is_root() || !Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists() {
        return;
    }
    let house = House::new();
    let cgroup = PathBuf::from(format!("/sys/fs/cgroup/pids/messor-test-{}", std::process::id()));
    fs::create_dir(&cgroup).unwrap();
    let mut wanted = shell("grep :pids: /proc/self/cgroup");
    wanted.cgroups = vec![cgroup.join("cgroup.procs")];
    let (_, outside) = house.run(wanted);
    let mut wanted = shell("grep :pids: /proc/self/cgroup");
    wanted.cgroups = vec![cgroup.join("cgroup.procs")];
    wanted.clone = Namespaces::CGROUP;
    let (_, inside) = house.run(wanted);
    fs::remove_dir(&cgroup).unwrap();
    assert!(outside.trim().ends_with(&format!("/messor-test-{}", std::process::id())), "{outside}");
    assert!(inside.trim().ends_with(":pids:/"), "{inside}");
}

#[test]
fn seccomp_filters_with_and_without_privileges_u016() {
    use messor_linux::seccomp::{Action, Profile, Rule, compile};
    let house = House::new();
    let directory = house.path("made");
    let filtered = |action, no_new_privileges| {
        let rule = Rule {
            names: vec!["mkdir".into(), "mkdirat".into()],
            action,
            arguments: Vec::new(),
            only_with: CapabilitySet::NONE,
            not_with: CapabilitySet::NONE,
        };
        let profile = Profile { default: Action::Allow, architectures: Vec::new(), rules: vec![rule] };
        let seccomp = Some(compile(&profile, CapabilitySet::NONE).unwrap());
        let mut wanted = process("/bin/mkdir", &[directory.to_str().unwrap()]);
        wanted.environment.push(("LC_ALL".into(), "C".into()));
        Process { seccomp, no_new_privileges, ..wanted }
    };
    let mut ways = vec![true];
    if is_root() {
        ways.push(false);
    }
    for no_new_privileges in ways {
        let (exit, output) = house.run(filtered(Action::Errno(13), no_new_privileges));
        assert!(exit == Exit::Exited(1) && output.contains("Permission denied"), "{output}");
        let (exit, _) = house.run(filtered(Action::Kill, no_new_privileges));
        assert!(matches!(exit, Exit::Signalled { signal: 31, .. }), "{exit}");
    }
    assert!(!directory.exists());
    // Without the right to load a filter, and without giving up rights to come, there is none.
    if is_root() {
        let mut wanted = filtered(Action::Allow, false);
        wanted.seccomp.as_mut().unwrap().programs.push(vec![0]);
        let error = house.launch("c", wanted).unwrap_err();
        assert!(matches!(error, StartError::Step { step: Step::Seccomp, .. }), "{error}");
    }
}
