//! `mesos-fetcher`: what to fetch comes in MESOS_FETCHER_INFO, what became of it goes to standard error, which is the
//! sandbox's `stderr`.

use std::process::ExitCode;

use messor_flags::{FetcherFlags, Program, Request};
use messor_linux::users::{Identity, UserError};
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::{JsonError, Version, Wire};

use crate::fetcher::{FetchError, fetch};
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
    Switch { user: String, source: std::io::Error },
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// The program; `args` are the words after its name. It fails if one URI could not be fetched.
pub fn main(args: &[String]) -> ExitCode {
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
    let result = run(std::env::var(INFO).ok().as_deref());
    if let Err(error) = &result {
        tracing::error!("{error}");
    }
    logging.finish();
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(info: Option<&str>) -> Result<(), ProgramError> {
    let info = FetcherInfo::from_json(info.ok_or(ProgramError::NoInfo)?.as_bytes(), Version::V0)?;
    if info.sandbox_directory.is_empty() {
        return Err(ProgramError::NoSandbox);
    }
    let uris: Vec<String> = info.items.iter().map(|item| masked(&item.uri.value)).collect();
    tracing::info!("Fetching {} into '{}'", uris.join(", "), info.sandbox_directory);
    if let Some(user) = &info.user {
        become_user(user)?;
    }
    Ok(fetch(&info)?)
}

/// From here on the task's user reads and writes, so that it can neither fetch what it may not read nor write where
/// it may not. The calls change this thread alone, and those started later take after it; the one that writes the log
/// was there before and fetches nothing.
fn become_user(user: &str) -> Result<(), ProgramError> {
    let identity = Identity::of(user, &[])?;
    identity.assume().map_err(|source| ProgramError::Switch { user: user.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert!(run(None).unwrap_err().to_string().contains("MESOS_FETCHER_INFO is not set"));
        assert!(run(Some("{")).unwrap_err().to_string().contains("is not a FetcherInfo"));
        let error = run(Some(r#"{"items": []}"#)).unwrap_err().to_string();
        assert!(error.contains("sandbox_directory"), "{error}");
        let error = run(Some(r#"{"sandbox_directory": ""}"#)).unwrap_err().to_string();
        assert!(error.contains("no sandbox_directory"), "{error}");
    }

    #[test]
    fn u078_a_user_that_does_not_exist_fails_the_fetch() {
        let error =
            run(Some(r#"{"sandbox_directory": "/tmp", "user": "no-such-user"}"#)).unwrap_err().to_string();
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
        let results = std::thread::spawn(move || (run(Some(&good)), run(Some(&bad)))).join().unwrap();
        results.0.unwrap();
        assert_eq!(std::fs::metadata(sandbox.join("open")).unwrap().uid(), nobody.uid);
        let error = results.1.unwrap_err().to_string();
        assert!(error.contains("cannot be read: Permission denied"), "{error}");
    }
}
