//! /health/live and /health/ready, and which origins may read what is answered.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use messor_testkit::{Answer, Cluster, Options, free_port, get, request, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn ask(address: SocketAddr, path: &str) -> (u16, Value) {
    let answer = get(address, path).expect("an answer");
    (answer.status, answer.json())
}

#[test]
fn a_leader_and_its_agent_are_ready_and_an_agent_alone_is_not() {
    let cluster = Cluster::start();
    let leader = format!("localhost:{}", cluster.master.port());
    for path in ["/health/ready", "/master/health/ready"] {
        let ready = json!({"ready": true, "leads": true, "recovered": true, "leader": leader});
        assert_eq!(ask(cluster.master, path), (200, ready));
    }
    // The agent was told an address.
    let leader = cluster.master.to_string();
    for path in ["/health/ready", "/slave(1)/health/ready"] {
        let ready = json!({"ready": true, "recovered": true, "registered": true, "leader": leader});
        assert_eq!(ask(cluster.agents[0], path), (200, ready));
    }
    for address in [cluster.master, cluster.agents[0]] {
        assert_eq!(ask(address, "/health/live"), (200, json!({"live": true})));
        let head = request(address, "HEAD", "/health/ready", &[], b"").expect("an answer");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(request(address, "POST", "/health/ready", &[], b"").expect("an answer").status, 405);
        // As it ever was.
        let health = get(address, "/health").expect("an answer");
        assert_eq!((health.status, health.body.len()), (200, 0));
    }

    let alone = Cluster::agent_under(&format!("127.0.0.1:{}", free_port()), &[]);
    assert_eq!(ask(alone.agents[0], "/health/live"), (200, json!({"live": true})));
    let (status, body) = wait_for("the agent to have recovered", PATIENCE, || {
        let answer = ask(alone.agents[0], "/health/ready");
        (answer.1["recovered"] == true).then_some(answer)
    });
    assert_eq!((status, &body["ready"], &body["registered"]), (503, &json!(false), &json!(false)));
    assert_eq!(body["reason"], "no master has it registered");
}

const ORIGIN: &str = "https://ops.example";

fn with_origin(address: SocketAddr, method: &str, path: &str, origin: &str) -> Answer {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let headers = if method == "OPTIONS" { &headers[..] } else { &headers[..1] };
    request(address, method, path, headers, b"").expect("an answer")
}

#[test]
fn only_listed_origins_may_read() {
    let flag = format!("--http_cors_allowed_origins={ORIGIN},http://localhost:3000");
    let options = Options { agents: 1, master_flags: vec![flag.clone()], agent_flags: vec![flag] };
    let cluster = Cluster::with(&options);
    for address in [cluster.master, cluster.agents[0]] {
        for path in ["/state", "/metrics", "/health/ready", "/nothing"] {
            let answer = with_origin(address, "GET", path, ORIGIN);
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(ORIGIN), "{path}");
            assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"), "{path}");
            assert!(
                answer
                    .headers
                    .iter()
                    .any(|(name, value)| name.eq_ignore_ascii_case("vary") && value == "Origin")
            );
        }
        let preflight = with_origin(address, "OPTIONS", "/api/v1", ORIGIN);
        assert_eq!((preflight.status, preflight.body.len()), (204, 0));
        assert_eq!(preflight.header("Access-Control-Allow-Origin"), Some(ORIGIN));
        assert!(
            preflight.header("Access-Control-Allow-Methods").is_some_and(|methods| methods.contains("POST"))
        );
        assert!(
            preflight
                .header("Access-Control-Allow-Headers")
                .is_some_and(|names| names.contains("Content-Type"))
        );

        let refused = with_origin(address, "OPTIONS", "/api/v1", "https://evil.example");
        assert_eq!((refused.status, refused.header("Access-Control-Allow-Origin")), (403, None));
        let read = with_origin(address, "GET", "/state", "https://evil.example");
        assert_eq!((read.status, read.header("Access-Control-Allow-Origin")), (200, None));
        assert!(read.header("Vary").is_some());
        // Without an origin it is no affair of browsers.
        let plain = request(address, "OPTIONS", "/state", &[], b"").expect("an answer");
        assert_eq!((plain.status, plain.header("Access-Control-Allow-Origin")), (200, None));
    }

    // A stream of events, too.
    let mut stream = TcpStream::connect(cluster.master).expect("the master listens");
    let body = r#"{"type":"SUBSCRIBE"}"#;
    write!(
        stream,
        "POST /api/v1 HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the call is sent");
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
    assert!(head[0].contains("200"), "{head:?}");
    assert!(head.contains(&format!("access-control-allow-origin: {ORIGIN}")), "{head:?}");
}

#[test]
fn without_the_flag_nobody_may_read_and_wrong_origins_are_refused() {
    let cluster = Cluster::start();
    for address in [cluster.master, cluster.agents[0]] {
        for method in ["GET", "OPTIONS"] {
            let answer = with_origin(address, method, "/state", ORIGIN);
            // 1.11.0 does not look at the method either.
            assert_eq!(answer.status, 200, "{method}");
            let marks = answer
                .headers
                .iter()
                .filter(|(name, _)| name.to_ascii_lowercase().starts_with("access-control"));
            assert_eq!(marks.count(), 0, "{method}");
        }
    }
    for wrong in ["ops.example", "https://ops.example/", "*,https://ops.example", "ftp://x", "null"] {
        let flag = format!("--http_cors_allowed_origins={wrong}");
        let (code, told) = cluster.run_master(&[flag], PATIENCE);
        assert_eq!(code, Some(1), "{wrong}: {told}");
        assert!(told.contains("http_cors_allowed_origins"), "{wrong}: {told}");
    }
}
