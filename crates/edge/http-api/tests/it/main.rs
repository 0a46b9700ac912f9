//! The HTTP side of a master in front of a machine of the test's own: routing, codes, documents, streams.
//!
//! Rows: U027 ('/' is not escaped), U059 (deprecated lists are empty), U070 (what is not built says so), U074, U090, U094.

mod agent;
mod attach;
mod bench;
mod large;
mod logs;
mod maintenance;
mod master;
mod monitoring;
mod page;
mod registry;
mod streams;
