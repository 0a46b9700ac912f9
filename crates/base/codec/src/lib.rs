//! RecordIO, HTTP/1.1 for clients, libprocess message framing, request targets and content negotiation:
//! parsers and writers over bytes.
//!
//! Nothing here touches a socket or knows what a message means. Decoders are fed with `push` and asked with
//! `next_…` until they want more; each has a bound on what it keeps, and an error is final. They serve small
//! blocking programs (executors over `std::net`) and the asynchronous server alike.

mod buffer;
pub mod chunked;
pub mod http_client;
pub mod message;
pub mod negotiation;
pub mod recordio;
pub mod target;
