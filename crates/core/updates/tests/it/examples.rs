use messor_proto::mesos::TaskState::{TaskDropped, TaskFinished, TaskRunning, TaskStarting};
use messor_proto::mesos::internal::status_update_record::Type;
use messor_stdx::{Duration, Time};
use messor_updates::{Action, MAX_PENDING, Refused, Streams};

use crate::{key, update, uuid};

const START: Time = Time::from_nanos(1_000_000_000_000);

fn running() -> Streams {
    let mut streams = Streams::new();
    streams.resume(START, &mut Vec::new());
    streams
}

/// What the actions are, in short, with the last byte of the update's uuid.
fn names(actions: &[Action]) -> Vec<String> {
    let number = |uuid: &Option<Vec<u8>>| uuid.as_ref().and_then(|uuid| uuid.last().copied()).unwrap_or(0);
    actions
        .iter()
        .map(|action| match action {
            Action::Persist { entry, record, .. } => format!("persist {entry} as {}", record.r#type),
            Action::Accepted { update, .. } => format!("accepted {}", number(&update.uuid)),
            Action::Forward { update, .. } => format!("forward {}", number(&update.uuid)),
            Action::Delivered { update, last, .. } => format!("delivered {} {last}", number(&update.uuid)),
            Action::SetTimer { at, .. } => format!("timer {}", at.since(START).as_secs()),
            Action::CancelTimer { .. } => "no timer".to_string(),
        })
        .collect()
}

#[test]
fn updates_go_out_one_by_one_until_the_terminal_one_is_acknowledged() {
    let mut streams = running();
    let mut actions = Vec::new();
    streams.update(START, key("t"), update("t", 1, TaskStarting), false, &mut actions).unwrap();
    streams.update(START, key("t"), update("t", 2, TaskRunning), false, &mut actions).unwrap();
    streams.update(START, key("t"), update("t", 3, TaskFinished), false, &mut actions).unwrap();
    assert_eq!(names(&actions), ["accepted 1", "forward 1", "timer 10", "accepted 2", "accepted 3"]);

    actions.clear();
    streams.acknowledge(START, &key("t"), &uuid(1), &mut actions).unwrap();
    assert_eq!(names(&actions), ["delivered 1 false", "forward 2", "timer 10"]);
    assert_eq!(
        streams.acknowledge(START, &key("t"), &uuid(1), &mut Vec::new()),
        Err(Refused::Unexpected),
        "a duplicate acknowledgement changes nothing"
    );

    actions.clear();
    streams.acknowledge(START, &key("t"), &uuid(2), &mut actions).unwrap();
    streams.acknowledge(START, &key("t"), &uuid(3), &mut actions).unwrap();
    assert_eq!(
        names(&actions),
        ["delivered 2 false", "forward 3", "timer 10", "delivered 3 true", "no timer"]
    );
    assert!(streams.is_empty());
    assert_eq!(streams.acknowledge(START, &key("t"), &uuid(3), &mut actions), Err(Refused::Unknown));
}

#[test]
fn an_update_is_sent_again_with_pauses_from_ten_seconds_to_ten_minutes() {
    let mut streams = running();
    let mut actions = Vec::new();
    streams.update(START, key("t"), update("t", 1, TaskRunning), false, &mut actions).unwrap();
    let mut now = START;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let Some(Action::SetTimer { at, .. }) = actions.last() else { panic!("no timer in {actions:?}") };
        let at = *at;
        pauses.push(at.since(now).as_secs());
        actions.clear();
        // A timer that comes early is no reason to send.
        streams.timer(at - Duration::from_nanos(1), &key("t"), &mut actions);
        assert_eq!(actions, []);
        now = at;
        streams.timer(now, &key("t"), &mut actions);
        assert_eq!(names(&actions)[0], "forward 1");
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
}

#[test]
fn a_checkpointed_update_is_on_disk_before_anybody_is_told() {
    let mut streams = running();
    let mut actions = Vec::new();
    streams.update(START, key("t"), update("t", 1, TaskRunning), true, &mut actions).unwrap();
    streams.update(START, key("t"), update("t", 1, TaskRunning), true, &mut actions).unwrap();
    streams.update(START, key("t"), update("t", 2, TaskFinished), true, &mut actions).unwrap();
    let update_type = i32::from(Type::Update);
    assert_eq!(
        names(&actions),
        [format!("persist 0 as {update_type}"), format!("persist 1 as {update_type}")]
    );
    assert_eq!(
        streams.acknowledge(START, &key("t"), &uuid(1), &mut Vec::new()),
        Err(Refused::Unknown),
        "nothing was sent yet"
    );

    // Writes that end out of order are told of in order.
    actions.clear();
    streams.persisted(START, &key("t"), 1, &mut actions);
    assert_eq!(actions, []);
    streams.persisted(START, &key("t"), 0, &mut actions);
    assert_eq!(names(&actions), ["accepted 1", "forward 1", "timer 10", "accepted 2"]);

    actions.clear();
    streams.acknowledge(START, &key("t"), &uuid(1), &mut actions).unwrap();
    assert_eq!(names(&actions), ["no timer".to_string(), format!("persist 2 as {}", i32::from(Type::Ack))]);
    assert_eq!(
        streams.acknowledge(START, &key("t"), &uuid(1), &mut Vec::new()),
        Err(Refused::Unexpected),
        "it is being written"
    );
    actions.clear();
    streams.persisted(START, &key("t"), 2, &mut actions);
    assert_eq!(names(&actions), ["delivered 1 false", "forward 2", "timer 10"]);
}

#[test]
fn nothing_goes_out_while_there_is_no_master() {
    let mut streams = Streams::new();
    let mut actions = Vec::new();
    streams.update(START, key("t"), update("t", 1, TaskRunning), false, &mut actions).unwrap();
    assert_eq!(names(&actions), ["accepted 1"], "streams start paused");

    actions.clear();
    streams.resume(START, &mut actions);
    assert_eq!(names(&actions), ["forward 1", "timer 10"]);

    actions.clear();
    streams.pause();
    streams.timer(START + Duration::from_secs(10), &key("t"), &mut actions);
    assert_eq!(actions, []);
    streams.acknowledge(START, &key("t"), &uuid(1), &mut actions).unwrap();
    streams.update(START, key("t"), update("t", 2, TaskRunning), false, &mut actions).unwrap();
    assert_eq!(names(&actions), ["delivered 1 false", "no timer", "accepted 2"]);

    actions.clear();
    streams.resume(START + Duration::from_secs(20), &mut actions);
    assert_eq!(names(&actions), ["forward 2", "timer 30"]);
}

#[test]
fn a_repeated_update_is_accepted_again_and_not_sent_again() {
    let mut streams = running();
    let mut actions = Vec::new();
    streams.update(START, key("t"), update("t", 1, TaskRunning), false, &mut actions).unwrap();
    actions.clear();
    streams.update(START, key("t"), update("t", 1, TaskRunning), false, &mut actions).unwrap();
    assert_eq!(names(&actions), ["accepted 1"]);
    streams.acknowledge(START, &key("t"), &uuid(1), &mut actions).unwrap();
    actions.clear();
    streams.update(START, key("t"), update("t", 1, TaskRunning), false, &mut actions).unwrap();
    assert_eq!(names(&actions), ["accepted 1"], "also after the framework has it");
}

#[test]
fn what_waits_behind_a_terminal_update_is_still_told() {
    for checkpoint in [false, true] {
        let mut streams = running();
        let mut actions = Vec::new();
        streams.update(START, key("t"), update("t", 1, TaskFinished), checkpoint, &mut actions).unwrap();
        streams.update(START, key("t"), update("t", 2, TaskDropped), checkpoint, &mut actions).unwrap();
        streams.update(START, key("t"), update("t", 3, TaskRunning), checkpoint, &mut actions).unwrap();
        for entry in 0..3 {
            streams.persisted(START, &key("t"), entry, &mut actions);
        }
        for (number, last) in [(1, false), (2, false), (3, true)] {
            actions.clear();
            streams.acknowledge(START, &key("t"), &uuid(number), &mut actions).unwrap();
            streams.persisted(START, &key("t"), number + 2, &mut actions);
            assert!(names(&actions).contains(&format!("delivered {number} {last}")), "{:?}", names(&actions));
        }
        assert!(!streams.contains(&key("t")));
    }
}

#[test]
fn streams_know_their_framework_and_their_updates() {
    let mut streams = running();
    assert!(!streams.wait_for(&key("t").framework));
    streams.update(START, key("t"), update("t", 1, TaskRunning), false, &mut Vec::new()).unwrap();
    assert!(streams.wait_for(&key("t").framework));
    assert!(!streams.wait_for(&"another".into()));
    assert!(streams.knows(&key("t"), &uuid(1)) && !streams.knows(&key("t"), &uuid(2)));
    streams.acknowledge(START, &key("t"), &uuid(1), &mut Vec::new()).unwrap();
    assert!(streams.knows(&key("t"), &uuid(1)), "also when it is acknowledged");
    assert!(!streams.wait_for(&key("t").framework));
}

#[test]
fn bad_updates_are_refused() {
    let mut streams = running();
    let mut actions = Vec::new();
    let mut bad = update("t", 1, TaskRunning);
    bad.uuid = None;
    assert_eq!(streams.update(START, key("t"), bad.clone(), false, &mut actions), Err(Refused::Uuid));
    bad.uuid = Some(vec![1, 2, 3]);
    assert_eq!(streams.update(START, key("t"), bad, false, &mut actions), Err(Refused::Uuid));
    assert_eq!(actions, []);

    streams.update(START, key("t"), update("t", 1, TaskRunning), false, &mut actions).unwrap();
    assert_eq!(
        streams.update(START, key("t"), update("t", 2, TaskRunning), true, &mut actions),
        Err(Refused::Checkpoint { expected: false, given: true })
    );
}

#[test]
fn a_full_stream_takes_a_terminal_update_and_nothing_else() {
    let mut streams = running();
    let mut actions = Vec::new();
    for number in 0..MAX_PENDING as u64 {
        streams.update(START, key("t"), update("t", number, TaskRunning), false, &mut actions).unwrap();
    }
    let one_more = update("t", 1 << 32, TaskRunning);
    assert_eq!(streams.update(START, key("t"), one_more, false, &mut actions), Err(Refused::Full));
    let end = update("t", 1 << 33, TaskFinished);
    assert_eq!(streams.update(START, key("t"), end, false, &mut actions), Ok(()));
}

#[test]
fn a_framework_that_is_gone_takes_its_streams_with_it() {
    let mut streams = running();
    let mut actions = Vec::new();
    streams.update(START, key("t"), update("t", 1, TaskRunning), true, &mut actions).unwrap();
    streams.update(START, key("u"), update("u", 2, TaskRunning), false, &mut actions).unwrap();
    actions.clear();
    streams.remove_framework(&key("t").framework, &mut actions);
    assert_eq!(names(&actions), ["no timer"]);
    assert!(streams.is_empty());
    actions.clear();
    streams.persisted(START, &key("t"), 0, &mut actions);
    streams.timer(START + Duration::from_secs(60), &key("u"), &mut actions);
    assert_eq!(actions, []);
}
