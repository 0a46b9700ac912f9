//! Logs of tasks and agents through the master: what agents are asked, and what their answers become.

use std::sync::Arc;

use http::{StatusCode, header};
use messor_master_core::{AgentView, View};
use messor_proto::mesos::agent::call::Type;
use messor_proto::mesos::agent::{Call, Response, response};
use messor_proto::mesos::{ContainerId, ContainerStatus, Flag, Task};
use messor_proto::{Version, Wire};
use messor_stdx::{Memo, Time};
use messor_types::{AgentId, Pid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::bench::{Bench, json, text, view};

/// An agent that answers each request by what it is given; tells the heads and the calls that came.
async fn agent(
    answers: Vec<(u16, Vec<u8>)>,
) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<(String, Call)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.expect("somebody connects");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a whole head"));
            }
            let head = String::from_utf8(head).expect("a head is text").to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let mut sent = vec![0; length.expect("a length").parse().expect("a number")];
            stream.read_exact(&mut sent).await.expect("a whole body");
            let call = Call::decode_checked_as(&sent, Version::V1).expect("a call");
            sender.send((head, call)).expect("the test listens");
            let head = format!(
                "HTTP/1.1 {status} X\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.expect("somebody reads");
            stream.write_all(&body).await.expect("somebody reads");
        }
    });
    (address, asked)
}

fn read(data: &[u8]) -> (u16, Vec<u8>) {
    let read_file = Some(response::ReadFile { size: 100, data: data.to_vec() });
    let answer = Response { r#type: Some(response::Type::ReadFile.into()), read_file, ..Response::default() };
    (200, answer.encode_as(Version::V1))
}

/// The view, with its agent at another address, and task t1 in a container of its own within that of its executor.
fn at(address: std::net::SocketAddr) -> View {
    let mut view = view(true);
    let mut agent = AgentView::clone(&view.agents[0]);
    agent.pid = Pid::new("slave(1)", address);
    view.agents = vec![Arc::new(Memo::new(agent))];
    let mut task = Task::clone(&view.frameworks[0].tasks[0]);
    let parent = Some(Box::new(ContainerId { value: "run".into(), parent: None }));
    let container_id = Some(ContainerId { value: "own".into(), parent });
    task.statuses[0].container_status = Some(ContainerStatus { container_id, ..ContainerStatus::default() });
    view.frameworks[0].tasks[0] = Arc::new(Memo::new(task));
    view
}

const OF_T1: &str = "/master/task/logs?framework_id=m-0000&task_id=t1";

fn path_of(call: &Call) -> &str {
    call.read_file.as_ref().map_or("", |read| read.path.as_str())
}

#[tokio::test]
async fn an_agent_is_asked_with_the_callers_identity() {
    let (address, mut asked) = agent(vec![read(b"a\xff")]).await;
    let bench = Bench::with(at(address));
    let headers = [("authorization", "Basic bWU6aXQ="), ("cookie", "secret")];
    let answer = bench.send("GET", &format!("{OF_T1}&offset=7&length=99999999"), &headers, b"").await;
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    let path = "/frameworks/m-0000/executors/e/runs/run/tasks/t1/stdout";
    let shown = serde_json::json!({"agent_id": "m-S0", "path": path, "size": 100, "offset": 7, "length": 2,
                                   "data": "a\u{fffd}"});
    assert_eq!(json(&answer), shown);
    let (head, call) = asked.recv().await.expect("it was asked");
    assert!(head.starts_with("post /slave(1)/api/v1 http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: basic bwu6axq=") && !head.contains("cookie"), "{head}");
    let wanted = call.read_file.expect("what is to be read");
    assert_eq!((wanted.path.as_str(), wanted.offset, wanted.length), (path, 7, Some(65_536)));
}

#[tokio::test]
async fn a_task_whose_container_nobody_told_is_in_the_latest_run() {
    let (address, mut asked) = agent(vec![read(b"x")]).await;
    let bench = Bench::with(at(address));
    let target = "/task/logs?framework_id=m-0000&task_id=t2&file=/a/b";
    assert_eq!(bench.get(target).await.status(), StatusCode::OK);
    let (_, call) = asked.recv().await.expect("it was asked");
    assert_eq!(path_of(&call), "/frameworks/m-0000/executors/e/runs/latest/a/b");
}

#[tokio::test]
async fn an_agent_of_apache_mesos_shows_earlier_runs_by_the_whole_path() {
    let flags = vec![Flag { name: "work_dir".into(), value: Some("/var/lib/mesos/".into()) }];
    let get_flags = Some(response::GetFlags { flags });
    let flags = Response { r#type: Some(response::Type::GetFlags.into()), get_flags, ..Response::default() };
    let flags = (200, flags.encode_as(Version::V1));
    let (address, mut asked) =
        agent(vec![(404, vec![]), flags.clone(), read(b"x"), (404, vec![]), flags, (404, vec![])]).await;
    let bench = Bench::with(at(address));
    let path = "/var/lib/mesos/slaves/m-S0/frameworks/m-0000/executors/e/runs/run/tasks/t1/stdout";
    assert_eq!(json(&bench.get(OF_T1).await)["path"], path);
    let missing = bench.get(OF_T1).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(text(&missing).contains("'t1'") && text(&missing).contains("m-S0"), "{}", text(&missing));
    let mut calls = Vec::new();
    for _ in 0..6 {
        calls.push(asked.recv().await.expect("it was asked").1);
    }
    assert_eq!((path_of(&calls[2]), calls[1].r#type()), (path, Type::GetFlags));
}

#[tokio::test]
async fn refusals_of_the_agent_are_passed_on() {
    let broken = (200, b"\xff".to_vec());
    let (address, _asked) =
        agent(vec![(401, b"who?".to_vec()), (403, b"not you".to_vec()), (500, b"oh".to_vec()), broken]).await;
    let bench = Bench::with(at(address));
    let unknown = bench.get(OF_T1).await;
    assert_eq!(
        (unknown.status(), &unknown.headers()[header::WWW_AUTHENTICATE]),
        (StatusCode::UNAUTHORIZED, &"Basic realm=\"r\"".parse().unwrap())
    );
    let forbidden = bench.get("/agent/log?agent_id=m-S0").await;
    assert_eq!(forbidden.status(), StatusCode::FORBIDDEN);
    assert!(text(&forbidden).contains("not you") && text(&forbidden).contains("m-S0"));
    for _ in 0..2 {
        assert_eq!(bench.get(OF_T1).await.status(), StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn agents_that_cannot_be_asked_are_named() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let reasons = |view: View| async move {
        let answer = Bench::with(view).get(OF_T1).await;
        assert!(text(&answer).contains("m-S0"), "{}", text(&answer));
        (answer.status().as_u16(), text(&answer))
    };
    let (status, words) = reasons(at(closed)).await;
    assert!(status == 503 && words.contains("connect"), "{status} {words}");
    let without = || {
        let mut view = at(closed);
        view.agents.clear();
        view
    };
    assert_eq!(reasons(without()).await.0, 404);
    let unreachable = vec![(AgentId::new("m-S0"), Time::default())];
    let (status, words) = reasons(View { unreachable_agents: unreachable, ..without() }).await;
    assert!(status == 503 && words.contains("unreachable"), "{status} {words}");
    let recovered = vec![Arc::clone(&view(true).agents[0].info)];
    let (status, words) = reasons(View { recovered_agents: recovered, ..without() }).await;
    assert!(status == 503 && words.contains("come back"), "{status} {words}");
    let standby = Bench::with(view(false)).get(OF_T1).await;
    assert_eq!(standby.headers()[header::LOCATION], format!("//host:5050{OF_T1}"));
}
