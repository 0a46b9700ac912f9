//! Lines in the shape of glog, to standard error and to the files of `--log_dir`, from events of `tracing`.
//!
//! The key decision: a program never waits for its log. Lines go to a queue with a bound and a thread writes them; when
//! standard error is a pipe that nobody reads, or a disk is slow, lines are lost and counted, and the program goes on.
//! Therefore a program that ends calls [`Logging::finish`], which waits a moment for the last lines.
//!
//! Also here, as flags say where lines go: [`Surroundings`], the environment and files that flags are read from, and
//! [`flags`] for programs that have no log.

mod files;
mod head;
mod layer;
mod level;
mod line;
mod queue;
mod surroundings;
mod time;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use messor_flags::LoggingFlags;
use messor_stdx::Level;
use tracing_subscriber::layer::SubscriberExt;

pub use head::flags;
pub use level::{LevelError, LevelHandle, MOST_VERBOSE};
pub use line::{LONGEST_LINE, Severity};
pub use surroundings::Surroundings;

use files::{FULL, LogFiles, Names};
use layer::LogLayer;
use line::Line;
use queue::Queue;
use writer::Writer;

/// How long the end of a program may wait for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("--logging_level: '{0}' is none of INFO, WARNING, ERROR")]
    Level(String),
    #[error("--log_dir: cannot make directory '{directory}': {error}")]
    Directory { directory: String, error: std::io::Error },
    #[error("cannot start the thread that writes logs: {0}")]
    Thread(std::io::Error),
    #[error("logging was begun before")]
    Twice,
}

/// A line that a machine wants said, with the place in the machine where it was.
pub fn say(level: Level, line: &str, at: &Location<'_>) {
    match level {
        Level::Info => tracing::info!(log.file = at.file(), log.line = at.line(), "{line}"),
        Level::Warning => tracing::warn!(log.file = at.file(), log.line = at.line(), "{line}"),
        Level::Error => tracing::error!(log.file = at.file(), log.line = at.line(), "{line}"),
    }
}

/// A program's log.
pub struct Logging {
    queue: Arc<Queue>,
    /// Its other end is dropped when the writer has ended.
    ended: Receiver<()>,
    level: LevelHandle,
    file: Option<PathBuf>,
}

/// What makes one log unlike another; `begin` fills it from flags and the process.
struct Settings {
    program: String,
    least: Severity,
    verbosity: u32,
    quiet: bool,
    directory: Option<PathBuf>,
    external: Option<PathBuf>,
    hold: Duration,
    console: Box<dyn Write + Send>,
}

/// How the names of threads begin on which a panic ends what it happened in, a request or a connection, and no more.
pub const POOLED: &str = "tokio-";

/// Logging for the whole process, named `program` in file names. Panics are logged from here on, and one in a thread
/// that is not [`POOLED`] ends the process: a machine that is gone while its port still answers would be worse.
pub fn begin(program: &str, flags: &LoggingFlags) -> Result<Logging, LogError> {
    let level = flags.logging_level.as_str();
    let least = Severity::ALL[..3].iter().copied().find(|severity| severity.name() == level);
    let (logging, layer) = Logging::new(Settings {
        program: program.to_string(),
        least: least.ok_or_else(|| LogError::Level(level.to_string()))?,
        verbosity: std::env::var("GLOG_v").ok().and_then(|text| text.parse().ok()).unwrap_or(0),
        quiet: flags.quiet,
        directory: flags.log_dir.as_ref().map(|directory| directory.as_str().into()),
        external: flags.external_log_file.as_ref().map(|file| file.as_str().into()),
        hold: Duration::from_secs(flags.logbufsecs.into()),
        console: Box::new(std::io::stderr()),
    })?;
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    log_panics(logging.queue.clone(), end_unless_pooled);
    if flags.log_dir.is_some() {
        // The first line makes the file, which the web page looks for.
        logging.queue.push(Line::new(
            least.unwrap_or(Severity::Info),
            &crate::time::now(),
            layer::thread(),
            file!(),
            line!(),
            &format!("{level} level logging started"),
        ));
    }
    Ok(logging)
}

impl Logging {
    fn new(settings: Settings) -> Result<(Logging, LogLayer), LogError> {
        let names = Names {
            program: settings.program,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            user: user(std::env::var("USER").ok(), rustix::process::getuid().as_raw()),
            process: std::process::id(),
        };
        let written = settings.directory.as_ref().map(|directory| directory.join(names.link(settings.least)));
        let files = match &settings.directory {
            None => None,
            Some(directory) => Some(LogFiles::new(directory, names, FULL).map_err(|error| {
                LogError::Directory { directory: directory.display().to_string(), error }
            })?),
        };
        let queue = Arc::new(Queue::default());
        let level = LevelHandle::new(settings.least, settings.verbosity);
        let writer = Writer {
            queue: queue.clone(),
            console: settings.console,
            quiet: settings.quiet,
            files,
            hold: settings.hold,
        };
        let (end, ended) = channel();
        std::thread::Builder::new()
            .name("log".to_string())
            .spawn(|| writer.run(end))
            .map_err(LogError::Thread)?;
        let layer = LogLayer { level: level.clone(), queue: queue.clone() };
        let file = settings.external.or(written);
        Ok((Logging { queue, ended, level, file }, layer))
    }

    /// The file that `/files` and the web page show as the log, if there is one.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// The level, to be changed while the program runs.
    pub fn level(&self) -> LevelHandle {
        self.level.clone()
    }

    /// Waits a moment until what was logged so far is written.
    pub fn flush(&self) {
        self.queue.flush(PATIENCE);
    }

    /// The last lines are written, if that takes no more than a moment.
    pub fn finish(self) {}
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.queue.close();
        // Whether it ended or time is up, there is nothing more to do.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

/// For the names of files: who runs this, by name where the environment tells it.
fn user(name: Option<String>, number: u32) -> String {
    match name.filter(|name| !name.is_empty() && !name.contains('/')) {
        Some(name) => name,
        None if number == 0 => "root".to_string(),
        None => format!("uid{number}"),
    }
}

fn end_unless_pooled(thread: &str) {
    if !thread.starts_with(POOLED) {
        std::process::abort();
    }
}

/// A panic is a fatal line, with its backtrace if RUST_BACKTRACE asks for one. When that is written, `then` is told the
/// name of the thread.
fn log_panics(queue: Arc<Queue>, then: impl Fn(&str) + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |panic| {
        let (file, number) = panic.location().map_or(("unknown", 0), |place| (place.file(), place.line()));
        let message = panic.payload_as_str().unwrap_or("a value that is no text");
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let backtrace = Backtrace::capture();
        let mut texts = vec![format!("thread '{name}' panicked: {message}")];
        if backtrace.status() == BacktraceStatus::Captured {
            texts.extend(backtrace.to_string().lines().map(str::to_string));
        }
        for text in texts {
            queue.push(Line::new(Severity::Fatal, &crate::time::now(), layer::thread(), file, number, &text));
        }
        queue.flush(PATIENCE);
        then(name);
    }));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Console(Arc<Mutex<Vec<u8>>>);

    impl Write for Console {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Standard error when nobody reads it any more.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }

    fn settings(console: impl Write + Send + 'static) -> Settings {
        Settings {
            program: "mesos-master".to_string(),
            least: Severity::Info,
            verbosity: 0,
            quiet: false,
            directory: None,
            external: None,
            hold: Duration::ZERO,
            console: Box::new(console),
        }
    }

    /// What standard error gets of what `body` logs.
    fn console(change: impl FnOnce(&mut Settings), body: impl FnOnce(&Logging)) -> Vec<String> {
        let console = Console::default();
        let mut settings = settings(console.clone());
        change(&mut settings);
        let (logging, layer) = Logging::new(settings).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || body(&logging));
        logging.finish();
        let text = String::from_utf8(console.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| line.split_once("] ").map_or(line, |(_, message)| message).to_string())
            .collect()
    }

    #[test]
    fn fields_stand_behind_the_message() {
        let lines = console(|_| {}, |_| tracing::info!(agent = "S0", tasks = 3, "agent {} registered", 1));
        assert_eq!(lines, ["agent 1 registered agent=S0 tasks=3"]);
    }

    #[test]
    fn the_level_decides_and_can_be_changed() {
        let all = |logging: &Logging| {
            for _ in 0..2 {
                tracing::error!("error");
                tracing::info!("info");
                tracing::debug!("debug");
                logging.level().toggle(1, Duration::from_secs(3600)).unwrap();
            }
        };
        assert_eq!(console(|_| {}, all), ["error", "info", "error", "info", "debug"]);
        let only_errors = |settings: &mut Settings| settings.least = Severity::Error;
        assert_eq!(
            console(only_errors, |_| {
                tracing::warn!("warning");
                tracing::error!("error")
            }),
            ["error"]
        );
    }

    #[test]
    fn libraries_are_heard_when_something_is_wrong() {
        let lines = console(
            |_| {},
            |_| {
                tracing::info!(target: "hyper::proto", "chatter");
                tracing::warn!(target: "hyper::proto", "trouble");
            },
        );
        assert_eq!(lines, ["trouble"]);
    }

    #[test]
    fn quiet_leaves_standard_error_alone_and_files_get_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        let mut file = None;
        let lines = console(
            |settings| {
                settings.quiet = true;
                settings.directory = Some(path);
            },
            |logging| {
                tracing::info!("to the file");
                file = logging.file().map(|file| file.to_path_buf());
            },
        );
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(file.as_deref(), Some(directory.path().join("mesos-master.INFO").as_path()));
        assert!(std::fs::read_to_string(file.unwrap()).unwrap().ends_with("] to the file\n"));
    }

    #[test]
    fn lines_that_are_held_back_are_written_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        let change = |settings: &mut Settings| {
            settings.directory = Some(path);
            settings.hold = Duration::from_secs(3600);
        };
        console(change, |logging| {
            tracing::info!("held");
            logging.flush();
            assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "nothing is written yet");
        });
        let text = std::fs::read_to_string(directory.path().join("mesos-master.INFO")).unwrap();
        assert!(text.ends_with("] held\n"), "{text}");
    }

    #[test]
    fn an_external_file_is_shown_before_our_own() {
        let directory = tempfile::tempdir().unwrap();
        let change = |settings: &mut Settings| {
            settings.directory = Some(directory.path().to_path_buf());
            settings.external = Some("/var/log/syslog".into());
        };
        console(change, |logging| {
            assert_eq!(logging.file().and_then(|file| file.to_str()), Some("/var/log/syslog"))
        });
    }

    #[test]
    fn a_closed_standard_error_stops_nothing() {
        let (logging, layer) = Logging::new(settings(Closed)).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || tracing::info!("unheard"));
        logging.flush();
        logging.finish();
    }

    #[test]
    fn a_panic_is_a_fatal_line_even_when_quiet() {
        let console = Console::default();
        let mut settings = settings(console.clone());
        settings.quiet = true;
        let (logging, _layer) = Logging::new(settings).unwrap();
        let before = std::panic::take_hook();
        log_panics(logging.queue.clone(), |_| ());
        let thread = std::thread::Builder::new().name("worker".to_string());
        thread.spawn(|| panic!("out of\norder")).unwrap().join().unwrap_err();
        std::panic::set_hook(before);
        let text = String::from_utf8(console.0.lock().unwrap().clone()).unwrap();
        let line = text.lines().find(|line| line.contains("thread 'worker' panicked")).unwrap();
        assert!(line.starts_with('F') && line.contains(" lib.rs:"), "{line}");
        assert!(line.ends_with("panicked: out of\\norder"), "{line}");
    }

    #[test]
    fn a_panic_ends_the_process_unless_only_a_request_was_lost() {
        const THREAD: &str = "MESSOR_TEST_PANICKING_THREAD";
        if let Ok(name) = std::env::var(THREAD) {
            let (logging, _layer) = Logging::new(settings(std::io::stderr())).unwrap();
            log_panics(logging.queue.clone(), end_unless_pooled);
            let thread = std::thread::Builder::new().name(name);
            thread.spawn(|| panic!("out of order")).unwrap().join().unwrap_err();
            return;
        }
        let this = "tests::a_panic_ends_the_process_unless_only_a_request_was_lost";
        for (thread, ends) in [("allocator", true), ("tokio-rt-worker", false)] {
            let program = std::env::current_exe().unwrap();
            let mut again = std::process::Command::new(program);
            let ran = again.args(["--exact", this, "--nocapture"]).env(THREAD, thread).output().unwrap();
            let said = String::from_utf8_lossy(&ran.stderr);
            assert!(said.contains(&format!("thread '{thread}' panicked: out of order")), "{said}");
            assert_eq!(ran.status.signal().is_some(), ends, "{thread}: {said}");
        }
    }

    /// Standard error when it is a full pipe: the first write waits for the word.
    struct Stuck {
        word: Option<Receiver<()>>,
        console: Console,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if let Some(word) = self.word.take() {
                word.recv().unwrap();
            }
            self.console.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_lost_lines_are_counted() {
        let console = Console::default();
        let (say, word) = channel();
        let (logging, layer) =
            Logging::new(settings(Stuck { word: Some(word), console: console.clone() })).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        let long = "x".repeat(1000);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..10_000 {
                tracing::info!("{long}");
            }
        });
        say.send(()).unwrap();
        logging.finish();
        let text = String::from_utf8(console.0.lock().unwrap().clone()).unwrap();
        let written = text.lines().filter(|line| line.ends_with("xxx")).count();
        let word = text.lines().find(|line| line.contains(" lines were lost")).unwrap();
        let lost: usize = word.split("] ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(lost > 1000, "{word}");
        assert_eq!(written + lost, 10_000);
    }

    #[test]
    fn files_are_named_after_a_user() {
        assert_eq!(user(Some("mesos".to_string()), 1), "mesos");
        assert_eq!(user(Some("../mesos".to_string()), 1), "uid1");
        assert_eq!(user(None, 0), "root");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error() {
        let mut settings = settings(Closed);
        settings.directory = Some("/proc/no/such".into());
        let error = Logging::new(settings).err().unwrap().to_string();
        assert!(error.starts_with("--log_dir: cannot make directory '/proc/no/such'"), "{error}");
    }
}
