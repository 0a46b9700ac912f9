//! Every protobuf message of the Mesos wire, its binary form and its JSON form.
//!
//! One set of structs serves v0 and v1: both have the same bytes and differ in names, which only JSON shows.
//! In Rust the word is always "agent"; where the wire says "slave", the name tables know.

#[allow(clippy::all, missing_docs, rustdoc::all)]
mod generated;

pub use generated::*;
pub use prost::Message;
