//! An agent that is killed at each step of the launch and of the destruction of containers, with real processes: the next
//! agent leaves nothing of them behind, what goes on goes on, and ends are told. Some of these are killed again while they
//! recover.

mod operators;
mod rig;
mod tasks;
mod ways;

use std::os::unix::fs::PermissionsExt;

use messor_testkit::{ControlGroups, skip};

use operators::Operator;
use rig::Rig;
use tasks::Tasks;
use ways::Way;

/// Who has containers launched, and looks after what became of them.
trait Load {
    /// Begins whatever leads to the point.
    fn begin(&mut self, rig: &Rig, point: &str);
    /// The next agent is there: what was begun ends, and what is told of it is right.
    fn ends(&mut self, rig: &Rig, point: &str);
    /// Whatever it has had all the time ends.
    fn is_over(&mut self, rig: &Rig);
}

/// Kills an agent at each of these points.
fn kill_at_each(way: Way, points: Vec<String>) {
    let groups = ControlGroups::new();
    if way.is_on_linux() && groups.is_none() {
        return skip("agents that are killed: no control groups of version 1 here, or not root");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
        .expect("a folder of ours");
    if way == Way::Gpu && !crate::gpus::make_up(folder.path()) {
        return skip("agents with GPUs that are killed: there is no compiler for C");
    }
    let mut flags = vec![
        format!("--isolation={}", way.isolation()),
        "--resources=cpus:8;mem:4096;disk:4096;ports:[]".to_string(),
    ];
    if let Some(groups) = groups.as_ref().filter(|_| way.is_on_linux()) {
        flags.extend(["--launcher=linux".to_string(), format!("--cgroups_root={}", groups.root())]);
    }
    if way.isolation().contains("linux/seccomp") {
        // Without a profile that every container has.
        flags.push(format!("--seccomp_config_dir={}", folder.path().display()));
    }
    if way == Way::Garbage {
        flags.extend(["--gc_delay=1ms", "--disk_watch_interval=20ms"].map(str::to_string));
    }
    if way == Way::Gpu {
        // One of the two: what is not free again is missing.
        flags[1].push_str(";gpus:1");
        flags.push("--nvidia_gpu_devices=0".to_string());
    }
    let by_operator =
        matches!(way, Way::Standalone | Way::Numbers | Way::Nested | Way::Session | Way::Recovery);
    if way == Way::Numbers {
        // One that is not free again is missing.
        flags.extend([
            format!("--cgroups_hierarchy={}", folder.path().join("cgroup").display()),
            "--cgroups_net_cls_primary_handle=0x12".to_string(),
            "--cgroups_net_cls_secondary_handles=0x1,0x1".to_string(),
        ]);
    }
    let mut rig = Rig::new(folder, flags, groups);
    std::fs::write(rig.path("fetched"), "words").expect("a file");
    let nothing = rig.traces();
    let mut load: Box<dyn Load> = match by_operator {
        true => Box::new(Operator::new(&rig, way)),
        false => Box::new(Tasks::new(way)),
    };
    let before = rig.traces();
    for point in &points {
        let began = std::time::Instant::now();
        if way == Way::Recovery {
            let launch = "nested before go on";
            rig.arm(launch);
            load.begin(&rig, launch);
            rig.is_killed(launch);
            rig.dies_recovering(point);
        } else {
            rig.arm(point);
            load.begin(&rig, point);
            rig.is_killed(point);
            // Of one group nothing is left when it is removed.
            let is_last = way == Way::Numbers && point == "amid clean up cgroups";
            if ways::is_passed_again(point) && way != Way::Changes && !is_last {
                rig.dies_recovering(point);
            }
        }
        rig.start();
        load.ends(&rig, point);
        rig.is_idle();
        rig.leaves_no_trace(&before, point);
        eprintln!("{point}: {:?}", began.elapsed());
    }
    load.is_over(&rig);
    rig.leaves_no_trace(&nothing, "any point");
}

/// Each way in as many tests as stand here, which take turns with its points.
macro_rules! shares {
    ($($way:ident: $($name:ident)*;)*) => {$(
        mod $way {
            const NAMES: &[&str] = &[$(stringify!($name)),*];
            $(
                #[test]
                fn $name() {
                    super::share(stringify!($way), NAMES, stringify!($name));
                }
            )*
        }
    )*};
}

fn share(way: &str, names: &[&str], name: &str) {
    let way = ways::WAYS.iter().find(|one| format!("{one:?}").to_lowercase() == way).expect("a way");
    let number = names.iter().position(|one| *one == name).expect("a share");
    kill_at_each(*way, way.points().into_iter().skip(number).step_by(names.len()).collect());
}

shares! {
    posix: nothing_leaks_0 nothing_leaks_1 nothing_leaks_2;
    linux: nothing_leaks_0 nothing_leaks_1 nothing_leaks_2 nothing_leaks_3 nothing_leaks_4;
    pod: nothing_leaks;
    changes: nothing_leaks;
    standalone: nothing_leaks_0 nothing_leaks_1 nothing_leaks_2;
    numbers: nothing_leaks;
    nested: nothing_leaks_0 nothing_leaks_1 nothing_leaks_2;
    session: nothing_leaks_0 nothing_leaks_1 nothing_leaks_2;
    recovery: nothing_leaks;
    gpu: nothing_leaks;
    shared: nothing_leaks;
    garbage: nothing_leaks;
}
