//! What a master wants done. The edge does it and, where an answer is due, brings it back as an `Event`.

use std::panic::Location;
use std::sync::Arc;

use messor_proto::mesos::{master, scheduler};
pub use messor_stdx::Level;
use messor_stdx::Time;
use messor_types::Pid;

use crate::event::{ReplyId, StreamId, Timer};
use crate::view::View;

#[derive(Clone, Debug)]
pub enum Effect {
    /// A libprocess message from `master@…`.
    Send {
        to: Pid,
        name: &'static str,
        body: Vec<u8>,
    },
    /// Tell us with `Event::Exited` when the connection to this process breaks.
    Link {
        pid: Pid,
    },
    Unlink {
        pid: Pid,
    },
    /// The scheduler's SUBSCRIBE is well formed: open its stream. Its events follow as `Stream`; a refusal is one ERROR
    /// event and the end of the stream, as in Mesos.
    StreamOpened {
        stream: StreamId,
        reply: ReplyId,
    },
    /// An event for one HTTP scheduler.
    Stream {
        stream: StreamId,
        event: Arc<scheduler::Event>,
    },
    /// End a stream after what was written to it.
    CloseStream {
        stream: StreamId,
    },
    /// The answer to a request that opens no stream.
    Reply {
        reply: ReplyId,
        outcome: Outcome,
    },
    /// An operator's stream is open: it starts with this view as the SUBSCRIBED event.
    OperatorStreamOpened {
        stream: StreamId,
        reply: ReplyId,
        view: Arc<View>,
    },
    /// An event for every operator stream (authorization filters it per subscriber at the edge).
    Publish {
        event: Arc<master::Event>,
    },
    /// Make a registry operation durable, in order; answered by `Event::Stored`.
    Store {
        ticket: u64,
        operation: messor_registry::Operation,
    },
    Allocator(messor_allocator::Event),
    SetTimer {
        timer: Timer,
        at: Time,
    },
    CancelTimer {
        timer: Timer,
    },
    /// The program has to end at once (leadership lost, registry broken): everything durable is already so.
    Abort {
        reason: String,
    },
    /// A line for the log.
    Log {
        level: Level,
        line: String,
        /// Where in the machine it was said, which the log shows.
        at: &'static Location<'static>,
    },
}

/// How a call ended, in words that http-api turns into codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Taken; its effects follow (202).
    Accepted,
    /// The call is wrong: the text says which field (400).
    Invalid(String),
    /// Not allowed, or not subscribed (403).
    Forbidden(String),
    /// There is no such thing (404).
    NotFound(String),
    /// It is at odds with the state of things (409).
    Conflict(String),
    /// Another master leads, at this `host:port`, or none (307 or 503).
    NotLeading { leader: Option<String> },
    /// This master is not ready, or something else has to end first (503).
    Unavailable(String),
    /// Known and not built yet (501).
    NotSupported(String),
}
