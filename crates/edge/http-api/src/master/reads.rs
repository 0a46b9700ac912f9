//! The v1 reads of a master. As protobuf an answer is a message; as JSON the large ones are written by hand, because
//! Apache Mesos shows their empty lists and because tasks are printed once a change.

use std::sync::Arc;

use messor_master_core::{FrameworkView, View};
use messor_proto::mesos::Task;
use messor_proto::mesos::master::{Response, response};
use messor_proto::{Sink, Version, Wire};
use messor_stdx::Memo;

use super::lists::{self, Form};
use super::maintenance;
use super::model;
use super::registry;
use super::roles::get_roles;
use super::state::V1_SLOT;
use crate::document::{self, Object};

/// Tasks in v1 documents.
const V1_TASKS: Form = Form { slot: V1_SLOT, write: |task| task.to_json(Version::V1Names) };

fn all_frameworks(view: &View) -> impl Iterator<Item = &FrameworkView> {
    view.frameworks.iter().chain(&view.completed_frameworks)
}

pub fn get_tasks(view: &View) -> response::GetTasks {
    let copy = |task: &Arc<Memo<Task>>| Task::clone(task);
    response::GetTasks {
        tasks: all_frameworks(view).flat_map(|f| &f.tasks).map(copy).collect(),
        unreachable_tasks: all_frameworks(view).flat_map(|f| &f.unreachable_tasks).map(copy).collect(),
        completed_tasks: all_frameworks(view).flat_map(|f| f.completed_tasks.iter()).map(copy).collect(),
        ..Default::default()
    }
}

fn write_tasks(object: &mut Object<'_>, view: &View) {
    let all = || all_frameworks(view);
    object.array("tasks", |a| all().for_each(|f| lists::living(a, &f.tasks, V1_TASKS)));
    object.array("unreachable_tasks", |a| {
        all().for_each(|f| lists::living(a, &f.unreachable_tasks, V1_TASKS));
    });
    object.array("completed_tasks", |a| {
        all().for_each(|f| lists::over(a, &f.completed_tasks, V1_TASKS));
    });
}

pub fn get_executors(view: &View) -> response::GetExecutors {
    let executors = all_frameworks(view)
        .flat_map(|f| &f.executors)
        .map(|(agent, info)| response::get_executors::Executor {
            executor_info: info.as_ref().clone(),
            agent_id: agent.into(),
        })
        .collect();
    response::GetExecutors { executors, ..Default::default() }
}

pub fn get_frameworks(view: &View) -> response::GetFrameworks {
    response::GetFrameworks {
        frameworks: view.frameworks.iter().map(model::framework).collect(),
        completed_frameworks: view.completed_frameworks.iter().map(model::framework).collect(),
        ..Default::default()
    }
}

pub fn get_agents(view: &View) -> response::GetAgents {
    response::GetAgents {
        agents: view.agents.iter().map(|agent| model::agent(agent)).collect(),
        recovered_agents: view.recovered_agents.iter().map(|info| info.as_ref().clone()).collect(),
    }
}

pub fn get_state(view: &View) -> response::GetState {
    response::GetState {
        get_tasks: Some(get_tasks(view)),
        get_executors: Some(get_executors(view)),
        get_frameworks: Some(get_frameworks(view)),
        get_agents: Some(get_agents(view)),
    }
}

pub fn get_master(view: &View) -> response::GetMaster {
    response::GetMaster {
        master_info: Some(model::master_info(&view.info)),
        start_time: Some(view.start_time.as_secs_f64()),
        elected_time: view.elected_time.map(|t| t.as_secs_f64()),
    }
}

fn write_agents(object: &mut Object<'_>, view: &View) {
    object.array("agents", |a| {
        for agent in &view.agents {
            a.raw(agent.rendering(V1_SLOT, |agent| model::agent(agent).to_json(Version::V1Names)));
        }
    });
    object.array("recovered_agents", |a| {
        view.recovered_agents.iter().for_each(|info| a.message(info.as_ref(), Version::V1Names));
    });
}

fn write_frameworks(object: &mut Object<'_>, view: &View) {
    for (name, list) in
        [("frameworks", &view.frameworks), ("completed_frameworks", &view.completed_frameworks)]
    {
        object.array(name, |a| list.iter().for_each(|f| a.message(&model::framework(f), Version::V1Names)));
    }
}

fn write_executors(object: &mut Object<'_>, view: &View) {
    object.messages("executors", &get_executors(view).executors, Version::V1Names);
}

fn write_state(object: &mut Object<'_>, view: &View) {
    object.object("get_tasks", |o| write_tasks(o, view));
    object.object("get_executors", |o| write_executors(o, view));
    object.object("get_frameworks", |o| write_frameworks(o, view));
    object.object("get_agents", |o| write_agents(o, view));
}

/// The JSON of the reads whose empty lists show; None for the others, which are plain messages. With a sink, what it gives is
/// what the sink has not got.
pub fn json_of(kind: response::Type, view: &View, sink: Option<Sink>) -> Option<Vec<u8>> {
    use response::Type;
    type Write = fn(&mut Object<'_>, &View);
    let (kind_name, name, write): (&str, &str, Write) = match kind {
        Type::GetTasks => ("GET_TASKS", "get_tasks", write_tasks),
        Type::GetExecutors => ("GET_EXECUTORS", "get_executors", write_executors),
        Type::GetFrameworks => ("GET_FRAMEWORKS", "get_frameworks", write_frameworks),
        Type::GetAgents => ("GET_AGENTS", "get_agents", write_agents),
        Type::GetState => ("GET_STATE", "get_state", write_state),
        _ => return None,
    };
    let room = if matches!(kind, Type::GetState | Type::GetTasks) { lists::room(view) * 2 } else { 0 };
    Some(document::object_to(sink, room, |o| {
        o.text("type", kind_name);
        o.object(name, |o| write(o, view));
    }))
}

/// The first event of an operator's stream.
pub fn subscribed_json(view: &View, heartbeat_secs: f64) -> Vec<u8> {
    document::object_within(lists::room(view) * 2, |o| {
        o.text("type", "SUBSCRIBED");
        o.object("subscribed", |o| {
            o.object("get_state", |o| write_state(o, view));
            o.double("heartbeat_interval_seconds", heartbeat_secs);
        });
    })
}

/// The answer to a read as a message.
pub fn message_of(kind: response::Type, view: &View) -> Option<Response> {
    use response::Type;
    let mut answer = Response { r#type: Some(kind.into()), ..Default::default() };
    match kind {
        Type::GetTasks => answer.get_tasks = Some(get_tasks(view)),
        Type::GetExecutors => answer.get_executors = Some(get_executors(view)),
        Type::GetFrameworks => answer.get_frameworks = Some(get_frameworks(view)),
        Type::GetAgents => answer.get_agents = Some(get_agents(view)),
        Type::GetState => answer.get_state = Some(get_state(view)),
        Type::GetRoles => answer.get_roles = Some(get_roles(view)),
        Type::GetMaster => answer.get_master = Some(get_master(view)),
        Type::GetQuota => {
            answer.get_quota = Some(response::GetQuota { status: registry::quota_status(view) });
        }
        Type::GetWeights => {
            // Left out where there are none, as 1.11.0 does.
            let weight_infos = registry::weights(view);
            answer.get_weights = (!weight_infos.is_empty()).then_some(response::GetWeights { weight_infos });
        }
        Type::GetMaintenanceSchedule => {
            let schedule = maintenance::schedule(view);
            answer.get_maintenance_schedule = Some(response::GetMaintenanceSchedule { schedule });
        }
        Type::GetMaintenanceStatus => {
            let status = maintenance::status(view);
            answer.get_maintenance_status = Some(response::GetMaintenanceStatus { status });
        }
        Type::GetOperations => {
            let operations = view.operations.iter().map(|operation| operation.as_ref().clone()).collect();
            answer.get_operations = Some(response::GetOperations { operations });
        }
        _ => return None,
    }
    Some(answer)
}
