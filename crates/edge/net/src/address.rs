//! What this host is called: its address and its name, by the system's resolver or by a command of the operator.
//! All calls here block; they are made once, when a program starts.

use std::io::Read;
use std::net::{IpAddr, ToSocketAddrs};
use std::process::{Command, Stdio};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("cannot learn the name of this host: {0}")]
    Hostname(String),
    #[error("cannot look up this host: {0}")]
    Lookup(String),
    #[error("the name of this host, '{0}', has no address")]
    NoAddress(String),
    #[error("cannot run --ip_discovery_command '{command}': {error}")]
    Command { command: String, error: String },
    #[error("--ip_discovery_command '{command}' failed with {status}")]
    Failed { command: String, status: String },
    #[error("--ip_discovery_command '{command}' wrote '{output}', which is not an IP address")]
    Output { command: String, output: String },
}

/// What of the output of a command is looked at.
const OUTPUT_BYTES: u64 = 4096;

/// The first address that the name of this host resolves to, as libprocess takes when it is given none.
pub fn own_ip(ipv4: bool) -> Result<IpAddr, AddressError> {
    let hostname = dns_lookup::get_hostname().map_err(|error| AddressError::Hostname(error.to_string()))?;
    let mut found = (hostname.as_str(), 0)
        .to_socket_addrs()
        .map_err(|error| AddressError::Lookup(format!("'{hostname}': {error}")))?;
    found
        .find(|address| address.is_ipv4() == ipv4)
        .map(|address| address.ip())
        .ok_or(AddressError::NoAddress(hostname))
}

/// The name that an address resolves to, or the address itself where it has none.
pub fn hostname_of(ip: IpAddr) -> Result<String, AddressError> {
    dns_lookup::lookup_addr(&ip).map_err(|error| {
        AddressError::Lookup(format!("{ip} (give --hostname or --no-hostname_lookup): {error:?}"))
    })
}

/// Runs `--ip_discovery_command` by the shell, as Apache Mesos does, and takes the first line it writes for the IP.
/// It may take as long as it likes: the program cannot start without.
pub fn discover_ip(command: &str) -> Result<IpAddr, AddressError> {
    let failed = |error: std::io::Error| AddressError::Command {
        command: command.to_string(),
        error: error.to_string(),
    };
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        // What is beyond the bound is not read: the command is told by a broken pipe.
        stdout.take(OUTPUT_BYTES).read_to_string(&mut output).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(AddressError::Failed { command: command.to_string(), status: status.to_string() });
    }
    let line = output.trim().lines().next().unwrap_or_default().trim();
    line.parse().map_err(|_| AddressError::Output { command: command.to_string(), output: line.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_discovery_command_is_run_by_the_shell() {
        assert_eq!(discover_ip("echo 10.0.0.$((3 + 4)); echo more"), Ok("10.0.0.7".parse().unwrap()));
        assert_eq!(discover_ip("printf ' ::1 \\n'"), Ok("::1".parse().unwrap()));
        assert!(matches!(discover_ip("echo 10.0.0.1; exit 3"), Err(AddressError::Failed { .. })));
        assert!(matches!(discover_ip("true"), Err(AddressError::Output { .. })));
        assert!(matches!(discover_ip("echo localhost"), Err(AddressError::Output { .. })));
        assert!(matches!(discover_ip("/nonexistent/command"), Err(AddressError::Failed { .. })));
    }

    #[test]
    fn loopback_has_a_name() {
        assert!(!hostname_of("127.0.0.1".parse().unwrap()).unwrap().is_empty());
    }
}
