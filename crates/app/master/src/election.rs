//! The election over ZooKeeper, and the membership of the own replica: what they say goes to the master's thread.

use std::time::Duration;

use messor_http_api::Machine;
use messor_master_core::View;
use messor_proto::mesos::MasterInfo;
use messor_replica::Commands;
use messor_runtime::Clock;
use messor_types::Pid;
use messor_zk::{ContenderOutcome, GroupOutcome, Lease, Running, Url};
use tokio::sync::oneshot;

use crate::input::Input;

/// Sessions with ZooKeeper. Those that are not left end by themselves after the session timeout.
#[derive(Default)]
pub struct Sessions(Vec<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>);

impl Sessions {
    /// Follows what a machine says, until it ends or this program leaves.
    fn add<O: Send + 'static>(&mut self, mut running: Running<O>, mut hear: impl FnMut(O) + Send + 'static) {
        let (leave, mut leaving) = oneshot::channel();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    outcome = running.outcomes.recv() => match outcome {
                        Some(outcome) => hear(outcome),
                        None => return,
                    },
                    _ = &mut leaving => return running.withdraw().await,
                }
            }
        });
        self.0.push((leave, task));
    }

    /// Gives the znodes back, so that nobody has to wait until they expire.
    pub async fn leave(self) {
        for (leave, task) in self.0 {
            // It may have ended by itself.
            let _ = leave.send(());
            let _ = task.await;
        }
    }

    /// Wants to lead.
    pub fn contend(
        &mut self,
        url: &Url,
        session_timeout: Duration,
        info: &MasterInfo,
        clock: Clock,
        master: Machine<Input, View>,
    ) -> Lease {
        let znode = messor_zk::master_znode(info);
        let own_id = info.id.clone();
        let running = messor_zk::contend(url, session_timeout, znode, move || clock.now());
        let lease = running.lease.clone();
        self.add(running, move |outcome| match outcome {
            ContenderOutcome::Elected => master.event(Input::Elected),
            ContenderOutcome::LeadershipLost { reason } => master.event(Input::LeadershipLost { reason }),
            ContenderOutcome::Leader(None) => master.event(Input::Leader(None)),
            ContenderOutcome::Leader(Some(leader)) => match messor_zk::master_info(&leader) {
                // That it leads itself it hears as `Elected`.
                Ok(info) if info.id == own_id => {}
                Ok(info) => master.event(Input::Leader(Some(Box::new(info)))),
                Err(error) => {
                    tracing::error!("{error}");
                    master.event(Input::Leader(None));
                }
            },
            ContenderOutcome::Failed { reason } => {
                master.event(Input::Over { reason: format!("the election failed: {reason}") });
            }
        });
        lease
    }

    /// Lets the other replicas of the log know of ours, and it of them.
    pub fn join(
        &mut self,
        url: &Url,
        session_timeout: Duration,
        own: &Pid,
        replica: Commands,
        clock: Clock,
        master: Machine<Input, View>,
    ) {
        let group = url.join("log_replicas");
        let member = own.to_string().into_bytes();
        let running = messor_zk::join(&group, session_timeout, Some(member), move || clock.now());
        self.add(running, move |outcome| match outcome {
            GroupOutcome::Members(members) => replica.members(messor_replica::pids(&members)),
            GroupOutcome::Failed { reason } => {
                let reason = format!("the replicas of the log cannot find each other: {reason}");
                master.event(Input::Over { reason });
            }
        });
    }
}
