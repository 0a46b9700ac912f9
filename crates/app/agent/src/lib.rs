//! mesos-agent: wires the agent machine to its edges. It decides nothing.

mod config;
mod detector;
mod driver;
mod garbage;
mod oversubscription;
mod own_groups;
mod service;
mod socket;
mod source;

use std::process::ExitCode;
use std::sync::Arc;

use messor_flags::AgentFlags;
use messor_http_api::BuildInfo;
use messor_runtime::{Daemon, Failure, Listening};
use tokio::signal::unix::{SignalKind, signal};

pub use service::{Agent, Options};

/// The program.
pub fn main(arguments: &[String], build: BuildInfo) -> ExitCode {
    let daemon = match messor_runtime::start::<AgentFlags>(arguments, |flags| &flags.logging) {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    match run(&daemon, build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            daemon.logging.flush();
            // Said to the user as well when the log goes elsewhere.
            if daemon.flags.logging.quiet {
                messor_runtime::complain(&format!("mesos-agent: {failure}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(daemon: &Daemon<AgentFlags>, build: BuildInfo) -> Result<(), Failure> {
    let runtime = messor_runtime::network_threads()?;
    runtime.block_on(async {
        let Listening { server, hostname } =
            messor_runtime::listen(&config::address(&daemon.flags), &daemon.libprocess).await?;
        let options = Options {
            flags: &daemon.flags,
            libprocess_ip: daemon.libprocess.ip.clone(),
            build,
            hostname,
            logging: &daemon.logging,
            pace: messor_runtime::snapshot_pace(&daemon.libprocess)?,
            process: "slave(1)".to_string(),
            hidden_flags: &[],
        };
        let (agent, over) = Agent::start(options, server.net())?;
        tracing::info!("the agent serves at {}", server.bound_address());
        let over = async move {
            let _ = over.await;
        };
        let (site, failure) = (agent.site(), agent.failure());
        let cors = Arc::new(agent.cors());
        let mut leave = signal(SignalKind::user_defined1())?;
        tokio::spawn(async move {
            while leave.recv().await.is_some() {
                agent.shut_down("received SIGUSR1");
            }
        });
        messor_runtime::serve(
            server,
            move |request, _peer| {
                let (site, cors) = (Arc::clone(&site), Arc::clone(&cors));
                async move { cors.around(request, |request| site.serve(request)).await }
            },
            over,
            // Its executors and their tasks outlive its connections to them.
            || (),
        )
        .await?;
        match failure.get() {
            Some(reason) => Err(Failure::Words(reason.clone())),
            None => Ok(()),
        }
    })
}
