//! Containers of the operator API: what they take from their parent, and what of their own.

use messor_containers::{Answer, Kind};
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::{Item, item::Action};
use messor_proto::mesos::slave::{ContainerClass, ContainerConfig};
use messor_types::ContainerId;

use crate::containerizer::Shared;
use crate::entry::{ContainerLaunch, Entry, Plan, scalars};

/// What stands for it at this side, and whether it fetches. What is wrong with it is answered at once.
pub(crate) fn entry(
    shared: &Shared,
    container: ContainerId,
    launch: ContainerLaunch,
) -> Result<(Entry, bool), Answer> {
    let invalid = |words: String| Answer::Invalid(words);
    check_name(&container).map_err(invalid)?;
    let config = &shared.config;
    let class = if launch.debug { ContainerClass::Debug } else { ContainerClass::Default };
    let mut of_container = ContainerConfig {
        command_info: launch.command,
        container_info: launch.container_info,
        resources: launch.resources,
        limits: scalars(&launch.limits),
        container_class: Some(class as i32),
        ..ContainerConfig::default()
    };
    of_container.user =
        launch.user.or_else(|| of_container.command_info.user.clone()).filter(|_| config.switch_user);
    let (kind, directory, root_sandbox, parent_info) = match container.parent() {
        Some(parent) => {
            let (parent_entry, root) = {
                let inner = shared.lock();
                let found = inner.entries.get(parent).cloned();
                (found.ok_or(Answer::NoParent)?, inner.entries.get(container.root()).cloned())
            };
            let root = root.ok_or(Answer::NoParent)?;
            let of_parent = parent_entry.state();
            if of_container.user.is_none() {
                of_container.user.clone_from(&of_parent.config.user);
            }
            let info = of_parent.launch_info.clone();
            drop(of_parent);
            of_container.executor_info.clone_from(&root.state().config.executor_info);
            let root_sandbox = root.sandbox();
            let sandbox = crate::sandbox::nested_path(&root_sandbox, &container);
            of_container.directory = sandbox.to_string_lossy().into_owned();
            let kind = if launch.debug { Kind::Debug } else { Kind::Nested };
            (kind, None, root_sandbox, Some(info))
        }
        None if launch.debug => {
            return Err(invalid(format!("container {container} is for a session, but has no parent")));
        }
        None => {
            let directory = format!("containers/{}", container.value());
            let sandbox = config.work_dir.join(&directory);
            of_container.directory = sandbox.to_string_lossy().into_owned();
            (Kind::Standalone, Some(directory), sandbox, None)
        }
    };
    let uris = of_container.command_info.uris.iter().map(|uri| Item {
        uri: uri.clone(),
        action: Action::BypassCache as i32,
        cache_filename: None,
    });
    let items: Vec<Item> = uris.collect();
    let fetches = !items.is_empty();
    let plan = Plan {
        environment: Vec::new(),
        uris: vec![FetcherInfo { items, ..FetcherInfo::default() }],
        forked_pid: None,
        directory,
        root_sandbox,
        parent: parent_info,
    };
    Ok((Entry::new(container, kind, &config.runtime_dir, of_container, Some(plan)), fetches))
}

/// Each part of the id names a directory.
fn check_name(container: &ContainerId) -> Result<(), String> {
    let mut id = Some(container);
    while let Some(found) = id {
        let name = found.value();
        if name.is_empty() || name == "." || name == ".." || name.len() > 242 || name.contains(['/', '\0']) {
            return Err(format!("'{name}' cannot be the id of a container: it is to name a directory"));
        }
        id = found.parent();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_directories() {
        let top = ContainerId::new("c");
        assert!(check_name(&ContainerId::nested(&top, "n")).is_ok());
        for name in ["", ".", "..", "a/b", "a\0", &"x".repeat(243)] {
            assert!(check_name(&ContainerId::nested(&top, name)).is_err(), "{name:?}");
            assert!(check_name(&ContainerId::nested(&ContainerId::new(name), "n")).is_err(), "{name:?}");
        }
    }
}
