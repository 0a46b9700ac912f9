//! How large downloads would be: asked before anything is put into the cache.

use std::time::Duration;

use messor_proto::mesos::fetcher::FetcherInfo;

use crate::fetcher::{ItemError, stall_timeout};
use crate::uri::{self, Source, masked};
use crate::{ftp, hadoop, http};

/// The size of each item, in their order, or why it cannot be told.
pub fn sizes(info: &FetcherInfo) -> Vec<Result<u64, String>> {
    let timeout = stall_timeout(info);
    let home = info.frameworks_home.as_deref();
    let one = |value: &str| size(value.trim_start(), home, timeout).map_err(|error| error.to_string());
    info.items.iter().map(|item| one(&item.uri.value)).collect()
}

fn size(value: &str, home: Option<&str>, timeout: Option<Duration>) -> Result<u64, ItemError> {
    let unknown = || ItemError::NoSize { uri: masked(value) };
    match uri::source(value, home)? {
        Source::Local(path) => {
            let found =
                std::fs::metadata(&path).map_err(|source| ItemError::Read { path: path.clone(), source })?;
            if found.is_file() { Ok(found.len()) } else { Err(ItemError::Directory(path)) }
        }
        Source::Http(url) => http::size(&url, timeout)?.ok_or_else(unknown),
        Source::Ftp(source) => Ok(ftp::size(&source, timeout)?),
        Source::Hadoop(uri) => Ok(hadoop::size(&uri)?),
    }
}
