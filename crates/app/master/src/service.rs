//! A master in this process: its threads, its HTTP side, its metrics. mesos-master has one alone, mesos-local one
//! beside agents.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use messor_flags::MasterFlags;
use messor_http_api::common::{Metrics, system_metrics};
use messor_http_api::{BuildInfo, Common, Files, Machine, MasterSite, MetricsSource, ProgramInfo};
use messor_master_core::{Event, View};
use messor_net::Net;
use messor_runtime::{Clock, Failure, LevelLogging, Timers, random_seed, random_uuid, run_machine};
use tokio::sync::oneshot;

use crate::allocator::{self, SharedMetrics};
use crate::config;
use crate::driver::{MasterDriver, PROCESS};

pub struct Options<'o> {
    pub flags: &'o MasterFlags,
    pub build: BuildInfo,
    pub hostname: String,
    pub logging: &'o messor_log::Logging,
}

pub struct Master {
    id: String,
    site: Arc<MasterSite>,
}

struct MasterMetrics {
    machine: Machine<Event, View>,
    allocator: SharedMetrics,
}

impl MetricsSource for MasterMetrics {
    fn metrics(&self) -> Pin<Box<dyn Future<Output = Metrics> + Send + '_>> {
        Box::pin(async {
            let mut all = match self.machine.view().await {
                Some(view) => view.metrics.clone(),
                None => Vec::new(),
            };
            all.extend(
                self.allocator.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter().cloned(),
            );
            all.extend(system_metrics().into_iter().map(|(name, value)| (format!("system/{name}"), value)));
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        })
    }
}

impl Master {
    /// Starts the threads of a master. The receiver tells when it wants to end.
    pub fn start(options: Options<'_>, net: Net) -> Result<(Master, oneshot::Receiver<()>), Failure> {
        let Options { flags, build, hostname, logging } = options;
        let clock = Clock::start();
        let id = random_uuid();
        let info = config::master_info(&id, net.address(), &hostname, flags)?;
        let (machine, inputs) = Machine::new();
        let mailbox = net.open(PROCESS).map_err(|error| Failure::Words(error.to_string()))?;
        let weights = config::weights(flags)?;
        let (to_allocator, allocator_metrics) =
            allocator::start(config::allocator(flags, &info, random_seed())?, clock, machine.clone())?;

        let files = Files::default();
        if let Some(log) = logging.file() {
            files.attach("/master/log", log);
        }
        let common = Common {
            program: Arc::new(ProgramInfo { build, flags: messor_flags::shown(flags) }),
            files,
            logging: Arc::new(LevelLogging(logging.level())),
            metrics: Arc::new(MasterMetrics { machine: machine.clone(), allocator: allocator_metrics }),
            processes: vec![PROCESS.to_string()],
        };
        let site = Arc::new(MasterSite::new(common, machine.clone()));
        let by_role = weights.iter().cloned().collect();
        // A send fails only when the allocator ended, which the first event of the master tells.
        let _ = to_allocator.send(messor_allocator::Event::UpdateWeights { weights: by_role });
        let registry = messor_registry::State::default();
        if flags.registry != "in_memory" {
            tracing::warn!(
                "the registry is kept in memory: agents and weights are forgotten when this master ends \
                 (the replicated log is not supported yet)"
            );
        }
        machine.event(Event::Elected { registry: Box::new(registry.clone()) });
        let driver = MasterDriver {
            master: messor_master_core::Master::new(config::machine(flags, info)?, clock.now()),
            registry,
            weights: weights.into_iter().map(|(role, weight)| (role.to_string(), weight)).collect(),
            site: Arc::clone(&site),
            net,
            allocator: to_allocator,
            own: machine,
            timers: Timers::default(),
            effects: Vec::new(),
            over: false,
        };
        let over = run_machine("master", clock, driver, mailbox, inputs)?;
        Ok((Master { id, site }, over))
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn site(&self) -> Arc<MasterSite> {
        Arc::clone(&self.site)
    }
}
