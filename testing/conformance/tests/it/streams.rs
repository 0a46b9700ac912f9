//! Operators' streams of events: how many there may be, and what becomes of one whose reader does not read (MESOS-7748).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use messor_testkit::{Cluster, Framework, Options, get, request, wait_for};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
/// Each event is as long.
const LABEL_BYTES: usize = 400_000;
/// More than a stream's queue of 64 MB and the kernel's buffers hold.
const MOST_UPDATES: usize = 400;

/// An operator's stream, whose answer has begun.
pub fn subscribe(master: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(master).expect("a connection");
    let body = r#"{"type":"SUBSCRIBE"}"#;
    let head = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: master\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("a request");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("the beginning of an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

fn subscribers(master: SocketAddr) -> u64 {
    let metrics = get(master, "/metrics/snapshot").expect("an answer").json();
    metrics["master/operator_event_stream_subscribers"].as_f64().expect("a number") as u64
}

/// Reads to the end, and counts. A connection that breaks has ended, too.
fn read_all(mut stream: TcpStream, count: &AtomicU64) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}

#[test]
fn the_oldest_of_too_many_streams_ends() {
    let options = Options {
        master_flags: vec!["--max_operator_event_stream_subscribers=2".to_string()],
        ..Options::default()
    };
    let cluster = Cluster::with(&options);
    let streams: Vec<TcpStream> = (0..3).map(|_| subscribe(cluster.master)).collect();
    wait_for("two to be left", PATIENCE, || (subscribers(cluster.master) == 2).then_some(()));
    let ended: Vec<bool> = streams.into_iter().map(has_ended).collect();
    assert_eq!(ended, [true, false, false]);
}

/// Whether the body has its end: the connection may stay open for other requests.
fn has_ended(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    let mut all = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        all.extend_from_slice(&piece[..length]);
    }
    all.ends_with(b"\r\n0\r\n\r\n")
}

/// One who reads is not held up by one who does not, who is cut off; and the master's memory has a bound.
#[test]
fn a_reader_that_does_not_read_is_cut_off() {
    let cluster = Cluster::start();
    let framework = Framework::subscribe(cluster.master, "root", &["MULTI_ROLE"]);
    let slow = subscribe(cluster.master);
    let fast = subscribe(cluster.master);
    let read = Arc::new(AtomicU64::default());
    let counter = Arc::clone(&read);
    let reader = std::thread::spawn(move || read_all(fast, &counter));
    assert_eq!(subscribers(cluster.master), 2);
    let headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", framework.stream())];
    let mut sent = 0;
    for number in 0..MOST_UPDATES {
        let value = format!("{number} {}", "x".repeat(LABEL_BYTES));
        let call = json!({"type": "UPDATE_FRAMEWORK", "framework_id": framework.id, "update_framework": {
            "framework_info": {"id": framework.id, "user": "root", "name": "agents", "roles": ["web"], "checkpoint": true,
                "failover_timeout": 100, "capabilities": [{"type": "MULTI_ROLE"}],
                "labels": {"labels": [{"key": "long", "value": value}]}}}});
        let body = call.to_string();
        let answer = request(cluster.master, "POST", "/api/v1/scheduler", &headers, body.as_bytes());
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        sent += 1;
        if subscribers(cluster.master) == 1 {
            break;
        }
    }
    assert!(sent < MOST_UPDATES, "the reader that does not read was never cut off");
    assert!(sent * LABEL_BYTES > 60_000_000, "it was cut off after {sent} events");
    // Who reads has all of them.
    let least = (sent * LABEL_BYTES) as u64;
    wait_for("the other reader to read all", PATIENCE, || {
        (read.load(Ordering::Relaxed) > least).then_some(())
    });
    assert_eq!(subscribers(cluster.master), 1);
    // To the slow one what was in the kernel's hands is left, and then nothing.
    let left = AtomicU64::default();
    read_all(slow, &left);
    assert!(left.load(Ordering::Relaxed) < least, "nothing was cut off");
    drop(cluster);
    reader.join().expect("the reader ends");
}
