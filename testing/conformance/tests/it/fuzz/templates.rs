//! Calls that are right, to go wrong in one place or two: what is made from tables alone rarely gets past the first check.

use fastrand::Rng;
use serde_json::{Value, json};

use super::messages::{World, once_in};

fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

fn reserved(name: &str, value: f64) -> Value {
    let mut resource = scalar(name, value);
    resource["reservations"] = json!([{"type": "DYNAMIC", "role": "ops", "principal": "p"}]);
    resource
}

fn volume(id: &str, value: f64) -> Value {
    let mut resource = reserved("disk", value);
    resource["disk"] = json!({"persistence": {"id": id, "principal": "p"}, "volume": {"container_path": "data", "mode": "RW"}});
    resource
}

fn info(name: &str) -> Value {
    json!({"user": "root", "name": name, "roles": ["ops"], "failover_timeout": 0.5, "checkpoint": true,
           "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}, {"type": "RESERVATION_REFINEMENT"}]})
}

fn allocated(mut resource: Value) -> Value {
    resource["allocation_info"] = json!({"role": "web"});
    resource
}

/// The right call of a type, where there is one to start from.
fn right(rng: &mut Rng, world: &World, path: &str, name: &str) -> Option<Value> {
    let agent = json!({"value": world.agent});
    let number = rng.u32(..4);
    let id = json!({"value": format!("fuzz-{number}")});
    let nested = json!({"value": format!("fuzz-{number}"), "parent": {"value": world.container}});
    let harmless = ["true", "sleep 0.05", "exit 3", "echo x"];
    let command = json!({"value": harmless[rng.usize(..harmless.len())]});
    let machine = json!({"hostname": "elsewhere", "ip": "10.9.8.7"});
    let start = json!({"nanoseconds": 2_000_000_000_000_000_000_i64});
    let window = json!({"machine_ids": [machine], "unavailability": {"start": start, "duration": {"nanoseconds": 1_000}}});
    let mut own = info("agents");
    own["roles"] = json!(["web", "ops"]);
    let limits = json!({"cpus": {"value": 4}, "mem": {"value": 1024}});
    let body = match (path.rsplit('/').next()?, name) {
        ("v1", "RESERVE_RESOURCES") => json!({"agent_id": agent, "resources": [reserved("disk", 8.0)]}),
        ("v1", "UNRESERVE_RESOURCES") => json!({"agent_id": agent, "resources": [reserved("disk", 1.0)]}),
        ("v1", "CREATE_VOLUMES" | "DESTROY_VOLUMES") => {
            json!({"agent_id": agent, "volumes": [volume("v1", 4.0)]})
        }
        ("v1", "GROW_VOLUME") => {
            json!({"agent_id": agent, "volume": volume("v1", 4.0), "addition": reserved("disk", 1.0)})
        }
        ("v1", "SHRINK_VOLUME") => {
            json!({"agent_id": agent, "volume": volume("v1", 4.0), "subtract": {"value": 1}})
        }
        ("v1", "SET_QUOTA") => {
            json!({"quota_request": {"role": "ops", "force": true, "guarantee": [scalar("cpus", 0.5)]}})
        }
        ("v1", "REMOVE_QUOTA") => json!({"role": "ops"}),
        ("v1", "UPDATE_QUOTA") => {
            json!({"force": true, "quota_configs": [{"role": "ops", "guarantees": {"cpus": {"value": 0.5}}, "limits": limits}]})
        }
        ("v1", "UPDATE_WEIGHTS") => json!({"weight_infos": [{"role": "ops", "weight": 2.5}]}),
        ("v1", "UPDATE_MAINTENANCE_SCHEDULE") => json!({"schedule": {"windows": [window]}}),
        ("v1", "START_MAINTENANCE" | "STOP_MAINTENANCE") => json!({"machines": [machine]}),
        ("v1", "SET_LOGGING_LEVEL") => json!({"level": 1, "duration": {"nanoseconds": 1_000_000}}),
        ("v1", "GET_METRICS") => json!({"timeout": {"nanoseconds": 1_000_000}}),
        ("v1", "REACTIVATE_AGENT") => json!({"agent_id": agent}),
        ("v1", "LIST_FILES") => json!({"path": world.sandbox}),
        ("v1", "READ_FILE") => {
            json!({"path": format!("{}/stdout", world.sandbox), "offset": 0, "length": 100})
        }
        ("v1", "LAUNCH_CONTAINER") => {
            json!({"container_id": id, "command": command, "resources": [scalar("cpus", 0.1)]})
        }
        ("v1", "WAIT_CONTAINER" | "KILL_CONTAINER" | "REMOVE_CONTAINER") => {
            json!({"container_id": if rng.bool() { id } else { nested }})
        }
        ("v1", "LAUNCH_NESTED_CONTAINER" | "LAUNCH_NESTED_CONTAINER_SESSION") => {
            json!({"container_id": nested, "command": command})
        }
        (
            "v1",
            "WAIT_NESTED_CONTAINER"
            | "KILL_NESTED_CONTAINER"
            | "REMOVE_NESTED_CONTAINER"
            | "ATTACH_CONTAINER_OUTPUT",
        ) => {
            json!({"container_id": nested})
        }
        ("scheduler", "SUBSCRIBE") => json!({"framework_info": info("passing by"), "suppressed_roles": []}),
        ("scheduler", "UPDATE_FRAMEWORK") => json!({"framework_info": own}),
        ("scheduler", "ACCEPT") => {
            let resources = json!([allocated(scalar("cpus", 0.1)), allocated(scalar("mem", 16.0))]);
            let task = json!({"name": "t", "task_id": {"value": format!("t{}", rng.u32(..))}, "agent_id": agent, "resources": resources,
                              "command": command});
            let mut disk = allocated(scalar("disk", 1.0));
            disk["reservations"] = json!([{"type": "DYNAMIC", "role": "web"}]);
            json!({"offer_ids": [{"value": world.offer}], "filters": {"refuse_seconds": 0.01}, "operations": [
                {"type": "LAUNCH", "launch": {"task_infos": [task]}}, {"type": "RESERVE", "reserve": {"resources": [disk]}}]})
        }
        ("scheduler", "DECLINE") => {
            json!({"offer_ids": [{"value": world.offer}], "filters": {"refuse_seconds": 0.01}})
        }
        ("scheduler", "RECONCILE") => json!({"tasks": [{"task_id": {"value": "steady"}, "agent_id": agent}]}),
        ("scheduler", "MESSAGE") => {
            json!({"agent_id": agent, "executor_id": {"value": "steady"}, "data": "aGk="})
        }
        ("scheduler", "ACKNOWLEDGE") => {
            json!({"agent_id": agent, "task_id": {"value": "steady"}, "uuid": "MTIzNDU2Nzg5MDEyMzQ1Ng=="})
        }
        ("executor", "UPDATE") => {
            json!({"status": {"task_id": {"value": "none"}, "state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR",
                                                   "uuid": "MTIzNDU2Nzg5MDEyMzQ1Ng=="}})
        }
        ("executor", "MESSAGE") => json!({"data": "aGk="}),
        ("executor", "SUBSCRIBE") => json!({"unacknowledged_tasks": [], "unacknowledged_updates": []}),
        _ => return None,
    };
    let mut call = json!({"type": name});
    call[name.to_lowercase()] = body;
    if path.ends_with("scheduler") && name != "SUBSCRIBE" {
        call["framework_id"] = json!({"value": world.framework});
    }
    if path.ends_with("executor") {
        call["framework_id"] = json!({"value": world.framework});
        call["executor_id"] = json!({"value": "nobody"});
    }
    Some(call)
}

/// A call in JSON with so many places changed.
pub fn call(rng: &mut Rng, world: &World, path: &str, name: &str, changes: usize) -> Option<Vec<u8>> {
    let mut call = right(rng, world, path, name)?;
    for _ in 0..changes {
        let count = places(&call);
        let at = rng.usize(..count.max(1));
        change(rng, &mut call, at);
    }
    Some(call.to_string().into_bytes())
}

/// Values that are not in another one of these.
fn places(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.values().map(places).sum(),
        Value::Array(items) => items.iter().map(places).sum(),
        _ => 1,
    }
}

/// Makes something else of one place, or drops or doubles what it is in.
fn change(rng: &mut Rng, value: &mut Value, at: usize) {
    let mut before = 0;
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                let within = places(&fields[&name]);
                if at < before + within {
                    if once_in(rng, 6) {
                        fields.remove(&name);
                    } else if let Some(inner) = fields.get_mut(&name) {
                        change(rng, inner, at - before);
                    }
                    return;
                }
                before += within;
            }
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                let within = places(&items[index]);
                if at < before + within {
                    match rng.u32(..8) {
                        0 => items.push(items[index].clone()),
                        1 => drop(items.remove(index)),
                        _ => change(rng, &mut items[index], at - before),
                    }
                    return;
                }
                before += within;
            }
        }
        leaf => *leaf = other(rng),
    }
}

/// None of these makes another call of one.
fn other(rng: &mut Rng) -> Value {
    let values = [
        json!(null),
        json!(-1),
        json!(0),
        json!(0.0001),
        json!(1e300),
        json!(-1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e-320),
        json!(""),
        json!("*"),
        json!("web"),
        json!("ops"),
        json!("ops/a"),
        json!("../../x"),
        json!("/"),
        json!("a\0b"),
        json!("NO_SUCH"),
        json!("SCALAR"),
        json!("RANGES"),
        json!([]),
        json!({}),
        json!(true),
        json!([[[]]]),
        json!({"value": 3}),
        json!("cpus"),
        json!("disk"),
        json!("v2"),
        json!(4096),
        json!("z".repeat(3000)),
    ];
    values[rng.usize(..values.len())].clone()
}
