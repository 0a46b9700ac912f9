//! What an agent is told when it starts. Where it comes from (flags, environment, the host) is not known here.

use std::net::Ipv6Addr;

use messor_proto::mesos::agent_info::capability::Type as Capability;
use messor_proto::mesos::{AgentInfo, ContainerInfo};
use messor_stdx::Duration;
use messor_types::Pid;

/// The version of Apache Mesos that this agent speaks, as it tells the master.
pub const MESOS_VERSION: &str = "1.11.0";

/// What an agent says it can do, unless it is told to leave something out: all that 1.11.0 has, each honestly carried.
///
/// The first three are about the format of roles and reservations, without which a master downgrades what it sends.
/// TASK_RESOURCE_LIMITS: limits are checked against the isolators and refused where none enforces them, as 1.11.0 does.
/// RESOURCE_PROVIDER: operations come one by one and are answered; of resource providers themselves there are none.
pub const CAPABILITIES: [Capability; 8] = [
    Capability::MultiRole,
    Capability::HierarchicalRole,
    Capability::ReservationRefinement,
    Capability::ResourceProvider,
    Capability::ResizeVolume,
    Capability::AgentOperationFeedback,
    Capability::AgentDraining,
    Capability::TaskResourceLimits,
];

/// --reconfiguration_policy: what may differ from the agent of before whose id is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconfigurationPolicy {
    Equal,
    Additive,
}

/// --recover: what becomes of executors that an agent of before left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recover {
    Reconnect,
    /// End them, then end.
    Cleanup,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `slave(1)@ip:port`, as others reach it.
    pub pid: Pid,
    /// Also told as an address of containers in the host's network.
    pub ip6: Option<Ipv6Addr>,
    /// Without an id.
    pub info: AgentInfo,
    /// Absolute.
    pub work_dir: String,
    /// Absolute; the command executor's program is `mesos-executor` in it.
    pub launcher_dir: String,
    /// Where the sandbox is mounted in a container with an image.
    pub sandbox_directory: String,
    /// Whether executors run as the user that the task or the framework names.
    pub switch_user: bool,
    /// The isolators, as `--isolation` gives them: `posix/cpu,posix/mem`.
    pub isolation: String,
    /// Whether a container that takes too much memory is ended for that. What its executor says of a task that failed may then
    /// be the half of it, and the containerizer is asked first.
    pub limits_memory: bool,
    /// Whether CPUs are limited to what is promised (--cgroups_enable_cfs).
    pub cgroups_enable_cfs: bool,
    /// For executors that give no container of their own.
    pub default_container_info: Option<ContainerInfo>,
    pub executor_environment_variables: Vec<(String, String)>,
    /// LIBPROCESS_IP in the agent's own environment.
    pub libprocess_ip: Option<String>,
    /// The library for JVM and Python executors, where there is one on this host.
    pub native_library: Option<String>,
    /// The socket in the file system over which executors come; None: they come over TCP.
    pub domain_socket: Option<String>,
    pub frameworks_home: Option<String>,
    pub fetcher_stall_timeout: Duration,
    pub registration_backoff_factor: Duration,
    pub executor_registration_timeout: Duration,
    pub executor_reregistration_timeout: Duration,
    /// How often an executor with a driver is asked again to reconnect; None: it is asked once.
    pub executor_reregistration_retry_interval: Option<Duration>,
    pub executor_shutdown_grace_period: Duration,
    pub reconfiguration_policy: ReconfigurationPolicy,
    pub recover: Recover,
    /// What the agent says it can do (--agent_features).
    pub capabilities: Vec<Capability>,
    pub recovery_timeout: Duration,
    pub max_completed_executors_per_framework: usize,
    /// Between two estimates of what can be promised twice; None: there is no resource estimator.
    pub oversubscribed_resources_interval: Option<Duration>,
    /// Between two rounds of corrections; None: there is no QoS controller.
    pub qos_correction_interval: Option<Duration>,
    /// Of everything random: ids of containers and updates, backoff.
    pub seed: u64,
}

impl Config {
    /// With the defaults of the flags.
    pub fn new(pid: Pid, info: AgentInfo, work_dir: &str, launcher_dir: &str) -> Config {
        Config {
            pid,
            ip6: None,
            info,
            work_dir: work_dir.to_string(),
            launcher_dir: launcher_dir.to_string(),
            sandbox_directory: "/mnt/mesos/sandbox".to_string(),
            switch_user: true,
            isolation: "posix/cpu,posix/mem".to_string(),
            limits_memory: false,
            cgroups_enable_cfs: false,
            default_container_info: None,
            executor_environment_variables: Vec::new(),
            libprocess_ip: None,
            native_library: None,
            domain_socket: None,
            frameworks_home: None,
            fetcher_stall_timeout: Duration::from_secs(60),
            registration_backoff_factor: Duration::from_secs(1),
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(2),
            executor_reregistration_retry_interval: None,
            executor_shutdown_grace_period: Duration::from_secs(5),
            reconfiguration_policy: ReconfigurationPolicy::Equal,
            recover: Recover::Reconnect,
            capabilities: CAPABILITIES.to_vec(),
            recovery_timeout: Duration::from_secs(15 * 60),
            max_completed_executors_per_framework: 150,
            oversubscribed_resources_interval: None,
            qos_correction_interval: None,
            seed: 0,
        }
    }
}
