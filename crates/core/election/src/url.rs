//! `zk://[user:password@]host1:port1,host2:port2/path`, as --zk and --master give it.
//! Must not know files: `file://` is resolved by whoever reads files.

use std::fmt;

use crate::client::Acl;

/// ZooKeeper's own port, where a server is given without one.
const DEFAULT_PORT: u16 = 2181;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("it does not begin with zk://; write zk://host1:port1,host2:port2/path")]
    Scheme,
    #[error("it names no path; write zk://host1:port1,host2:port2/path")]
    NoPath,
    #[error("the path '{0}' is no path of ZooKeeper: it has an empty part, '.', '..' or a control character")]
    Path(String),
    #[error("it names no server; write zk://host1:port1,host2:port2/path")]
    NoServer,
    #[error("'{0}' is no server: write HOST:PORT")]
    Server(String),
    #[error("its credentials are not user:password")]
    Credentials,
}

/// Where and as whom. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    servers: Vec<(String, u16)>,
    path: String,
    credentials: Option<String>,
}

impl Url {
    /// Servers without a port get ZooKeeper's. Slashes at the end of the path are dropped.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let rest = text.trim().strip_prefix("zk://").ok_or(UrlError::Scheme)?;
        // The path begins at the first slash; a password may hold an '@', but no slash, as in Apache Mesos.
        let (place, path) = rest.split_once('/').ok_or(UrlError::NoPath)?;
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(UrlError::NoPath);
        }
        let is_bad = |part: &str| part.is_empty() || part == "." || part == "..";
        if path.split('/').any(is_bad) || path.chars().any(char::is_control) {
            return Err(UrlError::Path(format!("/{}", path.escape_debug())));
        }
        let (credentials, servers) = match place.rsplit_once('@') {
            Some((credentials, servers)) => (Some(credentials.to_string()), servers),
            None => (None, place),
        };
        if credentials.as_ref().is_some_and(|text| text.find(':').is_none_or(|at| at == 0)) {
            return Err(UrlError::Credentials);
        }
        let servers: Vec<_> = servers
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(server)
            .collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(UrlError::NoServer);
        }
        Ok(Url { servers, path: format!("/{path}"), credentials })
    }

    pub fn servers(&self) -> &[(String, u16)] {
        &self.servers
    }

    /// Begins with a slash and does not end with one.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `user:password`, for the scheme "digest". Not to be logged.
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// What znodes are created with.
    pub fn acl(&self) -> Acl {
        if self.credentials.is_some() { Acl::CreatorAll } else { Acl::Open }
    }

    /// The same servers and credentials with `name` below the path: the replicas of the log meet at `log_replicas`.
    pub fn join(&self, name: &str) -> Url {
        Url { path: format!("{}/{name}", self.path), ..self.clone() }
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT`.
fn server(text: &str) -> Result<(String, u16), UrlError> {
    let wrong = || UrlError::Server(text.escape_debug().to_string());
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) })
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().map_err(|_| wrong()))?;
    let is_clean = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    if host.is_empty()
        || port == 0
        || !host.chars().all(is_clean)
        || (host.contains(':') && !text.starts_with('['))
    {
        return Err(wrong());
    }
    Ok((host.to_string(), port))
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("zk://")?;
        if self.credentials.is_some() {
            out.write_str("***@")?;
        }
        for (index, (host, port)) in self.servers.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if host.contains(':') {
                write!(out, "{comma}[{host}]:{port}")?;
            } else {
                write!(out, "{comma}{host}:{port}")?;
            }
        }
        out.write_str(&self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_as_people_write_them() {
        for (text, shown, path) in [
            ("zk://a:1,b:2,c/mesos", "zk://a:1,b:2,c:2181/mesos", "/mesos"),
            (" zk://a:1/x/y/ \n", "zk://a:1/x/y", "/x/y"),
            ("zk://me:p@ss:w@a:1/mesos", "zk://***@a:1/mesos", "/mesos"),
            ("zk://[::1]:7,[fe80::1]/m", "zk://[::1]:7,[fe80::1]:2181/m", "/m"),
            ("zk://a:1,,/m", "zk://a:1/m", "/m"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.path()), (shown, path), "{text}");
            assert_eq!(format!("{url:?}"), shown);
        }
        let url = Url::parse("zk://me:p@ss:w@a:1/mesos").unwrap();
        assert_eq!((url.credentials(), url.acl()), (Some("me:p@ss:w"), Acl::CreatorAll));
        assert_eq!(url.join("log_replicas").path(), "/mesos/log_replicas");
        assert_eq!(Url::parse("zk://a/m").unwrap().acl(), Acl::Open);
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        for (text, error) in [
            ("host:5050", UrlError::Scheme),
            ("zk://a:1", UrlError::NoPath),
            ("zk://a:1/", UrlError::NoPath),
            ("zk:///mesos", UrlError::NoServer),
            ("zk://a:x/mesos", UrlError::Server("a:x".into())),
            ("zk://a:0/mesos", UrlError::Server("a:0".into())),
            ("zk://::1/mesos", UrlError::Server("::1".into())),
            ("zk://secret@a:1/mesos", UrlError::Credentials),
            ("zk://a:1/x//y", UrlError::Path("/x//y".into())),
            ("zk://a:1/../y", UrlError::Path("/../y".into())),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_show_its_password(text in ".{0,40}", password in "[a-z0-9]{12}") {
            let _ = Url::parse(&text);
            let _ = Url::parse(&format!("zk://{text}"));
            let tried = Url::parse(&format!("zk://u:{password}@h:1/{text}"));
            let shown = format!("{tried:?}");
            prop_assert!(!shown.contains(&password), "{}", shown);
        }
    }
}
