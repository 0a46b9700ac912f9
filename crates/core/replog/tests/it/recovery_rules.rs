//! How a replica comes to vote, and how a reader catches up, message by message.

use std::time::Duration;

use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{
    LearnedMessage, Metadata, PromiseRequest, PromiseResponse, RecoverRequest, RecoverResponse,
    promise_response,
};
use messor_replog::{Answer, Command, Failure, Level, ROUND_TIMEOUT, SETTLE, Timer, User, Write};

use crate::solo::{Sent, Solo, append, learned, nop, truncate};

const ROUND: Timer = Timer::Round(User::Recovery);
const RETRY: Timer = Timer::Retry(User::Recovery);

fn status(status: Status) -> RecoverResponse {
    RecoverResponse { status: status.into(), begin: None, end: None }
}

fn voting(begin: u64, end: u64) -> RecoverResponse {
    RecoverResponse { status: Status::Voting.into(), begin: Some(begin), end: Some(end) }
}

fn metadata(status: Status, promised: u64) -> Write {
    Write::Metadata(Metadata { status: status.into(), promised })
}

fn found(sent: &Sent, action: messor_proto::mesos::internal::log::Action) -> PromiseResponse {
    PromiseResponse {
        okay: true,
        r#type: Some(promise_response::Type::Accept.into()),
        proposal: sent.get::<PromiseRequest>().proposal,
        position: None,
        action: Some(action),
    }
}

fn refused(proposal: u64) -> PromiseResponse {
    let r#type = Some(promise_response::Type::Reject.into());
    PromiseResponse { okay: false, r#type, proposal, position: None, action: None }
}

/// The requests that were sent last.
fn requests(solo: &mut Solo) -> Vec<Sent> {
    solo.take_sent().into_iter().filter(|sent| !sent.is::<LearnedMessage>()).collect()
}

fn answer_all<M: messor_proto::Wire>(solo: &mut Solo, message: &M) -> Vec<Sent> {
    let sent = requests(solo);
    for sent in &sent {
        solo.answer(sent, message);
    }
    sent
}

#[test]
fn a_replica_that_lost_its_disk_waits_learns_and_takes_over_the_highest_promise() {
    let mut solo = Solo::new(2, Status::Empty, 0, &[]);
    solo.members(&[1, 2, 3]);
    assert!(answer_all(&mut solo, &voting(3, 5))[0].is::<RecoverRequest>());
    assert_eq!(solo.written, [metadata(Status::Recovering, 0)]);
    // What it said before may still count somewhere, so it does not look yet.
    assert!(solo.take_sent().is_empty());
    assert_eq!(solo.fire(RETRY), SETTLE);
    answer_all(&mut solo, &voting(4, 6));
    let entries = [learned(truncate(4, 2, 4)), learned(append(5, 2, b"e")), learned(append(6, 2, b"f"))];
    for action in entries {
        if action.position == 6 {
            // A writer may just be at the last position: it gets time.
            let waited = solo.fire(RETRY);
            assert!((Duration::from_millis(500)..Duration::from_secs(1)).contains(&waited));
        }
        let sent = requests(&mut solo);
        let request: PromiseRequest = sent[0].get();
        assert_eq!(request.position, Some(action.position));
        solo.answer(&sent[0], &found(&sent[0], action));
    }
    assert_eq!(solo.log.ends(), (4, 6));
    assert!(!solo.log.recovered());
    let sent = requests(&mut solo);
    assert_eq!(sent[0].get::<PromiseRequest>(), PromiseRequest { proposal: 0, position: None });
    solo.answer(&sent[0], &refused(3));
    solo.answer(&sent[1], &refused(9));
    assert_eq!(solo.written.last(), Some(&metadata(Status::Voting, 9)));
    assert!(solo.log.recovered());
    assert_eq!(solo.log.promised(), 9);
}

#[test]
fn an_interrupted_recovery_begins_again() {
    let mut solo = Solo::new(2, Status::Recovering, 0, &[learned(nop(0, 1))]);
    solo.members(&[1, 2, 3]);
    answer_all(&mut solo, &voting(0, 0));
    assert_eq!(solo.fire(RETRY), SETTLE);
    answer_all(&mut solo, &voting(0, 0));
    answer_all(&mut solo, &refused(2));
    assert_eq!(solo.written, [metadata(Status::Voting, 2)]);
}

#[test]
fn a_replica_that_never_voted_does_not_wait() {
    let mut solo = Solo::new(2, Status::Starting, 0, &[]);
    solo.members(&[1, 2, 3]);
    answer_all(&mut solo, &voting(0, 0));
    // The last position gets some time in any case.
    solo.fire(RETRY);
    let sent = requests(&mut solo);
    solo.answer(&sent[0], &found(&sent[0], learned(nop(0, 1))));
    answer_all(&mut solo, &refused(1));
    assert!(solo.log.recovered());
}

#[test]
fn all_that_are_empty_make_a_new_log_in_two_phases() {
    let mut solo = Solo::new(2, Status::Empty, 0, &[]);
    solo.members(&[1, 2, 3]);
    let sent = requests(&mut solo);
    solo.answer(&sent[0], &status(Status::Empty));
    assert!(solo.written.is_empty());
    solo.answer(&sent[1], &status(Status::Starting));
    assert_eq!(solo.written, [metadata(Status::Starting, 0)]);
    // Not while one is still empty.
    let sent = requests(&mut solo);
    solo.answer(&sent[0], &status(Status::Empty));
    solo.answer(&sent[1], &status(Status::Starting));
    assert_eq!(solo.log.status(), Status::Starting);
    let waited = solo.fire(RETRY);
    assert!((Duration::from_millis(500)..Duration::from_secs(1)).contains(&waited));
    let sent = requests(&mut solo);
    solo.answer(&sent[0], &status(Status::Starting));
    solo.answer(&sent[1], &voting(0, 0));
    assert_eq!(solo.written, [metadata(Status::Starting, 0), metadata(Status::Voting, 0)]);
    assert!(solo.log.recovered());
}

#[test]
fn without_auto_initialization_somebody_has_to_initialize() {
    let mut solo = Solo::with(2, false, Status::Empty, 0, &[]);
    solo.members(&[1, 2, 3]);
    answer_all(&mut solo, &status(Status::Empty));
    assert!(solo.written.is_empty());
    let (level, line) = solo.lines.last().unwrap();
    assert!(*level == Level::Warning && line.contains("mesos-log initialize"), "{line}");
    solo.fire(RETRY);
    assert_eq!(requests(&mut solo).len(), 2);
}

#[test]
fn an_empty_replica_with_too_few_that_vote_stays_empty() {
    let mut solo = Solo::new(2, Status::Empty, 0, &[]);
    solo.members(&[1, 2, 3]);
    let sent = requests(&mut solo);
    solo.answer(&sent[0], &voting(0, 4));
    solo.answer(&sent[1], &status(Status::Empty));
    assert!(solo.written.is_empty());
    solo.fire(RETRY);
    // No answer at all: it is asked again at once when the time is over.
    assert_eq!(requests(&mut solo).len(), 2);
    assert_eq!(solo.fire(ROUND), ROUND_TIMEOUT);
    assert_eq!(requests(&mut solo).len(), 2);
}

#[test]
fn commands_wait_until_the_replica_votes() {
    let mut solo = Solo::new(1, Status::Empty, 0, &[]);
    assert!(solo.log.recovered());
    let mut waiting = Solo::new(2, Status::Empty, 0, &[]);
    let ends = waiting.command(Command::Ends);
    let append = waiting.command(Command::Append(b"a".to_vec()));
    assert_eq!(waiting.outcome(ends), None);
    assert_eq!(waiting.outcome(append), Some(Err(Failure::NotLeading)));
    waiting.members(&[1, 2, 3]);
    answer_all(&mut waiting, &status(Status::Starting));
    answer_all(&mut waiting, &status(Status::Starting));
    assert_eq!(waiting.outcome(ends), Some(Ok(Answer::Ends { begin: 0, end: 0 })));
    let ends = solo.command(Command::Ends);
    assert_eq!(solo.outcome(ends), Some(Ok(Answer::Ends { begin: 0, end: 0 })));
}

/// U039
#[test]
fn a_reader_catches_up_from_its_own_beginning_and_leaves_the_last_position_to_the_writer() {
    let mut solo = Solo::voting(4, &[learned(nop(0, 1)), append(1, 1, b"old")]);
    let ticket = solo.command(Command::CatchUp);
    let sent = requests(&mut solo);
    assert!(sent[0].is::<RecoverRequest>());
    solo.answer(&sent[0], &voting(3, 5));
    // Position 1 was truncated meanwhile, as the others know.
    let sent = requests(&mut solo);
    let request: PromiseRequest = sent[0].get();
    assert_eq!((request.position, request.proposal), (Some(1), 5));
    let mut tombstone = learned(nop(1, 4));
    tombstone.nop.as_mut().unwrap().tombstone = Some(true);
    solo.answer(&sent[0], &found(&sent[0], tombstone));
    assert_eq!(solo.log.ends().0, 2);
    for action in [learned(append(2, 3, b"c")), learned(append(3, 3, b"d")), learned(truncate(4, 3, 3))] {
        let sent = requests(&mut solo);
        assert_eq!(sent[0].get::<PromiseRequest>().position, Some(action.position));
        solo.answer(&sent[0], &found(&sent[0], action));
    }
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::CaughtUp { end: 4 })));
    assert_eq!(solo.log.ends(), (3, 4));
    assert!(requests(&mut solo).is_empty());
    let read = solo.command(Command::Read { from: 3, to: 4 });
    assert!(
        matches!(solo.outcome(read), Some(Ok(Answer::Entries { entries, .. })) if entries[0].bytes == b"d")
    );
    let truncated = solo.command(Command::Read { from: 2, to: 4 });
    assert!(matches!(solo.outcome(truncated), Some(Err(Failure::Range { .. }))));
}

/// U039
#[test]
fn a_position_that_somebody_else_teaches_meanwhile_is_not_asked_further() {
    let mut solo = Solo::voting(4, &[learned(nop(0, 1))]);
    let ticket = solo.command(Command::CatchUp);
    let sent = requests(&mut solo);
    solo.answer(&sent[0], &voting(0, 2));
    let asked = requests(&mut solo);
    solo.tell(&LearnedMessage { action: learned(append(1, 4, b"a")) });
    assert_eq!(solo.outcome(ticket), Some(Ok(Answer::CaughtUp { end: 1 })));
    assert!(solo.closed.contains(&asked[0].from));
}

#[test]
fn a_catch_up_needs_a_quorum_and_more_than_one_position() {
    let mut solo = Solo::voting(0, &[learned(nop(0, 1))]);
    let ticket = solo.command(Command::CatchUp);
    answer_all(&mut solo, &status(Status::Recovering));
    assert!(matches!(solo.outcome(ticket), Some(Err(Failure::CatchUp(_)))));
    let ticket = solo.command(Command::CatchUp);
    let sent = requests(&mut solo);
    solo.answer(&sent[0], &voting(0, 0));
    assert!(matches!(solo.outcome(ticket), Some(Err(Failure::CatchUp(_)))));
}

#[test]
fn what_is_not_learned_is_not_read() {
    let actions =
        [learned(nop(0, 1)), learned(append(1, 1, b"a")), append(2, 1, b"b"), learned(append(4, 1, b"d"))];
    let mut solo = Solo::voting(4, &actions);
    for (from, to) in [(0, 2), (3, 3), (2, 4), (5, 5), (1, 0)] {
        let ticket = solo.command(Command::Read { from, to });
        let outcome = solo.outcome(ticket);
        assert!(matches!(outcome, Some(Err(Failure::Range { .. }))), "{from} to {to}: {outcome:?}");
    }
}

#[test]
fn a_long_read_says_where_it_goes_on() {
    let actions: Vec<_> = (0..50).map(|position| learned(append(position, 1, b"a"))).collect();
    let mut solo = Solo::voting(4, &actions);
    let (mut from, mut all) = (0, Vec::new());
    loop {
        let ticket = solo.command(Command::Read { from, to: 49 });
        let Some(Ok(Answer::Entries { entries, next })) = solo.outcome(ticket) else { panic!() };
        assert!(!entries.is_empty());
        all.extend(entries.iter().map(|entry| entry.position));
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(all, (0..50).collect::<Vec<_>>());
}
