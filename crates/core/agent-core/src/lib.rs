//! The agent as a deterministic machine: executors, tasks, updates.
//!
//! It must not know sockets, HTTP, JSON, processes, clocks or files: events come in, effects go out. The same events
//! give the same effects: what is random comes from a generator that the configuration seeds.
//!
//! An agent begins with what an earlier one left (`Event::Recovered`). What it needs for that is asked to be made durable
//! before anybody is told of it.

mod agent;
mod command_executor;
mod compatibility;
mod config;
mod drain;
mod effect;
mod environment;
mod event;
mod executor;
mod executor_calls;
mod executor_exit;
mod executor_messages;
mod framework;
mod kill;
mod launch;
mod limits;
mod messages;
mod metrics;
mod operation_updates;
mod operations;
mod oversubscription;
mod paths;
mod random;
mod rebuild;
mod reconnection;
mod record;
mod recovered;
mod recovery;
mod registration;
mod run;
mod status;
mod tasks;
mod turn;
mod view;

pub use agent::Agent;
pub use config::{CAPABILITIES, Config, MESOS_VERSION, ReconfigurationPolicy, Recover};
pub use effect::{ContainerCommand, Effect, Launch, Level, Outcome, Run};
pub use event::{ContainerEvent, Event, LaunchFailure, ReplyId, StreamId, Timer};
pub use limits::Limits;
pub use record::{Connection, Record};
pub use recovered::{
    Recovered, RecoveredAgent, RecoveredExecutor, RecoveredFramework, RecoveredOperation, RecoveredRun,
    RecoveredTask,
};
pub use view::{ExecutorState, ExecutorView, FrameworkView, View};
