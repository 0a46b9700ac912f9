//! HTTP between keepers and masters: calls one way, a stream of events the other, and what becomes of both when a
//! connection breaks. On the simulated network they are packets of two names, with the number of their stream in front.

use std::sync::Arc;

use messor_master_core::{Event as MasterEvent, Outcome, ReplyId, StreamId};
use messor_proto::Wire;
use messor_proto::mesos::scheduler::{Call, Event, call};
use messor_types::Pid;

use crate::invariants;
use crate::keeper::Action;
use crate::network::Way;
use crate::world::{Happening, World};

pub const CALL: &str = "call by HTTP";
pub const CLOSE: &str = "end of a connection by HTTP";
pub const EVENT: &str = "event by HTTP";

/// A stream that a master has open, or is asked to open.
#[derive(Debug)]
pub struct Stream {
    pub master: Pid,
    keeper: Pid,
    /// Of its connection.
    life: u64,
}

fn framed(stream: u64, body: &[u8]) -> Vec<u8> {
    [&stream.to_be_bytes()[..], body].concat()
}

fn unframed(body: &[u8]) -> (u64, &[u8]) {
    let (stream, rest) = body.split_at(8);
    (u64::from_be_bytes(stream.try_into().expect("8 bytes")), rest)
}

impl World {
    pub(crate) fn fresh(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn keeper_actions(&mut self, number: usize, actions: Vec<Action>) {
        for action in actions {
            let own = self.keepers[number].pid.clone();
            let master = self.keepers[number].master.clone();
            match (action, master) {
                (Action::Subscribe(call), Some(master)) => {
                    let stream = self.fresh();
                    // Who asks again gives up the connection on which it asked before.
                    if let Some(before) = self.keepers[number].asks.replace(stream) {
                        self.send(own.clone(), master.clone(), CLOSE, framed(before, &[]));
                    }
                    // It hears of it when the connection cannot be made, or breaks.
                    self.link(own.clone(), master.clone());
                    self.send(own, master, CALL, framed(stream, &call.encode_bytes()));
                }
                (Action::Call(stream, call), Some(master)) => {
                    self.send(own, master, CALL, framed(stream, &call.encode_bytes()));
                }
                (Action::Timer(when), _) => self.agenda.at(when, Happening::KeeperTimer(number)),
                (_, None) => {}
            }
        }
    }

    /// A call arrives at a master.
    pub(crate) fn call_arrives(&mut self, number: usize, from: Pid, body: &[u8]) {
        let (stream, body) = unframed(body);
        let call = Box::new(Call::decode_checked(body).expect("keepers' calls are right"));
        let reply = ReplyId(self.fresh());
        self.called.insert(reply.0, (from.clone(), stream));
        let node = &self.masters[number];
        if call.r#type() == call::Type::Subscribe {
            let life = self.network.life((node.pid.address, from.address));
            let record = Stream { master: node.pid.clone(), keeper: from, life };
            self.streams.insert(stream, record);
            let stream = StreamId(stream);
            return self.master(number, MasterEvent::Subscribe { stream, reply, principal: None, call });
        }
        let stream = Some(StreamId(stream));
        self.master(number, MasterEvent::SchedulerCall { reply, principal: None, stream, call });
    }

    /// Who listened closes a stream.
    pub(crate) fn close_arrives(&mut self, number: usize, body: &[u8]) {
        let (stream, _) = unframed(body);
        let own = &self.masters[number].pid;
        if self.streams.get(&stream).is_some_and(|known| known.master == *own) {
            self.streams.remove(&stream);
            self.master(number, MasterEvent::StreamClosed { stream: StreamId(stream) });
        }
    }

    /// The answer to a call. Who is refused subscribes again.
    pub(crate) fn answered(&mut self, number: usize, reply: ReplyId, outcome: &Outcome) {
        let Some((keeper, stream)) = self.called.remove(&reply.0) else { return };
        if !matches!(outcome, Outcome::Accepted | Outcome::Done) {
            self.trace(|| format!("master {number} refuses a call of {keeper}: {outcome:?}"));
            let master = self.masters[number].pid.clone();
            let life = self.network.life((master.address, keeper.address));
            self.answer(master, keeper, life, EVENT, framed(stream, &[]));
        }
    }

    pub(crate) fn stream_event(&mut self, stream: StreamId, event: &Arc<Event>) {
        if let Some(Stream { master, keeper, life }) = self.streams.get(&stream.0) {
            for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
                invariants::closed_agents_are_not_offered(&self.closed, &offer.agent_id);
                invariants::nobody_is_where_maintenance_is(&self.machines, &offer.hostname);
            }
            let body = framed(stream.0, &event.encode_bytes());
            self.answer(master.clone(), keeper.clone(), *life, EVENT, body);
        }
    }

    pub(crate) fn stream_ends(&mut self, stream: StreamId) {
        if let Some(Stream { master, keeper, life }) = self.streams.remove(&stream.0) {
            self.answer(master, keeper, life, EVENT, framed(stream.0, &[]));
        }
    }

    /// An event arrives at a keeper.
    pub(crate) fn heard(&mut self, number: usize, body: &[u8]) {
        let (stream, body) = unframed(body);
        if body.is_empty() {
            return self.keepers[number].closed(stream);
        }
        let event = Event::decode_checked(body).expect("the master's own events are right");
        if let Some(update) = &event.update
            && let (Some(uuid), Some(agent_id)) = (&update.status.uuid, &update.status.agent_id)
        {
            let framework_id = self.keepers[number].id().cloned().unwrap_or_default();
            self.ends.noted(&messor_proto::mesos::internal::StatusUpdate {
                framework_id,
                agent_id: Some(agent_id.clone()),
                status: update.status.clone(),
                uuid: Some(uuid.clone()),
                ..Default::default()
            });
            let task = &update.status.task_id.value;
            let noted = &self.keepers[number].noted;
            for made in self.agents.iter().filter_map(|node| node.executors.made.get(task)) {
                invariants::updates_come_in_order(task, made, noted, uuid);
            }
        }
        if let Some(update) = &event.update_operation_status {
            let keeper = &self.keepers[number];
            self.trace(|| {
                let status = &update.status;
                let id = status.operation_id.as_ref().map_or("", |id| id.value.as_str());
                let (listens, waits) = (keeper.listens_to(stream), keeper.waits_for_operation(id));
                let state = status.state().as_str_name();
                format!("keeper {number} (listens: {listens}, waits: {waits}) hears that {id} is {state}")
            });
            self.operation_is_heard_of(&update.status);
        }
        let mut actions = Vec::new();
        self.keepers[number].event(self.agenda.now, stream, &event, &mut actions);
        self.keeper_actions(number, actions);
    }

    fn operation_is_heard_of(&self, status: &messor_proto::mesos::OperationStatus) {
        use messor_proto::mesos::OperationState::{OperationDropped, OperationError, OperationUnknown};
        let id = status.operation_id.as_ref().map_or("", |id| id.value.as_str());
        if !matches!(status.state(), OperationDropped | OperationError | OperationUnknown) {
            return;
        }
        let is_waited_for = self.keepers.iter().any(|keeper| keeper.waits_for_operation(id));
        // Of an agent that the registry has let go nothing is known any more.
        let deeds = self.agents.iter().flat_map(|node| node.deeds.standing());
        let mut deeds = deeds.filter(|deed| !self.ledger.has_left(&deed.agent));
        assert!(
            !is_waited_for || deeds.all(|deed| deed.id.as_deref() != Some(id)),
            "what is done is not denied: {id} was done, and is said to be {}",
            status.state().as_str_name()
        );
    }

    /// Somebody hears that its connections to an address broke. If it is a master, their streams are over.
    pub(crate) fn streams_break(&mut self, way: Way) {
        let Some(number) = self.masters.iter().position(|node| node.pid.address == way.0) else { return };
        let now = self.network.life(way);
        let broken =
            |stream: &Stream| (stream.master.address, stream.keeper.address) == way && stream.life != now;
        let list: Vec<u64> =
            self.streams.iter().filter(|(_, stream)| broken(stream)).map(|(id, _)| *id).collect();
        for stream in list {
            self.streams.remove(&stream);
            self.master(number, MasterEvent::StreamClosed { stream: StreamId(stream) });
        }
    }
}
