//! Which points there are, and by which way of running a container agents come to each.

use std::collections::{BTreeMap, BTreeSet};

use messor_containerizer::{Kind, fault_points, recovery_points};

/// In the order in which they prepare; all `cgroups/` are one, and `io/switchboard` is always there.
const POSIX: &[&str] =
    &["filesystem/posix", "posix/cpu", "posix/mem", "posix/rlimits", "environment_secret", "io/switchboard"];
/// Those that have to do with every kind of container.
const LINUX: &[&str] = &[
    "filesystem/linux",
    "posix/rlimits",
    "cgroups",
    "linux/devices",
    "linux/capabilities",
    "linux/nnp",
    "namespaces/ipc",
    "namespaces/pid",
    "volume/sandbox_path",
    "volume/host_path",
    "disk/du",
    "linux/seccomp",
    "environment_secret",
    "io/switchboard",
];
const SECRET: &str = "volume/secret";
const GPU: &str = "gpu/nvidia";
const SHARED: &str = "filesystem/shared";
/// Not here: no file system of the kind is at hand.
const NOWHERE: &[&str] = &["disk/xfs"];
const RECOVERY: &[&str] = LINUX;

/// How an agent comes to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A task of a command executor on the posix launcher.
    Posix,
    /// The same on the linux launcher, in everything that there is.
    Linux,
    /// A pod: at the steps of the container in it.
    Pod,
    /// Two pods of one executor with a volume that one of them has.
    Changes,
    Standalone,
    /// The same with numbers of cgroups/net_cls, of which there is one. Alone, as its hierarchy is mounted by whoever is first.
    Numbers,
    /// Nested in one that is standalone.
    Nested,
    Session,
    /// While the next agent takes up what is nested.
    Recovery,
    Gpu,
    Shared,
    Garbage,
}

pub const WAYS: [Way; 12] = [
    Way::Posix,
    Way::Linux,
    Way::Pod,
    Way::Changes,
    Way::Standalone,
    Way::Numbers,
    Way::Nested,
    Way::Session,
    Way::Recovery,
    Way::Gpu,
    Way::Shared,
    Way::Garbage,
];

impl Way {
    /// The value of `--isolation`.
    pub fn isolation(self) -> String {
        let everything = || {
            let implied = ["cgroups", "environment_secret", "io/switchboard"];
            let mut all: Vec<&str> = LINUX.iter().filter(|name| !implied.contains(name)).copied().collect();
            all.extend([SECRET, "cgroups/cpu", "cgroups/mem", "cgroups/pids", "cgroups/devices"]);
            all.join(",")
        };
        match self {
            Way::Posix | Way::Garbage => "posix/cpu,posix/mem,posix/rlimits".to_string(),
            Way::Linux | Way::Pod | Way::Changes => everything(),
            Way::Standalone | Way::Nested | Way::Session | Way::Recovery => everything(),
            Way::Numbers => "cgroups/net_cls".to_string(),
            Way::Gpu => format!("cgroups/devices,{GPU}"),
            Way::Shared => SHARED.to_string(),
        }
    }

    pub fn is_on_linux(self) -> bool {
        !matches!(self, Way::Posix | Way::Garbage)
    }

    pub fn kind(self) -> Kind {
        match self {
            Way::Pod | Way::Nested | Way::Recovery => Kind::Nested,
            Way::Standalone | Way::Numbers => Kind::Standalone,
            Way::Session => Kind::Debug,
            _ => Kind::Executor,
        }
    }

    /// The points that agents are killed at in this way.
    pub fn points(self) -> Vec<String> {
        let of = |isolators: &[&str]| fault_points(self.kind(), isolators);
        // Those of these isolators, without those of every container.
        let only = |isolators: &[&str]| {
            let common = of(&[]);
            let mut points = of(isolators);
            points.retain(|point| !common.contains(point));
            points
        };
        let amid = |of: &[&str]| {
            let mut all = messor_isolators::fault_points();
            all.retain(|point| of.iter().any(|one| point.ends_with(one)));
            all
        };
        let mut points = match self {
            Way::Posix => of(POSIX),
            Way::Linux => {
                let own: Vec<&str> = LINUX.iter().filter(|name| !POSIX.contains(name)).copied().collect();
                [of(&[&own[..], &[SECRET]].concat()), amid(&["ipc", "secret"])].concat()
            }
            Way::Pod => {
                let common = ["begin", "fork", "fetch", "go on", "kill", "finish"];
                let common = common.map(|step| format!("nested before {step}"));
                // By an executor's own call.
                [common.to_vec(), only(&[SECRET])].concat()
            }
            Way::Changes => amid(&["filesystem/linux"]),
            Way::Standalone => [of(LINUX), amid(&["cgroups"])].concat(),
            Way::Numbers => [only(&["cgroups"]), amid(&["cgroups"])].concat(),
            Way::Nested | Way::Session => of(LINUX),
            Way::Recovery => recovery_points(RECOVERY),
            Way::Gpu => only(&[GPU]),
            Way::Shared => only(&[SHARED]),
            Way::Garbage => ["unmount", "remove"].map(|step| format!("gc before {step}")).to_vec(),
        };
        if self == Way::Garbage {
            points.push("gc after remove".to_string());
        }
        points
    }
}

/// All of all ways.
pub fn every_point() -> BTreeSet<String> {
    let mut all: BTreeSet<String> = WAYS.iter().flat_map(|way| way.points()).collect();
    // Where these isolators are beside others, they are asked in a recovery too, and about pods.
    let others = recovery_points(&[&[SECRET, GPU, SHARED], POSIX].concat());
    let nested = fault_points(Kind::Nested, &[GPU]);
    all.extend(others.into_iter().chain(nested));
    all
}

/// Whether the container has come so far that its program runs, or has run.
pub fn has_run(point: &str) -> bool {
    let point = bare(point);
    let ends = ["after go on", "before kill", "killed", "after update"];
    let steps = [
        "before clean up",
        "before finish",
        "after finish",
        "before remove",
        "after remove",
        "before update ",
    ];
    let amid = ["files removed", "amid clean up"];
    ends.contains(&point) || steps.iter().chain(&amid).any(|step| point.starts_with(step))
}

/// Whether the next agent comes to it as well, when it ends what this one did not.
pub fn is_passed_again(point: &str) -> bool {
    let point = bare(point);
    ["before kill", "killed", "before finish"].contains(&point)
        || point.starts_with("before clean up")
        || point.starts_with("amid clean up")
}

fn bare(point: &str) -> &str {
    ["standalone ", "nested ", "session "].iter().find_map(|kind| point.strip_prefix(kind)).unwrap_or(point)
}

/// Every isolator of the agent is in some way, so that no step of it is without a kill; and every point that is defined has
/// a way to it, on which an agent that does not come to it fails the test.
#[test]
fn every_point_has_a_way_to_it() {
    let mut present: BTreeSet<&str> = messor_isolators::names()
        .iter()
        .map(|name| if name.starts_with("cgroups/") { "cgroups" } else { *name })
        .collect();
    present.insert("io/switchboard");
    let mut covered: BTreeSet<&str> = [POSIX, LINUX, NOWHERE].concat().into_iter().collect();
    covered.extend([SECRET, GPU, SHARED]);
    assert_eq!(covered, present);
    let mut ways: BTreeMap<String, Vec<Way>> = BTreeMap::new();
    for way in WAYS {
        for point in way.points() {
            ways.entry(point).or_default().push(way);
        }
    }
    let executors: Vec<&str> = covered.iter().filter(|name| !NOWHERE.contains(name)).copied().collect();
    let mut defined = fault_points(Kind::Executor, &executors);
    for kind in [Kind::Standalone, Kind::Nested, Kind::Debug] {
        defined.extend(fault_points(kind, LINUX));
    }
    defined.extend(fault_points(Kind::Nested, &[SECRET]));
    defined.extend(messor_isolators::fault_points());
    defined.extend(recovery_points(LINUX));
    let unreached: Vec<&String> = defined.iter().filter(|point| !ways.contains_key(*point)).collect();
    assert!(unreached.is_empty(), "no way leads to {unreached:#?}");
}
