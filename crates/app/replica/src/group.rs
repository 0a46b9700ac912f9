//! The network of replicas in ZooKeeper: a replica shows itself there and hears who the others are.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_runtime::Clock;
use messor_types::Pid;
use messor_zk::{GroupOutcome, Url};

use crate::replica::Commands;

/// Keeps the replica `pid` in the group at the path of `url` (a master's is below `log_replicas`), and tells it the
/// members. Ends, with the reason, only when that is not possible and trying again would not help; when dropped, the
/// replica leaves the group. Inside a tokio runtime.
pub async fn belong(pid: Pid, commands: Commands, url: Url, session_timeout: Duration) -> String {
    let clock = Clock::start();
    let member = pid.to_string().into_bytes();
    let mut running = messor_zk::join(&url, session_timeout, Some(member), move || clock.now());
    while let Some(outcome) = running.outcomes.recv().await {
        match outcome {
            GroupOutcome::Members(members) => {
                let members = pids(&members);
                let names: Vec<String> = members.iter().map(ToString::to_string).collect();
                tracing::info!("the log's replicas in ZooKeeper: {}", names.join(", "));
                commands.members(members);
            }
            GroupOutcome::Failed { reason } => return reason,
        }
    }
    "its client ended".to_string()
}

/// The replicas of what the group's znodes hold. Whoever shows itself by what is no PID is left out.
pub fn pids(members: &BTreeSet<Vec<u8>>) -> BTreeSet<Pid> {
    members.iter().filter_map(|data| pid_of(data)).collect()
}

fn pid_of(data: &[u8]) -> Option<Pid> {
    let pid = std::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok());
    if pid.is_none() {
        tracing::warn!("a replica shows itself in ZooKeeper by what is no PID: '{}'", data.escape_ascii());
    }
    pid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_no_pids_are_left_out() {
        let members = ["log-replica(1)@10.0.0.1:5050".as_bytes(), b"\xff", b"log-replica(1)", b""];
        let pids = pids(&members.map(<[u8]>::to_vec).into());
        assert_eq!(pids, ["log-replica(1)@10.0.0.1:5050".parse().unwrap()].into());
    }
}
