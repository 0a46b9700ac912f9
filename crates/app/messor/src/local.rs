//! mesos-local: a master and agents in one process, on one port, for trying things out.
//!
//! Its own flags say how many agents and where; flags of master and agent come from their MESOS_* environment.

use std::process::ExitCode;
use std::sync::Arc;

use http::StatusCode;
use messor_agent::Agent;
use messor_flags::{AgentFlags, LocalFlags, MasterFlags, Program, Request as FlagRequest};
use messor_http_api::{AgentSite, BuildInfo, MasterSite, Request};
use messor_log::Surroundings;
use messor_master::Master;
use messor_runtime::{Address, Daemon, Failure, Listening};

pub fn main(arguments: &[String], build: BuildInfo) -> ExitCode {
    let daemon = match messor_runtime::start::<LocalFlags>(arguments, |flags| &flags.logging) {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    match run(&daemon, build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            daemon.logging.finish();
            ExitCode::FAILURE
        }
    }
}

/// Flags of a part of the cluster: from the environment, but for what the cluster itself decides.
fn flags_of<F: Program>(decided: &[String]) -> Result<F, Failure> {
    match messor_flags::parse::<F>(decided, &Surroundings) {
        Ok(FlagRequest::Run(parsed)) => {
            parsed.warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", F::NAME));
            Ok(parsed.flags)
        }
        Ok(_) => Err(Failure::Words(format!("{}: the environment asks for help or a version", F::NAME))),
        Err(error) => Err(Failure::Words(format!("{}: {error}", F::NAME))),
    }
}

fn run(daemon: &Daemon<LocalFlags>, build: BuildInfo) -> Result<(), Failure> {
    let flags = &daemon.flags;
    let runtime = messor_runtime::network_threads()?;
    runtime.block_on(async {
        let port =
            if flags.given.has("port") { flags.port } else { daemon.libprocess.port.unwrap_or(flags.port) };
        let address = Address { ip: flags.ip.clone(), port, hostname_lookup: true, ..Address::default() };
        let Listening { server, hostname } = messor_runtime::listen(&address, &daemon.libprocess).await?;
        let pace = messor_runtime::snapshot_pace(&daemon.libprocess)?;
        let root = flags.work_dir.trim_end_matches('/');
        let master_flags: MasterFlags = flags_of(&[format!("--work_dir={root}/master")])?;
        let (master, over) = Master::start(
            messor_master::Options {
                flags: &master_flags,
                build,
                hostname: hostname.clone(),
                logging: &daemon.logging,
                pace: pace.clone(),
            },
            server.net(),
        )?;
        let mut agents = Vec::new();
        for number in 0..flags.num_agents {
            let below = |name: &str| format!("{root}/agents/{number}/{name}");
            let mut agent_flags: AgentFlags = flags_of(&[
                format!("--master={}", server.net().address()),
                format!("--work_dir={}", below("work")),
                format!("--runtime_dir={}", below("run")),
                format!("--fetcher_cache_dir={}", below("fetch")),
            ])?;
            // Two agents would share the control groups of their containers, and each would remove the other's.
            let launcher = &mut agent_flags.containers.launcher;
            if flags.num_agents > 1 && launcher.replace("posix".to_string()).as_deref() == Some("linux") {
                tracing::warn!("The launcher is posix, as it has to be where a host has several agents");
            }
            let (agent, _) = Agent::start(
                messor_agent::Options {
                    flags: &agent_flags,
                    libprocess_ip: daemon.libprocess.ip.clone(),
                    build,
                    hostname: hostname.clone(),
                    logging: &daemon.logging,
                    pace: pace.clone(),
                    process: format!("slave({})", number + 1),
                    // Nobody gave the flag: it is the master beside it.
                    hidden_flags: &["master"],
                },
                server.net(),
            )?;
            agents.push(agent.site());
        }
        tracing::info!("a cluster of {} agents serves at {}", agents.len(), server.bound_address());
        let sites = Arc::new((master.site(), agents));
        let failure = master.failure();
        let cors = Arc::new(master.cors());
        let stop = master.stopper();
        messor_runtime::serve(
            server,
            move |request, _peer| {
                let (sites, cors) = (Arc::clone(&sites), Arc::clone(&cors));
                async move { cors.around(request, |request| serve(&sites.0, &sites.1, request)).await }
            },
            async move {
                let _ = over.await;
            },
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

async fn serve(
    master: &MasterSite,
    agents: &[Arc<AgentSite>],
    request: messor_net::Request,
) -> messor_net::Response {
    let takes = |agent: &&Arc<AgentSite>| agent.owns(request.uri().path()) && agent.takes_stream(&request);
    if let Some(agent) = agents.iter().find(takes) {
        return agent.stream_in(request).await;
    }
    match Request::read(request).await {
        Ok(request) => answer(master, agents, request).await,
        Err(refusal) => refusal,
    }
}

/// Every path names its process here: there is no short form for one of many.
async fn answer(master: &MasterSite, agents: &[Arc<AgentSite>], request: Request) -> messor_net::Response {
    if let Some(agent) = agents.iter().find(|agent| agent.owns(&request.path)) {
        return agent.handle(request).await;
    }
    if MasterSite::owns(&request.path) {
        return master.handle(request).await;
    }
    let answer = master.shared(&request).await;
    // Files have one name space on a port, whoever's they are.
    if answer.status() == StatusCode::NOT_FOUND && request.path.starts_with("/files/") {
        for agent in agents {
            if let Some(found) =
                agent.shared(&request).await.filter(|found| found.status() != StatusCode::NOT_FOUND)
            {
                return found;
            }
        }
    }
    answer
}
