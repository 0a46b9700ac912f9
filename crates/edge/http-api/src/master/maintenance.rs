//! Maintenance as operators see and change it: the schedule, the machines that are down or up, who said what to it.

use std::collections::BTreeMap;

use http::Method;
use messor_master_core::{OperatorCall, View};
use messor_proto::mesos::MachineId;
use messor_proto::mesos::allocator::InverseOfferStatus;
use messor_proto::mesos::machine_info::Mode;
use messor_proto::mesos::maintenance::{ClusterStatus, Schedule, cluster_status};
use messor_proto::mesos::master::{Call, call};
use messor_proto::{Version, Wire};
use messor_registry::MachineName;

use super::MasterSite;
use crate::answer::{Answer, bad_request, method_not_allowed};
use crate::request::Request;

pub fn schedule(view: &View) -> Schedule {
    view.registry.as_ref().and_then(|registry| registry.schedules().next().cloned()).unwrap_or_default()
}

/// The machines of the schedule, and what frameworks answered to the inverse offers of agents on them.
pub fn status(view: &View) -> ClusterStatus {
    let mut status = ClusterStatus::default();
    let mut answers = answers_by_machine(view);
    for machine in view.registry.iter().flat_map(|registry| registry.machines()) {
        let id = machine.id.clone();
        match machine.mode() {
            Mode::Draining => {
                let statuses = answers.remove(&MachineName::from(&id)).unwrap_or_default();
                status.draining_machines.push(cluster_status::DrainingMachine { id, statuses });
            }
            Mode::Down => status.down_machines.push(id),
            Mode::Up => {}
        }
    }
    status
}

fn answers_by_machine(view: &View) -> BTreeMap<MachineName, Vec<InverseOfferStatus>> {
    let mut answers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    if view.inverse_offer_statuses.is_empty() {
        return answers;
    }
    for agent in &view.agents {
        if let Some(given) = view.inverse_offer_statuses.get(&agent.id) {
            let name = MachineName::new(&agent.info.hostname, &agent.pid.address.ip().to_string());
            answers.entry(name).or_default().extend(given.values().cloned());
        }
    }
    answers
}

/// The changing call of this kind; None: it lacks the field that goes with its type.
pub(super) fn of_call(kind: call::Type, call: &mut Call) -> Option<OperatorCall> {
    Some(match kind {
        call::Type::UpdateMaintenanceSchedule => {
            let schedule = Box::new(call.update_maintenance_schedule.take()?.schedule);
            OperatorCall::UpdateSchedule { schedule }
        }
        call::Type::StartMaintenance => {
            OperatorCall::StartMaintenance { machines: call.start_maintenance.take()?.machines }
        }
        call::Type::StopMaintenance => {
            OperatorCall::StopMaintenance { machines: call.stop_maintenance.take()?.machines }
        }
        call::Type::DrainAgent => {
            let wanted = call.drain_agent.take()?;
            OperatorCall::DrainAgent {
                agent: (&wanted.agent_id).into(),
                max_grace_period: wanted.max_grace_period,
                mark_gone: wanted.mark_gone.unwrap_or_default(),
            }
        }
        call::Type::DeactivateAgent => {
            OperatorCall::DeactivateAgent { agent: (&call.deactivate_agent.take()?.agent_id).into() }
        }
        call::Type::ReactivateAgent => {
            OperatorCall::ReactivateAgent { agent: (&call.reactivate_agent.take()?.agent_id).into() }
        }
        _ => return None,
    })
}

/// The changes among the v0 endpoints.
pub(super) fn is_change(path: &str, method: &Method) -> bool {
    match path {
        "/machine/down" | "/machine/up" => true,
        "/maintenance/schedule" => *method == Method::POST,
        _ => false,
    }
}

impl MasterSite {
    pub(super) async fn maintenance(&self, path: &str, request: &Request) -> Answer {
        if request.method != Method::POST {
            return method_not_allowed("POST", &request.method);
        }
        match read_body(path, &request.body) {
            Ok(call) => self.change(request, None, call).await,
            Err(refusal) => refusal,
        }
    }
}

fn read_body(path: &str, body: &[u8]) -> Result<OperatorCall, Answer> {
    if path == "/maintenance/schedule" {
        let schedule = Schedule::from_json(body, Version::V0)
            .map_err(|error| bad_request(format!("the body must be a maintenance schedule: {error}")))?;
        return Ok(OperatorCall::UpdateSchedule { schedule: Box::new(schedule) });
    }
    let machines = MachineId::list_from_json(body, Version::V0)
        .map_err(|error| bad_request(format!("the body must be a list of machines: {error}")))?;
    Ok(if path == "/machine/down" {
        OperatorCall::StartMaintenance { machines }
    } else {
        OperatorCall::StopMaintenance { machines }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_become_calls() {
        let machine = br#"[{"hostname": "a", "ip": "10.0.0.1"}]"#;
        match read_body("/machine/down", machine) {
            Ok(OperatorCall::StartMaintenance { machines }) => assert_eq!(machines[0].hostname(), "a"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(read_body("/machine/up", machine), Ok(OperatorCall::StopMaintenance { .. })));
        let schedule = br#"{"windows": [{"machine_ids": [{"hostname": "a"}], "unavailability": {"start": {"nanoseconds": 5}}}]}"#;
        match read_body("/maintenance/schedule", schedule) {
            Ok(OperatorCall::UpdateSchedule { schedule }) => {
                assert_eq!(schedule.windows[0].unavailability.start.nanoseconds, 5);
            }
            other => panic!("{other:?}"),
        }
        for (path, wrong) in [
            ("/machine/down", &b""[..]),
            ("/machine/down", b"{}"),
            ("/machine/up", b"[1]"),
            ("/maintenance/schedule", b""),
            ("/maintenance/schedule", b"[]"),
            ("/maintenance/schedule", br#"{"windows": [{"machine_ids": []}]}"#),
        ] {
            assert!(read_body(path, wrong).is_err(), "{path}");
        }
    }
}
