//! What is written as JSON, case by case.

use messor_proto::mesos::{self, internal, master, quota, scheduler};
use messor_proto::{Version, Wire};

fn text(message: &impl Wire, version: Version) -> String {
    String::from_utf8(message.to_json(version)).expect("JSON is text")
}

#[test]
fn unset_defaults_are_written_unless_deprecated() {
    let health = mesos::HealthCheck::default();
    assert_eq!(
        text(&health, Version::V1),
        r#"{"delay_seconds":15.0,"interval_seconds":10.0,"timeout_seconds":20.0,"consecutive_failures":3,"grace_period_seconds":10.0}"#
    );
    // FrameworkInfo.role and Resource.role have the default "*" and are deprecated.
    let framework = mesos::FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() };
    assert_eq!(
        text(&framework, Version::V1),
        r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#
    );
    let variable = mesos::environment::Variable { name: "a".into(), ..Default::default() };
    assert_eq!(text(&variable, Version::V0), r#"{"name":"a","type":"VALUE"}"#);
    // An unknown number counts as unset.
    let odd = mesos::environment::Variable { name: "a".into(), r#type: Some(99), ..Default::default() };
    assert_eq!(text(&odd, Version::V0), r#"{"name":"a","type":"VALUE"}"#);
    let odd = scheduler::Event { r#type: Some(99), ..Default::default() };
    assert_eq!(text(&odd, Version::V1), "{}");
    // v1 declares no default here.
    let request = quota::QuotaRequest::default();
    assert_eq!(text(&request, Version::V0), r#"{"force":false}"#);
    assert_eq!(text(&request, Version::V1), "{}");
}

#[test]
fn names_follow_the_version() {
    let status = mesos::TaskStatus {
        task_id: mesos::TaskId { value: "t".into() },
        state: mesos::TaskState::TaskGone as i32,
        agent_id: Some(mesos::AgentId { value: "a".into() }),
        source: Some(mesos::task_status::Source::Agent as i32),
        reason: Some(mesos::task_status::Reason::AgentRemoved as i32),
        data: Some(vec![0xfb, 0xff]),
        ..Default::default()
    };
    assert_eq!(
        text(&status, Version::V0),
        r#"{"task_id":{"value":"t"},"state":"TASK_GONE","source":"SOURCE_SLAVE","reason":"REASON_SLAVE_REMOVED","data":"+/8=","slave_id":{"value":"a"}}"#
    );
    assert_eq!(
        text(&status, Version::V1),
        r#"{"task_id":{"value":"t"},"state":"TASK_GONE","source":"SOURCE_AGENT","reason":"REASON_AGENT_REMOVED","data":"+/8=","agent_id":{"value":"a"}}"#
    );
    assert_eq!(text(&status, Version::V1Names), text(&status, Version::V1));
}

#[test]
fn checkpoint_of_an_agent_is_not_in_v1() {
    let info = mesos::AgentInfo { hostname: "h".into(), checkpoint: Some(true), ..Default::default() };
    assert_eq!(text(&info, Version::V0), r#"{"hostname":"h","port":5051,"checkpoint":true}"#);
    assert_eq!(text(&info, Version::V1), r#"{"hostname":"h","port":5051}"#);
    assert_eq!(text(&info, Version::V1Names), r#"{"hostname":"h","port":5051,"checkpoint":true}"#);
    let read = |version| mesos::AgentInfo::from_json(br#"{"hostname":"h","checkpoint":true}"#, version);
    assert_eq!(read(Version::V0).expect("it is read").checkpoint, Some(true));
    assert_eq!(read(Version::V1).expect("it is read").checkpoint, None);
}

#[test]
fn grace_periods_are_durations_in_v1() {
    let drain = |nanoseconds| master::call::DrainAgent {
        agent_id: mesos::AgentId { value: "a".into() },
        max_grace_period: Some(mesos::DurationInfo { nanoseconds }),
        mark_gone: None,
    };
    let texts =
        |nanoseconds| (text(&drain(nanoseconds), Version::V0), text(&drain(nanoseconds), Version::V1));
    let (v0, v1) = texts(10_000_000_005);
    assert_eq!(
        v0,
        r#"{"slave_id":{"value":"a"},"max_grace_period":{"nanoseconds":10000000005},"mark_gone":false}"#
    );
    assert_eq!(
        v1,
        r#"{"agent_id":{"value":"a"},"max_grace_period":{"seconds":10,"nanos":5},"mark_gone":false}"#
    );
    assert!(texts(0).1.contains(r#""max_grace_period":{},"#));
    for nanoseconds in [0, 5, 10_000_000_005, -1_500_000_000, i64::MAX, i64::MIN] {
        let message = drain(nanoseconds);
        let full = master::call::DrainAgent { mark_gone: Some(false), ..message.clone() };
        assert_eq!(master::call::DrainAgent::from_json(&message.to_json(Version::V1), Version::V1), Ok(full));
        let bytes = message.encode_as(Version::V1);
        assert_eq!(master::call::DrainAgent::decode_checked_as(&bytes, Version::V1), Ok(message));
    }
    let long = br#"{"agent_id":{"value":"a"},"max_grace_period":{"seconds":9223372036854775807}}"#;
    assert_eq!(
        master::call::DrainAgent::from_json(long, Version::V1).expect_err("refused").to_string(),
        "the field max_grace_period: a duration is longer than 292 years"
    );
}

#[test]
fn oneofs_and_maps_and_fields_without_presence() {
    use scheduler::attribute_constraint::{Predicate, Selector, predicate, selector};
    let constraint = scheduler::AttributeConstraint {
        selector: Selector { selector: Some(selector::Selector::AttributeName("zone".into())) },
        predicate: Predicate {
            predicate: Some(predicate::Predicate::TextEquals(predicate::TextEquals { value: "a".into() })),
        },
    };
    let written = r#"{"selector":{"attribute_name":"zone"},"predicate":{"text_equals":{"value":"a"}}}"#;
    assert_eq!(text(&constraint, Version::V1), written);
    assert_eq!(scheduler::AttributeConstraint::from_json(written.as_bytes(), Version::V1), Ok(constraint));
    let mut volume =
        mesos::csi::state::VolumeState { boot_id: "b".into(), readonly: true, ..Default::default() };
    volume.parameters.insert("k\"".into(), "v".into());
    assert_eq!(text(&volume, Version::V0), r#"{"parameters":{"k\"":"v"},"boot_id":"b","readonly":true}"#);
    assert_eq!(text(&mesos::csi::state::VolumeState::default(), Version::V0), "{}");
}

#[test]
fn names_on_the_wire() {
    assert_eq!(internal::RegisterAgentMessage::NAME, "mesos.internal.RegisterSlaveMessage");
    assert_eq!(internal::PingAgentMessage::NAME, "mesos.internal.PingSlaveMessage");
    assert_eq!(mesos::agent_info::Capability::NAME, "mesos.SlaveInfo.Capability");
    assert_eq!(internal::log::PromiseRequest::NAME, "mesos.internal.log.PromiseRequest");
}
