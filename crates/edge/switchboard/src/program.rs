//! The program: takes over the files, listens, and ends when all output has ended and been told.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use messor_flags::{Source, SwitchboardFlags};
use messor_proto::mesos::agent::process_io::data;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::files::{Files, FilesError};
use crate::output::Output;
use crate::server::Server;

/// The socket appears under its name only when it is listened to; until then it has this ending.
const PROVISIONAL: &str = ".provisional";

/// How long those attached get to read the last output.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// After the end, how often it is looked whether all is told.
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error("--socket_address is required: give --socket_address=PATH")]
    NoSocket,
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("cannot listen at {path}")]
    Listen {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("cannot set up this process")]
    SetUp(#[source] io::Error),
    #[error("failed redirecting output: {0}")]
    Output(String),
}

/// Runs `mesos-io-switchboard` with these words (without the program's name) to its end.
pub fn main(words: &[String]) -> ExitCode {
    let flags: SwitchboardFlags = match messor_log::flags(words, &Surroundings, say) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            say(&format!("{error}{}", cause.unwrap_or_default()));
            ExitCode::FAILURE
        }
    }
}

/// To the container's standard error, which this program's own is. Nobody is left to tell when that cannot be written.
fn say(text: &str) {
    let _ = io::stderr().write_all(format!("mesos-io-switchboard: {text}\n").as_bytes());
}

/// Without an environment: an agent starts it, and says everything.
struct Surroundings;

impl Source for Surroundings {
    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        messor_log::Surroundings.read_file(path)
    }
}

fn run(flags: &SwitchboardFlags) -> Result<(), ProgramError> {
    let socket = PathBuf::from(flags.socket_address.as_ref().ok_or(ProgramError::NoSocket)?);
    let files = Files::take(flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .map_err(ProgramError::SetUp)?;
    let outcome = runtime.block_on(serve(flags, files, &socket));
    // Threads that still read or write do not hold the program up.
    runtime.shutdown_background();
    outcome
}

async fn serve(flags: &SwitchboardFlags, files: Files, socket: &Path) -> Result<(), ProgramError> {
    let mut unblock = signal(SignalKind::terminate()).map_err(ProgramError::SetUp)?;
    let listener =
        listen(socket).map_err(|error| ProgramError::Listen { path: socket.to_path_buf(), error })?;
    let mut streams = vec![(data::Type::Stdout, files.stdout, files.stdout_log)];
    streams.extend(files.stderr.map(|stderr| (data::Type::Stderr, stderr, files.stderr_log)));
    let output = Output::start(streams, flags.tty, flags.wait_for_connection).map_err(ProgramError::SetUp)?;
    let server = Server::new(Arc::clone(&output), files.stdin, flags.tty).map_err(ProgramError::SetUp)?;
    if let Some(interval) = flags.heartbeat_interval.filter(|interval| !interval.is_zero()) {
        let output = Arc::clone(&output);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            loop {
                ticks.tick().await;
                output.heartbeat(interval);
            }
        });
    }
    let mut ended = output.ended();
    loop {
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => break,
            // Whoever was to attach will not any more.
            _ = unblock.recv() => output.begin(),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => converse(&server, stream),
                Err(error) => {
                    say(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    let begin = Instant::now();
    while server.requests() > 0 && begin.elapsed() < LAST_WORDS {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    match output.failure() {
        Some(failure) => Err(ProgramError::Output(failure)),
        None => Ok(()),
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let provisional = PathBuf::from(format!("{}{PROVISIONAL}", path.display()));
    let listener = UnixListener::bind(&provisional)?;
    // Only the agent connects, which decides who may attach.
    std::fs::set_permissions(&provisional, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    std::fs::rename(&provisional, path)?;
    Ok(listener)
}

fn converse(server: &Arc<Server>, stream: UnixStream) {
    let counted = server.count();
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let handle = service_fn(|request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, std::convert::Infallible>(server.handle(request).await) }
        });
        // A connection carries one request: what follows its answer is the end.
        let conversation =
            http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), handle);
        if let Err(error) = conversation.await {
            say(&format!("a connection ended: {error}"));
        }
        drop(counted);
    });
}
