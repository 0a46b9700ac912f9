//! The flags of mesos-master.

use std::time::Duration;

use crate::checks;
use crate::common::{CommonFlags, VersionFlags};
use crate::definition::{Prefix, Program};
use crate::libprocess::MESOS;
use crate::logging::LoggingFlags;
use crate::macros::flag_set;
use crate::parse::FlagError;
use crate::value::{Json, List, Location, NumberMap, Secret, Size};

flag_set! {
    /// What `mesos-master` is told.
    pub struct MasterFlags {
        include common: CommonFlags;
        include version: VersionFlags;
        include logging: LoggingFlags;

        "Address" {
            ip: Option<String>
                => "IP address to listen on. Not together with --ip_discovery_command.";
            port: u16 = "5050"
                => "Port to listen on.";
            advertise_ip: Option<String>
                => "IP address at which others reach this master, if it is not the one it listens on.";
            advertise_port: Option<u16>
                => "Port at which others reach this master, if it is not the one it listens on.";
            ip_discovery_command: Option<String>
                => "Command that prints the IP address to listen on. Not together with --ip.";
            hostname: Option<String>
                => "Host name to advertise. Without it, the name that the advertised IP address resolves to.";
            hostname_lookup: bool = "true"
                => "Whether to look up a host name when --hostname is not given. If not, the IP address is the name.";
            domain: Option<Json>, check checks::domain
                => "Fault domain (region and zone) of this master, as JSON: {\"fault_domain\": {\"region\": {\"name\": \"r\"}, \"zone\": {\"name\": \"z\"}}}. All masters of a cluster must be in one region.";
            http_cors_allowed_origins: Option<List>, check checks::origins
                => "Origins whose pages may read the answers of this master in a browser and send credentials along: https://host:port, ... Or * alone: any page may, but without credentials. Without it, none may. Not in Apache Mesos.";
        }

        "Cluster" {
            cluster: Option<String>
                => "Name of the cluster, for people.";
            zk: Option<Secret>
                => "Address of ZooKeeper, for leader election among masters: zk://host1:port1,host2:port2/path, zk://user:password@host1:port1/path, or file://PATH of a file with one of these. Not needed for a single master.";
            zk_session_timeout: Duration = "10secs"
                => "Session timeout of ZooKeeper.";
            master_contender: Option<String>, not_yet "modules cannot be loaded"
                => "Master contender from a module. Together with --master_detector, not with --zk.";
            master_detector: Option<String>, not_yet "modules cannot be loaded"
                => "Master detector from a module. Together with --master_contender, not with --zk.";
        }

        "Registry" {
            work_dir: Option<String>
                => "Directory for what must outlive this master: the registry. Needed unless the registry is in memory. A directory that is cleaned by itself, such as /tmp, is no good.";
            registry: String = "replicated_log", check checks::registry
                => "Where the registry is kept: replicated_log, or in_memory for tests.";
            quorum: Option<u32>, check checks::at_least_one
                => "How many replicas of the registry must agree: more than half of the masters. Needed with --zk.";
            log_auto_initialize: bool = "true"
                => "Whether to initialize the replicated log of the registry when it is new. If not, it must be done by hand (mesos-log initialize).";
            registry_fetch_timeout: Duration = "1mins"
                => "How long reading the registry may take before it counts as failed.";
            registry_store_timeout: Duration = "20secs"
                => "How long writing the registry may take before it counts as failed.";
            registry_gc_interval: Duration = "15mins", check checks::more_than_nothing
                => "How often to look for agents that the registry need no longer remember.";
            registry_max_agent_age: Duration = "2weeks"
                => "How long to remember agents that are unreachable or gone.";
            registry_max_agent_count: u64 = "102400"
                => "How many agents that are unreachable or gone to remember.";
            registry_strict: bool = "false", refused "strict registries are no longer possible: leave the flag out"
                => "No longer possible; only false is accepted.";
        }

        "Agents" {
            agent_ping_timeout: Duration = "15secs", alias "slave_ping_timeout", check checks::agent_ping_timeout
                => "How long an agent has to answer a ping, from 1secs to 15mins. One that misses --max_agent_ping_timeouts pings becomes unreachable. The product of both should be more than ZooKeeper's session timeout.";
            max_agent_ping_timeouts: u32 = "5", alias "max_slave_ping_timeouts", check checks::at_least_one
                => "How many pings in a row an agent may miss.";
            agent_reregister_timeout: Duration = "10mins", alias "slave_reregister_timeout", check checks::agent_reregister_timeout
                => "How long agents have to come back after they were disconnected or a new master was elected, at least 10mins. Then they become unreachable.";
            agent_removal_rate_limit: Option<String>, alias "slave_removal_rate_limit", check checks::rate
                => "How many agents may be removed in which time for failed health checks, such as 1/10mins or 2/3hrs. Without it, each at once.";
            recovery_agent_removal_limit: String = "100%", alias "recovery_slave_removal_limit", check checks::percentage
                => "Percentage of agents that may be removed when they do not come back after a failover. If more are missing, the master exits rather than remove them.";
            whitelist: Option<Location>
                => "File with the agents whose resources may be offered, a host name on each line; read again and again. Without it, all.";
            require_agent_domain: bool = "false"
                => "Whether an agent without a fault domain is turned away.";
            max_executors_per_agent: Option<u32>, alias "max_executors_per_slave"
                => "An agent with so many executors is offered to nobody until one ends. A task without an executor of its own counts as one.";
        }

        "Allocation" {
            allocator: String = "hierarchical", check allocator
                => "Allocator: hierarchical, or one from a module. HierarchicalDRF means the same.";
            allocation_interval: Duration = "1secs", check checks::more_than_nothing
                => "Time between two rounds of offers.";
            role_sorter: String = "drf", alias "user_sorter", check checks::sorter
                => "How roles share: drf or random.";
            framework_sorter: String = "drf", check checks::sorter
                => "How the frameworks of a role share: drf or random.";
            min_allocatable_resources: String = "cpus:0.01|mem:32"
                => "Least quantities worth an offer: sets with | between them, of which one must be met; in a set, NAME:QUANTITY with ; between them, of which all must be met.";
            fair_sharing_excluded_resource_names: Option<List>
                => "Names of resources, such as gpus, that do not count for shares.";
            filter_gpu_resources: bool = "true"
                => "Whether agents with GPUs are offered only to frameworks with the capability GPU_RESOURCES.";
            offer_timeout: Option<Duration>
                => "How long a framework may hold an offer. Without it, as long as it likes.";
            roles: Option<String>
                => "Deprecated: the only roles that frameworks may have, with commas in between. Without it, any.";
            weights: Option<String>
                => "Deprecated: ROLE=WEIGHT with commas in between. Use the endpoint /weights in its place.";
            role_priorities: Option<NumberMap>
                => "Priorities of roles, as JSON: {\"production\": 100, \"batch\": -10}. Roles of higher priority are offered resources first; and what such a role is guaranteed by quota and lacks is taken from roles of lower priority: their offers are rescinded, then tasks are killed (see --preemption_delay). A role that is not named has the priority of the nearest role above it, or 0. Without the flag no role goes before another and nothing is preempted. Not in Apache Mesos.";
            preemption_delay: Option<Duration>
                => "With --role_priorities: for how long a role must lack some of what it is guaranteed before something of others is taken for it. Without it, 30secs. Not in Apache Mesos.";
            allocator_agent_recovery_factor: f64 = "0.8", check checks::fraction
                => "Part of the known agents that must be back after a failover before offers are made.";
            allocator_recovery_timeout: Duration = "10mins"
                => "How long to wait for --allocator_agent_recovery_factor after a failover.";
            offer_constraints_re2_max_mem: Size = "4KB"
                => "Most memory for a regular expression in a framework's offer constraints.";
            offer_constraints_re2_max_program_size: u32 = "100"
                => "Most steps of a regular expression in a framework's offer constraints.";
        }

        "Frameworks" {
            root_submissions: bool = "true"
                => "Whether frameworks of user root are welcome.";
            max_completed_frameworks: u64 = "50"
                => "How many completed frameworks to remember.";
            max_completed_tasks_per_framework: u64 = "1000"
                => "How many completed tasks of each framework to remember.";
            max_unreachable_tasks_per_framework: u64 = "1000"
                => "How many unreachable tasks of each framework to remember.";
            publish_per_framework_metrics: bool = "true"
                => "Whether each framework has its own metrics. With very many frameworks they are too much.";
            rate_limits: Option<Json>, not_yet "rate limits of frameworks are not built"
                => "Limits on the messages of frameworks, as JSON: {\"limits\": [{\"principal\": \"p\", \"qps\": 55.5}], \"aggregate_default_qps\": 33.3}.";
        }

        "Authentication and authorization" {
            authenticate_frameworks: bool = "false", alias "authenticate", not_yet "authentication is not built"
                => "Whether only authenticated frameworks may register over libprocess.";
            authenticate_agents: bool = "false", alias "authenticate_slaves", not_yet "authentication is not built"
                => "Whether only authenticated agents may register.";
            authentication_v0_timeout: Duration = "15secs", no_effect "authentication is not built"
                => "How long an authentication over libprocess may take.";
            authenticate_http_readwrite: bool = "false", alias "authenticate_http", not_yet "authentication is not built"
                => "Whether HTTP endpoints that change something need authentication.";
            authenticate_http_readonly: bool = "false", not_yet "authentication is not built"
                => "Whether HTTP endpoints that only show something need authentication.";
            authenticate_http_frameworks: bool = "false", not_yet "authentication is not built"
                => "Whether only authenticated frameworks may subscribe over HTTP.";
            credentials: Option<Location>, not_yet "authentication is not built"
                => "File with principals and secrets, as JSON: {\"credentials\": [{\"principal\": \"p\", \"secret\": \"s\"}]}.";
            authenticators: String = "crammd5", not_yet "authentication is not built"
                => "Authenticator for frameworks and agents: crammd5, or one from a module.";
            http_authenticators: String = "basic", not_yet "authentication is not built"
                => "Authenticator for HTTP: basic, or one from a module.";
            http_framework_authenticators: Option<String>, not_yet "authentication is not built"
                => "Authenticator for frameworks over HTTP: basic, or one from a module. Together with --authenticate_http_frameworks.";
            authorizers: String = "local", not_yet "modules cannot be loaded"
                => "Authorizer: local, which follows --acls, or one from a module.";
            acls: Option<Json>, not_yet "authorization is not built"
                => "Who may do what, as JSON: {\"register_frameworks\": [{\"principals\": {\"type\": \"ANY\"}, \"roles\": {\"values\": [\"a\"]}}]}.";
            firewall_rules: Option<Json>, not_yet "disabling endpoints is not built"
                => "Endpoints that are not to be served, as JSON: {\"disabled_endpoints\": {\"paths\": [\"/files/browse\"]}}.";
        }

        "Modules and endpoints" {
            modules: Option<Json>, not_yet "modules cannot be loaded"
                => "Modules to load, as JSON. Not together with --modules_dir.";
            modules_dir: Option<Location>, not_yet "modules cannot be loaded"
                => "Directory of files, each with modules to load, taken in the order of their names. Not together with --modules.";
            hooks: Option<String>, not_yet "modules cannot be loaded"
                => "Hooks from modules, with commas in between.";
            webui_dir: Location = "/usr/share/mesos/webui", no_effect "the web page is part of the program"
                => "Directory of the files of the web page.";
            max_operator_event_stream_subscribers: u32 = "1000", check checks::at_least_one
                => "How many may follow the operator event stream at once. One more, and the oldest is cut off.";
            memory_profiling: bool = "false", no_effect "there is no memory profiler in this program"
                => "Whether the memory profiler has endpoints.";
        }
    }
}

fn allocator(text: &str) -> Result<(), String> {
    match text {
        "hierarchical" | "HierarchicalDRF" => Ok(()),
        other => Err(format!(
            "'{other}' would come from a module, and modules cannot be loaded yet; leave the flag out"
        )),
    }
}

impl Program for MasterFlags {
    const NAME: &'static str = "mesos-master";
    const ABOUT: &'static str =
        "The master: knows agents and frameworks, and offers the resources of the ones to the others.";
    const PREFIXES: &'static [Prefix] = MESOS;

    fn validate(&self) -> Result<(), FlagError> {
        let wrong = |text: &str| Err(FlagError::Combination(text.to_string()));
        if self.ip.is_some() && self.ip_discovery_command.is_some() {
            return wrong("--ip and --ip_discovery_command cannot go together: give one of them");
        }
        if self.modules.is_some() && self.modules_dir.is_some() {
            return wrong("--modules and --modules_dir cannot go together: give one of them");
        }
        if self.master_contender.is_some() != self.master_detector.is_some() {
            return wrong("--master_contender and --master_detector go together: give both or none");
        }
        if self.zk.is_some() && self.master_contender.is_some() {
            return wrong(
                "--zk cannot go with --master_contender and --master_detector: give one or the others",
            );
        }
        if self.registry == "in_memory" {
            return Ok(());
        }
        if self.work_dir.as_deref().is_none_or(str::is_empty) {
            return wrong(
                "--work_dir is required for a registry in the replicated log: give --work_dir=PATH or set MESOS_WORK_DIR",
            );
        }
        if self.zk.is_some() && self.quorum.is_none() {
            return wrong("--quorum is required with --zk: give more than half the number of masters");
        }
        Ok(())
    }
}
