//! One port for libprocess messages and HTTP, and the connections that carry messages out.
//!
//! [`Server::bind`] opens the port; [`Net`] sends messages and keeps links; a [`Mailbox`] is where the messages to
//! a process of this program arrive, with [`NetEvent::Exited`] when a linked process went away. Everything that is
//! not a libprocess message goes to the HTTP handler given to [`Server::serve`].
//!
//! This crate knows bytes, addresses and names; not what a message or a path means.
//!
//! Key decisions:
//! * Messages are recognised inside the HTTP server (hyper) rather than by a parser before it: one set of limits,
//!   one place for keep-alive and pipelining. A connection's requests are handled one after another, so messages
//!   keep their order.
//! * A connection that says nothing is never closed for it: a libprocess link is exactly that. What is bounded in
//!   time is a request head once begun, a body once begun, and an answer that is not read; the number of
//!   connections is bounded too, and idle ones that never carried a message make room first.
//! * Every queue is bounded in bytes: a full mailbox stops the reading of the sockets that feed it; a full queue
//!   to another address drops the new message, logs it once, and counts it; a full event stream is its sender's
//!   to cut off.

pub mod address;
mod body;
mod client;
mod connection;
mod local;
mod mailbox;
mod net;
mod peer;
mod server;
mod service;
mod whole;

pub use body::{Body, BodyError, StreamClosed, StreamSender, next_piece, read_body, text};
pub use client::{GetError, Pieces, get, open, post};
pub use local::LocalServer;
pub use mailbox::{Mailbox, NetEvent, Packet};
pub use net::{Counters, Net, ProcessExists};
pub use server::{BindError, Limits, Request, RequestBody, Response, Server, ServerOptions};
pub use service::PeerIp;
