//! The containerizer as the agent sees it: commands in, events out, usage when asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messor_agent_core::{ContainerCommand, ContainerEvent, Limits, Run};
use messor_containers::{Answer, Containers, Event, IsolatorTraits, Standing, Step, Ticket};
use messor_isolators::{Isolator, Limitations};
use messor_proto::mesos::Resource;
use messor_proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use messor_types::ContainerId;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::effects::{self, Reply};
use crate::entry::{ContainerLaunch, Entry, scalars};
use crate::fetch_cache::{CacheDirectory, FetchCache};
use crate::fetching::Program;
use crate::launcher::Launcher;
use crate::logging::Logger;
use crate::switchboard::Switchboards;
use crate::{launching, nested};

/// Containers between fork and the run of their program: a thread waits with each.
const PARALLEL_FORKS: usize = 64;

#[derive(Clone, Debug)]
pub struct Config {
    pub work_dir: PathBuf,
    /// What outlives the agent but not the host's going down.
    pub runtime_dir: PathBuf,
    /// Where the programs of Mesos are; those that are not there are this binary.
    pub launcher_dir: PathBuf,
    /// `mesos-fetcher`.
    pub fetcher: Program,
    pub frameworks_home: Option<String>,
    pub fetcher_stall_timeout: Option<Duration>,
    /// None: everything is fetched past the cache.
    pub fetcher_cache: Option<Arc<CacheDirectory>>,
    /// For the fetcher: where the Hadoop client is.
    pub hadoop_home: Option<PathBuf>,
    /// Containers that fetch at the same time; others wait for their turn.
    pub parallel_fetches: usize,
    pub logger: Logger,
    /// Who removes sandboxes of nested and standalone containers some time after their end; None: they stay until
    /// somebody asks. Containers bound what waits there.
    pub ended_sandboxes: Option<mpsc::UnboundedSender<EndedSandbox>>,
    /// Whether containers of the operator API may name their user.
    pub switch_user: bool,
    /// The names of the isolators in use.
    pub isolation: Vec<String>,
    /// `mesos-io-switchboard`.
    pub switchboard: Program,
    /// Between heartbeats to those who are attached to a container.
    pub heartbeat: Duration,
    /// `--cgroups_enable_cfs`: CPUs are a hard limit, and are shown as one.
    pub cfs: bool,
}

/// The sandbox of a container that has ended, and that is no executor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSandbox {
    /// Relative to the work directory.
    pub directory: PathBuf,
    /// It ended while an agent of before was there, or none.
    pub is_old: bool,
}

/// All containers of an agent. Dropping it leaves them running: they outlive their agent.
#[derive(Clone)]
pub struct Containerizer {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub config: Config,
    pub isolators: Vec<Arc<dyn Isolator>>,
    pub launcher: Launcher,
    pub switchboards: Switchboards,
    pub fetches: Semaphore,
    pub fetch_cache: Arc<FetchCache>,
    pub forks: Arc<Semaphore>,
    /// What waits for the agent: three events of a container at most, so that containers bound it.
    pub events: mpsc::UnboundedSender<ContainerEvent>,
    pub runtime: Handle,
    inner: Mutex<Inner>,
}

/// What is only touched together: the machine, and what stands for its numbers at this side.
pub(crate) struct Inner {
    pub machine: Containers,
    pub entries: BTreeMap<ContainerId, Arc<Entry>>,
    pub replies: BTreeMap<Ticket, Reply>,
    last_ticket: u64,
    /// The runs that the agent asked to recover.
    pub runs: Vec<Run>,
}

impl Inner {
    pub fn ticket(&mut self, reply: Reply) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.replies.insert(ticket, reply);
        ticket
    }

    /// It neither stands nor is expected.
    pub fn is_unknown(&self, container: &ContainerId) -> bool {
        let mut expected = container.parent().into_iter().flat_map(|parent| self.machine.expected_in(parent));
        self.machine.standing_of(container).is_none() && !expected.any(|id| id == container)
    }
}

/// Where isolators tell of containers that went beyond what they may. It is there before the containerizer is.
#[derive(Clone, Default)]
pub struct Reports(Arc<std::sync::OnceLock<std::sync::Weak<Shared>>>);

impl Limitations for Reports {
    fn exceeded(&self, container: &ContainerId, limitation: ContainerLimitation) {
        // Without a containerizer there is no container either.
        if let Some(shared) = self.0.get().and_then(std::sync::Weak::upgrade) {
            let container = container.clone();
            let inner = shared.clone();
            shared.runtime.spawn(async move { inner.event(Event::Limited { container, limitation }) });
        }
    }
}

impl Containerizer {
    /// `isolators` in the order in which they prepare.
    pub fn new(
        config: Config,
        mut isolators: Vec<Arc<dyn Isolator>>,
        launcher: Launcher,
        reports: &Reports,
        runtime: Handle,
    ) -> (Containerizer, mpsc::UnboundedReceiver<ContainerEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let switchboards = Switchboards::new(config.clone(), Arc::new(reports.clone()), runtime.clone());
        // After all others, as what it prepares is of use only to the fork.
        isolators.push(Arc::new(switchboards.clone()));
        let traits = |isolator: &Arc<dyn Isolator>| IsolatorTraits {
            nesting: isolator.supports_nesting(),
            standalone: isolator.supports_standalone(),
        };
        let inner = Inner {
            machine: Containers::new(isolators.iter().map(traits).collect()),
            entries: BTreeMap::new(),
            replies: BTreeMap::new(),
            last_ticket: 0,
            runs: Vec::new(),
        };
        let shared = Arc::new(Shared {
            fetch_cache: Arc::new(FetchCache::new(config.fetcher_cache.clone())),
            fetches: Semaphore::new(config.parallel_fetches.max(1)),
            forks: Arc::new(Semaphore::new(PARALLEL_FORKS)),
            config,
            isolators,
            launcher,
            switchboards,
            events,
            runtime,
            inner: Mutex::new(inner),
        });
        let _ = reports.0.set(Arc::downgrade(&shared));
        (Containerizer { shared }, receiver)
    }

    /// Carries out a command; its answer comes as an event.
    pub fn command(&self, command: ContainerCommand) {
        let shared = &self.shared;
        match command {
            ContainerCommand::Launch(launch) => {
                let container = launch.container.clone();
                let config = &shared.config;
                let fetches = launch.uris.iter().any(|info| !info.items.is_empty());
                let entry = Entry::of_executor(*launch, &config.work_dir, &config.runtime_dir);
                shared.launch(entry, fetches, Reply::Agent(container));
            }
            ContainerCommand::Recover { runs } => {
                let known = runs.iter().map(|run| run.container.clone()).collect();
                shared.lock().runs = runs;
                shared.event(Event::Recover { known });
            }
            ContainerCommand::Update { container, resources, limits } => {
                // At once, so that a task that is told to run after this finds its volumes.
                if let Err(message) = shared.update(&container, resources, &limits) {
                    shared.emit(ContainerEvent::UpdateFailed { container, message });
                }
            }
            ContainerCommand::Check { container } => {
                let limitation = shared.check(&container).map(Box::new);
                shared.emit(ContainerEvent::Checked { container, limitation });
            }
            ContainerCommand::Destroy { container } => shared.event(Event::Destroy { container }),
        }
    }

    /// The containers there are, with the pid of those that run.
    pub fn containers(&self) -> Vec<(ContainerId, Option<u32>)> {
        let inner = self.shared.lock();
        let pid = |standing: Standing| standing.pid.and_then(|pid| u32::try_from(pid).ok());
        inner.machine.standing().map(|(id, standing)| (id.clone(), pid(standing))).collect()
    }

    /// The containers that are not done with, and what is being done to them: for `/containerizer/debug`.
    pub fn pending(&self) -> Vec<(ContainerId, String)> {
        let inner = self.shared.lock();
        let isolator = |number: usize| self.shared.isolators.get(number).map_or("?", |one| one.name());
        let pending = inner.machine.standing().filter_map(|(id, standing)| {
            standing.pending.as_ref().map(|step| (id.clone(), operation(step, isolator)))
        });
        pending.collect()
    }

    /// In the names of /metrics/snapshot.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let errors = self.shared.lock().machine.destroy_errors();
        let mut all = self.shared.fetch_cache.metrics();
        let of_isolators = self.shared.isolators.iter().flat_map(|isolator| isolator.metrics());
        let own = std::iter::once(("container_destroy_errors", errors as f64)).chain(of_isolators);
        all.extend(own.map(|(name, number)| (format!("containerizer/mesos/{name}"), number)));
        all
    }

    /// Launches a container of the operator API: nested where its id has a parent, standalone otherwise.
    pub async fn launch(&self, container: ContainerId, launch: ContainerLaunch) -> Answer {
        let (reply, answer) = oneshot::channel();
        match nested::entry(&self.shared, container, launch) {
            Ok((entry, fetches)) => self.shared.launch(entry, fetches, Reply::Caller(reply)),
            Err(answer) => return answer,
        }
        answer.await.unwrap_or_else(|_| effects::ending())
    }

    /// How a container has ended, when it has; None: there is none.
    pub async fn wait(&self, container: ContainerId) -> Option<ContainerTermination> {
        match self.ask(|ticket| Event::Wait { container, ticket }).await {
            Answer::Ended(termination) => Some(*termination),
            _ => None,
        }
    }

    /// Sends a signal to the first process of a container.
    pub async fn kill(&self, container: ContainerId, signal: i32) -> Answer {
        self.ask(|ticket| Event::Kill { container, signal, ticket }).await
    }

    /// Removes what is kept of a nested container that has ended, and its sandbox.
    pub async fn remove(&self, container: ContainerId) -> Answer {
        self.ask(|ticket| Event::Remove { container, ticket }).await
    }

    /// Ends a container; `wait` tells when that is done.
    pub fn destroy(&self, container: ContainerId) {
        if self.shared.lock().machine.standing_of(&container).is_some() {
            self.shared.event(Event::Destroy { container });
        }
    }

    /// The socket at which clients of a container are served; otherwise why there is none.
    pub fn attach(&self, container: &ContainerId) -> Result<PathBuf, String> {
        self.shared.switchboards.socket(container)
    }

    /// What kind of container this is, and where it stands; None: there is none.
    pub fn standing(&self, container: &ContainerId) -> Option<Standing> {
        self.shared.lock().machine.standing_of(container)
    }

    async fn ask(&self, question: impl FnOnce(Ticket) -> Event) -> Answer {
        let (reply, answer) = oneshot::channel();
        let ticket = self.shared.lock().ticket(Reply::Caller(reply));
        self.shared.event(question(ticket));
        answer.await.unwrap_or_else(|_| effects::ending())
    }
}

/// What isolators do has the names of 1.11.0.
fn operation(step: &Step, isolator: impl Fn(usize) -> &'static str) -> String {
    match step {
        Step::Prepare(number) => format!("{}::prepare", isolator(*number)),
        Step::Isolate(number) => format!("{}::isolate", isolator(*number)),
        Step::CleanUp(number) => format!("{}::cleanup", isolator(*number)),
        Step::Update(all) => format!("{}::update", all.first().map_or("?", |number| isolator(*number))),
        other => format!("containerizer::{}", crate::fault::name(other, isolator)),
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn emit(&self, event: ContainerEvent) {
        // Nobody listens only when the agent is ending.
        let _ = self.events.send(event);
    }

    pub fn sandbox_ended(&self, sandbox: &std::path::Path, is_old: bool) {
        if let (Some(collector), Ok(directory)) =
            (&self.config.ended_sandboxes, sandbox.strip_prefix(&self.config.work_dir))
        {
            // Nobody listens only when the agent is ending.
            let _ = collector.send(EndedSandbox { directory: directory.to_path_buf(), is_old });
        }
    }

    /// Whether something in use holds containers to limits of these resources.
    pub fn enforces(&self, limits: &[&str]) -> bool {
        let has = |name: &str| self.config.isolation.iter().any(|one| one == name || one == "cgroups/all");
        limits.iter().all(|limit| match *limit {
            "cpus" => has("cgroups/cpu"),
            "mem" => has("cgroups/mem"),
            _ => false,
        })
    }

    /// Whether a container, or one that it is in, has gone beyond what it may. That one is ended.
    pub fn check(self: &Arc<Self>, container: &ContainerId) -> Option<ContainerLimitation> {
        let mut at = Some(container);
        while let Some(container) = at {
            if let Some(limitation) = self.isolators.iter().find_map(|one| one.exceeded(container)) {
                let (container, told) = (container.clone(), limitation.clone());
                self.event(Event::Limited { container, limitation: told });
                return Some(limitation);
            }
            at = container.parent();
        }
        None
    }

    /// New resources of an executor's container. Its isolators are told on this thread.
    fn update(
        self: &Arc<Self>,
        container: &ContainerId,
        resources: Vec<Resource>,
        limits: &Limits,
    ) -> Result<(), String> {
        if !self.enforces(&limits.keys().map(String::as_str).collect::<Vec<_>>()) {
            return Err(format!("not supported yet: {}", launching::LIMITS));
        }
        let Some(entry) = self.lock().entries.get(container).cloned() else { return Ok(()) };
        {
            let mut state = entry.state();
            state.config.limits = scalars(limits);
            state.config.resources = resources;
        }
        self.event(Event::Update { container: container.clone() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_isolators_do_has_the_names_of_apache_mesos() {
        let isolator = |number| ["filesystem/posix", "cgroups/mem"][number];
        for (step, name) in [
            (Step::Prepare(1), "cgroups/mem::prepare"),
            (Step::Isolate(0), "filesystem/posix::isolate"),
            (Step::CleanUp(1), "cgroups/mem::cleanup"),
            (Step::Update(vec![1]), "cgroups/mem::update"),
            (Step::Fetch, "containerizer::fetch"),
        ] {
            assert_eq!(operation(&step, isolator), name);
        }
    }
}
