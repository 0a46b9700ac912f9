//! What an agent wants done. The edge does it and, where an answer is due, brings it back as an `Event`.

use std::panic::Location;
use std::sync::Arc;

use messor_proto::mesos::{CommandInfo, ContainerInfo, ExecutorInfo, Resource, TaskInfo, executor, fetcher};
pub use messor_stdx::Level;
use messor_stdx::Time;
use messor_types::{ContainerId, ExecutorId, FrameworkId, Pid};

use crate::event::{ReplyId, StreamId, Timer};
use crate::limits::Limits;

#[derive(Clone, Debug)]
pub enum Effect {
    /// A libprocess message from `slave(1)@…`.
    Send {
        to: Pid,
        name: &'static str,
        body: Vec<u8>,
    },
    Link {
        pid: Pid,
    },
    Unlink {
        pid: Pid,
    },
    StreamOpened {
        stream: StreamId,
        reply: ReplyId,
    },
    Stream {
        stream: StreamId,
        event: Arc<executor::Event>,
    },
    CloseStream {
        stream: StreamId,
    },
    Reply {
        reply: ReplyId,
        outcome: Outcome,
    },
    Container(ContainerCommand),
    /// Ask the resource estimator; answered by `Event::Estimated`.
    Estimate,
    /// Ask the QoS controller; answered by `Event::Corrections`.
    Correct,
    /// Make a record durable in the meta directory; answered by `Event::Persisted`. What is said of it waits for that.
    Persist {
        ticket: u64,
        record: crate::record::Record,
    },
    /// The sandbox of an executor (or of a framework) is to be removed when gc_delay is over.
    /// `path` is relative to work_dir.
    ScheduleGc {
        path: String,
    },
    /// As `ScheduleGc`, of what an agent of before left: gc_delay counts from its last modification, and it need not
    /// be there.
    ScheduleGcOfOld {
        path: String,
    },
    /// Something is going to live at this path again: what is there is not to be removed.
    UnscheduleGc {
        path: String,
    },
    SetTimer {
        timer: Timer,
        at: Time,
    },
    CancelTimer {
        timer: Timer,
    },
    /// End the program (refused by the master, or told to shut down).
    Abort {
        reason: String,
    },
    Log {
        level: Level,
        line: String,
        /// Where in the machine it was said, which the log shows.
        at: &'static Location<'static>,
    },
}

/// What the containerizer is asked for. Paths are below the agent's work_dir.
#[derive(Clone, Debug)]
pub enum ContainerCommand {
    /// Make the sandbox, fetch, launch the executor. Answered by `ContainerEvent::Launched` or `LaunchFailed`.
    Launch(Box<Launch>),
    /// New resources and limits of a running container.
    Update { container: ContainerId, resources: Vec<Resource>, limits: Limits },
    /// Kill everything in the container. Answered by `ContainerEvent::Exited` (or `LaunchFailed` when it never ran).
    Destroy { container: ContainerId },
    /// Find out whether the container has gone beyond what it may, and end it if so. Answered by `ContainerEvent::Checked`,
    /// and nothing about its end comes between.
    Check { container: ContainerId },
    /// First of all: watch these runs of executors again, and destroy every other container that is found of an
    /// earlier agent. Answered by `ContainerEvent::Recovered` or `RecoveryFailed`.
    Recover { runs: Vec<Run> },
}

/// A run of an executor that an earlier agent began, and that has not ended as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub container: ContainerId,
    pub framework: FrameworkId,
    pub executor_id: ExecutorId,
    pub executor: ExecutorInfo,
    /// None: the agent ended before or while it launched it.
    pub forked_pid: Option<u32>,
    /// The sandbox, relative to work_dir.
    pub directory: String,
    /// Of the executor and of its tasks that did not end.
    pub resources: Vec<Resource>,
}

/// All that is needed to run one executor.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub container: ContainerId,
    pub framework: FrameworkId,
    pub executor_id: ExecutorId,
    pub executor: ExecutorInfo,
    /// The task, where the executor is the command executor made for it.
    pub task: Option<TaskInfo>,
    pub command: CommandInfo,
    pub container_info: Option<ContainerInfo>,
    /// What is fetched into the sandbox first: nothing, or one list.
    pub uris: Vec<fetcher::FetcherInfo>,
    pub resources: Vec<Resource>,
    /// Where its tasks say how much more than that they may use at most.
    pub limits: Limits,
    /// The sandbox, relative to work_dir.
    pub directory: String,
    /// Whom the executor runs as; None: as the agent.
    pub user: Option<String>,
    /// The whole environment but for MESOS_SANDBOX, in the order of the names.
    pub environment: Vec<(String, String)>,
    /// The process outlives the agent: its pid has to be durable (`pids/forked.pid` of the run below `meta`) before
    /// its program starts. One without ends with the agent.
    pub checkpoint: bool,
}

/// How a call ended, in words that http-api turns into codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Invalid(String),
    Forbidden(String),
    Unavailable(String),
    NotSupported(String),
}
