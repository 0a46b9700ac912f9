//! Reads and refusals.

use std::sync::Arc;

use http::StatusCode;
use messor_master_core::{Effect, Event, OperatorCall, Outcome};
use messor_proto::mesos::Task;
use messor_proto::mesos::master::{Call, Response, call, response};
use messor_proto::{Version, Wire};
use messor_stdx::Memo;

use crate::bench::{Bench, json, resources, text, view};

#[tokio::test]
async fn state_shows_agents_frameworks_and_tasks() {
    let bench = Bench::new();
    for path in ["/master/state", "/state", "/master/state.json"] {
        let state = json(&bench.get(path).await);
        assert_eq!(state["slaves"][0]["resources"]["ports"], "[1-3]");
        assert_eq!(state["slaves"][0]["used_resources"]["cpus"], 0.1);
        assert_eq!(state["frameworks"][0]["roles"][0], "r");
        assert_eq!(state["frameworks"][0]["tasks"][0]["name"], "t1/\"x\"");
        assert_eq!(state["activated_slaves"], 1.0);
        assert_eq!(state["orphan_tasks"], serde_json::json!([]));
        assert_eq!(state["unregistered_frameworks"], serde_json::json!([]));
        assert_eq!(state["flags"]["port"], "5050");
    }
    // U027: '/' stands as it is.
    assert!(text(&bench.get("/state").await).contains(r#""t1/\"x\"""#));
    let summary = json(&bench.get("/state-summary").await);
    assert_eq!(summary["slaves"][0]["TASK_RUNNING"], 3);
    assert_eq!(summary["frameworks"][0]["slave_ids"], serde_json::json!(["m-S0"]));
}

/// Whoever says no limit gets the hundred latest, as in 1.11.0.
#[tokio::test]
async fn a_hundred_tasks_are_shown_where_nobody_asks_for_more() {
    let mut crowded = view(true);
    let tasks = &mut crowded.frameworks[0].tasks;
    let first: Task = (**tasks[0]).clone();
    *tasks = (0..150_u32)
        .map(|number| {
            let mut task = first.clone();
            task.task_id.value = format!("t{number}");
            task.statuses[0].timestamp = Some(f64::from(number));
            Arc::new(Memo::new(task))
        })
        .collect();
    let bench = Bench::with(crowded);
    for (query, count, begin) in
        [("", 100, "t149"), ("?order=asc", 100, "t0"), ("?limit=-1", 150, "t149"), ("?offset=120", 30, "t29")]
    {
        let tasks = json(&bench.get(&format!("/tasks{query}")).await)["tasks"].clone();
        let tasks = tasks.as_array().expect("a list");
        assert_eq!((tasks.len(), tasks[0]["id"].as_str()), (count, Some(begin)), "{query}");
    }
}

#[tokio::test]
async fn reads_select_and_page() {
    let bench = Bench::new();
    let ids = |value: serde_json::Value| -> Vec<String> {
        let tasks = value["tasks"].as_array().expect("a list").clone();
        tasks.iter().map(|t| t["id"].as_str().unwrap_or_default().to_string()).collect()
    };
    assert_eq!(ids(json(&bench.get("/tasks").await)), ["t3", "t2", "t1"]);
    assert_eq!(ids(json(&bench.get("/tasks?order=asc&limit=1&offset=1").await)), ["t2"]);
    assert_eq!(ids(json(&bench.get("/tasks?task_id=t1").await)), ["t1"]);
    assert_eq!(ids(json(&bench.get("/tasks?framework_id=nope").await)), [""; 0]);
    // As 1.11.0 has it: -1 is all, and what cannot be read is as if it were not there.
    for all in ["limit=-1", "limit=x", "limit=1.5", "limit=99999999999999999999", "offset=x"] {
        assert_eq!(ids(json(&bench.get(&format!("/tasks?{all}")).await)), ["t3", "t2", "t1"], "{all}");
    }
    assert_eq!(ids(json(&bench.get("/tasks?offset=-1").await)), [""; 0]);
    assert_eq!(json(&bench.get("/slaves?slave_id=nope").await)["slaves"], serde_json::json!([]));
    let roles = json(&bench.get("/roles").await);
    let role =
        roles["roles"].as_array().expect("a list").iter().find(|r| r["name"] == "r").expect("the role");
    assert_eq!(role["frameworks"], serde_json::json!(["m-0000"]));
    assert_eq!(role["allocated"], serde_json::json!({"cpus": 0.1, "ports": 2.0}));
    let body = Call { r#type: Some(call::Type::GetFrameworks.into()), ..Call::default() };
    let headers = [("content-type", "application/x-protobuf"), ("accept", "application/json")];
    let answer = json(&bench.send("POST", "/api/v1", &headers, &body.encode_as(Version::V0)).await);
    assert_eq!(answer["get_frameworks"]["frameworks"][0]["offer_constraints"], serde_json::json!({}));
}

#[tokio::test]
async fn a_framework_that_ended_leaves_the_summary() {
    let mut view = view(true);
    view.completed_frameworks = std::mem::take(&mut view.frameworks);
    let summary = json(&Bench::with(view).get("/state-summary").await);
    assert_eq!(summary["slaves"][0]["framework_ids"], serde_json::json!([]));
    assert_eq!(summary["slaves"][0]["TASK_RUNNING"], 0);
}

#[tokio::test]
async fn refusals_have_their_codes_and_name_what_is_wrong() {
    let bench = Bench::new();
    for (method, path, status) in [
        ("GET", "/master/nope", 404),
        ("GET", "/master/observe", 404),
        ("GET", "/stats.json", 404),
        ("GET", "/master/api/v1", 405),
        ("GET", "/master/teardown", 405),
        ("DELETE", "/master/weights", 405),
        ("POST", "/master/quota", 400),
        ("PUT", "/master/quota", 405),
        ("POST", "/master/reserve", 400),
        ("POST", "/master/maintenance/schedule", 400),
        ("PUT", "/master/maintenance/schedule", 405),
        ("GET", "/master/machine/down", 405),
        ("POST", "/master/machine/down", 400),
        ("POST", "/machine/up", 400),
        ("POST", "/master/maintenance/status", 405),
        ("POST", "/registrar(1)/registry", 200),
        ("GET", "/master//state", 200),
        ("GET", "/master/%73tate", 404),
        ("GET", "//master/state", 404),
        ("PUT", "/master/weights", 400),
        ("GET", "/profiler/start", 400),
        ("GET", "/profiler/other", 404),
        ("GET", "/memory-profiler/state", 404),
        ("POST", "/master/teardown", 400),
        ("GET", "/files/browse", 400),
        ("GET", "/files/browse?path=/nope", 404),
        ("GET", "/metrics/snapshot?timeout=abc", 400),
        ("GET", "/logging/toggle?level=1", 400),
        ("GET", "/logging/toggle?level=-1&duration=1secs", 400),
        ("GET", "/version?jsonp=a(b)", 400),
    ] {
        let answer = bench.send(method, path, &[], b"").await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path}: {}", text(&answer));
    }
    assert_eq!(bench.get("/master/api/v1").await.headers()["allow"], "POST");
    let with = |headers: &'static [(&'static str, &'static str)], body: &'static str| {
        let bench = &bench;
        async move { bench.send("POST", "/master/api/v1", headers, body.as_bytes()).await }
    };
    assert_eq!(with(&[], "{}").await.status(), 400);
    assert_eq!(with(&[("content-type", "text/xml")], "<x/>").await.status(), 415);
    let not_acceptable =
        with(&[("content-type", "application/json"), ("accept", "text/xml")], r#"{"type":"GET_HEALTH"}"#);
    assert_eq!(not_acceptable.await.status(), 406);
    for (call, says) in [
        ("not json", "JSON"),
        ("{}", "type"),
        (r#"{"type":"NOPE"}"#, "type"),
        (r#"{"type":"GET_METRICS"}"#, "get_metrics"),
        (r#"{"type":"TEARDOWN","teardown":{}}"#, "framework_id"),
        (r#"{"type":"DRAIN_AGENT"}"#, "drain_agent"),
        (r#"{"type":"UPDATE_QUOTA"}"#, "update_quota"),
        (r#"{"type":"REACTIVATE_AGENT","reactivate_agent":{}}"#, "agent_id"),
        (r#"{"type":"START_MAINTENANCE"}"#, "start_maintenance"),
        (r#"{"type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{}}"#, "schedule"),
        (r#"{"type":"READ_FILE","read_file":{"path":"/x"}}"#, "offset"),
    ] {
        let answer = bench.call("/master/api/v1", call).await;
        assert_eq!(answer.status(), 400, "{call}");
        assert!(text(&answer).contains(says), "{call}: {}", text(&answer));
    }
}

#[tokio::test]
async fn the_v1_reads_answer_in_json_and_protobuf() {
    let bench = Bench::new();
    let agents = json(&bench.call("/master/api/v1", r#"{"type":"GET_AGENTS"}"#).await);
    assert_eq!(agents["get_agents"]["agents"][0]["agent_info"]["checkpoint"], true);
    assert_eq!(agents["get_agents"]["recovered_agents"], serde_json::json!([]));
    let tasks = json(&bench.call("/master/api/v1", r#"{"type":"GET_TASKS"}"#).await);
    assert_eq!(tasks["get_tasks"]["tasks"][0]["agent_id"]["value"], "m-S0");
    assert_eq!(tasks["get_tasks"]["completed_tasks"], serde_json::json!([]));
    let call = Call { r#type: Some(call::Type::GetState.into()), ..Call::default() };
    let headers = [("content-type", "application/x-protobuf"), ("accept", "application/x-protobuf")];
    let answer = bench.send("POST", "/master/api/v1", &headers, &call.encode_as(Version::V1)).await;
    assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
    let state =
        Response::decode_checked_as(answer.body().bytes().expect("a body"), Version::V1).expect("a Response");
    assert_eq!(state.r#type(), response::Type::GetState);
    assert_eq!(state.get_state.and_then(|s| s.get_tasks).map(|t| t.tasks.len()), Some(3));
}

#[tokio::test]
async fn a_master_that_does_not_lead_sends_readers_to_the_leader() {
    let bench = Bench::with(view(false));
    let answer = bench.get("/master/state").await;
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()["location"], "//host:5050/master/state");
    assert_eq!(bench.get("/redirect").await.headers()["location"], "//host:5050");
    assert_eq!(bench.get("/health").await.status(), 200);
    let alone = Bench::with(messor_master_core::View { leader: None, ..view(false) });
    assert_eq!(alone.get("/master/state").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// As 1.11.0: a master that does not lead sends everything of the v1 API to the one that does.
#[tokio::test]
async fn a_standby_redirects_calls_with_their_queries() {
    let bench = Bench::with(view(false));
    let answer = bench.get("/tasks?limit=1&order=asc").await;
    assert_eq!(answer.headers()["location"], "//host:5050/tasks?limit=1&order=asc");
    for call in ["GET_HEALTH", "GET_STATE", "GET_FLAGS"] {
        let answer = bench.call("/api/v1", &format!(r#"{{"type":"{call}"}}"#)).await;
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT, "{call}");
        assert_eq!(answer.headers()["location"], "//host:5050/api/v1");
    }
    // A leader that has no registry yet shows its state, and answers no call.
    let recovering = Bench::with(messor_master_core::View { recovered: false, ..view(true) });
    assert_eq!(recovering.get("/master/state").await.status(), StatusCode::OK);
    let answer = recovering.call("/api/v1", r#"{"type":"GET_STATE"}"#).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn changes_are_redirected_when_the_machine_says_so() {
    let mut bench = Bench::new();
    let site = std::sync::Arc::clone(&bench.site);
    let asked = tokio::spawn(async move {
        let bench = Bench { site, ..Bench::new() };
        let call = r#"{"type":"MARK_AGENT_GONE","mark_agent_gone":{"agent_id":{"value":"m-S7"}}}"#;
        bench.call("/api/v1", call).await
    });
    let Some(Event::Operator { reply, call: OperatorCall::MarkAgentGone { agent }, .. }) =
        bench.events.recv().await
    else {
        panic!("no operator call came");
    };
    assert_eq!(agent.as_str(), "m-S7");
    let leader = Some("other:5050".to_string());
    bench.site.carry_out(Effect::Reply { reply, outcome: Outcome::NotLeading { leader } });
    let answer = asked.await.expect("the request is answered");
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()["location"], "//other:5050/api/v1");
}

#[tokio::test]
async fn teardown_waits_for_the_machines_word() {
    let mut bench = Bench::new();
    let site = std::sync::Arc::clone(&bench.site);
    let asked = tokio::spawn(async move {
        let bench = Bench { site, ..Bench::new() };
        bench.send("POST", "/master/teardown", &[], b"frameworkId=m-0000").await
    });
    let Some(Event::Operator { reply, call: OperatorCall::Teardown { framework }, .. }) =
        bench.events.recv().await
    else {
        panic!("no operator call came");
    };
    assert_eq!(framework.as_str(), "m-0000");
    bench.site.carry_out(Effect::Reply { reply, outcome: Outcome::Invalid("no such framework".into()) });
    let answer = asked.await.expect("the request is answered");
    assert_eq!((answer.status(), text(&answer).as_str()), (StatusCode::BAD_REQUEST, "no such framework"));
}

#[tokio::test]
async fn sandboxes_are_browsed_read_and_downloaded() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("stdout"), "hello\n").expect("a file");
    bench.files.attach("/run", folder.path());
    let listing = json(&bench.get("/files/browse?path=/run").await);
    assert_eq!(listing[0]["path"], "/run/stdout");
    assert_eq!(listing[0]["size"], 6);
    assert_eq!(listing[0]["mode"].as_str().map(|m| m.starts_with("-rw")), Some(true));
    let read = json(&bench.get("/files/read?path=/run/stdout&offset=1&length=2").await);
    assert_eq!((read["data"].as_str(), read["offset"].as_i64()), (Some("el"), Some(1)));
    assert_eq!(json(&bench.get("/files/read.json?path=/run/stdout&offset=-1").await)["offset"], 6);
    let download = bench.get("/files/download?path=/run/stdout").await;
    // What comes is told in conformance: downloads.
    assert_eq!(download.status(), 200);
    assert_eq!(download.headers()["content-length"], "6");
    assert!(download.headers()["content-disposition"].to_str().is_ok_and(|v| v.contains("stdout")));
    let v1 =
        bench.call("/api/v1", r#"{"type":"READ_FILE","read_file":{"path":"/run/stdout","offset":0}}"#).await;
    assert_eq!(json(&v1)["read_file"]["data"], "aGVsbG8K");
}

/// What stands below a role counts in it, and the roles above those that are known are known too.
#[tokio::test]
async fn roles_count_what_is_below_them() {
    use messor_types::{Reservation, ReservationKind, Role};
    let mut view = view(true);
    let mut agent = (**view.agents[0]).clone();
    let reserve = |text: &str, role: &str| {
        let kind = ReservationKind::Dynamic;
        let reservation = Reservation { kind, role: Role::new(role), principal: None, labels: None };
        let free = resources(text);
        let reserved = free.iter().map(|resource| resource.clone().with_reservation(reservation.clone()));
        reserved.collect::<messor_types::Resources>()
    };
    agent.total += &reserve("cpus:2", "r/x");
    agent.total += &reserve("cpus:1", "r");
    view.agents = vec![Arc::new(Memo::new(agent))];
    view.frameworks[0].offered = resources("mem:64").allocated_to(&Role::new("r/x/y"));
    let bench = Bench::with(view.clone());
    let all = json(&bench.get("/roles").await)["roles"].as_array().expect("a list").clone();
    let names: Vec<_> = all.iter().map(|role| role["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["r", "r/x"]);
    assert_eq!(all[0]["reserved"], serde_json::json!({"cpus": 3.0}));
    assert_eq!(all[0]["offered"], serde_json::json!({"mem": 64.0}));
    assert_eq!(all[0]["quota"]["consumed"], serde_json::json!({"cpus": 3.1, "ports": 2.0}));
    assert_eq!(all[1]["reserved"], serde_json::json!({"cpus": 2.0}));
    let call = bench.call("/master/api/v1", r#"{"type":"GET_ROLES"}"#).await;
    let call = json(&call);
    assert_eq!(call["get_roles"]["roles"][1]["resources"][0]["scalar"]["value"], 64.0);

    // With --roles there are these and "*".
    view.allowed_roles = Some(["r/x", "other"].map(String::from).into());
    let all = json(&Bench::with(view).get("/roles").await)["roles"].clone();
    let names: Vec<_> = all.as_array().expect("a list").iter().map(|role| role["name"].clone()).collect();
    assert_eq!(names, ["*", "other", "r", "r/x"]);
}
