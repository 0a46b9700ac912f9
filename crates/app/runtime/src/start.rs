//! From a command line to a listening port: flags, log, address.

use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use messor_flags::{LibprocessFlags, LoggingFlags, Program, Request, Source, TLS, TlsFlags};
use messor_http_api::{Logging, Pace};
use messor_log::{LevelHandle, Surroundings};
use messor_net::{BindError, Server, ServerOptions, address};

/// What ends a daemon that could not begin, in words for its user.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Words(String),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Address(#[from] address::AddressError),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A daemon whose flags are read and whose log is open.
pub struct Daemon<F> {
    pub flags: F,
    pub libprocess: LibprocessFlags,
    pub logging: messor_log::Logging,
}

/// Prints an answer. A reader that has closed its end has seen enough.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Tells the user what is wrong, where the log is not open or goes elsewhere.
pub fn complain(text: &str) {
    // Nothing is left to tell anybody if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The environment but for SSL_CERT_FILE while TLS is not asked for: machines set it for OpenSSL's other users.
struct TlsSurroundings;

impl Source for TlsSurroundings {
    fn variables(&self) -> Vec<(String, String)> {
        let mut all = Surroundings.variables();
        if !all.iter().any(|(name, _)| name.ends_with("SSL_ENABLED")) {
            all.retain(|(name, _)| name != "SSL_CERT_FILE");
        }
        all
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        Surroundings.read_file(path)
    }

    fn host_default(&self, flag: &str) -> Option<String> {
        Surroundings.host_default(flag)
    }
}

/// Reads flags and begins the log. Help, version and wrong flags end here, with the exit code.
pub fn start<F: Program>(
    arguments: &[String],
    logging_of: impl Fn(&F) -> &LoggingFlags,
) -> Result<Daemon<F>, ExitCode> {
    let name = F::NAME;
    let wrong = |error: &dyn std::fmt::Display| {
        complain(&format!("{name}: {error}"));
        ExitCode::FAILURE
    };
    let parsed = match messor_flags::parse::<F>(arguments, &Surroundings) {
        Ok(Request::Run(parsed)) => parsed,
        Ok(Request::Help(text) | Request::Version(text)) => {
            return Err(say(text.trim_end()));
        }
        Err(error) => return Err(wrong(&format!("{error}\nSee `{name} --help`."))),
    };
    let (libprocess, more) =
        messor_flags::parse_environment::<LibprocessFlags>(messor_flags::LIBPROCESS, &Surroundings)
            .map_err(|error| wrong(&error))?;
    // Read so that what is not built is refused in place of ignored.
    let (_, about_tls) =
        messor_flags::parse_environment::<TlsFlags>(TLS, &TlsSurroundings).map_err(|error| wrong(&error))?;
    let logging = messor_log::begin(name, logging_of(&parsed.flags)).map_err(|error| wrong(&error))?;
    for warning in parsed.warnings.iter().chain(&more).chain(&about_tls) {
        tracing::warn!("{warning}");
    }
    Ok(Daemon { flags: parsed.flags, libprocess, logging })
}

/// The flags about the address, which master and agent have alike.
#[derive(Clone, Debug, Default)]
pub struct Address {
    pub ip: Option<String>,
    pub port: u16,
    pub advertise_ip: Option<String>,
    pub advertise_port: Option<u16>,
    pub ip_discovery_command: Option<String>,
    pub hostname: Option<String>,
    pub hostname_lookup: bool,
}

pub struct Listening {
    pub server: Server,
    /// The name that others are told.
    pub hostname: String,
}

fn ip(flag: &str, text: Option<&str>) -> Result<Option<IpAddr>, Failure> {
    let parse =
        |text: &str| text.parse().map_err(|_| Failure::Words(format!("--{flag}: '{text}' is no IP address")));
    text.map(parse).transpose()
}

/// Opens the port. The command line wins over LIBPROCESS_* in the environment.
pub async fn listen(flags: &Address, libprocess: &LibprocessFlags) -> Result<Listening, Failure> {
    let discovered = match &flags.ip_discovery_command {
        Some(command) => Some(address::discover_ip(command)?),
        None => None,
    };
    let own = ip("ip", flags.ip.as_deref().or(libprocess.ip.as_deref()))?;
    let advertised =
        ip("advertise_ip", flags.advertise_ip.as_deref().or(libprocess.advertise_ip.as_deref()))?;
    let server = Server::bind(ServerOptions {
        ip: discovered.or(own),
        port: flags.port,
        advertise_ip: advertised,
        advertise_port: flags.advertise_port.or(libprocess.advertise_port),
        require_peer_address_ip_match: libprocess.require_peer_address_ip_match,
        ..ServerOptions::default()
    })
    .await?;
    let address = server.net().address();
    let hostname = match &flags.hostname {
        Some(name) => name.clone(),
        None if flags.hostname_lookup => address::hostname_of(address.ip())?,
        None => address.ip().to_string(),
    };
    Ok(Listening { server, hostname })
}

/// How often /metrics/snapshot is answered, where there is a limit.
pub fn snapshot_pace(libprocess: &LibprocessFlags) -> Result<Option<Arc<Pace>>, Failure> {
    let limit = libprocess.metrics_snapshot_endpoint_rate_limit.as_deref().filter(|limit| !limit.is_empty());
    let pace = limit.map(Pace::parse).transpose();
    let wrong = |error| Failure::Words(format!("LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT: {error}"));
    Ok(pace.map_err(wrong)?.map(Arc::new))
}

/// How long the end of a program may wait for its last messages.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT comes, which `stop` is told before any connection is closed, or the machine wants to end.
pub async fn serve<H, F>(
    server: Server,
    handler: H,
    machine_over: impl Future<Output = ()>,
    stop: impl FnOnce(),
) -> std::io::Result<()>
where
    H: Fn(messor_net::Request, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = messor_net::Response> + Send + 'static,
{
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let net = server.net();
    let housekeeping = tokio::spawn(crate::memory::give_back_when_quiet());
    server
        .serve(handler, async move {
            tokio::select! {
                _ = terminate.recv() => {
                    tracing::info!("received SIGTERM: ending");
                    stop();
                }
                _ = interrupt.recv() => {
                    tracing::info!("received SIGINT: ending");
                    stop();
                }
                () = machine_over => (),
            }
        })
        .await;
    // Last words, such as a refusal to an agent, still go out.
    net.finish(LAST_WORDS).await;
    housekeeping.abort();
    Ok(())
}

/// The log's level, as the endpoints change it.
pub struct LevelLogging(pub LevelHandle);

impl Logging for LevelLogging {
    fn level(&self) -> u32 {
        self.0.verbosity()
    }

    fn set_level(&self, level: u32, duration: Duration) -> Result<(), String> {
        self.0.toggle(level, duration).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    /// Of what happens when a thread panics: see `messor_log::begin`.
    #[test]
    fn requests_run_on_pooled_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let name = || std::thread::current().name().unwrap_or_default().to_string();
        let names = runtime.block_on(async {
            let worker = tokio::spawn(async move { name() }).await.unwrap();
            [worker, tokio::task::spawn_blocking(name).await.unwrap()]
        });
        assert!(names.iter().all(|name| name.starts_with(messor_log::POOLED)), "{names:?}");
    }
}
