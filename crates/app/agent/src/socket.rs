//! The socket in the file system over which executors reach the agent (`--http_executor_domain_sockets`). Nothing but
//! what executors call is served there.

use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use http::StatusCode;
use messor_flags::AgentFlags;
use messor_http_api::AgentSite;
use messor_net::{Limits, LocalServer, Net, Response, text};
use messor_runtime::Failure;
use tokio::net::UnixListener;

/// As systemd passes sockets on: from this number, with their count, names and the process they are for in the environment.
const FIRST_PASSED: i32 = 3;

pub struct DomainSocket {
    listener: UnixListener,
    /// As executors are told.
    pub path: String,
}

/// None: executors come over TCP.
pub fn open(flags: &AgentFlags, runtime_dir: &Path) -> Result<Option<DomainSocket>, Failure> {
    if !flags.http_executor_domain_sockets {
        return Ok(None);
    }
    let wrong = |error: &dyn std::fmt::Display| Failure::Words(format!("--domain_socket_location: {error}"));
    let location = flags.domain_socket_location.as_deref();
    if let Some(name) = location.and_then(|location| location.strip_prefix("systemd:")) {
        return passed_on(name).map(Some).map_err(|error| wrong(&error));
    }
    let path = match location {
        Some(location) => std::path::absolute(location).map_err(|error| wrong(&error))?,
        None => runtime_dir.join("agent.sock"),
    };
    listen(path).map(Some).map_err(|error| wrong(&error))
}

fn listen(path: PathBuf) -> io::Result<DomainSocket> {
    let at = |error: io::Error| io::Error::new(error.kind(), format!("'{}': {error}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(at)?;
    }
    match path.symlink_metadata() {
        // Of the agent before.
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(&path).map_err(at)?,
        Ok(_) => return Err(at(io::Error::other("something that is no socket is there"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error)),
    }
    let listener = UnixListener::bind(&path).map_err(at)?;
    // Executors run as the users of their tasks.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).map_err(at)?;
    Ok(DomainSocket { listener, path: path.to_string_lossy().into_owned() })
}

/// The socket of this name that systemd passed to this process.
fn passed_on(name: &str) -> io::Result<DomainSocket> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let number = number_of(name, &variable, std::process::id())
        .ok_or_else(|| io::Error::other(format!("systemd passed no socket '{name}' to this process")))?;
    let socket = std::os::unix::net::UnixListener::from(messor_linux::inherited::take(number)?);
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let path = address.as_pathname().ok_or_else(|| io::Error::other("the socket has no path"))?;
    let path = path.to_string_lossy().into_owned();
    Ok(DomainSocket { listener: UnixListener::from_std(socket)?, path })
}

fn number_of(name: &str, variable: &dyn Fn(&str) -> String, process: u32) -> Option<i32> {
    let count: usize = variable("LISTEN_FDS").parse().ok()?;
    let is_ours = variable("LISTEN_PID").parse() == Ok(process);
    let names = variable("LISTEN_FDNAMES");
    let place = names.split(':').take(count).position(|found| found == name).filter(|_| is_ours)?;
    Some(FIRST_PASSED + i32::try_from(place).ok()?)
}

impl DomainSocket {
    /// Serves for as long as the program runs.
    pub fn serve(
        self,
        site: Arc<AgentSite>,
        net: Net,
        process: &str,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let allowed = [format!("/{process}/api/v1"), format!("/{process}/api/v1/executor")];
        let handler = move |request: messor_net::Request| {
            let site = Arc::clone(&site);
            let is_allowed = allowed.iter().any(|path| path == request.uri().path());
            async move {
                match is_allowed {
                    true => site.serve(request).await,
                    false => refusal(),
                }
            }
        };
        Box::pin(LocalServer::new(self.listener, net, Limits::default()).serve(handler))
    }
}

fn refusal() -> Response {
    text(StatusCode::FORBIDDEN, "403 Forbidden. This socket is for executors.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_systemd_are_known_by_their_names() {
        let variable = |name: &str| {
            let value = match name {
                "LISTEN_FDS" => "2",
                "LISTEN_PID" => "7",
                "LISTEN_FDNAMES" => "other:agent:more",
                _ => "",
            };
            value.to_string()
        };
        assert_eq!(number_of("agent", &variable, 7), Some(4));
        assert_eq!(number_of("agent", &variable, 8), None);
        assert_eq!(number_of("more", &variable, 7), None);
    }

    #[tokio::test]
    async fn the_socket_of_the_agent_before_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/agent.sock");
        drop(listen(path.clone()).unwrap());
        let socket = listen(path.clone()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(socket.path, path.to_string_lossy());
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(listen(file.clone()).is_err() && file.exists());
    }
}
