//! What of a host is offered when nobody says: the rules of Apache Mesos.
//! It must not know the syntax of resources beyond the four texts it writes.

use std::path::Path;

use messor_linux::host;

const MEGABYTE: u64 = 1 << 20;
const GIGABYTE: u64 = 1 << 30;

/// The part of a host that is offered where `--resources` does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    pub cpus: u32,
    pub mem_megabytes: u64,
    pub disk_megabytes: u64,
}

impl Discovered {
    pub const PORTS: &'static str = "[31000-32000]";

    /// The resources that are not named yet, as `--resources` would write them.
    pub fn missing(&self, is_named: impl Fn(&str) -> bool) -> String {
        let all = [
            ("cpus", self.cpus.to_string()),
            ("mem", self.mem_megabytes.to_string()),
            ("disk", self.disk_megabytes.to_string()),
            ("ports", Discovered::PORTS.to_string()),
        ];
        let missing = all.iter().filter(|(name, _)| !is_named(name));
        missing.map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(";")
    }
}

/// Looks at the host; the disk is that of the work directory. What cannot be learned gets Mesos's default.
pub fn discover(work_dir: &Path) -> Discovered {
    let memory = host::memory().map(|memory| offered(memory.total_bytes, 2 * GIGABYTE, GIGABYTE));
    let disk = host::disk(work_dir).map(|disk| offered(disk.total_bytes, 10 * GIGABYTE, 5 * GIGABYTE));
    Discovered {
        cpus: host::processors(),
        mem_megabytes: memory.unwrap_or_else(|error| {
            tracing::warn!("The size of the memory is unknown, 1GB is offered: {error}");
            GIGABYTE
        }) / MEGABYTE,
        disk_megabytes: disk.unwrap_or_else(|error| {
            tracing::warn!(
                "The size of the disk of '{}' is unknown, 10GB is offered: {error}",
                work_dir.display()
            );
            10 * GIGABYTE
        }) / MEGABYTE,
    }
}

/// All but what is kept free; half where there is too little for that.
fn offered(total: u64, enough: u64, kept: u64) -> u64 {
    if total >= enough { total - kept } else { total / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabyte_of_memory_or_half_of_it_is_kept() {
        assert_eq!(offered(8 * GIGABYTE, 2 * GIGABYTE, GIGABYTE), 7 * GIGABYTE);
        assert_eq!(offered(2 * GIGABYTE, 2 * GIGABYTE, GIGABYTE), GIGABYTE);
        assert_eq!(offered(GIGABYTE, 2 * GIGABYTE, GIGABYTE), GIGABYTE / 2);
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let found = Discovered { cpus: 4, mem_megabytes: 1024, disk_megabytes: 2048 };
        assert_eq!(found.missing(|_| false), "cpus:4;mem:1024;disk:2048;ports:[31000-32000]");
        assert_eq!(found.missing(|name| name == "mem" || name == "ports"), "cpus:4;disk:2048");
        assert_eq!(found.missing(|_| true), "");
    }

    #[test]
    fn this_host_has_something_to_offer() {
        let found = discover(Path::new("/"));
        assert!(found.cpus > 0 && found.mem_megabytes > 0 && found.disk_megabytes > 0);
    }
}
