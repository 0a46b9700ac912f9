//! Real agents of both kinds: how they are started, and what one costs that has nothing to do.
//!
//! The agent of 1.11.0 runs within its master's process here (its package has no program of its own for it), so what can be compared is a master with its agent: two processes of Messor beside one of 1.11.0. Beside the
//! memory of Messor's agent, a whole process, stands what one agent more takes in the process of 1.11.0, to which its libraries and threads cost nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{json, megabytes, millis};
use crate::client::Client;
use crate::figures::{Figures, Recorder};
use crate::guard;
use crate::masters::{Kind, Master, Programs, end, folder, free_address};
use crate::usage::{self, Memory, Meter, Span};
use crate::waiting::until;

/// What an agent starts.
const HELPERS: [&str; 6] = [
    "mesos-executor",
    "mesos-default-executor",
    "mesos-containerizer",
    "mesos-fetcher",
    "mesos-io-switchboard",
    "mesos-logrotate-logger",
];
const RESOURCES: &str = "resources=cpus:10000;mem:10000000;disk:10000000";
/// What both agents are told: containers are plain processes, so that 1.11.0 needs no privileges that it lacks here; and the pause
/// before registration, which is random, is as good as none.
const FLAGS: [&str; 5] = [
    "launcher=posix",
    "isolation=posix/cpu,posix/mem",
    "containerizers=mesos",
    "registration_backoff_factor=1ms",
    "systemd_enable_support=false",
];
const START_TIME: Duration = Duration::from_secs(60);
/// What is measured takes milliseconds.
const PAUSE: Duration = Duration::from_millis(1);
/// How many agents more are started in the process of 1.11.0 to see what one takes.
const MORE: usize = 4;

/// `name=value`, for the agent of Messor and for that of 1.11.0, which takes its flags with its master's.
pub(super) fn told_to_both(bin: &Path, folder: &Path) -> Vec<String> {
    let mut flags: Vec<String> = FLAGS.into_iter().chain([RESOURCES]).map(String::from).collect();
    flags.push(format!("launcher_dir={}", bin.display()));
    flags.push(format!("runtime_dir={}", folder.join("run").display()));
    flags
}

/// A folder with Messor's programs under their names.
pub(super) fn helpers(programs: &Programs, folder: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("no folder of programs: {error}");
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).map_err(failed)?;
    let messor = std::fs::canonicalize(&programs.messor).map_err(failed)?;
    for name in HELPERS {
        std::os::unix::fs::symlink(&messor, bin.join(name)).map_err(failed)?;
    }
    Ok(bin)
}

/// Messor's, a process of its own.
pub(super) struct Agent {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

impl Agent {
    pub(super) fn start(
        programs: &Programs,
        master: &Master,
        bin: &Path,
        folder: &Path,
    ) -> Result<Agent, String> {
        let failed = |error: std::io::Error| format!("the agent does not start: {error}");
        let log = std::fs::File::create(folder.join("agent.log")).map_err(failed)?;
        let address = free_address()?;
        let mut command = Command::new(&programs.messor);
        command
            .arg("agent")
            .arg(format!("--master={}", master.address))
            .arg(format!("--ip={}", address.ip()))
            .arg(format!("--port={}", address.port()))
            .arg("--hostname=localhost")
            .arg(format!("--work_dir={}", folder.join("agent").display()))
            .args(told_to_both(bin, folder).iter().map(|flag| format!("--{flag}")))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log);
        let started = Instant::now();
        let child = command.spawn().map_err(failed)?;
        guard::watch(child.id())?;
        Ok(Agent { child, address, started })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long it took from its start until it answered.
    fn answers(&self) -> Result<Duration, String> {
        until("the agent answers", START_TIME, PAUSE, || {
            let answer = Client::connect(self.address).and_then(|mut client| client.get("/slave(1)/health"));
            Ok(answer.is_ok_and(|answer| answer.status == 200))
        })?;
        Ok(self.started.elapsed())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn are_registered(master: &Master, agents: usize) -> Result<(), String> {
    until("agents are registered", START_TIME, PAUSE, || {
        let all = json(master, "/master/slaves")?;
        let active = all["slaves"].as_array().into_iter().flatten().filter(|agent| agent["active"] == true);
        Ok(active.count() == agents)
    })
}

struct Together {
    registered: Duration,
    memory: Memory,
    rest: Option<Span>,
}

/// 1.11.0 with so many agents in its process.
fn real(programs: &Programs, agents: usize, quiet: Option<Duration>) -> Result<Together, String> {
    let folder = folder()?;
    let bin = helpers(programs, folder.path())?;
    let mut flags = told_to_both(&bin, folder.path());
    flags.push(format!("num_slaves={agents}"));
    let master = Master::start(programs, Kind::Real, &flags)?;
    let ready = Instant::now();
    are_registered(&master, agents)?;
    let registered = master.ready + ready.elapsed();
    let rest = quiet.map(|quiet| usage::at_rest(&[master.pid()], quiet)).transpose()?;
    Ok(Together { registered, memory: master.memory()?, rest })
}

/// A master with an agent, and an agent alone.
pub fn run(programs: &Programs, kind: Kind, quiet: Duration, figures: &mut Figures) -> Result<(), String> {
    programs.check(Kind::Messor)?;
    let (together, more) = match kind {
        Kind::Real => {
            let together = real(programs, 1, Some(quiet))?;
            let larger = real(programs, 1 + MORE, None)?.memory.anonymous_bytes;
            let more = larger.saturating_sub(together.memory.anonymous_bytes) / MORE as u64;
            (together, more)
        }
        Kind::Messor => {
            let folder = folder()?;
            let bin = helpers(programs, folder.path())?;
            let master = Master::start(programs, kind, &[])?;
            let agent = Agent::start(programs, &master, &bin, folder.path())?;
            let both = [master.pid(), agent.pid()];
            let meter = Meter::of(&both)?;
            let answers = agent.answers()?;
            are_registered(&master, 1)?;
            let registered = agent.started.elapsed();
            let start = meter.stop()?;
            let rest = usage::at_rest(&both, quiet)?;
            let own_cpu = usage::at_rest(&[agent.pid()], quiet)?.master_rate();
            let (of_master, of_agent) = (master.memory()?, usage::memory(agent.pid())?);
            let size = "an agent alone".to_string();
            let mut recorder = Recorder { figures, kind, workload: "agent", size };
            recorder.less("answers", "ms", millis(answers), None);
            recorder.less("registered", "ms", millis(registered), None);
            recorder.less("resident memory", "MB", megabytes(of_agent.resident_bytes), None);
            recorder.less("CPU", "ms/s", own_cpu, None);
            recorder.span_of("until it is registered", start);
            let memory = Memory {
                anonymous_bytes: of_master.anonymous_bytes + of_agent.anonymous_bytes,
                resident_bytes: of_master.resident_bytes + of_agent.resident_bytes,
            };
            let registered = master.ready + registered;
            (Together { registered, memory, rest: Some(rest) }, of_agent.anonymous_bytes)
        }
    };
    let size = "an agent alone".to_string();
    let mut recorder = Recorder { figures, kind, workload: "agent", size };
    // A process beside a part of one: no ratio is told.
    recorder.tell("anonymous memory (1.11.0: of one more in its process)", "MB", megabytes(more));
    let size = "a master and an agent".to_string();
    let mut recorder = Recorder { figures, kind, workload: "agent", size };
    recorder.less("from the start to registered", "ms", millis(together.registered), None);
    recorder.less("anonymous memory", "MB", megabytes(together.memory.anonymous_bytes), None);
    recorder.less("resident memory", "MB", megabytes(together.memory.resident_bytes), None);
    if let Some(rest) = together.rest {
        recorder.less("CPU", "ms/s", rest.master_rate(), None);
        recorder.span_of("at rest", rest);
    }
    Ok(())
}
