//! Who leads: always the same with --master=HOST:PORT, whoever ZooKeeper names with --master=zk://….

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use messor_agent_core::{Event, View};
use messor_http_api::Machine;
use messor_proto::mesos::{Address, MasterInfo};
use messor_runtime::{Clock, Failure};
use messor_zk::{DetectorOutcome, Url};

/// Before ZooKeeper is asked again after it refused: tasks run on meanwhile, and somebody may set things right.
const PAUSE: Duration = Duration::from_secs(60);

/// Where the leader is known from.
#[derive(Debug)]
pub enum Source {
    Fixed(Box<MasterInfo>),
    ZooKeeper(Url),
}

impl Source {
    /// `HOST:PORT`, `master@HOST:PORT` or `zk://…`.
    pub fn parse(text: &str) -> Result<Source, Failure> {
        let text = text.trim();
        if text.starts_with("zk://") {
            // Its errors do not repeat credentials.
            return Url::parse(text)
                .map(Source::ZooKeeper)
                .map_err(|error| Failure::Words(format!("--master: {error}")));
        }
        let wrong = |why: &dyn std::fmt::Display| Failure::Words(format!("--master: '{text}': {why}"));
        let place = text.strip_prefix("master@").unwrap_or(text);
        let (host, _) = place.rsplit_once(':').ok_or_else(|| wrong(&"expecting HOST:PORT"))?;
        let mut found = place.to_socket_addrs().map_err(|error| wrong(&error))?;
        let address = found.next().ok_or_else(|| wrong(&"the name has no address"))?;
        Ok(Source::Fixed(Box::new(master_info(address, host))))
    }

    /// Tells the agent who leads, from now on. Inside a tokio runtime.
    pub fn follow(self, session_timeout: Duration, clock: Clock, agent: Machine<Event, View>) {
        match self {
            Source::Fixed(leader) => agent.event(Event::Detected { leader: Some(leader) }),
            Source::ZooKeeper(url) => {
                tokio::spawn(async move {
                    loop {
                        detect(&url, session_timeout, clock, &agent).await;
                        agent.event(Event::Detected { leader: None });
                        tokio::time::sleep(PAUSE).await;
                    }
                });
            }
        }
    }
}

/// Ends when ZooKeeper refuses.
async fn detect(url: &Url, session_timeout: Duration, clock: Clock, agent: &Machine<Event, View>) {
    tracing::info!("detecting the leading master at {url}");
    let mut running = messor_zk::detect(url, session_timeout, move || clock.now());
    while let Some(outcome) = running.outcomes.recv().await {
        let leader = match outcome {
            DetectorOutcome::Leader(None) => {
                tracing::info!("no master leads");
                None
            }
            DetectorOutcome::Leader(Some(leader)) => match messor_zk::master_info(&leader) {
                Ok(info) => {
                    tracing::info!("{} leads", info.pid.as_deref().unwrap_or("a master without a pid"));
                    Some(Box::new(info))
                }
                Err(error) => {
                    tracing::error!("{error}");
                    None
                }
            },
            DetectorOutcome::Failed { reason } => {
                let pause = PAUSE.as_secs();
                tracing::error!("cannot detect the leading master: {reason}; trying again in {pause}secs");
                return;
            }
        };
        agent.event(Event::Detected { leader });
    }
}

fn master_info(address: SocketAddr, host: &str) -> MasterInfo {
    let ip = match address.ip() {
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    MasterInfo {
        // The real id is the master's to tell; nothing is known of it before it answers.
        id: String::new(),
        ip,
        port: u32::from(address.port()),
        pid: Some(format!("master@{address}")),
        hostname: Some(host.trim_matches(['[', ']']).to_string()),
        version: None,
        address: Some(Address {
            hostname: Some(host.trim_matches(['[', ']']).to_string()),
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        }),
        domain: None,
        capabilities: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_found_by_its_address() {
        for text in ["127.0.0.1:5050", "master@127.0.0.1:5050", " 127.0.0.1:5050\n"] {
            let Source::Fixed(info) = Source::parse(text).unwrap() else { panic!("{text}") };
            assert_eq!((info.pid(), info.port, info.ip), ("master@127.0.0.1:5050", 5050, 16_777_343));
        }
        let Source::ZooKeeper(url) = Source::parse("zk://me:secret@a:1,b:2/mesos").unwrap() else {
            panic!("an address of ZooKeeper")
        };
        assert_eq!(url.to_string(), "zk://***@a:1,b:2/mesos");
        for text in ["localhost", "zk://me:secret@a:1", "127.0.0.1:x"] {
            let error = Source::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("--master: ") && !error.contains("secret"), "{error}");
        }
    }
}
