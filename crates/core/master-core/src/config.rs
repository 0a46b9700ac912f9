//! What a master is told once, at its start.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_allocator::RegexLimits;
use messor_proto::mesos::{MasterInfo, WeightInfo};

/// The master's settings; names are those of the flags.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this master is: id, pid, addresses, version, capabilities, domain.
    pub info: MasterInfo,
    pub agent_ping_timeout: Duration,
    pub max_agent_ping_timeouts: u32,
    pub agent_reregister_timeout: Duration,
    pub agent_removal_rate_limit: Option<RateLimit>,
    /// Which part of the registry's agents, of 1.0, may be given up after a failover. When more did not come back, the
    /// master ends instead.
    pub recovery_agent_removal_limit: f64,
    /// How often to look for agents that the registry need no longer remember.
    pub registry_gc_interval: Duration,
    /// How long agents are remembered that are unreachable or gone, and how many of each.
    pub registry_max_agent_age: Duration,
    pub registry_max_agent_count: usize,
    /// Of --weights.
    pub weights: Vec<WeightInfo>,
    pub offer_timeout: Option<Duration>,
    pub max_completed_frameworks: usize,
    pub max_completed_tasks_per_framework: usize,
    pub max_unreachable_tasks_per_framework: usize,
    pub max_operator_event_stream_subscribers: usize,
    pub root_submissions: bool,
    /// The whitelist of --roles; `None` allows every role (U083).
    pub roles: Option<BTreeSet<String>>,
    pub require_agent_domain: bool,
    /// An agent with so many executors is not offered.
    pub max_executors_per_agent: Option<usize>,
    /// How large expressions in offer constraints may be.
    pub regex_limits: RegexLimits,
}

/// So many times in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub times: u32,
    pub per: Duration,
}

impl RateLimit {
    /// The time between two.
    pub fn interval(&self) -> Duration {
        self.per / self.times.max(1)
    }
}

impl Config {
    /// The defaults of Apache Mesos 1.11.0.
    pub fn new(info: MasterInfo) -> Config {
        Config {
            info,
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            agent_removal_rate_limit: None,
            recovery_agent_removal_limit: 1.0,
            registry_gc_interval: Duration::from_secs(900),
            registry_max_agent_age: Duration::from_secs(14 * 24 * 3600),
            registry_max_agent_count: 102_400,
            weights: Vec::new(),
            offer_timeout: None,
            max_completed_frameworks: 50,
            max_completed_tasks_per_framework: 1000,
            max_unreachable_tasks_per_framework: 1000,
            max_operator_event_stream_subscribers: 1000,
            root_submissions: true,
            roles: None,
            require_agent_domain: false,
            max_executors_per_agent: None,
            regex_limits: RegexLimits { max_mem_bytes: 4096, max_program_size: 100 },
        }
    }

    /// How long an agent may stay silent before it is marked unreachable; agents are told.
    pub(crate) fn total_ping_timeout(&self) -> Duration {
        self.agent_ping_timeout * self.max_agent_ping_timeouts
    }

    pub(crate) fn allows_role(&self, role: &str) -> bool {
        role == "*" || self.roles.as_ref().is_none_or(|roles| roles.contains(role))
    }
}
