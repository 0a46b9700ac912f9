//! The removal of sandboxes that nobody needs: when gc_delay is over, or sooner when the disk fills up.
//!
//! Tasks may have written in them whatever they could, so no way leads through a link of theirs; and what is still mounted
//! in one, a persistent volume for one, is unmounted first, or stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use messor_containerizer::EndedSandbox;
use messor_http_api::Files;
use messor_linux::{faults, mounts, remove};
use tokio::sync::mpsc;

#[derive(Clone, Default)]
pub struct Garbage {
    /// Paths that wait, by their name below work_dir, with the time since when.
    waiting: Arc<Mutex<BTreeMap<PathBuf, Instant>>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// How long paths are kept, by the last look at the disk.
    allowed_age_secs: AtomicU64,
}

#[derive(Clone, Debug)]
pub struct Policy {
    pub work_dir: PathBuf,
    pub delay: Duration,
    pub headroom: f64,
    pub interval: Duration,
}

impl Policy {
    /// How long paths are kept when so much of the disk (0 to 1) is used.
    fn age_allowed(&self, used: f64) -> Duration {
        self.delay.mul_f64((1.0 - self.headroom - used).clamp(0.0, 1.0))
    }
}

impl Garbage {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Instant>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn schedule(&self, path: &str) {
        let path = PathBuf::from(path);
        // Only what lies below work_dir, whatever is asked for.
        if path.components().all(|part| matches!(part, Component::Normal(_)))
            && path.components().next().is_some()
        {
            self.lock().insert(path, Instant::now());
        } else {
            tracing::error!(
                "not scheduled for removal, as it leads out of the work directory: {}",
                path.display()
            );
        }
    }

    /// As [`Garbage::schedule`], of what an agent of before left: the time counts from when it was last changed.
    pub fn schedule_old(&self, path: &str, work_dir: &Path) {
        let Ok(changed) = work_dir.join(path).symlink_metadata().and_then(|found| found.modified()) else {
            // Nobody made it, or it is removed already.
            return;
        };
        self.schedule(path);
        let age = changed.elapsed().unwrap_or_default();
        // A clock that began later than that cannot say so: then the time counts from its beginning.
        if let (Some(since), Some(waiting)) =
            (Instant::now().checked_sub(age), self.lock().get_mut(Path::new(path)))
        {
            *waiting = since;
        }
    }

    pub fn unschedule(&self, path: &str) {
        self.lock().remove(Path::new(path));
    }

    /// Takes out what is older than `age`, the oldest first.
    fn take_older(&self, age: Duration, now: Instant) -> Vec<PathBuf> {
        let mut waiting = self.lock();
        let due = waiting.extract_if(.., |_, since| now.saturating_duration_since(*since) >= age);
        let mut due: Vec<(PathBuf, Instant)> = due.collect();
        due.sort_by_key(|(_, since)| *since);
        due.into_iter().map(|(path, _)| path).collect()
    }

    /// Of `--gc_non_executor_container_sandboxes`.
    pub async fn collect_ended(self, mut ended: mpsc::UnboundedReceiver<EndedSandbox>, work_dir: PathBuf) {
        while let Some(EndedSandbox { directory, is_old }) = ended.recv().await {
            let directory = directory.to_string_lossy();
            match is_old {
                true => self.schedule_old(&directory, &work_dir),
                false => self.schedule(&directory),
            }
        }
    }

    /// In the names of /metrics/snapshot.
    pub fn metrics(&self) -> [(String, f64); 4] {
        let Counts { succeeded, failed, allowed_age_secs } = &*self.counts;
        [
            ("gc/path_removals_failed", failed),
            ("gc/path_removals_pending", &AtomicU64::new(self.lock().len() as u64)),
            ("gc/path_removals_succeeded", succeeded),
            ("slave/executor_directory_max_allowed_age_secs", allowed_age_secs),
        ]
        .map(|(name, number)| (name.to_string(), number.load(Ordering::Relaxed) as f64))
    }

    /// Looks at the disk every interval, for as long as the program runs. What is removed is not in `files` any more.
    pub async fn run(self, policy: Policy, files: Files) {
        // Until the first look, as if the disk were empty.
        self.counts.allowed_age_secs.store(policy.age_allowed(0.0).as_secs(), Ordering::Relaxed);
        loop {
            tokio::time::sleep(policy.interval).await;
            let (garbage, policy, files) = (self.clone(), policy.clone(), files.clone());
            let round = tokio::task::spawn_blocking(move || garbage.collect(&policy, &files)).await;
            if let Err(error) = round {
                tracing::error!("the removal of sandboxes failed: {error}");
            }
        }
    }

    fn collect(&self, policy: &Policy, files: &Files) {
        let used = match messor_linux::host::disk(&policy.work_dir) {
            Ok(disk) => disk.used_fraction(),
            Err(error) => return tracing::warn!("cannot tell how full the disk is: {error}"),
        };
        let age = policy.age_allowed(used);
        self.counts.allowed_age_secs.store(age.as_secs(), Ordering::Relaxed);
        tracing::info!(
            "disk usage {:.2}%; sandboxes are kept for {}",
            used * 100.0,
            messor_stdx::format_duration(age)
        );
        let due = self.take_older(age, Instant::now());
        let full: BTreeSet<PathBuf> = due.iter().map(|path| policy.work_dir.join(path)).collect();
        files.detach_below(&full);
        for path in due {
            let full = policy.work_dir.join(&path);
            let count = match remove(&policy.work_dir, &path) {
                Ok(()) => {
                    tracing::info!("removed {}", full.display());
                    &self.counts.succeeded
                }
                Err(error) => {
                    tracing::warn!("cannot remove {}: {error}", full.display());
                    &self.counts.failed
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn remove(work_dir: &Path, path: &Path) -> io::Result<()> {
    faults::point(|| "gc before unmount".into());
    let full = work_dir.join(path);
    for target in mounts::unmount_below(&full)? {
        tracing::warn!(
            "{} was still mounted in a sandbox that is removed, and is unmounted",
            target.display()
        );
    }
    faults::point(|| "gc before remove".into());
    remove::remove_below(work_dir, path)?;
    faults::point(|| "gc after remove".into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(folder: &Path) -> Policy {
        Policy {
            work_dir: folder.to_path_buf(),
            delay: Duration::from_secs(100),
            headroom: 0.1,
            interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_fuller_disk_keeps_less() {
        let policy = policy(Path::new("/"));
        assert_eq!(policy.age_allowed(0.0), Duration::from_secs(90));
        assert_eq!(policy.age_allowed(0.4), Duration::from_secs(50));
        assert_eq!(policy.age_allowed(0.95), Duration::ZERO);
    }

    #[test]
    fn what_is_old_already_waits_for_the_rest_of_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("slaves/old");
        std::fs::create_dir_all(&old).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(90);
        std::fs::File::open(&old).unwrap().set_modified(then).unwrap();
        let garbage = Garbage::default();
        garbage.schedule_old("slaves/old", folder.path());
        garbage.schedule_old("slaves/missing", folder.path());
        assert_eq!(garbage.lock().len(), 1);
        let delay = Duration::from_secs(100);
        assert!(garbage.take_older(delay, Instant::now()).is_empty());
        assert_eq!(garbage.take_older(delay, Instant::now() + Duration::from_secs(20)).len(), 1);
    }

    #[test]
    fn only_what_is_due_and_below_work_dir_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("slaves/a/runs/1")).unwrap();
        let garbage = Garbage::default();
        garbage.schedule("slaves/a/runs/1");
        garbage.schedule("../outside");
        garbage.schedule("/etc");
        assert_eq!(garbage.lock().len(), 1);
        let later = Instant::now() + Duration::from_secs(60);
        assert!(garbage.take_older(Duration::from_secs(100), later).is_empty());
        garbage.unschedule("slaves/a/runs/1");
        assert!(garbage.take_older(Duration::ZERO, later).is_empty());
        garbage.schedule("slaves/a/runs/1");
        let files = Files::default();
        files.attach("/sandbox", folder.path().join("slaves/a/runs/1"));
        garbage.collect(&Policy { delay: Duration::ZERO, ..policy(folder.path()) }, &files);
        assert_eq!(files.attached(), []);
        assert!(!folder.path().join("slaves/a/runs/1").exists());
        garbage.schedule("slaves/b");
        let metrics =
            garbage.metrics().map(|(name, value)| (name.rsplit('/').next().unwrap().to_string(), value));
        let metric = |name: &str| metrics.iter().find(|(found, _)| found == name).map(|(_, value)| *value);
        assert_eq!(metric("path_removals_succeeded"), Some(1.0));
        assert_eq!(metric("path_removals_pending"), Some(1.0));
        assert_eq!(metric("path_removals_failed"), Some(0.0));
        assert_eq!(metric("executor_directory_max_allowed_age_secs"), Some(0.0));
    }

    #[test]
    fn the_oldest_goes_first() {
        let garbage = Garbage::default();
        for path in ["b", "a", "c"] {
            garbage.schedule(path);
        }
        let later = Instant::now() + Duration::from_secs(1);
        assert_eq!(garbage.take_older(Duration::ZERO, later), ["b", "a", "c"].map(PathBuf::from));
    }

    /// Says that a test could not run and why; `./test` prints all of these in its last line.
    fn skip(why: &str) {
        eprintln!("skipped: {why}");
        if let Some(path) = std::env::var_os("MESSOR_SKIPS")
            && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
        {
            let _ = std::io::Write::write_all(&mut file, format!("{why}\n").as_bytes());
        }
    }

    #[test]
    fn a_volume_that_is_still_mounted_in_a_sandbox_keeps_its_data() {
        let folder = tempfile::tempdir().unwrap();
        let work_dir = folder.path().canonicalize().unwrap();
        let volume = work_dir.join("volumes/roles/r/v");
        let target = work_dir.join("slaves/a/runs/1/data");
        for path in [&volume, &target] {
            std::fs::create_dir_all(path).unwrap();
        }
        std::fs::write(volume.join("precious"), "").unwrap();
        std::fs::write(target.with_file_name("stdout"), "").unwrap();
        if mounts::mount(Some(&volume), &target, None, mounts::BIND, None).is_err() {
            return skip("a volume in a sandbox that is removed: nothing can be mounted here");
        }
        let garbage = Garbage::default();
        garbage.schedule("slaves/a/runs/1");
        garbage.collect(&Policy { delay: Duration::ZERO, ..policy(&work_dir) }, &Files::default());
        assert!(volume.join("precious").exists());
        assert!(!work_dir.join("slaves/a/runs/1").exists());
        assert_eq!(garbage.metrics()[2].1, 1.0);
    }

    /// U024: the sandbox of a nested container lies in one that its task may write in.
    #[tokio::test]
    async fn u024_what_a_task_planted_does_not_lead_astray() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("slaves/a/runs/1");
        std::fs::create_dir_all(run.join("containers/n")).unwrap();
        std::fs::create_dir_all(folder.path().join("precious/m")).unwrap();
        std::os::unix::fs::symlink("../../../../precious", run.join("other")).unwrap();
        let garbage = Garbage::default();
        let (sender, ended) = mpsc::unbounded_channel();
        for directory in ["slaves/a/runs/1/containers/n", "slaves/a/runs/1/other/m", "slaves/a/runs/1/gone"] {
            sender
                .send(EndedSandbox { directory: directory.into(), is_old: directory.ends_with("gone") })
                .unwrap();
        }
        drop(sender);
        garbage.clone().collect_ended(ended, folder.path().to_path_buf()).await;
        garbage.collect(&Policy { delay: Duration::ZERO, ..policy(folder.path()) }, &Files::default());
        assert!(run.exists() && !run.join("containers/n").exists());
        assert!(folder.path().join("precious/m").exists());
        let [failed, pending, succeeded, _] = garbage.metrics().map(|(_, number)| number);
        assert_eq!((failed, pending, succeeded), (1.0, 0.0, 1.0));
    }
}
