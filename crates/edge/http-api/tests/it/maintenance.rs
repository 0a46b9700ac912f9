//! Maintenance and draining: the calls that reach the machine by v1 and by the older endpoints, and what is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use messor_master_core::{Effect, Event, OperatorCall, Outcome, View};
use messor_proto::WireEnum;
use messor_proto::mesos::allocator::{InverseOfferStatus, inverse_offer_status};
use messor_proto::mesos::maintenance::{Schedule, Window};
use messor_proto::mesos::{
    DrainConfig, DrainInfo, DrainState, DurationInfo, MachineId, TimeInfo, Unavailability,
};
use messor_registry::{Operation, State};
use messor_stdx::{Memo, Time};
use messor_types::FrameworkId;
use serde_json::json as of;

use crate::bench::{Bench, json, text, view};

/// The operator call that a request becomes.
async fn asked(path: &'static str, body: &str) -> OperatorCall {
    let mut bench = Bench::new();
    let (site, body) = (Arc::clone(&bench.site), body.to_string());
    let mut request = tokio::spawn(async move {
        let bench = Bench { site, ..Bench::new() };
        let headers = [("content-type", "application/json"), ("accept", "application/json")];
        bench.send("POST", path, &headers, body.as_bytes()).await
    });
    let (reply, call) = tokio::select! {
        event = bench.events.recv() => match event {
            Some(Event::Operator { reply, call, .. }) => (reply, call),
            other => panic!("{path}: {other:?}"),
        },
        refused = &mut request => panic!("{path}: {}", text(&refused.expect("an answer"))),
    };
    bench.site.carry_out(Effect::Reply { reply, outcome: Outcome::Done });
    let answer = request.await.expect("the request is answered");
    assert_eq!(answer.status().as_u16(), 200);
    call
}

#[tokio::test]
async fn machines_go_down_and_up_by_both_apis() {
    let machines = r#"[{"hostname": "a", "ip": "10.0.0.1"}]"#;
    let v1 =
        |kind: &str, field: &str| format!(r#"{{"type": "{kind}", "{field}": {{"machines": {machines}}}}}"#);
    for (path, body) in [
        ("/master/machine/down", machines.to_string()),
        ("/machine/down", machines.to_string()),
        ("/master/api/v1", v1("START_MAINTENANCE", "start_maintenance")),
    ] {
        let OperatorCall::StartMaintenance { machines } = asked(path, &body).await else { panic!("{path}") };
        assert_eq!((machines[0].hostname(), machines[0].ip()), ("a", "10.0.0.1"));
    }
    for (path, body) in [
        ("/master/machine/up", machines.to_string()),
        ("/master/api/v1", v1("STOP_MAINTENANCE", "stop_maintenance")),
    ] {
        let OperatorCall::StopMaintenance { machines } = asked(path, &body).await else { panic!("{path}") };
        assert_eq!(machines.len(), 1);
    }
    let schedule = r#"{"windows": [{"machine_ids": [{"hostname": "a"}], "unavailability": {"start": {"nanoseconds": 9}}}]}"#;
    let call = format!(
        r#"{{"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": {{"schedule": {schedule}}}}}"#
    );
    for (path, body) in [("/maintenance/schedule", schedule.to_string()), ("/master/api/v1", call)] {
        let OperatorCall::UpdateSchedule { schedule } = asked(path, &body).await else { panic!("{path}") };
        assert_eq!(schedule.windows[0].unavailability.start.nanoseconds, 9);
    }
}

/// U007: in v1 alone, with the durations of protobuf.
#[tokio::test]
async fn agents_are_drained() {
    let call = r#"{"type": "DRAIN_AGENT", "drain_agent":
        {"agent_id": {"value": "m-S0"}, "max_grace_period": {"seconds": 90}, "mark_gone": true}}"#;
    let OperatorCall::DrainAgent { agent, max_grace_period, mark_gone } = asked("/master/api/v1", call).await
    else {
        panic!("another call");
    };
    let period = max_grace_period.map(|period| period.nanoseconds);
    assert_eq!((agent.as_str(), period, mark_gone), ("m-S0", Some(90_000_000_000), true));
    let call = r#"{"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": "m-S0"}}}"#;
    let drained = asked("/master/api/v1", call).await;
    assert!(matches!(drained, OperatorCall::DrainAgent { max_grace_period: None, mark_gone: false, .. }));
    let call = r#"{"type": "DEACTIVATE_AGENT", "deactivate_agent": {"agent_id": {"value": "m-S0"}}}"#;
    assert!(matches!(asked("/master/api/v1", call).await, OperatorCall::DeactivateAgent { .. }));
    let call = r#"{"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": {"value": "m-S0"}}}"#;
    assert!(matches!(asked("/master/api/v1", call).await, OperatorCall::ReactivateAgent { .. }));
}

/// U007: an agent that drains is shown so, with the second in which it began.
#[tokio::test]
async fn a_draining_agent_is_shown() {
    let mut view = view(true);
    let mut agent = (**view.agents[0]).clone();
    agent.active = false;
    agent.deactivated = true;
    agent.drain_info = Some(DrainInfo {
        state: DrainState::Draining.number(),
        config: DrainConfig {
            max_grace_period: Some(DurationInfo { nanoseconds: 5 }),
            mark_gone: Some(false),
        },
    });
    agent.estimated_drain_start_time = Some(Time::from_nanos(7_250_000_000));
    view.agents[0] = Arc::new(Memo::new(agent));
    let bench = Bench::with(view);
    let info =
        of!({"state": "DRAINING", "config": {"max_grace_period": {"nanoseconds": 5}, "mark_gone": false}});
    for path in ["/slaves", "/state"] {
        let shown = json(&bench.get(path).await)["slaves"][0].clone();
        assert_eq!(shown["drain_info"], info, "{path}");
        assert_eq!(shown["estimated_drain_start_time_seconds"], 7.25, "{path}");
        assert_eq!((&shown["deactivated"], &shown["active"]), (&of!(true), &of!(false)), "{path}");
    }
    let agents = json(&bench.call("/master/api/v1", r#"{"type":"GET_AGENTS"}"#).await);
    let shown = &agents["get_agents"]["agents"][0];
    assert_eq!(shown["drain_info"], info);
    assert_eq!(shown["estimated_drain_start_time"], of!({"nanoseconds": 7_000_000_000_i64}));
    assert_eq!(shown["deactivated"], true);
}

#[tokio::test]
async fn answers_to_inverse_offers_stand_with_their_machine() {
    let mut view = view(true);
    let agent = Arc::clone(&view.agents[0]);
    let machine =
        |ip: &str| MachineId { hostname: Some(agent.info.hostname.to_uppercase()), ip: Some(ip.into()) };
    let own = agent.pid.address.ip().to_string();
    let unavailability = Unavailability { start: TimeInfo { nanoseconds: 5 }, duration: None };
    let windows = vec![Window { machine_ids: vec![machine("10.9.9.9"), machine(&own)], unavailability }];
    let mut state = State::default();
    state.apply(&Operation::UpdateSchedule { schedule: Box::new(Schedule { windows }) }).expect("it fits");
    view.registry = Some(Arc::new(state));
    let status = InverseOfferStatus {
        status: inverse_offer_status::Status::Accept.number(),
        framework_id: (&FrameworkId::new("F")).into(),
        timestamp: TimeInfo { nanoseconds: 6 },
    };
    let given = BTreeMap::from([(FrameworkId::new("F"), status)]);
    view.inverse_offer_statuses = Arc::new(BTreeMap::from([(agent.id.clone(), given)]));
    let shown = json(&Bench::with(View { ..view }).get("/maintenance/status").await);
    let machines = shown["draining_machines"].as_array().expect("a list");
    assert_eq!(machines[0].get("statuses"), None);
    assert_eq!(
        machines[1]["statuses"],
        of!([{"status": "ACCEPT", "framework_id": {"value": "F"}, "timestamp": {"nanoseconds": 6}}])
    );
}
