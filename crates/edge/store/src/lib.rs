//! The replicated log's files: LevelDB as Apache Mesos 1.11.0 keeps it, so that each takes over what the other left.
//!
//! [`Store`] is a disk with its thread, which carries out what `messor_replog` wants; [`Storage`] is the same without
//! the thread, for tools. This crate knows files and formats; not what a promise or a quorum is.
//!
//! Key decisions:
//! * LevelDB's formats are read and written here, rather than by a library. `rusty-leveldb` was looked at: it stops at a
//!   wrong checksum in the midst of a log as if that were its end, takes a table's unreadable block for keys that are not
//!   there, and appends behind a torn tail, where the next reader does not find it. Each loses what was acknowledged. It
//!   stands in the tests, as another reader and writer to compare with.
//! * What is written is always one .log file with a new MANIFEST (see `database`); tables are read. LevelDB makes its
//!   tables of it when it opens the directory.
//! * A checksum that is wrong anywhere is an error, which names the file; only a last record that is not whole, as a
//!   crash leaves it, is cut.
//! * How much of the .log file is safe is noted beside it (see `mark`): what is cut from that is damage, not a crash's doing.
//! * After a write or sync that failed nothing is written any more, for it is not known then what is on disk.

mod batch;
mod database;
mod error;
mod files;
mod journal;
mod keys;
mod loading;
mod manifest;
mod mark;
mod names;
mod storage;
mod table;
mod wire;
mod worker;

pub use error::StoreError;
pub use files::{AppendFile, Directory, Files, Lock, ReadFile};
pub use storage::Storage;
pub use worker::Store;
