//! What may be said to `mesos`: its groups, commands and flags, from which help and completion come too.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The command line of a Mesos cluster.
#[derive(Debug, Parser)]
#[command(
    name = "mesos",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:
  mesos --master=10.0.0.1:5050 agent list
  mesos task logs web --follow
  mesos task exec -it web sh

Without --master the configuration file says where the master is, ~/.mesos/config.toml, or it is
127.0.0.1:5050. Any other COMMAND is the program mesos-COMMAND of PATH, such as 'mesos ps';
'mesos config plugins' lists them."
)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub group: Group,
}

#[derive(Clone, Debug, Args)]
pub struct Common {
    /// HOST:PORT, or zk://HOST:PORT/PATH
    #[arg(long, global = true, env = "MESOS_MASTER", value_name = "ADDRESS", hide_env_values = true)]
    pub master: Option<String>,
    /// Print JSON, as the v1 operator API has it
    #[arg(long, global = true)]
    pub json: bool,
    /// Cut tables to so many columns; without it, to the terminal's
    #[arg(long, global = true, value_name = "COLUMNS")]
    pub width: Option<u16>,
    /// The configuration file, in TOML
    #[arg(long, global = true, env = "MESOS_CLI_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Group {
    /// The agents of the cluster
    #[command(subcommand)]
    Agent(Agent),
    /// Tasks, and what they write
    #[command(subcommand)]
    Task(Task),
    /// Frameworks
    #[command(subcommand)]
    Framework(Framework),
    /// Roles, as a tree
    #[command(subcommand)]
    Role(Role),
    /// Guarantees and limits of roles
    #[command(subcommand)]
    Quota(Quota),
    /// Weights of roles
    #[command(subcommand)]
    Weights(Weights),
    /// Maintenance of machines
    #[command(subcommand)]
    Maintenance(Maintenance),
    /// Reservations of an agent's resources
    #[command(subcommand)]
    Reserve(Reserve),
    /// Persistent volumes
    #[command(subcommand)]
    Volume(Volume),
    /// The configuration of this command
    #[command(subcommand)]
    Config(Config),
    /// Print a script for the completion of commands in a shell
    #[command(after_help = "Example:\n  mesos completion bash >/etc/bash_completion.d/mesos")]
    Completion {
        /// The shell that the script is for
        shell: clap_complete::Shell,
    },
    /// Any other word: the program mesos-WORD of PATH
    #[command(external_subcommand)]
    Program(Vec<String>),
}

/// Said with the agent that is meant.
const AGENT: &str = "Its id, the end of its id such as S0, or its hostname";
/// Said with the task that is meant.
const TASK: &str = "Its id or name, or the beginning of its id";
/// Said with the framework that is meant.
const FRAMEWORK: &str = "Its id, the end of its id such as 0000, or its name";
/// Said with amounts.
const RESOURCES: &str = "Such as 'cpus:2;mem:1024'";
const PRINCIPAL: &str = "Who is said to do it; without it, the principal of the configuration file";

/// What is done only after a yes.
#[derive(Clone, Copy, Debug, Args)]
pub struct Consent {
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum Agent {
    /// List the agents
    List,
    /// Show the agents as they come, change and go
    Watch,
    /// Show one agent: resources, reservations, volumes, tasks
    Inspect {
        #[arg(help = AGENT)]
        agent: String,
    },
    /// Move the tasks of an agent away, and offer it no more
    #[command(
        after_help = "Example: replace a machine, waiting for its tasks to end for ten minutes at most\n  \
                            mesos agent drain S3 --max-grace-period=10mins --mark-gone --wait"
    )]
    Drain {
        #[arg(help = AGENT)]
        agent: String,
        /// Kill tasks after this time at the latest, such as 10mins
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        max_grace_period: Option<Duration>,
        /// Mark the agent as gone when it is drained
        #[arg(long)]
        mark_gone: bool,
        /// Wait until it is drained
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Offer an agent no more; its tasks go on
    Deactivate {
        #[arg(help = AGENT)]
        agent: String,
    },
    /// Offer an agent again
    Reactivate {
        #[arg(help = AGENT)]
        agent: String,
    },
    /// Say that an agent never comes back; its tasks are ended
    Gone {
        /// The id of the agent, whole where it is not registered
        agent: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Subcommand)]
pub enum Task {
    /// List the tasks
    List {
        /// Those that have ended, too
        #[arg(long, short)]
        all: bool,
        /// Of this framework alone: its id or its name
        #[arg(long)]
        framework: Option<String>,
        /// On this agent alone: its id, the end of its id, or its hostname
        #[arg(long)]
        agent: Option<String>,
    },
    /// Show tasks as they change, and those that end meanwhile
    Watch,
    /// Show one task and its history
    Inspect {
        #[arg(help = TASK)]
        task: String,
    },
    /// Wait until a task has ended; it succeeds if the task has
    Wait {
        #[arg(help = TASK)]
        task: String,
        /// For so long at most, such as 10mins
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        timeout: Option<Duration>,
    },
    /// Say who can kill a task: operators cannot
    Kill {
        #[arg(help = TASK)]
        task: String,
    },
    /// Print what a task wrote
    #[command(
        after_help = "Examples:\n  mesos task logs web -f              go on as it writes, also when its agent restarts\n  \
                            mesos task logs web stderr -n 20    the last 20 lines of what it wrote to standard error\n  \
                            mesos task logs web --pod -f        of all tasks beside it, each line with its task's name"
    )]
    Logs {
        #[arg(help = TASK)]
        task: String,
        /// A file of its sandbox
        #[arg(default_value = "stdout")]
        file: String,
        /// Go on while it writes, until it has ended
        #[arg(long, short)]
        follow: bool,
        /// The last lines alone
        #[arg(long, short = 'n', value_name = "COUNT")]
        lines: Option<usize>,
        /// Of all tasks of its executor, each line with its task's name in front
        #[arg(long)]
        pod: bool,
    },
    /// Run a command in a task's container; its exit status is this program's
    #[command(
        after_help = "Examples:\n  mesos task exec -it web sh                  a shell in the task\n  \
                            mesos task exec web -- cat /etc/hostname    one command"
    )]
    Exec {
        /// Pass standard input on
        #[arg(long, short)]
        interactive: bool,
        /// Give the command a terminal
        #[arg(long, short)]
        tty: bool,
        #[arg(help = TASK)]
        task: String,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Attach to the terminal of a task; Ctrl-P Ctrl-Q detaches
    Attach {
        #[arg(help = TASK)]
        task: String,
        /// Only look on
        #[arg(long)]
        no_stdin: bool,
    },
    /// Copy a file or a directory out of a task's sandbox
    #[command(
        after_help = "Examples:\n  mesos task cp web:stdout .\n  mesos task cp web:logs/today /tmp/today"
    )]
    Cp {
        /// TASK:PATH, the path within its sandbox
        source: String,
        /// Where to, here; '-' is standard output
        target: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum Framework {
    /// List the frameworks
    List {
        /// Those that have ended, too
        #[arg(long, short)]
        all: bool,
    },
    /// Show the frameworks as they come, change and go
    Watch,
    /// Show one framework
    Inspect {
        #[arg(help = FRAMEWORK)]
        framework: String,
    },
    /// End a framework and all its tasks
    Teardown {
        #[arg(help = FRAMEWORK)]
        framework: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Subcommand)]
pub enum Role {
    /// List the roles with weight, share, quota and what they have
    #[command(
        after_help = "SHARE is the largest part that a role, with those below it, has of any resource of the cluster, and FAIR \
                            what it would be if it and its siblings had what they have together by their weights."
    )]
    List,
    /// Show the roles as they change
    Watch,
    /// Show one role: share, quota and how much of it is used, frameworks, reservations
    Inspect {
        /// Its whole name, such as production/web
        role: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Quota {
    /// List guarantees and limits
    List,
    /// Show guarantees and limits as they change
    Watch,
    /// Show the quota of one role, and how much of it is used
    Inspect {
        /// The role's whole name
        role: String,
    },
    /// Set the guarantees and limits of a role; what is not given has neither
    #[command(
        after_help = "Example:\n  mesos quota set production --guarantees='cpus:2;mem:1024' --limits='cpus:8;mem:8192'"
    )]
    Set {
        /// The role's whole name
        role: String,
        /// What is kept free for it, such as 'cpus:2;mem:1024'
        #[arg(long, value_name = "RESOURCES")]
        guarantees: Option<String>,
        /// What it may have at most, such as 'cpus:4;mem:4096'
        #[arg(long, value_name = "RESOURCES")]
        limits: Option<String>,
        /// Even where the cluster is too small, or the role has more than its limits
        #[arg(long)]
        force: bool,
    },
    /// Take guarantees and limits from a role
    Remove {
        /// The role's whole name
        role: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Subcommand)]
pub enum Weights {
    /// List the weights that are set
    List,
    /// Show the weights as they change
    Watch,
    /// Set weights; 1 is that of roles without one
    #[command(after_help = "Example:\n  mesos weights set production=3 test=0.5")]
    Set {
        /// Such as 'production=3'
        #[arg(required = true, value_name = "ROLE=WEIGHT")]
        weights: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Maintenance {
    /// List the machines of the schedule: when, and whether they are draining or down
    List,
    /// Show the machines of the schedule as they change
    Watch,
    /// Show one machine: when it is maintained, and what frameworks answer to that
    Inspect {
        /// HOSTNAME, IP, or HOSTNAME/IP
        machine: String,
    },
    /// Machines that are draining or down
    Status,
    /// Print the schedule
    Schedule,
    /// Replace the schedule by that of a file, in the JSON of /maintenance/schedule; '-' is standard input
    #[command(
        after_help = "Example of a schedule: one machine, for an hour from a time in nanoseconds since 1970\n  \
                            {\"windows\": [{\"machine_ids\": [{\"hostname\": \"node7\"}],\n    \
                            \"unavailability\": {\"start\": {\"nanoseconds\": 1893456000000000000},\n                       \
                            \"duration\": {\"nanoseconds\": 3600000000000}}}]}"
    )]
    Plan {
        /// The schedule
        file: PathBuf,
    },
    /// Take machines down that the schedule names
    Down {
        /// HOSTNAME, IP, or HOSTNAME/IP
        #[arg(required = true)]
        machines: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Bring machines up again; they leave the schedule
    Up {
        /// HOSTNAME, IP, or HOSTNAME/IP
        #[arg(required = true)]
        machines: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Reserve {
    /// List reservations by agent
    List,
    /// Show reservations as they change
    Watch,
    /// Show the reservations of one agent: by whom, refined of what, with which labels
    Inspect {
        #[arg(help = AGENT)]
        agent: String,
    },
    /// Reserve resources of an agent for a role
    #[command(after_help = "Example:\n  mesos reserve add S0 'cpus:2;disk:1024' --role=database")]
    Add {
        #[arg(help = AGENT)]
        agent: String,
        #[arg(help = RESOURCES)]
        resources: String,
        /// Whom they are for
        #[arg(long)]
        role: String,
        /// Within what is reserved to an ancestor of the role already
        #[arg(long)]
        refine: bool,
        #[arg(long, help = PRINCIPAL)]
        principal: Option<String>,
    },
    /// Give reserved resources back
    Remove {
        #[arg(help = AGENT)]
        agent: String,
        #[arg(help = RESOURCES)]
        resources: String,
        /// Whom they are reserved to
        #[arg(long)]
        role: String,
        /// Of what this principal reserved alone
        #[arg(long)]
        principal: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Volume {
    /// List persistent volumes by agent
    List,
    /// Show persistent volumes as they change
    Watch,
    /// Show one volume: its disk, who made it, the tasks that use it
    Inspect {
        #[arg(help = AGENT)]
        agent: String,
        /// The volume's name
        id: String,
    },
    /// Make a volume of disk that is reserved to a role
    #[command(after_help = "Example:\n  mesos reserve add S0 disk:1024 --role=database\n  \
                            mesos volume create S0 tables 512 --role=database")]
    Create {
        #[arg(help = AGENT)]
        agent: String,
        /// The volume's name: its persistence id
        id: String,
        /// In MB
        size: f64,
        /// Whose disk it is
        #[arg(long)]
        role: String,
        #[arg(long, help = PRINCIPAL)]
        principal: Option<String>,
        /// Tasks may share it
        #[arg(long)]
        shared: bool,
    },
    /// Destroy a volume and what is in it
    Destroy {
        #[arg(help = AGENT)]
        agent: String,
        /// The volume's name
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Make a volume larger, by so many MB of disk reserved to its role
    Grow {
        #[arg(help = AGENT)]
        agent: String,
        /// The volume's name
        id: String,
        /// In MB
        by: f64,
    },
    /// Make a volume smaller, by so many MB
    Shrink {
        #[arg(help = AGENT)]
        agent: String,
        /// The volume's name
        id: String,
        /// In MB
        by: f64,
    },
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show where the configuration comes from and what it says
    Show,
    /// List what can stand behind 'mesos': its own commands, and programs mesos-WORD of PATH
    Plugins,
}

fn duration(text: &str) -> Result<Duration, String> {
    messor_stdx::parse_duration(text).map_err(|error| error.to_string())
}
