//! What comes in to the master's thread: events of the master machine, and what its registrar and its election hear.

use messor_master_core::Event;
use messor_proto::mesos::MasterInfo;
use messor_replog::{Answer, Failure};

pub enum Input {
    Master(Event),
    /// The log answers the registrar.
    Log {
        ticket: u64,
        outcome: Result<Answer, Failure>,
    },
    /// This master is to lead.
    Elected,
    /// Another may lead from now on.
    LeadershipLost {
        reason: String,
    },
    /// Who leads, as the election says.
    Leader(Option<Box<MasterInfo>>),
    /// This program was told to end. Nothing that happens from now on, such as the end of its connections, means anything.
    Stop,
    /// Something without which this program cannot go on has ended.
    Over {
        reason: String,
    },
}

impl From<Event> for Input {
    fn from(event: Event) -> Input {
        Input::Master(event)
    }
}
