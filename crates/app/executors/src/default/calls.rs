//! The calls to the agent's own API. It must not know when they are made.

use messor_proto::mesos::agent::{Call, call};
use messor_proto::mesos::environment::{Variable, variable};
use messor_proto::mesos::volume::{Source, source};
use messor_proto::mesos::{CommandInfo, ContainerId, ContainerInfo, TaskInfo, Volume, container_info};

fn typed(kind: call::Type) -> Call {
    Call { r#type: Some(kind as i32), ..Call::default() }
}

/// Which containers there are, the nested ones too.
pub fn containers() -> Call {
    let get_containers = call::GetContainers { show_nested: Some(true), show_standalone: None };
    Call { get_containers: Some(get_containers), ..typed(call::Type::GetContainers) }
}

/// A task's container: with the task's command, container, resources and limits.
pub fn launch(container: &ContainerId, task: &TaskInfo, ip: Option<&str>) -> Call {
    let mut command = task.command.clone().unwrap_or_default();
    // A task's resources are all allocated to one role.
    let allocation = task.resources.first().and_then(|resource| resource.allocation_info.as_ref());
    let role = allocation.and_then(|allocation| allocation.role.as_deref()).unwrap_or_default();
    set(&mut command, "MESOS_ALLOCATION_ROLE", role);
    if let Some(ip) = ip {
        set(&mut command, "MESOS_CONTAINER_IP", ip);
    }
    let mut info = task.container.as_deref().cloned();
    // The executor's container has the persistent volumes of its tasks; each task sees its own from there.
    for resource in &task.resources {
        if let Some(volume) = resource.disk.as_ref().and_then(|disk| disk.volume.as_ref()) {
            let info = info.get_or_insert_with(|| ContainerInfo {
                r#type: container_info::Type::Mesos as i32,
                ..ContainerInfo::default()
            });
            info.volumes.push(from_parent(volume));
        }
    }
    let launch = call::LaunchContainer {
        container_id: container.clone(),
        command: Some(command),
        resources: task.resources.clone(),
        container: info,
        limits: task.limits.clone(),
    };
    Call { launch_container: Some(launch), ..typed(call::Type::LaunchContainer) }
}

fn from_parent(volume: &Volume) -> Volume {
    let path = source::SandboxPath {
        r#type: Some(source::sandbox_path::Type::Parent as i32),
        path: volume.container_path.clone(),
    };
    Volume {
        mode: volume.mode,
        container_path: volume.container_path.clone(),
        source: Some(Source {
            r#type: Some(source::Type::SandboxPath as i32),
            sandbox_path: Some(path),
            ..Source::default()
        }),
        ..Volume::default()
    }
}

/// Older agents know no other name for it.
pub fn wait(container: &ContainerId) -> Call {
    let wait = call::WaitNestedContainer { container_id: container.clone() };
    Call { wait_nested_container: Some(wait), ..typed(call::Type::WaitNestedContainer) }
}

pub fn kill(container: &ContainerId, signal: i32) -> Call {
    let kill = call::KillNestedContainer { container_id: container.clone(), signal: Some(signal) };
    Call { kill_nested_container: Some(kill), ..typed(call::Type::KillNestedContainer) }
}

pub fn remove(container: &ContainerId) -> Call {
    let remove = call::RemoveNestedContainer { container_id: container.clone() };
    Call { remove_nested_container: Some(remove), ..typed(call::Type::RemoveNestedContainer) }
}

/// A check's command, in the container of its task.
pub fn session(container: &ContainerId, command: &CommandInfo) -> Call {
    let session = call::LaunchNestedContainerSession {
        container_id: container.clone(),
        command: Some(command.clone()),
        container: None,
    };
    Call { launch_nested_container_session: Some(session), ..typed(call::Type::LaunchNestedContainerSession) }
}

fn set(command: &mut CommandInfo, name: &str, value: &str) {
    let environment = command.environment.get_or_insert_with(Default::default);
    environment.variables.push(Variable {
        name: name.to_string(),
        value: Some(value.to_string()),
        r#type: Some(variable::Type::Value as i32),
        secret: None,
    });
}
