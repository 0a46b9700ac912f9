//! The binary form: required fields, and the two numberings.

use messor_proto::mesos::{self, internal, master, scheduler};
use messor_proto::{Message, Problem, Version, Wire};

fn missing<M: Wire>(bytes: &[u8], version: Version) -> String {
    match M::decode_checked_as(bytes, version) {
        Err(error) => match error.problem {
            Problem::Missing(field) => field,
            other => panic!("{other}"),
        },
        Ok(_) => panic!("it was taken"),
    }
}

/// A field that holds bytes, short ones.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(number < 16 && bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

#[test]
fn missing_required_fields_are_named_at_any_depth() {
    assert_eq!(missing::<mesos::AgentId>(b"", Version::V0), "value");
    let id = field(1, b"x");
    let complete = [field(1, b"name"), field(2, &id), field(3, &id)].concat();
    let lacking = [field(1, b"name"), field(2, &id), field(3, b"")].concat();
    let launch = [field(1, &complete), field(1, &lacking)].concat();
    let accept = [field(1, &id), field(2, b""), field(2, &field(2, &launch))].concat();
    let call = field(4, &accept);
    let path = |agent_id| format!("accept.operations[1].launch.task_infos[1].{agent_id}.value");
    assert_eq!(missing::<scheduler::Call>(&call, Version::V0), path("slave_id"));
    assert_eq!(missing::<scheduler::Call>(&call, Version::V1), path("agent_id"));
}

#[test]
fn an_unknown_value_of_a_required_enum_is_missing() {
    let status = mesos::TaskStatus { state: 77, ..Default::default() };
    assert_eq!(missing::<mesos::TaskStatus>(&status.encode_to_vec(), Version::V0), "state");
    let known = mesos::TaskStatus { state: mesos::TaskState::TaskRunning as i32, ..Default::default() };
    assert!(mesos::TaskStatus::decode_checked(&known.encode_to_vec()).is_ok());
}

#[test]
fn damaged_bytes_are_refused() {
    let refused = |bytes: &[u8]| {
        internal::RegisterAgentMessage::decode_checked(bytes).expect_err("refused").to_string()
    };
    assert_eq!(
        refused(b"\x0a\x05ab"),
        "cannot decode mesos.internal.RegisterSlaveMessage: a field is cut off"
    );
    assert_eq!(
        refused(&[0x0a, 2, 0x0a, 5]),
        "cannot decode mesos.internal.RegisterSlaveMessage: in slave: a field is cut off"
    );
    assert!(refused(b"\x0f").contains("wire type"));
    assert!(refused(b"\x00\x00").contains("out of range"));
    assert!(refused(&[0x0b; 300]).contains("nested"));
    assert!(refused(&[0x08; 1]).contains("cut off"));
    // A string that is not UTF-8.
    let error = mesos::AgentId::decode_checked(b"\x0a\x01\xff").expect_err("refused");
    assert!(matches!(error.problem, Problem::Malformed(_)), "{error}");
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| {
        let mut id = mesos::ContainerId { value: "a".into(), parent: None };
        for _ in 0..levels {
            id = mesos::ContainerId { value: "a".into(), parent: Some(Box::new(id)) };
        }
        id.encode_to_vec()
    };
    assert!(mesos::ContainerId::decode_checked(&nested(90)).is_ok());
    assert_eq!(
        mesos::ContainerId::decode_checked(&nested(120)).expect_err("refused").problem,
        Problem::TooDeep
    );
}

/// v1's SUBSCRIBE has 2 suppressed_roles and 3 offer_constraints, v0's has 2 force, 3 and 4.
#[test]
fn subscribe_is_read_by_version() {
    let subscribe = scheduler::call::Subscribe {
        framework_info: mesos::FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() },
        force: Some(true),
        suppressed_roles: vec!["a".into(), "b".into()],
        offer_constraints: Some(scheduler::OfferConstraints::default()),
    };
    let call = scheduler::Call {
        r#type: Some(scheduler::call::Type::Subscribe as i32),
        subscribe: Some(subscribe.clone()),
        ..Default::default()
    };
    let without_force = scheduler::Call {
        subscribe: Some(scheduler::call::Subscribe { force: None, ..subscribe }),
        ..call.clone()
    };
    assert_eq!(call.encode_as(Version::V0), call.encode_to_vec());
    assert_eq!(scheduler::Call::decode_checked(&call.encode_as(Version::V0)), Ok(call.clone()));
    let v1 = call.encode_as(Version::V1);
    assert_eq!(scheduler::Call::decode_checked_as(&v1, Version::V1), Ok(without_force.clone()));
    // The bytes as v1's clients make them.
    let framework = [field(1, b"u"), field(2, b"n")].concat();
    let inner = [field(1, &framework), field(2, b"a"), field(2, b"b"), field(3, b"")].concat();
    let read = scheduler::Call::decode_checked_as(&field(3, &inner), Version::V1).expect("it is read");
    assert_eq!(read.subscribe, without_force.subscribe);
    // In JSON v1 has no force either.
    let json = br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"},"force":true,"suppressed_roles":["a","b"]}}"#;
    assert_eq!(
        scheduler::Call::from_json(json, Version::V1).expect("read").subscribe.expect("given").force,
        None
    );
    assert_eq!(
        scheduler::Call::from_json(json, Version::V0).expect("read").subscribe.expect("given").force,
        Some(true)
    );
    assert!(!String::from_utf8_lossy(&call.to_json(Version::V1)).contains("force"));
}

#[test]
fn other_messages_have_one_numbering() {
    let call = master::Call { r#type: Some(master::call::Type::GetHealth as i32), ..Default::default() };
    assert_eq!(call.encode_as(Version::V1), call.encode_as(Version::V0));
    let bytes = [0x08, 0x01, 0xf8, 0x07, 0x01];
    // Unknown fields are passed over.
    assert!(master::Call::decode_checked_as(&bytes, Version::V1).is_ok());
}
