//! A ZooKeeper service with its sessions, as its clients see it: requests in order, ephemeral sequential znodes, watches
//! that fire once, sessions that end when nothing was heard of them for too long. It is one server here: what can go
//! wrong inside an ensemble is ZooKeeper's own affair.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_election::{Reply, Request, RequestError, SessionId};
use messor_stdx::Time;

/// Which client of which life of which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    pub node: usize,
    pub life: u64,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Contender,
    Group,
    Detector,
}

#[derive(Debug)]
struct Znode {
    data: Vec<u8>,
    /// 0 for one that stays.
    owner: SessionId,
}

#[derive(Debug)]
struct Session {
    client: Client,
    ends: Time,
}

#[derive(Debug, Default)]
pub struct Service {
    znodes: BTreeMap<String, Znode>,
    counters: BTreeMap<String, u32>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: SessionId,
    /// On children or existence of a path.
    watches: BTreeSet<(String, SessionId)>,
    pub down: bool,
}

/// Whom to tell that a watched path changed.
pub type Fired = Vec<(Client, SessionId, String)>;

pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Service {
    pub fn open(&mut self, client: Client, now: Time) -> SessionId {
        self.next_session += 1;
        self.sessions.insert(self.next_session, Session { client, ends: now + SESSION_TIMEOUT });
        self.next_session
    }

    pub fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// The session was heard of.
    pub fn touch(&mut self, session: SessionId, now: Time) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.ends = now + SESSION_TIMEOUT;
        }
    }

    /// The service starts again: every session has its time anew.
    pub fn touch_all(&mut self, now: Time) {
        for session in self.sessions.values_mut() {
            session.ends = now + SESSION_TIMEOUT;
        }
    }

    /// Sessions whose time is over.
    pub fn overdue(&self, now: Time) -> Vec<(SessionId, Client)> {
        let overdue = self.sessions.iter().filter(|(_, session)| session.ends <= now);
        overdue.map(|(id, session)| (*id, session.client)).collect()
    }

    /// Ends a session and its znodes.
    pub fn end(&mut self, session: SessionId) -> Fired {
        self.sessions.remove(&session);
        self.watches.retain(|(_, watcher)| *watcher != session);
        let gone: Vec<String> = self
            .znodes
            .iter()
            .filter(|(_, znode)| znode.owner == session)
            .map(|(path, _)| path.clone())
            .collect();
        let mut fired = Vec::new();
        for path in gone {
            self.znodes.remove(&path);
            fired.extend(self.changed(&path));
        }
        fired
    }

    fn changed(&mut self, path: &str) -> Fired {
        let mut fired = Vec::new();
        for watched in [path, parent(path)] {
            let watchers: Vec<SessionId> = self
                .watches
                .range((watched.to_string(), SessionId::MIN)..=(watched.to_string(), SessionId::MAX))
                .map(|(_, session)| *session)
                .collect();
            for session in watchers {
                self.watches.remove(&(watched.to_string(), session));
                if let Some(known) = self.sessions.get(&session) {
                    fired.push((known.client, session, watched.to_string()));
                }
            }
        }
        fired
    }

    fn children(&self, path: &str) -> Vec<String> {
        let below = format!("{path}/");
        let names = self.znodes.range(below.clone()..).map(|(path, _)| path);
        let names = names.take_while(|path| path.starts_with(&below)).map(|path| &path[below.len()..]);
        names.filter(|name| !name.contains('/')).map(String::from).collect()
    }

    /// The data of the znode that leads: the lowest `json.info_`.
    pub fn leader(&self, path: &str) -> Option<&[u8]> {
        let lowest = self.children(path).into_iter().filter(|name| name.starts_with("json.info_")).min()?;
        self.znodes.get(&format!("{path}/{lowest}")).map(|znode| &znode.data[..])
    }

    /// Carries out a request of a living session.
    pub fn request(&mut self, session: SessionId, request: &Request) -> (Result<Reply, RequestError>, Fired) {
        let parent_is_there = |znodes: &BTreeMap<String, Znode>, path: &str| {
            parent(path).is_empty() || znodes.contains_key(parent(path))
        };
        match request {
            Request::Create { path, .. } if self.znodes.contains_key(path) => {
                (Err(RequestError::NodeExists), Vec::new())
            }
            Request::Create { path, .. } | Request::CreateMember { prefix: path, .. }
                if !parent_is_there(&self.znodes, path) =>
            {
                (Err(RequestError::NoNode), Vec::new())
            }
            Request::Create { path, .. } => {
                self.znodes.insert(path.clone(), Znode { data: Vec::new(), owner: 0 });
                (Ok(Reply::Created { path: path.clone() }), self.changed(path))
            }
            Request::CreateMember { prefix, data, .. } => {
                let counter = self.counters.entry(parent(prefix).to_string()).or_default();
                let path = format!("{prefix}{counter:010}");
                *counter += 1;
                self.znodes.insert(path.clone(), Znode { data: data.clone(), owner: session });
                let fired = self.changed(&path);
                (Ok(Reply::Created { path }), fired)
            }
            Request::Exists { path, watch } => {
                if *watch {
                    self.watches.insert((path.clone(), session));
                }
                (Ok(Reply::Exists(self.znodes.contains_key(path))), Vec::new())
            }
            Request::Children { path } if self.znodes.contains_key(path) => {
                self.watches.insert((path.clone(), session));
                (Ok(Reply::Children(self.children(path))), Vec::new())
            }
            Request::Data { path } if self.znodes.contains_key(path) => {
                let znode = &self.znodes[path];
                (Ok(Reply::Data { data: znode.data.clone(), owner: znode.owner }), Vec::new())
            }
            Request::Delete { path } if self.znodes.contains_key(path) => {
                self.znodes.remove(path);
                (Ok(Reply::Deleted), self.changed(path))
            }
            Request::Sync { .. } => (Ok(Reply::Synced), Vec::new()),
            Request::Children { .. } | Request::Data { .. } | Request::Delete { .. } => {
                (Err(RequestError::NoNode), Vec::new())
            }
        }
    }
}
