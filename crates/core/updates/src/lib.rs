//! Status update streams: one a task or an operation, at least once, in order, acknowledged.
//!
//! An update is sent again, with a growing pause, until the framework acknowledges it; the next one waits for that. Where
//! the framework checkpoints, an update is on disk before anybody is told of it, and so is its acknowledgement before the
//! next update goes out. This crate must not know messages, executors or masters: it says what is to be forwarded, and
//! to whom that is sent is the agent's business.

use messor_proto::mesos::internal::{StatusUpdate, UpdateOperationStatusMessage};

mod stream;
mod streams;
mod update;

pub use stream::{MAX_PENDING, MAX_REMEMBERED, RETRY_MAX, RETRY_MIN};
pub use streams::{MAX_STREAMS, RecoveredStream, Refused, UpdateAction, UpdateStreams};
pub use update::{Entry, Key, Update};

/// The streams of tasks.
pub type Streams = UpdateStreams<StatusUpdate>;
pub type Action = UpdateAction<StatusUpdate>;

/// The streams of operations.
pub type OperationStreams = UpdateStreams<UpdateOperationStatusMessage>;
pub type OperationAction = UpdateAction<UpdateOperationStatusMessage>;
