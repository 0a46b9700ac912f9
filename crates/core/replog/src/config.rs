//! What a log is told at its start, and its times and bounds.

use std::time::Duration;

use messor_types::Pid;

#[derive(Clone, Debug)]
pub struct Config {
    /// Of the own replica, as the others know it: `log-replica(1)@ip:port`.
    pub pid: Pid,
    /// How many replicas make a majority (--quorum). There are to be `2 * quorum - 1` of them.
    pub quorum: usize,
    /// Empty replicas make a new log among themselves (--log_auto_initialize), without `mesos-log initialize`.
    pub auto_initialize: bool,
    /// Of all chance. It must differ each time the program starts: ids of requests come from it, and an answer to a
    /// request of an earlier life must not be taken for one to a request of this life.
    pub seed: u64,
}

/// A round without its answers is begun anew after that.
pub const ROUND_TIMEOUT: Duration = Duration::from_secs(10);
/// So long a replica that lost its disk waits until it learns what there is. Any round that counts an answer which it gave
/// before is over then, so what it promised and accepted is known to the others, or to nobody.
pub const SETTLE: Duration = Duration::from_secs(15);
/// A proposer that was refused pauses between this and twice this, so that one of several wins.
pub const PROPOSER_PAUSE: Duration = Duration::from_millis(100);
/// A replica that cannot recover yet pauses between this and twice this.
pub const RECOVERY_PAUSE: Duration = Duration::from_millis(500);

/// Entries are no larger: a message of libprocess (64 MB) has to hold them.
pub const MAX_ENTRY_BYTES: usize = (64 << 20) - (64 << 10);
/// Commands that wait for the writer, for the reader, and for a catch-up; more are refused with `Failure::Busy`.
pub const MAX_WAITING: usize = 1024;
pub const MAX_WAITING_BYTES: usize = 256 << 20;
/// Messages for the replica that wait for the disk; more of them, or of their bytes, are dropped as if the network had.
pub const MAX_INBOX: usize = 1024;
pub const MAX_INBOX_BYTES: usize = 256 << 20;
/// Records given to the store and not yet persisted, and answers that wait for them; the replica handles no message
/// while there are more.
pub const MAX_UNSYNCED: usize = 1024;
pub const MAX_UNSYNCED_BYTES: usize = 256 << 20;
