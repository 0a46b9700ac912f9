//! One fetch: each URI of a `FetcherInfo` in turn, downloaded, then made executable or extracted.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::{Item, item::Action};

use crate::extract::{self, ExtractError, Limits};
use crate::ftp::{self, FtpError};
use crate::http::{self, HttpError};
use crate::sandbox::Sandbox;
use crate::uri::{self, Source, UriError, masked};

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the sandbox '{path}' cannot be opened: {source}")]
    Sandbox { path: String, source: io::Error },
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
    #[error("'{path}' cannot be extracted: {source}")]
    Extract { path: PathBuf, source: ExtractError },
}

/// Fetches everything, or stops at the first URI that fails.
pub fn fetch(info: &FetcherInfo) -> Result<(), FetchError> {
    let directory = Path::new(&info.sandbox_directory);
    let sandbox = Sandbox::open(directory)
        .map_err(|source| FetchError::Sandbox { path: info.sandbox_directory.clone(), source })?;
    for item in &info.items {
        let uri = masked(&item.uri.value);
        match fetch_item(&sandbox, info, item) {
            Ok(path) => tracing::info!("Fetched '{uri}' to '{}'", path.display()),
            Err(source) => return Err(FetchError::Item { uri, source }),
        }
    }
    tracing::info!("Everything is fetched into '{}'", directory.display());
    Ok(())
}

fn fetch_item(sandbox: &Sandbox, info: &FetcherInfo, item: &Item) -> Result<PathBuf, ItemError> {
    let uri = item.uri.value.trim_start();
    let shown = masked(uri);
    let source = uri::source(uri, info.frameworks_home.as_deref())?;
    let name = match &item.uri.output_file {
        Some(name) => {
            uri::check_output_file(name)?;
            name
        }
        None => uri::file_name(uri)?,
    };
    let path = Path::new(name);
    let outside = sandbox.outside(path);
    if item.action() != Action::BypassCache {
        tracing::info!("'{shown}' is fetched past the cache, which is not supported yet");
    }
    tracing::info!("Fetching '{shown}' directly into '{}'", outside.display());
    let stall_timeout = info
        .stall_timeout
        .as_ref()
        .and_then(|timeout| u64::try_from(timeout.nanoseconds).ok())
        .filter(|nanoseconds| *nanoseconds > 0)
        .map(Duration::from_nanos);
    download(sandbox, &source, path, stall_timeout)?;
    if item.uri.executable() {
        let result = sandbox.make_executable(path);
        result.map_err(|source| ItemError::Write { path: outside.clone(), source })?;
    } else if item.uri.extract() {
        let failed = |source| ItemError::Extract { path: outside.clone(), source };
        let limits = Limits::of(sandbox).map_err(|error| failed(ExtractError::Read(error)))?;
        if extract::extract(sandbox, path, limits).map_err(failed)? {
            tracing::info!("Extracted '{}' into the sandbox", outside.display());
        } else {
            tracing::warn!("'{shown}' is kept as it is: its name has no suffix of an archive");
        }
    }
    Ok(outside)
}

fn download(
    sandbox: &Sandbox,
    source: &Source,
    path: &Path,
    stall_timeout: Option<Duration>,
) -> Result<(), ItemError> {
    let create = |mode| {
        let failed = |source| ItemError::Write { path: sandbox.outside(path), source };
        sandbox.create_file(path, mode).map_err(failed)
    };
    match source {
        Source::Local(from) => copy(sandbox, from, path)?,
        Source::Http(url) => {
            http::download(url, &mut create(0o644)?, stall_timeout)?;
        }
        Source::Ftp(source) => {
            ftp::download(source, &mut create(0o644)?, stall_timeout)?;
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
