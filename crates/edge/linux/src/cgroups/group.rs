//! One control group of one hierarchy.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::GroupError;
use super::hierarchies::Version;
use super::store::Store;

/// While the kernel still holds on to a group whose processes have ended, its removal is tried again after this, then
/// after twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct Group {
    store: Arc<dyn Store>,
    version: Version,
    /// Where its hierarchy is mounted.
    mount: PathBuf,
    path: PathBuf,
}

impl Group {
    pub(super) fn new(store: Arc<dyn Store>, version: Version, mount: &Path, name: &str) -> Group {
        Group { store, version, mount: mount.to_path_buf(), path: mount.join(name) }
    }

    fn at(&self, path: PathBuf) -> Group {
        Group { store: self.store.clone(), version: self.version, mount: self.mount.clone(), path }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From the root of the hierarchy.
    pub fn name(&self) -> String {
        self.path.strip_prefix(&self.mount).unwrap_or(&self.path).to_string_lossy().into_owned()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A group in this one; the name may lead through several.
    pub fn child(&self, name: &str) -> Group {
        self.at(self.path.join(name))
    }

    pub fn exists(&self) -> bool {
        self.store.exists(&self.path)
    }

    pub fn has(&self, name: &str) -> bool {
        self.store.exists(&self.file(name))
    }

    pub fn read(&self, name: &str) -> Result<String, GroupError> {
        let path = self.file(name);
        self.store.read(&path).map_err(|source| GroupError::Read { path, source })
    }

    /// The same; None where the kernel has no such file.
    pub fn read_if_there(&self, name: &str) -> Result<Option<String>, GroupError> {
        match self.read(name) {
            Ok(text) => Ok(Some(text)),
            Err(GroupError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn write(&self, name: &str, text: &str) -> Result<(), GroupError> {
        let path = self.file(name);
        self.store.write(&path, text).map_err(|source| GroupError::Write {
            path,
            text: text.to_string(),
            source,
        })
    }

    pub fn number(&self, name: &str) -> Result<u64, GroupError> {
        let text = self.read(name)?;
        text.trim().parse().map_err(|_| GroupError::Form { path: self.file(name), text })
    }

    pub fn number_if_there(&self, name: &str) -> Result<Option<u64>, GroupError> {
        if self.has(name) { self.number(name).map(Some) } else { Ok(None) }
    }

    /// A file of lines `name number`. Lines of another form are not of interest.
    pub fn table(&self, name: &str) -> Result<BTreeMap<String, u64>, GroupError> {
        let text = self.read(name)?;
        let pairs = text.lines().filter_map(|line| {
            let (name, number) = line.split_once(' ')?;
            Some((name.to_string(), number.trim().parse().ok()?))
        });
        Ok(pairs.collect())
    }

    fn numbers(&self, name: &str) -> Result<Vec<i32>, GroupError> {
        let text = self.read(name)?;
        let parse = |line: &str| line.trim().parse().ok();
        text.lines()
            .map(parse)
            .collect::<Option<Vec<i32>>>()
            .ok_or_else(|| GroupError::Form { path: self.file(name), text })
    }

    pub fn processes(&self) -> Result<Vec<i32>, GroupError> {
        self.numbers("cgroup.procs")
    }

    pub fn threads(&self) -> Result<Vec<i32>, GroupError> {
        self.numbers(match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.threads",
        })
    }

    /// Moves a process with all its threads here.
    pub fn enter(&self, pid: i32) -> Result<(), GroupError> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// The groups right in this one.
    pub fn children(&self) -> Result<Vec<Group>, GroupError> {
        let children = self.store.children(&self.path);
        let children = children.map_err(|source| GroupError::List { path: self.path.clone(), source })?;
        Ok(children.into_iter().map(|path| self.at(path)).collect())
    }

    /// Makes this group; false: it is there already.
    pub fn make(&self) -> Result<bool, GroupError> {
        match self.store.make(&self.path) {
            Ok(()) => {}
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(source) => return Err(GroupError::Make { path: self.path.clone(), source }),
        }
        if self.version == Version::V1 {
            self.take_processors()?;
        }
        Ok(true)
    }

    /// A new group of the cpuset controller has no processors and no memory, and no process may enter it.
    fn take_processors(&self) -> Result<(), GroupError> {
        let Some(above) = self.path.parent() else { return Ok(()) };
        let above = self.at(above.to_path_buf());
        for name in ["cpuset.cpus", "cpuset.mems"] {
            if self.has(name) && self.read(name)?.trim().is_empty() {
                self.write(name, above.read(name)?.trim())?;
            }
        }
        Ok(())
    }

    /// Removes this group and all in it, which have no processes any more. One that is not there is removed.
    pub fn remove(&self, patience: Duration) -> Result<(), GroupError> {
        self.remove_until(Instant::now() + patience)
    }

    fn remove_until(&self, end: Instant) -> Result<(), GroupError> {
        match self.children() {
            Ok(children) => children.iter().try_for_each(|child| child.remove_until(end))?,
            Err(GroupError::List { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.remove(&self.path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                // Nothing tells when the kernel lets go of it (in version 1).
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                    std::thread::sleep(pause.min(end - Instant::now()));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(source) => return Err(GroupError::Remove { path: self.path.clone(), source }),
            }
        }
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::Fake;

    fn group(template: &[(&str, &str)]) -> (tempfile::TempDir, Arc<Fake>, Group) {
        let folder = tempfile::tempdir().unwrap();
        let fake = Arc::new(Fake::new(template));
        let group = Group::new(fake.clone(), Version::V1, folder.path(), "g");
        (folder, fake, group)
    }

    #[test]
    fn files_are_read_as_what_they_are() {
        let files = [
            ("number", "12\n"),
            ("table", "a 1\nb 2\nodd\n"),
            ("cgroup.procs", "3\n4\n"),
            ("tasks", ""),
            ("words", "x\n"),
        ];
        let (_folder, _, group) = group(&files);
        assert!(!group.exists());
        assert!(group.make().unwrap() && !group.make().unwrap());
        assert_eq!(group.number("number").unwrap(), 12);
        assert_eq!(group.table("table").unwrap(), BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
        assert_eq!((group.processes().unwrap(), group.threads().unwrap()), (vec![3, 4], vec![]));
        assert_eq!(group.read_if_there("none").unwrap(), None);
        assert_eq!(group.number_if_there("none").unwrap(), None);
        let error = group.number("words").unwrap_err().to_string();
        assert!(error.contains("has an unknown form: 'x"), "{error}");
        let error = group.write("none", "1").unwrap_err().to_string();
        assert!(error.starts_with("cannot write '1' to "), "{error}");
    }

    #[test]
    fn a_new_group_has_the_processors_of_that_above_it() {
        let (_folder, fake, group) = group(&[("cpuset.cpus", ""), ("cpuset.mems", "")]);
        std::fs::write(group.path().parent().unwrap().join("cpuset.cpus"), "0-1\n").unwrap();
        std::fs::write(group.path().parent().unwrap().join("cpuset.mems"), "0\n").unwrap();
        group.make().unwrap();
        let writes: Vec<String> = fake.writes().into_iter().map(|(_, text)| text).collect();
        assert_eq!(writes, ["0-1", "0"]);
    }

    #[test]
    fn what_is_in_a_group_is_removed_with_it() {
        let (folder, _, group) = group(&[("a", "")]);
        group.make().unwrap();
        group.child("b").make().unwrap();
        group.child("b/c").make().unwrap();
        group.remove(Duration::ZERO).unwrap();
        group.remove(Duration::ZERO).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
