//! /metrics, /health/live and /health/ready in front of a machine of the test's own.

use std::sync::Arc;

use messor_stdx::Time;

use crate::agent::{Fake, site_with};
use crate::bench::{Bench, Never, json, text, view};

/// `timeout` bounds the time that a snapshot takes: what has not come by then is left out.
#[tokio::test]
async fn a_snapshot_does_not_wait_for_longer_than_it_may() {
    let bench = Bench::measured(view(true), Arc::new(Never));
    let begun = std::time::Instant::now();
    let answer = bench.get("/metrics/snapshot?timeout=50ms").await;
    assert_eq!((answer.status().as_u16(), json(&answer)), (200, serde_json::json!({})));
    assert!(begun.elapsed() >= std::time::Duration::from_millis(50));
    let prompt = json(&Bench::new().get("/metrics/snapshot?timeout=50ms").await);
    assert_eq!(prompt["master/elected"], 1.0);
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let bench = Bench::new();
    let plain = bench.get("/metrics").await;
    assert_eq!(plain.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(plain.headers()["vary"], "Accept");
    let told = text(&plain);
    assert!(told.contains("# TYPE mesos_master_elected gauge\nmesos_master_elected 1\n"), "{told}");
    let build = "mesos_build_info{program=\"master\",version=\"1.11.0\",revision=\"abc\"} 1\n";
    assert!(told.contains(build), "{told}");
    // What the catalogue does not know.
    assert!(!told.contains("0.5"), "{told}");
    let open = bench.send("GET", "/metrics", &[("accept", "application/openmetrics-text")], b"").await;
    assert_eq!(open.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text(&open).ends_with("# EOF\n"));
    assert_eq!(bench.send("POST", "/metrics", &[], b"").await.status(), 405);
    assert_eq!(bench.get("/metrics.json").await.status(), 404);
}

#[tokio::test]
async fn a_master_is_ready_when_it_leads_or_knows_who_does() {
    let leading = |recovered: bool| {
        let mut view = view(true);
        view.recovered = recovered;
        view
    };
    let standby = |knows: bool| {
        let mut view = view(false);
        view.leader = view.leader.filter(|_| knows);
        view
    };
    for (view, status, reason) in [
        (leading(true), 200, None),
        (leading(false), 503, Some("it leads, and has not recovered its registry yet")),
        (standby(true), 200, None),
        (standby(false), 503, Some("no master is known to lead")),
    ] {
        let (leads, knows) = (view.elected_time.is_some(), view.leader.is_some());
        let bench = Bench::with(view);
        let answer = bench.get("/health/ready").await;
        let body = json(&answer);
        assert_eq!(answer.status(), status, "{body}");
        assert_eq!(body["ready"], status == 200);
        assert_eq!((body["reason"].as_str(), &body["leads"]), (reason, &serde_json::json!(leads)));
        assert_eq!(body["leader"].as_str(), knows.then_some("host:5050"));
        // It does its work all the same, and /health is as it ever was.
        assert_eq!(bench.get("/master/health/live").await.status(), 200);
        assert_eq!(bench.get("/health").await.status(), 200);
    }
}

#[tokio::test]
async fn an_agent_is_ready_when_it_is_registered() {
    let fake = Arc::new(Fake::default());
    for (recovering, registered, reason) in [
        (true, false, Some("it has not recovered yet what was there before")),
        (false, false, Some("no master has it registered")),
        (false, true, None),
    ] {
        let site = site_with(&fake, |view| {
            view.now = Time::ZERO;
            (view.recovering, view.registered) = (recovering, registered);
        });
        let request = |path: &str| {
            messor_http_api::Request::new(http::Method::GET, path, Default::default(), Default::default())
                .unwrap()
        };
        let answer = site.handle(request("/slave(1)/health/ready")).await;
        let body = json(&answer);
        assert_eq!(answer.status(), if reason.is_none() { 200 } else { 503 }, "{body}");
        assert_eq!((body["reason"].as_str(), &body["registered"]), (reason, &serde_json::json!(registered)));
        assert_eq!(site.handle(request("/health/live")).await.status(), 200);
    }
}
