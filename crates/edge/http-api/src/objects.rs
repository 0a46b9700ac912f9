//! The objects of the v0 endpoints (/state and its like), whose JSON differs from that of their protobuf messages:
//! resources as sums by name, attributes by name, labels as a plain list, and fewer fields.

use std::collections::BTreeMap;

use messor_proto::mesos::{
    self, AgentInfo, Attribute, CommandInfo, DomainInfo, ExecutorInfo, Labels, MasterInfo, Resource, Task,
    TaskStatus, framework_info, master_info, value,
};
use messor_proto::{Version, WireEnum};

use crate::document::{Array, Object};

/// Sums of resources by name. Scalars add in thousandths, as resources do everywhere.
pub fn resources<'r>(object: &mut Object<'_>, name: &str, list: impl IntoIterator<Item = &'r Resource>) {
    let mut scalars: Vec<(String, i64)> = ["disk", "mem", "gpus", "cpus"].map(|n| (n.to_string(), 0)).into();
    let mut ranges: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    let mut sets: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for resource in list {
        let mut name = resource.name.clone();
        if resource.revocable.is_some() {
            name.push_str("_revocable");
        }
        match resource.r#type() {
            value::Type::Scalar => {
                let thousandths = (resource.scalar.as_ref().map_or(0.0, |s| s.value) * 1000.0).round() as i64;
                match scalars.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, sum)) => *sum += thousandths,
                    None => scalars.push((name, thousandths)),
                }
            }
            value::Type::Ranges => {
                let all = resource.ranges.iter().flat_map(|r| &r.range).map(|r| (r.begin, r.end));
                ranges.entry(name).or_default().extend(all);
            }
            value::Type::Set => {
                sets.entry(name)
                    .or_default()
                    .extend(resource.set.iter().flat_map(|s| &s.item).map(String::as_str));
            }
            value::Type::Text => {}
        }
    }
    object.object(name, |o| {
        for (name, sum) in scalars {
            o.double(&name, sum as f64 / 1000.0);
        }
        for (name, list) in ranges {
            o.text(&name, &ranges_text(list));
        }
        for (name, mut items) in sets {
            items.sort_unstable();
            o.text(&name, &set_text(&items));
        }
    });
}

/// `[1-2, 5-9]`, sorted, with what touches joined.
fn ranges_text(mut list: Vec<(u64, u64)>) -> String {
    list.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in list {
        match joined.last_mut() {
            Some((_, last)) if begin <= last.saturating_add(1) => *last = end.max(*last),
            _ => joined.push((begin, end)),
        }
    }
    let parts: Vec<String> = joined.iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
    format!("[{}]", parts.join(", "))
}

fn set_text(items: &[&str]) -> String {
    format!("{{{}}}", items.join(", "))
}

pub fn attributes(object: &mut Object<'_>, name: &str, list: &[Attribute]) {
    object.object(name, |o| {
        for attribute in list {
            match attribute.r#type() {
                value::Type::Scalar => {
                    o.double(&attribute.name, attribute.scalar.as_ref().map_or(0.0, |s| s.value))
                }
                value::Type::Ranges => {
                    let all =
                        attribute.ranges.iter().flat_map(|r| &r.range).map(|r| (r.begin, r.end)).collect();
                    o.text(&attribute.name, &ranges_text(all));
                }
                value::Type::Set => {
                    let items: Vec<&str> =
                        attribute.set.iter().flat_map(|s| &s.item).map(String::as_str).collect();
                    o.text(&attribute.name, &set_text(&items));
                }
                value::Type::Text => {
                    o.text(&attribute.name, attribute.text.as_ref().map_or("", |t| &t.value));
                }
            }
        }
    });
}

pub fn labels(object: &mut Object<'_>, name: &str, labels: &Labels) {
    object.messages(name, &labels.labels, Version::V0);
}

pub fn domain(object: &mut Object<'_>, name: &str, domain: &DomainInfo) {
    object.object(name, |o| {
        if let Some(fault_domain) = &domain.fault_domain {
            o.object("fault_domain", |o| {
                o.object("region", |o| o.text("name", &fault_domain.region.name));
                o.object("zone", |o| o.text("name", &fault_domain.zone.name));
            });
        }
    });
}

/// Fields of an agent that need no more than its info.
pub fn agent_info(object: &mut Object<'_>, info: &AgentInfo) {
    object.text("id", info.id.as_ref().map_or("", |id| &id.value));
    object.text("hostname", &info.hostname);
    object.integer("port", i64::from(info.port()));
    attributes(object, "attributes", &info.attributes);
    if let Some(value) = &info.domain {
        domain(object, "domain", value);
    }
}

pub fn master_info(object: &mut Object<'_>, info: &MasterInfo) {
    object.text("id", &info.id);
    object.text("pid", info.pid());
    object.integer("port", i64::from(info.port));
    object.text("hostname", info.hostname());
    if let Some(value) = &info.domain {
        domain(object, "domain", value);
    }
}

pub fn master_capabilities(object: &mut Object<'_>, list: &[master_info::Capability]) {
    object.texts("capabilities", list.iter().map(|c| c.r#type().wire_name(Version::V0)));
}

pub fn framework_capabilities(object: &mut Object<'_>, list: &[framework_info::Capability]) {
    object.texts("capabilities", list.iter().map(|c| c.r#type().wire_name(Version::V0)));
}

pub fn agent_capabilities(object: &mut Object<'_>, list: &[mesos::agent_info::Capability]) {
    object.texts("capabilities", list.iter().map(|c| c.r#type().wire_name(Version::V0)));
}

/// The role that resources are allocated to: that of the first, as all have the same.
fn allocation_role(list: &[Resource]) -> Option<&str> {
    list.first().map(|r| r.allocation_info.as_ref().map_or("", |a| a.role()))
}

pub fn command(object: &mut Object<'_>, name: &str, command: &CommandInfo) {
    object.object(name, |o| {
        if let Some(shell) = command.shell {
            o.boolean("shell", shell);
        }
        if let Some(value) = &command.value {
            o.text("value", value);
        }
        o.texts("argv", command.arguments.iter().map(String::as_str));
        if let Some(environment) = &command.environment {
            o.message("environment", environment, Version::V0);
        }
        o.array("uris", |a| {
            for uri in &command.uris {
                a.object(|o| {
                    o.text("value", &uri.value);
                    o.boolean("executable", uri.executable());
                });
            }
        });
    });
}

pub fn executor_info(object: &mut Object<'_>, info: &ExecutorInfo) {
    object.text("executor_id", &info.executor_id.value);
    object.text("name", info.name());
    object.text("framework_id", info.framework_id.as_ref().map_or("", |id| &id.value));
    let none = CommandInfo::default();
    command(object, "command", info.command.as_ref().unwrap_or(&none));
    resources(object, "resources", &info.resources);
    if let Some(role) = allocation_role(&info.resources) {
        object.text("role", role);
    }
    if let Some(value) = &info.labels {
        labels(object, "labels", value);
    }
    if info.r#type.is_some() {
        object.text("type", info.r#type().wire_name(Version::V0));
    }
}

pub fn task(object: &mut Object<'_>, task: &Task) {
    object.text("id", &task.task_id.value);
    object.text("name", &task.name);
    object.text("framework_id", &task.framework_id.value);
    object.text("executor_id", task.executor_id.as_ref().map_or("", |id| &id.value));
    object.text("slave_id", &task.agent_id.value);
    object.text("state", task.state().wire_name(Version::V0));
    resources(object, "resources", &task.resources);
    if !task.limits.is_empty() {
        object.object("limits", |o| task.limits.iter().for_each(|(name, limit)| o.double(name, limit.value)));
    }
    object.text("role", allocation_role(&task.resources).unwrap_or_default());
    object.array("statuses", |a| task.statuses.iter().for_each(|s| a.object(|o| task_status(o, s))));
    if let Some(user) = &task.user {
        object.text("user", user);
    }
    if let Some(value) = &task.labels {
        labels(object, "labels", value);
    }
    if let Some(discovery) = &task.discovery {
        object.message("discovery", discovery.as_ref(), Version::V0);
    }
    if let Some(container) = &task.container {
        object.message("container", container.as_ref(), Version::V0);
    }
    if let Some(check) = &task.health_check {
        object.message("health_check", check.as_ref(), Version::V0);
    }
}

fn task_status(object: &mut Object<'_>, status: &TaskStatus) {
    object.text("state", status.state().wire_name(Version::V0));
    object.double("timestamp", status.timestamp());
    if let Some(value) = &status.labels {
        labels(object, "labels", value);
    }
    if let Some(container) = &status.container_status {
        object.object("container_status", |o| container_status(o, container));
    }
    if let Some(healthy) = status.healthy {
        object.boolean("healthy", healthy);
    }
}

fn container_status(object: &mut Object<'_>, status: &mesos::ContainerStatus) {
    if let Some(id) = &status.container_id {
        object.message("container_id", id, Version::V0);
    }
    if !status.network_infos.is_empty() {
        object.array("network_infos", |a| status.network_infos.iter().for_each(|info| network_info(a, info)));
    }
    if let Some(info) = &status.cgroup_info {
        object.message("cgroup_info", info, Version::V0);
    }
}

fn network_info(array: &mut Array<'_>, info: &mesos::NetworkInfo) {
    array.object(|o| {
        if !info.groups.is_empty() {
            o.texts("groups", info.groups.iter().map(String::as_str));
        }
        if let Some(value) = &info.labels {
            labels(o, "labels", value);
        }
        if !info.ip_addresses.is_empty() {
            o.messages("ip_addresses", &info.ip_addresses, Version::V0);
        }
        if let Some(name) = &info.name {
            o.text("name", name);
        }
        if !info.port_mappings.is_empty() {
            o.messages("port_mappings", &info.port_mappings, Version::V0);
        }
    });
}

pub fn offer(array: &mut Array<'_>, offer: &mesos::Offer) {
    array.object(|o| {
        o.text("id", &offer.id.value);
        o.text("framework_id", &offer.framework_id.value);
        o.message("allocation_info", &offer.allocation_info.clone().unwrap_or_default(), Version::V0);
        o.text("slave_id", &offer.agent_id.value);
        resources(o, "resources", &offer.resources);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    fn scalar(name: &str, value: f64) -> Resource {
        Resource {
            name: name.into(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(value::Scalar { value }),
            ..Resource::default()
        }
    }

    #[test]
    fn resources_sum_by_name() {
        let ports = Resource {
            name: "ports".into(),
            r#type: value::Type::Ranges.into(),
            ranges: Some(value::Ranges {
                range: vec![value::Range { begin: 5, end: 9 }, value::Range { begin: 1, end: 4 }],
            }),
            ..Resource::default()
        };
        let document = document::object(|o| {
            resources(o, "r", &[scalar("cpus", 0.1), scalar("cpus", 0.2), ports, scalar("x", 1.0)])
        });
        assert_eq!(
            String::from_utf8(document).unwrap(),
            r#"{"r":{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":0.3,"x":1.0,"ports":"[1-9]"}}"#
        );
    }
}
