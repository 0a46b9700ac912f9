//! `mesos-fetcher`: what to fetch comes in MESOS_FETCHER_INFO, what became of it goes to standard error, which is the
//! sandbox's `stderr`. `mesos-fetcher sizes` tells the agent how large these are, a line for each on standard output.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use messor_flags::{FetcherFlags, Program, Request};
use messor_linux::users::{Identity, UserError};
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::item::Action;
use messor_proto::{JsonError, Version, Wire};

use crate::fetcher::{FetchError, fetch};
use crate::sizes::sizes;
use crate::uri::masked;

const INFO: &str = "MESOS_FETCHER_INFO";

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error(
        "the environment variable {INFO} is not set: it holds a FetcherInfo as JSON, and the agent sets it"
    )]
    NoInfo,
    #[error("the environment variable {INFO} is not a FetcherInfo: {0}")]
    Info(#[from] JsonError),
    #[error("the FetcherInfo names no sandbox_directory")]
    NoSandbox,
    #[error(transparent)]
    User(#[from] UserError),
    #[error("switching to the user '{user}' failed: {source}")]
    Switch { user: String, source: io::Error },
    #[error("the cache directory '{path}' cannot be made: {source}")]
    Cache { path: String, source: io::Error },
    #[error("the sizes cannot be told: {0}")]
    Tell(io::Error),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// The program; `args` are the words after its name. It fails if one URI could not be fetched.
pub fn main(args: &[String]) -> ExitCode {
    // Not for people: an agent asks.
    let (work, args): (Work, _) = match args.split_first() {
        Some((first, rest)) if first == "sizes" => (tell_sizes, rest),
        _ => (bring, args),
    };
    let flags = match messor_flags::parse::<FetcherFlags>(args, &messor_log::Surroundings) {
        Ok(Request::Run(parsed)) => parsed,
        Ok(Request::Help(text) | Request::Version(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("mesos-fetcher: {error}");
            return ExitCode::FAILURE;
        }
    };
    let logging = match messor_log::begin(FetcherFlags::NAME, &flags.flags.logging) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("mesos-fetcher: {error}");
            return ExitCode::FAILURE;
        }
    };
    for warning in &flags.warnings {
        tracing::warn!("{warning}");
    }
    let result = run(std::env::var(INFO).ok().as_deref(), work);
    if let Err(error) = &result {
        tracing::error!("{error}");
    }
    logging.finish();
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is done with a FetcherInfo, as the user that it names.
type Work = fn(&FetcherInfo) -> Result<(), ProgramError>;

fn run(info: Option<&str>, work: Work) -> Result<(), ProgramError> {
    let info = FetcherInfo::from_json(info.ok_or(ProgramError::NoInfo)?.as_bytes(), Version::V0)?;
    if info.sandbox_directory.is_empty() {
        return Err(ProgramError::NoSandbox);
    }
    let identity = info.user.as_deref().map(|user| Identity::of(user, &[])).transpose()?;
    make_cache_directory(&info, identity.as_ref())?;
    if let (Some(identity), Some(user)) = (identity, &info.user) {
        become_user(&identity, user)?;
    }
    work(&info)
}

fn bring(info: &FetcherInfo) -> Result<(), ProgramError> {
    let uris: Vec<String> = info.items.iter().map(|item| masked(&item.uri.value)).collect();
    tracing::info!("Fetching {} into '{}'", uris.join(", "), info.sandbox_directory);
    Ok(fetch(info)?)
}

/// A line for each item: its size in bytes, or `?` and why it cannot be told.
fn tell_sizes(info: &FetcherInfo) -> Result<(), ProgramError> {
    let mut text = String::new();
    for size in sizes(info) {
        match size {
            Ok(size) => text.push_str(&size.to_string()),
            Err(error) => text.push_str(&format!("? {}", error.replace(['\n', '\r'], " "))),
        }
        text.push('\n');
    }
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(ProgramError::Tell)
}

/// The user's own directory of the cache, closed to others, is made before the user is taken on.
fn make_cache_directory(info: &FetcherInfo, identity: Option<&Identity>) -> Result<(), ProgramError> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
    let cached = info.items.iter().any(|item| item.action() != Action::BypassCache);
    let Some(path) = info.cache_directory.as_deref().filter(|path| cached && !path.is_empty()) else {
        return Ok(());
    };
    let failed = |source| ProgramError::Cache { path: path.to_owned(), source };
    let path = Path::new(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // Without a user it is that of all: the others' are below it.
    let mode = if identity.is_some() { 0o700 } else { 0o755 };
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(failed)?,
    }
    let Some(identity) = identity else { return Ok(()) };
    let flags = rustix::fs::OFlags::RDONLY
        | rustix::fs::OFlags::DIRECTORY
        | rustix::fs::OFlags::NOFOLLOW
        | rustix::fs::OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let directory = std::fs::File::from(opened.map_err(|error| failed(error.into()))?);
    if directory.metadata().map_err(failed)?.uid() != identity.uid {
        fchown(&directory, Some(identity.uid), Some(identity.gid)).map_err(failed)?;
    }
    Ok(())
}

/// From here on the task's user reads and writes, so that it can neither fetch what it may not read nor write where
/// it may not. The calls change this thread alone, and those started later take after it; the one that writes the log
/// was there before and fetches nothing.
fn become_user(identity: &Identity, user: &str) -> Result<(), ProgramError> {
    identity.assume().map_err(|source| ProgramError::Switch { user: user.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert!(run(None, bring).unwrap_err().to_string().contains("MESOS_FETCHER_INFO is not set"));
        assert!(run(Some("{"), bring).unwrap_err().to_string().contains("is not a FetcherInfo"));
        let error = run(Some(r#"{"items": []}"#), bring).unwrap_err().to_string();
        assert!(error.contains("sandbox_directory"), "{error}");
        let error = run(Some(r#"{"sandbox_directory": ""}"#), bring).unwrap_err().to_string();
        assert!(error.contains("no sandbox_directory"), "{error}");
    }

    #[test]
    fn u078_a_user_that_does_not_exist_fails_the_fetch() {
        let error = run(Some(r#"{"sandbox_directory": "/tmp", "user": "no-such-user"}"#), bring)
            .unwrap_err()
            .to_string();
        assert!(error.contains("there is no user 'no-such-user'"), "{error}");
    }

    #[test]
    fn u078_files_are_fetched_as_the_user() {
        use std::os::unix::fs::MetadataExt;
        if !rustix::process::geteuid().is_root() {
            eprintln!("only root can become another user: not tested here");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let sandbox = root.path().join("sandbox");
        std::fs::create_dir(&sandbox).unwrap();
        let nobody = messor_linux::users::find("nobody").unwrap();
        std::os::unix::fs::chown(root.path(), Some(nobody.uid), Some(nobody.gid)).unwrap();
        std::os::unix::fs::chown(&sandbox, Some(nobody.uid), Some(nobody.gid)).unwrap();
        let secret = root.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let open = root.path().join("open");
        std::fs::write(&open, "open").unwrap();
        let info = |path: &std::path::Path| {
            format!(
                r#"{{"sandbox_directory": "{}", "user": "nobody",
                    "items": [{{"action": "BYPASS_CACHE", "uri": {{"value": "{}"}}}}]}}"#,
                sandbox.display(),
                path.display()
            )
        };
        let (good, bad) = (info(&open), info(&secret));
        // A thread of its own, as only a thread's user changes.
        let results =
            std::thread::spawn(move || (run(Some(&good), bring), run(Some(&bad), bring))).join().unwrap();
        results.0.unwrap();
        assert_eq!(std::fs::metadata(sandbox.join("open")).unwrap().uid(), nobody.uid);
        let error = results.1.unwrap_err().to_string();
        assert!(error.contains("cannot be read: Permission denied"), "{error}");
    }
}
