//! A master in this process: its threads, its HTTP side, its metrics. mesos-master has one alone, mesos-local one
//! beside agents.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use messor_flags::MasterFlags;
use messor_http_api::common::{Metrics, system_metrics};
use messor_http_api::{
    BuildInfo, Common, Cors, Files, Machine, MasterSite, MetricsSource, Pace, ProgramInfo, REGISTRAR,
};
use messor_master_core::{Event, View};
use messor_net::Net;
use messor_registry::{MemoryLog, Registrar};
use messor_runtime::{Clock, Failure, LevelLogging, Place, Timers, random_seed, random_uuid, run_machine};
use tokio::sync::oneshot;

use crate::allocator::{self, Told};
use crate::config;
use crate::driver::{Heard, MasterDriver, PROCESS, READ_GROWTH};
use crate::election::Sessions;
use crate::input::Input;
use crate::registry::RegistryLog;
use crate::whitelist::{self, Watch};

pub struct Options<'o> {
    pub flags: &'o MasterFlags,
    pub build: BuildInfo,
    pub hostname: String,
    pub logging: &'o messor_log::Logging,
    /// Of /metrics/snapshot.
    pub pace: Option<Arc<Pace>>,
}

pub struct Master {
    id: String,
    site: Arc<MasterSite>,
    sessions: Sessions,
    failure: Arc<OnceLock<String>>,
    inputs: Machine<Input, View>,
    cors: Cors,
    _whitelist: Option<Watch>,
}

struct MasterMetrics {
    machine: Machine<Event, View>,
    allocator: Told,
    /// Each framework has metrics of its own.
    per_framework: bool,
}

impl MetricsSource for MasterMetrics {
    fn metrics(&self) -> Pin<Box<dyn Future<Output = Metrics> + Send + '_>> {
        Box::pin(async {
            let mut all = Vec::new();
            if let Some(view) = self.machine.view().await {
                all.extend(view.metrics.iter().cloned());
                if self.per_framework {
                    // With very many frameworks this takes a while: not on a thread that serves others.
                    let of_frameworks = tokio::task::spawn_blocking(move || view.framework_metrics()).await;
                    all.extend(of_frameworks.unwrap_or_default());
                }
            }
            all.extend(self.allocator.metrics());
            all.extend(system_metrics().into_iter().map(|(name, value)| (format!("system/{name}"), value)));
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        })
    }
}

impl Master {
    /// Starts the threads of a master, inside a tokio runtime. The receiver tells when it wants to end.
    pub fn start(options: Options<'_>, net: Net) -> Result<(Master, oneshot::Receiver<()>), Failure> {
        let Options { flags, build, hostname, logging, pace } = options;
        let clock = Clock::start();
        let id = random_uuid();
        let info = config::master_info(&id, net.address(), &hostname, flags)?;
        let (inputs_of, inputs) = Machine::<Input, View>::new();
        let machine: Machine<Event, View> = inputs_of.of_part();
        let mailbox = net
            .open_reading(PROCESS, READ_GROWTH, Heard::read)
            .map_err(|error| Failure::Words(error.to_string()))?;
        let (to_allocator, told_by_allocator) =
            allocator::start(config::allocator(flags, &info, random_seed())?, clock, machine.clone())?;

        let whitelist = match &flags.whitelist {
            Some(path) => whitelist::watch(path.as_str(), to_allocator.clone())?,
            None => None,
        };

        let files = Files::default();
        if let Some(log) = logging.file() {
            files.attach("/master/log", log);
        }
        let common = Common {
            program: Arc::new(ProgramInfo { build, flags: messor_flags::shown(flags) }),
            files,
            logging: Arc::new(LevelLogging(logging.level())),
            metrics: Arc::new(MasterMetrics {
                machine: machine.clone(),
                allocator: told_by_allocator,
                per_framework: flags.publish_per_framework_metrics,
            }),
            pace,
            processes: vec![PROCESS.to_string(), REGISTRAR.to_string()],
        };
        let site = Arc::new(MasterSite::new(common, machine));

        let zookeeper = config::zookeeper(flags)?;
        let mut sessions = Sessions::default();
        let log = match config::replica(flags)? {
            None => RegistryLog::Memory(MemoryLog::default()),
            Some(options) => RegistryLog::replicated(&net, &options, inputs_of.clone())
                .map_err(|error| Failure::Words(format!("the registry cannot be kept: {error}")))?,
        };
        if let (Some(url), RegistryLog::Replicated(replica)) = (&zookeeper, &log) {
            let timeout = flags.zk_session_timeout;
            sessions.join(url, timeout, replica.pid(), replica.commands(), clock, inputs_of.clone());
        }
        let lease = zookeeper
            .as_ref()
            .map(|url| sessions.contend(url, flags.zk_session_timeout, &info, clock, inputs_of.clone()));
        if lease.is_none() {
            // Nobody else is there to lead.
            inputs_of.event(Input::Elected);
        }
        let failure = Arc::default();
        let own = inputs_of.clone();
        let driver = MasterDriver {
            master: messor_master_core::Master::new(config::machine(flags, info.clone())?, clock.now()),
            registrar: Registrar::new(config::registrar(flags, random_seed())),
            log,
            info,
            lease,
            leads: false,
            site: Arc::clone(&site),
            net,
            allocator: to_allocator,
            own: inputs_of,
            shared_views: 0,
            timers: Timers::default(),
            failure: Arc::clone(&failure),
            over: false,
        };
        let over = run_machine("master", Place::Network, clock, driver, mailbox, inputs)?;
        let origins = flags.http_cors_allowed_origins.as_ref();
        let cors = Cors::new(origins.map_or(&[], |list| &list.0));
        Ok((Master { id, site, sessions, failure, inputs: own, cors, _whitelist: whitelist }, over))
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who else may read what the site answers.
    pub fn cors(&self) -> Cors {
        self.cors.clone()
    }

    pub fn site(&self) -> Arc<MasterSite> {
        Arc::clone(&self.site)
    }

    /// Filled in when the master ends by an error, with which.
    pub fn failure(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.failure)
    }

    /// What stops the master when the program is told to end, before its connections are closed: schedulers whose streams
    /// end so have not gone away, and their tasks go on under the next master.
    pub fn stopper(&self) -> impl FnOnce() + Send + use<> {
        let inputs = self.inputs.clone();
        move || inputs.event(Input::Stop)
    }

    /// Tells ZooKeeper that this master goes, so that another leads soon.
    pub async fn leave(self) {
        self.sessions.leave().await;
    }
}
