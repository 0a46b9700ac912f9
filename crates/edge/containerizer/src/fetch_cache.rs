//! The fetcher's cache: its directory, and the machine that says what is in it.
//!
//! Files lie in a directory of their user, which the fetcher makes and which is closed to others; those of tasks without
//! a user lie in the cache directory itself. Names are never given twice.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messor_fetch_cache::{Cache, Effect, EntryId, Event, FetchId, Wanted, Way};
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::item::Action;
use rustix::fs::FlockOperation;
use tokio::sync::oneshot;

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("'{path}' cannot be made or emptied: {source}")]
    Empty { path: PathBuf, source: io::Error },
    #[error("'{path}' holds '{other}', and would be emptied: name a directory for the cache alone")]
    Holds { path: PathBuf, other: PathBuf },
}

/// The directory of the cache, which belongs to one agent at a time and begins empty.
#[derive(Debug)]
pub struct CacheDirectory {
    path: PathBuf,
    capacity: u64,
    /// Holds the directory for this agent.
    _lock: File,
}

impl CacheDirectory {
    /// Makes and empties it. None, with a warning: there is no cache, as another agent has the directory, or as others
    /// than this agent's user could put files in its place. `precious` is what must not be in it.
    pub fn open(
        path: &Path,
        capacity: u64,
        precious: &[&Path],
    ) -> Result<Option<CacheDirectory>, CacheError> {
        let failed = |source| CacheError::Empty { path: path.to_path_buf(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        for other in precious {
            // What is not there cannot be lost.
            if let Ok(other) = other.canonicalize()
                && other.starts_with(&path)
            {
                return Err(CacheError::Holds { path, other });
            }
        }
        let lock = File::open(&path).map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                tracing::warn!(
                    "Artifacts are not cached: another agent has {} for its cache; give each its own --fetcher_cache_dir",
                    path.display()
                );
                return Ok(None);
            }
            other => other.map_err(|error| failed(error.into()))?,
        }
        if let Some(other) = untrusted(&path).map_err(failed)? {
            tracing::warn!(
                "Artifacts are not cached: others can replace what is in {}; only the agent's user may write there",
                other.display()
            );
            return Ok(None);
        }
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let removed = match entry.file_type().map_err(failed)?.is_dir() {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
            removed.map_err(failed)?;
        }
        Ok(Some(CacheDirectory { path, capacity, _lock: lock }))
    }
}

/// The first directory on the way in which somebody else could put another in the place of the next.
fn untrusted(path: &Path) -> io::Result<Option<&Path>> {
    let own = rustix::process::geteuid().as_raw();
    let own_group = rustix::process::getegid().as_raw();
    for directory in path.ancestors() {
        let found = fs::metadata(directory)?;
        let mode = found.permissions().mode();
        let strange_group = mode & 0o020 != 0 && ![0, own_group].contains(&found.gid());
        let open = mode & 0o1000 == 0 && (mode & 0o002 != 0 || strange_group);
        if open || ![0, own].contains(&found.uid()) {
            return Ok(Some(directory));
        }
    }
    Ok(None)
}

/// What is fetched by way of the cache, and what past it.
pub(crate) struct FetchCache {
    directory: Option<Arc<CacheDirectory>>,
    state: Mutex<State>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

struct State {
    machine: Cache,
    waiting: BTreeMap<FetchId, oneshot::Sender<Vec<Way>>>,
    last: u64,
}

/// A fetch that is known to the cache, until it is over. But for `direct`, what it does touches files: it is for threads
/// that may wait.
pub(crate) struct Asked {
    cache: Arc<FetchCache>,
    id: FetchId,
    user: Option<String>,
    /// What is to be sized first: entries, with the place of their item.
    pub unsized_items: Vec<(EntryId, usize)>,
    go: oneshot::Receiver<Vec<Way>>,
    downloads: Vec<(EntryId, String)>,
    outcome: Result<(), String>,
}

impl FetchCache {
    pub fn new(directory: Option<Arc<CacheDirectory>>) -> FetchCache {
        let capacity = directory.as_ref().map_or(0, |directory| directory.capacity);
        let state = State { machine: Cache::new(capacity), waiting: BTreeMap::new(), last: 0 };
        FetchCache {
            directory,
            state: Mutex::new(state),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where files of this user lie. None: the name is not that of a directory.
    fn of_user(&self, user: Option<&str>) -> Option<PathBuf> {
        let directory = &self.directory.as_ref()?.path;
        match user {
            None => Some(directory.clone()),
            Some(user) => {
                let mut parts = Path::new(user).components();
                match (parts.next(), parts.next()) {
                    (Some(Component::Normal(name)), None) if name == user => Some(directory.join(user)),
                    _ => None,
                }
            }
        }
    }

    fn size(&self, user: Option<&str>, file: &str) -> Result<u64, String> {
        let path = self.of_user(user).ok_or("there is no cache")?.join(file);
        match path.symlink_metadata() {
            Ok(found) if found.is_file() => Ok(found.len()),
            Ok(_) => Err("what was downloaded is not a plain file".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Asks for the way of each item; looks at files. None: nothing of it is for the cache.
    pub fn ask(self: &Arc<Self>, info: &FetcherInfo) -> Option<Asked> {
        let user = info.user.clone();
        if !info.items.iter().any(|item| item.uri.cache()) || self.of_user(user.as_deref()).is_none() {
            return None;
        }
        let items: Vec<Wanted> = info
            .items
            .iter()
            .map(|item| Wanted {
                uri: item.uri.value.clone(),
                name: base_name(&item.uri.value),
                cached: item.uri.cache(),
            })
            .collect();
        let stored = self.lock().machine.stored(user.as_deref(), &items);
        let is_damaged = |file: &str, size: u64| self.size(user.as_deref(), file) != Ok(size);
        let damaged = stored.into_iter().filter(|stored| is_damaged(&stored.file, stored.size));
        let damaged = damaged.map(|stored| stored.entry).collect();
        let (sender, go) = oneshot::channel();
        let id = {
            let mut state = self.lock();
            state.last += 1;
            let id = FetchId(state.last);
            state.waiting.insert(id, sender);
            id
        };
        let event = Event::Ask { fetch: id, user: user.clone(), items, damaged };
        let unsized_items = self.handle(event).into_iter().filter_map(|(entry, uri)| {
            let place = info.items.iter().position(|item| item.uri.cache() && item.uri.value == uri)?;
            Some((entry, place))
        });
        let unsized_items = unsized_items.collect();
        let outcome = Err("it was given up".to_owned());
        Some(Asked { cache: self.clone(), id, user, unsized_items, go, downloads: Vec::new(), outcome })
    }

    /// Carries out what the machine wants; what it wants to know the size of is the caller's to find out.
    fn handle(&self, event: Event) -> Vec<(EntryId, String)> {
        let mut effects = Vec::new();
        let mut state = self.lock();
        state.machine.handle(event, &mut effects);
        let mut unsized_entries = Vec::new();
        for effect in effects {
            match effect {
                Effect::FindSizes { entries, .. } => unsized_entries.extend(entries),
                Effect::Go { fetch, ways } => {
                    if let Some(waiting) = state.waiting.remove(&fetch) {
                        // Nobody listens where it was given up.
                        let _ = waiting.send(ways);
                    }
                }
                // Before others are told that there is room.
                Effect::Remove { user, file } => self.remove(user.as_deref(), &file),
            }
        }
        unsized_entries
    }

    fn remove(&self, user: Option<&str>, file: &str) {
        let Some(path) = self.of_user(user).map(|directory| directory.join(file)) else { return };
        let removed = match path.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => tracing::info!("Removed {} from the fetcher's cache", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(
                    "{} stays in the fetcher's cache, which may grow too large: {error}",
                    path.display()
                );
            }
        }
    }

    pub fn count(&self, succeeded: bool) {
        let counter = if succeeded { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// In the names of /metrics/snapshot.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let (total, used) = {
            let state = self.lock();
            (state.machine.capacity(), state.machine.used())
        };
        [
            ("cache_size_total_bytes", total),
            ("cache_size_used_bytes", used),
            ("task_fetches_failed", self.failed.load(Ordering::Relaxed)),
            ("task_fetches_succeeded", self.succeeded.load(Ordering::Relaxed)),
        ]
        .map(|(name, number)| (format!("containerizer/fetcher/{name}"), number as f64))
        .to_vec()
    }
}

impl Asked {
    pub fn sized(&mut self, sizes: Vec<(EntryId, Result<u64, String>)>) {
        self.cache.handle(Event::Sized { fetch: self.id, sizes });
    }

    /// Waits until everything else is there, and says in `info` which way each item goes.
    pub async fn direct(&mut self, info: &mut FetcherInfo) {
        // The machine sends before it forgets.
        let Ok(ways) = (&mut self.go).await else { return };
        for (item, way) in info.items.iter_mut().zip(ways) {
            let (action, file) = match way {
                Way::Direct { because } => {
                    if let Some(because) = because {
                        tracing::warn!("A URI is fetched past the cache: {because}");
                    }
                    (Action::BypassCache, None)
                }
                Way::Download { entry, file } => {
                    self.downloads.push((entry, file.clone()));
                    (Action::DownloadAndCache, Some(file))
                }
                Way::Retrieve { file } => (Action::RetrieveFromCache, Some(file)),
            };
            item.action = action as i32;
            item.cache_filename = file;
        }
        let directory = self.cache.of_user(self.user.as_deref());
        info.cache_directory = directory.map(|path| path.display().to_string());
    }

    /// The fetcher has ended.
    pub fn over(mut self, outcome: Result<(), String>) {
        self.outcome = outcome;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let size = |file: &str| self.cache.size(self.user.as_deref(), file);
        let found = self.downloads.iter().map(|(entry, file)| (*entry, size(file))).collect();
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        self.cache.handle(Event::Over { fetch: self.id, outcome, found });
        self.cache.lock().waiting.remove(&self.id);
    }
}

fn base_name(uri: &str) -> String {
    uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_begins_empty_and_has_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        fs::create_dir_all(path.join("joe")).unwrap();
        fs::write(path.join("joe/c1-a"), "a").unwrap();
        fs::write(path.join("c2-b"), "b").unwrap();
        let work_dir = folder.path().join("work");
        let open = || CacheDirectory::open(&path, 10, &[&work_dir]).unwrap();
        let first = open().unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::write(path.join("c1-a"), "a").unwrap();
        assert!(open().is_none());
        assert!(path.join("c1-a").exists());
        drop(first);
        assert!(open().is_some());
    }

    #[test]
    fn a_directory_with_the_agents_own_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let work_dir = folder.path().join("work");
        fs::create_dir(&work_dir).unwrap();
        for path in [folder.path(), &work_dir] {
            let error = CacheDirectory::open(path, 10, &[&work_dir]).unwrap_err();
            assert!(matches!(error, CacheError::Holds { .. }), "{error}");
        }
        assert!(work_dir.exists());
    }

    #[test]
    fn where_others_may_write_nothing_is_cached_and_nothing_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = folder.path().join("cache");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "").unwrap();
        assert!(CacheDirectory::open(&path, 10, &[]).unwrap().is_none());
        assert!(path.join("file").exists());
    }

    #[test]
    fn users_are_names_of_directories() {
        let folder = tempfile::tempdir().unwrap();
        let directory = CacheDirectory::open(&folder.path().join("cache"), 10, &[]).unwrap();
        let cache = FetchCache::new(directory.map(Arc::new));
        assert!(cache.of_user(None).is_some() && cache.of_user(Some("joe")).is_some());
        for user in ["", ".", "..", "a/b", "/", "a/"] {
            assert!(cache.of_user(Some(user)).is_none(), "{user:?}");
        }
    }

    fn cache(folder: &Path) -> Arc<FetchCache> {
        let directory = CacheDirectory::open(&folder.join("cache"), 10, &[]).unwrap();
        Arc::new(FetchCache::new(directory.map(Arc::new)))
    }

    fn info() -> FetcherInfo {
        use messor_proto::mesos::command_info::Uri;
        use messor_proto::mesos::fetcher::fetcher_info::Item;
        let uri = |value: &str, cache| Uri { value: value.into(), cache: Some(cache), ..Uri::default() };
        let item = |uri| Item { uri, ..Item::default() };
        let items = vec![item(uri("http://h/a", true)), item(uri("http://h/b", false))];
        FetcherInfo { items, ..FetcherInfo::default() }
    }

    fn actions(info: &FetcherInfo) -> Vec<Action> {
        info.items.iter().map(|item| item.action()).collect()
    }

    #[tokio::test]
    async fn who_waits_for_a_download_that_fails_or_is_given_up_fetches_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        for given_up in [false, true] {
            let (mut first_info, mut second_info) = (info(), info());
            let mut first = cache.ask(&first_info).unwrap();
            let mut second = cache.ask(&second_info).unwrap();
            assert_eq!((first.unsized_items.len(), second.unsized_items.len()), (1, 0));
            let entry = first.unsized_items[0].0;
            first.sized(vec![(entry, Ok(5))]);
            first.direct(&mut first_info).await;
            assert_eq!(actions(&first_info), [Action::DownloadAndCache, Action::BypassCache]);
            let file = folder.path().join("cache").join(first_info.items[0].cache_filename.as_ref().unwrap());
            fs::write(&file, "hel").unwrap();
            match given_up {
                true => drop(first),
                false => first.over(Err("it failed".into())),
            }
            assert!(!file.exists(), "what was begun is removed");
            second.direct(&mut second_info).await;
            assert_eq!(actions(&second_info), [Action::BypassCache; 2]);
            assert_eq!(second_info.items[0].cache_filename, None);
            second.over(Ok(()));
        }
        assert_eq!(cache.lock().machine.used(), 0);
        assert!(cache.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn what_is_stored_is_as_large_as_it_is_and_a_link_is_not_stored() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        for (link, used) in [(true, 0), (false, 3)] {
            let mut info = info();
            let mut asked = cache.ask(&info).unwrap();
            let entry = asked.unsized_items[0].0;
            asked.sized(vec![(entry, Ok(5))]);
            asked.direct(&mut info).await;
            let file = folder.path().join("cache").join(info.items[0].cache_filename.as_ref().unwrap());
            match link {
                true => std::os::unix::fs::symlink("/etc/hostname", &file).unwrap(),
                false => fs::write(&file, "hel").unwrap(),
            }
            asked.over(Ok(()));
            assert_eq!(cache.lock().machine.used(), used);
        }
    }

    #[test]
    fn nothing_is_asked_where_nothing_is_for_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let mut info = info();
        assert!(Arc::new(FetchCache::new(None)).ask(&info).is_none());
        info.items.remove(0);
        assert!(cache(folder.path()).ask(&info).is_none());
    }
}
