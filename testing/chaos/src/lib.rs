//! Three masters with a real ZooKeeper, two agents and an unmodified pymesos framework, each in a network namespace of
//! its own, as real processes. Round after round one of them is killed with SIGKILL or cut off from the others; what
//! becomes of each task is then compared with what the task itself wrote to a file.
//!
//! It knows the programs by their flags and files alone, as an operator does.

mod checks;
mod network;
mod nodes;
mod rounds;

pub use checks::Report;
pub use rounds::{Options, run};

/// Why this cannot run here: it takes root, network namespaces, nftables, a ZooKeeper server and the oracle's clients.
pub fn missing() -> Option<String> {
    use std::path::Path;
    if !network::is_root() {
        return Some("it takes root to make network namespaces".to_string());
    }
    for program in ["ip", "nft", "java", "curl"] {
        if !network::is_program(program) {
            return Some(format!("there is no program {program}"));
        }
    }
    if !Path::new(nodes::ZOOKEEPER_JAR).exists() {
        return Some(format!("ZooKeeper is not installed: {} is not there", nodes::ZOOKEEPER_JAR));
    }
    if messor_testkit::oracle().is_none() {
        return Some("../shared is not there".to_string());
    }
    if let Err(why) = network::try_namespaces() {
        return Some(format!("network namespaces do not work here: {why}"));
    }
    None
}
