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
    arg_required_else_help = true
)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub group: Group,
}

#[derive(Clone, Debug, Args)]
pub struct Common {
    /// HOST:PORT of a master, or zk://HOST:PORT/PATH; without it the configuration file says
    #[arg(long, global = true, env = "MESOS_MASTER", value_name = "ADDRESS")]
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
    Completion { shell: clap_complete::Shell },
}

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
        /// Its id, the end of its id, or its hostname
        agent: String,
    },
    /// Move the tasks of an agent away, and offer it no more
    Drain {
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
    Deactivate { agent: String },
    /// Offer an agent again
    Reactivate { agent: String },
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
        /// On this agent alone
        #[arg(long)]
        agent: Option<String>,
    },
    /// Show tasks as they change, and those that end meanwhile
    Watch,
    /// Show one task and its history
    Inspect { task: String },
    /// Wait until a task has ended; it succeeds if the task has
    Wait {
        task: String,
        /// For so long at most, such as 10mins
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        timeout: Option<Duration>,
    },
    /// Say who can kill a task: operators cannot
    Kill { task: String },
    /// Print what a task wrote
    Logs {
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
    Exec {
        /// Pass standard input on
        #[arg(long, short)]
        interactive: bool,
        /// Give the command a terminal
        #[arg(long, short)]
        tty: bool,
        task: String,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Attach to the terminal of a task; Ctrl-P Ctrl-Q detaches
    Attach {
        task: String,
        /// Only look on
        #[arg(long)]
        no_stdin: bool,
    },
    /// Copy a file or a directory out of a task's sandbox
    Cp {
        /// TASK:PATH
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
    Inspect { framework: String },
    /// End a framework and all its tasks
    Teardown {
        /// Its id or its name
        framework: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Subcommand)]
pub enum Role {
    /// List the roles with weight, quota and what they have
    List,
}

#[derive(Debug, Subcommand)]
pub enum Quota {
    /// List guarantees and limits
    List,
    /// Set the guarantees and limits of a role; what is not given has neither
    Set {
        role: String,
        /// Such as 'cpus:2;mem:1024'
        #[arg(long, value_name = "RESOURCES")]
        guarantees: Option<String>,
        /// Such as 'cpus:4;mem:4096'
        #[arg(long, value_name = "RESOURCES")]
        limits: Option<String>,
        /// Even where the cluster is too small, or the role has more than its limits
        #[arg(long)]
        force: bool,
    },
    /// Take guarantees and limits from a role
    Remove {
        role: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Subcommand)]
pub enum Weights {
    /// List the weights that are set
    List,
    /// Set weights
    Set {
        /// Such as 'production=3'
        #[arg(required = true, value_name = "ROLE=WEIGHT")]
        weights: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Maintenance {
    /// Machines that are draining or down
    Status,
    /// Print the schedule
    Schedule,
    /// Replace the schedule by that of a file, in the JSON of /maintenance/schedule; '-' is standard input
    Plan { file: PathBuf },
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
        #[arg(required = true)]
        machines: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Reserve {
    /// List reservations by agent
    List,
    /// Reserve resources of an agent for a role
    Add {
        agent: String,
        /// Such as 'cpus:2;mem:1024'
        resources: String,
        #[arg(long)]
        role: String,
        /// Within what is reserved to an ancestor of the role already
        #[arg(long)]
        refine: bool,
        /// Who reserves
        #[arg(long)]
        principal: Option<String>,
    },
    /// Give reserved resources back
    Remove {
        agent: String,
        resources: String,
        #[arg(long)]
        role: String,
        #[arg(long)]
        principal: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Volume {
    /// List persistent volumes by agent
    List,
    /// Make a volume of disk that is reserved to a role
    Create {
        agent: String,
        /// The volume's name: its persistence id
        id: String,
        /// In MB
        size: f64,
        #[arg(long)]
        role: String,
        #[arg(long)]
        principal: Option<String>,
        /// Tasks may share it
        #[arg(long)]
        shared: bool,
    },
    /// Destroy a volume and what is in it
    Destroy {
        agent: String,
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Make a volume larger, by so many MB of disk reserved to its role
    Grow { agent: String, id: String, by: f64 },
    /// Make a volume smaller, by so many MB
    Shrink { agent: String, id: String, by: f64 },
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show where the configuration comes from and what it says
    Show,
}

fn duration(text: &str) -> Result<Duration, String> {
    messor_stdx::parse_duration(text).map_err(|error| error.to_string())
}
