//! Where the controllers of this host are.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::GroupError;
use super::group::Group;
use super::store::{Kernel, Store};
use crate::mounts::{self, Entry, Table};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Each controller has a hierarchy, or shares one with a few.
    V1,
    /// One hierarchy for all.
    V2,
}

#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("this kernel has no controller '{0}' of control groups, or it is switched off")]
    NoController(String),
    #[error("the control groups at {mount} have no controller '{name}'; there are: {present}")]
    NotHere { name: String, mount: PathBuf, present: String },
    #[error("cannot mount the controller '{name}' at {target}: {source}{hint}")]
    Mount { name: String, target: PathBuf, source: io::Error, hint: &'static str },
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// The hierarchies below one directory, `/sys/fs/cgroup` as a rule.
#[derive(Clone)]
pub struct Hierarchies {
    store: Arc<dyn Store>,
    base: PathBuf,
    version: Version,
    /// Of version 1: where each controller is, with more than one name at one place where they are mounted together.
    mounts: BTreeMap<String, PathBuf>,
}

impl Hierarchies {
    /// Version 2 if that is what is mounted at `base` itself.
    pub fn find(base: &Path) -> Result<Hierarchies, HierarchyError> {
        let list = Path::new("/proc/self/mountinfo");
        let all =
            Table::current().map_err(|source| HierarchyError::Read { path: list.to_path_buf(), source })?;
        Ok(Hierarchies::among(&all.0, base))
    }

    fn among(all: &[Entry], base: &Path) -> Hierarchies {
        let base = std::fs::canonicalize(base).unwrap_or_else(|_| base.to_path_buf());
        let unified =
            all.iter().rfind(|mount| mount.target == base).is_some_and(|mount| mount.filesystem == "cgroup2");
        let version = if unified { Version::V2 } else { Version::V1 };
        let mut mounts = BTreeMap::new();
        if version == Version::V1 {
            for mount in all.iter().filter(|mount| mount.filesystem == "cgroup") {
                for option in mount.super_options.split(',') {
                    // The first is the one that everybody uses; binds of it come later.
                    mounts.entry(option.to_string()).or_insert_with(|| mount.target.clone());
                }
            }
        }
        Hierarchies { store: Arc::new(Kernel), base, version, mounts }
    }

    /// Of these controllers at these places, over any store: for tests.
    pub fn over(store: Arc<dyn Store>, base: &Path, version: Version, names: &[&str]) -> Hierarchies {
        let mounts = names.iter().map(|name| (name.to_string(), base.join(name))).collect();
        Hierarchies { store, base: base.to_path_buf(), version, mounts }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// The controllers that can be had here, by today's kernel.
    pub fn controllers(&self) -> Result<Vec<String>, HierarchyError> {
        match self.version {
            Version::V1 => {
                let path = Path::new("/proc/cgroups");
                let text = std::fs::read_to_string(path)
                    .map_err(|source| HierarchyError::Read { path: path.to_path_buf(), source })?;
                Ok(enabled(&text))
            }
            Version::V2 => {
                let text = self.top("").read("cgroup.controllers")?;
                Ok(text.split_ascii_whitespace().map(str::to_string).collect())
            }
        }
    }

    /// Where a controller's hierarchy is mounted. One of version 1 that is mounted nowhere is mounted below the base;
    /// of version 2 nothing is, and devices and perf_event, which are no controllers there, are everywhere.
    pub fn locate(&mut self, controller: &str) -> Result<PathBuf, HierarchyError> {
        match self.version {
            Version::V2 => {
                let present = self.controllers()?;
                let implied = ["devices", "perf_event", "freezer"].contains(&controller);
                if implied || present.iter().any(|name| name == controller) {
                    return Ok(self.base.clone());
                }
                Err(HierarchyError::NotHere {
                    name: controller.to_string(),
                    mount: self.base.clone(),
                    present: present.join(", "),
                })
            }
            Version::V1 => {
                if let Some(found) = self.mounts.get(controller) {
                    return Ok(found.clone());
                }
                if !self.controllers()?.iter().any(|name| name == controller) {
                    return Err(HierarchyError::NoController(controller.to_string()));
                }
                let target = self.base.join(controller);
                mount(controller, &target)?;
                self.mounts.insert(controller.to_string(), target.clone());
                Ok(target)
            }
        }
    }

    /// A group in the hierarchy of a controller that was located.
    pub fn group(&self, controller: &str, name: &str) -> Group {
        let mount = match self.version {
            Version::V2 => self.base.clone(),
            Version::V1 => self.mounts.get(controller).cloned().unwrap_or_else(|| self.base.join(controller)),
        };
        Group::new(self.store.clone(), self.version, &mount, name)
    }

    fn top(&self, name: &str) -> Group {
        Group::new(self.store.clone(), self.version, &self.base, name)
    }
}

fn mount(controller: &str, target: &Path) -> Result<(), HierarchyError> {
    let failed = |source: io::Error| {
        // The controller is with version 2, or with others in one hierarchy, and in use there.
        let busy = source.kind() == io::ErrorKind::ResourceBusy;
        let hint = if busy { "; is it in use by control groups of version 2?" } else { "" };
        HierarchyError::Mount { name: controller.to_string(), target: target.to_path_buf(), source, hint }
    };
    std::fs::create_dir_all(target).map_err(failed)?;
    mounts::mount(Some(Path::new("cgroup")), target, Some("cgroup"), 0, Some(controller)).map_err(failed)
}

fn enabled(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.get(3) == Some(&"1")).map(|fields| fields[0].to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str, filesystem: &str, super_options: &str) -> Entry {
        Entry {
            id: 1,
            parent: 0,
            root: "/".into(),
            target: target.into(),
            shared: None,
            master: None,
            options: "rw".to_string(),
            filesystem: filesystem.to_string(),
            source: "cgroup".into(),
            super_options: super_options.to_string(),
        }
    }

    #[test]
    fn controllers_are_found_where_they_are_mounted() {
        let mut found = Hierarchies::among(
            &[
                entry("/base", "tmpfs", "rw"),
                entry("/base/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
                entry("/somewhere/cpu", "cgroup", "rw,cpu,cpuacct"),
                entry("/base/unified", "cgroup2", "rw"),
            ],
            Path::new("/base"),
        );
        assert_eq!(found.version(), Version::V1);
        assert_eq!(found.locate("cpuacct").unwrap(), Path::new("/base/cpu,cpuacct"));
        assert_eq!(found.group("cpu", "mesos/c").path(), Path::new("/base/cpu,cpuacct/mesos/c"));
        let unified = Hierarchies::among(&[entry("/base", "cgroup2", "rw")], Path::new("/base"));
        assert_eq!(unified.version(), Version::V2);
        assert_eq!(unified.group("memory", "mesos/c").path(), Path::new("/base/mesos/c"));
    }

    #[test]
    fn version_2_says_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cgroup.controllers"), "cpu io\n").unwrap();
        let mut found = Hierarchies::over(Arc::new(Kernel), folder.path(), Version::V2, &[]);
        assert_eq!(found.locate("cpu").unwrap(), folder.path());
        assert_eq!(found.locate("devices").unwrap(), folder.path());
        let error = found.locate("memory").unwrap_err().to_string();
        assert!(error.contains("no controller 'memory'; there are: cpu, io"), "{error}");
    }

    #[test]
    fn controllers_that_are_switched_off_are_none() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t0\t1\t0\n";
        assert_eq!(enabled(text), ["cpu"]);
    }
}
