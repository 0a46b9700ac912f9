//! Documents that are long enough to be written by several threads and sent in pieces.

use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Body as _;
use messor_master_core::{AgentView, View};
use messor_proto::mesos::master::{Event, call, event, response};
use messor_proto::mesos::{Task, TaskState, master};
use messor_proto::{Version, Wire};
use messor_stdx::Memo;
use messor_types::{AgentId, FrameworkId};

use crate::bench::{Bench, json, view};
use messor_http_api::master::{binary, reads};

const RUNNING: usize = 20_000;
const COMPLETED: usize = 40 * 128 + 60;
const UNREACHABLE: usize = 7;

/// Two frameworks on three agents; some tasks are of an agent that is not there.
fn large() -> View {
    let mut large = view(true);
    let (agent, framework) = (AgentView::clone(&large.agents[0]), large.frameworks[0].clone());
    let first = Task::clone(&framework.tasks[0]);
    let task = |number: usize, of: usize, state: TaskState| {
        let mut task = first.clone();
        task.task_id.value = format!("f{of}-t{number}");
        task.agent_id.value = format!("m-S{}", number % 4);
        task.state = state.into();
        Arc::new(Memo::new(task))
    };
    large.agents = (0..3)
        .map(|number| {
            Arc::new(Memo::new(AgentView { id: AgentId::new(&format!("m-S{number}")), ..agent.clone() }))
        })
        .collect();
    large.frameworks = (0..2)
        .map(|of| {
            let mut own = framework.clone();
            let record = Arc::make_mut(&mut own.framework);
            record.id = FrameworkId::new(&format!("m-000{of}"));
            let list = |count, state| (0..count).map(|number| task(number, of, state)).collect::<Vec<_>>();
            own.tasks = list(RUNNING / (of + 1), TaskState::TaskRunning);
            own.unreachable_tasks = list(UNREACHABLE, TaskState::TaskUnreachable);
            own.completed_tasks = list(COMPLETED, TaskState::TaskFinished).into_iter().collect();
            own
        })
        .collect();
    large
}

/// The body, and how many pieces it came in.
async fn body(response: messor_net::Response) -> (Vec<u8>, usize) {
    assert_eq!(response.status(), 200);
    let (mut body, mut all, mut pieces) = (response.into_body(), Vec::new(), 0);
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        all.extend_from_slice(&frame.expect("it does not break off").into_data().expect("data"));
        pieces += 1;
    }
    (all, pieces)
}

#[tokio::test]
async fn what_comes_in_pieces_is_what_is_written_at_once() {
    let bench = Bench::with(large());
    for path in ["/state", "/state?jsonp=f"] {
        // Nothing is remembered the first time.
        for _ in 0..2 {
            let (in_pieces, pieces) = body(bench.get(path).await).await;
            let zipped = bench.send("GET", path, &[("accept-encoding", "gzip")], b"").await;
            assert_eq!(zipped.body().bytes().map(|whole| whole[..] == in_pieces), Some(true), "{path}");
            assert_eq!(pieces > 10, path == "/state", "{path}: {pieces}");
        }
    }
    // Without chunks it would look whole where it breaks off.
    assert!(bench.get_as_of_old("/state").await.body().bytes().is_some());
    let state: serde_json::Value =
        serde_json::from_slice(&body(bench.get("/state").await).await.0).expect("JSON");
    let count = |framework: usize, list: &str| state["frameworks"][framework][list].as_array().map(Vec::len);
    for of in [0, 1] {
        assert_eq!(count(of, "tasks"), Some(RUNNING / (of + 1)));
        assert_eq!(count(of, "unreachable_tasks"), Some(UNREACHABLE));
        assert_eq!(count(of, "completed_tasks"), Some(COMPLETED));
    }
    assert_eq!(state["frameworks"][1]["tasks"][9_999]["id"], "f1-t9999");
    let answer = bench.call("/api/v1", r#"{"type":"GET_STATE"}"#).await;
    let (in_pieces, pieces) = body(answer).await;
    let whole = reads::json_of(response::Type::GetState, &large(), None);
    assert!(whole.as_ref() == Some(&in_pieces) && pieces > 10, "{pieces}");
}

#[tokio::test]
async fn protobuf_is_that_of_the_messages() {
    let (bench, view) = (Bench::with(large()), large());
    let headers = [("content-type", "application/x-protobuf"), ("accept", "application/x-protobuf")];
    for (call, kind) in [
        (call::Type::GetState, response::Type::GetState),
        (call::Type::GetTasks, response::Type::GetTasks),
        (call::Type::GetAgents, response::Type::GetAgents),
    ] {
        let call = master::Call { r#type: Some(call.into()), ..Default::default() };
        let message = reads::message_of(kind, &view).expect("a read").encode_as(Version::V1);
        for _ in 0..2 {
            let answer = bench.send("POST", "/api/v1", &headers, &call.encode_as(Version::V1)).await;
            assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
            assert!(body(answer).await.0 == message, "{kind:?}");
        }
        assert!(binary::answer(kind, &view, None).as_ref() == Some(&message), "{kind:?}");
    }
    let subscribed = event::Subscribed {
        get_state: Some(reads::get_state(&view)),
        heartbeat_interval_seconds: Some(15.0),
    };
    let event = Event {
        r#type: Some(event::Type::Subscribed.into()),
        subscribed: Some(subscribed),
        ..Default::default()
    };
    assert!(binary::subscribed(&view, 15.0) == event.encode_as(Version::V1));
}

#[tokio::test]
async fn summaries_count_by_agent_and_by_framework() {
    let summary = json(&Bench::with(large()).get("/state-summary").await);
    let (agents, frameworks) = (&summary["slaves"], &summary["frameworks"]);
    for number in 0..3 {
        let agent = &agents[number];
        assert_eq!(agent["framework_ids"], serde_json::json!(["m-0000", "m-0001"]));
        assert_eq!(agent["TASK_RUNNING"], RUNNING / 4 + RUNNING / 8);
        assert_eq!(agent["TASK_FINISHED"], 2 * COMPLETED / 4);
        assert_eq!(agent["TASK_UNREACHABLE"], 4);
    }
    for of in [0, 1] {
        assert_eq!(frameworks[of]["slave_ids"], serde_json::json!(["m-S0", "m-S1", "m-S2", "m-S3"]));
        assert_eq!(frameworks[of]["TASK_RUNNING"], RUNNING / (of + 1));
        assert_eq!(frameworks[of]["TASK_UNREACHABLE"], UNREACHABLE);
    }
}
