//! The fetcher as a child: what it is told, and what is told of it.
//! It must not know how anything is fetched; which way each URI goes is the cache's to say.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use messor_containers::Kind;
use messor_fetch_cache::EntryId;
use messor_linux::spawn::{Launch as Start, Session, SpawnError, Stdio};
use messor_linux::{Exit, Pid};
use messor_proto::mesos::fetcher::fetcher_info::Item;
use messor_proto::mesos::{DurationInfo, fetcher::FetcherInfo};
use messor_proto::{Version, Wire};
use tokio::sync::watch;

use crate::containerizer::Shared;
use crate::entry::Entry;
use crate::fault::Amid;
use crate::processes::{self, blocking, ended};
use crate::sandbox;
use crate::steps::{Problem, identity};

/// Of what the fetcher wrote last, no more goes into a message.
const TAIL_BYTES: u64 = 2048;
/// Nor of what it says of sizes: a line for each URI.
const SIZES_BYTES: u64 = 1 << 20;

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

/// All that a container is to get, completed with what the agent knows; None: nothing.
pub(crate) fn complete(
    infos: &[FetcherInfo],
    sandbox: &Path,
    user: Option<&str>,
    frameworks_home: Option<&str>,
    stall_timeout: Option<Duration>,
) -> Option<FetcherInfo> {
    let items: Vec<Item> = infos.iter().flat_map(|info| info.items.iter().cloned()).collect();
    (!items.is_empty()).then(|| FetcherInfo {
        sandbox_directory: sandbox.display().to_string(),
        items,
        cache_directory: None,
        user: user.map(str::to_owned),
        frameworks_home: frameworks_home.map(str::to_owned),
        stall_timeout: stall_timeout.map(|timeout| DurationInfo {
            nanoseconds: i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX),
        }),
    })
}

/// The step of a container: everything is in its sandbox, or why not.
pub(crate) async fn fetch(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<(), Problem> {
    let config = &shared.config;
    let user = entry.state().config.user.clone();
    let uris = entry.plan.as_ref().map(|plan| plan.uris.as_slice()).unwrap_or_default();
    let home = config.frameworks_home.as_deref();
    let sandbox = entry.sandbox();
    let info = complete(uris, &sandbox, user.as_deref(), home, config.fetcher_stall_timeout);
    let Some(info) = info else { return Ok(()) };
    let fetched = fetch_all(shared, entry, info).await;
    shared.fetch_cache.count(fetched.is_ok());
    fetched
}

async fn fetch_all(shared: &Arc<Shared>, entry: &Arc<Entry>, mut info: FetcherInfo) -> Result<(), Problem> {
    let mut stopped = entry.stop_fetch.subscribe();
    let (cache, wanted) = (shared.fetch_cache.clone(), info.clone());
    let mut asked = blocking(move || cache.ask(&wanted)).await?;
    if let Some(mut waiting) = asked.take() {
        if !waiting.unsized_items.is_empty() {
            let sizes = ask_sizes(shared, entry, &info, &waiting.unsized_items, &mut stopped).await?;
            waiting = blocking(move || {
                waiting.sized(sizes);
                waiting
            })
            .await?;
        }
        // Without a turn of its own, so that those it waits for get theirs.
        tokio::select! {
            () = waiting.direct(&mut info) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return Err(Problem::Destroyed),
        }
        asked = Some(waiting);
    }
    let sandbox = entry.sandbox();
    let (stdout, stderr) = (output(entry, "stdout").await?, output(entry, "stderr").await?);
    let exit = run(shared, entry.kind, &[], info, stdout, stderr, &mut stopped).await?;
    let outcome = if exit.is_some_and(Exit::success) {
        Ok(())
    } else {
        let words = last_words(&sandbox);
        Err(Problem::Fetch {
            exit: exit.map_or("the fetcher ended".to_owned(), |exit| format!("the fetcher {exit}")),
            reason: if words.is_empty() { String::new() } else { format!(" ({words})") },
        })
    };
    if let Some(asked) = asked {
        let outcome = outcome.as_ref().copied().map_err(ToString::to_string);
        blocking(move || asked.over(outcome)).await?;
    }
    outcome
}

/// A file of the sandbox for what the fetcher says.
async fn output(entry: &Arc<Entry>, name: &'static str) -> Result<File, Problem> {
    let entry = entry.clone();
    let opened = blocking(move || {
        let owner = identity(&entry, &[])?;
        Ok(sandbox::open_output(&entry.root_sandbox(), &entry.sandbox(), name, owner.as_ref())?)
    });
    opened.await?
}

/// Asks the fetcher how large these items are. What goes wrong is said of each of them.
async fn ask_sizes(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    info: &FetcherInfo,
    wanted: &[(EntryId, usize)],
    stopped: &mut watch::Receiver<bool>,
) -> Result<Vec<(EntryId, Result<u64, String>)>, Problem> {
    let items = wanted.iter().filter_map(|(_, place)| info.items.get(*place).cloned());
    let info = FetcherInfo { items: items.collect(), ..info.clone() };
    let stderr = output(entry, "stderr").await?;
    let memory = rustix::fs::memfd_create("sizes", rustix::fs::MemfdFlags::CLOEXEC);
    let mut answer = File::from(memory.map_err(|error| Problem::FetcherStart(error.to_string()))?);
    let to_write = answer.try_clone().map_err(|error| Problem::FetcherStart(error.to_string()))?;
    let exit = run(shared, entry.kind, &["sizes"], info, to_write, stderr, stopped).await?;
    let mut text = String::new();
    let read =
        answer.seek(SeekFrom::Start(0)).and_then(|_| answer.take(SIZES_BYTES).read_to_string(&mut text));
    let works = read.is_ok() && exit.is_some_and(Exit::success);
    let lines = text.lines().filter(|_| works).map(size_of_line).map(Some).chain(std::iter::repeat(None));
    let unknown = || Err("the fetcher cannot tell its size".to_owned());
    let sizes = wanted.iter().zip(lines).map(|((id, _), size)| (*id, size.unwrap_or_else(unknown)));
    Ok(sizes.collect())
}

fn size_of_line(line: &str) -> Result<u64, String> {
    line.parse().map_err(|_| line.trim_start_matches("? ").to_owned())
}

/// Runs the fetcher to its end, or until it is not wanted any more.
async fn run(
    shared: &Arc<Shared>,
    kind: Kind,
    words: &'static [&'static str],
    info: FetcherInfo,
    stdout: File,
    stderr: File,
    stopped: &mut watch::Receiver<bool>,
) -> Result<Option<Exit>, Problem> {
    let _turn = tokio::select! {
        turn = shared.fetches.acquire() => turn.map_err(|error| Problem::FetcherStart(error.to_string()))?,
        _ = stopped.wait_for(|stopped| *stopped) => return Err(Problem::Destroyed),
    };
    if *stopped.borrow() {
        return Err(Problem::Destroyed);
    }
    let (program, hadoop_home) = (shared.config.fetcher.clone(), shared.config.hadoop_home.clone());
    let pid = blocking(move || -> Result<i32, Problem> {
        let mut environment: Vec<_> = std::env::vars_os().collect();
        if let Some(home) = hadoop_home {
            environment.retain(|(name, _)| name != "HADOOP_HOME");
            environment.push(("HADOOP_HOME".into(), home.into()));
        }
        start(&program, words, &info, environment.into_iter(), stdout, stderr)
            .map(|pid| pid.as_raw_pid())
            .map_err(|error| Problem::FetcherStart(error.to_string()))
    })
    .await??;
    Amid::FetcherStarted.pass(kind);
    tokio::select! {
        result = ended(pid) => result.map_err(Problem::Watch)?,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    // Also what it started and left.
    processes::kill(vec![pid]).await;
    ended(pid).await.map_err(Problem::Watch)?;
    let exit = processes::reap(pid).map_err(Problem::Watch)?;
    if *stopped.borrow() { Err(Problem::Destroyed) } else { Ok(exit) }
}

/// Starts the fetcher as the agent's own user: it reads its program, then becomes the task's user by itself.
fn start(
    program: &Program,
    words: &[&str],
    info: &FetcherInfo,
    environment: impl Iterator<Item = (OsString, OsString)>,
    stdout: File,
    stderr: File,
) -> Result<Pid, SpawnError> {
    let json = String::from_utf8_lossy(&info.to_json(Version::V0)).into_owned();
    let mut environment: Vec<_> = environment.filter(|(name, _)| is_passed_on(name)).collect();
    environment.push(("MESOS_FETCHER_INFO".into(), json.into()));
    let arguments = std::iter::once(program.name.as_str()).chain(words.iter().copied());
    Start {
        arguments: arguments.map(OsString::from).collect(),
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

/// The agent's own settings are not those of the programs it starts, but for those of logging.
pub(crate) fn is_passed_on(name: &OsString) -> bool {
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
fn last_words(sandbox: &Path) -> String {
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
    fn a_line_tells_a_size_or_why_there_is_none() {
        assert_eq!(size_of_line("17"), Ok(17));
        assert_eq!(size_of_line("? it is a directory"), Err("it is a directory".to_owned()));
        assert!(size_of_line("").is_err());
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
        let all = all.unwrap();
        assert_eq!((all.items.len(), all.sandbox_directory.as_str()), (1, "/work/sandbox"));
        assert_eq!(all.stall_timeout.as_ref().unwrap().nanoseconds, 60_000_000_000);
        assert_eq!((all.user.as_deref(), all.frameworks_home.as_deref()), (Some("joe"), Some("/home")));
        assert!(complete(&[FetcherInfo::default()], sandbox, None, None, None).is_none());
    }
}
