//! Killing all processes of a control group, those included that are being forked meanwhile.
//!
//! Version 2 has a file for it (Linux 5.14). Otherwise the group is frozen, what is in it is killed, and it is thawed, until
//! nothing is left: a frozen process cannot fork. In version 1 that takes a group of the freezer.

use std::time::{Duration, Instant};

use super::{Group, GroupError, Version};
use crate::{Pid, Signal, signals};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// A process in the midst of a system call freezes late. Meanwhile the others are killed, round by round.
const FREEZING_LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum KillError {
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("after {0:?} the control group {1:?} still has the processes {2:?}")]
    Left(Duration, Group, Vec<i32>),
}

impl Group {
    /// Kills all processes of this group and of those in it, and waits until they are gone. A group that is not there has none.
    pub fn kill_all(&self, patience: Duration) -> Result<(), KillError> {
        let end = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = self.all_processes()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(KillError::Left(patience, self.clone(), left));
            }
            match self.version() {
                Version::V2 if self.has("cgroup.kill") => self.write_if_there("cgroup.kill", "1")?,
                version => self.kill_frozen(version, end)?,
            }
            // Nothing tells of the end of all of them (in version 1).
            std::thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn kill_frozen(&self, version: Version, end: Instant) -> Result<(), GroupError> {
        let (file, freeze, thaw) = match version {
            Version::V1 => ("freezer.state", "FROZEN", "THAWED"),
            Version::V2 => ("cgroup.freeze", "1", "0"),
        };
        // A group of another controller than the freezer is killed as well as can be.
        let can_freeze = self.has(file);
        if can_freeze {
            self.write_if_there(file, freeze)?;
            self.wait_until_frozen(version, end.min(Instant::now() + FREEZING_LIMIT))?;
        }
        let killed = self.all_processes().map(|pids| {
            for pid in pids.into_iter().filter_map(Pid::from_raw) {
                // It may be gone, and then nobody has its number: nothing in a frozen group is reaped by its own.
                let _ = signals::send(pid, Signal::KILL);
            }
        });
        // Whatever went wrong: nobody dies while it is frozen.
        if can_freeze {
            self.write_if_there(file, thaw)?;
        }
        killed
    }

    fn wait_until_frozen(&self, version: Version, end: Instant) -> Result<(), GroupError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let is_frozen = match version {
                Version::V1 => {
                    self.read_if_there("freezer.state")?.is_none_or(|state| state.trim() == "FROZEN")
                }
                Version::V2 => {
                    let events = self.read_if_there("cgroup.events")?;
                    events.is_none_or(|events| events.lines().any(|line| line == "frozen 1"))
                }
            };
            if is_frozen || Instant::now() >= end {
                return Ok(());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            // In version 1 it has to be asked for again, where a process was forked meanwhile.
            if version == Version::V1 {
                self.write_if_there("freezer.state", "FROZEN")?;
            }
        }
    }

    /// The processes of this group and of all in it.
    pub fn all_processes(&self) -> Result<Vec<i32>, GroupError> {
        let mut found = match self.processes() {
            Ok(found) => found,
            Err(error) if error.is_gone() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        match self.children() {
            Ok(children) => {
                for child in children {
                    found.extend(child.all_processes()?);
                }
            }
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    fn write_if_there(&self, name: &str, text: &str) -> Result<(), GroupError> {
        match self.write(name, text) {
            Err(error) if error.is_gone() => Ok(()),
            answer => answer,
        }
    }
}

impl GroupError {
    /// The group is not there, or was removed in between.
    fn is_gone(&self) -> bool {
        let source = match self {
            GroupError::Make { source, .. }
            | GroupError::Remove { source, .. }
            | GroupError::List { source, .. }
            | GroupError::Read { source, .. }
            | GroupError::Write { source, .. }
            | GroupError::Devices { source, .. } => source,
            GroupError::Form { .. } => return false,
        };
        matches!(source.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::{Fake, Hierarchies};
    use std::sync::Arc;

    fn group(version: Version, template: &[(&str, &str)]) -> (tempfile::TempDir, Arc<Fake>, Group) {
        let folder = tempfile::tempdir().unwrap();
        let fake = Arc::new(Fake::new(template));
        let found = Hierarchies::over(fake.clone(), folder.path(), version, &["freezer"]);
        let group = found.group("freezer", "g");
        (folder, fake, group)
    }

    #[test]
    fn a_group_without_processes_or_that_is_gone_is_killed() {
        for version in [Version::V1, Version::V2] {
            let (folder, fake, group) = group(version, &[("cgroup.procs", "")]);
            group.kill_all(Duration::ZERO).unwrap();
            std::fs::create_dir_all(group.path().parent().unwrap_or(folder.path())).unwrap();
            group.make().unwrap();
            group.kill_all(Duration::ZERO).unwrap();
            assert_eq!(fake.writes(), []);
        }
    }
}
