//! What happens to an agent: everything it learns comes in as one of these.

use std::collections::BTreeMap;

use messor_proto::mesos::slave::QoSCorrection;
use messor_proto::mesos::{self, executor};
use messor_types::{ContainerId, ExecutorId, FrameworkId, OperationUuid, Pid, TaskId};

use crate::recovered::Recovered;

/// An HTTP request that waits for one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// An open stream of events to an HTTP executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

#[derive(Clone, Debug)]
pub enum Event {
    /// Comes first of all, and once: what an agent of before left.
    Recovered(Box<Recovered>),
    /// The detector's word on who leads: None while nobody does.
    Detected {
        leader: Option<Box<mesos::MasterInfo>>,
    },
    /// A libprocess message for `slave(1)@…`; `name` is its full protobuf name (or "PING" and the like), `body` its bytes.
    Message {
        from: Pid,
        name: String,
        body: Vec<u8>,
    },
    Exited {
        pid: Pid,
    },
    /// SUBSCRIBE of an HTTP executor, answered by `StreamOpened` or a refusing `Reply`.
    Subscribe {
        stream: StreamId,
        reply: ReplyId,
        call: Box<executor::Call>,
    },
    ExecutorCall {
        reply: ReplyId,
        call: Box<executor::Call>,
    },
    StreamClosed {
        stream: StreamId,
    },
    Container(ContainerEvent),
    /// What `Effect::Estimate` asked for: what can be promised beyond what is in use, all of it revocable.
    Estimated(Result<Vec<mesos::Resource>, String>),
    /// What `Effect::Correct` asked for.
    Corrections(Result<Vec<QoSCorrection>, String>),
    /// The operator wants the agent to unregister, end its frameworks and then end (SIGUSR1).
    ShutDown {
        reason: String,
    },
    /// What `Effect::Persist` asked for is on disk, or failed.
    Persisted {
        ticket: u64,
        outcome: Result<(), String>,
    },
    Timer(Timer),
}

/// News of containers, from the containerizer.
#[derive(Clone, Debug)]
pub enum ContainerEvent {
    /// What `ContainerCommand::Recover` asked for is done. `running` are the runs that are watched again, with their
    /// process; of one that ended meanwhile `Exited` follows, with what is known of its end. Of a run that is not in
    /// it nothing is left, and no `Exited` comes. `destroyed`: containers of no run, of which nothing is left either.
    Recovered { running: BTreeMap<ContainerId, u32>, destroyed: usize },
    /// It cannot be known what runs: the agent ends.
    RecoveryFailed { message: String },
    /// The executor process runs.
    Launched { container: ContainerId, pid: u32 },
    /// It never ran: fetching or launching failed; the container is gone.
    LaunchFailed { container: ContainerId, reason: LaunchFailure, message: String },
    /// What `ContainerCommand::Update` asked for could not be done; the container still runs.
    UpdateFailed { container: ContainerId, message: String },
    /// What `ContainerCommand::Check` asked for. With a limitation, its end follows.
    Checked { container: ContainerId, limitation: Option<Box<mesos::slave::ContainerLimitation>> },
    /// The executor process ended or was destroyed, and nothing of the container is left.
    /// `status` is the wait status as waitpid gives it.
    Exited {
        container: ContainerId,
        status: Option<i32>,
        limitation: Option<Box<mesos::slave::ContainerLimitation>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchFailure {
    Fetch,
    Launch,
}

/// Timers that the agent sets. Setting one again moves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Try to register, or to register again, with the master.
    Register,
    /// The master did not ping for too long.
    Ping,
    /// An executor did not register in time.
    ExecutorRegister(FrameworkId, ExecutorId, ContainerId),
    /// Executors of before did not come back in time.
    ExecutorReregister,
    /// Ask executors of before again to come back.
    ExecutorReconnect,
    /// An executor asked to shut down did not end in time.
    ExecutorShutdown(FrameworkId, ExecutorId, ContainerId),
    /// Send the update at the head of a stream again.
    UpdateRetry(FrameworkId, TaskId),
    /// Send the status of an operation again.
    OperationRetry(OperationUuid),
    /// Ask the resource estimator again.
    Estimate,
    /// Ask the QoS controller again.
    Correct,
    /// Heartbeats on the streams of HTTP executors.
    Heartbeat,
}
