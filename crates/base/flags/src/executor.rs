//! The flags of the programs that the agent starts: executors, fetcher, containerizer and their helpers.

use std::time::Duration;

use crate::checks;
use crate::common::CommonFlags;
use crate::definition::{Positional, Prefix, Program};
use crate::libprocess::MESOS;
use crate::logging::LoggingFlags;
use crate::macros::flag_set;
use crate::parse::FlagError;
use crate::value::{Json, Location, Size};

flag_set! {
    /// What `mesos-executor`, the command executor, is told.
    pub struct ExecutorFlags {
        include common: CommonFlags;

        "Task" {
            launcher_dir: String = "/usr/libexec/mesos", not_needed "tasks and checks are started without other programs"
                => "Directory of the programs of Mesos.";
            task_command: Option<Json>
                => "CommandInfo as JSON, in the place of the task's own.";
            task_environment: Option<Json>
                => "Environment as JSON, added to the task's own.";
            task_launch_info: Option<Json>, not_yet "launch information of containers is not carried out"
                => "ContainerLaunchInfo as JSON, with which to start the task.";
            user: Option<String>
                => "User that the task runs as.";
            task_supplementary_groups: Option<String>, not_yet "only tasks with a root file system of their own would need it"
                => "Further groups of the task, by number, with commas in between.";
            working_directory: Option<Location>, not_yet "container images are not built"
                => "Working directory of the task in its root file system.";
            sandbox_directory: Option<Location>, not_yet "container images are not built"
                => "Where the task sees its sandbox in its root file system.";
            rootfs: Option<Location>, not_yet "container images are not built"
                => "Root file system of the task.";
            effective_capabilities: Option<Json>, not_yet "only tasks with a root file system of their own would need it"
                => "CapabilityInfo as JSON: what the task gets.";
            bounding_capabilities: Option<Json>, not_yet "only tasks with a root file system of their own would need it"
                => "CapabilityInfo as JSON: what the task may get at most.";
            tty_path as "tty_slave_path": Option<Location>
                => "The task's end of its terminal.";
        }
    }
}

impl Program for ExecutorFlags {
    const NAME: &'static str = "mesos-executor";
    const ABOUT: &'static str = "The command executor: runs one task. Started by the agent.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// What `mesos-default-executor` is told.
    pub struct DefaultExecutorFlags {
        include common: CommonFlags;

        "Executor" {
            launcher_dir: String = "/usr/libexec/mesos", not_needed "checks are made without other programs"
                => "Directory of the programs of Mesos.";
        }
    }
}

impl Program for DefaultExecutorFlags {
    const NAME: &'static str = "mesos-default-executor";
    const ABOUT: &'static str =
        "The default executor: runs groups of tasks in nested containers. Started by the agent.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// What `mesos-docker-executor` is told.
    pub struct DockerExecutorFlags {
        include common: CommonFlags;

        "Executor" {
            container: Option<String>
                => "Name of the container of Docker that runs the task.";
            docker: Option<Location>
                => "Path of the docker program.";
            docker_socket: Option<Location>
                => "Socket of the Docker daemon.";
            sandbox_directory: Option<Location>
                => "The sandbox, where the container's standard output and error are written.";
            mapped_directory: Option<Location>
                => "Where the container sees its sandbox.";
            launcher_dir: Option<String>
                => "Directory of the programs of Mesos.";
            task_environment: Option<Json>
                => "Environment of the task, as JSON.";
            default_container_dns: Option<Json>
                => "DNS of containers, as JSON.";
            cgroups_enable_cfs: bool = "false"
                => "Whether CPU is limited hard, by CFS bandwidth.";
            stop_timeout: Option<Duration>, no_effect "it is deprecated in favour of the kill policy of tasks"
                => "Deprecated: use the kill policy of tasks.";
        }
    }
}

impl Program for DockerExecutorFlags {
    const NAME: &'static str = "mesos-docker-executor";
    const ABOUT: &'static str =
        "The Docker executor: runs one task in a container of Docker. Started by the agent.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// What `mesos-fetcher` is told; what to fetch comes in MESOS_FETCHER_INFO.
    pub struct FetcherFlags {
        include common: CommonFlags;
        include logging: LoggingFlags;
    }
}

impl Program for FetcherFlags {
    const NAME: &'static str = "mesos-fetcher";
    const ABOUT: &'static str =
        "The fetcher: gets a task's artifacts, named in MESOS_FETCHER_INFO. Started by the agent.";
    const PREFIXES: &'static [Prefix] = MESOS;
}

flag_set! {
    /// What `mesos-containerizer launch` is told.
    pub struct LaunchFlags {
        include common: CommonFlags;

        "Launch" {
            launch_info: Option<Json>
                => "ContainerLaunchInfo as JSON: what to start and how.";
            pipe_read: Option<i32>
                => "Number of the open file that tells when to begin.";
            pipe_write: Option<i32>
                => "Number of that file's other end, which is closed.";
            runtime_directory: Option<Location>
                => "Directory of the container, where its exit status is noted.";
            namespace_mnt_target: Option<i32>
                => "Process whose mount namespace to enter.";
            unshare_namespace_mnt: bool = "false"
                => "Whether the command gets a new mount namespace.";
        }
    }
}

impl Program for LaunchFlags {
    const NAME: &'static str = "mesos-containerizer";
    const ABOUT: &'static str = "Starts the first process of a container. Started by the agent.";
    const PREFIXES: &'static [Prefix] = &[Prefix::current("MESOS_CONTAINERIZER_")];
    const POSITIONAL: Positional = Positional::Taken("launch");
}

flag_set! {
    /// What `mesos-containerizer mount` is told.
    pub struct MountFlags {
        include common: CommonFlags;

        "Mount" {
            operation: Option<String>
                => "What to do: make-rslave.";
            path: Option<Location>
                => "The mount to do it to.";
        }
    }
}

impl Program for MountFlags {
    const NAME: &'static str = "mesos-containerizer mount";
    const ABOUT: &'static str = "Changes a mount. Started by isolators.";
    const PREFIXES: &'static [Prefix] = &[Prefix::current("MESOS_CONTAINERIZER_")];
    const POSITIONAL: Positional = Positional::Taken("mount");
}

flag_set! {
    /// What `mesos-logrotate-logger` is told.
    pub struct LogrotateFlags {
        include common: CommonFlags;

        "Logs" {
            log_filename: Option<String>
                => "Absolute path of the log file.";
            max_size: Size = "10MB", check checks::a_page
                => "Most bytes of a log file, at least a page of memory.";
            logrotate_options: Option<String>
                => "More of the configuration of logrotate.";
            logrotate_path: String = "logrotate"
                => "Path of the logrotate program.";
            user: Option<String>
                => "User to run as.";
        }
    }
}

impl Program for LogrotateFlags {
    const NAME: &'static str = "mesos-logrotate-logger";
    const ABOUT: &'static str =
        "Writes its standard input to a log file and rotates it. Started by the agent.";
    const PREFIXES: &'static [Prefix] = &[];

    fn validate(&self) -> Result<(), FlagError> {
        match &self.log_filename {
            None => Err(FlagError::Combination(
                "--log_filename is required: give --log_filename=PATH".to_string(),
            )),
            Some(path) if !path.starts_with('/') => {
                Err(FlagError::Combination("--log_filename must be an absolute path".to_string()))
            }
            Some(_) => Ok(()),
        }
    }
}

flag_set! {
    /// What `mesos-io-switchboard` is told.
    pub struct SwitchboardFlags {
        include common: CommonFlags;

        "Streams" {
            tty: bool = "false"
                => "Whether the container has a terminal.";
            stdin_to_fd: Option<i32>
                => "Number of the open file that standard input is written to.";
            stdout_from_fd: Option<i32>
                => "Number of the open file that standard output is read from.";
            stdout_to_fd: Option<i32>
                => "Number of the open file that standard output is written to.";
            stderr_from_fd: Option<i32>
                => "Number of the open file that standard error is read from.";
            stderr_to_fd: Option<i32>
                => "Number of the open file that standard error is written to.";
            wait_for_connection: bool = "false"
                => "Whether to wait for a first connection before anything is read.";
            socket_address: Option<String>
                => "Path of the socket to listen on.";
            heartbeat_interval: Option<Duration>
                => "Time between two heartbeats to those attached.";
        }
    }
}

impl Program for SwitchboardFlags {
    const NAME: &'static str = "mesos-io-switchboard";
    const ABOUT: &'static str =
        "Lets clients attach to a container's input and output. Started by the agent.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// What `mesos-tcp-connect` is told.
    pub struct TcpConnectFlags {
        include common: CommonFlags;

        "Target" {
            ip: Option<String>
                => "IP address to connect to.";
            port: Option<u16>
                => "Port to connect to.";
        }
    }
}

impl Program for TcpConnectFlags {
    const NAME: &'static str = "mesos-tcp-connect";
    const ABOUT: &'static str = "Tries a TCP connection, for checks. Started by executors.";
    const PREFIXES: &'static [Prefix] = &[];

    fn validate(&self) -> Result<(), FlagError> {
        let wrong = |text: &str| Err(FlagError::Combination(text.to_string()));
        match (&self.ip, self.port) {
            (None, _) => wrong("--ip is required: give --ip=ADDRESS"),
            (_, None) => wrong("--port is required: give --port=N"),
            _ => Ok(()),
        }
    }
}

flag_set! {
    /// What `mesos-cni-port-mapper` is told: nothing, as a CNI plugin has its environment and standard input.
    pub struct CniPortMapperFlags {
        include common: CommonFlags;
    }
}

impl Program for CniPortMapperFlags {
    const NAME: &'static str = "mesos-cni-port-mapper";
    const ABOUT: &'static str =
        "A CNI plugin that maps ports of the host to a container. Started by the agent.";
    const PREFIXES: &'static [Prefix] = &[];
}
