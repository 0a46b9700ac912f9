//! What the master's flags say to the allocator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_types::{ResourceName, ResourceQuantities, Role, Scalar};

/// How roles, and frameworks within a role, are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SorterKind {
    /// Who has the smallest dominant share by weight comes first.
    #[default]
    Drf,
    /// At random, those of more weight more often first.
    Random,
}

/// What puts roles in order, and what the frameworks of a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sorters {
    pub roles: SorterKind,
    pub frameworks: SorterKind,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// --allocation_interval: how often `Event::Tick` comes. No filter is shorter than this.
    pub allocation_interval: Duration,
    /// --role_sorter and --framework_sorter.
    pub sorters: Sorters,
    /// Where the order of agents, and of the random sorter, begins.
    pub seed: u64,
    /// --min_allocatable_resources: an offer holds at least one of these. None at all allows everything.
    pub min_allocatable_resources: Vec<ResourceQuantities>,
    /// --fair_sharing_excluded_resource_names.
    pub fair_sharing_excluded_resource_names: BTreeSet<ResourceName>,
    /// --filter_gpu_resources.
    pub filter_gpu_resources: bool,
    /// --allocator_agent_recovery_factor: which part of the agents of before, of 1.0, has to be back before a new
    /// master with quota offers anything.
    pub agent_recovery_factor: f64,
    /// --allocator_recovery_timeout: how long they are waited for.
    pub recovery_timeout: Duration,
    /// The region of the master's fault domain (--domain).
    pub region: Option<String>,
    /// --role_priorities. Without any, no role goes before another and nothing is preempted.
    pub role_priorities: Priorities,
    /// --preemption_delay: how long what a role is guaranteed may be lacking before others lose something for it.
    pub preemption_delay: Duration,
}

/// What roles come before others. A role that is not named has the priority of the nearest role above it that is, and 0
/// if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priorities(BTreeMap<Role, i32>);

impl Priorities {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn of(&self, role: &Role) -> i32 {
        if self.0.is_empty() {
            return 0;
        }
        let mut line = std::iter::once(role.clone()).chain(role.ancestors());
        line.find_map(|role| self.0.get(&role).copied()).unwrap_or(0)
    }
}

impl FromIterator<(Role, i32)> for Priorities {
    fn from_iter<I: IntoIterator<Item = (Role, i32)>>(pairs: I) -> Priorities {
        Priorities(pairs.into_iter().collect())
    }
}

impl Default for Options {
    fn default() -> Options {
        let quantity =
            |name: ResourceName, millis| [(name, Scalar::from_millis(millis))].into_iter().collect();
        Options {
            allocation_interval: Duration::from_secs(1),
            sorters: Sorters::default(),
            seed: 0,
            min_allocatable_resources: vec![
                quantity(ResourceName::CPUS, 10),
                quantity(ResourceName::MEM, 32_000),
            ],
            fair_sharing_excluded_resource_names: BTreeSet::new(),
            filter_gpu_resources: true,
            agent_recovery_factor: 0.8,
            recovery_timeout: Duration::from_secs(600),
            region: None,
            role_priorities: Priorities::default(),
            preemption_delay: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_come_from_the_nearest_role_above() {
        let priorities: Priorities = [("production", 100), ("production/try", -5)]
            .map(|(role, at)| (Role::new(role), at))
            .into_iter()
            .collect();
        let of = |role: &str| priorities.of(&Role::new(role));
        assert_eq!((of("production"), of("production/web/a"), of("production/try/b")), (100, 100, -5));
        assert_eq!((of("productions"), of("*"), of("batch")), (0, 0, 0));
        assert_eq!(Priorities::default().of(&Role::new("production")), 0);
    }
}
