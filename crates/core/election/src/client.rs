//! ZooKeeper as the machines see it: requests and their answers, sessions, watches, time.
//! Must not know how a client library names any of that, nor what the machines make of it.

use std::panic::Location;
use std::time::Duration;

pub use messor_stdx::Level;
use messor_stdx::Time;

/// Ties an answer to its request. Never used twice by one machine.
pub type Ticket = u64;

/// The name that the servers gave to a session.
pub type SessionId = i64;

/// Who may do what with a znode that is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acl {
    /// Everybody may do everything: without credentials.
    Open,
    /// Everybody may read; all else is for whoever has the credentials of the creator.
    CreatorAll,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Create a znode that stays, with no data.
    Create {
        path: String,
        acl: Acl,
    },
    /// Create a znode that ends with the session; the servers put ten digits behind `prefix`.
    CreateMember {
        prefix: String,
        data: Vec<u8>,
        acl: Acl,
    },
    /// Is it there? With a watch `Event::Changed` comes once when it is created or deleted.
    Exists {
        path: String,
        watch: bool,
    },
    /// The names of the children. Watched: `Event::Changed` comes once when others are there. A watch of before that
    /// has not fired yet may serve for this, too.
    Children {
        path: String,
    },
    Data {
        path: String,
    },
    Delete {
        path: String,
    },
    /// Answered by the servers' leader, when this server has caught up with it.
    Sync {
        path: String,
    },
}

impl Request {
    pub fn path(&self) -> &str {
        match self {
            Request::Create { path, .. }
            | Request::Exists { path, .. }
            | Request::Children { path }
            | Request::Data { path }
            | Request::Delete { path }
            | Request::Sync { path } => path,
            Request::CreateMember { prefix, .. } => prefix,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The whole path of what was created, with its digits.
    Created {
        path: String,
    },
    Exists(bool),
    Children(Vec<String>),
    /// `owner` is the session that an ephemeral znode ends with; 0 for others.
    Data {
        data: Vec<u8>,
        owner: SessionId,
    },
    Deleted,
    Synced,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not known whether it took effect: the connection broke, or there was none.
    #[error("the connection to ZooKeeper was lost")]
    ConnectionLoss,
    #[error("the ZooKeeper session has expired")]
    SessionExpired,
    #[error("there is no such znode")]
    NoNode,
    #[error("there is such a znode already")]
    NodeExists,
    /// Trying again does not help: no permission, a bad path, a bad ACL.
    #[error("{0}")]
    Refused(String),
    /// Trying again may help.
    #[error("{0}")]
    Temporary(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// There is a session and a connection for it: the first time, or again after `Disconnected`. Credentials were
    /// given. `timeout` is what the servers agreed to.
    Connected { session: SessionId, timeout: Duration },
    /// The client looks for another server by itself. Requests on their way end with `ConnectionLoss`.
    Disconnected,
    /// The session and its znodes are gone; so are all watches and requests on their way.
    Expired,
    /// The servers do not take the credentials.
    AuthFailed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Try again what failed.
    Retry,
    /// Without a connection for as long as a session lives.
    Absence,
    /// Ask the servers whether the session lives.
    Heartbeat,
    /// The leader cannot be sure of its session any longer.
    Lease,
    /// Look again without having been told of a change.
    Look,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// First of all.
    Start,
    Session(SessionEvent),
    Answer {
        ticket: Ticket,
        outcome: Result<Reply, RequestError>,
    },
    /// A watch fired.
    Changed {
        path: String,
    },
    Timer(Timer),
    /// Leave: a contender or a member takes its znode back, and closes its session.
    Withdraw,
}

/// What a machine wants done; `O` is what it has to say to whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<O> {
    /// Open a new session, and keep trying to. One of before is given up; nothing of it comes any more.
    Connect,
    /// To the present session; answered once by `Event::Answer`, in any order.
    Request {
        ticket: Ticket,
        request: Request,
    },
    /// End the session: its znodes go at once. Nothing follows.
    Close,
    SetTimer {
        timer: Timer,
        at: Time,
    },
    CancelTimer {
        timer: Timer,
    },
    Outcome(O),
    Log {
        level: Level,
        line: String,
        at: &'static Location<'static>,
    },
}

/// The three machines have this in common.
pub trait Machine {
    type Outcome;

    fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect<Self::Outcome>>);

    /// Until when this machine may act as leader without hearing more; None while it does not lead. Whoever acts
    /// for the leader asks this before it acts, so that a process that was stopped for a while does not act on.
    fn leads_until(&self) -> Option<Time> {
        None
    }
}
