//! Real containers of the posix kind: what runs in them, what is left of them.

mod fetch;
mod isolators;
mod life;
mod nested;
mod program;
mod recovery;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use messor_agent_core::{ContainerCommand, ContainerEvent, Launch};
use messor_containerizer::{Config, Containerizer, Launcher, Program, Reports, run_directory};
use messor_flags::{AgentFlags, ContainerFlags};
use messor_isolators::{Host, Isolator};
use messor_linux::procfs;
use messor_proto::mesos::{CommandInfo, ExecutorInfo, FrameworkId as WireFrameworkId, Resource, value};
use messor_types::ContainerId;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Passes all output on to the log, whoever is attached, and says how it was called.
const SWITCHBOARD: &str = r#"#!/bin/sh
for flag; do
    case $flag in
        --stdout_from_fd=*) output=${flag#*=} ;;
        --stderr_from_fd=*) errors=${flag#*=} ;;
        --socket_address=*) socket=${flag#*=} ;;
    esac
done
echo "$@" >"$socket"
[ "$output" = "$errors" ] || cat /proc/self/fd/$errors >&2 &
cat /proc/self/fd/$output
wait
true
"#;

struct Bench {
    work: TempDir,
    containerizer: Containerizer,
    events: UnboundedReceiver<ContainerEvent>,
    reports: Reports,
}

impl Bench {
    fn new() -> Bench {
        Bench::with("exit 0", |_| {})
    }

    /// With a fetcher that is this shell script.
    fn with(fetcher: &str, change: impl FnOnce(&mut Config)) -> Bench {
        Bench::isolated(fetcher, |work_dir| made("posix/cpu,posix/mem", work_dir), change)
    }

    fn isolated(
        fetcher: &str,
        isolators: impl FnOnce(&Path) -> Vec<Arc<dyn Isolator>>,
        change: impl FnOnce(&mut Config),
    ) -> Bench {
        let work = tempfile::tempdir().unwrap();
        // The task's user must be able to walk to its sandbox.
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = work.path().join("mesos-fetcher");
        fs::write(&path, format!("#!/bin/sh\n{fetcher}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let switchboard = work.path().join("mesos-io-switchboard");
        fs::write(&switchboard, SWITCHBOARD).unwrap();
        fs::set_permissions(&switchboard, fs::Permissions::from_mode(0o755)).unwrap();
        Bench::begin(work, isolators, change)
    }

    /// Another agent, where the one before was.
    fn next_agent(self, change: impl FnOnce(&mut Config)) -> Bench {
        Bench::begin(self.work, |work_dir| made("posix/cpu,posix/mem", work_dir), change)
    }

    fn begin(
        work: TempDir,
        isolators: impl FnOnce(&Path) -> Vec<Arc<dyn Isolator>>,
        change: impl FnOnce(&mut Config),
    ) -> Bench {
        let path = work.path().join("mesos-fetcher");
        let mut config = Config {
            work_dir: work.path().to_owned(),
            runtime_dir: work.path().join("run"),
            launcher_dir: work.path().to_owned(),
            fetcher: Program { path, name: "mesos-fetcher".into() },
            frameworks_home: None,
            fetcher_stall_timeout: Some(Duration::from_secs(60)),
            fetcher_cache: None,
            hadoop_home: None,
            logger: messor_containerizer::Logger::default(),
            ended_sandboxes: None,
            parallel_fetches: 4,
            switch_user: true,
            isolation: Vec::new(),
            switchboard: Program {
                path: work.path().join("mesos-io-switchboard"),
                name: "mesos-io-switchboard".into(),
            },
            heartbeat: Duration::from_secs(30),
            cfs: false,
        };
        change(&mut config);
        let isolators = isolators(&config.work_dir);
        let reports = Reports::default();
        let (containerizer, events) =
            Containerizer::new(config, isolators, Launcher::Posix, &reports, Handle::current());
        Bench { work, containerizer, events, reports }
    }

    fn launch(&self, launch: Launch) {
        self.containerizer.command(ContainerCommand::Launch(Box::new(launch)));
    }

    fn destroy(&self, container: &str) {
        self.containerizer.command(ContainerCommand::Destroy { container: ContainerId::new(container) });
    }

    async fn event(&mut self) -> ContainerEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("an event")
    }

    async fn launched(&mut self) -> u32 {
        match self.event().await {
            ContainerEvent::Launched { pid, .. } => pid,
            other => panic!("not launched: {other:?}"),
        }
    }

    async fn exited(&mut self) -> Option<i32> {
        match self.event().await {
            ContainerEvent::Exited { status, .. } => status,
            other => panic!("not exited: {other:?}"),
        }
    }

    /// Whatever comes before it.
    async fn ended(&mut self) {
        while !matches!(self.event().await, ContainerEvent::Exited { .. }) {}
    }

    async fn failed(&mut self) -> (messor_agent_core::LaunchFailure, String) {
        match self.event().await {
            ContainerEvent::LaunchFailed { reason, message, .. } => (reason, message),
            other => panic!("not failed: {other:?}"),
        }
    }

    fn sandbox(&self, container: &str) -> PathBuf {
        self.work.path().join(directory(container))
    }

    fn read(&self, container: &str, name: &str) -> String {
        fs::read_to_string(self.sandbox(container).join(name)).unwrap()
    }

    /// A pipe with a name through which a command says something at the moment it is true.
    fn pipe(&self) -> PathBuf {
        let path = self.work.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        path
    }
}

/// The isolators of these names, as an agent has them.
fn made(names: &str, work_dir: &Path) -> Vec<Arc<dyn Isolator>> {
    let containers = ContainerFlags { isolation: names.to_string(), ..ContainerFlags::default() };
    let flags = AgentFlags { containers, ..AgentFlags::default() };
    let (runtime_dir, limitations) = (work_dir.join("run"), Arc::new(Reports::default()));
    messor_isolators::make(
        &flags,
        &Host { work_dir, runtime_dir: &runtime_dir, limitations, gpus: None, volume_groups: None },
    )
    .unwrap()
}

fn directory(container: &str) -> String {
    run_directory("S0", "F", "e", container).unwrap()
}

fn shell(container: &str, command: &str) -> Launch {
    let command = CommandInfo { value: Some(command.into()), ..CommandInfo::default() };
    let framework = WireFrameworkId { value: "F".into() };
    Launch {
        container: ContainerId::new(container),
        framework: "F".into(),
        executor_id: "e".into(),
        executor: ExecutorInfo { framework_id: Some(framework), ..ExecutorInfo::default() },
        task: None,
        command,
        container_info: None,
        uris: Vec::new(),
        resources: vec![scalar("cpus", 1.0), scalar("mem", 32.0)],
        limits: BTreeMap::new(),
        directory: directory(container),
        user: None,
        environment: vec![("COLOUR".into(), "green".into())],
        checkpoint: false,
    }
}

fn scalar(name: &str, amount: f64) -> Resource {
    Resource { name: name.into(), scalar: Some(value::Scalar { value: amount }), ..Resource::default() }
}

/// The words that come through the pipe until its other end is closed.
async fn words(pipe: PathBuf) -> Vec<String> {
    let text = tokio::task::spawn_blocking(move || fs::read_to_string(pipe).unwrap()).await.unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

fn runs(pid: &str) -> bool {
    procfs::process(pid.parse().unwrap()).unwrap().is_some_and(|process| !process.is_zombie())
}

fn environment(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}
