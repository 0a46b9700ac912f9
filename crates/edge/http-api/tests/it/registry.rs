//! What operators read of the registry: empty, as a running 1.11.0 answered, and full.

use std::sync::Arc;

use messor_master_core::{Effect, Event, OperatorCall, Outcome, View};
use messor_proto::WireEnum;
use messor_proto::mesos::internal::{Registry, registry};
use messor_proto::mesos::maintenance::{Schedule, Window};
use messor_proto::mesos::quota::{QuotaConfig, QuotaInfo};
use messor_proto::mesos::{DurationInfo, MachineId, Resource, TimeInfo, Unavailability, WeightInfo, value};
use messor_registry::{Operation, State};
use serde_json::{Value, json as of};

use crate::bench::{Bench, json, text, view};

const READS: [(&str, &str); 4] = [
    ("/quota", "GET_QUOTA"),
    ("/weights", "GET_WEIGHTS"),
    ("/maintenance/schedule", "GET_MAINTENANCE_SCHEDULE"),
    ("/maintenance/status", "GET_MAINTENANCE_STATUS"),
];

/// All four by v0, then by v1.
async fn answers(bench: &Bench) -> (Vec<Value>, Vec<Value>) {
    let (mut v0, mut v1) = (Vec::new(), Vec::new());
    for (path, call) in READS {
        v0.push(json(&bench.get(&format!("/master{path}")).await));
        v1.push(json(&bench.call("/master/api/v1", &format!(r#"{{"type":"{call}"}}"#)).await));
    }
    (v0, v1)
}

#[tokio::test]
async fn nothing_is_set() {
    let bench = Bench::with(View { registry: Some(Arc::default()), ..view(true) });
    let (v0, v1) = answers(&bench).await;
    assert_eq!(v0, [of!({}), of!([]), of!({}), of!({})]);
    assert_eq!(
        v1,
        [
            of!({"type": "GET_QUOTA", "get_quota": {"status": {}}}),
            of!({"type": "GET_WEIGHTS"}),
            of!({"type": "GET_MAINTENANCE_SCHEDULE", "get_maintenance_schedule": {"schedule": {}}}),
            of!({"type": "GET_MAINTENANCE_STATUS", "get_maintenance_status": {"status": {}}}),
        ]
    );
    assert_eq!(json(&bench.get("/registrar(1)/registry").await), of!({}));
    assert_eq!(json(&Bench::with(view(true)).get("/registrar(1)/registry").await), of!({}));
}

fn full() -> View {
    let cpus = |value| value::Scalar { value };
    let old = QuotaInfo {
        role: Some("old".into()),
        guarantee: vec![Resource {
            name: "cpus".into(),
            r#type: value::Type::Scalar.number(),
            scalar: Some(cpus(2.0)),
            ..Default::default()
        }],
        ..Default::default()
    };
    let registry = Registry { quotas: vec![registry::Quota { info: old }], ..Default::default() };
    let mut state = State::from_proto(&registry).expect("a registry");
    let machine = |name: &str| MachineId { hostname: Some(name.into()), ip: None };
    let unavailability = Unavailability {
        start: TimeInfo { nanoseconds: 5 },
        duration: Some(DurationInfo { nanoseconds: 7 }),
    };
    let window = Window { machine_ids: vec![machine("a"), machine("b")], unavailability };
    let config = QuotaConfig {
        role: "new".into(),
        guarantees: [("cpus".to_string(), cpus(1.0))].into(),
        limits: [("cpus".to_string(), cpus(3.0)), ("mem".to_string(), cpus(64.0))].into(),
    };
    for operation in [
        Operation::UpdateSchedule { schedule: Box::new(Schedule { windows: vec![window] }) },
        Operation::StartMaintenance { machines: vec![machine("b")] },
        Operation::UpdateQuota { configs: vec![config] },
        Operation::UpdateWeights { weights: vec![WeightInfo { weight: 2.5, role: Some("w".into()) }] },
    ] {
        state.apply(&operation).expect("it fits");
    }
    View { registry: Some(Arc::new(state)), weights: vec![("w".into(), 2.5)], ..view(true) }
}

#[tokio::test]
async fn a_master_without_its_registry_does_not_say_that_it_is_empty() {
    let bench = Bench::with(View { recovered: false, ..view(true) });
    for (path, call) in READS {
        assert_eq!(bench.get(path).await.status(), 503, "{path}");
        let call = format!(r#"{{"type":"{call}"}}"#);
        assert_eq!(bench.call("/master/api/v1", &call).await.status(), 503, "{call}");
    }
}

#[tokio::test]
async fn everything_is_set() {
    let bench = Bench::with(full());
    let (v0, v1) = answers(&bench).await;
    let scalar = |value: f64| of!({ "value": value });
    let guarantee = |value| of!([{"name": "cpus", "type": "SCALAR", "scalar": scalar(value)}]);
    let quota = of!({
        "infos": [{"role": "new", "guarantee": guarantee(1.0)}, {"role": "old", "guarantee": guarantee(2.0)}],
        "configs": [
            {"role": "new", "guarantees": {"cpus": scalar(1.0)},
             "limits": {"cpus": scalar(3.0), "mem": scalar(64.0)}},
            {"role": "old", "guarantees": {"cpus": scalar(2.0)}, "limits": {"cpus": scalar(2.0)}},
        ],
    });
    let weights = of!([{"role": "w", "weight": 2.5}]);
    let window = of!({
        "machine_ids": [{"hostname": "a"}, {"hostname": "b"}],
        "unavailability": {"start": {"nanoseconds": 5}, "duration": {"nanoseconds": 7}},
    });
    let schedule = of!({"windows": [window]});
    let status =
        of!({"draining_machines": [{"id": {"hostname": "a"}}], "down_machines": [{"hostname": "b"}]});
    assert_eq!(v0, [quota.clone(), weights.clone(), schedule, status.clone()]);
    assert_eq!(v1[0]["get_quota"]["status"], quota);
    assert_eq!(v1[1]["get_weights"]["weight_infos"], weights);
    assert_eq!(
        v1[2]["get_maintenance_schedule"]["schedule"]["windows"][0]["machine_ids"][0]["hostname"],
        "a"
    );
    assert_eq!(v1[3]["get_maintenance_status"]["status"], status);

    let roles = json(&bench.get("/roles").await);
    let role = |name: &str| {
        let list = roles["roles"].as_array().expect("a list");
        list.iter().find(|role| role["name"] == name).expect("the role").clone()
    };
    assert_eq!(role("new")["quota"]["limit"], of!({"cpus": 3.0, "mem": 64.0}));
    assert_eq!(role("old")["quota"]["guarantee"], of!({"cpus": 2.0}));
    assert_eq!(role("w")["weight"], 2.5);
    let stored = json(&bench.get("/registrar(1)/registry").await);
    assert_eq!(stored["minimum_capabilities"], of!([{"capability": "QUOTA_V2"}]));
    assert_eq!(stored["machines"]["machines"][1]["info"]["mode"], "DOWN");
    let script = bench.get("/registrar(1)/registry?jsonp=f").await;
    assert!(text(&script).starts_with("f({"));
}

#[tokio::test]
async fn weights_are_set_by_both_apis() {
    let put = ("PUT", "/master/weights", r#"[{"role": "w", "weight": 2.5}]"#);
    let call =
        r#"{"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": [{"role": "w", "weight": 2.5}]}}"#;
    for (method, path, body) in [put, ("POST", "/master/api/v1", call)] {
        let mut bench = Bench::new();
        let site = Arc::clone(&bench.site);
        let asked = tokio::spawn(async move {
            let bench = Bench { site, ..Bench::new() };
            let headers = [("content-type", "application/json"), ("accept", "application/json")];
            bench.send(method, path, &headers, body.as_bytes()).await
        });
        let Some(Event::Operator { reply, call: OperatorCall::UpdateWeights { weights }, .. }) =
            bench.events.recv().await
        else {
            panic!("no operator call came");
        };
        assert_eq!((weights[0].role(), weights[0].weight), ("w", 2.5));
        bench.site.carry_out(Effect::Reply { reply, outcome: Outcome::Done });
        assert_eq!(asked.await.expect("the request is answered").status(), 200);
    }
    let bench = Bench::new();
    for wrong in ["", "not json", "{}", r#"[{"role": "w"}]"#] {
        assert_eq!(bench.send("PUT", "/weights", &[], wrong.as_bytes()).await.status(), 400, "{wrong}");
    }
}
