//! Documents that are written by hand.

use std::sync::{Arc, Mutex};

use messor_proto::{JsonWriter, Version};

#[test]
fn writes_documents() {
    let mut json = JsonWriter::append_to(b"12\n".to_vec());
    json.begin_object();
    json.key("empty").object(|_| {});
    json.key("none").array(|_| {});
    json.key("ends:{[").string("a{");
    json.key("mixed").array(|json| {
        json.object(|json| json.key("n").signed(-1));
        json.array(|json| json.null());
        json.string(":");
        json.unsigned(u64::MAX);
        json.boolean(true);
        json.base64(b"\xff\x00");
        json.raw(b"[1]");
        json.double(1.0);
        json.enumeration(messor_proto::mesos::TaskState::TaskRunning, Version::V0);
        json.message(&messor_proto::mesos::AgentId { value: "x".into() }, Version::V1);
    });
    json.end_object();
    let expected = concat!(
        "12\n",
        r#"{"empty":{},"none":[],"ends:{[":"a{","mixed":[{"n":-1},[null],":",18446744073709551615,"#,
        r#"true,"/wA=",[1],1.0,"TASK_RUNNING",{"value":"x"}]}"#
    );
    assert_eq!(String::from_utf8(json.into_bytes()).expect("text"), expected);
}

#[test]
fn escapes_as_mesos_does() {
    let mut json = JsonWriter::new();
    json.string("\u{0}\u{1f}\u{8}\t\n\u{c}\r\"\\/\u{7f}é");
    assert_eq!(
        String::from_utf8(json.into_bytes()).expect("text"),
        "\"\\u0000\\u001F\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}é\""
    );
}

/// Values of all lengths, shared or not, so that pieces end everywhere.
fn fill(json: &mut JsonWriter) {
    let value = |length: usize| format!("\"{}\"", "x".repeat(length)).into_bytes();
    json.object(|json| {
        for round in 0..3 {
            json.key("a").array(|json| {
                for length in [0, 20_000, 1, 300_000, 20_000, 20_000, 7] {
                    json.raw_shared(value(length).into());
                    json.raw(&value(length / 2));
                    json.string("s");
                }
            });
            json.key("b").raw_shared(value(20_000).into());
            json.key("none").array(|_| ());
            json.key("o").object(|json| json.key("c").signed(round));
        }
    });
}

#[test]
fn pieces_are_the_document() {
    let mut whole = JsonWriter::new();
    fill(&mut whole);
    let pieces = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&pieces);
    let mut json = JsonWriter::in_pieces(Box::new(move |piece| taken.lock().unwrap().push(piece)));
    fill(&mut json);
    let rest = json.into_bytes();
    let pieces = pieces.lock().unwrap();
    assert!(pieces.len() > 20 && pieces.iter().all(|piece| !piece.is_empty()));
    assert!(whole.into_bytes() == [pieces.concat(), rest].concat());
}
