//! The v0 read of an agent: /state.

use std::collections::BTreeMap;

use messor_agent_core::{ExecutorView, FrameworkView, View};
use messor_proto::mesos::{AgentInfo, TaskInfo};
use messor_proto::{Version, WireEnum};
use messor_types::{ResourceFormat, Resources, Role};

use crate::document::{self, Array, Object};
use crate::info::ProgramInfo;
use crate::master::lists::task;
use crate::master::state::{V0_TASKS, build_info, flags_object, is_multi_role, resources};
use crate::objects;

pub fn state(view: &View, program: &ProgramInfo) -> Vec<u8> {
    let info: &AgentInfo = &view.info;
    document::object(|o| {
        build_info(o, &program.build);
        o.double("start_time", view.start_time.as_secs_f64());
        o.text("id", info.id.as_ref().map_or("", |id| &id.value));
        o.text("pid", &view.pid.as_ref().map(ToString::to_string).unwrap_or_default());
        o.text("hostname", &info.hostname);
        o.texts("capabilities", view.capabilities.iter().map(|c| c.wire_name(Version::V0)));
        if let Some(domain) = &info.domain {
            objects::domain(o, "domain", domain);
        }
        if let Some(config) = &view.drain_config {
            o.message("drain_config", config, Version::V0);
            if let Some(since) = view.estimated_drain_start_time {
                o.integer("estimated_drain_start_time_seconds", since.as_secs_f64() as i64);
            }
        }
        let total = &view.total;
        let reservations = total.reservations();
        resources(o, "resources", total);
        by_role(o, "reserved_resources", &reservations);
        resources(o, "unreserved_resources", &total.unreserved());
        o.object("reserved_resources_full", |o| {
            for (role, reserved) in &reservations {
                o.messages(role.as_str(), &reserved.to_proto(ResourceFormat::Endpoint), Version::V0);
            }
        });
        let unreserved = total.unreserved().to_proto(ResourceFormat::Endpoint);
        o.messages("unreserved_resources_full", &unreserved, Version::V0);
        let allocated = allocated(view);
        by_role(o, "reserved_resources_allocated", &allocated.reservations());
        resources(o, "unreserved_resources_allocated", &allocated.unreserved());
        o.array("resource_providers", |_| ());
        objects::attributes(o, "attributes", &info.attributes);
        if let Some(leader) = &view.leader {
            o.text("master_hostname", leader.hostname());
        }
        for name in ["log_dir", "external_log_file"] {
            if let Some(value) = program.flag(name) {
                o.text(name, value);
            }
        }
        flags_object(o, program);
        o.array("frameworks", |a| view.frameworks.iter().for_each(|f| framework(a, f)));
        o.array("completed_frameworks", |a| view.completed_frameworks.iter().for_each(|f| framework(a, f)));
    })
}

fn by_role(object: &mut Object<'_>, name: &str, reservations: &BTreeMap<Role, Resources>) {
    object.object(name, |o| {
        reservations.iter().for_each(|(role, reserved)| resources(o, role.as_str(), reserved))
    });
}

/// What executors and their tasks hold.
fn allocated(view: &View) -> Resources {
    let mut sum = Resources::default();
    for executor in view.frameworks.iter().flat_map(|f| &f.executors) {
        sum += &executor.resources;
    }
    sum
}

fn framework(array: &mut Array<'_>, view: &FrameworkView) {
    let info = &view.info;
    array.object(|o| {
        o.text("id", view.id.as_str());
        o.text("name", &info.name);
        o.text("user", &info.user);
        o.double("failover_timeout", info.failover_timeout());
        o.boolean("checkpoint", info.checkpoint());
        o.text("hostname", info.hostname());
        if let Some(principal) = &info.principal {
            o.text("principal", principal);
        }
        if is_multi_role(info) {
            o.texts("roles", info.roles.iter().map(String::as_str));
        } else {
            #[allow(deprecated)] // frameworks without MULTI_ROLE have nothing else
            o.text("role", info.role());
        }
        o.array("executors", |a| view.executors.iter().for_each(|e| executor(a, e)));
        o.array("completed_executors", |a| view.completed_executors.iter().for_each(|e| executor(a, e)));
    });
}

fn executor(array: &mut Array<'_>, view: &ExecutorView) {
    let info = &view.info;
    array.object(|o| {
        o.text("id", view.id.as_str());
        o.text("name", info.name());
        o.text("source", info.source());
        o.text("container", view.container.value());
        o.text("directory", &view.directory);
        resources(o, "resources", &view.resources);
        if let Some(resource) = info.resources.first() {
            o.text("role", resource.allocation_info.as_ref().map_or("", |a| a.role()));
        }
        if let Some(labels) = &info.labels {
            objects::labels(o, "labels", labels);
        }
        if info.r#type.is_some() {
            o.text("type", info.r#type().wire_name(Version::V0));
        }
        o.array("tasks", |a| view.launched_tasks.iter().for_each(|t| task(a, t, V0_TASKS)));
        o.array("queued_tasks", |a| view.queued_tasks.iter().for_each(|t| queued_task(a, t)));
        let over = view.completed_tasks.iter().chain(&view.terminated_tasks);
        o.array("completed_tasks", |a| over.for_each(|t| task(a, t, V0_TASKS)));
    });
}

fn queued_task(array: &mut Array<'_>, info: &TaskInfo) {
    array.object(|o| {
        o.text("id", &info.task_id.value);
        o.text("name", &info.name);
        o.text("slave_id", &info.agent_id.value);
        objects::resources(o, "resources", &info.resources);
        if let Some(resource) = info.resources.first() {
            o.text("role", resource.allocation_info.as_ref().map_or("", |a| a.role()));
        }
        if let Some(command) = &info.command {
            objects::command(o, "command", command);
        }
        if let Some(executor) = &info.executor {
            o.text("executor_id", &executor.executor_id.value);
        }
        if let Some(discovery) = &info.discovery {
            o.message("discovery", discovery.as_ref(), Version::V0);
        }
    });
}
