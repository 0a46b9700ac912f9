//! Carries checks out: a command as a child process, TCP and HTTP over a socket. It must not know what a result means.
//!
//! HTTP is spoken here. For https, and for redirects to another host or to https, the program curl is started with the
//! options of Apache Mesos (certificates are not verified: the check is of the task on this host).

use std::fs::File;
use std::io::{Read, Seek};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use messor_codec::http_client::{Part, RequestBody, ResponseDecoder, write_request_head};
use messor_linux::poll::{PollFd, PollFlags};
use messor_linux::spawn::{Launch, Session, Stdio};
use messor_linux::{Exit, Pid};

use super::check::{Measure, Outcome, Probe};
use super::settings::Settings;
use super::socket::{Reading, Socket};
use super::start;

/// As many as curl follows.
const REDIRECTS_LIMIT: usize = 50;

/// No more is kept of what curl says.
const CURL_OUTPUT_LIMIT_BYTES: u64 = 1024;

/// A check under way.
pub enum Running {
    Command { pid: Pid },
    Curl { pid: Pid, output: File, errors: File },
    Tcp { socket: Socket },
    Http { socket: Socket, decoder: ResponseDecoder, page: Page, redirects: usize },
}

/// Where an HTTP check goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    address: SocketAddr,
    target: String,
}

impl Running {
    /// Begins a check; one that cannot begin has an outcome at once.
    pub fn start(settings: &Settings, probe: Probe) -> Result<Running, Outcome> {
        match probe {
            Probe::Command(command) => {
                let launch = start::check(settings, &command).map_err(|error| Err(error.to_string()))?;
                let pid = launch.start().map_err(|error| Err(error.to_string()))?;
                Ok(Running::Command { pid })
            }
            Probe::Tcp { port } => {
                let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
                let socket = Socket::connect(address).map_err(|_| Ok(Measure::Connected(false)))?;
                Ok(Running::Tcp { socket })
            }
            Probe::Http { https: true, ipv6, port, path } => {
                let host = if ipv6 { "[::1]" } else { "127.0.0.1" };
                curl(settings, &format!("https://{host}:{port}{path}")).map_err(Err)
            }
            Probe::Http { https: false, ipv6, port, path } => {
                let ip: IpAddr = if ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
                let page = Page { address: SocketAddr::new(ip, port), target: path };
                request(page, 0).map_err(Err)
            }
        }
    }

    pub fn pid(&self) -> Option<Pid> {
        match self {
            Running::Command { pid } | Running::Curl { pid, .. } => Some(*pid),
            Running::Tcp { .. } | Running::Http { .. } => None,
        }
    }

    pub fn interest(&self) -> Option<PollFd<'_>> {
        match self {
            Running::Tcp { socket } | Running::Http { socket, .. } => {
                Some(PollFd::new(socket, socket.interest()))
            }
            Running::Command { .. } | Running::Curl { .. } => None,
        }
    }

    /// The process of the check ended.
    pub fn ended(self, exit: Exit) -> Outcome {
        match (self, exit) {
            (Running::Command { .. }, Exit::Exited(code)) => Ok(Measure::ExitCode(code)),
            (Running::Curl { output, .. }, Exit::Exited(0)) => {
                let text = written(output);
                let status =
                    text.trim().parse().map_err(|_| format!("curl wrote '{text}' in place of a status"))?;
                Ok(Measure::HttpStatus(status))
            }
            (Running::Curl { errors, .. }, exit) => Err(format!("curl {exit}: {}", written(errors).trim())),
            (_, exit) => Err(format!("its command {exit}")),
        }
    }

    /// The socket of the check is ready: goes on, or has an outcome.
    pub fn ready(self, settings: &Settings, ready: PollFlags) -> Result<Running, Outcome> {
        match self {
            Running::Tcp { mut socket } => match socket.advance() {
                Ok(()) if !socket.is_connected() => Ok(Running::Tcp { socket }),
                Ok(()) => Err(Ok(Measure::Connected(true))),
                Err(_) => Err(Ok(Measure::Connected(false))),
            },
            Running::Http { mut socket, mut decoder, page, redirects } => {
                match exchange(&mut socket, &mut decoder, ready).map_err(Err)? {
                    None => Ok(Running::Http { socket, decoder, page, redirects }),
                    Some((300..400, Some(location))) if redirects < REDIRECTS_LIMIT => {
                        match page.redirected(&location) {
                            Some(page) => request(page, redirects + 1).map_err(Err),
                            None => curl(settings, &page.url()).map_err(Err),
                        }
                    }
                    Some((300..400, Some(_))) => Err(Err(format!("more than {REDIRECTS_LIMIT} redirects"))),
                    Some((status, _)) => Err(Ok(Measure::HttpStatus(u32::from(status)))),
                }
            }
            other => Ok(other),
        }
    }
}

impl Page {
    fn url(&self) -> String {
        format!("http://{}{}", self.address, self.target)
    }

    /// Where a `Location` leads; nothing if that is not plain HTTP at an address.
    fn redirected(&self, location: &str) -> Option<Page> {
        let location = location.split('#').next().unwrap_or_default();
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(Page { target: location.to_string(), ..self.clone() });
        }
        let rest = location.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let address = authority.parse().or_else(|_| format!("{authority}:80").parse()).ok()?;
        let target = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        Some(Page { address, target })
    }
}

fn request(page: Page, redirects: usize) -> Result<Running, String> {
    let problem = |error: std::io::Error| format!("cannot connect to {}: {error}", page.address);
    let mut socket = Socket::connect(page.address).map_err(problem)?;
    let host = page.address.to_string();
    let agent = concat!("messor/", env!("CARGO_PKG_VERSION"));
    let headers =
        [("Host", host.as_str()), ("User-Agent", agent), ("Accept", "*/*"), ("Connection", "close")];
    let mut bytes = Vec::new();
    let target = page.target.split('#').next().unwrap_or_default();
    write_request_head(&mut bytes, "GET", &escaped(target), &headers, RequestBody::None)
        .map_err(|error| error.to_string())?;
    socket.send(bytes);
    Ok(Running::Http { socket, decoder: ResponseDecoder::new(), page, redirects })
}

/// Bytes that cannot stand in a request line, percent-encoded; all others as the task's author wrote them.
fn escaped(target: &str) -> String {
    let mut escaped = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_graphic() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Goes on with a request: the status and the `Location`, once the head of the response is there.
fn exchange(
    socket: &mut Socket,
    decoder: &mut ResponseDecoder,
    ready: PollFlags,
) -> Result<Option<(u16, Option<String>)>, String> {
    let broken = |error: std::io::Error| error.to_string();
    socket.advance().map_err(broken)?;
    if !ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
        return Ok(None);
    }
    let mut buffer = [0; 2048];
    match socket.read(&mut buffer).map_err(broken)? {
        Reading::Later => return Ok(None),
        Reading::End => return Err("the task closed the connection without an answer".to_string()),
        Reading::Bytes(count) => decoder.push(&buffer[..count]),
    }
    match decoder.next_part().map_err(|error| error.to_string())? {
        Some(Part::Head(head)) => Ok(Some((head.status, head.header("Location").map(str::to_string)))),
        _ => Ok(None),
    }
}

fn curl(settings: &Settings, url: &str) -> Result<Running, String> {
    let memory = |name: &str| -> Result<(File, Stdio), String> {
        let descriptor = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
            .map_err(|error| format!("cannot make room for the output of curl: {error}"))?;
        let file = File::from(descriptor);
        let copy = file.try_clone().map_err(|error| error.to_string())?;
        Ok((file, Stdio::Descriptor(OwnedFd::from(copy))))
    };
    let (output, stdout) = memory("curl-output")?;
    let (errors, stderr) = memory("curl-errors")?;
    let mut launch = Launch::new("curl");
    launch.arguments.extend(
        ["-s", "-S", "-L", "-k", "-w", "%{http_code}", "-o", "/dev/null", "-g", url]
            .map(std::ffi::OsString::from),
    );
    launch.environment = settings.environment.clone();
    launch.session = Session::New;
    (launch.stdin, launch.stdout, launch.stderr) = (Stdio::Null, stdout, stderr);
    let pid = launch.start().map_err(|error| format!("{error} (checks over https are made with curl)"))?;
    Ok(Running::Curl { pid, output, errors })
}

fn written(mut file: File) -> String {
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.take(CURL_OUTPUT_LIMIT_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(its output cannot be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_followed_where_they_lead_to_plain_http() {
        let page = Page { address: "127.0.0.1:8080".parse().unwrap(), target: "/a".into() };
        let to = |location: &str| page.redirected(location).map(|page| page.url());
        assert_eq!(to("/b?c#d").as_deref(), Some("http://127.0.0.1:8080/b?c"));
        assert_eq!(to("http://127.0.0.1:9/x").as_deref(), Some("http://127.0.0.1:9/x"));
        assert_eq!(to("http://10.0.0.1?q").as_deref(), Some("http://10.0.0.1:80/?q"));
        assert_eq!(to("http://[::1]:81").as_deref(), Some("http://[::1]:81/"));
        for elsewhere in ["https://127.0.0.1/", "http://example.org/", "//example.org/", "relative", ""] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_request_line_is_escaped() {
        assert_eq!(escaped("/a b/ü%20?q=1"), "/a%20b/%C3%BC%20?q=1");
        assert_eq!(escaped("/\r\nX: y"), "/%0D%0AX:%20y");
    }
}
