//! What the writer sends and what it makes of the answers, message by message.

use std::time::Duration;

use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{
    Action, LearnedMessage, PromiseRequest, PromiseResponse, WriteRequest, WriteResponse, action,
    promise_response, write_response,
};
use messor_replog::{
    Answer, Command, Event, Failure, MAX_ENTRY_BYTES, MAX_WAITING, ROUND_TIMEOUT, Timer, User,
};

use crate::solo::{Sent, Solo, append, learned, nop, replica};

const ROUND: Timer = Timer::Round(User::Writer);
const RETRY: Timer = Timer::Retry(User::Writer);

fn promised(proposal: u64, end: u64) -> PromiseResponse {
    PromiseResponse {
        okay: true,
        r#type: Some(promise_response::Type::Accept.into()),
        proposal,
        position: Some(end),
        action: None,
    }
}

fn refused(proposal: u64) -> PromiseResponse {
    let r#type = Some(promise_response::Type::Reject.into());
    PromiseResponse { okay: false, r#type, proposal, position: None, action: None }
}

fn written(proposal: u64, position: u64) -> WriteResponse {
    WriteResponse { okay: true, r#type: Some(write_response::Type::Accept.into()), proposal, position }
}

fn of<M: messor_proto::Wire>(sent: &[Sent]) -> Vec<&Sent> {
    sent.iter().filter(|sent| sent.is::<M>()).collect()
}

/// A writer of three replicas that was elected with proposal 1; the log has position 0, learned.
fn elected() -> Solo {
    let mut solo = Solo::voting(0, &[learned(nop(0, 0))]);
    let ticket = solo.command(Command::Elect);
    let sent = solo.take_sent();
    solo.answer(&sent[0], &promised(1, 0));
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Elected { begin: 0, end: 0 })));
    assert!(solo.log.is_elected());
    solo.take_sent();
    solo
}

#[test]
fn one_replica_needs_no_network() {
    let mut solo = Solo::new(1, Status::Empty, 0, &[]);
    assert!(solo.log.recovered());
    let elect = solo.command(Command::Elect);
    assert_eq!(solo.outcome(elect), Some(Ok(Answer::Elected { begin: 0, end: 0 })));
    let first = solo.command(Command::Append(b"a".to_vec()));
    assert_eq!(solo.outcome(first), Some(Ok(Answer::Written { position: 1 })));
    let second = solo.command(Command::Truncate { to: 1 });
    assert_eq!(solo.outcome(second), Some(Ok(Answer::Written { position: 2 })));
    let read = solo.command(Command::Read { from: 1, to: 2 });
    assert!(
        matches!(solo.outcome(read), Some(Ok(Answer::Entries { entries, .. })) if entries[0].bytes == b"a")
    );
    assert!(solo.sent.is_empty(), "{:?}", solo.sent);
    assert_eq!(solo.log.ensemble_size(), 1);
}

#[test]
fn an_election_on_a_new_log_fills_position_0() {
    let mut solo = Solo::voting(0, &[]);
    let ticket = solo.command(Command::Elect);
    let sent = solo.take_sent();
    assert_eq!(sent.iter().map(|sent| sent.to.clone()).collect::<Vec<_>>(), [replica(2), replica(3)]);
    assert!(sent[0].from.starts_with("__req_res__(") && sent[0].from != sent[1].from);
    assert_eq!(sent[0].get::<PromiseRequest>(), PromiseRequest { proposal: 1, position: None });

    solo.answer(&sent[0], &promised(1, 0));
    assert!(solo.closed.contains(&sent[0].from) && solo.closed.contains(&sent[1].from));
    let sent = solo.take_sent();
    assert_eq!(sent[0].get::<PromiseRequest>(), PromiseRequest { proposal: 2, position: Some(0) });

    solo.answer(&sent[1], &promised(2, 0));
    let sent = solo.take_sent();
    let request = WriteRequest {
        proposal: 2,
        position: 0,
        r#type: action::Type::Nop.into(),
        nop: Some(action::Nop::default()),
        ..WriteRequest::default()
    };
    assert_eq!(sent[0].get::<WriteRequest>(), request);

    solo.answer(&sent[0], &written(2, 0));
    let sent = solo.take_sent();
    assert_eq!(sent[0].from, "log-network(1)");
    assert_eq!(sent[0].get::<LearnedMessage>(), LearnedMessage { action: learned(nop(0, 2)) });
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Elected { begin: 0, end: 0 })));
}

#[test]
fn an_election_learns_what_a_quorum_has_and_continues_behind_it() {
    let mut solo = Solo::voting(0, &[learned(nop(0, 0))]);
    let ticket = solo.command(Command::Elect);
    let sent = solo.take_sent();
    solo.answer(&sent[0], &promised(1, 2));
    // Position 1 was written at proposals 3 and 5, and is perhaps chosen: the higher is written again.
    let sent = solo.take_sent();
    let request: PromiseRequest = sent[0].get();
    assert_eq!(request.position, Some(1));
    let response = PromiseResponse { position: None, ..promised(request.proposal, 0) };
    let found = PromiseResponse { action: Some(append(1, 3, b"older")), ..response.clone() };
    solo.answer(&sent[0], &found);
    let sent = solo.take_sent();
    let request: WriteRequest = sent[0].get();
    assert_eq!((request.position, request.append.clone().unwrap().bytes), (1, b"older".to_vec()));
    solo.answer(&sent[0], &written(request.proposal, 1));
    // Position 2 is learned somewhere: that is told to all, and needs no quorum.
    let sent = solo.take_sent();
    let asked = of::<PromiseRequest>(&sent);
    assert_eq!(asked[0].get::<PromiseRequest>().position, Some(2));
    let found = PromiseResponse { action: Some(learned(append(2, 1, b"b"))), ..response };
    solo.answer(asked[0], &found);
    let sent = solo.take_sent();
    let action: Action = of::<LearnedMessage>(&sent)[0].get::<LearnedMessage>().action;
    assert_eq!((action.position, action.append.unwrap().bytes), (2, b"b".to_vec()));
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Elected { begin: 0, end: 2 })));
}

#[test]
fn an_append_is_written_once_a_quorum_has_it_and_then_told_to_all() {
    let mut solo = elected();
    let ticket = solo.command(Command::Append(b"a".to_vec()));
    let sent = solo.take_sent();
    let request = WriteRequest {
        proposal: 1,
        position: 1,
        r#type: action::Type::Append.into(),
        append: Some(action::Append { bytes: b"a".to_vec(), cksum: None }),
        ..WriteRequest::default()
    };
    assert_eq!(sent[0].get::<WriteRequest>(), request);
    assert_eq!(solo.outcome(ticket), None);
    solo.answer(&sent[1], &written(1, 1));
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Written { position: 1 })));
    let sent = solo.take_sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].get::<LearnedMessage>().action, learned(append(1, 1, b"a")));
}

#[test]
fn an_append_waits_for_the_own_disk_too_where_that_makes_the_quorum() {
    let mut solo = elected();
    solo.disk_waits = true;
    let ticket = solo.command(Command::Append(b"a".to_vec()));
    let sent = solo.take_sent();
    solo.answer(&sent[0], &written(1, 1));
    assert_eq!(solo.outcome(ticket), None);
    solo.work();
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Written { position: 1 })));
}

#[test]
fn writes_are_done_one_after_another() {
    let mut solo = elected();
    let first = solo.command(Command::Append(b"a".to_vec()));
    let second = solo.command(Command::Append(b"b".to_vec()));
    let sent = solo.take_sent();
    assert_eq!(sent.len(), 2);
    solo.answer(&sent[0], &written(1, 1));
    assert_eq!(solo.outcome(first), Some(Ok(Answer::Written { position: 1 })));
    let sent = solo.take_sent();
    solo.answer(of::<WriteRequest>(&sent)[0], &written(1, 2));
    assert_eq!(solo.outcome(second), Some(Ok(Answer::Written { position: 2 })));
}

#[test]
fn a_lost_election_is_tried_again_above_the_winner_after_a_pause() {
    let mut solo = Solo::voting(0, &[]);
    solo.command(Command::Elect);
    let sent = solo.take_sent();
    solo.answer(&sent[0], &refused(8));
    assert!(solo.take_sent().is_empty());
    let waited = solo.fire(RETRY);
    assert!((Duration::from_millis(100)..Duration::from_millis(200)).contains(&waited), "{waited:?}");
    assert_eq!(solo.take_sent()[0].get::<PromiseRequest>().proposal, 9);
}

#[test]
fn replicas_that_may_not_vote_do_not_elect() {
    let mut solo = Solo::new(2, Status::Voting, 0, &[]);
    solo.members(&[1, 2, 3, 4, 5]);
    solo.command(Command::Elect);
    let ignored = PromiseResponse { r#type: Some(promise_response::Type::Ignored.into()), ..refused(1) };
    let sent = solo.take_sent();
    solo.answer(&sent[0], &ignored);
    assert!(!solo.timers.iter().any(|(timer, _)| *timer == RETRY));
    solo.answer(&sent[1], &ignored);
    assert!(!solo.log.is_elected());
    solo.fire(RETRY);
    assert_eq!(solo.take_sent()[0].get::<PromiseRequest>().proposal, 2);
}

#[test]
fn answers_of_before_types_count() {
    let mut solo = Solo::voting(0, &[learned(nop(0, 0))]);
    solo.command(Command::Elect);
    let sent = solo.take_sent();
    solo.answer(&sent[0], &PromiseResponse { r#type: None, ..promised(1, 0) });
    assert!(solo.log.is_elected());
    solo.command(Command::Append(b"a".to_vec()));
    let sent = solo.take_sent();
    solo.answer(&sent[0], &WriteResponse { okay: false, r#type: None, ..written(7, 1) });
    assert!(!solo.log.is_elected());
}

#[test]
fn a_writer_that_sees_a_higher_proposal_is_none_any_more() {
    let mut solo = elected();
    let first = solo.command(Command::Append(b"a".to_vec()));
    let second = solo.command(Command::Append(b"b".to_vec()));
    let sent = solo.take_sent();
    let rejected =
        WriteResponse { okay: false, r#type: Some(write_response::Type::Reject.into()), ..written(7, 1) };
    solo.answer(&sent[0], &rejected);
    assert_eq!(solo.outcome(first), Some(Err(Failure::Lost)));
    assert_eq!(solo.outcome(second), Some(Err(Failure::Lost)));
    let third = solo.command(Command::Append(b"c".to_vec()));
    assert_eq!(solo.outcome(third), Some(Err(Failure::NotLeading)));
    // Elected again, it learns what became of its write.
    solo.command(Command::Elect);
    assert_eq!(solo.take_sent()[0].get::<PromiseRequest>().proposal, 8);
}

#[test]
fn a_write_without_answers_is_asked_again_and_late_answers_do_not_count() {
    let mut solo = elected();
    solo.disk_waits = true;
    let ticket = solo.command(Command::Append(b"a".to_vec()));
    let first = solo.take_sent();
    assert_eq!(solo.fire(ROUND), ROUND_TIMEOUT);
    let again = solo.take_sent();
    assert_eq!(again[0].body, first[0].body);
    assert_ne!(again[0].from, first[0].from);
    solo.answer(&first[0], &written(1, 1));
    solo.answer(&first[1], &written(1, 1));
    assert_eq!(solo.outcome(ticket), None);
    solo.answer(&again[0], &written(1, 1));
    // The same answer twice is one.
    solo.answer(&again[0], &written(1, 1));
    assert_eq!(solo.outcome(ticket), None);
    solo.answer(&again[1], &written(1, 1));
    solo.work();
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Written { position: 1 })));
}

#[test]
fn an_election_without_answers_is_tried_again_with_a_higher_proposal() {
    let mut solo = Solo::voting(0, &[]);
    solo.command(Command::Elect);
    solo.take_sent();
    solo.fire(ROUND);
    assert_eq!(solo.take_sent()[0].get::<PromiseRequest>().proposal, 2);
}

#[test]
fn nothing_is_asked_before_there_is_a_quorum_and_who_comes_later_is_asked_too() {
    let mut solo = Solo::new(2, Status::Voting, 0, &[]);
    solo.command(Command::Elect);
    assert!(solo.take_sent().is_empty());
    solo.members(&[2]);
    assert_eq!(solo.only_sent().to, replica(2));
    solo.members(&[1, 2, 3]);
    assert_eq!(solo.only_sent().to, replica(3));
    // One that went and came back is asked again.
    solo.members(&[1, 3]);
    solo.members(&[1, 2, 3]);
    assert_eq!(solo.only_sent().to, replica(2));
    assert_eq!(solo.log.ensemble_size(), 3);
}

#[test]
fn answers_that_do_not_fit_the_question_do_not_count() {
    let mut solo = elected();
    solo.disk_waits = true;
    let ticket = solo.command(Command::Append(b"a".to_vec()));
    let sent = solo.take_sent();
    solo.answer(&sent[0], &written(1, 2));
    solo.answer(&sent[0], &written(2, 1));
    solo.answer(&sent[0], &promised(1, 1));
    solo.answer(&sent[1], &written(1, 1));
    assert_eq!(solo.outcome(ticket), None);
    solo.answer(&sent[0], &written(1, 1));
    solo.work();
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Written { position: 1 })));
}

#[test]
fn an_election_while_leading_asks_the_quorum_anew() {
    let mut solo = elected();
    let ticket = solo.command(Command::Elect);
    let sent = solo.take_sent();
    assert_eq!(sent[0].get::<PromiseRequest>().proposal, 2);
    solo.answer(&sent[0], &promised(2, 0));
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::Elected { begin: 0, end: 0 })));
}

#[test]
fn a_writer_that_finds_later_positions_than_its_own_was_overtaken() {
    let mut solo = Solo::voting(0, &[]);
    let ticket = solo.command(Command::Elect);
    let sent = solo.take_sent();
    solo.answer(&sent[0], &promised(1, 0));
    solo.take_sent();
    for action in [learned(append(1, 5, b"x")), learned(nop(0, 5))] {
        solo.tell(&LearnedMessage { action });
    }
    assert_eq!(solo.outcome(ticket), None);
    assert_eq!(
        of::<PromiseRequest>(&solo.take_sent())[0].get::<PromiseRequest>(),
        PromiseRequest { proposal: 2, position: None }
    );
}

#[test]
fn a_demoted_writer_lets_go_of_everything() {
    let mut solo = elected();
    let write = solo.command(Command::Append(b"a".to_vec()));
    let waiting = solo.command(Command::Append(b"b".to_vec()));
    let demote = solo.command(Command::Demote);
    assert_eq!(solo.outcome(write), Some(Err(Failure::Demoted)));
    assert_eq!(solo.outcome(waiting), Some(Err(Failure::Demoted)));
    assert_eq!(solo.outcome(demote), Some(Ok(Answer::Demoted)));
    assert!(solo.timers.is_empty());
    let again = solo.command(Command::Demote);
    assert_eq!(solo.outcome(again), Some(Ok(Answer::Demoted)));
    let elect = solo.command(Command::Elect);
    solo.command(Command::Demote);
    assert_eq!(solo.outcome(elect), Some(Err(Failure::Demoted)));
}

#[test]
fn commands_have_bounds() {
    let mut solo = elected();
    let large = solo.command(Command::Append(vec![0; MAX_ENTRY_BYTES + 1]));
    assert!(matches!(solo.outcome(large), Some(Err(Failure::TooLarge { .. }))));
    let beyond = solo.command(Command::Truncate { to: 2 });
    assert!(matches!(solo.outcome(beyond), Some(Err(Failure::Range { to: 2, .. }))));
    for _ in 0..=MAX_WAITING {
        solo.command(Command::Append(Vec::new()));
    }
    let one_more = solo.command(Command::Append(Vec::new()));
    assert_eq!(solo.outcome(one_more), Some(Err(Failure::Busy(MAX_WAITING))));
}

#[test]
fn a_broken_store_answers_what_waits_and_what_comes() {
    let mut solo = elected();
    solo.disk_waits = true;
    let write = solo.command(Command::Append(b"a".to_vec()));
    let read = solo.command(Command::CatchUp);
    solo.event(Event::Persisted { ticket: 99, outcome: Err("no space".to_string()) });
    let later = solo.command(Command::Ends);
    for ticket in [write, read, later] {
        assert_eq!(solo.outcome(ticket), Some(Err(Failure::Storage("no space".to_string()))));
    }
    assert!(solo.timers.is_empty());
}
