//! One fetch: each URI of a `FetcherInfo` in turn, downloaded, then made executable or extracted.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::{Item, item::Action};

use crate::extract::{self, ExtractError, Limits};
use crate::ftp::{self, FtpError};
use crate::hadoop::{self, HadoopError};
use crate::http::{self, HttpError};
use crate::sandbox::Sandbox;
use crate::uri::{self, Source, UriError, masked};

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the sandbox '{path}' cannot be opened: {source}")]
    Sandbox { path: String, source: io::Error },
    #[error("the cache directory '{path}' cannot be opened: {source}")]
    Cache { path: String, source: io::Error },
    #[error("'{uri}' cannot be fetched: {source}")]
    Item { uri: String, source: ItemError },
}

#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    #[error(transparent)]
    Uri(#[from] UriError),
    #[error("'{path}' cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("'{0}' is a directory; name a file, an archive of the directory for example")]
    Directory(PathBuf),
    #[error("'{path}' cannot be written: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Ftp(#[from] FtpError),
    #[error(transparent)]
    Hadoop(#[from] HadoopError),
    #[error("'{path}' cannot be extracted: {source}")]
    Extract { path: PathBuf, source: ExtractError },
    #[error("it is to come from the cache, but the FetcherInfo names no {0}")]
    NoCache(&'static str),
    #[error("the cache_filename '{0}' is not a plain name")]
    CacheFileName(String),
    #[error("the file '{path}' of the cache cannot be read: {source}")]
    ReadCache { path: PathBuf, source: io::Error },
    #[error("the server does not say how large '{uri}' is")]
    NoSize { uri: String },
}

/// Fetches everything, or stops at the first URI that fails.
pub fn fetch(info: &FetcherInfo) -> Result<(), FetchError> {
    let directory = Path::new(&info.sandbox_directory);
    let sandbox = Sandbox::open(directory)
        .map_err(|source| FetchError::Sandbox { path: info.sandbox_directory.clone(), source })?;
    let cached = info.items.iter().any(|item| item.action() != Action::BypassCache);
    let cache = match info.cache_directory.as_ref().filter(|path| cached && !path.is_empty()) {
        Some(path) => {
            let opened = Sandbox::open(Path::new(path));
            Some(opened.map_err(|source| FetchError::Cache { path: path.clone(), source })?)
        }
        None => None,
    };
    for item in &info.items {
        let uri = masked(&item.uri.value);
        match fetch_item(&sandbox, cache.as_ref(), info, item) {
            Ok(path) => tracing::info!("Fetched '{uri}' to '{}'", path.display()),
            Err(source) => return Err(FetchError::Item { uri, source }),
        }
    }
    tracing::info!("Everything is fetched into '{}'", directory.display());
    Ok(())
}

/// How long nothing may come of a download.
pub(crate) fn stall_timeout(info: &FetcherInfo) -> Option<Duration> {
    let nanoseconds = u64::try_from(info.stall_timeout.as_ref()?.nanoseconds).ok()?;
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

fn fetch_item(
    sandbox: &Sandbox,
    cache: Option<&Sandbox>,
    info: &FetcherInfo,
    item: &Item,
) -> Result<PathBuf, ItemError> {
    let uri = item.uri.value.trim_start();
    let shown = masked(uri);
    let source = uri::source(uri, info.frameworks_home.as_deref())?;
    let base = uri::file_name(uri)?;
    let name = match &item.uri.output_file {
        Some(name) => {
            uri::check_output_file(name)?;
            name
        }
        None => base,
    };
    let path = Path::new(name);
    let outside = sandbox.outside(path);
    if item.action() == Action::BypassCache {
        tracing::info!("Fetching '{shown}' directly into '{}'", outside.display());
        download(sandbox, &source, path, stall_timeout(info))?;
        if item.uri.executable() {
            make_executable(sandbox, path)?;
        } else if item.uri.extract() && !extract(sandbox, sandbox, path, path)? {
            tracing::warn!("'{shown}' is kept as it is: its name has no suffix of an archive");
        }
        return Ok(outside);
    }
    let cache = cache.ok_or(ItemError::NoCache("cache_directory"))?;
    let file = item.cache_filename.as_deref().ok_or(ItemError::NoCache("cache_filename"))?;
    let plain = Path::new(file).components().map(|part| part.as_os_str()).eq([file]);
    if !plain || matches!(file, "" | "." | "..") || file.contains('/') {
        return Err(ItemError::CacheFileName(file.to_owned()));
    }
    let stored = Path::new(file);
    if item.action() == Action::DownloadAndCache {
        tracing::info!("Fetching '{shown}' into the cache, as '{}'", cache.outside(stored).display());
        download(cache, &source, stored, stall_timeout(info))?;
    }
    tracing::info!("Taking '{shown}' from the cache, where it is '{}'", cache.outside(stored).display());
    let extracted = item.uri.extract() && !item.uri.executable();
    // By the name of the URI, which the name in the cache ends with.
    if extracted && extract(sandbox, cache, stored, Path::new(base))? {
        return Ok(sandbox.outside(Path::new("")));
    }
    if extracted {
        tracing::warn!("'{shown}' is kept as it is: its name has no suffix of an archive");
    }
    take(cache, stored, sandbox, path)?;
    if item.uri.executable() {
        make_executable(sandbox, path)?;
    }
    Ok(outside)
}

fn make_executable(sandbox: &Sandbox, path: &Path) -> Result<(), ItemError> {
    let result = sandbox.make_executable(path);
    result.map_err(|source| ItemError::Write { path: sandbox.outside(path), source })
}

fn extract(sandbox: &Sandbox, from: &Sandbox, path: &Path, name: &Path) -> Result<bool, ItemError> {
    if !extract::is_archive(name) {
        return Ok(false);
    }
    let failed = |source| ItemError::Extract { path: from.outside(path), source };
    let limits = Limits::of(sandbox).map_err(|error| failed(ExtractError::Read(error)))?;
    let extracted = extract::extract(sandbox, from, path, name, limits).map_err(failed)?;
    if extracted {
        tracing::info!("Extracted '{}' into the sandbox", from.outside(path).display());
    }
    Ok(extracted)
}

/// Copies a file of the cache into the sandbox, with its permissions.
fn take(cache: &Sandbox, stored: &Path, sandbox: &Sandbox, path: &Path) -> Result<(), ItemError> {
    use std::os::unix::fs::PermissionsExt;
    let reading = |source| ItemError::ReadCache { path: cache.outside(stored), source };
    let mut content = cache.open_file(stored).map_err(reading)?;
    let metadata = content.metadata().map_err(reading)?;
    if !metadata.is_file() {
        return Err(ItemError::Directory(cache.outside(stored)));
    }
    let writing = |source| ItemError::Write { path: sandbox.outside(path), source };
    let mut into = sandbox.create_file(path, metadata.permissions().mode()).map_err(writing)?;
    io::copy(&mut content, &mut into).map_err(writing)?;
    Ok(())
}

fn download(
    sandbox: &Sandbox,
    source: &Source,
    path: &Path,
    stall_timeout: Option<Duration>,
) -> Result<(), ItemError> {
    let failed = |source| ItemError::Write { path: sandbox.outside(path), source };
    let create = |mode| sandbox.create_file(path, mode).map_err(failed);
    match source {
        Source::Local(from) => copy(sandbox, from, path)?,
        Source::Http(url) => {
            http::download(url, &mut create(0o644)?, stall_timeout)?;
        }
        Source::Ftp(source) => {
            ftp::download(source, &mut create(0o644)?, stall_timeout)?;
        }
        Source::Hadoop(uri) => {
            // The client writes by path: so into a directory where nobody has planted anything.
            let work = sandbox.create_work_directory().map_err(failed)?;
            let fetched = work.join("file");
            let result = hadoop::download(uri, &sandbox.outside(&fetched)).map_err(ItemError::from);
            let result = result.and_then(|()| sandbox.rename(&fetched, path).map_err(failed));
            let removed = sandbox.remove_directory(&work).map_err(failed);
            result.and(removed)?;
        }
    }
    Ok(())
}

/// Copies a local file with its permissions, as `cp` would.
fn copy(sandbox: &Sandbox, from: &Path, path: &Path) -> Result<(), ItemError> {
    use std::os::unix::fs::PermissionsExt;
    let reading = |source| ItemError::Read { path: from.to_owned(), source };
    let mut content = std::fs::File::open(from).map_err(reading)?;
    let metadata = content.metadata().map_err(reading)?;
    if metadata.is_dir() {
        return Err(ItemError::Directory(from.to_owned()));
    }
    let writing = |source| ItemError::Write { path: sandbox.outside(path), source };
    let mut into = sandbox.create_file(path, metadata.permissions().mode()).map_err(writing)?;
    io::copy(&mut content, &mut into).map_err(writing)?;
    Ok(())
}
