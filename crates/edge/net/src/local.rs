//! HTTP over a socket of the file system, for programs of this host. No libprocess message comes in that way: those have
//! addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::connection::Connections;
use crate::net::{Net, Tally};
use crate::server::{ACCEPT_PAUSE, LARGE_BODIES, converse, log_panic};
use crate::service::Service;
use crate::{Limits, Request, Response};

/// A socket that somebody bound, not yet served.
pub struct LocalServer {
    listener: UnixListener,
    net: Net,
    limits: Limits,
}

impl LocalServer {
    /// With limits of its own, so that neither door can keep others from the other.
    pub fn new(listener: UnixListener, net: Net, limits: Limits) -> LocalServer {
        LocalServer { listener, net, limits }
    }

    /// Serves for as long as the returned future is polled.
    pub async fn serve<H, F>(self, handler: H)
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let LocalServer { listener, net, limits } = self;
        let connections = Arc::new(Connections::new(limits.connections));
        let service = Arc::new(Service {
            net: net.clone(),
            limits,
            require_peer_address_ip_match: false,
            large_bodies: Semaphore::new(LARGE_BODIES),
            takes_messages: false,
            handler: move |request, _peer| handler(request),
        });
        // Those at the other end have no address.
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Nobody tells it to stop but the end of the program.
        let (_stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => log_panic(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => match connections.admit() {
                        Some(admitted) => {
                            tasks.spawn(converse(Arc::clone(&service), stream, peer, admitted, stopping.clone()));
                        }
                        None => Tally::add(&net.0.tally.connections_refused, 1),
                    },
                    Err(error) => {
                        tracing::warn!("cannot accept a connection over the local socket: {error}");
                        connections.evict_one();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}
