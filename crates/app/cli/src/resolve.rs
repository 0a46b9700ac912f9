//! `mesos-resolve`: which master leads.

use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use messor_flags::{Program, Request, ResolveFlags};

use crate::client::{self, ClientError};
use crate::master::{Address, AddressError, Master};

/// Between two looks for a master that is not there yet.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error(transparent)]
    Flag(#[from] messor_flags::FlagError),
    #[error("give one master: mesos-resolve HOST:PORT, or zk://HOST:PORT/PATH")]
    OneMaster,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("no leading master was found at {master} within {}: {reason}", messor_stdx::format_duration(*.timeout))]
    NotFound { master: Master, timeout: Duration, reason: String },
}

/// The program; `args` are the words after its name.
pub fn resolve(args: &[String]) -> ExitCode {
    match run(args) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", ResolveFlags::NAME);
            ExitCode::FAILURE
        }
    }
}

/// What the program prints.
pub fn run(args: &[String]) -> Result<String, ResolveError> {
    let parsed = match messor_flags::parse::<ResolveFlags>(args, &messor_log::Surroundings)? {
        Request::Run(parsed) => parsed,
        Request::Help(text) | Request::Version(text) => return Ok(text),
    };
    for warning in &parsed.warnings {
        eprintln!("{}: {warning}", ResolveFlags::NAME);
    }
    let [master] = parsed.positional.as_slice() else { return Err(ResolveError::OneMaster) };
    let master = Master::parse(master)?;
    let timeout = parsed.flags.timeout;
    let deadline = Instant::now() + timeout;
    loop {
        let reason = match leader(&master, deadline.saturating_duration_since(Instant::now())) {
            Ok(leader) => return Ok(numbered(&leader)),
            Err(reason) => reason,
        };
        if parsed.flags.verbose {
            eprintln!("{}: {reason}", ResolveFlags::NAME);
        }
        if Instant::now() + PAUSE > deadline {
            return Err(ResolveError::NotFound { master, timeout, reason });
        }
        std::thread::sleep(PAUSE);
    }
}

/// The address as numbers where its name can be found, as Mesos prints it; IPv4 before IPv6.
fn numbered(leader: &Address) -> String {
    let found: Vec<_> = (leader.host.as_str(), leader.port).to_socket_addrs().into_iter().flatten().collect();
    let best = found.iter().find(|address| address.is_ipv4()).or(found.first());
    best.map_or_else(|| leader.to_string(), ToString::to_string)
}

/// ZooKeeper says it, or a master, by where it redirects to.
fn leader(master: &Master, patience: Duration) -> Result<Address, String> {
    let found = master.find(patience).map_err(|error| error.to_string())?;
    match master {
        Master::At(_) => redirected(&found),
        Master::ZooKeeper(_) => Ok(found),
    }
}

fn redirected(address: &Address) -> Result<Address, String> {
    let response = client::exchange(address, "GET", "/master/redirect", &[], None)
        .map_err(|error: ClientError| error.to_string())?;
    let location = response.head.header("Location");
    match (response.head.status, location) {
        (300..400, Some(location)) => Address::of_location(location)
            .ok_or_else(|| format!("it redirects to '{}'", location.escape_debug())),
        (status, _) => Err(format!("it answers HTTP {status}{}", client::shown(&response.body))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &[&str]) -> String {
        run(&args.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        assert!(error(&[]).contains("give one master"));
        assert!(error(&["a", "b"]).contains("give one master"));
        assert!(error(&["etcd://a/mesos"]).starts_with("not supported yet"));
        assert!(error(&["zk://a"]).contains("names no path"));
    }

    #[test]
    fn a_master_that_is_not_there_is_looked_for_for_a_while() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let error = error(&[&closed, "--timeout=0secs"]);
        assert!(
            error.starts_with(&format!("no leading master was found at {closed} within 0ns: no connection")),
            "{error}"
        );
    }
}
