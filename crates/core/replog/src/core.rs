//! What recovery, writer and reader share: the replica, the network, the disk, and chance.

use std::time::Duration;

use messor_proto::mesos::internal::log::{Action, PromiseRequest, WriteRequest, action};
use messor_stdx::{Random, Time};

use crate::config::Config;
use crate::disk::Disk;
use crate::event::{Timer, User};
use crate::message::Request;
use crate::network::Network;
use crate::replica::Replica;
use crate::tally::Tally;
use crate::turn::Turn;

pub(crate) struct Core {
    pub config: Config,
    pub replica: Replica,
    pub network: Network,
    pub disk: Disk,
    pub random: Random,
}

impl Core {
    /// Asks all for their promise: for a position, or for all of which they know nothing.
    pub fn ask_promise(&mut self, user: User, proposal: u64, position: Option<u64>, turn: &mut Turn<'_>) {
        let request = Request::Promise(PromiseRequest { proposal, position });
        self.network.start(user, request, Tally::promise(proposal, position), turn);
    }

    /// Asks all to accept the action at its proposal.
    pub fn ask_write(&mut self, user: User, proposal: u64, action: &Action, turn: &mut Turn<'_>) {
        let request = WriteRequest {
            proposal,
            position: action.position,
            learned: None,
            r#type: action.r#type.unwrap_or_default(),
            nop: action.nop.map(|_| action::Nop::default()),
            append: action.append.clone(),
            truncate: action.truncate,
        };
        let tally = Tally::write(proposal, action.position);
        self.network.start(user, Request::Write(Box::new(request)), tally, turn);
    }

    /// Tells all that the action is chosen.
    pub fn tell_learned(&mut self, mut action: Action, turn: &mut Turn<'_>) {
        action.learned = Some(true);
        self.network.tell(Request::Learned(Box::new(action)), turn);
    }

    /// Sets the user's retry timer between once and twice `pause` from now.
    pub fn pause(&mut self, user: User, pause: Duration, turn: &mut Turn<'_>) -> Time {
        let at = turn.now + pause + self.random.up_to(pause);
        turn.set_timer(Timer::Retry(user), at);
        at
    }
}
