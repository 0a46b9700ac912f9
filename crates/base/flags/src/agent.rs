//! The flags of mesos-agent, but for those of isolation, images and networks (see `containers`).

use std::time::Duration;

use crate::checks;
use crate::common::{CommonFlags, VersionFlags};
use crate::containers::{ContainerFlags, NetworkFlags, PortMappingFlags, isolators};
use crate::definition::{Prefix, Program};
use crate::libprocess::MESOS;
use crate::logging::LoggingFlags;
use crate::macros::flag_set;
use crate::parse::FlagError;
use crate::value::{Json, List, Location, Secret, Size, TextMap};

flag_set! {
    /// What `mesos-agent` is told.
    pub struct AgentFlags {
        include common: CommonFlags;
        include version: VersionFlags;
        include logging: LoggingFlags;
        include containers: ContainerFlags;
        include network: NetworkFlags;
        include port_mapping: PortMappingFlags;

        "Address" {
            ip: Option<String>
                => "IP address to listen on. Not together with --ip_discovery_command.";
            port: u16 = "5051"
                => "Port to listen on.";
            advertise_ip: Option<String>
                => "IP address at which others reach this agent, if it is not the one it listens on.";
            advertise_port: Option<u16>
                => "Port at which others reach this agent, if it is not the one it listens on.";
            ip_discovery_command: Option<String>
                => "Command that prints the IP address to listen on. Not together with --ip.";
            ip6: Option<String>, not_yet "IPv6 addresses are not advertised to containers"
                => "IPv6 address to advertise to containers of the host network. Nothing listens there. Not together with --ip6_discovery_command.";
            ip6_discovery_command: Option<String>, not_yet "IPv6 addresses are not advertised to containers"
                => "Command that prints the address for --ip6.";
            hostname: Option<String>
                => "Host name to advertise. Without it, the name that the advertised IP address resolves to.";
            hostname_lookup: bool = "true"
                => "Whether to look up a host name when --hostname is not given. If not, the IP address is the name.";
            domain: Option<Json>, check checks::domain
                => "Fault domain (region and zone) of this agent, as JSON: {\"fault_domain\": {\"region\": {\"name\": \"r\"}, \"zone\": {\"name\": \"z\"}}}. In another region than the master, only frameworks with the capability REGION_AWARE get its offers.";
            http_cors_allowed_origins: Option<List>, check checks::origins
                => "Origins whose pages may read the answers of this agent in a browser and send credentials along: https://host:port, ... Or * alone: any page may, but without credentials. Without it, none may. Not in Apache Mesos.";
        }

        "Master" {
            master: Option<Secret>
                => "The master: HOST:PORT, zk://host1:port1,host2:port2/path, zk://user:password@host1:port1/path, or file://PATH of a file with one of these.";
            master_detector: Option<String>, not_yet "modules cannot be loaded"
                => "Master detector from a module, in the place of --master.";
            zk_session_timeout: Duration = "10secs"
                => "Session timeout of ZooKeeper.";
            registration_backoff_factor: Duration = "1secs", check checks::registration_backoff_factor
                => "Registration waits a random time up to this, twice that before the next attempt, and so on, up to 1mins.";
            authenticatee: String = "crammd5", not_yet "authentication is not built"
                => "Authenticatee towards the master: crammd5, or one from a module.";
            credential: Option<Location>, not_yet "authentication is not built"
                => "File with this agent's principal and secret for the master, as JSON: {\"principal\": \"p\", \"secret\": \"s\"}.";
            authentication_backoff_factor: Duration = "1secs", no_effect "authentication is not built"
                => "An attempt to authenticate may take a random time from --authentication_timeout_min to that plus this, doubled with each failure.";
            authentication_timeout_min: Duration = "5secs", no_effect "authentication is not built"
                => "Least time for an attempt to authenticate.";
            authentication_timeout_max: Duration = "1mins", no_effect "authentication is not built"
                => "Most time for an attempt to authenticate.";
        }

        "Resources" {
            resources: Option<String>
                => "Resources of this agent: NAME(ROLE):VALUE with ; in between, such as cpus:4;mem:2048;ports:[31000-32000], or JSON. What is left out is found out.";
            attributes: Option<String>
                => "Attributes of this agent, such as rack:2;u:1.";
            default_role: String = "*"
                => "Role of resources for which --resources names none.";
            resource_provider_config_dir: Option<Location>, not_yet "local resource providers are not built"
                => "Directory of files, each with a local resource provider, as JSON.";
            csi_plugin_config_dir: Option<Location>, not_yet "CSI plugins are not built"
                => "Directory of files, each with a CSI plugin, as JSON.";
            disk_profile_adaptor: Option<String>, not_yet "modules cannot be loaded"
                => "Disk profile adaptor from a module, for storage of resource providers.";
            resource_estimator: Option<String>
                => "Estimator of resources that may be promised twice: org_apache_mesos_FixedResourceEstimator, with its parameter 'resources' in --modules.";
            qos_controller: Option<String>
                => "Controller that ends revocable work that gets in the way: org_apache_mesos_LoadQoSController, with its parameters 'load_threshold_5min' and 'load_threshold_15min' in --modules.";
            qos_correction_interval_min: Duration = "0secs"
                => "Least time between two corrections of the QoS controller; less than 1secs is 1secs.";
            oversubscribed_resources_interval: Duration = "15secs"
                => "Time between two estimates of resources that may be promised twice.";
            agent_features: Option<Json>, check checks::agent_features
                => "Features to announce, as JSON: {\"capabilities\": [{\"type\": \"MULTI_ROLE\"}]}. MULTI_ROLE, HIERARCHICAL_ROLE, RESERVATION_REFINEMENT, AGENT_OPERATION_FEEDBACK, RESOURCE_PROVIDER, AGENT_DRAINING and TASK_RESOURCE_LIMITS cannot be left out.";
        }

        "Recovery" {
            work_dir: String
                => "Directory for sandboxes and for what must outlive this agent. A directory that is cleaned by itself, such as /tmp, is no good.";
            runtime_dir: String = "/var/run/mesos"
                => "Directory for what must outlive this agent's process but not the machine's reboot. Where /var/run cannot be written: mesos/runtime in the directory of temporary files.";
            recover: String = "reconnect", check checks::recover
                => "What becomes of executors that ran before: reconnect to them, or cleanup: kill them and exit.";
            recovery_timeout: Duration = "15mins"
                => "How long executors wait for an agent that is gone before they exit.";
            strict: bool = "true"
                => "Whether any error of recovery ends the agent. If not, what can be recovered is.";
            reconfiguration_policy: String = "equal", check checks::reconfiguration_policy
                => "What may change between this run and the one before: equal: nothing; additive: resources, attributes and a domain may be added.";
        }

        "Executors" {
            launcher_dir: String = "/usr/libexec/mesos"
                => "Directory of the programs that the agent starts: fetcher, containerizer, executors.";
            executor_registration_timeout: Duration = "1mins"
                => "How long an executor has to register.";
            executor_reregistration_timeout: Duration = "2secs", check checks::executor_reregistration_timeout
                => "How long an executor has to come back after the agent's restart, at most 15secs.";
            executor_reregistration_retry_interval: Option<Duration>
                => "How long to wait before an executor without HTTP is asked once more to reconnect. Without it, it is asked once.";
            executor_shutdown_grace_period: Duration = "5secs"
                => "How long an executor has to shut down, unless it says otherwise.";
            executor_environment_variables: Option<TextMap>
                => "Environment of executors, as JSON: {\"PATH\": \"/bin:/usr/bin\"}. They inherit nothing of the agent's.";
            http_command_executor: bool = "false", not_needed "the command executor always speaks HTTP"
                => "Whether the command executor speaks HTTP.";
            max_completed_executors_per_framework: u64 = "150"
                => "How many completed executors of each framework to remember.";
            frameworks_home: String = ""
                => "Directory that relative URIs of executors begin at.";
            switch_user: bool = "true"
                => "Whether tasks run as the user that their framework names. If not, as the agent's user.";
            secret_resolver: Option<String>, not_yet "modules cannot be loaded"
                => "Resolver of secrets from a module. Without it, secrets by value are resolved and others are errors.";
        }

        "Sandboxes and artifacts" {
            gc_delay: Duration = "1weeks"
                => "How long the directories of executors that are done are kept. Less, if the disk fills up.";
            gc_disk_headroom: f64 = "0.1", check checks::fraction
                => "Part of the disk to keep free: directories are kept for gc_delay * max(0, 1 - gc_disk_headroom - disk usage).";
            gc_non_executor_container_sandboxes: bool = "false"
                => "Whether sandboxes of nested and standalone containers are collected too.";
            disk_watch_interval: Duration = "1mins", check checks::more_than_nothing
                => "Time between two looks at how full the disk is.";
            fetcher_cache_size: Size = "2GB"
                => "Size of the cache of fetched artifacts.";
            fetcher_cache_dir: String = "{tmp}/mesos/fetch"
                => "Directory of the cache of fetched artifacts. It is emptied when the agent starts.";
            fetcher_stall_timeout: Duration = "1mins"
                => "How long a download may stand still.";
            hadoop_home: Option<Location>
                => "Where Hadoop is, for hdfs:// artifacts. Without it, HADOOP_HOME, or hadoop on the PATH.";
            container_logger: Option<String>
                => "Logger of containers' standard output and error: org_apache_mesos_LogrotateContainerLogger, which needs logrotate; its parameters are in --modules. Without it, the files stdout and stderr in the sandbox, which grow.";
        }

        "Authentication and authorization" {
            authenticate_http_readwrite: bool = "false", not_yet "authentication is not built"
                => "Whether HTTP endpoints that change something need authentication.";
            authenticate_http_readonly: bool = "false", not_yet "authentication is not built"
                => "Whether HTTP endpoints that only show something need authentication.";
            authenticate_http_executors: bool = "false", not_yet "authentication is not built"
                => "Whether only authenticated executors may use the HTTP API. Needs --jwt_secret_key.";
            http_credentials: Option<Location>, not_yet "authentication is not built"
                => "File with principals and secrets for HTTP endpoints, as JSON: {\"credentials\": [{\"principal\": \"p\", \"secret\": \"s\"}]}.";
            http_authenticators: Option<String>, not_yet "authentication is not built"
                => "Authenticator for HTTP: basic, or one from a module. Without it, basic, and JWT with --authenticate_http_executors.";
            jwt_secret_key: Option<Location>, alias "executor_secret_key", not_yet "authentication is not built"
                => "File with the key with which executors' tokens are made.";
            authorizer: String = "local", not_yet "modules cannot be loaded"
                => "Authorizer: local, which follows --acls, or one from a module.";
            acls: Option<Json>, not_yet "authorization is not built"
                => "Who may do what, as JSON: {\"get_endpoints\": [{\"principals\": {\"values\": [\"a\"]}, \"paths\": {\"values\": [\"/flags\"]}}]}.";
            firewall_rules: Option<Json>, not_yet "disabling endpoints is not built"
                => "Endpoints that are not to be served, as JSON: {\"disabled_endpoints\": {\"paths\": [\"/files/browse\"]}}.";
        }

        "Modules and endpoints" {
            modules: Option<Json>
                => "Modules and their parameters, as JSON: {\"libraries\": [{\"modules\": [{\"name\": \"m\", \"parameters\": [{\"key\": \"k\", \"value\": \"v\"}]}]}]}. Only those of --resource_estimator, --qos_controller and --container_logger, which are built in; no library is loaded.";
            modules_dir: Option<Location>, not_yet "modules cannot be loaded"
                => "Directory of files, each with modules to load, taken in the order of their names. Not together with --modules.";
            hooks: Option<String>, not_yet "modules cannot be loaded"
                => "Hooks from modules, with commas in between.";
            http_heartbeat_interval: Duration = "30secs", check checks::more_than_nothing
                => "Time between two heartbeats on the streams of LAUNCH_NESTED_CONTAINER_SESSION and ATTACH_CONTAINER_OUTPUT.";
            http_executor_domain_sockets: bool = "false"
                => "Whether executors reach the agent over a socket in the file system.";
            domain_socket_location: Option<String>, check checks::socket_path
                => "Path of that socket, less than 108 characters, or systemd:NAME. Without it, agent.sock in --runtime_dir.";
            memory_profiling: bool = "false", no_effect "there is no memory profiler in this program"
                => "Whether the memory profiler has endpoints.";
            systemd_enable_support: bool = "true", no_effect "executors stay in the slice of the agent: run its unit with KillMode=process"
                => "Whether executors are put in a slice of their own where systemd runs, so that they outlive the agent's unit.";
            systemd_runtime_directory: Location = "/run/systemd/system", no_effect "executors stay in the slice of the agent: run its unit with KillMode=process"
                => "Directory of systemd's units at run time.";
        }
    }
}

impl AgentFlags {
    /// The names of `--isolation`, older ones put in today's words.
    pub fn isolators(&self) -> Vec<&str> {
        isolators(&self.containers.isolation)
    }
}

impl Program for AgentFlags {
    const NAME: &'static str = "mesos-agent";
    const ABOUT: &'static str =
        "The agent: offers a machine's resources to the master and runs tasks in containers.";
    const PREFIXES: &'static [Prefix] = MESOS;
    const GONE: &'static [(&'static str, &'static str)] = &[
        ("checkpoint", "agents always checkpoint; leave the flag out"),
        ("cgroups_hierarchy_root", "its name is now --cgroups_hierarchy"),
    ];

    fn validate(&self) -> Result<(), FlagError> {
        let wrong = |text: &str| Err(FlagError::Combination(text.to_string()));
        if self.work_dir.is_empty() {
            return wrong("--work_dir is empty: give --work_dir=PATH");
        }
        match (&self.master, &self.master_detector) {
            (None, None) => {
                return wrong("--master is required: give --master=HOST:PORT or set MESOS_MASTER");
            }
            (Some(_), Some(_)) => {
                return wrong("--master and --master_detector cannot go together: give one of them");
            }
            _ => {}
        }
        if self.ip.is_some() && self.ip_discovery_command.is_some() {
            return wrong("--ip and --ip_discovery_command cannot go together: give one of them");
        }
        if self.ip6.is_some() && self.ip6_discovery_command.is_some() {
            return wrong("--ip6 and --ip6_discovery_command cannot go together: give one of them");
        }
        if self.modules.is_some() && self.modules_dir.is_some() {
            return wrong("--modules and --modules_dir cannot go together: give one of them");
        }
        if self.authenticate_http_executors && self.jwt_secret_key.is_none() {
            return wrong("--jwt_secret_key is required with --authenticate_http_executors");
        }
        if self.authentication_timeout_min > self.authentication_timeout_max {
            return wrong("--authentication_timeout_min must not be more than --authentication_timeout_max");
        }
        Ok(())
    }
}
