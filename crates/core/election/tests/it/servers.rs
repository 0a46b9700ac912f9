//! ZooKeeper's servers as one: znodes, sessions, watches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_election::{Reply, Request, RequestError, SessionId};
use messor_stdx::Time;

#[derive(Clone, Debug, Default)]
pub struct Znode {
    pub data: Vec<u8>,
    pub owner: SessionId,
    created: u32,
}

#[derive(Debug)]
struct Session {
    heard: Time,
    timeout: Duration,
}

#[derive(Debug, Default)]
pub struct Servers {
    pub znodes: BTreeMap<String, Znode>,
    sessions: BTreeMap<SessionId, Session>,
    watches: BTreeSet<(SessionId, String)>,
    next: SessionId,
}

fn parent(path: &str) -> &str {
    &path[..path.rfind('/').unwrap_or_default()]
}

impl Servers {
    pub fn open(&mut self, now: Time, timeout: Duration) -> SessionId {
        self.next += 1;
        self.sessions.insert(self.next, Session { heard: now, timeout });
        self.next
    }

    pub fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    pub fn hear(&mut self, now: Time, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.heard = now;
        }
    }

    /// After all of them were down, sessions begin anew.
    pub fn restart(&mut self, now: Time) {
        for session in self.sessions.values_mut() {
            session.heard = now;
        }
        self.watches.clear();
    }

    /// Ends one session; who is told of what, comes back.
    pub fn close(&mut self, session: SessionId) -> Vec<(SessionId, String)> {
        self.sessions.remove(&session);
        self.watches.retain(|(owner, _)| *owner != session);
        let gone: Vec<String> = self
            .znodes
            .iter()
            .filter(|(_, znode)| znode.owner == session)
            .map(|(path, _)| path.clone())
            .collect();
        gone.iter().flat_map(|path| self.remove(path)).collect()
    }

    pub fn forget_watches(&mut self, session: SessionId) {
        self.watches.retain(|(owner, _)| *owner != session);
    }

    pub fn expired(&self, now: Time) -> Vec<SessionId> {
        let is_over = |session: &Session| session.heard + session.timeout <= now;
        self.sessions.iter().filter(|(_, session)| is_over(session)).map(|(id, _)| *id).collect()
    }

    fn remove(&mut self, path: &str) -> Vec<(SessionId, String)> {
        self.znodes.remove(path);
        let mut told = self.fire(path);
        told.extend(self.fire(parent(path)));
        told
    }

    fn fire(&mut self, path: &str) -> Vec<(SessionId, String)> {
        let told: Vec<_> = self.watches.iter().filter(|(_, watched)| watched == path).cloned().collect();
        for watch in &told {
            self.watches.remove(watch);
        }
        told
    }

    pub fn names(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        let below = self.znodes.keys().filter_map(|child| child.strip_prefix(&prefix));
        below.filter(|name| !name.contains('/')).map(str::to_string).collect()
    }

    fn create(
        &mut self,
        path: &str,
        data: Vec<u8>,
        owner: SessionId,
    ) -> Result<Vec<(SessionId, String)>, RequestError> {
        if !parent(path).is_empty() && !self.znodes.contains_key(parent(path)) {
            return Err(RequestError::NoNode);
        }
        if self.znodes.contains_key(path) {
            return Err(RequestError::NodeExists);
        }
        self.znodes.insert(path.to_string(), Znode { data, owner, created: 0 });
        let mut told = self.fire(path);
        told.extend(self.fire(parent(path)));
        Ok(told)
    }

    /// Carries out one request; the answer, and who is told of what.
    pub fn perform(
        &mut self,
        session: SessionId,
        request: Request,
    ) -> (Result<Reply, RequestError>, Vec<(SessionId, String)>) {
        if !self.is_alive(session) {
            return (Err(RequestError::SessionExpired), Vec::new());
        }
        let none = Vec::new();
        match request {
            Request::Create { path, .. } => match self.create(&path, Vec::new(), 0) {
                Ok(told) => (Ok(Reply::Created { path }), told),
                Err(error) => (Err(error), none),
            },
            Request::CreateMember { prefix, data, .. } => {
                let Some(folder) = self.znodes.get_mut(parent(&prefix)) else {
                    return (Err(RequestError::NoNode), none);
                };
                let path = format!("{prefix}{:010}", folder.created);
                folder.created += 1;
                match self.create(&path, data, session) {
                    Ok(told) => (Ok(Reply::Created { path }), told),
                    Err(error) => (Err(error), none),
                }
            }
            Request::Exists { path, watch } => {
                let there = self.znodes.contains_key(&path);
                if watch {
                    self.watches.insert((session, path));
                }
                (Ok(Reply::Exists(there)), none)
            }
            Request::Children { path } if self.znodes.contains_key(&path) => {
                let names = self.names(&path);
                self.watches.insert((session, path));
                (Ok(Reply::Children(names)), none)
            }
            Request::Data { path } if self.znodes.contains_key(&path) => {
                let znode = &self.znodes[&path];
                (Ok(Reply::Data { data: znode.data.clone(), owner: znode.owner }), none)
            }
            Request::Delete { path } if self.znodes.contains_key(&path) => {
                (Ok(Reply::Deleted), self.remove(&path))
            }
            Request::Sync { .. } => (Ok(Reply::Synced), none),
            Request::Children { .. } | Request::Data { .. } | Request::Delete { .. } => {
                (Err(RequestError::NoNode), none)
            }
        }
    }
}
