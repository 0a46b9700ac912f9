//! One session: opened when a server answers, closed when it is told or dropped.
//! Must not know what its requests are for.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_election::{Acl, Event, Reply, Request, RequestError, SessionEvent, Ticket, Url};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use zookeeper_client as zk;

/// Between two attempts to find a server that answers; the library tries for a session timeout each time.
const PAUSE: Duration = Duration::from_secs(1);
/// For the servers to hear that a session is over.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

const WORLD_READS: zk::Acl = zk::Acl::new_const(zk::Permission::READ, "world", "anyone");
const CREATOR_ALL: zk::Acl = zk::Acl::new_const(zk::Permission::ALL, "auth", "");
const WORLD_ALL: zk::Acl = zk::Acl::new_const(zk::Permission::ALL, "world", "anyone");

pub struct Session {
    /// As many as a machine has requests under way: some twenty.
    requests: mpsc::UnboundedSender<(Ticket, Request)>,
    /// An event a request, a watch and a change of state.
    events: mpsc::UnboundedReceiver<Event>,
    task: JoinHandle<()>,
}

impl Session {
    pub fn open(url: &Url, timeout: Duration) -> Session {
        let (requests, incoming) = mpsc::unbounded_channel();
        let (outgoing, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(serve(url.clone(), timeout, incoming, outgoing));
        Session { requests, events, task }
    }

    pub fn request(&self, ticket: Ticket, request: Request) {
        // An error means that the session has ended, which `next` says.
        let _ = self.requests.send((ticket, request));
    }

    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The end was told; the machine opens another session or closes.
            None => std::future::pending().await,
        }
    }

    pub async fn close(self) {
        drop(self.requests);
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.task).await;
    }
}

async fn serve(
    url: Url,
    timeout: Duration,
    mut requests: mpsc::UnboundedReceiver<(Ticket, Request)>,
    events: mpsc::UnboundedSender<Event>,
) {
    let client = tokio::select! {
        client = connect(&url, timeout) => client,
        // Nobody asks before there is a session: this is the end.
        _ = requests.recv() => return,
    };
    let client = match client {
        Ok(client) => client,
        Err(event) => {
            let _ = events.send(Event::Session(event));
            return;
        }
    };
    let connected =
        SessionEvent::Connected { session: client.session_id().0, timeout: client.session_timeout() };
    let mut state = client.state_watcher();
    let _ = events.send(Event::Session(connected.clone()));
    let mut answers: JoinSet<Answer> = JoinSet::new();
    let mut watches: JoinSet<Watched> = JoinSet::new();
    // Watches that have not fired.
    let mut watched: BTreeSet<Watched> = BTreeSet::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some((ticket, request)) => {
                    let is_watched = watched_by(&request).is_some_and(|watch| watched.contains(&watch));
                    let client = client.clone();
                    answers.spawn(async move { perform(&client, ticket, request, is_watched).await });
                }
                None => break,
            },
            Some(Ok(answer)) = answers.join_next() => {
                if let Some((watch, watcher)) = answer.watch {
                    watched.insert(watch.clone());
                    watches.spawn(async move {
                        watcher.changed().await;
                        watch
                    });
                }
                let _ = events.send(Event::Answer { ticket: answer.ticket, outcome: answer.outcome });
            }
            Some(Ok(watch)) = watches.join_next() => {
                watched.remove(&watch);
                let _ = events.send(Event::Changed { path: watch.path });
            }
            state = state.changed() => {
                let (event, is_over) = match state {
                    zk::SessionState::SyncConnected | zk::SessionState::ConnectedReadOnly => (connected.clone(), false),
                    zk::SessionState::Disconnected => (SessionEvent::Disconnected, false),
                    zk::SessionState::AuthFailed => (SessionEvent::AuthFailed, true),
                    zk::SessionState::Expired | zk::SessionState::Closed => (SessionEvent::Expired, true),
                };
                let _ = events.send(Event::Session(event));
                if is_over {
                    return;
                }
            }
        }
    }
    // The library ends the session when the last handle is gone.
    answers.shutdown().await;
    watches.shutdown().await;
    drop(client);
    while !state.changed().await.is_terminated() {}
}

async fn connect(url: &Url, timeout: Duration) -> Result<zk::Client, SessionEvent> {
    let servers: Vec<String> = url
        .servers()
        .iter()
        .map(
            |(host, port)| {
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
            },
        )
        .collect();
    let servers = servers.join(",");
    // The requests of 3.4, which all later servers know.
    let mut connector = zk::Client::connector()
        .with_server_version(3, 4, 0)
        .with_session_timeout(timeout)
        .with_connection_timeout(timeout * 3 / 10);
    if let Some(credentials) = url.credentials() {
        connector = connector.with_auth("digest", credentials.as_bytes());
    }
    let mut is_first = true;
    loop {
        match connector.clone().connect(&servers).await {
            Ok(client) => return Ok(client),
            Err(zk::Error::AuthFailed) => return Err(SessionEvent::AuthFailed),
            Err(error) => {
                if std::mem::replace(&mut is_first, false) {
                    tracing::warn!("no ZooKeeper server of {servers} answers: {error}; trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Watched {
    path: String,
    is_of_children: bool,
}

fn watched_by(request: &Request) -> Option<Watched> {
    match request {
        Request::Children { path } => Some(Watched { path: path.clone(), is_of_children: true }),
        Request::Exists { path, watch: true } => Some(Watched { path: path.clone(), is_of_children: false }),
        _ => None,
    }
}

struct Answer {
    ticket: Ticket,
    outcome: Result<Reply, RequestError>,
    watch: Option<(Watched, zk::OneshotWatcher)>,
}

/// `is_watched`: a watch of before has not fired yet, so another is not needed. It may fire while the answer is on its way;
/// the machine asks again then.
async fn perform(client: &zk::Client, ticket: Ticket, request: Request, is_watched: bool) -> Answer {
    let mut watcher = None;
    let watch = watched_by(&request);
    let outcome = ask(client, request, is_watched, &mut watcher).await.map_err(meaning);
    Answer { ticket, outcome, watch: watch.zip(watcher) }
}

async fn ask(
    client: &zk::Client,
    request: Request,
    is_watched: bool,
    watcher: &mut Option<zk::OneshotWatcher>,
) -> Result<Reply, zk::Error> {
    Ok(match request {
        Request::Create { path, acl } => {
            let entries = entries(acl);
            client.create(&path, &[], &zk::CreateMode::Persistent.with_acls(zk::Acls::new(&entries))).await?;
            Reply::Created { path }
        }
        Request::CreateMember { prefix, data, acl } => {
            let entries = entries(acl);
            let options = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::new(&entries));
            let (_, sequence) = client.create(&prefix, &data, &options).await?;
            Reply::Created { path: format!("{prefix}{sequence}") }
        }
        Request::Exists { path, watch: true } if !is_watched => {
            let (stat, found) = client.check_and_watch_stat(&path).await?;
            *watcher = Some(found);
            Reply::Exists(stat.is_some())
        }
        Request::Exists { path, .. } => Reply::Exists(client.check_stat(&path).await?.is_some()),
        Request::Children { path } if is_watched => Reply::Children(client.get_children(&path).await?.0),
        Request::Children { path } => {
            let (children, _, found) = client.get_and_watch_children(&path).await?;
            *watcher = Some(found);
            Reply::Children(children)
        }
        Request::Data { path } => {
            let (data, stat) = client.get_data(&path).await?;
            Reply::Data { data, owner: stat.ephemeral_owner }
        }
        Request::Delete { path } => {
            client.delete(&path, None).await?;
            Reply::Deleted
        }
        Request::Sync { path } => {
            client.sync(&path).await?;
            Reply::Synced
        }
    })
}

/// The order is that of Apache Mesos, so that both write the same.
fn entries(acl: Acl) -> Vec<zk::Acl> {
    match acl {
        Acl::Open => vec![WORLD_ALL],
        Acl::CreatorAll => vec![WORLD_READS, CREATOR_ALL],
    }
}

fn meaning(error: zk::Error) -> RequestError {
    use zk::Error as E;
    match error {
        E::NoNode => RequestError::NoNode,
        E::NodeExists => RequestError::NodeExists,
        E::ConnectionLoss | E::Timeout | E::SessionMoved => RequestError::ConnectionLoss,
        E::SessionExpired | E::ClientClosed => RequestError::SessionExpired,
        E::NoAuth | E::InvalidAcl | E::AuthFailed | E::BadArguments(_) | E::NoChildrenForEphemerals => {
            RequestError::Refused(error.to_string())
        }
        // Whatever else breaks a connection or a server's mood.
        error => RequestError::Temporary(error.to_string()),
    }
}
