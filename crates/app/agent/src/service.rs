//! An agent in this process: its thread, its containers, its HTTP side, its metrics. mesos-agent has one alone,
//! mesos-local some beside a master.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use messor_agent_core::{Event, View};
use messor_checkpoint::{Expectation, Recorder, WorkDirLock};
use messor_containerizer::{Config as ContainerizerConfig, Containerizer, Kind, Program, Reports};
use messor_flags::AgentFlags;
use messor_http_api::common::{Metrics, system_metrics};
use messor_http_api::{
    AgentSite, BuildInfo, Common, ContainerUsage, Cors, Files, Machine, MetricsSource, Pace, ProgramInfo,
    Usage, UsageSource,
};
use messor_isolators::VolumeGroups;
use messor_net::Net;
use messor_runtime::{Clock, Failure, LevelLogging, Place, Timers, run_machine};
use messor_types::ContainerId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::config;
use crate::detector::Source;
use crate::driver::AgentDriver;
use crate::garbage::{Garbage, Policy};
use crate::oversubscription::Oversubscription;

/// Containers that fetch their artifacts at the same time.
const PARALLEL_FETCHES: usize = 16;

pub struct Options<'o> {
    pub flags: &'o AgentFlags,
    /// LIBPROCESS_IP in the agent's own environment, which executors are told too.
    pub libprocess_ip: Option<String>,
    pub build: BuildInfo,
    pub hostname: String,
    pub logging: &'o messor_log::Logging,
    /// Of /metrics/snapshot.
    pub pace: Option<Arc<Pace>>,
    /// `slave(1)`.
    pub process: String,
    /// Flags that /flags does not show, as nobody gave them.
    pub hidden_flags: &'o [&'static str],
}

pub struct Agent {
    site: Arc<AgentSite>,
    machine: Machine<Event, View>,
    failure: Arc<OnceLock<String>>,
    cors: Cors,
}

struct AgentMetrics {
    machine: Machine<Event, View>,
    garbage: Garbage,
    containerizer: Containerizer,
    volume_groups: Option<Arc<VolumeGroups>>,
}

impl MetricsSource for AgentMetrics {
    fn metrics(&self) -> Pin<Box<dyn Future<Output = Metrics> + Send + '_>> {
        Box::pin(async {
            let mut all = match self.machine.view().await {
                Some(view) => view.metrics.clone(),
                None => Vec::new(),
            };
            all.extend(self.garbage.metrics());
            all.extend(self.containerizer.metrics());
            let groups = self.volume_groups.iter().flat_map(|groups| groups.metrics());
            all.extend(groups.map(|(name, value)| (name.to_string(), value)));
            all.extend(system_metrics().into_iter().map(|(name, value)| (format!("system/{name}"), value)));
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        })
    }
}

struct ContainerizerUsage(Containerizer);

impl UsageSource for ContainerizerUsage {
    fn usage(&self) -> Pin<Box<dyn Future<Output = Usage> + Send + '_>> {
        Box::pin(async {
            let found = self.0.usage().await.unwrap_or_else(|error| {
                tracing::warn!("cannot tell what containers use: {error}");
                Default::default()
            });
            let usage = |(container, (status, statistics)): (ContainerId, _)| {
                let root = self.0.standing(container.root());
                let standalone = root.is_some_and(|root| root.kind == Kind::Standalone);
                let (status, statistics) = (Some(status), Some(statistics));
                (container, ContainerUsage { status, statistics, standalone })
            };
            found.into_iter().map(usage).collect()
        })
    }

    fn pending(&self) -> Vec<(ContainerId, String)> {
        self.0.pending()
    }
}

impl Agent {
    /// Starts the threads of an agent. The receiver tells when it wants to end.
    pub fn start(options: Options<'_>, net: Net) -> Result<(Agent, oneshot::Receiver<()>), Failure> {
        let Options { flags, libprocess_ip, build, hostname, logging, pace, process, hidden_flags } = options;
        let mut flags = flags.clone();
        config::choose_launcher(&mut flags);
        let flags = &flags;
        let words = |error: &dyn std::fmt::Display| Failure::Words(error.to_string());
        let master =
            flags.master.as_ref().map(|secret| secret.value.as_str().to_string()).unwrap_or_default();
        let source = Source::parse(&master)?;
        let clock = Clock::start();
        std::fs::create_dir_all(&flags.work_dir)
            .map_err(|error| Failure::Words(format!("--work_dir={}: {error}", flags.work_dir)))?;
        let work_dir = std::fs::canonicalize(&flags.work_dir)
            .map_err(|error| Failure::Words(format!("--work_dir={}: {error}", flags.work_dir)))?;
        let runtime_dir = std::path::absolute(&flags.runtime_dir)
            .and_then(|path| std::fs::create_dir_all(&path).map(|()| path))
            .map_err(|error| Failure::Words(format!("--runtime_dir={}: {error}", flags.runtime_dir)))?;
        let lock = WorkDirLock::take(&work_dir).map_err(|error| words(&error))?;
        let boot_id = messor_linux::host::boot_id()?;
        let expectation = Expectation { strict: flags.strict, boot_id: &boot_id };
        let recovered = messor_checkpoint::read(&work_dir, expectation).map_err(|error| words(&error))?;
        let pid = net.pid(&process);
        crate::own_groups::enter(flags)?;
        let socket = crate::socket::open(flags, &runtime_dir)?;
        let gpus = config::gpus(flags)?;
        let mut machine_config =
            config::machine(flags, pid, &hostname, libprocess_ip, &work_dir, gpus.as_ref())?;
        machine_config.domain_socket = socket.as_ref().map(|socket| socket.path.clone());
        let (machine, inputs) = Machine::new();
        let to_machine = machine.clone();
        let volume_groups = config::volume_groups(flags, &work_dir)?;
        let of_volumes = volume_groups.clone();
        let recorder = Recorder::start_telling(
            &work_dir,
            recovered.agent.as_ref().map(|agent| agent.id.clone()),
            recovered.resources.clone(),
            boot_id,
            move |ticket, outcome| to_machine.event(Event::Persisted { ticket, outcome }),
            move |path| {
                if let Some(groups) = &of_volumes {
                    groups.destroyed(path);
                }
            },
        )?;
        // Before anything else that the machine learns.
        machine.event(Event::Recovered(Box::new(recovered)));
        let mailbox = net.open(&process).map_err(|error| words(&error))?;

        let launcher_dir = Path::new(&machine_config.launcher_dir).to_path_buf();
        let fetcher_cache = config::fetcher_cache(flags, &[&work_dir, &runtime_dir, &launcher_dir])?;
        let garbage = Garbage::default();
        let ended_sandboxes = flags.gc_non_executor_container_sandboxes.then(|| {
            let (sender, ended) = mpsc::unbounded_channel();
            tokio::spawn(garbage.clone().collect_ended(ended, work_dir.clone()));
            sender
        });
        let modules = config::modules(flags.modules.as_ref().map(|json| json.as_str()))?;
        let logger = config::logger(flags, &modules)?;
        let isolation = flags.isolators();
        let reports = Reports::default();
        let limitations = Arc::new(reports.clone());
        let host = messor_isolators::Host {
            work_dir: &work_dir,
            runtime_dir: &runtime_dir,
            limitations,
            gpus,
            volume_groups: volume_groups.clone(),
        };
        let launcher = config::launcher(flags, &runtime_dir)?;
        let isolators = messor_isolators::make(flags, &host).map_err(|error| words(&error))?;
        let (containerizer, mut container_events) = Containerizer::new(
            ContainerizerConfig {
                work_dir: work_dir.clone(),
                runtime_dir,
                fetcher: Program::find(&launcher_dir, "mesos-fetcher")?,
                switchboard: Program::find(&launcher_dir, "mesos-io-switchboard")?,
                heartbeat: flags.http_heartbeat_interval,
                launcher_dir,
                frameworks_home: Some(flags.frameworks_home.clone()).filter(|home| !home.is_empty()),
                fetcher_stall_timeout: Some(flags.fetcher_stall_timeout),
                fetcher_cache,
                hadoop_home: flags.hadoop_home.as_ref().map(|home| home.as_str().into()),
                logger,
                ended_sandboxes,
                parallel_fetches: PARALLEL_FETCHES,
                switch_user: flags.switch_user,
                isolation: isolation.iter().map(ToString::to_string).collect(),
                cfs: flags.containers.cgroups_enable_cfs,
            },
            isolators,
            launcher,
            &reports,
            Handle::current(),
        );
        let to_machine = machine.clone();
        tokio::spawn(async move {
            while let Some(event) = container_events.recv().await {
                to_machine.event(Event::Container(event));
            }
        });
        let mut shown = messor_flags::shown(flags);
        shown.retain(|(name, _)| !hidden_flags.contains(&name.as_str()));
        let files = Files::default();
        if let Some(log) = logging.file() {
            files.attach("/slave/log", log);
        }
        let policy = Policy {
            work_dir: work_dir.clone(),
            delay: flags.gc_delay,
            headroom: flags.gc_disk_headroom,
            interval: flags.disk_watch_interval,
        };
        tokio::spawn(garbage.clone().run(policy, files.clone()));
        let common = Common {
            program: Arc::new(ProgramInfo { build, flags: shown }),
            files: files.clone(),
            logging: Arc::new(LevelLogging(logging.level())),
            metrics: Arc::new(AgentMetrics {
                machine: machine.clone(),
                garbage: garbage.clone(),
                containerizer: containerizer.clone(),
                volume_groups,
            }),
            pace,
            processes: vec![process.clone()],
        };
        let containers = Arc::new(crate::source::Source(containerizer.clone()));
        let usage: Arc<dyn UsageSource> = Arc::new(ContainerizerUsage(containerizer.clone()));
        let oversubscription = Oversubscription::new(flags, &modules, machine.clone(), Arc::clone(&usage))?;
        let site = Arc::new(AgentSite::new(common, machine.clone(), usage, containers, process.clone()));
        if let Some(socket) = socket {
            tokio::spawn(socket.serve(Arc::clone(&site), net.clone(), &process));
        }
        source.follow(flags.zk_session_timeout, clock, machine.clone());
        let failure = Arc::default();
        let driver = AgentDriver {
            agent: messor_agent_core::Agent::new(machine_config, clock.now()),
            site: Arc::clone(&site),
            net,
            process,
            containerizer,
            oversubscription,
            garbage,
            files,
            work_dir,
            recorder,
            _lock: lock,
            timers: Timers::default(),
            effects: Vec::new(),
            recovered: false,
            cannot_write: false,
            failure: Arc::clone(&failure),
            over: false,
        };
        let over = run_machine("agent", Place::OwnThread, clock, driver, mailbox, inputs)?;
        let origins = flags.http_cors_allowed_origins.as_ref();
        let cors = Cors::new(origins.map_or(&[], |list| &list.0));
        Ok((Agent { site, machine, failure, cors }, over))
    }

    /// The operator wants the agent to leave: it unregisters, ends its frameworks, then itself.
    pub fn shut_down(&self, reason: &str) {
        self.machine.event(Event::ShutDown { reason: reason.to_string() });
    }

    /// Filled in when the agent ends by an error, with which.
    pub fn failure(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.failure)
    }

    /// Who else may read what the site answers.
    pub fn cors(&self) -> Cors {
        self.cors.clone()
    }

    pub fn site(&self) -> Arc<AgentSite> {
        Arc::clone(&self.site)
    }
}
