//! The commands that need no network: they have the log's files for themselves.

use std::io::Write;
use std::path::Path;

use messor_flags::LogToolFlags;
use messor_proto::mesos::internal::log::{Metadata, metadata};
use messor_replog::{Restored, Write as Record};
use messor_runtime::Daemon;
use messor_store::Storage;

use super::{ToolError, path, text, within};

/// `mesos-log initialize`
pub fn initialize(daemon: &Daemon<LogToolFlags>) -> Result<(), ToolError> {
    let path = path(daemon)?.to_path_buf();
    within(daemon.flags.timeout, move || make_voting(&path))
}

/// An empty log may vote from now on. One that is not empty is left as it is.
pub fn make_voting(path: &Path) -> Result<(), ToolError> {
    let mut storage = Storage::open(path)?;
    let Restored { metadata, .. } = storage.restore()?;
    if metadata.status != i32::from(metadata::Status::Empty) {
        let status = match metadata::Status::try_from(metadata.status) {
            Ok(status) => format!("{status:?}").to_uppercase(),
            Err(_) => metadata.status.to_string(),
        };
        return Err(ToolError::NotEmpty { path: path.to_path_buf(), status });
    }
    let voting = Metadata { status: metadata::Status::Voting.into(), promised: metadata.promised };
    storage.persist(&Record::Metadata(voting))?;
    storage.sync()?;
    tracing::info!("the log in {} is initialized", path.display());
    Ok(())
}

/// `mesos-log read`
pub fn read(daemon: &Daemon<LogToolFlags>) -> Result<(), ToolError> {
    let path = path(daemon)?.to_path_buf();
    let (from, to) = (daemon.flags.from, daemon.flags.to);
    within(daemon.flags.timeout, move || print(&path, from, to, &mut std::io::stdout().lock()))
}

fn print(path: &Path, from: Option<u64>, to: Option<u64>, out: &mut impl Write) -> Result<(), ToolError> {
    let storage = Storage::open_existing(path)?;
    let Restored { begin, end, .. } = storage.restore()?;
    let (from, to) = (from.unwrap_or(begin), to.unwrap_or(end));
    let wrong = |flag, problem| Err(ToolError::Range { flag, problem });
    if from < begin {
        return wrong("--from", format!("what is before {begin} is truncated"));
    }
    if to > end {
        return wrong("--to", format!("the log ends at {end}"));
    }
    if to < from {
        return wrong("--to", format!("it is before {from}, where reading begins"));
    }
    tracing::info!("reading the log in {} from {from} to {to}", path.display());
    let mut next = from;
    loop {
        let actions = storage.read(next, to)?;
        let Some(last) = actions.last() else { break };
        next = last.position + 1;
        for action in &actions {
            write!(out, "{:-<46}\n{}", "", text::print(action))?;
        }
        if next > to {
            break;
        }
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_initialized_once_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(matches!(print(&path, None, None, &mut Vec::new()), Err(ToolError::Store(_))));
        make_voting(&path).unwrap();
        let error = make_voting(&path).unwrap_err().to_string();
        assert!(error.contains("not empty: it is VOTING"), "{error}");
        let mut out = Vec::new();
        print(&path, None, None, &mut out).unwrap();
        assert_eq!(out, b"");
        assert!(matches!(print(&path, None, Some(1), &mut out), Err(ToolError::Range { flag: "--to", .. })));
    }
}
