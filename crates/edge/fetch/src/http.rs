//! http and https downloads into an open file.
//!
//! ureq, because this process downloads one file after the other and then exits: a blocking client with redirects,
//! proxies and a time limit for each read is all it needs, and hyper's client would bring a runtime for no gain.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::tls::{self, TlsError};

/// As many as curl follows.
const REDIRECTS: u32 = 30;
/// libcurl's own limit on connecting, which holds where no stall timeout is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(300);
const HEADER_BYTES: usize = 256 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("the server answered HTTP {0}, and only 200 is a download")]
    Status(u16),
    #[error("the download stalled: nothing came for {}", messor_stdx::format_duration(*.0))]
    Stalled(Duration),
    #[error("no connection within {}", messor_stdx::format_duration(*.0))]
    ConnectTimeout(Duration),
    #[error("the download ended after {received} of {expected} bytes")]
    Truncated { received: u64, expected: u64 },
    #[error("the proxy in the environment variable {0} cannot be understood")]
    Proxy(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("it is not a well-formed URL")]
    BadUrl,
    #[error("the request failed: {0}")]
    Request(ureq::Error),
    #[error("the sandbox file cannot be written: {0}")]
    Write(io::Error),
}

pub(crate) fn download(
    url: &str,
    into: &mut File,
    stall_timeout: Option<Duration>,
) -> Result<u64, HttpError> {
    download_with(&agent_for(url, stall_timeout)?, url, into, stall_timeout)
}

/// What a download will be, as the server says without sending it.
pub(crate) fn size(url: &str, stall_timeout: Option<Duration>) -> Result<Option<u64>, HttpError> {
    let agent = agent_for(url, stall_timeout)?;
    let response = agent.head(url).call().map_err(|error| failure(error, stall_timeout))?;
    if response.status() != 200 {
        return Err(HttpError::Status(response.status().as_u16()));
    }
    let length = response.headers().get("content-length").and_then(|value| value.to_str().ok());
    Ok(length.and_then(|text| text.trim().parse().ok()))
}

fn agent_for(url: &str, stall_timeout: Option<Duration>) -> Result<Agent, HttpError> {
    let proxy = proxy(url, &|name| std::env::var(name).ok())?;
    // A plain http URL needs trust only if it is redirected, so there a host without certificates is no error yet.
    let roots = match tls::roots() {
        Err(_) if url.starts_with("http://") => Vec::new(),
        found => found?,
    };
    let roots = roots.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
    Ok(agent(roots, proxy, stall_timeout))
}

fn agent(roots: Vec<Certificate<'static>>, proxy: Option<Proxy>, stall_timeout: Option<Duration>) -> Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(tls::provider())
        .root_certs(RootCerts::new_with_certs(&roots))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(REDIRECTS)
        .user_agent(concat!("messor-fetcher/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(HEADER_BYTES)
        .timeout_resolve(stall_timeout)
        .timeout_connect(Some(stall_timeout.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT)))
        .timeout_per_read(stall_timeout)
        .timeout_per_write(stall_timeout)
        .build()
        .new_agent()
}

fn failure(error: ureq::Error, stall_timeout: Option<Duration>) -> HttpError {
    match (error, stall_timeout) {
        (ureq::Error::Timeout(_), Some(timeout)) => HttpError::Stalled(timeout),
        (ureq::Error::Timeout(_), None) => HttpError::ConnectTimeout(CONNECT_TIMEOUT),
        // ureq's own message would show the credentials.
        (ureq::Error::BadUri(_), _) => HttpError::BadUrl,
        (error, _) => HttpError::Request(error),
    }
}

fn download_with(
    agent: &Agent,
    url: &str,
    into: &mut File,
    stall_timeout: Option<Duration>,
) -> Result<u64, HttpError> {
    let failed = |error: ureq::Error| failure(error, stall_timeout);
    let response = agent.get(url).call().map_err(failed)?;
    if response.status() != 200 {
        return Err(HttpError::Status(response.status().as_u16()));
    }
    let mut body = response.into_body();
    let expected = body.content_length();
    let mut reader = body.as_reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut received = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                into.write_all(&buffer[..count]).map_err(HttpError::Write)?;
                received += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
    match expected {
        Some(expected) if expected != received => Err(HttpError::Truncated { received, expected }),
        _ => Ok(received),
    }
}

/// The proxy for a URL as curl finds it: `http_proxy` in lower case only (the upper-case name can be set by a
/// client of a CGI program), `https_proxy` and `all_proxy` in both, `no_proxy` with everything below a domain.
fn proxy(url: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, HttpError> {
    let names: &[&str] = match url.starts_with("https://") {
        true => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        false => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    let found = names.iter().find_map(|name| Some((*name, environment(name).filter(|v| !v.is_empty())?)));
    let Some((name, value)) = found else { return Ok(None) };
    let bad = || HttpError::Proxy(name.to_owned());
    let parsed = Proxy::new(&value).map_err(|_| bad())?;
    let mut builder = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(user) = parsed.username() {
        builder = builder.username(user);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    let exceptions = environment("no_proxy").or_else(|| environment("NO_PROXY")).unwrap_or_default();
    for entry in exceptions.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()) {
        if entry == "*" {
            return Ok(None);
        }
        let domain = entry.trim_start_matches('.');
        builder = builder.no_proxy(domain).no_proxy(&format!(".{domain}"));
    }
    builder.build().map(Some).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, environment: &[(&str, &str)]) -> Option<Proxy> {
        let look = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        proxy(url, &look).unwrap()
    }

    #[test]
    fn proxies_are_chosen_as_curl_does() {
        let one = [("http_proxy", "http://me:pw@proxy:3128")];
        let found = chosen("http://host/a", &one).unwrap();
        assert_eq!((found.host(), found.port(), found.username()), ("proxy", 3128, Some("me")));
        assert!(chosen("https://host/a", &one).is_none());
        assert!(chosen("http://host/a", &[("HTTP_PROXY", "http://proxy:3128")]).is_none());
        assert_eq!(chosen("https://host/a", &[("ALL_PROXY", "http://p:1")]).unwrap().host(), "p");
        assert!(chosen("http://host/a", &[("http_proxy", "http://p:1"), ("no_proxy", "*")]).is_none());
        let some = [("http_proxy", "http://p:1"), ("no_proxy", "example.com, .internal")];
        let found = chosen("http://host/a", &some).unwrap();
        for (url, direct) in [
            ("http://example.com/", true),
            ("http://a.example.com/", true),
            ("http://x.internal/", true),
            ("http://example.org/", false),
        ] {
            assert_eq!(found.is_no_proxy(&url.parse().unwrap()), direct, "{url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_understood_is_an_error() {
        let look = |name: &str| (name == "http_proxy").then(|| "gopher://x".to_owned());
        let error = proxy("http://host/", &look).unwrap_err();
        assert!(error.to_string().contains("http_proxy"));
    }

    /// A server for one request, with a certificate for "localhost" of an authority of its own (`tests/tls`, whose
    /// authority's key is thrown away).
    fn https_server() -> u16 {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let certificate = CertificateDer::from_pem_slice(include_bytes!("../tests/tls/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tests/tls/server.key")).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            // A client that does not trust the certificate ends the connection here.
            if stream.read(&mut [0; 1024]).is_ok() {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
                    .unwrap();
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        port
    }

    #[test]
    fn https_is_fetched_from_those_the_host_trusts_and_from_nobody_else() {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let authority = CertificateDer::from_pem_slice(include_bytes!("../tests/tls/authority.pem")).unwrap();
        let authority = Certificate::from_der(&authority).to_owned();
        let mut file = tempfile::tempfile().unwrap();
        let url = |host| format!("https://{host}:{}/a", https_server());
        let trusting = agent(vec![authority], None, None);
        assert_eq!(download_with(&trusting, &url("localhost"), &mut file, None).unwrap(), 6);
        let other_name = download_with(&trusting, &url("127.0.0.1"), &mut file, None);
        assert!(matches!(other_name, Err(HttpError::Request(_))), "{other_name:?}");
        let stranger = download_with(&agent(Vec::new(), None, None), &url("localhost"), &mut file, None);
        assert!(matches!(stranger, Err(HttpError::Request(_))), "{stranger:?}");
    }
}
