//! The listening port: binding, accepting, and ending in good order.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::address::{self, AddressError};
use crate::body::Body;
use crate::connection::{Admitted, Connections, Guarded, HEAD_TIME, WRITE_PAUSE};
use crate::net::{Net, Tally};
use crate::service::Service;

/// An HTTP request as the handler gets it; [`crate::read_body`] reads its body.
pub type Request = http::Request<hyper::body::Incoming>;
pub type RequestBody = hyper::body::Incoming;
pub type Response = http::Response<Body>;

/// Connections waiting to be accepted.
const BACKLOG: u32 = 4096;
/// A request head may be this long; longer ones are answered 431 (414 when it is the target that is too long). Heads
/// have 100 headers at most, which is a limit of hyper.
const HEAD_BYTES: usize = 128 * 1024;
/// So many messages of more than 1 MB are read at a time.
pub(crate) const LARGE_BODIES: usize = 16;
/// When the system has no more file descriptors, accepting pauses so long.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections accepted at a time. When there are more, the one that was idle longest and never carried a
    /// message makes room; if there is none, the new one is closed.
    pub connections: usize,
    /// The largest libprocess message. The largest real ones are reregistrations of agents with thousands of
    /// completed tasks, some megabytes; 64 MB is what protobuf itself accepted by default for long.
    pub message_bytes: usize,
    /// What waits in one mailbox: each event counts with its body and 1 KB. When it is full, the sockets are not read.
    pub mailbox_bytes: usize,
    /// What waits to be sent to one address: each message counts with its body and 512 bytes. When it is full, new
    /// messages are dropped.
    pub peer_bytes: usize,
    /// A request head must be whole so long after its first byte.
    pub head_time: Duration,
    /// A client that reads nothing of its answer for so long is cut off.
    pub write_pause: Duration,
    /// How long requests being handled may take to end once the server is told to stop.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 50_000,
            message_bytes: 64 * 1024 * 1024,
            mailbox_bytes: 256 * 1024 * 1024,
            peer_bytes: 64 * 1024 * 1024,
            head_time: HEAD_TIME,
            write_pause: WRITE_PAUSE,
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Where to listen (`--ip`); all IPv4 addresses when none.
    pub ip: Option<IpAddr>,
    /// `--port`; 0 takes a free one.
    pub port: u16,
    /// What PIDs say instead (`--advertise_ip`, `--advertise_port`).
    pub advertise_ip: Option<IpAddr>,
    pub advertise_port: Option<u16>,
    /// Refuses messages whose PID has another IP than they come from (`LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH`).
    pub require_peer_address_ip_match: bool,
    pub limits: Limits,
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("no address to advertise (give --ip or --advertise_ip): {0}")]
    Address(#[from] AddressError),
}

/// A bound port, not yet served.
pub struct Server {
    listener: TcpListener,
    net: Net,
    options: ServerOptions,
}

impl Server {
    /// Opens the port. Connections wait until [`Server::serve`].
    pub async fn bind(options: ServerOptions) -> Result<Server, BindError> {
        let ip = options.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let wanted = SocketAddr::new(ip, options.port);
        let failed = |error| BindError::Listen { address: wanted, error };
        let listener = listen(wanted).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let mut advertised = SocketAddr::new(
            options.advertise_ip.unwrap_or(bound.ip()),
            options.advertise_port.unwrap_or(bound.port()),
        );
        if advertised.ip().is_unspecified() {
            let ipv4 = advertised.is_ipv4();
            let found = tokio::task::spawn_blocking(move || address::own_ip(ipv4)).await;
            advertised.set_ip(found.map_err(|error| AddressError::Lookup(error.to_string()))??);
        }
        let limits = &options.limits;
        let net = Net::new(bound, advertised, limits.mailbox_bytes, limits.peer_bytes);
        Ok(Server { listener, net, options })
    }

    pub fn net(&self) -> Net {
        self.net.clone()
    }

    /// Where it listens, which is not what its PIDs say when another address is advertised.
    pub fn bound_address(&self) -> SocketAddr {
        self.net.0.bound
    }

    /// Serves until `shutdown` is done; then no more connections are taken, requests being handled get
    /// [`Limits::shutdown_grace`] to end, and what is left is cut off. The handler is not cancelled when its client
    /// goes away.
    pub async fn serve<H, F>(self, handler: H, shutdown: impl Future<Output = ()>)
    where
        H: Fn(Request, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let limits = self.options.limits.clone();
        let connections = Arc::new(Connections::new(limits.connections));
        let service = Arc::new(Service {
            net: self.net.clone(),
            limits: limits.clone(),
            require_peer_address_ip_match: self.options.require_peer_address_ip_match,
            large_bodies: Semaphore::new(LARGE_BODIES),
            takes_messages: true,
            handler,
        });
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        let mut refusing = false;
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => log_panic(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => match connections.admit() {
                        Some(admitted) => {
                            refusing = false;
                            tune(&stream);
                            let service = Arc::clone(&service);
                            tasks.spawn(converse(service, stream, peer, admitted, stopping.clone()));
                        }
                        None => {
                            Tally::add(&self.net.0.tally.connections_refused, 1);
                            if !std::mem::replace(&mut refusing, true) {
                                let count = connections.count();
                                tracing::warn!("refusing connections, first from {peer}: {count} are busy");
                            }
                        }
                    },
                    Err(error) => {
                        tracing::warn!("cannot accept a connection: {error}");
                        connections.evict_one();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        // Fails only when no connection is left to be told.
        let _ = stop.send(true);
        let all_ended = async {
            while let Some(ended) = tasks.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(limits.shutdown_grace, all_ended).await.is_err() {
            tracing::debug!("cutting off {} connections that did not end", connections.count());
            tasks.shutdown().await;
        }
    }
}

pub(crate) fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("the task of a connection panicked: {error}");
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sets what all sockets have. A failure leaves the system's defaults, which work too.
pub(crate) fn tune(stream: &TcpStream) {
    // Links are idle for long: a host that vanished is noticed after two minutes.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(6);
    let outcome = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = outcome {
        tracing::debug!("a socket keeps its default options: {error}");
    }
}

pub(crate) async fn converse<S, H, F>(
    service: Arc<Service<H>>,
    stream: S,
    peer: SocketAddr,
    admitted: Admitted,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + AsFd + Unpin,
    H: Fn(Request, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let connection = Arc::clone(&admitted.connection);
    let limits = &service.limits;
    let guarded = Guarded::new(stream, Arc::clone(&connection), limits.head_time, limits.write_pause);
    let handle = service_fn(|request| {
        let handled = Arc::clone(&service).handle(request, peer, &connection);
        async move { Ok::<_, std::convert::Infallible>(handled.await) }
    });
    // The time limit for heads is the guard's: hyper's would close idle connections too.
    let conversation = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(guarded), handle);
    let mut conversation = std::pin::pin!(conversation);
    let outcome = tokio::select! {
        outcome = conversation.as_mut() => outcome,
        () = connection.killed() => return,
        () = told_to_stop(&mut stopping) => {
            // The request at hand may end, unless the server cuts it off.
            conversation.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = conversation.as_mut() => outcome,
                () = connection.killed() => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("the connection from {peer} ended: {error}");
    }
}

async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    // An error says that the server is gone, which is as good.
    drop(stopping.wait_for(|stop| *stop).await);
}
