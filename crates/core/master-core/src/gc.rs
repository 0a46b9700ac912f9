//! What the registry need not remember for ever: agents that have been unreachable or gone for long, or are too many.

use indexmap::IndexMap;
use messor_registry::Operation;
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId};

use crate::config::Config;
use crate::event::Timer;
use crate::master::Master;
use crate::registering::Pending;
use crate::turn::Turn;

/// The oldest of those that are too many, and each that is too old. The list is in the order of being marked; times may
/// not be, as clocks of masters differ.
fn too_old_or_many(config: &Config, now: Time, agents: &IndexMap<AgentId, Time>) -> Vec<AgentId> {
    let too_many = agents.len().saturating_sub(config.registry_max_agent_count);
    let is_over =
        |index: usize, marked: Time| index < too_many || now.since(marked) > config.registry_max_agent_age;
    let all = agents.iter().enumerate();
    all.filter(|(index, (_, marked))| is_over(*index, **marked)).map(|(_, (id, _))| id.clone()).collect()
}

impl Master {
    pub(crate) fn registry_gc_time(&mut self, turn: &mut Turn<'_>) {
        turn.set_timer(Timer::RegistryGc, self.config.registry_gc_interval);
        let unreachable = too_old_or_many(&self.config, turn.now, &self.agents.unreachable);
        let gone = too_old_or_many(&self.config, turn.now, &self.agents.gone);
        if unreachable.is_empty() && gone.is_empty() {
            return;
        }
        let operation = Operation::Prune { unreachable: unreachable.clone(), gone: gone.clone() };
        self.store(turn, operation, Pending::Prune { unreachable, gone });
    }

    /// The registry knows them no more. One that came back meanwhile is not among ours either.
    pub(crate) fn agents_pruned(&mut self, turn: &mut Turn<'_>, unreachable: &[AgentId], gone: &[AgentId]) {
        let mut counts = [0, 0];
        for id in unreachable {
            if self.agents.unreachable.shift_remove(id).is_some() {
                counts[0] += 1;
                self.agents.forget_draining(id);
                self.forget_unreachable_tasks_of(id);
            }
        }
        for id in gone {
            counts[1] += usize::from(self.agents.gone.shift_remove(id).is_some());
        }
        let [unreachable, gone] = counts;
        turn.info(format!("the registry forgot {unreachable} unreachable and {gone} gone agents"));
    }

    /// Whoever asks for them later hears TASK_UNKNOWN.
    fn forget_unreachable_tasks_of(&mut self, agent: &AgentId) {
        let frameworks: Vec<FrameworkId> =
            self.agents.lost_frameworks.remove(agent).unwrap_or_default().into_iter().collect();
        for framework in frameworks {
            if let Some(framework) = self.frameworks.get_mut(&framework) {
                framework.take_unreachable_of(agent);
            }
        }
    }
}
