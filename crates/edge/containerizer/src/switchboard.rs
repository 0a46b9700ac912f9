//! `io/switchboard`: between a container that clients may attach to and its standard streams stands a process of its
//! own, `mesos-io-switchboard`. It outlives the agent, and ends when the container's output has ended and been told.
//!
//! Kept in `io_switchboard` of the container's runtime directory, as Apache Mesos has it: `pid`, and in `socket` the
//! path where it listens. It must not know what goes through it, nor who attaches.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messor_checkpoint::write_file;
use messor_containers::Kind;
use messor_isolators::{Container, Isolator, IsolatorError, Limitations, Recovered};
use messor_linux::spawn::{Launch, Session, Stdio};
use messor_linux::terminals::Terminal;
use messor_linux::users::Identity;
use messor_linux::{Exit, Pid, Signal, wait};
use messor_proto::mesos::slave::{ContainerClass, ContainerConfig, ContainerLaunchInfo, ContainerLimitation};
use messor_proto::mesos::{CommandInfo, Environment, task_status::Reason};
use messor_types::ContainerId;
use tokio::runtime::Handle;

use crate::containerizer::Config;
use crate::fault::{self, Amid};
use crate::fetching::is_passed_on;
use crate::logging;
use crate::processes;
use crate::runtime::{Presence, RuntimeDir};

pub(crate) const NAME: &str = "io/switchboard";
const PROGRAM: &str = "mesos-io-switchboard";
const DIRECTORY: &str = "io_switchboard";
const SOCKET: &str = "socket";

/// Sockets are here below the runtime directory, as long as their path fits the kernel's address.
const SOCKETS: &str = "io_switchboards";
/// Otherwise, as Apache Mesos has them.
const OTHER_SOCKETS: &str = "/tmp";
const SOCKET_PATH_BYTES: usize = 107;
/// What a socket is called until it is listened to: by the program of this house, and by Apache Mesos's.
const PROVISIONAL: [&str; 2] = [".provisional", "_provisional"];

/// Whoever launched a session attaches to it right afterwards, even if the session is over by then.
const ATTACH_PATIENCE: Duration = Duration::from_secs(5);
/// Clients get so long to read the last output. The program itself gives them 30 seconds.
const READ_PATIENCE: Duration = Duration::from_secs(35);
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

/// What 1.11.0 says of a container that nobody can attach to; its command line looks for these words.
const DISABLED: &str = "I/O switchboard server was disabled for this container";

/// The standard streams of a container's first process.
pub(crate) enum Streams {
    Pipes {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// `controlling`: of the first process. A command executor leaves it to its task.
    Terminal {
        slave: OwnedFd,
        controlling: bool,
    },
}

impl Streams {
    /// Where one can say what the container itself cannot.
    pub fn complaints(&self) -> io::Result<OwnedFd> {
        match self {
            Streams::Pipes { stderr, .. } => stderr.try_clone(),
            Streams::Terminal { slave, .. } => slave.try_clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Switchboards(Arc<Shared>);

struct Shared {
    config: Config,
    limitations: Arc<dyn Limitations>,
    runtime: Handle,
    boards: Mutex<BTreeMap<ContainerId, Board>>,
}

struct Board {
    socket: Option<PathBuf>,
    /// None: there was none when this agent began.
    server: Option<Arc<Server>>,
    /// Until the container is forked.
    streams: Option<Streams>,
    /// Then it is given the time for that when its container has ended.
    somebody_may_attach: bool,
}

/// A process that was there when this agent learned of it.
struct Server {
    pid: i32,
    /// It stands for the process even if another has its number. None before Linux 5.3.
    descriptor: Option<OwnedFd>,
    over: Mutex<bool>,
    changed: Condvar,
}

impl Server {
    fn new(pid: i32) -> Server {
        let descriptor = Pid::from_raw(pid).and_then(|pid| wait::pid_descriptor(pid).ok());
        Server { pid, descriptor, over: Mutex::new(false), changed: Condvar::new() }
    }

    fn over(&self) -> MutexGuard<'_, bool> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has ended within this time.
    fn ends_within(&self, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.over(), patience, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn signal(&self, signal: Signal) {
        let sent = match (&self.descriptor, Pid::from_raw(self.pid)) {
            (Some(descriptor), _) => rustix::process::pidfd_send_signal(descriptor, signal),
            (None, Some(pid)) => rustix::process::kill_process(pid, signal),
            (None, None) => Ok(()),
        };
        match sent {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::warn!("The I/O switchboard (pid {}) takes no signal: {error}", self.pid),
        }
    }

    /// Gives clients time to read the last output, and waits for its end.
    fn end(&self, somebody_may_attach: bool) -> io::Result<()> {
        let patience = if somebody_may_attach { ATTACH_PATIENCE } else { Duration::ZERO };
        if self.ends_within(patience) {
            return Ok(());
        }
        // It waits for nobody to attach any more.
        self.signal(Signal::TERM);
        if self.ends_within(READ_PATIENCE) {
            return Ok(());
        }
        tracing::warn!("The I/O switchboard (pid {}) does not end, and is killed", self.pid);
        self.signal(Signal::KILL);
        match self.ends_within(DEATH_PATIENCE) {
            true => Ok(()),
            false => Err(io::Error::other(format!("process {} was killed and is still there", self.pid))),
        }
    }
}

/// As in 1.11.0: for sessions, and for what has a terminal.
fn is_wanted(config: &ContainerConfig) -> bool {
    config.container_class() == ContainerClass::Debug || has_terminal(config)
}

fn has_terminal(config: &ContainerConfig) -> bool {
    config.container_info.as_ref().is_some_and(|info| info.tty_info.is_some())
}

impl Switchboards {
    pub fn new(config: Config, limitations: Arc<dyn Limitations>, runtime: Handle) -> Switchboards {
        Switchboards(Arc::new(Shared { config, limitations, runtime, boards: Mutex::default() }))
    }

    fn boards(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Board>> {
        self.0.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The streams for the first process of a container, once. None: it writes to its sandbox.
    pub fn take(&self, container: &ContainerId) -> Option<Streams> {
        self.boards().get_mut(container)?.streams.take()
    }

    /// Where clients of the container are served.
    pub fn socket(&self, container: &ContainerId) -> Result<PathBuf, String> {
        let boards = self.boards();
        let board = boards.get(container).ok_or(DISABLED)?;
        match (&board.server, &board.socket) {
            (Some(server), Some(socket)) if !*server.over() => Ok(socket.clone()),
            _ => Err("I/O switchboard has shutdown".to_string()),
        }
    }

    fn directory(&self, container: &ContainerId) -> RuntimeDir {
        RuntimeDir::of(&self.0.config.runtime_dir, container).part(DIRECTORY)
    }

    /// A path for a new socket that nobody can guess.
    fn new_socket(&self) -> io::Result<PathBuf> {
        let mut number = [0; 16];
        messor_linux::random(&mut number)?;
        let number = u128::from_ne_bytes(number);
        let longest = PROVISIONAL.iter().map(|ending| ending.len()).max().unwrap_or_default();
        let directory = self.0.config.runtime_dir.join(SOCKETS);
        let path = directory.join(format!("{number:032x}"));
        if path.as_os_str().len() + longest <= SOCKET_PATH_BYTES {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
            return Ok(path);
        }
        Ok(Path::new(OTHER_SOCKETS).join(format!("{PROGRAM}-{number:032x}")))
    }

    fn start(&self, container: &Container) -> Result<ContainerLaunchInfo, IsolatorError> {
        let failed = |what: &str| {
            let what = what.to_string();
            move |error: io::Error| IsolatorError::Failed(what, error)
        };
        let config = &container.config;
        let identity = match &config.user {
            Some(user) => Some(Identity::of(user, &[]).map_err(|e| IsolatorError::Invalid(e.to_string()))?),
            None => None,
        };
        let socket = self.new_socket().map_err(failed("its socket cannot be named"))?;
        let directory = self.directory(&container.id);
        // Before it is there, so that whatever becomes of this agent, its socket is removed.
        let noted = write_file(&directory.path().join(SOCKET), socket.to_string_lossy().as_bytes());
        noted.map_err(io::Error::other).map_err(failed("its socket cannot be noted"))?;

        let kind = fault::kind(container);
        Amid::SocketNoted.pass(kind);

        let mut info = ContainerLaunchInfo::default();
        let (theirs, streams) = if has_terminal(config) {
            let terminal = Terminal::open().map_err(failed("a terminal cannot be made"))?;
            if let Some(identity) = &identity {
                std::os::unix::fs::fchown(&terminal.slave, Some(identity.uid), None)
                    .map_err(failed("the terminal cannot be given to its user"))?;
            }
            let size = config.container_info.as_ref().and_then(|info| info.tty_info.as_ref()?.window_size);
            if let Some(size) = size {
                let cut = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
                terminal
                    .set_size(cut(size.rows), cut(size.columns))
                    .map_err(failed("the terminal cannot be given its size"))?;
            }
            let path = terminal.path.to_string_lossy().into_owned();
            let controlling = config.task_info.is_none();
            if !controlling {
                let argument = format!("--tty_slave_path={path}");
                info.command = Some(CommandInfo { arguments: vec![argument], ..CommandInfo::default() });
            }
            info.tty_agent_path = Some(path);
            (vec![terminal.master], Streams::Terminal { slave: terminal.slave, controlling })
        } else {
            let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from);
            let made = || Ok(([pipe()?, pipe()?], pipe()?));
            let made: io::Result<_> = made();
            let ([input, output], errors) = made.map_err(failed("pipes cannot be made"))?;
            let streams = Streams::Pipes { stdin: input.0, stdout: output.1, stderr: errors.1 };
            (vec![input.1, output.0, errors.0], streams)
        };
        let logs = ContainerLaunchInfo {
            environment: Switchboards::environment_of_logs(config),
            user: config.user.clone(),
            ..ContainerLaunchInfo::default()
        };
        let (root, sandbox) = (container.root_sandbox(), Path::new(&config.directory));
        let (stdout, stderr) = logging::outputs(&logs, root, sandbox, identity.as_ref(), &self.0.config)
            .map_err(io::Error::other)
            .map_err(failed("its output cannot be logged"))?;
        let launch = self.launch(config, &theirs, &socket, stdout.into(), stderr.into());
        let launch = Launch { keep: theirs, ..launch };
        // If this agent ends before its process is noted, its program is never run.
        let note = |pid: Pid| {
            directory.note_process(pid.as_raw_pid())?;
            Amid::SwitchboardNoted.pass(kind);
            Ok(())
        };
        let pid = launch.start_when(note).map_err(io::Error::other).map_err(failed("it does not start"))?;
        let server = Arc::new(Server::new(pid.as_raw_pid()));
        let board = Board {
            socket: Some(socket),
            server: Some(server.clone()),
            streams: Some(streams),
            somebody_may_attach: true,
        };
        self.boards().insert(container.id.clone(), board);
        self.watch(container.id.clone(), server);
        Ok(info)
    }

    /// Where a container says how its logs are to be rotated: an executor in its command.
    fn environment_of_logs(config: &ContainerConfig) -> Option<Environment> {
        let of_executor = config.executor_info.as_ref().and_then(|executor| executor.command.as_ref());
        of_executor.unwrap_or(&config.command_info).environment.clone()
    }

    fn launch(
        &self,
        config: &ContainerConfig,
        theirs: &[OwnedFd],
        socket: &Path,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Launch {
        let number = |index: usize| theirs.get(index).or(theirs.first()).map_or(-1, AsRawFd::as_raw_fd);
        let session = config.container_class() == ContainerClass::Debug;
        let arguments = [
            PROGRAM.to_string(),
            format!("--tty={}", has_terminal(config)),
            format!("--stdin_to_fd={}", number(0)),
            format!("--stdout_from_fd={}", number(1)),
            "--stdout_to_fd=1".to_string(),
            format!("--stderr_from_fd={}", number(2)),
            "--stderr_to_fd=2".to_string(),
            format!("--wait_for_connection={session}"),
            format!("--socket_address={}", socket.display()),
            format!("--heartbeat_interval={}", messor_stdx::format_duration(self.0.config.heartbeat)),
        ];
        let mut environment: Vec<_> = std::env::vars_os().filter(|(name, _)| is_passed_on(name)).collect();
        // Apache Mesos's program, where that is the one installed, looks for an address of its host without it.
        environment.push(("LIBPROCESS_IP".into(), "127.0.0.1".into()));
        Launch {
            arguments: arguments.map(Into::into).to_vec(),
            environment,
            directory: Some(PathBuf::from("/")),
            stdin: Stdio::Null,
            stdout,
            stderr,
            session: Session::New,
            ..Launch::new(self.0.config.switchboard.path.clone())
        }
    }

    fn watch(&self, container: ContainerId, server: Arc<Server>) {
        let boards = self.clone();
        self.0.runtime.spawn(async move {
            if let Err(error) = processes::ended(server.pid).await {
                tracing::error!("The I/O switchboard of container {container} cannot be watched: {error}");
            }
            // None: it was not started by this agent, so how it ended cannot be known.
            let exit = processes::reap(server.pid).unwrap_or_default();
            boards.ended(&container, exit);
            *server.over() = true;
            server.changed.notify_all();
        });
    }

    /// Without it, the container cannot go on in good order.
    fn ended(&self, container: &ContainerId, exit: Option<Exit>) {
        let Some(exit) = exit.filter(|exit| !exit.success()) else { return };
        tracing::warn!("The I/O switchboard of container {container} {exit}");
        let limitation = ContainerLimitation {
            resources: Vec::new(),
            message: Some(format!("'IOSwitchboard' {exit}")),
            reason: Some(Reason::IoSwitchboardExited.into()),
        };
        self.0.limitations.exceeded(container, limitation);
    }
}

impl Isolator for Switchboards {
    fn name(&self) -> &'static str {
        NAME
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        let mut known = Vec::new();
        for id in going_on.iter().map(|found| &found.container.id).chain(orphans) {
            let directory = self.directory(id);
            if !directory.path().is_dir() {
                continue;
            }
            let socket = directory.text(SOCKET).map(PathBuf::from);
            // A process of Apache Mesos's is known by the name of its socket, which it was started with.
            let name = socket.as_ref().and_then(|path| path.file_name()).unwrap_or_default();
            let runs =
                |pid: &i32| matches!(directory.presence(*pid, &name.to_string_lossy()), Ok(Presence::Runs));
            let server = directory.pid().filter(runs).map(|pid| Arc::new(Server::new(pid)));
            known.extend(socket.clone());
            if let Some(server) = &server {
                self.watch(id.clone(), server.clone());
            }
            // A session ends with the agent that began it, and so did the connection of whoever wanted it.
            let somebody_may_attach = RuntimeDir::of(&self.0.config.runtime_dir, id).kind(id) != Kind::Debug;
            self.boards().insert(id.clone(), Board { socket, server, streams: None, somebody_may_attach });
        }
        self.remove_unknown_sockets(&known);
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        is_wanted(&container.config).then(|| self.start(container)).transpose()
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        let server = self.boards().get_mut(container).and_then(|board| {
            // Streams that nobody took would keep it waiting for more.
            board.streams = None;
            Some((board.server.clone()?, board.somebody_may_attach))
        });
        if let Some((server, somebody_may_attach)) = server {
            let failed = |error| IsolatorError::Failed("its process cannot be ended".to_string(), error);
            server.end(somebody_may_attach).map_err(failed)?;
        }
        if let Some(socket) = self.directory(container).text(SOCKET) {
            remove_socket(Path::new(&socket));
        }
        self.boards().remove(container);
        Ok(())
    }
}

impl Switchboards {
    /// Sockets in our own directory of which nothing is noted any more.
    fn remove_unknown_sockets(&self, known: &[PathBuf]) {
        for entry in
            std::fs::read_dir(self.0.config.runtime_dir.join(SOCKETS)).into_iter().flatten().flatten()
        {
            let path = entry.path();
            if !known.contains(&path) {
                remove_socket(&path);
            }
        }
    }
}

fn remove_socket(path: &Path) {
    for path in PROVISIONAL
        .map(|ending| PathBuf::from(format!("{}{ending}", path.display())))
        .iter()
        .chain([&path.to_path_buf()])
    {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("The socket {} cannot be removed: {error}", path.display());
            }
            _ => {}
        }
    }
}
