//! The fetcher as a child: what it is told, and what is told of it.
//! It must not know how anything is fetched.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use messor_linux::Pid;
use messor_linux::spawn::{Launch as Start, Session, SpawnError, Stdio};
use messor_proto::mesos::{DurationInfo, fetcher::FetcherInfo};
use messor_proto::{Version, Wire};

/// Of what the fetcher wrote last, no more goes into a message.
const TAIL_BYTES: u64 = 2048;

/// A program of the house: a file, and the name under which it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub path: PathBuf,
    pub name: String,
}

impl Program {
    /// The program of this name in `launcher_dir`, or else this very binary, which is every program by its name.
    pub fn find(launcher_dir: &Path, name: &str) -> io::Result<Program> {
        let installed = launcher_dir.join(name);
        let path = if installed.is_file() { installed } else { std::env::current_exe()? };
        Ok(Program { path, name: name.to_owned() })
    }
}

/// The fetches of one container, completed with what the agent knows.
pub(crate) fn complete(
    infos: &[FetcherInfo],
    sandbox: &Path,
    user: Option<&str>,
    frameworks_home: Option<&str>,
    stall_timeout: Option<Duration>,
) -> Vec<FetcherInfo> {
    let wanted = infos.iter().filter(|info| !info.items.is_empty());
    let completed = wanted.map(|info| FetcherInfo {
        sandbox_directory: sandbox.display().to_string(),
        items: info.items.clone(),
        cache_directory: info.cache_directory.clone(),
        user: user.map(str::to_owned),
        frameworks_home: frameworks_home.map(str::to_owned),
        stall_timeout: stall_timeout.map(|timeout| DurationInfo {
            nanoseconds: i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX),
        }),
    });
    completed.collect()
}

/// Starts the fetcher as the agent's own user: it reads its program, then becomes the task's user by itself.
pub(crate) fn start(
    program: &Program,
    info: &FetcherInfo,
    environment: impl Iterator<Item = (OsString, OsString)>,
    stdout: File,
    stderr: File,
) -> Result<Pid, SpawnError> {
    let json = String::from_utf8_lossy(&info.to_json(Version::V0)).into_owned();
    let mut environment: Vec<_> = environment.filter(|(name, _)| is_passed_on(name)).collect();
    environment.push(("MESOS_FETCHER_INFO".into(), json.into()));
    Start {
        arguments: vec![program.name.clone().into()],
        environment,
        directory: Some(PathBuf::from("/")),
        stdin: Stdio::Null,
        stdout: stdout.into(),
        stderr: stderr.into(),
        session: Session::New,
        ..Start::new(program.path.clone())
    }
    .start()
}

/// The agent's own settings are not the fetcher's, but for those of logging.
fn is_passed_on(name: &OsString) -> bool {
    const LOGGING: [&str; 6] = [
        "MESOS_EXTERNAL_LOG_FILE",
        "MESOS_INITIALIZE_DRIVER_LOGGING",
        "MESOS_LOG_DIR",
        "MESOS_LOGBUFSECS",
        "MESOS_LOGGING_LEVEL",
        "MESOS_QUIET",
    ];
    let name = name.to_string_lossy();
    LOGGING.contains(&name.to_uppercase().as_str())
        || !(name.starts_with("MESOS_") || name.starts_with("LIBPROCESS_"))
}

/// The last thing the fetcher said, which is why it failed; empty if it said nothing.
pub(crate) fn last_words(sandbox: &Path) -> String {
    let read = || -> io::Result<String> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let mut file =
            File::from(rustix::fs::open(sandbox.join("stderr"), flags, rustix::fs::Mode::empty())?);
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // Without the head of a log line.
    line.split_once("] ").map_or(line, |(_, words)| words).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::fetcher::fetcher_info::Item;

    #[test]
    fn the_agents_settings_stay_with_the_agent() {
        for (name, passed) in [
            ("PATH", true),
            ("http_proxy", true),
            ("MESOS_WORK_DIR", false),
            ("LIBPROCESS_PORT", false),
            ("MESOS_QUIET", true),
            ("mesos_log_dir", true),
        ] {
            assert_eq!(is_passed_on(&name.into()), passed, "{name}");
        }
    }

    #[test]
    fn the_last_words_are_the_last_line_without_its_head() {
        let sandbox = tempfile::tempdir().unwrap();
        assert_eq!(last_words(sandbox.path()), "");
        std::fs::write(
            sandbox.path().join("stderr"),
            "I0 a\nE1122 10:00:00.1 7 x.rs:1] 'u' cannot be fetched\n\n",
        )
        .unwrap();
        assert_eq!(last_words(sandbox.path()), "'u' cannot be fetched");
    }

    #[test]
    fn u029_the_stall_timeout_and_u078_the_user_reach_the_fetcher() {
        let info = FetcherInfo { items: vec![Item::default()], ..FetcherInfo::default() };
        let sandbox = Path::new("/work/sandbox");
        let all = complete(
            &[FetcherInfo::default(), info],
            sandbox,
            Some("joe"),
            Some("/home"),
            Some(Duration::from_secs(60)),
        );
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].sandbox_directory, "/work/sandbox");
        assert_eq!(all[0].stall_timeout.as_ref().unwrap().nanoseconds, 60_000_000_000);
        assert_eq!((all[0].user.as_deref(), all[0].frameworks_home.as_deref()), (Some("joe"), Some("/home")));
    }
}
