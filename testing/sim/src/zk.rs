//! The clients of ZooKeeper and the way between them and the service: connections that are lost and found again,
//! requests whose answers never come though they took effect.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use messor_election::{Event, Reply, Request, RequestError, SessionEvent, SessionId, Ticket};
use messor_stdx::Time;

use crate::invariants;
use crate::world::{Happening, World};
use crate::zookeeper::{Client, Fired, Role, SESSION_TIMEOUT};

#[derive(Debug)]
pub struct Connection {
    session: Option<SessionId>,
    is_up: bool,
    /// Something on it was lost, and so is all that follows, until the client notices.
    broken: bool,
    /// Of the connection: answers of an earlier one do not come.
    epoch: u64,
    outstanding: BTreeSet<Ticket>,
    /// When the last of what is under way arrives, there and back.
    last: (Time, Time),
}

pub enum Inside {
    Tick,
    Arrive { client: Client, epoch: u64, session: SessionId, ticket: Ticket, request: Request },
    Answer { client: Client, epoch: u64, ticket: Ticket, outcome: Result<Reply, RequestError> },
    Changed { client: Client, session: SessionId, path: String },
}

const TICK: Duration = Duration::from_millis(200);

impl World {
    pub(crate) fn zk_start(&mut self) {
        self.agenda.after(TICK, Happening::Zk(Inside::Tick));
    }

    fn zk_event(&mut self, client: Client, event: Event) {
        let (node, masters) = (client.node, self.masters.len());
        match client.role {
            Role::Contender => self.contender(node, event),
            Role::Group => self.group(node, event),
            Role::Detector => self.detector(node - masters, event),
        }
    }

    fn address_of(&self, node: usize) -> SocketAddr {
        let masters = self.masters.len();
        if node < masters { self.masters[node].pid.address } else { self.agents[node - masters].pid.address }
    }

    fn reaches_zookeeper(&self, client: Client) -> bool {
        let own = self.address_of(client.node);
        !self.zookeeper.down
            && self.network.is_open(own, self.zookeeper_address)
            && self.network.is_open(self.zookeeper_address, own)
    }

    pub(crate) fn zk_connect(&mut self, client: Client) {
        let connection = Connection {
            session: None,
            is_up: false,
            broken: false,
            epoch: self.connections.get(&client).map_or(0, |known| known.epoch + 1),
            outstanding: BTreeSet::new(),
            last: (self.agenda.now, self.agenda.now),
        };
        self.connections.insert(client, connection);
    }

    pub(crate) fn zk_request(&mut self, client: Client, ticket: Ticket, request: Request) {
        let delay = self.zk_delay();
        let now = self.agenda.now;
        let Some(connection) = self.connections.get_mut(&client) else { return };
        let epoch = connection.epoch;
        match connection.session {
            Some(session) if connection.is_up => {
                connection.outstanding.insert(ticket);
                connection.last.0 = (now + delay).max(connection.last.0 + Duration::from_nanos(1));
                let what = Inside::Arrive { client, epoch, session, ticket, request };
                self.agenda.at(connection.last.0, Happening::Zk(what));
            }
            _ => {
                let outcome = Err(RequestError::ConnectionLoss);
                connection.outstanding.insert(ticket);
                let what = Inside::Answer { client, epoch, ticket, outcome };
                self.agenda.after(Duration::from_millis(1), Happening::Zk(what));
            }
        }
    }

    pub(crate) fn zk_close(&mut self, client: Client) {
        let session = self.connections.remove(&client).and_then(|connection| connection.session);
        if let Some(session) = session
            && self.reaches_zookeeper(client)
        {
            let fired = self.zookeeper.end(session);
            self.zk_fire(fired);
        }
    }

    /// The process of a node ended. Its sessions live on until they time out.
    pub(crate) fn zk_forget(&mut self, node: usize) {
        self.connections.retain(|client, _| client.node != node);
    }

    fn zk_delay(&mut self) -> Duration {
        let most = if self.rng.one_in(50) { Duration::from_secs(2) } else { Duration::from_millis(20) };
        self.rng.between(Duration::from_micros(100), most)
    }

    fn zk_fire(&mut self, fired: Fired) {
        for (client, session, path) in fired {
            let delay = self.zk_delay();
            self.agenda.after(delay, Happening::Zk(Inside::Changed { client, session, path }));
        }
    }

    pub(crate) fn zk_happening(&mut self, what: Inside) {
        match what {
            Inside::Tick => self.zk_tick(),
            Inside::Arrive { client, epoch, session, ticket, request } => {
                let reaches = self.reaches_zookeeper(client);
                if let Some(connection) =
                    self.connections.get_mut(&client).filter(|known| known.epoch == epoch)
                {
                    connection.broken |= !reaches;
                    if connection.broken {
                        return;
                    }
                }
                if !reaches || !self.zookeeper.is_alive(session) {
                    return;
                }
                let (outcome, fired) = self.zookeeper.request(session, &request);
                self.trace(|| format!("zookeeper: {client:?} {request:?}: {outcome:?}"));
                self.zookeeper.touch(session, self.agenda.now);
                self.zk_fire(fired);
                let delay = self.zk_delay();
                let now = self.agenda.now;
                let Some(connection) = self.connections.get_mut(&client) else { return };
                connection.last.1 = (now + delay).max(connection.last.1 + Duration::from_nanos(1));
                let what = Inside::Answer { client, epoch, ticket, outcome };
                self.agenda.at(connection.last.1, Happening::Zk(what));
            }
            Inside::Answer { client, epoch, ticket, outcome } => {
                let Some(connection) = self.connections.get_mut(&client) else { return };
                if connection.epoch == epoch && connection.outstanding.remove(&ticket) {
                    self.zk_event(client, Event::Answer { ticket, outcome });
                }
            }
            Inside::Changed { client, session, path } => {
                let up = |known: &Connection| known.is_up && !known.broken && known.session == Some(session);
                if self.connections.get(&client).is_some_and(up) {
                    self.zk_event(client, Event::Changed { path });
                }
            }
        }
    }

    fn zk_tick(&mut self) {
        self.agenda.after(TICK, Happening::Zk(Inside::Tick));
        let now = self.agenda.now;
        let clients: Vec<Client> = self.connections.keys().copied().collect();
        for client in clients {
            let reaches = self.reaches_zookeeper(client);
            let soon = self.rng.one_in(3);
            let Some(connection) = self.connections.get_mut(&client) else { continue };
            match (connection.is_up, reaches && !(connection.is_up && connection.broken)) {
                (true, true) => {
                    let session = connection.session.expect("a connection has a session");
                    self.zookeeper.touch(session, now);
                }
                (true, false) if soon => self.zk_disconnected(client),
                (false, true) if soon => self.zk_connected(client),
                _ => {}
            }
        }
        if self.zookeeper.down {
            return;
        }
        for (session, client) in self.zookeeper.overdue(now) {
            self.trace(|| format!("zookeeper: session {session} of {client:?} expires"));
            // Another master can lead from now on.
            let lives = client.node < self.masters.len() && self.masters[client.node].life == client.life;
            if client.role == Role::Contender && lives {
                invariants::no_lease_outlives_its_session(client.node, self.leads_until(client.node), now);
            }
            let fired = self.zookeeper.end(session);
            self.zk_fire(fired);
        }
    }

    fn zk_disconnected(&mut self, client: Client) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        connection.is_up = false;
        connection.epoch += 1;
        let lost = std::mem::take(&mut connection.outstanding);
        for ticket in lost {
            self.zk_event(client, Event::Answer { ticket, outcome: Err(RequestError::ConnectionLoss) });
        }
        self.zk_event(client, Event::Session(SessionEvent::Disconnected));
    }

    fn zk_connected(&mut self, client: Client) {
        let now = self.agenda.now;
        let Some(connection) = self.connections.get_mut(&client) else { return };
        let event = match connection.session {
            Some(session) if !self.zookeeper.is_alive(session) => {
                self.connections.remove(&client);
                SessionEvent::Expired
            }
            known => {
                let session = known.unwrap_or_else(|| self.zookeeper.open(client, now));
                self.zookeeper.touch(session, now);
                connection.session = Some(session);
                connection.is_up = true;
                connection.broken = false;
                SessionEvent::Connected { session, timeout: SESSION_TIMEOUT }
            }
        };
        self.zk_event(client, Event::Session(event));
    }
}
