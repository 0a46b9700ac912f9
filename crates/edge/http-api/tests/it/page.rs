//! Where the page is found, and reads of agents that pass through the master.

use std::sync::Arc;

use http::{StatusCode, header};
use messor_master_core::{AgentView, View};
use messor_stdx::Memo;
use messor_types::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::bench::{Bench, text, view};

/// The agent of the view, at another address.
fn at(address: std::net::SocketAddr) -> View {
    let mut view = view(true);
    let mut agent = AgentView::clone(&view.agents[0]);
    agent.pid = Pid::new("slave(1)", address);
    view.agents = vec![Arc::new(Memo::new(agent))];
    view
}

/// Answers one request with what is given; gives back the head that came.
async fn answer_once(listener: TcpListener, answer: &'static str) -> String {
    let (mut stream, _) = listener.accept().await.expect("somebody connects");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    stream.write_all(answer.as_bytes()).await.expect("somebody reads");
    String::from_utf8(head).expect("a head is text")
}

#[tokio::test]
async fn a_standby_sends_browsers_to_the_leader() {
    let standby = Bench::with(view(false));
    let answer = standby.get("/").await;
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()[header::LOCATION], "//host:5050/");
    let nobody = Bench::with(View { leader: None, ..view(false) });
    assert_eq!(nobody.get("/").await.status(), StatusCode::OK);
    assert_eq!(Bench::new().get("/").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_read_of_an_agent_passes_through_with_the_callers_identity() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let bench = Bench::with(at(listener.local_addr().expect("an address")));
    let served =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}";
    let asked = tokio::spawn(answer_once(listener, served));
    let headers = [("authorization", "Basic bWU6aXQ="), ("cookie", "secret"), ("accept-encoding", "gzip")];
    let target = "/master/agents/m-S0/files/read?path=%2Fa%20b&jsonp=evil&offset=0";
    let answer = bench.send("GET", target, &headers, b"").await;
    assert_eq!((answer.status(), text(&answer).as_str()), (StatusCode::OK, "{}"));
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], "default-src 'none'; sandbox");
    assert!(!answer.headers().contains_key(header::SET_COOKIE));
    let head = asked.await.expect("it was asked").to_lowercase();
    assert!(head.starts_with("get /files/read?path=%2fa%20b&offset=0 http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: basic bwu6axq=") && !head.contains("cookie"), "{head}");
    assert!(!head.contains("gzip"), "{head}");
}

#[tokio::test]
async fn state_of_an_agent_is_that_of_its_process() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let bench = Bench::with(at(listener.local_addr().expect("an address")));
    let served = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater";
    let asked = tokio::spawn(answer_once(listener, served));
    let answer = bench.get("/agents/m-S0/state").await;
    assert_eq!((answer.status(), text(&answer).as_str()), (StatusCode::SERVICE_UNAVAILABLE, "later"));
    let head = asked.await.expect("it was asked");
    assert!(head.starts_with("GET /slave(1)/state HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn only_reads_of_registered_agents_pass_through() {
    // Bound and not listened at any more: nobody answers there.
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let bench = Bench::with(at(closed));
    for (method, target, status) in [
        ("GET", "/master/agents/m-S0/api/v1", 404),
        ("GET", "/master/agents/m-S0/files/../state", 404),
        ("GET", "/master/agents/m-S0/", 404),
        ("GET", "/master/agents", 404),
        ("GET", "/master/agents/m-S9/state", 404),
        ("GET", "/master/agents/127.0.0.1:1/state", 404),
        ("POST", "/master/agents/m-S0/state", 405),
        ("GET", "/master/agents/m-S0/state", 502),
    ] {
        let answer = bench.send(method, target, &[], b"").await;
        assert_eq!(answer.status().as_u16(), status, "{method} {target}: {}", text(&answer));
    }
    let standby = Bench::with(view(false)).get("/master/agents/m-S0/state").await;
    assert_eq!(standby.headers()[header::LOCATION], "//host:5050/master/agents/m-S0/state");
}
