//! What the machines ask for, step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_election::{
    Acl, Config, Contender, ContenderOutcome, Detector, DetectorOutcome, Effect, Event, Format, Group,
    GroupOutcome, Leader, Machine, Reply, Request, RequestError, SessionEvent, Timer,
};
use messor_stdx::Time;

/// A machine, its time, and what it asked for last.
struct Bench<M: Machine> {
    machine: M,
    now: Time,
    effects: Vec<Effect<M::Outcome>>,
}

impl<M: Machine<Outcome: Clone>> Bench<M> {
    fn new(machine: M) -> Bench<M> {
        Bench { machine, now: Time::from_nanos(0), effects: Vec::new() }
    }

    fn give(&mut self, event: Event) -> Vec<Request> {
        self.effects.clear();
        self.machine.handle(self.now, event, &mut self.effects);
        self.requests()
    }

    fn requests(&self) -> Vec<Request> {
        let requests = self.effects.iter().filter_map(|effect| match effect {
            Effect::Request { request, .. } => Some(request.clone()),
            _ => None,
        });
        requests.collect()
    }

    /// Answers what was asked for last, of which there is one.
    fn answer(&mut self, outcome: Result<Reply, RequestError>) -> Vec<Request> {
        let tickets: Vec<u64> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Request { ticket, .. } => Some(*ticket),
                _ => None,
            })
            .collect();
        let [ticket] = tickets[..] else { panic!("one request: {:?}", self.requests()) };
        self.give(Event::Answer { ticket, outcome })
    }

    fn said(&self) -> Vec<M::Outcome> {
        let said = self.effects.iter().filter_map(|effect| match effect {
            Effect::Outcome(outcome) => Some(outcome.clone()),
            _ => None,
        });
        said.collect()
    }

    fn connect(&mut self, session: i64) -> Vec<Request> {
        self.give(Event::Session(SessionEvent::Connected { session, timeout: Duration::from_secs(10) }))
    }

    fn has_timer(&self, timer: Timer) -> Option<Time> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::SetTimer { timer: set, at } if *set == timer => Some(*at),
            _ => None,
        })
    }

    fn closes(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Close))
    }
}

fn config() -> Config {
    Config { path: "/a/mesos".to_string(), acl: Acl::CreatorAll, session_timeout: Duration::from_secs(10) }
}

fn children(names: &[&str]) -> Result<Reply, RequestError> {
    Ok(Reply::Children(names.iter().map(ToString::to_string).collect()))
}

fn data(text: &str, owner: i64) -> Result<Reply, RequestError> {
    Ok(Reply::Data { data: text.into(), owner })
}

fn look() -> Request {
    Request::Children { path: "/a/mesos".to_string() }
}

fn read(name: &str) -> Request {
    Request::Data { path: format!("/a/mesos/{name}") }
}

fn join() -> Request {
    Request::CreateMember {
        prefix: "/a/mesos/json.info_".to_string(),
        data: b"me".to_vec(),
        acl: Acl::CreatorAll,
    }
}

fn seconds(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

/// A contender whose create was asked for.
fn joining() -> Bench<Contender> {
    let mut bench = Bench::new(Contender::new(config(), b"me".to_vec()));
    bench.give(Event::Start);
    assert!(bench.effects.contains(&Effect::Connect));
    bench.connect(7);
    assert_eq!(bench.answer(Ok(Reply::Exists(true))), [join()]);
    bench
}

/// A contender that leads, as `json.info_0000000003`.
fn leading() -> Bench<Contender> {
    let mut bench = joining();
    assert_eq!(bench.answer(Ok(Reply::Created { path: "/a/mesos/json.info_0000000003".into() })), [look()]);
    bench.answer(children(&["log_replicas", "json.info_0000000003"]));
    assert_eq!(bench.said(), [ContenderOutcome::Elected]);
    bench.answer(data("me", 7));
    let leader = Leader { sequence: 3, format: Format::Json, data: b"me".to_vec() };
    assert_eq!(bench.said(), [ContenderOutcome::Leader(Some(leader))]);
    bench
}

#[test]
fn the_path_is_created_from_where_it_ends() {
    let mut bench = Bench::new(Contender::new(config(), b"me".to_vec()));
    bench.give(Event::Start);
    let exists = |path: &str| Request::Exists { path: path.to_string(), watch: false };
    let create = |path: &str| Request::Create { path: path.to_string(), acl: Acl::CreatorAll };
    assert_eq!(bench.connect(7), [exists("/a/mesos")]);
    assert_eq!(bench.answer(Ok(Reply::Exists(false))), [exists("/a")]);
    assert_eq!(bench.answer(Ok(Reply::Exists(false))), [create("/a")]);
    // Another master was quicker.
    assert_eq!(bench.answer(Err(RequestError::NodeExists)), [create("/a/mesos")]);
    assert_eq!(bench.answer(Ok(Reply::Created { path: "/a/mesos".into() })), [join()]);
}

#[test]
fn the_lease_ends_three_quarters_of_a_session_after_the_last_sign_of_life() {
    let mut bench = leading();
    assert_eq!(bench.machine.leads_until(), Some(Time::from_nanos(7_500_000_000)));
    bench.now = seconds(2);
    let sync = Request::Sync { path: "/a/mesos".to_string() };
    assert_eq!(bench.give(Event::Timer(Timer::Heartbeat)), [sync]);
    bench.now = seconds(3);
    bench.answer(Ok(Reply::Synced));
    // It counts from when the request was sent.
    assert_eq!(bench.has_timer(Timer::Lease), Some(Time::from_nanos(9_500_000_000)));
    bench.give(Event::Session(SessionEvent::Disconnected));
    assert_eq!(bench.said(), []);
    bench.now = seconds(10);
    bench.give(Event::Timer(Timer::Lease));
    assert!(matches!(bench.said()[..], [ContenderOutcome::LeadershipLost { .. }]));
    assert!(bench.closes());
    assert_eq!(bench.machine.leads_until(), None);
}

#[test]
fn an_answer_that_comes_too_late_prolongs_nothing() {
    let mut bench = leading();
    bench.now = seconds(2);
    bench.give(Event::Timer(Timer::Heartbeat));
    // The process was stopped; the answer lay there.
    bench.now = seconds(8);
    bench.answer(Ok(Reply::Synced));
    assert!(matches!(bench.said()[..], [ContenderOutcome::LeadershipLost { .. }]));
}

#[test]
fn a_leader_whose_znode_or_session_goes_stops() {
    let mut bench = leading();
    assert_eq!(bench.give(Event::Changed { path: "/a/mesos".into() }), [look()]);
    bench.answer(children(&["json.info_0000000004"]));
    assert!(
        matches!(&bench.said()[0], ContenderOutcome::LeadershipLost { reason } if reason.contains("znode"))
    );

    let mut bench = leading();
    bench.give(Event::Session(SessionEvent::Expired));
    assert!(
        matches!(&bench.said()[..], [ContenderOutcome::LeadershipLost { reason }] if reason.contains("expired"))
    );
}

#[test]
fn a_create_whose_answer_was_lost_is_found_again() {
    let mut bench = joining();
    bench.answer(Err(RequestError::ConnectionLoss));
    bench.give(Event::Session(SessionEvent::Disconnected));
    assert_eq!(bench.connect(7), [Request::Sync { path: "/a/mesos".to_string() }]);
    assert_eq!(bench.answer(Ok(Reply::Synced)), [look()]);
    let names = ["json.info_0000000001", "json.info_0000000002"];
    assert_eq!(bench.answer(children(&names)), names.map(read));
    let tickets = [5, 6];
    bench.give(Event::Answer { ticket: tickets[0], outcome: data("you", 5) });
    assert!(bench.requests().is_empty());
    bench.give(Event::Answer { ticket: tickets[1], outcome: data("me", 7) });
    // Nothing is created once more, and nothing is removed.
    assert!(bench.requests().is_empty(), "{:?}", bench.requests());
    assert_eq!(bench.give(Event::Changed { path: "/a/mesos".into() }), [look()]);
    bench.answer(children(&["json.info_0000000002"]));
    assert!(bench.said().contains(&ContenderOutcome::Elected));
}

#[test]
fn a_create_that_was_lost_on_its_way_is_asked_for_again() {
    let mut bench = joining();
    bench.answer(Err(RequestError::ConnectionLoss));
    bench.give(Event::Timer(Timer::Retry));
    assert_eq!(bench.answer(Ok(Reply::Synced)), [look()]);
    assert_eq!(bench.answer(children(&[])), [join()]);
}

#[test]
fn doubles_and_ghosts_of_this_run_are_removed() {
    let mut bench = leading();
    bench.give(Event::Changed { path: "/a/mesos".into() });
    let names =
        ["json.info_0000000003", "json.info_0000000004", "json.info_0000000005", "json.info_0000000006"];
    let tickets = match bench.answer(children(&names)).len() {
        3 => bench.effects.iter().filter_map(|effect| match effect {
            Effect::Request { ticket, .. } => Some(*ticket),
            _ => None,
        }),
        other => panic!("three are not known yet: {other}"),
    };
    let tickets: Vec<u64> = tickets.collect();
    let delete = |name: &str| Request::Delete { path: format!("/a/mesos/{name}") };
    // Of this session; of an earlier session of this run; of another master.
    assert_eq!(bench.give(Event::Answer { ticket: tickets[0], outcome: data("me", 7) }), [delete(names[1])]);
    assert_eq!(bench.give(Event::Answer { ticket: tickets[1], outcome: data("me", 6) }), [delete(names[2])]);
    assert_eq!(bench.give(Event::Answer { ticket: tickets[2], outcome: data("you", 5) }), []);
    assert_eq!(bench.machine.leads_until(), Some(Time::from_nanos(7_500_000_000)));
}

#[test]
fn a_detector_waits_for_a_path_that_is_not_there() {
    let mut bench = Bench::new(Detector::new(config()));
    bench.give(Event::Start);
    assert_eq!(bench.connect(7), [look()]);
    let exists = Request::Exists { path: "/a/mesos".to_string(), watch: true };
    assert_eq!(bench.answer(Err(RequestError::NoNode)), [exists]);
    assert_eq!(bench.answer(Ok(Reply::Exists(false))), []);
    assert_eq!(bench.give(Event::Changed { path: "/a/mesos".into() }), [look()]);
    let names = ["info_0000000012", "json.info_0000000011", "log_replicas", "other_0000000001"];
    assert_eq!(bench.answer(children(&names)), [read("json.info_0000000011")]);
    bench.answer(data("{}", 5));
    let leader = Leader { sequence: 11, format: Format::Json, data: b"{}".to_vec() };
    assert_eq!(bench.said(), [DetectorOutcome::Leader(Some(leader))]);
}

/// MESOS-9426: a read that failed for a moment was never tried again.
#[test]
fn detection_goes_on_after_each_failure() {
    let mut bench = Bench::new(Detector::new(config()));
    bench.give(Event::Start);
    bench.connect(7);
    bench.answer(Err(RequestError::Temporary("throttled".into())));
    assert!(bench.has_timer(Timer::Retry).is_some());
    assert_eq!(bench.give(Event::Timer(Timer::Retry)), [look()]);
    bench.answer(children(&["json.info_0000000001"]));
    bench.answer(Err(RequestError::ConnectionLoss));
    assert!(bench.has_timer(Timer::Retry).is_some());
    // The connection is there again before the pause is over.
    bench.give(Event::Session(SessionEvent::Disconnected));
    assert_eq!(bench.connect(7), [look(), read("json.info_0000000001")]);
    // And an answer that never comes is not waited for.
    bench.now = seconds(300);
    bench.give(Event::Timer(Timer::Look));
    assert!(bench.has_timer(Timer::Retry).is_some());
    assert_eq!(bench.give(Event::Timer(Timer::Retry)), [look(), read("json.info_0000000001")]);
}

#[test]
fn without_zookeeper_for_a_session_nobody_is_known_to_lead() {
    let mut bench = Bench::new(Detector::new(config()));
    bench.give(Event::Start);
    bench.connect(7);
    bench.answer(children(&["json.info_0000000001"]));
    bench.answer(data("{}", 5));
    bench.give(Event::Session(SessionEvent::Disconnected));
    assert_eq!(bench.said(), []);
    assert_eq!(bench.has_timer(Timer::Absence), Some(seconds(10)));
    bench.give(Event::Timer(Timer::Absence));
    assert_eq!(bench.said(), [DetectorOutcome::Leader(None)]);
}

#[test]
fn refusals_are_final_and_say_what_was_refused() {
    let mut bench = joining();
    bench.answer(Err(RequestError::Refused("not authorized".into())));
    let reason = "ZooKeeper refuses to create a znode below /a/mesos: not authorized".to_string();
    assert_eq!(bench.said(), [ContenderOutcome::Failed { reason }]);
    assert!(bench.closes());
    assert!(bench.connect(8).is_empty());

    let mut bench = Bench::new(Detector::new(config()));
    bench.give(Event::Start);
    bench.give(Event::Session(SessionEvent::AuthFailed));
    assert!(matches!(&bench.said()[..], [DetectorOutcome::Failed { .. }]));
}

#[test]
fn members_join_again_with_a_new_session() {
    let group = Config { path: "/a/mesos/log_replicas".to_string(), ..config() };
    let mut bench = Bench::new(Group::new(group, Some(b"log-replica(1)@1.2.3.4:5".to_vec())));
    bench.give(Event::Start);
    for session in [7, 8] {
        bench.connect(session);
        bench.answer(Ok(Reply::Exists(true)));
        assert!(
            matches!(&bench.requests()[..], [Request::CreateMember { prefix, .. }] if prefix == "/a/mesos/log_replicas/")
        );
        bench.answer(Ok(Reply::Created { path: "/a/mesos/log_replicas/0000000004".into() }));
        bench.answer(children(&["0000000004"]));
        bench.answer(data("log-replica(1)@1.2.3.4:5", session));
        let members = BTreeSet::from([b"log-replica(1)@1.2.3.4:5".to_vec()]);
        let said = if session == 7 { vec![GroupOutcome::Members(members)] } else { Vec::new() };
        assert_eq!(bench.said(), said, "what is known holds on");
        bench.give(Event::Session(SessionEvent::Expired));
        assert!(bench.effects.contains(&Effect::Connect));
    }
}

#[test]
fn who_withdraws_says_nothing_more() {
    let mut bench = leading();
    bench.give(Event::Withdraw);
    assert!(bench.closes() && bench.said().is_empty());
    assert_eq!(bench.machine.leads_until(), None);
    bench.give(Event::Session(SessionEvent::Expired));
    assert!(bench.effects.is_empty());
}
