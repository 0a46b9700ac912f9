//! Who leads: with --master=HOST:PORT always the same. The issue "Nothing is lost" puts ZooKeeper beside it.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use messor_proto::mesos::{Address, MasterInfo};
use messor_runtime::Failure;

/// The master at `HOST:PORT`, or `master@HOST:PORT`.
pub fn standalone(text: &str) -> Result<MasterInfo, Failure> {
    let text = text.trim();
    let wrong = |why: &dyn std::fmt::Display| Failure::Words(format!("--master: '{text}': {why}"));
    if text.starts_with("zk://") {
        return Err(wrong(&"leader detection over ZooKeeper is not supported yet; give HOST:PORT"));
    }
    let place = text.strip_prefix("master@").unwrap_or(text);
    let (host, _) = place.rsplit_once(':').ok_or_else(|| wrong(&"expecting HOST:PORT"))?;
    let mut found = place.to_socket_addrs().map_err(|error| wrong(&error))?;
    let address = found.next().ok_or_else(|| wrong(&"the name has no address"))?;
    Ok(master_info(address, host))
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
        for text in ["127.0.0.1:5050", "master@127.0.0.1:5050"] {
            let info = standalone(text).unwrap();
            assert_eq!((info.pid(), info.port, info.ip), ("master@127.0.0.1:5050", 5050, 16_777_343));
        }
        for text in ["localhost", "zk://a:1/mesos", "127.0.0.1:x"] {
            assert!(standalone(text).unwrap_err().to_string().starts_with("--master: "), "{text}");
        }
    }
}
