//! A master given garbage keeps serving and answers 4xx.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use messor_testkit::{Cluster, Options, get};

fn alone() -> Cluster {
    Cluster::with(&Options { agents: 0, ..Options::default() })
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the master listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout is set");
    stream
}

/// Writes what it can (the master may close early) and gives the first line of what came back.
fn first_line(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = open(address);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.contains(&b'\n') {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(n) => answer.extend_from_slice(&piece[..n]),
        }
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_string()
}

fn assert_serves(cluster: &Cluster) {
    assert_eq!(get(cluster.master, "/health").expect("the master answers").status, 200);
}

fn assert_refused(line: &str) {
    assert!(line.starts_with("HTTP/1.1 4"), "{line:?}");
}

#[test]
fn garbage_on_the_port() {
    let cluster = alone();
    assert_refused(&first_line(cluster.master, b"\x00\x01\x02\xff\xfe garbage\r\n\r\n"));
    assert_refused(&first_line(cluster.master, b"GET\r\n\r\n"));
    assert_refused(&first_line(
        cluster.master,
        b"POST /master/api/v1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ));
    assert_serves(&cluster);
}

#[test]
fn a_hundred_thousand_headers() {
    let cluster = alone();
    let mut request = b"GET /health HTTP/1.1\r\n".to_vec();
    for number in 0..100_000 {
        request.extend_from_slice(format!("X-{number}: y\r\n").as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    assert_refused(&first_line(cluster.master, &request));
    assert_serves(&cluster);
}

#[test]
fn a_body_of_a_gigabyte() {
    let cluster = alone();
    for path in ["/master/api/v1", "/master/api/v1/scheduler", "/master/mesos.internal.RegisterSlaveMessage"]
    {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nLibprocess-From: slave(1)@127.0.0.1:9\r\n\
             Content-Length: 1073741824\r\n\r\n"
        );
        let mut stream = open(cluster.master);
        stream.write_all(head.as_bytes()).expect("a head is written");
        // Send until the master has had enough; it must not take all of it.
        let piece = vec![b'x'; 1 << 20];
        let mut sent = 0;
        while sent < 1024 && stream.write_all(&piece).is_ok() {
            sent += 1;
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(sent < 1024, "{path}: the master took the whole gigabyte");
        // The connection may be reset before the answer is read; when there is one it is a 4xx.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert_serves(&cluster);
    }
}

#[test]
fn half_open_connections_and_slow_senders() {
    let cluster = alone();
    let silent: Vec<TcpStream> = (0..200).map(|_| open(cluster.master)).collect();
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = open(cluster.master);
            stream
                .write_all(b"POST /master/api/v1 HTTP/1.1\r\nContent-Length: 100\r\nContent-")
                .expect("a part is written");
            stream
        })
        .collect();
    assert_serves(&cluster);
    drop((silent, slow));
    assert_serves(&cluster);
}

#[test]
fn malformed_messages_of_a_stranger() {
    let cluster = alone();
    let message = |name: &str, body: &[u8]| {
        let mut bytes = format!(
            "POST /master/{name} HTTP/1.1\r\nLibprocess-From: slave(1)@127.0.0.1:9\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        first_line(cluster.master, &bytes)
    };
    for name in [
        "mesos.internal.RegisterSlaveMessage",
        "mesos.scheduler.Call",
        "mesos.internal.StatusUpdateMessage",
        "nonsense",
    ] {
        for body in [&b""[..], &b"\xff\xff\xff\xff"[..], &b"\x0a\xff\xff\xff\xff\x0f"[..]] {
            // libprocess answers 202 to any message for a process that is there: what is wrong in it is logged and dropped.
            assert!(message(name, body).starts_with("HTTP/1.1 "), "{name}");
        }
    }
    assert_serves(&cluster);
    let state = get(cluster.master, "/state").expect("the master answers").json();
    assert_eq!(state["slaves"].as_array().map(Vec::len), Some(0));
    assert_eq!(state["frameworks"].as_array().map(Vec::len), Some(0));
}
