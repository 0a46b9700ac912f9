//! One container as the machine knows it.

use messor_proto::mesos::TaskState;
use messor_proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use messor_types::ContainerId;

use crate::effect::{Failure, Step};
use crate::event::{Spec, Ticket};

/// Where a container is, in the words of `/containerizer/debug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Starting,
    Provisioning,
    Preparing,
    Isolating,
    Fetching,
    Running,
    Destroying,
}

impl std::fmt::Display for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            State::Starting => "STARTING",
            State::Provisioning => "PROVISIONING",
            State::Preparing => "PREPARING",
            State::Isolating => "ISOLATING",
            State::Fetching => "FETCHING",
            State::Running => "RUNNING",
            State::Destroying => "DESTROYING",
        })
    }
}

/// What the end of a container is going to be told as.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    pub status: Option<i32>,
    pub failure: Option<(Failure, String)>,
    pub limitations: Vec<ContainerLimitation>,
}

impl End {
    pub fn termination(&self) -> ContainerTermination {
        let mut termination = ContainerTermination { status: self.status, ..ContainerTermination::default() };
        if let Some((_, message)) = &self.failure {
            termination.message = Some(message.clone());
        }
        if !self.limitations.is_empty() {
            termination.state = Some(TaskState::TaskFailed as i32);
            let messages: Vec<&str> = self.limitations.iter().map(ContainerLimitation::message).collect();
            termination.message = Some(messages.join("; "));
            for limitation in &self.limitations {
                if limitation.reason.is_some() {
                    termination.reason = limitation.reason;
                }
                if !limitation.resources.is_empty() {
                    termination.limited_resources.clone_from(&limitation.resources);
                }
            }
        }
        termination
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Ids are given anew after a container's end; this number is not.
    pub run: u64,
    pub spec: Spec,
    pub state: State,
    /// The step under way.
    pub pending: Option<Step>,
    /// The isolators that were asked to prepare it and have to clean up, in that order.
    pub prepared: Vec<usize>,
    /// A process may be there.
    pub forked: bool,
    pub provisioned: bool,
    pub pid: Option<i32>,
    /// Its launch was answered with success, so that its end has to be told.
    pub launched: bool,
    pub launch: Option<Ticket>,
    /// New resources that its isolators were not told of.
    pub stale: bool,
    /// What is to be done next of its end; None: it lives.
    pub ending: Option<Phase>,
    pub end: End,
    /// How often the present step of its end failed.
    pub attempts: u32,
    pub waiting: Vec<Ticket>,
    /// What is to be nested in it, and was asked for while nobody knew yet whether it runs.
    pub expected: Vec<(ContainerId, Spec, Ticket)>,
    /// Nothing of it is done before the recovery is told of.
    pub held: bool,
}

/// The way to the end. Each is over before the next begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// What is nested in it ends, and so does the step under way.
    Waiting,
    Killing,
    CleaningUp,
    Unprovisioning,
    Finishing,
}
