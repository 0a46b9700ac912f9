//! `mesos-log replica`: a replica that belongs to a group in ZooKeeper, and nothing else.

use std::time::Duration;

use messor_flags::LogToolFlags;
use messor_net::{Net, Server};
use messor_runtime::{Address, Daemon, Listening};
use messor_zk::Url;
use tokio::sync::mpsc;

use super::{ToolError, offline, path};
use crate::group::belong;
use crate::replica::{Options, Outcome, Replica};

/// Of ZooKeeper, as Apache Mesos asks for.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// What replica and benchmark are told alike.
pub struct Member {
    pub options: Options,
    pub url: Url,
}

impl Member {
    pub fn of(daemon: &Daemon<LogToolFlags>) -> Result<Member, ToolError> {
        let flags = &daemon.flags;
        let quorum = flags.quorum.ok_or(ToolError::Required("quorum"))?;
        let path = path(daemon)?.to_path_buf();
        let servers = flags.servers.as_ref().ok_or(ToolError::Required("servers"))?;
        let znode = flags.znode.as_ref().ok_or(ToolError::Required("znode"))?;
        let url = Url::parse(&format!("zk://{servers}/{}", znode.trim_start_matches('/')))
            .map_err(ToolError::Servers)?;
        if flags.initialize {
            offline::make_voting(&path)?;
        }
        Ok(Member { options: Options { path, quorum: quorum as usize, auto_initialize: false }, url })
    }

    /// Runs a replica while `work` lasts, or until it fails. `work` gets it, and what comes of commands.
    pub fn run<W, F>(self, daemon: &Daemon<LogToolFlags>, work: W) -> Result<(), ToolError>
    where
        W: FnOnce(Replica, mpsc::UnboundedReceiver<Outcome>) -> F,
        F: Future<Output = Result<(), ToolError>>,
    {
        let runtime = messor_runtime::network_threads()?;
        runtime.block_on(async {
            let Listening { server, .. } =
                messor_runtime::listen(&Address::default(), &daemon.libprocess).await?;
            let net = server.net();
            let (replica, outcomes) = start(&net, &self.options)?;
            tracing::info!("the replica is {}", replica.pid());
            let group = belong(replica.pid().clone(), replica.commands(), self.url, SESSION_TIMEOUT);
            tokio::select! {
                done = work(replica, outcomes) => done,
                reason = group => Err(ToolError::Group(reason)),
                ended = serve(server) => ended.map_err(ToolError::Output),
            }
        })
    }
}

/// Commands are few, so are outcomes: the receiver needs no bound of its own.
fn start(net: &Net, options: &Options) -> Result<(Replica, mpsc::UnboundedReceiver<Outcome>), ToolError> {
    let (sender, outcomes) = mpsc::unbounded_channel();
    let replica = Replica::start(net, options, move |outcome| {
        // Nobody listens once the work is done.
        let _ = sender.send(outcome);
    })?;
    Ok((replica, outcomes))
}

/// Until a signal ends the program. There is nothing to see over HTTP.
async fn serve(server: Server) -> std::io::Result<()> {
    let nothing = |_request, _peer| async {
        messor_net::text(http::StatusCode::NOT_FOUND, "this is a replica of the log; it has no pages\n")
    };
    messor_runtime::serve(server, nothing, std::future::pending(), || ()).await
}

pub fn run(daemon: &Daemon<LogToolFlags>) -> Result<(), ToolError> {
    Member::of(daemon)?.run(daemon, |replica, mut outcomes| async move {
        let _replica = replica;
        loop {
            match outcomes.recv().await {
                Some(Outcome::Done { .. }) => (),
                Some(Outcome::Failed { reason }) => return Err(ToolError::Log(reason)),
                None => return Err(ToolError::Log("its thread ended".to_string())),
            }
        }
    })
}
