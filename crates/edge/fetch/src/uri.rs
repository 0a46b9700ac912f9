//! URIs as the fetcher reads them: where the bytes come from and what the file is called.
//!
//! Mesos treats a URI much like a path: the file name is what follows the last slash, queries included. This
//! module knows those rules and touches neither the network nor the disk.

use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    #[error("it is empty")]
    Empty,
    #[error("it holds a backslash, a single quote or a NUL, which URIs must not")]
    IllegalCharacter,
    #[error("it ends without a file name; name the file, or give a path below the host")]
    NoFileName,
    #[error("a file:// URI needs an absolute path, as in file:///path/to/file")]
    RelativeFileUri,
    #[error("the path is relative, and the agent has no --frameworks_home to resolve it in")]
    NoFrameworksHome,
    #[error("the host or port is malformed")]
    MalformedAuthority,
    #[error("the path or the credentials hold a line break or bytes that are not UTF-8")]
    UnsafeText,
    #[error("output_file '{0}' must be a relative path inside the sandbox, without '..'")]
    OutputFile(String),
}

/// Where the bytes come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Local(PathBuf),
    Http(String),
    Ftp(FtpSource),
    /// Any other scheme: the Hadoop client knows many, and its configuration may add more.
    Hadoop(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FtpSource {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub path: String,
}

/// The name that a URI's file has where no other is given: what follows its last slash.
pub fn base_name(uri: &str) -> Result<&str, UriError> {
    file_name(uri)
}

/// What an agent checks before it starts a fetcher at all.
pub fn check_uri(uri: &str) -> Result<(), UriError> {
    file_name(uri).map(|_| ())
}

/// The `output_file` of a URI: a relative path, subdirectories allowed, that stays in the sandbox.
pub fn check_output_file(path: &str) -> Result<(), UriError> {
    let refused = || UriError::OutputFile(path.to_owned());
    if path.ends_with('/') || path.contains('\0') {
        return Err(refused());
    }
    let mut normal = 0;
    for component in Path::new(path).components() {
        match component {
            Component::Normal(_) => normal += 1,
            Component::CurDir => {}
            _ => return Err(refused()),
        }
    }
    if normal == 0 { Err(refused()) } else { Ok(()) }
}

/// The URI with `user:password@` replaced, for logs and errors.
pub fn masked(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://***@{}", &rest[at + 1..]),
        None => uri.to_owned(),
    }
}

/// The name the file gets in the sandbox when no `output_file` is given.
pub(crate) fn file_name(uri: &str) -> Result<&str, UriError> {
    let uri = uri.trim_start();
    if uri.is_empty() {
        return Err(UriError::Empty);
    }
    if uri.contains(['\\', '\'', '\0']) {
        return Err(UriError::IllegalCharacter);
    }
    let name = match split_scheme(uri) {
        Some((_, rest)) => {
            let slash = rest.find('/').ok_or(UriError::NoFileName)?;
            rest[slash..].rsplit('/').next().unwrap_or_default()
        }
        None => uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default(),
    };
    if matches!(name, "" | "." | "..") { Err(UriError::NoFileName) } else { Ok(name) }
}

pub(crate) fn source(uri: &str, frameworks_home: Option<&str>) -> Result<Source, UriError> {
    let uri = uri.trim_start();
    check_uri(uri)?;
    let Some((scheme, rest)) = split_scheme(uri) else {
        return local(uri, frameworks_home);
    };
    match scheme {
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if path.starts_with('/') {
                Ok(Source::Local(path.into()))
            } else {
                Err(UriError::RelativeFileUri)
            }
        }
        "http" | "https" => Ok(Source::Http(uri.to_owned())),
        "ftp" | "ftps" => ftp(scheme == "ftps", rest).map(Source::Ftp),
        _ => Ok(Source::Hadoop(uri.to_owned())),
    }
}

/// A scheme is at least two characters long, so that `x://` stays a path, as it is for Mesos.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    uri.split_once("://").filter(|(scheme, _)| scheme.len() > 1)
}

fn local(path: &str, frameworks_home: Option<&str>) -> Result<Source, UriError> {
    if path.starts_with('/') {
        return Ok(Source::Local(path.into()));
    }
    match frameworks_home.filter(|home| !home.is_empty()) {
        Some(home) => Ok(Source::Local(Path::new(home).join(path))),
        None => Err(UriError::NoFrameworksHome),
    }
}

fn ftp(secure: bool, rest: &str) -> Result<FtpSource, UriError> {
    let (authority, path) = rest.split_once('/').ok_or(UriError::NoFileName)?;
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, authority),
    };
    let (host, port) = host_and_port(address)?;
    let (user, password) = match credentials {
        Some(credentials) => {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            (decoded(user)?, decoded(password)?)
        }
        None => ("anonymous".to_owned(), "anonymous@".to_owned()),
    };
    let port = port.unwrap_or(if secure { 990 } else { 21 });
    Ok(FtpSource { secure, host: host.to_owned(), port, user, password, path: decoded(path)? })
}

fn host_and_port(address: &str) -> Result<(&str, Option<u16>), UriError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(UriError::MalformedAuthority)?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(UriError::MalformedAuthority),
            }
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err(UriError::MalformedAuthority);
    }
    let port = port.map(str::parse).transpose().map_err(|_| UriError::MalformedAuthority)?;
    Ok((host, port))
}

/// Percent-decoding; a line break would smuggle another command into an FTP session.
fn decoded(text: &str) -> Result<String, UriError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| UriError::UnsafeText)?;
    if text.contains(['\r', '\n', '\0']) { Err(UriError::UnsafeText) } else { Ok(text.into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_follows_the_last_slash() {
        assert_eq!(file_name("http://host/a/b.tgz"), Ok("b.tgz"));
        assert_eq!(file_name("http://host:80/a/b.tgz?x=1"), Ok("b.tgz?x=1"));
        assert_eq!(file_name("  /opt/app.tar/"), Ok("app.tar"));
        assert_eq!(file_name("app"), Ok("app"));
        for uri in ["http://host", "http://host/", "http://host/a/", "/", "/a/..", "http://h/.."] {
            assert_eq!(file_name(uri), Err(UriError::NoFileName), "{uri}");
        }
        assert_eq!(file_name(" "), Err(UriError::Empty));
        assert_eq!(file_name("http://host/it's"), Err(UriError::IllegalCharacter));
        assert_eq!(file_name("http://host/a\\b"), Err(UriError::IllegalCharacter));
    }

    #[test]
    fn local_paths_resolve_as_mesos_does() {
        let local = |path: &str| Ok(Source::Local(path.into()));
        assert_eq!(source("/a/b", None), local("/a/b"));
        assert_eq!(source("file:///a/b", None), local("/a/b"));
        assert_eq!(source("file://localhost/a/b", None), local("/a/b"));
        assert_eq!(source("a/b", Some("/home")), local("/home/a/b"));
        assert_eq!(source("a/b", Some("")), Err(UriError::NoFrameworksHome));
        assert_eq!(source("a/b", None), Err(UriError::NoFrameworksHome));
        assert_eq!(source("file://a/b", None), Err(UriError::RelativeFileUri));
    }

    #[test]
    fn other_schemes_are_for_hadoop() {
        for uri in ["hdfs://name/a", "s3://bucket/a", "  hftp://name:50070/a"] {
            assert_eq!(source(uri, None), Ok(Source::Hadoop(uri.trim_start().into())));
        }
    }

    #[test]
    fn ftp_addresses_are_taken_apart() {
        let Ok(Source::Ftp(plain)) = source("ftp://host/a/b%20c", None) else { panic!("not ftp") };
        assert_eq!((plain.host.as_str(), plain.port, plain.path.as_str()), ("host", 21, "a/b c"));
        assert_eq!((plain.user.as_str(), plain.secure), ("anonymous", false));
        let Ok(Source::Ftp(full)) = source("ftps://me:p%40ss@[::1]:2990/x", None) else { panic!("not ftp") };
        assert_eq!((full.host.as_str(), full.port, full.secure), ("::1", 2990, true));
        assert_eq!((full.user.as_str(), full.password.as_str()), ("me", "p@ss"));
        assert_eq!(source("ftp://host/a%0d%0aDELE b", None), Err(UriError::UnsafeText));
        assert_eq!(source("ftp://host:no/a", None), Err(UriError::MalformedAuthority));
    }

    #[test]
    fn credentials_are_masked() {
        assert_eq!(masked("https://me:secret@host/a@b"), "https://***@host/a@b");
        assert_eq!(masked("https://host/a@b"), "https://host/a@b");
        assert_eq!(masked("/plain/path"), "/plain/path");
    }

    #[test]
    fn output_files_stay_in_the_sandbox() {
        for good in ["a", "a/b", "./a", "a..b"] {
            assert_eq!(check_output_file(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "/a", "../a", "a/../../b", "a/", "a\0"] {
            assert!(check_output_file(bad).is_err(), "{bad:?}");
        }
    }
}
