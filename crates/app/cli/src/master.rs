//! The address of a master, as people write it.

use std::fmt;

const DEFAULT_PORT: u16 = 5050;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    #[error("not supported yet: finding the master '{0}'; give the master's own address as HOST:PORT")]
    Detection(String),
    #[error("not supported yet: https to the master '{0}'")]
    Https(String),
    #[error("'{0}' is not the address of a master: write HOST:PORT, such as 10.0.0.1:5050")]
    Malformed(String),
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
        if ["zk://", "file://", "etcd://"].iter().any(|scheme| text.starts_with(scheme)) {
            // A list of ZooKeeper servers may hold credentials, which do not belong into a log.
            let shown = match text.split_once('@') {
                Some((_, rest)) if text.starts_with("zk://") => format!("zk://***@{rest}"),
                _ => text.to_owned(),
            };
            return Err(AddressError::Detection(shown));
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
    fn what_is_not_supported_says_so_without_credentials() {
        let error = Address::parse("zk://me:secret@host:2181/mesos").unwrap_err().to_string();
        assert!(error.starts_with("not supported yet") && error.contains("zk://***@host"), "{error}");
        assert!(matches!(Address::parse("file:///etc/mesos/zk"), Err(AddressError::Detection(_))));
        assert!(matches!(Address::parse("https://host:5050"), Err(AddressError::Https(_))));
    }

    #[test]
    fn locations_lead_to_masters() {
        let host = Some(Address { host: "host".into(), port: 5050 });
        assert_eq!(Address::of_location("//host:5050"), host);
        assert_eq!(Address::of_location("http://host:5050/master/api/v1/scheduler"), host);
        assert_eq!(Address::of_location("/relative"), None);
    }
}
