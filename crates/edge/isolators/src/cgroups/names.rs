//! Which controllers the names of `--isolation` ask for, and what each version of control groups calls them.

use messor_linux::cgroups::{Hierarchies, Version};

use super::CgroupsError;

/// Which controllers each name of `--isolation` asks for, by their names in version 1.
const CONTROLLERS: [(&str, &[&str]); 10] = [
    ("cgroups/blkio", &["blkio"]),
    ("cgroups/cpu", &["cpu", "cpuacct"]),
    ("cgroups/cpuset", &["cpuset"]),
    ("cgroups/devices", &["devices"]),
    ("cgroups/hugetlb", &["hugetlb"]),
    ("cgroups/mem", &["memory"]),
    ("cgroups/net_cls", &["net_cls"]),
    ("cgroups/net_prio", &["net_prio"]),
    ("cgroups/perf_event", &["perf_event"]),
    ("cgroups/pids", &["pids"]),
];

/// The controllers that were asked for, in version 1's names and each once.
pub(super) fn wanted(
    hierarchies: &Hierarchies,
    isolators: &[&str],
) -> Result<Vec<&'static str>, CgroupsError> {
    // U018: all that the kernel has, whatever else is there.
    if isolators.contains(&"cgroups/all") {
        let present = hierarchies.controllers()?;
        let version = hierarchies.version();
        let all = CONTROLLERS.iter().flat_map(|(_, names)| *names).copied();
        let all: Vec<&str> = all
            .filter(|name| match version {
                Version::V1 => present.iter().any(|there| there == name),
                Version::V2 => {
                    let name_there = name_in(version, name);
                    let implied = ["devices", "perf_event"].contains(name);
                    *name != "cpuacct" && (implied || present.iter().any(|there| *there == name_there))
                }
            })
            .collect();
        return if all.is_empty() { Err(CgroupsError::NoController) } else { Ok(all) };
    }
    let mut wanted = Vec::new();
    for (isolator, names) in CONTROLLERS.iter().filter(|(isolator, _)| isolators.contains(isolator)) {
        for name in *names {
            if hierarchies.version() == Version::V2 {
                match *name {
                    // The controller cpu counts as well.
                    "cpuacct" => continue,
                    "net_cls" | "net_prio" => return Err(CgroupsError::NotInVersion2(isolator)),
                    _ => {}
                }
            }
            wanted.push(*name);
        }
    }
    Ok(wanted)
}

pub(super) fn name_in(version: Version, name: &'static str) -> &'static str {
    match (version, name) {
        (Version::V2, "blkio") => "io",
        _ => name,
    }
}
