//! What tries to get away, and what is left of it: nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use messor_linux::cgroups::{Group, Hierarchies, Kernel, Store, Version};
use messor_linux::container::{Namespaces, Process};
use messor_linux::killtree::{self, Tree};
use messor_linux::{Pid, Signal, procfs, signals};

use crate::house::{House, PATIENCE, eventually, is_alive, is_root, shell, skip};

/// How the processes of a group are killed.
#[derive(Clone, Copy, Debug)]
enum Way {
    Freezer,
    V2,
    /// Version 2 of a kernel before 5.14.
    V2WithoutKill,
}

struct WithoutKill;

impl Store for WithoutKill {
    fn read(&self, file: &Path) -> io::Result<String> {
        Kernel.read(file)
    }
    fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        assert!(!file.ends_with("cgroup.kill"));
        Kernel.write(file, text)
    }
    fn exists(&self, path: &Path) -> bool {
        !path.ends_with("cgroup.kill") && Kernel.exists(path)
    }
    fn make(&self, group: &Path) -> io::Result<()> {
        Kernel.make(group)
    }
    fn remove(&self, group: &Path) -> io::Result<()> {
        Kernel.remove(group)
    }
    fn children(&self, group: &Path) -> io::Result<Vec<PathBuf>> {
        Kernel.children(group)
    }
}

/// A group that is killed, and one that bounds the number of processes.
struct Groups {
    freezer: Group,
    pids: Group,
}

impl Groups {
    fn new(name: &str, way: Way) -> Option<Groups> {
        if !is_root() {
            return None;
        }
        let skip = |why: &str| {
            skip(why);
            None
        };
        let mut found = Hierarchies::find(Path::new("/sys/fs/cgroup")).ok()?;
        if found.version() != Version::V1 || found.locate("freezer").is_err() || found.locate("pids").is_err()
        {
            return skip("no freezer and pids controllers of cgroup v1");
        }
        let unified = Path::new("/sys/fs/cgroup/unified");
        let killed = match way {
            Way::Freezer => Some(found.clone()),
            Way::V2 => Hierarchies::find(unified).ok(),
            Way::V2WithoutKill => Some(Hierarchies::over(Arc::new(WithoutKill), unified, Version::V2, &[])),
        };
        let killed = killed.filter(|_| matches!(way, Way::Freezer) || unified.join("cgroup.procs").exists());
        let Some(killed) = killed else { return skip("no cgroup v2") };
        let name = format!("messor-escape-{name}-{way:?}-{}", std::process::id());
        let groups = Groups { freezer: killed.group("freezer", &name), pids: found.group("pids", &name) };
        groups.freezer.make().unwrap();
        groups.pids.make().unwrap();
        groups.pids.write("pids.max", "200").unwrap();
        Some(groups)
    }

    fn inside(&self, process: Process) -> Process {
        let cgroups = [&self.freezer, &self.pids].map(|group| group.file("cgroup.procs"));
        Process { cgroups: cgroups.to_vec(), ..process }
    }

    fn destroy(&self) {
        self.freezer.kill_all(PATIENCE).unwrap();
        self.freezer.remove(PATIENCE).unwrap();
        self.pids.remove(PATIENCE).unwrap();
        assert!(!self.freezer.exists() && !self.pids.exists());
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // After a test that failed.
        let _ = self.freezer.kill_all(Duration::from_secs(5));
        let _ = self.freezer.remove(Duration::from_secs(5));
        let _ = self.pids.remove(Duration::from_secs(5));
    }
}

/// What a script wrote: pids, one a line.
fn pids(path: &Path, count: usize) -> Vec<i32> {
    let read = || -> Vec<i32> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    };
    eventually("all have written their pids", || read().len() >= count);
    read()
}

fn nothing_is_left(pids: &[i32]) {
    eventually("they are reaped", || pids.iter().all(|pid| !is_alive(*pid)));
}

/// Forks twice, leaves its session, its parent and its directory, closes everything, and ignores signals.
fn daemon(file: &Path) -> String {
    format!(
        "(setsid sh -c 'trap \"\" TERM HUP INT QUIT; cd /; exec 0<&- 1>&- 2>&-; echo $$ >> {0}; \
         while :; do sleep 0.1; done' &) ; echo $$ >> {0}",
        file.display()
    )
}

#[test]
fn daemons_that_ignore_signals_go_with_their_group() {
    daemon_in(Way::Freezer);
}

#[test]
fn daemons_that_ignore_signals_go_with_their_group_of_version_2() {
    daemon_in(Way::V2);
}

#[test]
fn daemons_that_ignore_signals_go_with_their_group_of_version_2_without_its_kill() {
    daemon_in(Way::V2WithoutKill);
}

fn daemon_in(way: Way) {
    let Some(groups) = Groups::new("daemon", way) else { return };
    let house = House::new();
    let file = house.path("pids");
    let script = format!("{0}; {0}; sleep 1000", daemon(&file));
    let pid = house.launch("c", groups.inside(shell(&script))).unwrap();
    let found = pids(&file, 4);
    assert!(is_alive(pid) && groups.freezer.all_processes().unwrap().len() >= 3);
    // The program goes, its daemons stay, with the warden as their parent.
    signals::send(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert_eq!(house.ended().pid, pid);
    let warden = house.warden().pid().unwrap();
    let strays = house.warden().strays().unwrap();
    let daemons: Vec<i32> = found.iter().copied().filter(|found| *found != pid).collect();
    assert_eq!(daemons.len(), 2, "{found:?}");
    let is_ours = |pid: &i32| procfs::process(*pid).unwrap().unwrap().parent == warden;
    assert!(daemons.iter().all(|pid| strays.contains(pid) && is_ours(pid)), "{strays:?}");
    groups.destroy();
    nothing_is_left(&found);
    assert_eq!(house.warden().strays().unwrap(), [0; 0]);
}

#[test]
fn a_fork_bomb_is_bounded_and_ends() {
    bomb_in(Way::Freezer);
}

#[test]
fn a_fork_bomb_is_bounded_and_ends_in_version_2() {
    bomb_in(Way::V2);
}

#[test]
fn a_fork_bomb_is_bounded_and_ends_in_version_2_without_its_kill() {
    bomb_in(Way::V2WithoutKill);
}

fn bomb_in(way: Way) {
    let Some(groups) = Groups::new("bomb", way) else { return };
    let house = House::new();
    let bomb = groups
        .inside(shell("bomb() { bomb | bomb & }; bomb 2>/dev/null; while :; do bomb 2>/dev/null; done"));
    let pid = house.launch("c", bomb).unwrap();
    eventually("it hits its limit", || {
        groups.pids.table("pids.events").unwrap().get("max").is_some_and(|hits| *hits > 0)
    });
    // Others are started meanwhile.
    assert_eq!(house.run(shell("echo fine")).1, "fine\n");
    groups.destroy();
    house.ended_of(pid);
    assert_eq!(house.warden().strays().unwrap(), [0; 0]);
}

#[test]
fn what_keeps_moving_does_not_get_away() {
    moving_in(Way::Freezer);
}

#[test]
fn what_keeps_moving_does_not_get_away_from_version_2() {
    moving_in(Way::V2);
}

#[test]
fn what_keeps_moving_does_not_get_away_from_version_2_without_its_kill() {
    moving_in(Way::V2WithoutKill);
}

fn moving_in(way: Way) {
    let Some(groups) = Groups::new("moving", way) else { return };
    let house = House::new();
    // Each generation starts the next one in a session of its own, and ends.
    let script =
        "cat > \"$0\" <<'END'\nsetsid sh \"$0\" \"$0\" & exit\nEND\nsetsid sh \"$0\" \"$0\" & sleep 1000";
    let mut wanted = groups.inside(shell(script));
    wanted.arguments.push(house.path("hopper").into());
    house.launch("c", wanted).unwrap();
    let strays = || house.warden().strays().unwrap();
    eventually("it hops", || !strays().is_empty());
    let before = strays();
    eventually("it hops on", || strays().iter().any(|pid| !before.contains(pid)));
    groups.destroy();
    house.ended();
    assert_eq!(house.warden().strays().unwrap(), [0; 0]);
}

#[test]
fn a_stopped_group_is_killed_too() {
    stopped_in(Way::Freezer);
}

#[test]
fn a_stopped_group_is_killed_too_in_version_2() {
    stopped_in(Way::V2);
}

#[test]
fn a_stopped_group_is_killed_too_in_version_2_without_its_kill() {
    stopped_in(Way::V2WithoutKill);
}

fn stopped_in(way: Way) {
    let Some(groups) = Groups::new("stopped", way) else { return };
    let house = House::new();
    let pid = house.launch("c", groups.inside(shell("sleep 1000 & kill -STOP $! $$; sleep 1000"))).unwrap();
    eventually("it is stopped", || procfs::process(pid).unwrap().unwrap().state == 'T');
    groups.destroy();
    assert_eq!(house.ended().pid, pid);
}

#[test]
fn a_nested_group_goes_with_the_outer_one() {
    nested_in(Way::Freezer);
}

#[test]
fn a_nested_group_goes_with_the_outer_one_in_version_2() {
    nested_in(Way::V2);
}

fn nested_in(way: Way) {
    let Some(groups) = Groups::new("nested", way) else { return };
    let house = House::new();
    let inner = groups.freezer.child("mesos/inner");
    groups.freezer.child("mesos").make().unwrap();
    inner.make().unwrap();
    let nested = Process { cgroups: vec![inner.file("cgroup.procs")], ..shell("sleep 1000") };
    house.launch("inner", nested).unwrap();
    house.launch("outer", groups.inside(shell("sleep 1000"))).unwrap();
    groups.destroy();
    let mut ended = [house.ended().container, house.ended().container];
    ended.sort();
    assert_eq!(ended, ["inner", "outer"]);
}

#[test]
fn a_pid_namespace_takes_everything_along() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let file = house.path("pids");
    // In there, the pids are others; so they are counted by their command.
    let mark = format!("100{}", std::process::id());
    let script = format!(
        "for i in 1 2 3; do (setsid sh -c 'trap \"\" TERM; sleep {mark}; sleep {mark}' &); done; echo 1 > {}; wait; sleep 1000",
        file.display()
    );
    let process = Process { clone: Namespaces::PID, ..shell(&script) };
    let pid = house.launch("c", process).unwrap();
    let marked = || {
        let all = procfs::processes().unwrap();
        all.iter()
            .filter(|one| procfs::command_line(one.pid).unwrap_or_default() == format!("sleep {mark}"))
            .count()
    };
    eventually("all are there", || marked() == 3);
    signals::send(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    house.ended();
    assert_eq!(marked(), 0, "when the init is gone, so are they");
}

#[test]
fn without_groups_the_tree_and_its_strays_are_found() {
    let house = House::new();
    let file = house.path("pids");
    let script = format!("{}; sleep 1000 & sleep 1000", daemon(&file));
    let mut wanted = shell(&script);
    wanted.environment.push(("MESOS_SANDBOX".into(), house.folder.path().into()));
    let pid = house.launch("c", wanted).unwrap();
    let found = pids(&file, 2);
    // The daemon is a child of the warden now, with the environment that it was started with.
    let mark = house.folder.path().to_str().unwrap().to_owned();
    let mut roots = vec![pid];
    let strays = house.warden().strays().unwrap();
    roots.extend(strays.into_iter().filter(|stray| procfs::mentions(*stray, &mark)));
    assert_eq!(roots.len(), 2, "{roots:?} of {found:?}");
    let tree = Tree { roots, spared: vec![house.warden().pid().unwrap()] };
    killtree::kill_tree(&mut killtree::Kernel, &tree, Signal::KILL).unwrap();
    assert_eq!(house.ended().pid, pid);
    nothing_is_left(&found);
    assert_eq!(house.warden().strays().unwrap(), [0; 0]);
}
