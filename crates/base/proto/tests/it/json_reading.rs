//! What is read from JSON, case by case. The cases were tried on Apache Mesos 1.11.0, but for ranges.

use messor_proto::mesos::{self, TaskState, agent_info, master, quota, scheduler};
use messor_proto::{JsonError, Version, Wire, WireEnum};

fn call(text: &str) -> Result<master::Call, JsonError> {
    master::Call::from_json(text.as_bytes(), Version::V1)
}

fn logging(level: &str, nanoseconds: &str) -> Result<(u32, i64), String> {
    let text =
        format!(r#"{{"set_logging_level":{{"level":{level},"duration":{{"nanoseconds":{nanoseconds}}}}}}}"#);
    let call = call(&text).map_err(|error| error.to_string())?;
    let set = call.set_logging_level.expect("it is given");
    Ok((set.level, set.duration.nanoseconds))
}

#[test]
fn numbers_are_coerced() {
    assert_eq!(logging("1", "2"), Ok((1, 2)));
    assert_eq!(logging("\"1\"", "\" 2\""), Ok((1, 2)));
    assert_eq!(logging("001", "1e3"), Ok((1, 1000)));
    assert_eq!(logging("1.", "-1.9"), Ok((1, -1)));
    assert_eq!(logging("\"1.5\"", "-9223372036854775808"), Ok((1, i64::MIN)));
    let refused = |level: &str, nanoseconds: &str| logging(level, nanoseconds).expect_err("it is refused");
    assert_eq!(
        refused("-1", "1"),
        "the field set_logging_level.level: a number from 0 to 4294967295 is expected"
    );
    assert_eq!(
        refused("1", "9223372036854775808"),
        "the field set_logging_level.duration.nanoseconds: a number from -9223372036854775808 to 9223372036854775807 is expected"
    );
    assert_eq!(refused("\"1 \"", "1"), "the field set_logging_level.level: an integer is expected");
    assert_eq!(refused("true", "1"), "the field set_logging_level.level: an integer is expected, not true");
    assert_eq!(
        refused("{}", "1"),
        "the field set_logging_level.level: an integer is expected, not an object"
    );
    assert_eq!(
        refused("[1]", "1"),
        "the field set_logging_level.level: an integer is expected, not an array"
    );
    assert_eq!(refused("1", "1e400"), "not valid JSON at byte 58: not a number within range");
    assert_eq!(refused("null", "1"), "the required field set_logging_level.level is missing");
}

#[test]
fn doubles_take_integers_strings_and_infinities() {
    let value = |text: &str| {
        let text = format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":{text}}}}}"#);
        let read = mesos::Resource::from_json(text.as_bytes(), Version::V1);
        read.map(|resource| resource.scalar.expect("it is given").value)
    };
    assert_eq!(value("1"), Ok(1.0));
    assert_eq!(value("\"0.25\""), Ok(0.25));
    assert_eq!(value("18446744073709551615"), Ok(18446744073709551615.0));
    assert_eq!(value("\"Infinity\""), Ok(f64::INFINITY));
    assert_eq!(value("\"-Infinity\""), Ok(f64::NEG_INFINITY));
    assert!(value("\"NaN\"").is_err());
}

#[test]
fn booleans_take_strings() {
    let gone = |text: &str| {
        let text = format!(r#"{{"drain_agent":{{"agent_id":{{"value":"a"}},"mark_gone":{text}}}}}"#);
        call(&text).map(|call| call.drain_agent.expect("it is given").mark_gone)
    };
    assert_eq!(gone("true"), Ok(Some(true)));
    assert_eq!(gone("\"false\""), Ok(Some(false)));
    assert_eq!(gone("null"), Ok(None));
    assert!(gone("1").is_err());
    assert!(gone("\"yes\"").is_err());
}

#[test]
fn strings_are_strings() {
    let id = |text: &str| mesos::AgentId::from_json(format!(r#"{{"value":{text}}}"#).as_bytes(), Version::V1);
    assert_eq!(
        id(r#""a\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00""#).expect("it is read").value,
        "a\"\\/\u{8}\u{c}\n\r\tAé😀"
    );
    assert!(id("5").is_err());
    assert!(id("\"\u{1}\"").is_err());
    assert!(id(r#""\ud83d""#).is_err());
    assert!(id(r#""\ude00""#).is_err());
    assert!(id(r#""\x""#).is_err());
    assert!(id(r#""\u12""#).is_err());
    assert!(id("\"a").is_err());
    let escaped_key = mesos::AgentId::from_json(br#"{"v\u0061lue":"x"}"#, Version::V1);
    assert_eq!(escaped_key.expect("it is read").value, "x");
}

#[test]
fn bytes_are_lenient_base64() {
    let data = |text: &str| {
        let text = format!(
            r#"{{"message":{{"agent_id":{{"value":"a"}},"executor_id":{{"value":"e"}},"data":"{text}"}}}}"#
        );
        scheduler::Call::from_json(text.as_bytes(), Version::V1)
            .map(|call| call.message.expect("it is given").data)
    };
    assert_eq!(data("/wA="), Ok(vec![0xff, 0]));
    assert_eq!(data("/wA"), Ok(vec![0xff, 0]));
    assert_eq!(data(r"/w\n A==junk"), Ok(vec![0xff, 0]));
    assert_eq!(data(""), Ok(vec![]));
    assert_eq!(data("AAAAA"), Ok(vec![0, 0, 0]));
    assert!(data("a-b_").is_err());
    assert!(data("a!").is_err());
}

#[test]
fn enums_go_by_name() {
    assert_eq!(call(r#"{"type":"GET_HEALTH"}"#).expect("it is read").r#type(), master::call::Type::GetHealth);
    // Unknown names are unset where that is allowed, numbers are not taken at all.
    assert_eq!(call(r#"{"type":"NOT_THERE"}"#).expect("it is read").r#type, None);
    assert_eq!(
        call(r#"{"type":5}"#).expect_err("refused").to_string(),
        "the field type: a name is expected, not a number"
    );
    let status = |state: &str, version| {
        let text =
            format!(r#"{{"task_id":{{"value":"t"}},"state":"{state}","reason":"REASON_SLAVE_REMOVED"}}"#);
        mesos::TaskStatus::from_json(text.as_bytes(), version)
    };
    assert_eq!(
        status("TASK_ODD", Version::V1).expect_err("refused").to_string(),
        "the field state: no mesos.TaskState is named \"TASK_ODD\""
    );
    let v0 = status("TASK_RUNNING", Version::V0).expect("it is read");
    assert_eq!(v0.reason, Some(mesos::task_status::Reason::AgentRemoved as i32));
    // v1 says REASON_AGENT_REMOVED: v0's word is unknown there.
    assert_eq!(status("TASK_RUNNING", Version::V1).expect("it is read").reason, None);
    let list =
        agent_info::Capability::list_from_json(br#"[{"type":"MULTI_ROLE"},{"type":"ODD"}]"#, Version::V1);
    assert_eq!(list.expect("it is read")[1].r#type, None);
}

#[test]
fn repeated_fields_take_one_bare_value() {
    let roles = |text: &str| {
        let text =
            format!(r#"{{"user":"u","name":"n","roles":{text},"capabilities":{{"type":"MULTI_ROLE"}}}}"#);
        mesos::FrameworkInfo::from_json(text.as_bytes(), Version::V1)
            .map(|info| (info.roles, info.capabilities.len()))
    };
    let expected = |roles: &[&str]| Ok((roles.iter().map(|role| role.to_string()).collect(), 1));
    assert_eq!(roles("\"a\""), expected(&["a"]));
    assert_eq!(roles("[\"a\",[\"b\"],null]"), expected(&["a", "b"]));
    assert_eq!(roles("[]"), expected(&[]));
    assert_eq!(roles("null"), expected(&[]));
    assert_eq!(
        roles("[\"a\",1]").expect_err("refused").to_string(),
        "the field roles[1]: a string is expected, not a number"
    );
}

#[test]
fn maps_are_objects() {
    let text = br#"{"update_quota":{"quota_configs":[{"role":"a","limits":{"cpus":{"value":"1"},"cpus":{"value":2}}}]}}"#;
    let call = master::Call::from_json(text, Version::V1).expect("it is read");
    let config = &call.update_quota.expect("it is given").quota_configs[0];
    assert_eq!(config.limits["cpus"].value, 2.0);
    let lacking = |value: &str| {
        let text = format!(r#"{{"role":"a","limits":{{"cpus":{value}}}}}"#);
        quota::QuotaConfig::from_json(text.as_bytes(), Version::V1).expect_err("refused").to_string()
    };
    assert_eq!(lacking("{}"), "the required field limits[\"cpus\"].value is missing");
    assert_eq!(lacking("null"), "the required field limits[\"cpus\"].value is missing");
    assert_eq!(lacking("3"), "the field limits[\"cpus\"]: an object is expected, not a number");
}

#[test]
fn the_last_of_a_repeated_key_counts() {
    let read = call(
        r#"{"type":"GET_VERSION","list_files":{"path":"a"},"type":"GET_HEALTH","list_files":{"path":"b"}}"#,
    );
    let read = read.expect("it is read");
    assert_eq!(read.r#type(), master::call::Type::GetHealth);
    assert_eq!(read.list_files.expect("it is given").path, "b");
    // The later null unsets.
    assert_eq!(call(r#"{"type":"GET_VERSION","type":null}"#).expect("it is read").r#type, None);
    let roles = br#"{"user":"u","name":"n","roles":["a","b"],"roles":["c"]}"#;
    assert_eq!(mesos::FrameworkInfo::from_json(roles, Version::V1).expect("it is read").roles, ["c"]);
    let many = format!("{{{}}}", vec![r#""type":"GET_HEALTH""#; 100].join(","));
    assert_eq!(call(&many), Err(JsonError::TooManyRepeatedKeys));
}

#[test]
fn unknown_fields_are_passed_over_but_must_be_json() {
    assert!(call(r#" {"x":[1,{"y":null,"z":[]},"\u0000",true,false,-1.5e-3,{}],"":0} "#).is_ok());
    for bad in [
        "",
        " ",
        "not json",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":[1,]}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":NaN}",
        "{\"a\":-}",
        "{\"a\":1-2}",
        "{\"a\":tru}",
        "{} x",
        "{\"a\":[}",
        "{'a':1}",
        "{a:1}",
    ] {
        let error = call(bad).expect_err(bad);
        assert!(error.is_syntax(), "{bad}: {error}");
    }
    assert_eq!(call("[]"), Err(JsonError::NotAnObject));
    assert_eq!(call("5"), Err(JsonError::NotAnObject));
    assert!(call("[").expect_err("refused").is_syntax());
    assert_eq!(
        master::Call::from_json(b"{\"a\":\"\xff\"}", Version::V1),
        Err(JsonError::Syntax { at: 6, problem: "the text is not UTF-8" })
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(call(&nested(199)).is_ok());
    assert_eq!(call(&nested(200)), Err(JsonError::TooDeep));
    assert_eq!(call(&"{\"x\":".repeat(100_000)), Err(JsonError::TooDeep));
    // Messages end earlier, where prost ends.
    let container = |levels: usize| {
        format!("{}{{\"value\":\"a\"}}{}", "{\"value\":\"a\",\"parent\":".repeat(levels), "}".repeat(levels))
    };
    assert!(mesos::ContainerId::from_json(container(50).as_bytes(), Version::V1).is_ok());
    let refused = mesos::ContainerId::from_json(container(150).as_bytes(), Version::V1);
    assert!(matches!(refused, Err(JsonError::Refused(_))), "{refused:?}");
}

#[test]
fn missing_required_fields_are_named() {
    let missing = |text: &str| call(text).expect_err("refused").to_string();
    assert_eq!(
        missing(r#"{"drain_agent":{"agent_id":{}}}"#),
        "the required field drain_agent.agent_id.value is missing"
    );
    let accept = br#"{"accept":{"operations":[{"launch":{"task_infos":[{"name":"n","task_id":{},"agent_id":{"value":"a"}}]}}]}}"#;
    assert_eq!(
        scheduler::Call::from_json(accept, Version::V1).expect_err("refused"),
        JsonError::Missing("accept.operations[0].launch.task_infos[0].task_id.value".into())
    );
    let v0 = br#"[{"name":"n","task_id":{"value":"t"}}]"#;
    assert_eq!(
        mesos::TaskInfo::list_from_json(v0, Version::V0).expect_err("refused"),
        JsonError::Missing("[0].slave_id".into())
    );
}

#[test]
fn lists_hold_objects() {
    let read = |text: &str| mesos::AgentId::list_from_json(text.as_bytes(), Version::V1);
    assert_eq!(read(" [ ] ").expect("it is read").len(), 0);
    assert_eq!(read(r#"[{"value":"a"},{"value":"b"}]"#).expect("it is read")[1].value, "b");
    assert_eq!(read(r#"{"value":"a"}"#), Err(JsonError::NotAnArray));
    assert_eq!(read("[null]"), Err(JsonError::NotAnArray));
    assert!(read(r#"[{"value":"a"}"#).expect_err("refused").is_syntax());
}

#[test]
fn names_of_enum_values() {
    assert_eq!(TaskState::TaskRunning.wire_name(Version::V1), "TASK_RUNNING");
    assert_eq!(TaskState::from_wire_name("TASK_LOST", Version::V0), Some(TaskState::TaskLost));
    assert_eq!(TaskState::from_wire_name("LOST", Version::V0), None);
    let reason = mesos::task_status::Reason::AgentRemoved;
    assert_eq!(reason.wire_name(Version::V0), "REASON_SLAVE_REMOVED");
    assert_eq!(reason.wire_name(Version::V1), "REASON_AGENT_REMOVED");
    assert_eq!(reason.as_str_name(), "REASON_SLAVE_REMOVED");
    // Of two names of one number, the first is the one that is written.
    let action = mesos::authorization::Action::RegisterFramework;
    assert_eq!(action.wire_name(Version::V0), "REGISTER_FRAMEWORK");
    assert_eq!(
        mesos::authorization::Action::from_wire_name("REGISTER_FRAMEWORK_WITH_ROLE", Version::V0),
        Some(action)
    );
}
