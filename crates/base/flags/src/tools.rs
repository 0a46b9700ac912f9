//! The flags of the programs that people start: mesos-local, mesos-execute, mesos-resolve, mesos-log, mesos-ps, mesos-cat,
//! mesos-tail, mesos-scp, mesos-usage; of mesos-init-wrapper; and of scheduler drivers, which have none but their
//! environment.

use std::time::Duration;

use crate::checks;
use crate::common::CommonFlags;
use crate::definition::{Positional, Prefix, Program};
use crate::libprocess::MESOS;
use crate::logging::LoggingFlags;
use crate::macros::flag_set;
use crate::parse::FlagError;
use crate::value::{Json, List, Location, Secret, TextMap};

flag_set! {
    /// What `mesos-local` is told; its master and agents take the rest from MESOS_*.
    pub struct LocalFlags {
        include common: CommonFlags;
        include logging: LoggingFlags;

        "Local cluster" {
            work_dir: String = "{tmp}/mesos/work"
                => "Directory of the cluster: master and agents/0, agents/1 and so on are made in it.";
            num_agents as "num_slaves": u32 = "1"
                => "How many agents there are.";
            ip: Option<String>
                => "IP address to listen on.";
            port: u16 = "5050"
                => "Port to listen on.";
        }
    }
}

impl Program for LocalFlags {
    const NAME: &'static str = "mesos-local";
    const ABOUT: &'static str = "A whole cluster in one process, for trying things out.";
    const PREFIXES: &'static [Prefix] = MESOS;
}

flag_set! {
    /// What `mesos-execute` is told.
    pub struct ExecuteFlags {
        include common: CommonFlags;

        "Framework" {
            master: String
                => "The master: HOST:PORT, zk://host1:port1,host2:port2/path, zk://user:password@host1:port1/path, or file://PATH of a file with one of these.";
            role: String = "*"
                => "Role of the framework.";
            principal: Option<String>
                => "Principal of the framework.";
            secret: Option<Secret>
                => "Secret of the principal; file:///PATH keeps it out of the list of processes.";
            checkpoint: bool = "false"
                => "Whether the task outlives a restart of its agent.";
            partition_aware: bool = "true"
                => "Whether the framework has the capability PARTITION_AWARE.";
            framework_capabilities: Option<List>
                => "Further capabilities of the framework, with commas in between. RESERVATION_REFINEMENT and TASK_KILLING_STATE are there always.";
            content_type: String = "protobuf", check checks::content_type
                => "How messages are written: protobuf or json.";
        }

        "Task" {
            name: Option<String>
                => "Name of the task, and its id.";
            command: Option<String>
                => "Command that the task runs.";
            shell: bool = "true"
                => "Whether the command is given to a shell. If not, its first word is a program and the others are its arguments, with blanks in between.";
            env: Option<TextMap>
                => "Environment of the command, as JSON: {\"NAME\": \"VALUE\"}.";
            resources: String = "cpus:1;mem:128"
                => "Resources of the task.";
            task: Option<Json>
                => "The whole TaskInfo as JSON. Its agent_id is filled in.";
            task_group: Option<Json>
                => "A whole TaskGroupInfo as JSON, in the place of a task.";
            kill_after: Option<Duration>
                => "Kill the task when it has run for so long.";
            package: Option<String>
                => "File to put into HDFS by the Hadoop client, at /USER/FILE, and to fetch from there into the task's sandbox.";
            hadoop: String = "hadoop"
                => "Path of the hadoop program, for --package.";
            hdfs: String = "localhost:9000"
                => "Address of HDFS, for --package.";
            overwrite: bool = "false"
                => "Whether --package may overwrite what is in HDFS.";
        }

        "Output" {
            show_output: Option<bool>
                => "Whether what the task wrote to its standard output is printed when it has ended, and of one that failed its standard error. Without this flag it is if this program's own output is a terminal. Not in Apache Mesos.";
        }

        "Container" {
            containerizer: String = "mesos", check checks::containerizer
                => "Containerizer of the task: mesos or docker.";
            docker_image: Option<String>
                => "Image of Docker, such as busybox:latest. Agents of Apache Mesos have it; those of Messor fail the task, saying so.";
            appc_image: Option<String>
                => "Image of appc, such as example.com/reduce-worker. As with --docker_image.";
            volumes: Option<Json>
                => "Volumes as JSON, a list of Volume.";
            networks: Option<String>
                => "Networks to join, with commas in between. As with --docker_image.";
            effective_capabilities: Option<Json>
                => "Capabilities of the command, as JSON: {\"capabilities\": [\"NET_RAW\"]}.";
            bounding_capabilities: Option<Json>
                => "Capabilities that the command may get at most, as JSON.";
            rlimits: Option<Json>
                => "Limits of the command's processes, as JSON: {\"rlimits\": [{\"type\": \"RLMT_CPU\", \"soft\": \"1\", \"hard\": \"1\"}]}.";
            tty: bool = "false"
                => "Whether the task gets a terminal.";
        }
    }
}

/// The names in a list with commas in between.
pub fn names(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty())
}

impl Program for ExecuteFlags {
    const NAME: &'static str = "mesos-execute";
    const ABOUT: &'static str = "Runs one command on a cluster and shows how it fares.";
    const PREFIXES: &'static [Prefix] = &[];

    fn validate(&self) -> Result<(), FlagError> {
        let wrong = |text: &str| Err(FlagError::Combination(text.to_string()));
        if self.task.is_some() && self.task_group.is_some() {
            return wrong("--task and --task_group cannot go together: give one of them");
        }
        if self.task.is_none() && self.task_group.is_none() {
            if self.name.is_none() {
                return wrong("--name is required: give --name=VALUE, or a whole task with --task=JSON");
            }
            if self.shell && self.command.is_none() {
                return wrong(
                    "--command is required: give --command=VALUE, or a whole task with --task=JSON",
                );
            }
        } else {
            for flag in ["name", "command", "env", "package", "appc_image", "docker_image", "volumes"] {
                if self.given.has(flag) {
                    return Err(FlagError::Combination(format!(
                        "--{flag} cannot go with --task or --task_group: say it in there"
                    )));
                }
            }
            if self.task.is_some() && self.networks.is_some() {
                return wrong("--networks cannot go with --task: say it in there");
            }
        }
        if self.docker_image.is_some() && self.appc_image.is_some() {
            return wrong("--docker_image and --appc_image cannot go together: give one of them");
        }
        if self.containerizer == "docker" && self.task.is_none() && self.task_group.is_none() {
            if self.docker_image.is_none() {
                return wrong("--containerizer=docker needs --docker_image");
            }
            if self.tty {
                return wrong(
                    "--tty cannot go with --containerizer=docker, whose containers have no terminals",
                );
            }
            if names(self.networks.as_deref()).count() > 1 {
                return wrong("--networks: the docker containerizer knows one network only");
            }
        }
        Ok(())
    }
}

flag_set! {
    /// What `mesos-resolve` is told.
    pub struct ResolveFlags {
        include common: CommonFlags;

        "Resolving" {
            timeout: Duration = "5secs"
                => "How long to look for the master.";
            verbose: bool = "false"
                => "Whether to tell what is done.";
        }
    }
}

impl Program for ResolveFlags {
    const NAME: &'static str = "mesos-resolve";
    const ABOUT: &'static str = "Prints the address of the leading master.";
    const PREFIXES: &'static [Prefix] = &[];
    const POSITIONAL: Positional = Positional::Taken("MASTER");
}

flag_set! {
    /// What `mesos-log` is told; which flags count depends on its command.
    pub struct LogToolFlags {
        include common: CommonFlags;
        include logging: LoggingFlags;

        "Log" {
            path: Option<Location>
                => "Path of the log.";
            quorum: Option<u32>, check checks::at_least_one
                => "How many replicas must agree (replica, benchmark).";
            servers: Option<String>
                => "Servers of ZooKeeper (replica, benchmark).";
            znode: Option<String>
                => "Node of ZooKeeper (replica, benchmark).";
            initialize: bool = "true"
                => "Whether to initialize the log (replica, benchmark).";
            from: Option<u64>
                => "Position to read from (read).";
            to: Option<u64>
                => "Position to read to (read).";
            timeout: Option<Duration>
                => "How long the command may take (read, initialize).";
            input: Option<Location>
                => "File with the size of an append on each line (benchmark).";
            output: Option<Location>
                => "File for the results (benchmark).";
            data as "type": String = "random", check checks::log_data
                => "What is appended: zero, one or random (benchmark).";
        }
    }
}

impl Program for LogToolFlags {
    const NAME: &'static str = "mesos-log";
    const ABOUT: &'static str = "Looks after replicated logs.";
    const PREFIXES: &'static [Prefix] = &[];
    const POSITIONAL: Positional = Positional::Taken("initialize|read|replica|benchmark");
}

flag_set! {
    /// What `mesos-usage` is told.
    pub struct UsageFlags {
        include common: CommonFlags;

        "Usage" {
            pid: Option<i32>
                => "The process whose usage, with that of its children, is measured.";
            recordio: bool = "false"
                => "Whether to print ResourceStatistics as a record of protobuf, its size before it, rather than as JSON.";
        }
    }
}

impl Program for UsageFlags {
    const NAME: &'static str = "mesos-usage";
    const ABOUT: &'static str = "Measures what a tree of processes uses.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// What `mesos-ps` is told.
    pub struct PsFlags {
        include common: CommonFlags;

        "Cluster" {
            master: String
                => "The master: HOST:PORT, zk://HOST:PORT/PATH, or file://PATH of a file with one of these.";
        }
    }
}

impl Program for PsFlags {
    const NAME: &'static str = "mesos-ps";
    const ABOUT: &'static str =
        "Lists the tasks of a cluster that go on, with the memory and the CPU time that they use.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// Which file of which task `mesos-cat` and `mesos-tail` print.
    pub struct SandboxFileFlags {
        "File" {
            master: String
                => "The master: HOST:PORT, zk://HOST:PORT/PATH, or file://PATH of a file with one of these.";
            framework: String
                => "The task's framework, by its id or its name.";
            task: String
                => "The task, by its id.";
            file: String
                => "The file in its sandbox, such as stdout.";
        }
    }
}

flag_set! {
    /// What `mesos-cat` is told.
    pub struct CatFlags {
        include common: CommonFlags;
        include place: SandboxFileFlags;
    }
}

impl Program for CatFlags {
    const NAME: &'static str = "mesos-cat";
    const ABOUT: &'static str = "Prints a file of a task's sandbox. The task may have ended.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// What `mesos-tail` is told.
    pub struct TailFlags {
        include common: CommonFlags;
        include place: SandboxFileFlags;
    }
}

impl Program for TailFlags {
    const NAME: &'static str = "mesos-tail";
    const ABOUT: &'static str =
        "Prints a file of a task's sandbox, and goes on as it grows, until the task has ended.";
    const PREFIXES: &'static [Prefix] = &[];
}

flag_set! {
    /// What `mesos-scp` is told.
    pub struct ScpFlags {
        include common: CommonFlags;

        "Cluster" {
            master: String
                => "The master: HOST:PORT, zk://HOST:PORT/PATH, or file://PATH of a file with one of these.";
        }
    }
}

impl Program for ScpFlags {
    const NAME: &'static str = "mesos-scp";
    const ABOUT: &'static str = "Copies files of this machine to a directory on the machine of every agent, by scp, which must ask for no password.";
    const PREFIXES: &'static [Prefix] = &[];
    const POSITIONAL: Positional = Positional::Taken("FILE... DIRECTORY");
}

flag_set! {
    /// What `mesos-init-wrapper` is told.
    pub struct InitWrapperFlags {
        include common: CommonFlags;

        "Configuration" {
            etc: String = "/etc"
                => "The directory in which mesos/zk, default/mesos, default/mesos-master, mesos-master, default/mesos-agent, mesos-agent and so on are looked for.";
            show: bool = "false"
                => "Whether to print the command that would be run, one word a line, rather than to run it.";
        }
    }
}

impl Program for InitWrapperFlags {
    const NAME: &'static str = "mesos-init-wrapper";
    const ABOUT: &'static str = "Becomes mesos-master or mesos-agent with the flags that files in /etc tell. In /etc/mesos-master and /etc/mesos-agent a file is a flag: its name that of the flag, its text the value; ?NAME is a flag without a value; in attributes/ and resources/ each file is one of these. /etc/mesos/zk is the address of ZooKeeper. /etc/default/mesos, mesos-master and mesos-agent set MESOS_* and other variables of the environment, and MASTER, ZK, IP, PORT, CLUSTER, LOGS, ISOLATION and ULIMIT. Started by systemd.";
    const PREFIXES: &'static [Prefix] = &[];
    const POSITIONAL: Positional = Positional::Taken("master|agent");
}

flag_set! {
    /// What a scheduler driver is told, by MESOS_* alone.
    pub struct SchedulerDriverFlags {
        include logging: LoggingFlags;

        "Scheduler driver" {
            registration_backoff_factor: Duration = "2secs"
                => "Registration waits a random time up to this, twice that before the next attempt, and so on.";
            modules: Option<Json>, not_yet "modules cannot be loaded"
                => "Modules to load, as JSON. Not together with MESOS_MODULES_DIR.";
            modules_dir: Option<Location>, not_yet "modules cannot be loaded"
                => "Directory of files, each with modules to load.";
            authenticatee: String = "crammd5", not_yet "authentication is not built"
                => "Authenticatee towards the master: crammd5, or one from a module.";
            authentication_backoff_factor: Duration = "1secs", no_effect "authentication is not built"
                => "An attempt to authenticate may take a random time from authentication_timeout_min to that plus this, doubled with each failure.";
            authentication_timeout_min: Duration = "5secs", alias "authentication_timeout", no_effect "authentication is not built"
                => "Least time for an attempt to authenticate.";
            authentication_timeout_max: Duration = "1mins", no_effect "authentication is not built"
                => "Most time for an attempt to authenticate.";
        }
    }
}
