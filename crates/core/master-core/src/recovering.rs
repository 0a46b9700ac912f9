//! A new master: what its registry knows, how long it waits for the agents in it, and for the frameworks that it knows
//! from agents.

use std::sync::Arc;
use std::time::Duration;

use messor_proto::mesos::TimeInfo;
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, resource_to_post_refinement};

use crate::effect::Effect;
use crate::event::Timer;
use crate::leading::Leadership;
use crate::master::Master;
use crate::notice::HEARTBEAT_INTERVAL;
use crate::state::Machines;
use crate::turn::Turn;

/// How many agents are named in a line of the log.
const MOST_NAMED: usize = 20;

impl Master {
    pub(crate) fn elected(&mut self, turn: &mut Turn<'_>, registry: &messor_registry::State) {
        if matches!(self.leadership, Leadership::Leading | Leadership::Over) {
            return;
        }
        self.leadership = Leadership::Leading;
        self.elected_time.get_or_insert(turn.now);
        self.recovered_time = turn.now;
        self.leader = Some(self.info.clone());
        for (id, agent) in registry.agents() {
            let mut info = agent.info.clone();
            // The registry keeps the older form of resources; what agents send is compared in the newer one.
            info.resources.iter_mut().for_each(resource_to_post_refinement);
            self.agents.recovered.insert(id.clone(), Arc::new(info));
            self.agents.remember_draining(id, agent.deactivated(), agent.drain_info);
        }
        for (id, agent) in registry.unreachable() {
            self.agents.unreachable.insert(id.clone(), time(&agent.timestamp));
            self.agents.remember_draining(id, agent.deactivated(), agent.drain_info);
        }
        self.maintenance = Machines::of(registry);
        self.agents.gone = registry.gone().map(|(id, agent)| (id.clone(), time(&agent.timestamp))).collect();
        turn.set_timer(Timer::Heartbeat, HEARTBEAT_INTERVAL);
        turn.set_timer(Timer::RegistryGc, self.config.registry_gc_interval);
        let expected = self.agents.recovered.len();
        self.agents.expected = expected;
        if expected > 0 {
            turn.set_timer(Timer::RecoveredAgents, self.config.agent_reregister_timeout);
        }
        self.recover_quota(turn, registry, expected);
        self.recover_weights(turn, registry);
        turn.info(format!(
            "leading: {expected} agents of the registry have {} to reregister",
            messor_stdx::format_duration(self.config.agent_reregister_timeout)
        ));
    }

    /// The agents of the registry had their time. Those that are missing are marked unreachable, unless they are so
    /// many that the fault is more likely here.
    pub(crate) fn recovery_time_over(&mut self, turn: &mut Turn<'_>) {
        let missing: Vec<AgentId> =
            self.agents.recovered.keys().filter(|id| !self.agents.is_busy(id)).cloned().collect();
        let share = missing.len() as f64 / self.agents.expected.max(1) as f64;
        let limit = self.config.recovery_agent_removal_limit;
        if share > limit {
            let mut names: Vec<&str> = missing.iter().take(MOST_NAMED).map(AgentId::as_str).collect();
            if missing.len() > MOST_NAMED {
                names.push("…");
            }
            let reason = format!(
                "{} of {} agents ({:.1}%) did not reregister within {} of the failover, more than \
                 --recovery_agent_removal_limit={}% allows: look for the cause, or raise the limit; missing: {}",
                missing.len(),
                self.agents.expected,
                share * 100.0,
                messor_stdx::format_duration(self.config.agent_reregister_timeout),
                limit * 100.0,
                names.join(", ")
            );
            return self.end(turn, reason);
        }
        for id in &missing {
            self.schedule_removal(turn, id);
        }
    }

    /// A framework that is known from agents alone has its failover_timeout to come back, and agents' time if that is
    /// longer: a framework with a failover_timeout of nothing survives a failover of the master, which it may hear of
    /// late. Both count from the failover. (Apache Mesos waits for ever: MESOS-4659.)
    pub(crate) fn wait_for_recovered_framework(&self, turn: &mut Turn<'_>, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let wait: Duration = framework.failover_timeout().max(self.config.agent_reregister_timeout);
        let at = (self.recovered_time + wait).max(turn.now);
        turn.push(Effect::SetTimer { timer: Timer::FrameworkFailover(id.clone()), at });
    }
}

fn time(time: &TimeInfo) -> Time {
    Time::from_nanos(u64::try_from(time.nanoseconds).unwrap_or_default())
}
