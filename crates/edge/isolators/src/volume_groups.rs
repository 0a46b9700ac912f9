//! `--volume_gid_range`: a group of its own for each volume that containers of several users share, so that all of them can
//! write in it. Whoever runs in such a container is of the volume's group.
//!
//! A group is taken durably before a volume is given to it, and a volume is taken from its group before that is free.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use messor_checkpoint::{FileError, read_optional, write_message};
use messor_linux::mounts::path_of;
use messor_linux::ownership::{Sharing, give_to_group};
use messor_linux::paths::{Escape, Roots};
use messor_linux::users;
use messor_proto::mesos::internal::slave::{VolumeGidInfo, VolumeGidInfos};
use messor_types::{ContainerId, Range, Ranges, Value, parse_value};

use crate::isolator::IsolatorError;

pub use messor_proto::mesos::internal::slave::volume_gid_info::Type as Kind;

#[derive(Debug, thiserror::Error)]
pub enum VolumeGroupsError {
    #[error("--volume_gid_range: only root can give volumes to groups")]
    NotRoot,
    #[error("--volume_gid_range: {0}")]
    Range(String),
    #[error("what groups volumes have: {0}")]
    File(#[from] FileError),
}

#[derive(Debug)]
pub struct VolumeGroups {
    work_dir: PathBuf,
    file: PathBuf,
    all: Ranges,
    /// By path. Held while a tree changes hands: whoever wants the same volume has to wait for that.
    taken: Mutex<BTreeMap<PathBuf, VolumeGidInfo>>,
    /// How many are not taken, for who must not wait.
    free_count: AtomicU64,
}

/// A group is a number that is neither root's nor the one that means none.
fn parse(text: &str) -> Result<Ranges, VolumeGroupsError> {
    let wrong = VolumeGroupsError::Range;
    let ranges = match parse_value(text).map_err(|error| wrong(error.to_string()))? {
        Value::Ranges(ranges) => ranges,
        _ => return Err(wrong(format!("'{text}' is no list of ranges: write it as in [10000-20000]"))),
    };
    let possible = Ranges::from_unsorted([Range { begin: 1, end: u64::from(u32::MAX) - 1 }]);
    if ranges.is_empty() || !possible.contains(&ranges) {
        return Err(wrong(format!("'{text}' is not of numbers from 1 to {}", u32::MAX - 1)));
    }
    Ok(ranges)
}

/// 1.11.0 writes a path as `--work_dir` is written, which may lead over links to where `work_dir` really is.
fn within(path: &Path, work_dir: &Path) -> PathBuf {
    let is_ours = |above: &&Path| fs::canonicalize(above).is_ok_and(|real| real == work_dir);
    let below = path.ancestors().find(is_ours).and_then(|above| path.strip_prefix(above).ok());
    below.map_or_else(|| path.to_path_buf(), |below| work_dir.join(below))
}

impl VolumeGroups {
    /// Those that an agent of before gave to volumes are taken, but for volumes that are gone.
    pub fn open(range: &str, work_dir: &Path) -> Result<VolumeGroups, VolumeGroupsError> {
        if !users::is_superuser() {
            return Err(VolumeGroupsError::NotRoot);
        }
        let all = parse(range)?;
        let file = work_dir.join("meta/volume_gid_manager/volume_gids");
        let known = read_optional::<VolumeGidInfos>(&file)?.unwrap_or_default();
        let groups = VolumeGroups {
            work_dir: work_dir.to_path_buf(),
            file,
            all,
            taken: Mutex::default(),
            free_count: AtomicU64::new(0),
        };
        let mut taken = groups.taken();
        let all = known.infos.len();
        for mut info in known.infos {
            let path = within(Path::new(&info.path), work_dir);
            if fs::symlink_metadata(&path).is_err() {
                continue;
            }
            if let Some(text) = path.to_str() {
                info.path = text.to_string();
            }
            taken.insert(path, info);
        }
        groups.count(&taken);
        if taken.len() < all {
            tracing::info!("The groups of {} volumes that are gone are free", all - taken.len());
            groups.note(&taken)?;
        }
        drop(taken);
        Ok(groups)
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<PathBuf, VolumeGidInfo>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, taken: &BTreeMap<PathBuf, VolumeGidInfo>) {
        self.free_count.store(self.free(taken).count(), Ordering::Relaxed);
    }

    fn note(&self, taken: &BTreeMap<PathBuf, VolumeGidInfo>) -> Result<(), FileError> {
        self.count(taken);
        write_message(&self.file, &VolumeGidInfos { infos: taken.values().cloned().collect() })
    }

    fn free(&self, taken: &BTreeMap<PathBuf, VolumeGidInfo>) -> Ranges {
        let groups = taken.values().map(|info| u64::from(info.gid));
        self.all.difference(&Ranges::from_unsorted(groups.map(|group| Range { begin: group, end: group })))
    }

    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        // No count of groups is too large for the type.
        let number = |count: u64| u32::try_from(count).map_or(f64::MAX, f64::from);
        vec![
            ("volume_gid_manager/volume_gids_total", number(self.all.count())),
            ("volume_gid_manager/volume_gids_free", number(self.free_count.load(Ordering::Relaxed))),
        ]
    }

    /// The group of a volume, whose directory is `opened`.
    pub fn take(&self, path: &Path, kind: Kind, opened: BorrowedFd<'_>) -> Result<u32, IsolatorError> {
        let failed = |what: &str, error: io::Error| {
            IsolatorError::Failed(format!("{what} of the volume '{}'", path.display()), error)
        };
        let found = fs::metadata(path_of(opened)).map_err(|error| failed("cannot see the group", error))?;
        let mut taken = self.taken();
        // A part of a sandbox may be where a persistent volume is mounted, and that is whose it is. Where others are, the
        // tasks that have them could have changed meanwhile.
        let same = |info: &&VolumeGidInfo| {
            let there = fs::symlink_metadata(&info.path);
            info.r#type() == Kind::Persistent
                && there.is_ok_and(|there| (there.dev(), there.ino()) == (found.dev(), found.ino()))
        };
        let known = taken.get(path).or_else(|| taken.values().find(same)).map(|info| info.gid);
        let group = match known {
            // Its directory is its group's when all in it is.
            Some(group) if found.gid() == group && found.mode() & 0o2020 == 0o2020 => return Ok(group),
            Some(group) => group,
            None => {
                let free = self.free(&taken).iter().next().and_then(|range| u32::try_from(range.begin).ok());
                let group = free.ok_or_else(|| {
                    let words = "--volume_gid_range has no group left for the volume";
                    IsolatorError::Invalid(format!("{words} '{}'", path.display()))
                })?;
                let text = path.to_str().map(ToString::to_string);
                let text =
                    text.ok_or_else(|| failed("the path is no UTF-8", io::ErrorKind::InvalidData.into()))?;
                let info = VolumeGidInfo { r#type: Some(kind as i32), path: text, gid: group };
                taken.insert(path.to_path_buf(), info);
                if let Err(error) = self.note(&taken) {
                    taken.remove(path);
                    self.count(&taken);
                    return Err(failed("cannot note the group", io::Error::other(error)));
                }
                tracing::info!("The volume '{}' has the group {group}", path.display());
                group
            }
        };
        // What fails here is done anew when the volume is wanted again; until then nobody has the group.
        give_to_group(opened, group, Sharing::Begins)
            .map_err(|error| failed(&format!("cannot give to group {group} what is"), error))?;
        Ok(group)
    }

    /// A persistent volume is gone, with all that was in it. The root of a disk that was one stays, and is root's alone.
    pub fn destroyed(&self, path: &Path) {
        let mut taken = self.taken();
        if !taken.contains_key(path) {
            return;
        }
        let closed = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => opened.and_then(|opened| give_to_group(opened.as_fd(), 0, Sharing::Ends)),
        };
        if let Err(error) = closed {
            return tracing::warn!(
                "'{}' keeps its group, which cannot be taken from it: {error}",
                path.display()
            );
        }
        if let Some(info) = taken.remove(path) {
            tracing::info!("The group {} of the volume '{}' is free", info.gid, path.display());
            self.note_all(&taken);
        }
    }

    /// A container has ended: what was shared of its sandbox is its owner's alone.
    pub fn ended(&self, container: &ContainerId) {
        self.end(|path| self.is_in(path, container) == Some(true));
    }

    /// What was shared of sandboxes of other containers than these is not shared any more.
    pub fn keep(&self, containers: &[&ContainerId]) {
        self.end(|path| containers.iter().all(|container| self.is_in(path, container) == Some(false)));
    }

    fn end(&self, has_ended: impl Fn(&Path) -> bool) {
        let mut taken = self.taken();
        let shared = taken.values().filter(|info| info.r#type() == Kind::SandboxPath);
        let ended: Vec<PathBuf> =
            shared.map(|info| PathBuf::from(&info.path)).filter(|path| has_ended(path)).collect();
        for path in &ended {
            match self.give_back(path) {
                Ok(()) => drop(taken.remove(path)),
                // Its group stays taken: whoever had it next could write there.
                Err(error) => {
                    tracing::warn!("'{}' cannot be given back to its owner's group: {error}", path.display());
                }
            }
        }
        if !ended.is_empty() {
            self.note_all(&taken);
        }
    }

    /// What is not noted is free for this agent; the next one finds that the volumes are gone, or their containers.
    fn note_all(&self, taken: &BTreeMap<PathBuf, VolumeGidInfo>) {
        if let Err(error) = self.note(taken) {
            tracing::error!("cannot note that groups of volumes are free: {error}");
        }
    }

    /// The sandbox of the outermost container in whose sandbox a path is.
    fn outermost(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.work_dir).ok()?;
        // `slaves/A/frameworks/F/executors/E/runs/ID`, or that of an operator's container, `containers/ID`.
        let depth = if below.starts_with("slaves") { 8 } else { 2 };
        let sandbox: PathBuf = below.components().take(depth).collect();
        (sandbox.components().count() == depth).then(|| self.work_dir.join(sandbox))
    }

    /// Whether a path is in the sandbox of a container; None where it is in no sandbox.
    fn is_in(&self, path: &Path, container: &ContainerId) -> Option<bool> {
        let outermost = self.outermost(path)?;
        let mut ids = Vec::new();
        let mut nested = container;
        while let Some(parent) = nested.parent() {
            ids.push(nested.value());
            nested = parent;
        }
        let of_root = outermost.ends_with(nested.value());
        let sandbox = ids.iter().rev().fold(outermost, |sandbox, id| sandbox.join("containers").join(id));
        Some(of_root && path.starts_with(&sandbox))
    }

    /// The tasks of the sandbox may have put links in the way.
    fn give_back(&self, path: &Path) -> io::Result<()> {
        let Some(outermost) = self.outermost(path) else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut roots = Roots::default();
        roots.add(&outermost, Escape::Refused);
        let opened = match roots.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let owner = fs::metadata(path_of(opened.as_fd()))?.uid();
        let user = users::by_uid(owner).map_err(io::Error::other)?;
        // Users without a name have no group of their own.
        give_to_group(opened.as_fd(), user.map_or(0, |user| user.gid), Sharing::Ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn open(work: &Path, range: &str) -> VolumeGroups {
        VolumeGroups::open(range, work).unwrap()
    }

    fn free(groups: &VolumeGroups) -> f64 {
        groups.metrics()[1].1
    }

    fn take(groups: &VolumeGroups, path: &Path, kind: Kind) -> Result<u32, IsolatorError> {
        fs::create_dir_all(path).unwrap();
        groups.take(path, kind, File::open(path).unwrap().as_fd())
    }

    fn group_and_mode(path: &Path) -> (u32, u32) {
        let found = fs::metadata(path).unwrap();
        (found.gid(), found.mode() & 0o7777)
    }

    #[test]
    fn ranges_are_of_groups() {
        for wrong in ["[0-5]", "[5-4294967295]", "[]", "12", "{a}", "[a-b]", ""] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with("--volume_gid_range: "), "{wrong}: {error}");
        }
        assert_eq!(parse("[10-12,20-20]").unwrap().count(), 4);
    }

    #[test]
    fn volumes_have_groups_until_they_are_gone() {
        if !users::is_superuser() {
            return crate::tests::skip("groups of volumes: only root gives them away");
        }
        let folder = tempfile::tempdir().unwrap();
        let work = fs::canonicalize(folder.path()).unwrap();
        let (v, w) = (work.join("volumes/roles/r/v"), work.join("volumes/roles/r/w"));
        let groups = open(&work, "[5001-5002]");
        assert_eq!(groups.metrics()[0].1, 2.0);
        assert_eq!(take(&groups, &v, Kind::Persistent).unwrap(), 5001);
        assert_eq!(take(&groups, &w, Kind::Persistent).unwrap(), 5002);
        assert_eq!(take(&groups, &v, Kind::Persistent).unwrap(), 5001);
        assert_eq!(group_and_mode(&v).0, 5001);
        assert_eq!(group_and_mode(&v).1 & 0o2020, 0o2020);
        let error = take(&groups, &work.join("x"), Kind::Persistent).unwrap_err().to_string();
        assert!(error.contains("no group left"), "{error}");
        // The next agent knows of them, and of one that went away while there was none.
        fs::remove_dir_all(&w).unwrap();
        let next = open(&work, "[5001-5002]");
        assert_eq!((free(&next), take(&next, &v, Kind::Persistent).unwrap()), (1.0, 5001));
        next.destroyed(&v);
        next.destroyed(&v);
        assert_eq!(free(&next), 2.0);
        // A volume of an agent with other groups keeps its own.
        take(&next, &v, Kind::Persistent).unwrap();
        let other = open(&work, "[6000-6000]");
        assert_eq!((take(&other, &v, Kind::Persistent).unwrap(), free(&other)), (5001, 1.0));
    }

    #[test]
    fn what_is_shared_of_a_sandbox_is_given_back_when_its_container_ends() {
        if !users::is_superuser() {
            return crate::tests::skip("groups of volumes: only root gives them away");
        }
        let folder = tempfile::tempdir().unwrap();
        let work = fs::canonicalize(folder.path()).unwrap();
        let sandbox = work.join("slaves/A/frameworks/F/executors/E/runs/c");
        let (own, inner) = (sandbox.join("shared"), sandbox.join("containers/n/shared"));
        let groups = open(&work, "[5001-5009]");
        for path in [&own, &inner] {
            take(&groups, path, Kind::SandboxPath).unwrap();
        }
        let (c, d) = (ContainerId::new("c"), ContainerId::new("d"));
        groups.ended(&d);
        groups.ended(&ContainerId::nested(&d, "n"));
        assert_eq!(free(&groups), 7.0);
        groups.ended(&ContainerId::nested(&c, "n"));
        assert_eq!((group_and_mode(&inner).0, group_and_mode(&inner).1 & 0o2020), (0, 0));
        assert_eq!((group_and_mode(&own).0, free(&groups)), (5001, 8.0));
        // A task puts a link in its place: what it leads to stays whose it is.
        let outside = work.join("outside");
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::chown(&outside, None, Some(77)).unwrap();
        fs::remove_dir(&own).unwrap();
        std::os::unix::fs::symlink(&outside, &own).unwrap();
        let next = open(&work, "[5001-5009]");
        next.keep(&[&c]);
        assert_eq!(free(&next), 8.0);
        next.keep(&[&d]);
        // What had the group may be elsewhere in the sandbox: it stays taken until all of that is gone.
        assert_eq!((free(&next), group_and_mode(&outside).0), (8.0, 77));
        fs::remove_dir_all(&sandbox).unwrap();
        assert_eq!(free(&open(&work, "[5001-5009]")), 9.0);
    }

    /// U111: where 1.11.0 has them, and as it writes them.
    #[test]
    fn what_an_agent_of_apache_mesos_gave_away_is_known() {
        if !users::is_superuser() {
            return crate::tests::skip("groups of volumes: only root gives them away");
        }
        let folder = tempfile::tempdir().unwrap();
        let work = fs::canonicalize(folder.path()).unwrap().join("work");
        let v = work.join("volumes/roles/r/v");
        fs::create_dir_all(&v).unwrap();
        let written = folder.path().join("link");
        std::os::unix::fs::symlink(&work, &written).unwrap();
        let path = written.join("volumes/roles/r/v").to_string_lossy().into_owned();
        let info = VolumeGidInfo { r#type: Some(Kind::Persistent as i32), path, gid: 5001 };
        let file = work.join("meta/volume_gid_manager/volume_gids");
        write_message(&file, &VolumeGidInfos { infos: vec![info] }).unwrap();
        let groups = open(&work, "[5001-5002]");
        assert_eq!((free(&groups), take(&groups, &v, Kind::Persistent).unwrap()), (1.0, 5001));
        assert_eq!(take(&groups, &work.join("volumes/roles/r/w"), Kind::Persistent).unwrap(), 5002);
        groups.destroyed(&v);
        // The directory is still there, as the root of a disk would be: it is root's again.
        assert_eq!((group_and_mode(&v).0, group_and_mode(&v).1 & 0o2020, free(&groups)), (0, 0, 1.0));
    }

    #[test]
    fn a_mounted_volume_has_the_group_of_what_is_mounted() {
        if !users::is_superuser() {
            return crate::tests::skip("groups of volumes: only root gives them away");
        }
        let scratch = crate::tests::Scratch::new();
        let (v, place) = (scratch.path().join("volumes/roles/r/v"), scratch.path().join("containers/c/data"));
        let groups = open(scratch.path(), "[5001-5009]");
        take(&groups, &v, Kind::Persistent).unwrap();
        fs::create_dir_all(&place).unwrap();
        messor_linux::mounts::mount(Some(&v), &place, None, messor_linux::mounts::BIND, None).unwrap();
        assert_eq!(take(&groups, &place, Kind::SandboxPath).unwrap(), 5001);
        assert_eq!(free(&groups), 8.0);
    }
}
