//! The removal of sandboxes that nobody needs: when gc_delay is over, or sooner when the disk fills up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use messor_http_api::Files;

/// Paths that wait, by their name below work_dir, with the time since when.
#[derive(Clone, Default)]
pub struct Garbage {
    waiting: Arc<Mutex<BTreeMap<PathBuf, Instant>>>,
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

    pub fn unschedule(&self, path: &str) {
        self.lock().remove(Path::new(path));
    }

    /// Takes out what is older than `age`.
    fn take_older(&self, age: Duration, now: Instant) -> Vec<PathBuf> {
        let mut waiting = self.lock();
        waiting
            .extract_if(.., |_, since| now.saturating_duration_since(*since) >= age)
            .map(|(path, _)| path)
            .collect()
    }

    /// Looks at the disk every interval, for as long as the program runs. What is removed is not in `files` any more.
    pub async fn run(self, policy: Policy, files: Files) {
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
            Ok(disk) if disk.total_bytes > 0 => 1.0 - disk.available_bytes as f64 / disk.total_bytes as f64,
            Ok(_) => 0.0,
            Err(error) => return tracing::warn!("cannot tell how full the disk is: {error}"),
        };
        let age = policy.age_allowed(used);
        tracing::info!(
            "disk usage {:.2}%; sandboxes are kept for {}",
            used * 100.0,
            messor_stdx::format_duration(age)
        );
        let due = self.take_older(age, Instant::now());
        let due: BTreeSet<PathBuf> = due.iter().map(|path| policy.work_dir.join(path)).collect();
        files.detach_below(&due);
        for full in due {
            match std::fs::remove_dir_all(&full) {
                Ok(()) => tracing::info!("removed {}", full.display()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
                Err(error) => tracing::warn!("cannot remove {}: {error}", full.display()),
            }
        }
    }
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
    }
}
