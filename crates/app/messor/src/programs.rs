//! The programs by name, and where each begins.

use std::process::ExitCode;

use messor_flags::nearest;

/// Where a program begins: with the words after its name.
type Main = fn(&[String]) -> ExitCode;

enum Body {
    Built(Main),
    /// With what is missing.
    NotBuilt(&'static str),
}

pub struct Entry {
    /// As Mesos calls it.
    pub name: &'static str,
    /// An older name for the same.
    pub older: Option<&'static str>,
    pub about: &'static str,
    body: Body,
}

use Body::{Built, NotBuilt};

fn master(words: &[String]) -> ExitCode {
    messor_master::main(words, crate::build::INFO)
}

fn local(words: &[String]) -> ExitCode {
    crate::local::main(words, crate::build::INFO)
}

fn agent(words: &[String]) -> ExitCode {
    messor_agent::main(words, crate::build::INFO)
}

fn default_executor(words: &[String]) -> ExitCode {
    messor_executors::default_executor(words.iter().map(Into::into).collect())
}

fn command_executor(words: &[String]) -> ExitCode {
    messor_executors::command_executor(words.iter().map(Into::into).collect())
}

const fn entry(name: &'static str, about: &'static str, body: Body) -> Entry {
    Entry { name, older: None, about, body }
}

/// Every program of Mesos and of its packages, in the order in which help lists them.
pub static PROGRAMS: [Entry; 22] = [
    entry("mesos-master", "The master: offers the resources of agents to frameworks.", Built(master)),
    Entry {
        name: "mesos-agent",
        older: Some("mesos-slave"),
        about: "The agent: runs tasks on a machine.",
        body: Built(agent),
    },
    entry("mesos-local", "A whole cluster in one process, for trying things out.", Built(local)),
    entry("mesos-execute", "Runs one command on a cluster.", Built(messor_cli::execute)),
    entry("mesos-resolve", "Prints the address of the leading master.", Built(messor_cli::resolve)),
    entry("mesos", "The command line of a cluster.", Built(messor_cli::mesos)),
    entry("mesos-ps", "Lists the tasks of a cluster, with what they use.", Built(messor_cli::ps)),
    entry("mesos-cat", "Prints a file of a sandbox.", Built(messor_cli::cat)),
    entry("mesos-tail", "Prints a file of a sandbox, as it grows.", Built(messor_cli::tail)),
    entry("mesos-scp", "Copies files to the machines of all agents.", Built(messor_cli::scp)),
    entry("mesos-log", "Looks after replicated logs.", Built(messor_replica::main)),
    entry("mesos-usage", "Measures what a tree of processes uses.", Built(messor_cli::usage)),
    entry(
        "mesos-init-wrapper",
        "Becomes master or agent as files in /etc say. Started by systemd.",
        Built(crate::wrapper::main),
    ),
    entry("mesos-executor", "The command executor. Started by the agent.", Built(command_executor)),
    entry(
        "mesos-default-executor",
        "The executor of task groups. Started by the agent.",
        Built(default_executor),
    ),
    entry(
        "mesos-docker-executor",
        "The executor of Docker's containers. Started by the agent.",
        NotBuilt("the docker containerizer is not built"),
    ),
    entry(
        "mesos-containerizer",
        "Starts containers. Started by the agent.",
        Built(messor_containerizer::main),
    ),
    entry("mesos-fetcher", "Fetches artifacts. Started by the agent.", Built(messor_fetch::main)),
    entry(
        "mesos-io-switchboard",
        "Lets clients attach to containers. Started by the agent.",
        Built(messor_switchboard::main),
    ),
    entry(
        "mesos-tcp-connect",
        "Tries a TCP connection. Started by executors.",
        Built(messor_executors::tcp_connect),
    ),
    entry(
        "mesos-logrotate-logger",
        "Rotates the logs of containers. Started by the agent.",
        Built(messor_logger::main),
    ),
    entry(
        "mesos-cni-port-mapper",
        "A CNI plugin that maps ports. Started by the agent.",
        NotBuilt("CNI networks are not built"),
    ),
];

impl Entry {
    /// The name behind `messor`: `master` for `mesos-master`, and `mesos` for itself.
    pub fn short(&self) -> &'static str {
        self.name.strip_prefix("mesos-").unwrap_or(self.name)
    }

    pub fn is_built(&self) -> bool {
        matches!(self.body, Built(_))
    }

    pub fn run(&self, words: &[String]) -> ExitCode {
        match self.body {
            Built(main) => main(words),
            NotBuilt(why) => crate::refuse(&format!("{} is not built yet: {why}", self.name)),
        }
    }
}

/// The program that is called so in full.
pub fn named(name: &str) -> Option<&'static Entry> {
    PROGRAMS.iter().find(|entry| entry.name == name || entry.older == Some(name))
}

/// The program that is called so in full or without `mesos-`.
pub fn meant(name: &str) -> Option<&'static Entry> {
    named(name).or_else(|| named(&format!("mesos-{name}")))
}

/// Every name that a link may have.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().flat_map(|entry| std::iter::once(entry.name).chain(entry.older))
}

/// What to say of a name that nothing has.
pub fn unknown(name: &str) -> String {
    let short = names().filter_map(|name| name.strip_prefix("mesos-"));
    match nearest(name, names().chain(short).chain(crate::commands::NAMES)) {
        Some(near) => format!("messor: there is no program '{name}'; did you mean {near}?"),
        None => format!("messor: there is no program '{name}'; 'messor --help' lists them"),
    }
}
