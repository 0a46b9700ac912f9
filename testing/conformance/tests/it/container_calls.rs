//! The calls of an agent's v1 API about containers, by operators who type wrongly, ask twice, or send garbage. Codes are those of
//! 1.11.0, but where it answers 500 to what is the caller's mistake.

use std::net::SocketAddr;

use messor_testkit::{Cluster, get, request, wait_for};
use serde_json::{Value, json};

use crate::attach::{PATIENCE, call};

fn id(value: &str) -> Value {
    json!({"value": value})
}

fn nested(value: &str, parent: &str) -> Value {
    json!({"value": value, "parent": id(parent)})
}

fn ask(agent: SocketAddr, kind: &str, more: Value) -> (u16, String) {
    let answer = call(agent, &json!({"type": kind, (kind.to_lowercase()): more}));
    (answer.status, answer.text())
}

/// A call that names a container alone.
fn about(agent: SocketAddr, kind: &str, container: &Value) -> (u16, String) {
    ask(agent, kind, json!({"container_id": container}))
}

fn launch(agent: SocketAddr, container: &Value) -> (u16, String) {
    let kind = if container["parent"].is_null() { "LAUNCH_CONTAINER" } else { "LAUNCH_NESTED_CONTAINER" };
    ask(agent, kind, json!({"container_id": container, "command": {"value": "sleep 1000"}}))
}

fn is_gone(agent: SocketAddr, container: &Value) {
    wait_for("a container to be gone", PATIENCE, || {
        (about(agent, "KILL_CONTAINER", container).0 == 404).then_some(())
    });
}

#[test]
fn containers_are_launched_signalled_waited_for_and_removed() {
    let cluster = Cluster::start();
    let agent = cluster.agents[0];
    let (outer, inner) = (id("outer"), nested("inner", "outer"));
    for container in [&outer, &inner] {
        assert_eq!(launch(agent, container), (200, String::new()));
        assert_eq!(launch(agent, container), (202, String::new()));
    }
    let kill = |kind: &str, container: &Value, signal: i64| {
        ask(agent, kind, json!({"container_id": container, "signal": signal}))
    };
    // 0 does nothing to it.
    assert_eq!(kill("KILL_CONTAINER", &outer, 0), (200, String::new()));
    for wrong in [-1, 65, 99, i64::from(i32::MAX)] {
        let expected = format!("'signal' is {wrong}: signals are 0 to 64");
        assert_eq!(kill("KILL_CONTAINER", &outer, wrong), (400, expected.clone()));
        assert_eq!(kill("KILL_NESTED_CONTAINER", &inner, wrong), (400, expected));
    }
    assert_eq!(about(agent, "REMOVE_NESTED_CONTAINER", &inner).0, 400, "it has not ended");
    assert_eq!(launch(agent, &inner).0, 202, "it runs on");
    // The last of those without a name.
    assert_eq!(kill("KILL_NESTED_CONTAINER", &inner, 64), (200, String::new()));
    for _ in 0..2 {
        let (code, words) = about(agent, "WAIT_NESTED_CONTAINER", &inner);
        let answer: Value = serde_json::from_str(&words).unwrap_or_else(|_| panic!("{code} {words}"));
        assert_eq!(answer["wait_nested_container"]["exit_status"], 64, "{answer}");
    }
    assert_eq!(about(agent, "REMOVE_NESTED_CONTAINER", &inner), (200, String::new()));
    assert_eq!(about(agent, "WAIT_NESTED_CONTAINER", &inner).0, 404);
    assert_eq!(launch(agent, &inner).0, 200, "its id is free again");
    // What is in it ends with it.
    assert_eq!(about(agent, "KILL_CONTAINER", &outer), (200, String::new()));
    is_gone(agent, &outer);
    for kind in ["WAIT_CONTAINER", "KILL_CONTAINER", "ATTACH_CONTAINER_OUTPUT"] {
        assert_eq!(about(agent, kind, &outer).0, 404, "{kind}");
        assert_eq!(about(agent, kind, &inner).0, 404, "{kind}");
    }
    assert_eq!(launch(agent, &inner), (400, "container 'outer' cannot be found".to_string()));
    assert_eq!(about(agent, "REMOVE_CONTAINER", &nested("c", "never")).0, 404);
}

#[test]
fn of_many_launches_of_one_id_one_is_carried_out() {
    let cluster = Cluster::start();
    let agent = cluster.agents[0];
    let mut codes: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| launch(agent, &id("one")).0)).collect();
        callers.into_iter().map(|caller| caller.join().expect("an answer")).collect()
    });
    codes.sort_unstable();
    assert_eq!(codes, [200, 202, 202, 202, 202, 202, 202, 202]);
    assert_eq!(about(agent, "KILL_CONTAINER", &id("one")).0, 200);
    is_gone(agent, &id("one"));
}

#[test]
fn ids_that_are_none_reach_nothing() {
    let cluster = Cluster::start();
    let agent = cluster.agents[0];
    let long = "x".repeat(300);
    for wrong in ["..", ".", "a/b", "/etc", "../outside", "", "a b", "a\0b", "a\nb", long.as_str()] {
        let kinds = [
            "LAUNCH_CONTAINER",
            "WAIT_CONTAINER",
            "KILL_CONTAINER",
            "REMOVE_CONTAINER",
            "ATTACH_CONTAINER_OUTPUT",
        ];
        for kind in kinds {
            for container in [id(wrong), nested("c", wrong), nested(wrong, "p")] {
                let (code, words) = about(agent, kind, &container);
                let expected = format!("'{}.container_id' is invalid", kind.to_lowercase());
                assert!(code == 400 && words.contains(&expected), "{kind} {wrong:?}: {code} {words}");
            }
        }
    }
    let deep = (0..200).fold(id("d"), |parent, _| json!({"value": "d", "parent": parent}));
    assert_eq!(about(agent, "WAIT_CONTAINER", &deep).0, 400);
    let made = std::fs::read_dir(cluster.folder().join("agent0-run/containers"));
    assert_eq!(made.map_or(0, Iterator::count), 0);
    assert!(!cluster.folder().join("agent0-run/outside").exists());
}

#[test]
fn streams_that_are_none_are_refused() {
    let cluster = Cluster::start();
    let agent = cluster.agents[0];
    let record = |json: &Value| {
        let text = json.to_string();
        format!("{}\n{text}", text.len()).into_bytes()
    };
    let input =
        |more: Value| record(&json!({"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": more}));
    let of = |container: &Value| input(json!({"type": "CONTAINER_ID", "container_id": container}));
    let data = json!({"type": "PROCESS_IO", "process_io": {"type": "DATA", "data": {"type": "STDIN", "data": "aGk="}}});
    let wait = record(&json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id("a")}}));
    // The same garbage each time.
    let garbage: Vec<u8> =
        (0u32..8192).map(|index| (index.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    let json = Some("application/json");
    let cases = [
        (json, garbage.clone(), 400),
        (Some("application/x-protobuf"), garbage, 400),
        (json, Vec::new(), 400),
        (json, b"0\n".to_vec(), 400),
        (json, b"-5\nabcde".to_vec(), 400),
        (json, b"\n\n\n\n".to_vec(), 400),
        (json, b"99999999999999999999\nx".to_vec(), 400),
        (json, b"2147483648\nx".to_vec(), 400),
        (json, vec![b'1'; 8192], 400),
        (json, of(&id("..")), 400),
        (json, of(&id("never")), 404),
        (json, input(data), 400),
        (json, wait, 415),
        (None, of(&id("never")), 400),
        (Some("text/plain"), of(&id("never")), 415),
        (Some("application/x-protobuf"), of(&id("never")), 400),
    ];
    for (number, (media, body, code)) in cases.into_iter().enumerate() {
        let mut headers = vec![("Content-Type", "application/recordio"), ("Accept", "application/json")];
        headers.extend(media.map(|media| ("Message-Content-Type", media)));
        let answer = request(agent, "POST", "/api/v1", &headers, &body).expect("an answer");
        assert_eq!(answer.status, code, "case {number}: {}", answer.text());
    }
    // Not as a stream.
    let whole = about(agent, "ATTACH_CONTAINER_INPUT", &id("never"));
    assert!([400, 415].contains(&whole.0), "{whole:?}");
    assert_eq!(get(agent, "/health").expect("the agent answers").status, 200);
}
