//! What the master's flags say to the allocator.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_types::{ResourceName, ResourceQuantities, Scalar};

/// How roles, and frameworks within a role, are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SorterKind {
    /// Who has the smallest dominant share by weight comes first.
    #[default]
    Drf,
    /// At random, those of more weight more often first.
    Random,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// --allocation_interval: how often `Event::Tick` comes. No filter is shorter than this.
    pub allocation_interval: Duration,
    /// --role_sorter and --framework_sorter.
    pub sorter: SorterKind,
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
}

impl Default for Options {
    fn default() -> Options {
        let quantity =
            |name: ResourceName, millis| [(name, Scalar::from_millis(millis))].into_iter().collect();
        Options {
            allocation_interval: Duration::from_secs(1),
            sorter: SorterKind::Drf,
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
        }
    }
}
