//! Masters to be measured, each a process of its own: Messor's, or the real one of Apache Mesos 1.11.0.

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use messor_proto::Wire;
use messor_proto::mesos::master::{Call, call};
use tempfile::TempDir;

use crate::client::{Client, JSON};
use crate::guard;
use crate::usage::{self, Memory};
use crate::waiting::until;

const START_TIME: Duration = Duration::from_secs(60);
const REAL_MASTER: &str = include_str!("real-master.py");
/// So long a master has nothing to do before its memory is looked at. Messor gives back what it freed within two seconds.
const REST: Duration = Duration::from_millis(2500);
/// Who did no more than this since it started has nothing to put in order.
const WORTH_A_REST: Duration = Duration::from_millis(40);
/// Of each thread; only what is used of it is memory.
const REAL_STACK_KB: usize = 1 << 20;

thread_local! {
    /// How the last master of this thread ended that nobody had killed.
    static DIED: Cell<Option<ExitStatus>> = const { Cell::new(None) };
}

/// Whether a master ended by itself since this was asked last, and how.
pub fn died() -> Option<ExitStatus> {
    DIED.take()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache Mesos 1.11.0.
    Real,
    Messor,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Real => "1.11.0",
            Kind::Messor => "Messor",
        })
    }
}

/// How masters are started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The binary `messor`.
    pub messor: PathBuf,
    /// The folder `oracle`.
    pub oracle: Option<PathBuf>,
    /// Where the oracle has unpacked itself.
    pub home: PathBuf,
}

impl Default for Programs {
    fn default() -> Programs {
        Programs {
            messor: messor_testkit::root().join("target/release/messor"),
            oracle: messor_testkit::oracle(),
            home: std::env::temp_dir().join("apache-mesos-1.11.0"),
        }
    }
}

pub struct Master {
    pub kind: Kind,
    pub address: SocketAddr,
    pub folder: TempDir,
    programs: Programs,
    /// `name=value`.
    flags: Vec<String>,
    child: Child,
    /// What was there before the master: Python, for the real one.
    base: Memory,
    /// From its start until it answered calls.
    pub ready: Duration,
}

/// Gone when it is dropped.
pub(crate) fn folder() -> Result<TempDir, String> {
    let folder = tempfile::Builder::new().prefix("messor-bench-").tempdir();
    folder.map_err(|error| format!("no temporary folder: {error}"))
}

/// A port that nobody listens at, at this moment.
pub(crate) fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    listener.and_then(|listener| listener.local_addr()).map_err(|error| format!("no free port: {error}"))
}

fn python27() -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let installed = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    installed
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("2.7"))
        .map(|entry| entry.path().join("bin/python"))
        .chain(std::env::var_os("PYTHON27").map(PathBuf::from))
        .last()
        .ok_or_else(|| {
            "no CPython 2.7 here (pyenv, or PYTHON27=path), which the real 1.11.0 needs".to_string()
        })
}

impl Programs {
    /// Whether this kind can be started, and what to do where not.
    pub fn check(&self, kind: Kind) -> Result<(), String> {
        match kind {
            Kind::Messor if self.messor.exists() => Ok(()),
            Kind::Messor => Err(format!(
                "{} is not there: `cargo build --release -p messor` builds it, or --messor FILE names another",
                self.messor.display()
            )),
            Kind::Real => {
                let oracle = self.oracle.as_deref();
                let oracle = oracle.ok_or("the oracle is not there: MESSOR_SHARED names its parent")?;
                python27()?;
                self.unpack(oracle)
            }
        }
    }

    /// The oracle unpacks itself when it is first started.
    fn unpack(&self, oracle: &Path) -> Result<(), String> {
        if self.home.join("ready").exists() {
            return Ok(());
        }
        let program = oracle.join("apache-mesos-local");
        let run = |arguments: &[&str]| {
            let done = Command::new(&program).arg("--home").arg(&self.home).args(arguments).output();
            let done = done.map_err(|error| format!("{}: {error}", program.display()))?;
            let said = || String::from_utf8_lossy(&done.stderr).trim().to_string();
            if done.status.success() { Ok(()) } else { Err(said()) }
        };
        let port = free_address()?.port().to_string();
        run(&["start", "--port", &port, "--agents", "1"])?;
        run(&["stop"])
    }

    fn command(
        &self,
        kind: Kind,
        address: SocketAddr,
        work_dir: &Path,
        flags: &[String],
    ) -> Result<Command, String> {
        match kind {
            Kind::Messor => {
                let mut command = Command::new(&self.messor);
                command.arg("master").arg(format!("--ip={}", address.ip()));
                command.arg(format!("--port={}", address.port())).arg("--hostname=localhost");
                command.arg(format!("--work_dir={}", work_dir.display()));
                command.args(flags.iter().map(|flag| format!("--{flag}")));
                command.env_clear();
                Ok(command)
            }
            Kind::Real => {
                // 1.11.0 goes on to the next call that waits by recursion: with some 7,500 calls that wait for the one before them a
                // stack of the usual 8 MB is full, and the master dies of SIGSEGV.
                let mut command = Command::new("/bin/sh");
                command.args(["-c", &format!("ulimit -s {REAL_STACK_KB} && exec \"$0\" \"$@\"")]);
                command.arg(python27()?).args(["-c", REAL_MASTER]).env_clear();
                command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
                command.env("ORACLE_HOME", &self.home).env("LD_LIBRARY_PATH", &self.home);
                command.env("LIBPROCESS_IP", address.ip().to_string());
                command.env("LIBPROCESS_PORT", address.port().to_string());
                command.env("MESOS_NUM_SLAVES", "0").env("MESOS_REGISTRY", "replicated_log");
                command.env("MESOS_HOSTNAME", "localhost").env("MESOS_WORK_DIR", work_dir);
                for flag in flags {
                    let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                    command.env(format!("MESOS_{}", name.to_uppercase()), value);
                }
                Ok(command)
            }
        }
    }
}

impl Master {
    pub fn start(programs: &Programs, kind: Kind, flags: &[String]) -> Result<Master, String> {
        programs.check(kind)?;
        let folder = folder()?;
        let address = free_address()?;
        let (child, base, ready) = spawn(programs, kind, address, folder.path(), flags)?;
        let (programs, flags) = (programs.clone(), flags.to_vec());
        Ok(Master { kind, address, folder, programs, flags, child, base, ready })
    }

    /// Kills it and starts it again, at the same address and with the same folder: a failover.
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill();
        let started = spawn(&self.programs, self.kind, self.address, self.folder.path(), &self.flags)?;
        (self.child, self.base, self.ready) = started;
        Ok(())
    }

    pub fn kill(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            DIED.set(Some(status));
        }
        end(&mut self.child);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Of the master, without what was there before it, when it has had some time without anything to do: what it holds, not what it
    /// needed to get there.
    pub fn memory(&self) -> Result<Memory, String> {
        if usage::cpu(self.pid())? >= WORTH_A_REST {
            // A stretch without anything to do is what is asked for; nothing is waited for.
            std::thread::sleep(REST);
        }
        let memory = usage::memory(self.pid())?;
        Ok(Memory {
            anonymous_bytes: memory.anonymous_bytes.saturating_sub(self.base.anonymous_bytes),
            resident_bytes: memory.resident_bytes.saturating_sub(self.base.resident_bytes),
        })
    }

    pub fn client(&self) -> Result<Client, String> {
        Client::connect(self.address)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills what was started and watched.
pub(crate) fn end(child: &mut Child) {
    // It is gone already if this fails.
    let _ = child.kill();
    let _ = child.wait();
    guard::forget(child.id());
}

fn spawn(
    programs: &Programs,
    kind: Kind,
    address: SocketAddr,
    folder: &Path,
    flags: &[String],
) -> Result<(Child, Memory, Duration), String> {
    let log_path = folder.join("log");
    let failed = |error: std::io::Error| format!("the master does not start: {error}");
    let log = std::fs::File::options().create(true).append(true).open(&log_path).map_err(failed)?;
    let mut command = programs.command(kind, address, &folder.join("work"), flags)?;
    command.stderr(log.try_clone().map_err(failed)?);
    command.stdin(Stdio::piped());
    match kind {
        Kind::Real => command.stdout(Stdio::piped()),
        Kind::Messor => command.stdout(log),
    };
    let health = Call { r#type: Some(call::Type::GetHealth as i32), ..Default::default() }.encode_bytes();
    guard::start()?;
    let mut start = Instant::now();
    let mut child = command.spawn().map_err(failed)?;
    let outcome = (|| {
        let mut base = Memory::default();
        let pid = child.id();
        guard::watch(pid)?;
        if let (Some(output), Some(input)) = (child.stdout.take(), &mut child.stdin) {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map_err(failed)?;
            base = usage::memory(pid)?;
            start = Instant::now();
            input.write_all(b"go\n").map_err(failed)?;
        }
        until("the master answers calls", START_TIME, Duration::from_millis(1), || {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("the master ended with {status}"));
            }
            // /health answers before the registry is recovered, when messages are dropped yet; calls are answered after it.
            let answer = Client::connect(address).and_then(|mut client| client.call(&health, JSON));
            Ok(answer.is_ok_and(|answer| answer.status == 200))
        })?;
        Ok::<_, String>((base, start.elapsed()))
    })();
    match outcome {
        Ok((base, ready)) => Ok((child, base, ready)),
        Err(error) => {
            end(&mut child);
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            Err(format!(
                "{error}; the end of its log: {}",
                last.into_iter().rev().collect::<Vec<_>>().join(" | ")
            ))
        }
    }
}
