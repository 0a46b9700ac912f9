//! Where the leading master is, as people write it: its own address, or ZooKeeper's, which knows.

use std::fmt;
use std::time::Duration;

use messor_proto::mesos::MasterInfo;
use messor_zk::{FindError, Url, UrlError};

const DEFAULT_PORT: u16 = 5050;
/// A session's life. These programs only read, and end it themselves.
const ZOOKEEPER_SESSION_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    #[error(
        "not supported yet: finding the master '{0}'; give zk://HOST:PORT/PATH or the master's own HOST:PORT"
    )]
    Detection(String),
    #[error(transparent)]
    ZooKeeper(#[from] UrlError),
    #[error("the file {path} cannot be read: {reason}")]
    File { path: String, reason: String },
    #[error("not supported yet: https to the master '{0}'")]
    Https(String),
    #[error(
        "'{0}' is not the address of a master: write HOST:PORT, such as 10.0.0.1:5050, or zk://HOST:PORT/PATH"
    )]
    Malformed(String),
}

/// How the leading master is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Master {
    At(Address),
    ZooKeeper(Url),
}

impl Master {
    /// `HOST:PORT`, `zk://…`, or `file://PATH` of a file with one of these.
    pub fn parse(text: &str) -> Result<Master, AddressError> {
        if let Some(path) = text.strip_prefix("file://") {
            let read = std::fs::read_to_string(path);
            let text = read
                .map_err(|error| AddressError::File { path: path.to_owned(), reason: error.to_string() })?;
            return Master::parse_one(text.trim());
        }
        Master::parse_one(text.trim())
    }

    fn parse_one(text: &str) -> Result<Master, AddressError> {
        if text.starts_with("zk://") {
            return Ok(Master::ZooKeeper(Url::parse(text)?));
        }
        Address::parse(text).map(Master::At)
    }

    /// Where to ask: a master that is there, or the one that leads.
    pub fn find(&self, patience: Duration) -> Result<Address, FindError> {
        match self {
            Master::At(address) => Ok(address.clone()),
            Master::ZooKeeper(url) => {
                let info = messor_zk::find_master(url, ZOOKEEPER_SESSION_TIMEOUT, patience)?;
                Address::of_info(&info)
                    .ok_or_else(|| FindError::Failed(format!("the leader of {url} has no address")))
            }
        }
    }
}

impl fmt::Display for Master {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Master::At(address) => address.fmt(out),
            Master::ZooKeeper(url) => url.fmt(out),
        }
    }
}

/// Where a master or an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// `HOST`, `HOST:PORT`, the same behind `http://`, or a process id such as `master@HOST:PORT`.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        if text.starts_with("etcd://") {
            return Err(AddressError::Detection(text.to_owned()));
        }
        if text.starts_with("https://") {
            return Err(AddressError::Https(text.to_owned()));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let rest = rest.strip_prefix("master@").unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(malformed)?;
                (
                    host,
                    if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(malformed)?) },
                )
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port.map(str::parse).transpose().map_err(|_| malformed())?.unwrap_or(DEFAULT_PORT);
        let is_clean = |character: char| character.is_ascii_alphanumeric() || "-._:%".contains(character);
        if host.is_empty() || port == 0 || !host.chars().all(is_clean) {
            return Err(malformed());
        }
        Ok(Address { host: host.to_owned(), port })
    }

    /// Where the master listens that a znode tells of.
    pub fn of_info(info: &MasterInfo) -> Option<Address> {
        if let Some((ip, port)) =
            info.address.as_ref().and_then(|place| Some((place.ip.clone()?, place.port)))
        {
            return Some(Address { host: ip, port: u16::try_from(port).ok()? });
        }
        Address::parse(info.pid.as_deref()?).ok()
    }

    /// The master a `Location` header leads to: `//HOST:PORT/...`.
    pub fn of_location(location: &str) -> Option<Address> {
        let rest = location.strip_prefix("http:").unwrap_or(location).strip_prefix("//")?;
        Address::parse(rest.split('/').next()?).ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, shown) in [
            ("host", "host:5050"),
            ("10.0.0.1:5051", "10.0.0.1:5051"),
            ("http://host:80/", "host:80"),
            ("master@host:5050", "host:5050"),
            ("[::1]:5050", "[::1]:5050"),
            ("[::1]", "[::1]:5050"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", ":5050", "host:x", "host:0", "ho st:1", "host:1\r\nx", "[::1", "[::1]5050"] {
            assert_eq!(Address::parse(text), Err(AddressError::Malformed(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn masters_as_people_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zk");
        std::fs::write(&file, "zk://me:secret@host:2181,other/mesos\n").unwrap();
        let text = format!("file://{}", file.display());
        assert_eq!(Master::parse(&text).unwrap().to_string(), "zk://***@host:2181,other:2181/mesos");
        assert_eq!(Master::parse("host").unwrap().to_string(), "host:5050");
        let error = Master::parse("zk://me:secret@host:2181").unwrap_err().to_string();
        assert!(error.contains("names no path") && !error.contains("secret"), "{error}");
        assert!(matches!(Master::parse("file:///not/there"), Err(AddressError::File { .. })));
        assert!(Master::parse("etcd://host/mesos").unwrap_err().to_string().starts_with("not supported yet"));
        assert!(matches!(Address::parse("https://host:5050"), Err(AddressError::Https(_))));
    }

    #[test]
    fn a_leader_is_where_its_znode_says() {
        let info = |address: Option<(&str, i32)>| MasterInfo {
            pid: Some("master@10.0.0.1:5050".to_string()),
            address: address.map(|(ip, port)| messor_proto::mesos::Address {
                hostname: Some("node".to_string()),
                ip: Some(ip.to_string()),
                port,
            }),
            ..MasterInfo::default()
        };
        let found = |info: &MasterInfo| Address::of_info(info).map(|address| address.to_string());
        assert_eq!(found(&info(Some(("10.0.0.2", 80)))).as_deref(), Some("10.0.0.2:80"));
        assert_eq!(found(&info(None)).as_deref(), Some("10.0.0.1:5050"));
        assert_eq!(found(&MasterInfo::default()), None);
    }

    #[test]
    fn locations_lead_to_masters() {
        let host = Some(Address { host: "host".into(), port: 5050 });
        assert_eq!(Address::of_location("//host:5050"), host);
        assert_eq!(Address::of_location("http://host:5050/master/api/v1/scheduler"), host);
        assert_eq!(Address::of_location("/relative"), None);
    }
}
