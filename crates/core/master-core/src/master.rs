//! The machine itself: its state, and which part of it an event is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexSet;
use messor_proto::mesos::offer::operation;
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{MasterInfo, TaskState};
use messor_registry::Operation;
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId};

use crate::config::Config;
use crate::effect::Effect;
use crate::event::{Event, StreamId, Timer};
use crate::leading::Leadership;
use crate::metrics::Counters;
use crate::notice::{HEARTBEAT_INTERVAL, Notice};
use crate::operations::Asked;
use crate::quota::Quotas;
use crate::registering::Pending;
use crate::state::{Agents, Framework, Frameworks, InverseOffers, Machines, Offers, Operations};
use crate::turn::Turn;

/// The master. Feed it events with the time of each, and do what it says.
#[derive(Debug)]
pub struct Master {
    pub(crate) config: Config,
    pub(crate) info: Arc<MasterInfo>,
    pub(crate) start_time: Time,
    pub(crate) leadership: Leadership,
    /// Who leads, this master or another.
    pub(crate) leader: Option<Arc<MasterInfo>>,
    pub(crate) elected_time: Option<Time>,
    /// When it had its registry: agents and frameworks have their time to come back from then on.
    pub(crate) recovered_time: Time,
    pub(crate) agents: Agents,
    pub(crate) frameworks: Frameworks,
    pub(crate) offers: Offers,
    pub(crate) inverse_offers: InverseOffers,
    pub(crate) maintenance: Machines,
    pub(crate) quotas: Quotas,
    /// Weights that were set, by role.
    pub(crate) weights: BTreeMap<String, f64>,
    /// Operators' event streams, the oldest first.
    pub(crate) operators: IndexSet<StreamId>,
    /// What waits for the registry.
    pub(crate) pending: BTreeMap<u64, Pending>,
    pub(crate) next_ticket: u64,
    pub(crate) next_framework: u64,
    pub(crate) next_agent: u64,
    pub(crate) next_offer: u64,
    /// When the rate limit lets the next agent be marked unreachable.
    pub(crate) next_removal: Time,
    pub(crate) operations: Operations,
    /// Operators' operations that the allocator was asked about.
    pub(crate) asked: BTreeMap<u64, Asked>,
    pub(crate) counters: Counters,
    /// How many tasks of registered agents are in each state.
    pub(crate) task_states: BTreeMap<TaskState, u64>,
}

impl Master {
    pub fn new(config: Config, now: Time) -> Master {
        Master {
            operations: Operations::new(&config.info.id),
            info: Arc::new(config.info.clone()),
            config,
            start_time: now,
            leadership: Leadership::Standby,
            leader: None,
            elected_time: None,
            recovered_time: now,
            agents: Agents::default(),
            frameworks: Frameworks::default(),
            offers: Offers::default(),
            inverse_offers: InverseOffers::default(),
            maintenance: Machines::default(),
            quotas: Quotas::default(),
            weights: BTreeMap::new(),
            operators: IndexSet::new(),
            pending: BTreeMap::new(),
            next_ticket: 0,
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
            next_removal: Time::ZERO,
            asked: BTreeMap::new(),
            counters: Counters::default(),
            task_states: BTreeMap::new(),
        }
    }

    /// One event and what follows from it.
    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        let turn = &mut Turn { now, effects };
        match event {
            Event::LeaderDetected { leader } => self.leader_detected(turn, leader.map(|leader| *leader)),
            Event::Elected { registry } => self.elected(turn, &registry),
            Event::LeadershipLost => self.leadership_lost(turn),
            _ if self.leadership != Leadership::Leading => self.refuse(turn, event),
            Event::Message { from, message } => self.message(turn, from, message),
            Event::Exited { pid } => self.exited(turn, &pid),
            Event::Subscribe { stream, reply, principal, call } => {
                self.subscribe_by_http(turn, stream, reply, principal, *call);
            }
            Event::SchedulerCall { reply, principal, stream, call } => {
                self.scheduler_call(turn, reply, principal, stream, *call);
            }
            Event::StreamClosed { stream } => self.stream_closed(turn, stream),
            Event::OperatorSubscribe { stream, reply, .. } => self.operator_subscribed(turn, stream, reply),
            Event::Operator { reply, principal, call } => self.operator_call(turn, reply, principal, call),
            Event::Stored { ticket, outcome } => self.stored(turn, ticket, outcome),
            Event::Offer { framework, offers } => self.offer(turn, &framework, offers),
            Event::InverseOffer { framework, agents } => self.inverse_offer(turn, &framework, agents),
            Event::Available { ticket, outcome } => self.available(turn, ticket, outcome),
            Event::AskHeld { roles } => self.tell_held(turn, &roles),
            Event::Preempt(preemption) => self.preempt(turn, *preemption),
            Event::Timer(timer) => self.timer(turn, timer),
        }
    }

    fn timer(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        match timer {
            Timer::Heartbeat => {
                for framework in
                    self.frameworks.registered.values().filter(|framework| framework.stream.is_some())
                {
                    framework.tell(turn, Notice::Heartbeat);
                }
                self.publish_heartbeat(turn);
                turn.set_timer(Timer::Heartbeat, HEARTBEAT_INTERVAL);
            }
            Timer::Ping(agent) => self.ping_time(turn, &agent),
            Timer::RegistryGc => self.registry_gc_time(turn),
            Timer::RecoveredAgents => self.recovery_time_over(turn),
            Timer::AgentReregister(agent) => self.agent_did_not_reregister(turn, &agent),
            Timer::AgentRemoval(agent) => self.removal_permitted(turn, &agent),
            Timer::FrameworkFailover(framework) => self.failover_time_over(turn, &framework),
            Timer::Offer(offer) => {
                // The id is of one or the other.
                self.rescind(turn, &offer);
                self.rescind_inverse_offer(turn, &offer);
            }
        }
    }

    /// A link to a process broke: a driver's or an agent's.
    fn exited(&mut self, turn: &mut Turn<'_>, pid: &messor_types::Pid) {
        if let Some(framework) = self.frameworks.by_pid.get(pid).cloned() {
            if let Some(framework) = self.frameworks.get(&framework) {
                framework.tell(turn, Notice::Error("framework disconnected".to_string()));
            }
            self.framework_disconnected(turn, &framework);
        } else if let Some(agent) = self.agents.by_pid.get(pid).cloned() {
            self.agent_disconnected(turn, &agent);
        }
    }

    fn stream_closed(&mut self, turn: &mut Turn<'_>, stream: StreamId) {
        self.operators.shift_remove(&stream);
        // A stream that was replaced is not the framework's any more.
        if let Some(framework) = self.frameworks.by_stream.get(&stream).cloned() {
            self.framework_disconnected(turn, &framework);
        }
    }

    /// Asks the registry for a change; `pending` goes on when it is durable.
    pub(crate) fn store(&mut self, turn: &mut Turn<'_>, operation: Operation, pending: Pending) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, pending);
        turn.push(Effect::Store { ticket, operation });
    }

    fn stored(&mut self, turn: &mut Turn<'_>, ticket: u64, outcome: Result<bool, String>) {
        let Some(pending) = self.pending.remove(&ticket) else { return };
        let accepted = match outcome {
            Ok(accepted) => accepted,
            Err(error) => {
                // What was promised cannot be kept: another master has to take over.
                return self.end(turn, format!("the registry could not be written: {error}"));
            }
        };
        self.stored_pending(turn, pending, accepted);
    }

    pub(crate) fn count_task(&mut self, state: TaskState) {
        *self.task_states.entry(state).or_default() += 1;
    }

    pub(crate) fn uncount_task(&mut self, state: TaskState) {
        if let Some(count) = self.task_states.get_mut(&state) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn count_call(&mut self, framework: &FrameworkId, call: call::Type) {
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.counting.counts.calls.add(call, 1);
        }
    }

    pub(crate) fn count_operation(&mut self, framework: &FrameworkId, kind: operation::Type) {
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.counting.counts.operations.add(kind, 1);
        }
    }

    pub(crate) fn tell(&self, turn: &mut Turn<'_>, framework: &FrameworkId, notice: Notice) {
        if let Some(framework) = self.frameworks.get(framework) {
            framework.tell(turn, notice);
        }
    }

    /// Every connected framework hears that an agent is gone.
    pub(crate) fn tell_agent_lost(&self, turn: &mut Turn<'_>, agent: &AgentId) {
        for framework in self.frameworks.registered.values().filter(|framework| framework.connected()) {
            framework.tell(turn, Notice::AgentLost(agent.clone()));
        }
    }

    /// The framework of a message from a driver, if it is that driver's.
    pub(crate) fn framework_of(
        &self,
        from: &messor_types::Pid,
        id: &FrameworkId,
    ) -> Result<&Framework, String> {
        let framework = self.frameworks.get(id).ok_or_else(|| format!("framework {id} is not known"))?;
        if framework.record.pid.as_ref() != Some(from) {
            return Err(format!("framework {} is not at {from}", framework.name()));
        }
        Ok(framework)
    }
}
