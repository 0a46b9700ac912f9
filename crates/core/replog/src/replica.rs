//! The replica: what it promised, accepted and learned, and its answers. One request is handled after another; where
//! one needs what is on disk, those behind it wait.
//!
//! What a request changes holds at once, and its answer waits until the disk has it, as do all answers after it: none
//! rests on what a crash could take back. It must not know rounds, quorums or who else there is.

use std::collections::VecDeque;

use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{
    Action, Metadata, PromiseRequest, PromiseResponse, RecoverResponse, WriteRequest, WriteResponse, action,
    promise_response, write_response,
};
use messor_types::Pid;

use crate::config::{MAX_INBOX, MAX_INBOX_BYTES, MAX_UNSYNCED};
use crate::disk::Disk;
use crate::effect::{Effect, Write};
use crate::message::{Request, Response};
use crate::positions::Positions;
use crate::restored::{Restored, truncates_to};
use crate::turn::Turn;

/// Where a request came from: another program, or a request of this one by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Remote(Pid),
    Own(u64),
    /// It wants no answer.
    Nobody,
}

pub(crate) struct Replica {
    id: String,
    status: Status,
    promised: u64,
    begin: u64,
    end: u64,
    /// Positions of `begin..=end` of which nothing is known.
    holes: Positions,
    /// Positions that were promised or accepted, and are not learned.
    unlearned: Positions,
    inbox: VecDeque<(Origin, Request)>,
    inbox_bytes: usize,
    /// The request that waits for what is on disk at its position, and the ticket of that.
    reading: Option<(u64, Origin, Request)>,
    /// Answers, each with the write that must be durable before. In order.
    outbox: VecDeque<(u64, Origin, Response)>,
}

impl Replica {
    pub fn new(id: &str, restored: &Restored) -> Replica {
        let mut holes = Positions::range(restored.begin, restored.end);
        for (first, last) in restored.learned.ranges().chain(restored.unlearned.ranges()) {
            holes.remove(first, last);
        }
        let mut unlearned = restored.unlearned.clone();
        if let Some(truncated) = restored.begin.checked_sub(1) {
            unlearned.remove(0, truncated);
        }
        Replica {
            id: id.to_string(),
            status: restored.metadata.status(),
            promised: restored.metadata.promised,
            begin: restored.begin,
            end: restored.end,
            holes,
            unlearned,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            reading: None,
            outbox: VecDeque::new(),
        }
    }

    pub fn status(&self) -> Status {
        self.status
    }

    pub fn promised(&self) -> u64 {
        self.promised
    }

    pub fn begin(&self) -> u64 {
        self.begin
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn holes(&self) -> &Positions {
        &self.holes
    }

    pub fn unlearned(&self) -> &Positions {
        &self.unlearned
    }

    /// It is not learned here and not truncated.
    pub fn is_missing(&self, position: u64) -> bool {
        self.first_missing(position, position).is_some()
    }

    /// The first of `from..=to` that is neither learned here nor truncated.
    pub fn first_missing(&self, from: u64, to: u64) -> Option<u64> {
        let from = from.max(self.begin);
        let beyond = from.max(self.end.saturating_add(1));
        [self.holes.first_from(from), self.unlearned.first_from(from), Some(beyond)]
            .into_iter()
            .flatten()
            .min()
            .filter(|position| *position <= to)
    }

    /// Changes the status, and what is promised to at least `promised`. Gives the ticket to wait for.
    pub fn update(&mut self, status: Status, promised: u64, disk: &mut Disk, turn: &mut Turn<'_>) -> u64 {
        turn.info(format!("The replica goes from {:?} to {status:?}", self.status));
        self.status = status;
        self.promised = self.promised.max(promised);
        self.persist_metadata(disk, turn)
    }

    fn persist_metadata(&self, disk: &mut Disk, turn: &mut Turn<'_>) -> u64 {
        let metadata = Metadata { status: self.status.into(), promised: self.promised };
        disk.persist(Write::Metadata(metadata), turn)
    }

    /// Takes a request. One of another program is dropped when too many wait, as the network could have done.
    pub fn receive(&mut self, origin: Origin, request: Request, turn: &mut Turn<'_>) {
        let cost = request.cost();
        let full = self.inbox.len() >= MAX_INBOX || self.inbox_bytes + cost > MAX_INBOX_BYTES;
        if let (Origin::Remote(from), true) = (&origin, full) {
            turn.warning(format!("Dropping a message of {from} to the log: too many wait for the disk"));
            return;
        }
        self.inbox_bytes += cost;
        self.inbox.push_back((origin, request));
    }

    /// Drops what an own request asked, if it still waits: nobody wants the answer any more.
    pub fn forget(&mut self, number: u64) {
        let dropped = &mut self.inbox_bytes;
        self.inbox.retain(|(origin, request)| {
            let wanted = *origin != Origin::Own(number);
            if !wanted {
                *dropped -= request.cost();
            }
            wanted
        });
    }

    /// Handles what waits, as far as the disk lets it.
    pub fn run(&mut self, disk: &mut Disk, turn: &mut Turn<'_>) {
        while self.reading.is_none() && !disk.is_full() && self.outbox.len() < MAX_UNSYNCED {
            let Some((origin, request)) = self.inbox.pop_front() else { return };
            self.inbox_bytes -= request.cost();
            self.handle(origin, request, disk, turn);
        }
    }

    /// True when the ticket was of a read that this replica asked for.
    pub fn read(&mut self, ticket: u64, actions: &[Action], disk: &mut Disk, turn: &mut Turn<'_>) -> bool {
        let Some((_, origin, request)) = self.reading.take_if(|(waits, ..)| *waits == ticket) else {
            return false;
        };
        match request {
            Request::Promise(request) => {
                let position = request.position.unwrap_or_default();
                match actions.iter().find(|action| action.position == position) {
                    Some(action) => self.promise_again(origin, request, action, disk, turn),
                    None => turn.error(format!("Position {position} of the log is not on disk")),
                }
            }
            Request::Write(request) => {
                match actions.iter().find(|action| action.position == request.position) {
                    Some(action) => self.write_again(origin, *request, action, disk, turn),
                    None => turn.error(format!("Position {} of the log is not on disk", request.position)),
                }
            }
            Request::Recover | Request::Learned(_) => {}
        }
        true
    }

    /// Sends the answers whose writes are durable; gives those to this program's own requests.
    pub fn release(&mut self, disk: &Disk, turn: &mut Turn<'_>) -> Vec<(u64, Response)> {
        let mut own = Vec::new();
        while let Some((_, origin, response)) =
            self.outbox.pop_front_if(|(ticket, ..)| disk.is_durable(*ticket))
        {
            match origin {
                Origin::Own(number) => own.push((number, response)),
                Origin::Remote(to) => {
                    let (name, body) = response.encode();
                    turn.effect(Effect::Send { from: self.id.clone(), to, name, body });
                }
                Origin::Nobody => {}
            }
        }
        own
    }

    fn handle(&mut self, origin: Origin, request: Request, disk: &mut Disk, turn: &mut Turn<'_>) {
        match request {
            Request::Promise(request) => self.promise(origin, request, disk, turn),
            Request::Write(request) => self.write(origin, *request, disk, turn),
            Request::Recover => self.recover(origin, disk),
            Request::Learned(action) => self.learn(*action, disk, turn),
        }
    }

    fn answer(&mut self, origin: Origin, response: Response, disk: &Disk) {
        self.outbox.push_back((disk.given(), origin, response));
    }

    /// What is at the position is on disk.
    fn is_written(&self, position: u64) -> bool {
        position <= self.end && !self.holes.contains(position)
    }

    fn recover(&mut self, origin: Origin, disk: &Disk) {
        let voting = self.status == Status::Voting;
        let response = RecoverResponse {
            status: self.status.into(),
            begin: voting.then_some(self.begin),
            end: voting.then_some(self.end),
        };
        self.answer(origin, Response::Recover(response), disk);
    }

    fn promise(&mut self, origin: Origin, request: PromiseRequest, disk: &mut Disk, turn: &mut Turn<'_>) {
        let proposal = request.proposal;
        if self.status != Status::Voting {
            let response = promise_response(promise_response::Type::Ignored, proposal);
            return self.answer(origin, Response::Promise(Box::new(response)), disk);
        }
        match request.position {
            None if proposal <= self.promised => self.reject_promise(origin, self.promised, disk),
            None => {
                turn.info(format!("Promising proposal {proposal} for all positions"));
                self.promised = proposal;
                self.persist_metadata(disk, turn);
                let mut response = promise_response(promise_response::Type::Accept, proposal);
                response.position = Some(self.end);
                self.answer(origin, Response::Promise(Box::new(response)), disk);
            }
            Some(position) if position < self.begin => {
                let mut response = promise_response(promise_response::Type::Accept, proposal);
                response.action = Some(tombstone(position, self.promised));
                self.answer(origin, Response::Promise(Box::new(response)), disk);
            }
            Some(position) if self.is_written(position) => {
                let ticket = disk.read(position, position, turn);
                self.reading = Some((ticket, origin, Request::Promise(request)));
            }
            // All positions of which nothing is known are promised by the promise for all.
            Some(_) if proposal <= self.promised => self.reject_promise(origin, self.promised, disk),
            Some(position) => {
                let action = Action { position, promised: proposal, ..Action::default() };
                self.persist(action, disk, turn);
                let mut response = promise_response(promise_response::Type::Accept, proposal);
                response.position = Some(position);
                self.answer(origin, Response::Promise(Box::new(response)), disk);
            }
        }
    }

    /// A promise for a position that has something.
    fn promise_again(
        &mut self,
        origin: Origin,
        request: PromiseRequest,
        found: &Action,
        disk: &mut Disk,
        turn: &mut Turn<'_>,
    ) {
        // What is learned changes no more, whoever asks: no promise is needed, and none is recorded.
        if !found.learned() {
            if request.proposal <= found.promised {
                return self.reject_promise(origin, found.promised, disk);
            }
            self.persist(Action { promised: request.proposal, ..found.clone() }, disk, turn);
        }
        let mut response = promise_response(promise_response::Type::Accept, request.proposal);
        response.action = Some(found.clone());
        self.answer(origin, Response::Promise(Box::new(response)), disk);
    }

    fn reject_promise(&mut self, origin: Origin, promised: u64, disk: &Disk) {
        let response = promise_response(promise_response::Type::Reject, promised);
        self.answer(origin, Response::Promise(Box::new(response)), disk);
    }

    fn write(&mut self, origin: Origin, request: WriteRequest, disk: &mut Disk, turn: &mut Turn<'_>) {
        let (proposal, position) = (request.proposal, request.position);
        if self.status != Status::Voting {
            self.answer_write(origin, write_response::Type::Ignored, proposal, position, disk);
        } else if position < self.begin {
            // It was chosen and forgotten. Its proposer learns so when it asks for a promise again. (Apache Mesos gives
            // no answer here, nor where something else is learned, and its proposer waits for ever.)
            let promised = self.promised.max(proposal);
            self.answer_write(origin, write_response::Type::Reject, promised, position, disk);
        } else if self.is_written(position) {
            let ticket = disk.read(position, position, turn);
            self.reading = Some((ticket, origin, Request::Write(Box::new(request))));
        } else if proposal < self.promised {
            self.answer_write(origin, write_response::Type::Reject, self.promised, position, disk);
        } else {
            self.accept(origin, request, self.promised, disk, turn);
        }
    }

    /// A write at a position that has something.
    fn write_again(
        &mut self,
        origin: Origin,
        request: WriteRequest,
        found: &Action,
        disk: &mut Disk,
        turn: &mut Turn<'_>,
    ) {
        let (proposal, position) = (request.proposal, request.position);
        let same = found.r#type == Some(request.r#type)
            && found.append == request.append
            && found.truncate == request.truncate;
        if proposal < found.promised {
            self.answer_write(origin, write_response::Type::Reject, found.promised, position, disk);
        } else if same && (found.learned() || found.performed == Some(proposal)) {
            // It is there: the request came again, or after the message that it was learned.
            self.answer_write(origin, write_response::Type::Accept, proposal, position, disk);
        } else if found.learned() {
            // What is learned stays: another was chosen, or the position was truncated, which some know as a no-op.
            let promised = self.promised.max(proposal);
            self.answer_write(origin, write_response::Type::Reject, promised, position, disk);
        } else {
            self.accept(origin, request, found.promised, disk, turn);
        }
    }

    fn accept(
        &mut self,
        origin: Origin,
        request: WriteRequest,
        promised: u64,
        disk: &mut Disk,
        turn: &mut Turn<'_>,
    ) {
        let (proposal, position) = (request.proposal, request.position);
        // An accepted proposal is promised too. (Apache Mesos does not raise it: a lower proposal that a quorum
        // promised before could then overwrite what a quorum has accepted.)
        let action = Action {
            position,
            promised: promised.max(proposal),
            performed: Some(proposal),
            learned: request.learned,
            r#type: Some(request.r#type),
            nop: request.nop.map(|_| action::Nop::default()),
            append: request.append,
            truncate: request.truncate,
        };
        self.persist(action, disk, turn);
        self.answer_write(origin, write_response::Type::Accept, proposal, position, disk);
    }

    fn answer_write(
        &mut self,
        origin: Origin,
        kind: write_response::Type,
        proposal: u64,
        position: u64,
        disk: &Disk,
    ) {
        let okay = kind == write_response::Type::Accept;
        let response = WriteResponse { okay, r#type: Some(kind.into()), proposal, position };
        self.answer(origin, Response::Write(response), disk);
    }

    fn learn(&mut self, action: Action, disk: &mut Disk, turn: &mut Turn<'_>) {
        let truncates = truncates_to(&action).is_some_and(|to| to > self.begin);
        if truncates || self.is_missing(action.position) {
            self.persist(action, disk, turn);
        }
    }

    /// Writes it, and knows it.
    fn persist(&mut self, action: Action, disk: &mut Disk, turn: &mut Turn<'_>) {
        let position = action.position;
        if position > self.end {
            self.holes.insert(self.end.saturating_add(1), position);
            self.end = position;
        }
        self.holes.remove(position, position);
        if !action.learned() {
            self.unlearned.insert(position, position);
            disk.persist(Write::Action(Box::new(action)), turn);
            return;
        }
        self.unlearned.remove(position, position);
        let Some(begin) = truncates_to(&action) else {
            disk.persist(Write::Action(Box::new(action)), turn);
            return;
        };
        if let Some(truncated) = begin.checked_sub(1) {
            self.holes.remove(0, truncated);
            self.unlearned.remove(0, truncated);
        }
        self.begin = self.begin.max(begin);
        // A tombstone itself stays on disk, for it says after a restart where the log begins.
        let below = begin.min(position);
        disk.persist(Write::Truncating { action: Box::new(action), below }, turn);
    }
}

fn promise_response(kind: promise_response::Type, proposal: u64) -> PromiseResponse {
    let okay = kind == promise_response::Type::Accept;
    PromiseResponse { okay, r#type: Some(kind.into()), proposal, position: None, action: None }
}

/// What is said of a truncated position: whoever fills it learns that it was truncated.
fn tombstone(position: u64, promised: u64) -> Action {
    Action {
        position,
        promised,
        performed: Some(promised),
        learned: Some(true),
        r#type: Some(action::Type::Nop.into()),
        nop: Some(action::Nop { tombstone: Some(true) }),
        append: None,
        truncate: None,
    }
}
