//! mesos-master: wires the master machine to its edges. It decides nothing.

mod allocator;
mod config;
mod driver;
mod election;
mod input;
mod registry;
mod service;
mod whitelist;

use std::process::ExitCode;
use std::sync::Arc;

use messor_flags::MasterFlags;
use messor_http_api::{BuildInfo, Request};
use messor_runtime::{Daemon, Failure, Listening};

pub use service::{Master, Options};

/// The program.
pub fn main(arguments: &[String], build: BuildInfo) -> ExitCode {
    let daemon = match messor_runtime::start::<MasterFlags>(arguments, |flags| &flags.logging) {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    // Each agent and scheduler takes a descriptor or two; the usual 1,024 are soon too few.
    if let Err(error) = messor_linux::limits::raise_open_files() {
        tracing::warn!("cannot raise the limit on open files: {error}");
    }
    match run(&daemon, build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            daemon.logging.flush();
            // Said to the user as well when the log goes elsewhere.
            if daemon.flags.logging.quiet {
                messor_runtime::complain(&format!("mesos-master: {failure}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(daemon: &Daemon<MasterFlags>, build: BuildInfo) -> Result<(), Failure> {
    let runtime = messor_runtime::network_threads()?;
    runtime.block_on(async {
        let Listening { server, hostname } =
            messor_runtime::listen(&config::address(&daemon.flags), &daemon.libprocess).await?;
        let pace = messor_runtime::snapshot_pace(&daemon.libprocess)?;
        let options = Options { flags: &daemon.flags, build, hostname, logging: &daemon.logging, pace };
        let (master, over) = Master::start(options, server.net())?;
        tracing::info!("master {} serves at {}", master.id(), server.bound_address());
        let over = async move {
            let _ = over.await;
        };
        let (site, failure, stop) = (master.site(), master.failure(), master.stopper());
        let cors = Arc::new(master.cors());
        messor_runtime::serve(
            server,
            move |request, _peer| {
                let (site, cors) = (Arc::clone(&site), Arc::clone(&cors));
                async move {
                    let answer = |request| async move {
                        match Request::read(request).await {
                            Ok(request) => site.handle(request).await,
                            Err(refusal) => refusal,
                        }
                    };
                    cors.around(request, answer).await
                }
            },
            over,
            stop,
        )
        .await?;
        master.leave().await;
        match failure.get() {
            Some(reason) => Err(Failure::Words(reason.clone())),
            None => Ok(()),
        }
    })
}
