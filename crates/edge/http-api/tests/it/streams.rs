//! Streams: opened by the machine's word, named by Mesos-Stream-Id, cut off when nobody reads.

use std::sync::Arc;

use messor_master_core::{Effect, Event, Outcome};
use messor_proto::mesos::scheduler;

use crate::bench::{Bench, text, view};

const SUBSCRIBE: &str = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;

/// Sends a request beside the test, which plays the machine.
fn beside(
    bench: &Bench,
    body: &'static str,
    headers: Vec<(&'static str, String)>,
) -> tokio::task::JoinHandle<messor_net::Response> {
    let site = Arc::clone(&bench.site);
    tokio::spawn(async move {
        let bench = Bench { site, ..Bench::new() };
        let mut all = vec![("content-type", "application/json"), ("accept", "application/json")];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        bench.send("POST", "/api/v1/scheduler", &all, body.as_bytes()).await
    })
}

#[tokio::test]
async fn a_scheduler_subscribes_and_calls_by_its_stream() {
    let mut bench = Bench::new();
    let asked = beside(&bench, SUBSCRIBE, Vec::new());
    let Some(Event::Subscribe { stream, reply, .. }) = bench.events.recv().await else {
        panic!("no SUBSCRIBE came")
    };
    bench.site.carry_out(Effect::StreamOpened { stream, reply });
    let event =
        scheduler::Event { r#type: Some(scheduler::event::Type::Heartbeat.into()), ..Default::default() };
    bench.site.carry_out(Effect::Stream { stream, event: Arc::new(event) });
    let answer = asked.await.expect("the request is answered");
    assert_eq!(answer.status(), 200);
    let name = answer.headers()["mesos-stream-id"].to_str().expect("text").to_string();

    let revive = r#"{"type":"REVIVE","framework_id":{"value":"f"}}"#;
    let called = beside(&bench, revive, vec![("mesos-stream-id", name)]);
    let Some(Event::SchedulerCall { reply, stream: named, .. }) = bench.events.recv().await else {
        panic!("no call came")
    };
    assert_eq!(named, Some(stream));
    bench.site.carry_out(Effect::Reply { reply, outcome: Outcome::Accepted });
    assert_eq!(called.await.expect("an answer").status(), 202);

    let stranger = beside(&bench, revive, vec![("mesos-stream-id", "guess".into())]);
    let Some(Event::SchedulerCall { reply, stream: None, .. }) = bench.events.recv().await else {
        panic!("an unknown stream must come as none")
    };
    bench.site.carry_out(Effect::Reply { reply, outcome: Outcome::Forbidden("no".into()) });
    assert_eq!(stranger.await.expect("an answer").status(), 403);

    // The reader goes away: the machine is told.
    drop(answer);
    assert!(
        matches!(bench.events.recv().await, Some(Event::StreamClosed { stream: closed }) if closed == stream)
    );
}

#[tokio::test]
async fn a_refused_subscription_opens_nothing() {
    let mut bench = Bench::new();
    let with_id = beside(&bench, SUBSCRIBE, vec![("mesos-stream-id", "x".into())]);
    assert_eq!(with_id.await.expect("an answer").status(), 400);
    let asked = beside(&bench, SUBSCRIBE, Vec::new());
    let Some(Event::Subscribe { reply, .. }) = bench.events.recv().await else { panic!("no SUBSCRIBE came") };
    bench.site.carry_out(Effect::Reply { reply, outcome: Outcome::Unavailable("not ready".into()) });
    let answer = asked.await.expect("an answer");
    assert_eq!((answer.status().as_u16(), text(&answer).as_str()), (503, "not ready"));
}

#[tokio::test]
async fn a_scheduler_that_does_not_read_is_cut_off() {
    let mut bench = Bench::new();
    let asked = beside(&bench, SUBSCRIBE, Vec::new());
    let Some(Event::Subscribe { stream, reply, .. }) = bench.events.recv().await else {
        panic!("no SUBSCRIBE came")
    };
    bench.site.carry_out(Effect::StreamOpened { stream, reply });
    let unread = asked.await.expect("an answer");
    let message = scheduler::event::Message { data: vec![0; 1 << 20], ..Default::default() };
    let event = Arc::new(scheduler::Event {
        r#type: Some(scheduler::event::Type::Message.into()),
        message: Some(message),
        ..Default::default()
    });
    for _ in 0..100 {
        bench.site.carry_out(Effect::Stream { stream, event: Arc::clone(&event) });
    }
    assert!(
        matches!(bench.events.recv().await, Some(Event::StreamClosed { stream: closed }) if closed == stream)
    );
    drop(unread);
}

#[tokio::test]
async fn operators_get_the_state_first() {
    let mut bench = Bench::new();
    let site = Arc::clone(&bench.site);
    let asked = tokio::spawn(async move {
        let bench = Bench { site, ..Bench::new() };
        bench.call("/api/v1", r#"{"type":"SUBSCRIBE"}"#).await
    });
    let Some(Event::OperatorSubscribe { stream, reply, .. }) = bench.events.recv().await else {
        panic!("no SUBSCRIBE came")
    };
    bench.site.carry_out(Effect::OperatorStreamOpened { stream, reply, view: Arc::new(view(true)) });
    let answer = asked.await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("mesos-stream-id").is_none());
}
