//! The agent: its state, and where each event goes. What an event means is said in the module of its matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use messor_proto::mesos::{AgentInfo, MasterInfo};
use messor_stdx::{Duration, Time};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, OperationUuid, Pid, Resources, TaskId};
use messor_updates::{Key, Streams};

use crate::config::Config;
use crate::drain::Drain;
use crate::effect::Effect;
use crate::event::{ContainerEvent, Event, StreamId, Timer};
use crate::executor::Executor;
use crate::framework::Framework;
use crate::metrics::Counters;
use crate::operations::Operations;
use crate::random::Random;
use crate::record::Record;
use crate::recovery::Recovery;
use crate::status::Sender;
use crate::turn::Turn;
use crate::view::FrameworkView;

/// Frameworks without executors that an agent remembers; the oldest is forgotten.
pub(crate) const MAX_COMPLETED_FRAMEWORKS: usize = 50;

/// Whether the agent works with a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// What an agent of before left is taken up.
    Recovering,
    Disconnected,
    Running,
    /// It ends when its last framework is gone.
    Terminating,
}

/// One agent. Events go into `handle`, effects come out of it; `view` shows it to readers.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(crate) config: Config,
    /// With the id once there is one.
    pub(crate) info: Arc<AgentInfo>,
    /// Given by the first master that registered this agent.
    pub(crate) id: Option<AgentId>,
    pub(crate) state: State,
    pub(crate) recovery: Recovery,
    pub(crate) recovery_errors: u32,
    /// How long it took, once it is over.
    pub(crate) recovery_time: Option<Duration>,
    /// The agent differs from the one of before whose id it has: masters have to know how to take that.
    pub(crate) info_changed: bool,
    pub(crate) leader: Option<Arc<MasterInfo>>,
    /// Where the leader is.
    pub(crate) master: Option<Pid>,
    /// The longest pause before the next attempt to register.
    pub(crate) backoff: Duration,
    /// Without a ping for so long, the agent registers again.
    pub(crate) ping_timeout: Duration,
    pub(crate) start_time: Time,
    /// What the master knows the agent's resources by; it is another after each start.
    pub(crate) resource_version: Vec<u8>,
    pub(crate) frameworks: IndexMap<FrameworkId, Framework>,
    /// At most `MAX_COMPLETED_FRAMEWORKS`, oldest first.
    pub(crate) completed_frameworks: IndexMap<FrameworkId, FrameworkView>,
    /// Whose container it is, until it is gone.
    pub(crate) containers: BTreeMap<ContainerId, (FrameworkId, ExecutorId)>,
    pub(crate) streams: BTreeMap<StreamId, (FrameworkId, ExecutorId)>,
    pub(crate) updates: Streams,
    pub(crate) operations: Operations,
    /// What is promised twice, with what is in use; None: nothing was estimated.
    pub(crate) oversubscribed: Option<Resources>,
    /// From the master's order until nothing is left.
    pub(crate) drain: Option<Drain>,
    /// Who waits to hear that an update (by its uuid) is taken care of; bounded as the streams are.
    pub(crate) senders: BTreeMap<(Key, Vec<u8>), Sender>,
    /// What waits for a record to be durable.
    tickets: BTreeMap<u64, Ticket>,
    next_ticket: u64,
    pub(crate) random: Random,
    pub(crate) counters: Counters,
}

/// What goes on when a record is durable.
#[derive(Clone, Debug)]
pub(crate) enum Ticket {
    Nothing,
    Launch(FrameworkId, ExecutorId, ContainerId),
    /// A driver that registers from there.
    Driver(FrameworkId, ExecutorId, ContainerId, Pid),
    Task(FrameworkId, ExecutorId, ContainerId, TaskId),
    Update(Key, u64),
    Drain,
    /// The agent ends.
    End(String),
    /// Resources that changed, by these operations.
    Resources(Vec<OperationUuid>),
    OperationUpdate(OperationUuid, u64),
}

impl Agent {
    pub fn new(config: Config, now: Time) -> Agent {
        let mut random = Random::new(config.seed);
        // Checkpointing by agents is always on; the field stays for masters that look at it.
        let info = AgentInfo { checkpoint: Some(true), id: None, ..config.info.clone() };
        Agent {
            info: Arc::new(info),
            id: None,
            state: State::Recovering,
            recovery: Recovery::default(),
            recovery_errors: 0,
            recovery_time: None,
            info_changed: false,
            leader: None,
            master: None,
            backoff: config.registration_backoff_factor,
            ping_timeout: crate::registration::DEFAULT_PING_TIMEOUT,
            start_time: now,
            resource_version: random.uuid().to_vec(),
            frameworks: IndexMap::new(),
            completed_frameworks: IndexMap::new(),
            containers: BTreeMap::new(),
            streams: BTreeMap::new(),
            updates: Streams::new(),
            operations: Operations::new(&config.info),
            oversubscribed: None,
            drain: None,
            senders: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            random,
            counters: Counters::default(),
            config,
        }
    }

    /// Takes one event and says what is to be done about it, in order.
    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        let turn = &mut Turn::new(now, effects);
        if let Some(event) = self.unless_recovering(turn, event) {
            self.event(turn, event);
        }
        self.finish_recovery_if_complete(turn);
    }

    fn event(&mut self, turn: &mut Turn<'_>, event: Event) {
        match event {
            Event::Recovered(recovered) => self.recover(turn, *recovered),
            Event::Detected { leader } => self.detected(turn, leader),
            Event::Message { from, name, body } => self.message(turn, &from, &name, &body),
            Event::Exited { pid } => self.exited(turn, &pid),
            Event::Subscribe { stream, reply, call } => self.subscribe(turn, stream, reply, &call),
            Event::ExecutorCall { reply, call } => self.executor_call(turn, reply, &call),
            Event::StreamClosed { stream } => self.stream_closed(turn, stream),
            Event::Container(event) => self.container_event(turn, event),
            Event::Estimated(estimate) => self.estimated(turn, estimate),
            Event::Corrections(corrections) => self.correct(turn, corrections),
            Event::ShutDown { reason } => self.shut_down(turn, &reason),
            Event::Persisted { ticket, outcome } => self.persisted(turn, ticket, outcome),
            Event::Timer(timer) => self.timer(turn, timer),
        }
    }

    fn timer(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        match timer {
            Timer::Register => self.register(turn),
            Timer::Ping => self.ping_timed_out(turn),
            Timer::ExecutorRegister(framework, executor, container) => {
                self.executor_register_timed_out(turn, &framework, &executor, &container);
            }
            Timer::ExecutorReregister => self.executor_reregister_timed_out(turn),
            Timer::ExecutorReconnect => self.ask_drivers_to_reconnect(turn),
            Timer::ExecutorShutdown(framework, executor, container) => {
                self.executor_shutdown_timed_out(turn, &framework, &executor, &container);
            }
            Timer::UpdateRetry(framework, task) => self.update_timer(turn, Key { framework, task }),
            Timer::OperationRetry(uuid) => self.operation_timer(turn, &uuid),
            Timer::Estimate => turn.effect(Effect::Estimate),
            Timer::Correct => turn.effect(Effect::Correct),
            Timer::Heartbeat => self.heartbeat(turn),
        }
    }

    fn container_event(&mut self, turn: &mut Turn<'_>, event: ContainerEvent) {
        match event {
            ContainerEvent::Recovered { running, destroyed } => {
                self.containers_recovered(turn, &running, destroyed);
            }
            ContainerEvent::RecoveryFailed { message } => {
                let reason = format!("Failed to recover containers: {message}");
                turn.effect(Effect::Abort { reason });
            }
            ContainerEvent::Launched { container, pid } => self.container_launched(turn, &container, pid),
            ContainerEvent::LaunchFailed { container, reason, message } => {
                self.container_launch_failed(turn, &container, reason, &message);
            }
            ContainerEvent::UpdateFailed { container, message } => {
                self.container_update_failed(turn, &container, &message);
            }
            ContainerEvent::Checked { container, limitation } => {
                self.container_checked(turn, &container, limitation.as_deref());
            }
            ContainerEvent::Exited { container, status, limitation } => {
                self.container_exited(turn, &container, status, limitation.as_deref());
            }
        }
    }

    /// Asks for a record to be made durable; `then` goes on when it is.
    pub(crate) fn persist(&mut self, turn: &mut Turn<'_>, record: Record, then: Ticket) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(ticket, then);
        turn.effect(Effect::Persist { ticket, record });
    }

    fn persisted(&mut self, turn: &mut Turn<'_>, ticket: u64, outcome: Result<(), String>) {
        let Some(then) = self.tickets.remove(&ticket) else {
            turn.error(format!("A record that nobody waits for is durable (ticket {ticket})"));
            return;
        };
        if let Err(error) = outcome {
            // Going on would promise what a restart could not keep.
            turn.effect(Effect::Abort { reason: format!("Failed to write a checkpoint: {error}") });
            return;
        }
        match then {
            Ticket::Nothing => {}
            Ticket::Launch(framework, executor, container) => {
                self.launch_is_durable(turn, &framework, &executor, &container);
            }
            Ticket::Driver(framework, executor, container, pid) => {
                self.driver_is_durable(turn, &framework, &executor, &container, &pid);
            }
            Ticket::Task(framework, executor, container, task) => {
                self.task_is_durable(turn, &framework, &executor, &container, &task);
            }
            Ticket::Update(key, entry) => self.update_is_durable(turn, &key, entry),
            Ticket::Drain => self.kill_all_tasks(turn),
            Ticket::End(reason) => turn.effect(Effect::Abort { reason }),
            Ticket::Resources(finished) => self.resources_are_durable(turn, finished),
            Ticket::OperationUpdate(uuid, entry) => self.operation_update_is_durable(turn, &uuid, entry),
        }
    }

    pub(crate) fn executor(&self, framework: &FrameworkId, executor: &ExecutorId) -> Option<&Executor> {
        self.frameworks.get(framework)?.executors.get(executor)
    }

    pub(crate) fn executor_mut(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
    ) -> Option<&mut Executor> {
        self.frameworks.get_mut(framework)?.executors.get_mut(executor)
    }

    /// The executor in just this container: a later run of the same executor is another one.
    pub(crate) fn run_mut(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        container: &ContainerId,
    ) -> Option<&mut Executor> {
        self.executor_mut(framework, executor).filter(|executor| executor.container == *container)
    }

    /// The id, or one that is no agent's before there is one.
    pub(crate) fn own_id(&self) -> AgentId {
        self.id.clone().unwrap_or_else(|| AgentId::from(""))
    }

    pub(crate) fn is_master(&self, pid: &Pid) -> bool {
        self.master.as_ref() == Some(pid)
    }
}
