//! What a replica answers, message by message.

use messor_proto::Wire;
use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{
    Action, LearnedMessage, Metadata, PromiseRequest, PromiseResponse, RecoverRequest, RecoverResponse,
    WriteRequest, WriteResponse, action, promise_response, write_response,
};
use messor_replog::{Event, Level, Write};

use crate::solo::{Solo, append, learned, nop, replica, truncate};

fn promise(proposal: u64, position: Option<u64>) -> PromiseRequest {
    PromiseRequest { proposal, position }
}

fn write(action: &Action) -> WriteRequest {
    WriteRequest {
        proposal: action.performed.unwrap(),
        position: action.position,
        learned: None,
        r#type: action.r#type.unwrap(),
        nop: action.nop,
        append: action.append.clone(),
        truncate: action.truncate,
    }
}

fn learn(action: Action) -> LearnedMessage {
    LearnedMessage { action }
}

fn promised(kind: promise_response::Type, proposal: u64) -> PromiseResponse {
    let okay = kind == promise_response::Type::Accept;
    PromiseResponse { okay, r#type: Some(kind.into()), proposal, position: None, action: None }
}

fn written(kind: write_response::Type, proposal: u64, position: u64) -> WriteResponse {
    WriteResponse {
        okay: kind == write_response::Type::Accept,
        r#type: Some(kind.into()),
        proposal,
        position,
    }
}

use promise_response::Type as Promised;
use write_response::Type as Written;

#[test]
fn a_promise_for_all_positions_is_given_once_and_names_the_end() {
    let mut solo = Solo::voting(4, &[learned(nop(0, 1)), learned(append(1, 1, b"a"))]);
    let response: PromiseResponse = solo.ask(&promise(5, None));
    assert_eq!(response, PromiseResponse { position: Some(1), ..promised(Promised::Accept, 5) });
    assert_eq!(solo.written, [Write::Metadata(Metadata { status: Status::Voting.into(), promised: 5 })]);
    for proposal in [5, 3, 0] {
        let response: PromiseResponse = solo.ask(&promise(proposal, None));
        assert_eq!(response, promised(Promised::Reject, 5));
    }
}

#[test]
fn nothing_is_answered_before_the_disk_has_it_and_answers_keep_their_order() {
    let mut solo = Solo::voting(0, &[]);
    solo.disk_waits = true;
    solo.tell(&promise(5, None));
    solo.tell(&promise(2, None));
    solo.tell(&RecoverRequest {});
    assert!(solo.take_sent().is_empty());
    solo.work();
    let sent = solo.take_sent();
    assert_eq!(sent[0].get::<PromiseResponse>().r#type(), Promised::Accept);
    assert_eq!(sent[1].get::<PromiseResponse>(), promised(Promised::Reject, 5));
    assert!(sent[2].is::<RecoverResponse>());
}

#[test]
fn a_replica_that_may_not_vote_ignores_and_says_so() {
    for status in [Status::Empty, Status::Starting, Status::Recovering] {
        let mut solo = Solo::new(2, status, 0, &[]);
        solo.take_sent();
        assert_eq!(solo.ask::<_, PromiseResponse>(&promise(5, None)), promised(Promised::Ignored, 5));
        assert_eq!(solo.ask::<_, PromiseResponse>(&promise(6, Some(3))), promised(Promised::Ignored, 6));
        let response: WriteResponse = solo.ask(&write(&append(3, 7, b"a")));
        assert_eq!(response, written(Written::Ignored, 7, 3));
        let response: RecoverResponse = solo.ask(&RecoverRequest {});
        assert_eq!(response, RecoverResponse { status: status.into(), begin: None, end: None });
        assert!(solo.written.is_empty());
    }
}

#[test]
fn a_voting_replica_says_its_ends() {
    let actions = [learned(truncate(7, 1, 5)), learned(append(5, 1, b"a")), append(9, 1, b"b")];
    let mut solo = Solo::voting(3, &actions);
    let response: RecoverResponse = solo.ask(&RecoverRequest {});
    assert_eq!(response, RecoverResponse { status: Status::Voting.into(), begin: Some(5), end: Some(9) });
}

#[test]
fn a_position_of_which_nothing_is_known_is_promised_with_all_the_others() {
    let mut solo = Solo::voting(4, &[]);
    assert_eq!(solo.ask::<_, PromiseResponse>(&promise(4, Some(2))), promised(Promised::Reject, 4));
    let response: PromiseResponse = solo.ask(&promise(5, Some(2)));
    assert_eq!(response, PromiseResponse { position: Some(2), ..promised(Promised::Accept, 5) });
    let record = Action { position: 2, promised: 5, ..Action::default() };
    assert_eq!(solo.written, [Write::Action(Box::new(record.clone()))]);
    // Now it has something, a promise, and that comes along with the next one.
    let response: PromiseResponse = solo.ask(&promise(6, Some(2)));
    assert_eq!(response, PromiseResponse { action: Some(record), ..promised(Promised::Accept, 6) });
    assert_eq!(solo.ask::<_, PromiseResponse>(&promise(6, Some(2))), promised(Promised::Reject, 6));
}

#[test]
fn what_was_written_comes_with_the_promise() {
    let mut solo = Solo::voting(4, &[append(2, 4, b"a")]);
    let response: PromiseResponse = solo.ask(&promise(5, Some(2)));
    assert_eq!(
        response,
        PromiseResponse { action: Some(append(2, 4, b"a")), ..promised(Promised::Accept, 5) }
    );
    let kept = Action { promised: 5, ..append(2, 4, b"a") };
    assert_eq!(solo.written, [Write::Action(Box::new(kept))]);
}

#[test]
fn what_is_learned_is_told_to_anybody_and_costs_no_write() {
    let action = learned(append(2, 9, b"a"));
    let mut solo = Solo::voting(9, std::slice::from_ref(&action));
    let response: PromiseResponse = solo.ask(&promise(1, Some(2)));
    assert_eq!(response, PromiseResponse { action: Some(action), ..promised(Promised::Accept, 1) });
    assert!(solo.written.is_empty());
}

/// U039
#[test]
fn a_truncated_position_is_told_as_a_tombstone() {
    let mut solo = Solo::voting(9, &[learned(truncate(7, 3, 5))]);
    let response: PromiseResponse = solo.ask(&promise(1, Some(4)));
    let mark = Some(action::Nop { tombstone: Some(true) });
    let tombstone = Action { nop: mark, ..learned(nop(4, 9)) };
    assert_eq!(response, PromiseResponse { action: Some(tombstone), ..promised(Promised::Accept, 1) });
}

#[test]
fn a_write_is_accepted_up_to_the_promise() {
    let mut solo = Solo::voting(4, &[]);
    assert_eq!(solo.ask::<_, WriteResponse>(&write(&append(1, 3, b"a"))), written(Written::Reject, 4, 1));
    assert_eq!(solo.ask::<_, WriteResponse>(&write(&append(1, 4, b"a"))), written(Written::Accept, 4, 1));
    assert_eq!(solo.written, [Write::Action(Box::new(append(1, 4, b"a")))]);
    assert_eq!(solo.log.ends(), (0, 1));
}

/// Apache Mesos keeps a lower promise here, and then takes the write of proposal 6.
#[test]
fn an_accepted_proposal_is_promised_too() {
    let mut solo = Solo::voting(5, &[]);
    assert_eq!(solo.ask::<_, WriteResponse>(&write(&append(1, 7, b"x"))), written(Written::Accept, 7, 1));
    assert_eq!(solo.ask::<_, WriteResponse>(&write(&append(1, 6, b"y"))), written(Written::Reject, 7, 1));
    assert_eq!(solo.ask::<_, PromiseResponse>(&promise(7, Some(1))), promised(Promised::Reject, 7));
}

#[test]
fn a_write_that_comes_again_is_accepted_again_without_the_disk() {
    let mut solo = Solo::voting(4, &[]);
    for _ in 0..2 {
        let response: WriteResponse = solo.ask(&write(&append(1, 4, b"a")));
        assert_eq!(response, written(Written::Accept, 4, 1));
    }
    assert_eq!(solo.written.len(), 1);
    // The message that it was learned may come before the write itself.
    solo.tell(&learn(learned(append(2, 4, b"b"))));
    let response: WriteResponse = solo.ask(&write(&append(2, 4, b"b")));
    assert_eq!(response, written(Written::Accept, 4, 2));
}

#[test]
fn what_is_learned_is_not_written_over() {
    let actions = [learned(append(1, 2, b"a")), learned(append(5, 2, b"e")), learned(truncate(6, 2, 4))];
    let mut solo = Solo::voting(4, &actions);
    for position in [1, 5] {
        let response: WriteResponse = solo.ask(&write(&append(position, 8, b"other")));
        assert_eq!(response, written(Written::Reject, 8, position));
    }
    assert!(solo.written.is_empty());
}

#[test]
fn a_learned_action_replaces_what_was_accepted() {
    let mut solo = Solo::voting(4, &[append(1, 4, b"a")]);
    solo.tell(&learn(learned(append(1, 6, b"b"))));
    assert_eq!(solo.written, [Write::Action(Box::new(learned(append(1, 6, b"b"))))]);
    // Once is enough.
    solo.tell(&learn(learned(append(1, 7, b"b"))));
    assert_eq!(solo.written.len(), 1);
    assert!(solo.take_sent().is_empty());
}

#[test]
fn a_learned_truncation_moves_the_beginning() {
    let actions = [learned(nop(0, 1)), learned(append(1, 1, b"a")), learned(append(2, 1, b"b"))];
    let mut solo = Solo::voting(1, &actions);
    let action = learned(truncate(3, 1, 2));
    solo.tell(&learn(action.clone()));
    assert_eq!(solo.written, [Write::Truncating { action: Box::new(action), below: 2 }]);
    assert_eq!(solo.log.ends(), (2, 3));
}

/// U039
#[test]
fn a_tombstone_moves_the_beginning_behind_itself_and_stays_on_disk() {
    let mut solo = Solo::voting(1, &[learned(nop(0, 1)), learned(append(1, 1, b"a")), append(2, 1, b"b")]);
    let mut action = learned(nop(1, 1));
    action.nop = Some(action::Nop { tombstone: Some(true) });
    solo.tell(&learn(action.clone()));
    assert_eq!(solo.written, [Write::Truncating { action: Box::new(action), below: 1 }]);
    assert_eq!(solo.log.ends(), (2, 2));
    assert_eq!(Solo::voting(1, &solo.disk.actions.into_values().collect::<Vec<_>>()).log.ends(), (2, 2));
}

#[test]
fn messages_that_make_no_sense_are_dropped_and_said() {
    let mut solo = Solo::voting(1, &[]);
    let no_content = Action { append: None, ..learned(append(1, 1, b"a")) };
    let not_learned = append(1, 1, b"a");
    let empty_write = WriteRequest { append: None, ..write(&append(1, 1, b"a")) };
    let bodies = [
        (LearnedMessage::NAME, learn(no_content).encode_bytes()),
        (LearnedMessage::NAME, learn(not_learned).encode_bytes()),
        (WriteRequest::NAME, empty_write.encode_bytes()),
        (PromiseRequest::NAME, vec![0xff]),
        ("mesos.internal.PingSlaveMessage", Vec::new()),
    ];
    for (name, body) in bodies {
        solo.lines.clear();
        let (from, to) = (replica(2), "log-replica(1)".to_string());
        solo.event(Event::Message { from, to, name: name.to_string(), body });
        assert_eq!(solo.lines[0].0, Level::Warning, "{name}");
        assert!(solo.take_sent().is_empty() && solo.written.is_empty());
    }
}

#[test]
fn a_store_that_fails_stops_the_replica() {
    let mut solo = Solo::voting(1, &[]);
    solo.disk_waits = true;
    solo.tell(&promise(5, None));
    solo.event(Event::Persisted { ticket: 1, outcome: Err("no space".to_string()) });
    assert_eq!(solo.failed.as_deref(), Some("no space"));
    solo.tell(&promise(6, None));
    solo.work();
    assert!(solo.take_sent().is_empty());
}

#[test]
fn a_replica_that_cannot_read_stops_instead_of_being_silent_for_ever() {
    let mut solo = Solo::voting(4, &[append(0, 1, b"a")]);
    solo.disk_waits = true;
    solo.tell(&promise(5, Some(0)));
    let reason = "000005.log is damaged at byte 7".to_string();
    let ticket = solo.disk.take_read().expect("it reads what is at the position");
    solo.handle(Event::Read { ticket, outcome: Err(reason.clone()) });
    assert_eq!(solo.failed.as_ref(), Some(&reason));
    solo.tell(&promise(6, None));
    assert!(solo.take_sent().is_empty());
}
