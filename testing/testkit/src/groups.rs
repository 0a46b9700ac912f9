//! The control groups that an agent made for a test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const CGROUPS: &str = "/sys/fs/cgroup";

/// The groups below one name in every hierarchy of version 1. When this is dropped, what is in them is killed and they are
/// removed; so it has to be dropped after the agent.
pub struct ControlGroups {
    root: String,
}

impl ControlGroups {
    /// None where there are no control groups of version 1, or this is not root. The name is this process's own.
    pub fn new() -> Option<ControlGroups> {
        let is_there = |name: &str| Path::new(CGROUPS).join(name).join("cgroup.procs").exists();
        let all = ["cpu", "memory", "freezer", "devices", "pids"].into_iter().all(is_there);
        let is_root =
            std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        (all && is_root).then(|| ControlGroups { root: format!("messor-test-{}", std::process::id()) })
    }

    /// For `--cgroups_root`.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// All that there are, those around before those in them.
    pub fn paths(&self) -> Vec<PathBuf> {
        let hierarchies = std::fs::read_dir(CGROUPS).into_iter().flatten().flatten();
        let roots =
            hierarchies.map(|hierarchy| hierarchy.path().join(&self.root)).filter(|path| path.is_dir());
        roots.flat_map(|root| below(&root)).collect()
    }
}

fn below(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_path_buf()];
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    all.extend(folders.flat_map(|entry| below(&entry.path())));
    all
}

impl Drop for ControlGroups {
    fn drop(&mut self) {
        let paths = self.paths();
        for path in &paths {
            let members = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            if !members.is_empty() {
                let _ =
                    Command::new("kill").arg("-KILL").args(members.lines()).stderr(Stdio::null()).status();
            }
        }
        for path in paths.iter().rev() {
            // Empty a moment after the last process was killed.
            for _ in 0..500 {
                if std::fs::remove_dir(path).is_ok() || !path.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
