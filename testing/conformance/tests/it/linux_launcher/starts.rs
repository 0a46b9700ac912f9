//! What a launch costs in processes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use messor_testkit::{root, skip, wait_for};

use super::host::{Host, PATIENCE, task};

/// Every process that is started on this host, with its parent, as long as this is there.
struct Starts {
    watcher: Child,
    seen: Arc<Mutex<Vec<(u32, u32)>>>,
}

impl Starts {
    fn watch() -> Option<Starts> {
        let script = root().join("testing/conformance/tests/it/linux_launcher/starts.py");
        let mut watcher = Command::new("python3").arg(script).stdout(Stdio::piped()).spawn().expect("Python");
        let mut lines = BufReader::new(watcher.stdout.take().expect("its output")).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        if first != "ready" {
            let _ = watcher.wait();
            skip(&format!("counting the processes of a launch: {first}"));
            return None;
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = seen.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let (parent, child) = line.split_once(' ').expect("two numbers");
                let pair = (parent.parse().expect("a number"), child.parse().expect("a number"));
                into.lock().expect("no panic").push(pair);
            }
        });
        Some(Starts { watcher, seen })
    }

    /// How many were started so far by these, and by whom they started.
    fn below(&self, roots: &[u32]) -> usize {
        // Word of a process that is over has come when that of a later one has.
        let mut last = Command::new("true").spawn().expect("true");
        last.wait().expect("its end");
        wait_for("word of the last process", PATIENCE, || {
            self.seen.lock().expect("no panic").iter().any(|(_, child)| *child == last.id()).then_some(())
        });
        let mut all: BTreeSet<u32> = roots.iter().copied().collect();
        let seen = self.seen.lock().expect("no panic");
        seen.iter().filter(|(parent, child)| all.contains(parent) && all.insert(*child)).count()
    }
}

impl Drop for Starts {
    fn drop(&mut self) {
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

/// What a task costs, and what a pod of three does: alone, and beside twenty containers.
fn costs(isolation: &str) -> Option<[(usize, usize); 2]> {
    let host = Host::start(isolation, &[])?;
    let starts = Starts::watch()?;
    let roots = [vec![host.cluster.pid("agent0")], host.wardens()].concat();
    let count = |launch: &dyn Fn()| {
        let before = starts.below(&roots);
        launch();
        starts.below(&roots) - before
    };
    let one = |name: &str| {
        count(&|| {
            host.launch(&[task(name, "exec true")]);
            host.ends(name, "TASK_FINISHED");
        })
    };
    let pod = |name: &str| {
        let names = ["a", "b", "c"].map(|task| format!("{name}-{task}"));
        count(&|| {
            let tasks: Vec<_> = names.iter().map(|name| task(name, "exec true")).collect();
            host.launch_group(name, Vec::new(), &tasks);
            for name in &names {
                host.ends(name, "TASK_FINISHED");
            }
        })
    };
    let alone = (one("alone"), pod("pod"));
    let names: Vec<_> = (0..20).map(|number| format!("t{number}")).collect();
    host.launch(&names.iter().map(|name| task(name, "exec sleep 1000")).collect::<Vec<_>>());
    for name in &names {
        host.framework.until(name, "TASK_RUNNING");
    }
    Some([alone, (one("beside"), pod("other"))])
}

/// A launch is one process: that of the executor, which starts its task itself, or of a task in a pod.
#[test]
fn a_launch_is_one_process_however_many_containers_there_are() {
    let isolation = "cgroups/cpu,cgroups/mem,filesystem/linux,namespaces/ipc,volume/sandbox_path";
    let Some(costs) = costs(isolation) else { return };
    assert_eq!(costs, [(2, 4); 2]);
}

/// The first process of a PID namespace is one more. For one within another a third is there for a moment, as the kernel makes
/// it only from within.
#[test]
fn a_launch_with_a_pid_namespace_is_two_processes() {
    let isolation =
        "cgroups/cpu,cgroups/mem,filesystem/linux,namespaces/pid,namespaces/ipc,volume/sandbox_path";
    let Some(costs) = costs(isolation) else { return };
    assert_eq!(costs, [(3, 2 + 3 * 3); 2]);
}
