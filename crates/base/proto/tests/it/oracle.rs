//! Answers that Apache Mesos 1.11.0 gave, in JSON and in protobuf: both read, and what is written of them is
//! what Mesos wrote.

use messor_proto::mesos::{master, scheduler};
use messor_proto::{Version, Wire};
use serde_json::Value;

fn file(name: &str) -> Vec<u8> {
    crate::file(&crate::folder("oracle").join(name))
}

/// Without empty arrays, which Mesos writes by hand in these answers, and with the one capability whose name
/// the recorded build does not write.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| *value != Value::Array(Vec::new()));
            Value::Object(kept.map(|(name, value)| (name, plain(value))).collect())
        }
        Value::Array(items) => {
            let quota = serde_json::json!({"type": "QUOTA_V2"});
            let plain_item = |item: Value| if item == quota { serde_json::json!({}) } else { plain(item) };
            Value::Array(items.into_iter().map(plain_item).collect())
        }
        other => other,
    }
}

fn parse(text: &[u8]) -> Value {
    plain(serde_json::from_slice(text).expect("JSON"))
}

/// What a client sees of an answer, and the other way around.
#[test]
fn answers_of_the_master() {
    for name in
        ["get-state", "get-agents", "get-frameworks", "get-flags", "get-master", "get-version", "get-roles"]
    {
        let text = file(&format!("{name}.json"));
        let read = master::Response::from_json(&text, Version::V1Names).expect(name);
        assert_eq!(parse(&read.to_json(Version::V1Names)), parse(&text), "{name}");
        let bytes = file(&format!("{name}.bin"));
        let decoded = master::Response::decode_checked_as(&bytes, Version::V1).expect(name);
        assert_eq!(parse(&decoded.to_json(Version::V1Names)), parse(&text), "{name} in protobuf");
    }
}

/// Events are written byte for byte.
#[test]
fn events_of_the_scheduler_api() {
    for name in ["event-subscribed", "event-offers", "event-heartbeat"] {
        let text = file(&format!("{name}.json"));
        let read = scheduler::Event::from_json(&text, Version::V1).expect(name);
        let written = read.to_json(Version::V1);
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&text), "{name}");
    }
}
