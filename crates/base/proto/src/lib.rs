//! Every protobuf message of the Mesos wire, its binary form and its JSON form.
//!
//! One set of structs serves v0 and v1: both have the same bytes and differ in names, which only JSON shows,
//! and in two messages whose numbers differ (see [`Wire::decode_checked_as`]). In Rust the word is always
//! "agent"; where the wire says "slave", the tables know.
//!
//! * [`Wire`] is implemented by every message: checked decoding, JSON writing and reading.
//! * [`WireEnum`] is implemented by every enum: its names on the wire, by version.
//! * [`json::JsonWriter`] writes documents by hand the way Mesos prints JSON.
//!
//! The structs, tables and writers in `generated` are made by `cargo xtask codegen` from the .proto files in
//! `proto`. This crate must not know HTTP, files or anything that a message means.

mod binary;
#[allow(clippy::all, missing_docs, rustdoc::all)]
mod generated;
pub mod json;
pub mod raw;
#[doc(hidden)]
pub mod table;
mod wire;

pub use binary::{DecodeError, Problem};
pub use generated::*;
pub use json::{JsonError, JsonWriter, Sink};
pub use prost::Message;
pub use wire::{Version, Wire, WireEnum};
