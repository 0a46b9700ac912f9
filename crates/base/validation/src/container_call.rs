//! The calls of an agent's v1 API about containers: which fields they must have, and what may stand in them.

use messor_proto::mesos::agent::{
    Call,
    call::{LaunchContainer, Type, attach_container_input},
};
use messor_proto::mesos::{CommandInfo, ContainerId, ContainerInfo};
use messor_types::Resource;

use crate::command::{CommandError, validate_command};
use crate::container::{ContainerError, validate_container};
use crate::executor::{asks_to_share_cgroups, share_cgroups};
use crate::ids::{IdError, validate_id};
use crate::resources::{ResourcesError, validate_resources};

/// An id with what isolators and the checkpoints append must fit a file name.
const LONGEST_ID: usize = 242;

/// How deep containers may be nested: far more than anybody does, and little enough for any path and any stack.
const DEEPEST: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerIdError {
    #[error(transparent)]
    Id(#[from] IdError),
    #[error("a container's id must not have more than {LONGEST_ID} bytes; this one has {0}")]
    TooLong(usize),
    #[error("'{0}' is no valid id of a container: periods and spaces are not allowed")]
    Character(String),
    #[error("containers are nested at most {DEEPEST} deep")]
    TooDeep,
    #[error("'parent' is invalid: {0}")]
    Parent(Box<ContainerIdError>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerCallError {
    #[error("expecting '{0}' to be present")]
    Missing(String),
    #[error("'{field}' is invalid: {error}")]
    Id { field: String, error: ContainerIdError },
    #[error("'{field}.command' is invalid: {error}")]
    Command { field: &'static str, error: CommandError },
    #[error("'{field}.container' is invalid: {error}")]
    Container { field: &'static str, error: ContainerError },
    #[error("'{field}.container.linux_info' is invalid: 'share_cgroups' must not be {value} for {whom}")]
    ShareCgroups { field: &'static str, value: bool, whom: &'static str },
    #[error("'launch_container.resources' is invalid: {0}")]
    Resources(#[from] ResourcesError),
    #[error("'launch_container.resources' must be {0}")]
    Standalone(&'static str),
    #[error("'launch_container.{0}' must not be set for containers at the second level of nesting or deeper")]
    Deep(&'static str),
    #[error("'attach_container_input.type' is no known type")]
    AttachType,
}

pub fn validate_container_id(id: &ContainerId) -> Result<(), ContainerIdError> {
    validate_at_depth(id, 1)
}

fn validate_at_depth(id: &ContainerId, depth: usize) -> Result<(), ContainerIdError> {
    if depth > DEEPEST {
        return Err(ContainerIdError::TooDeep);
    }
    validate_id(&id.value)?;
    if id.value.len() > LONGEST_ID {
        return Err(ContainerIdError::TooLong(id.value.len()));
    }
    if id.value.contains(['.', ' ']) {
        return Err(ContainerIdError::Character(id.value.clone()));
    }
    match &id.parent {
        Some(parent) => {
            validate_at_depth(parent, depth + 1).map_err(|error| ContainerIdError::Parent(Box::new(error)))
        }
        None => Ok(()),
    }
}

/// Checks a call about containers; others pass.
pub fn validate_container_call(call: &Call) -> Result<(), ContainerCallError> {
    match call.r#type() {
        Type::LaunchNestedContainer => {
            let name = "launch_nested_container";
            let launch = call.launch_nested_container.as_ref().ok_or_else(|| missing(name))?;
            validate_nested(&launch.container_id, name)?;
            validate_parts(name, launch.command.as_ref(), launch.container.as_ref())?;
            let of_its_own = share_cgroups(launch.container.as_ref()) == Some(false);
            if of_its_own && is_deep(&launch.container_id) {
                return Err(deep_share_cgroups(name));
            }
            Ok(())
        }
        Type::LaunchNestedContainerSession => {
            let name = "launch_nested_container_session";
            let launch = call.launch_nested_container_session.as_ref().ok_or_else(|| missing(name))?;
            validate_nested(&launch.container_id, name)?;
            validate_parts(name, launch.command.as_ref(), launch.container.as_ref())?;
            if share_cgroups(launch.container.as_ref()) == Some(false) {
                let whom = "sessions in nested containers";
                return Err(ContainerCallError::ShareCgroups { field: name, value: false, whom });
            }
            Ok(())
        }
        Type::WaitNestedContainer => {
            let name = "wait_nested_container";
            let wait = call.wait_nested_container.as_ref().ok_or_else(|| missing(name))?;
            validate_nested(&wait.container_id, name)
        }
        Type::KillNestedContainer => {
            let name = "kill_nested_container";
            let kill = call.kill_nested_container.as_ref().ok_or_else(|| missing(name))?;
            validate_nested(&kill.container_id, name)
        }
        Type::RemoveNestedContainer => {
            let name = "remove_nested_container";
            let remove = call.remove_nested_container.as_ref().ok_or_else(|| missing(name))?;
            validate_nested(&remove.container_id, name)
        }
        Type::AttachContainerInput => {
            let name = "attach_container_input";
            let attach = call.attach_container_input.as_ref().ok_or_else(|| missing(name))?;
            if attach.r#type.is_none() {
                return Err(missing("attach_container_input.type"));
            }
            match attach.r#type() {
                attach_container_input::Type::Unknown => Err(ContainerCallError::AttachType),
                attach_container_input::Type::ContainerId => {
                    let id = attach.container_id.as_ref();
                    validate_any(id.ok_or_else(|| missing("attach_container_input.container_id"))?, name)
                }
                attach_container_input::Type::ProcessIo => Ok(()),
            }
        }
        Type::AttachContainerOutput => {
            let name = "attach_container_output";
            let attach = call.attach_container_output.as_ref().ok_or_else(|| missing(name))?;
            validate_any(&attach.container_id, name)
        }
        Type::LaunchContainer => {
            validate_launch(call.launch_container.as_ref().ok_or_else(|| missing("launch_container"))?)
        }
        Type::WaitContainer => {
            let name = "wait_container";
            validate_any(&call.wait_container.as_ref().ok_or_else(|| missing(name))?.container_id, name)
        }
        Type::KillContainer => {
            let name = "kill_container";
            validate_any(&call.kill_container.as_ref().ok_or_else(|| missing(name))?.container_id, name)
        }
        Type::RemoveContainer => {
            let name = "remove_container";
            validate_any(&call.remove_container.as_ref().ok_or_else(|| missing(name))?.container_id, name)
        }
        _ => Ok(()),
    }
}

fn missing(field: &str) -> ContainerCallError {
    ContainerCallError::Missing(field.to_string())
}

fn validate_any(id: &ContainerId, call: &str) -> Result<(), ContainerCallError> {
    validate_container_id(id)
        .map_err(|error| ContainerCallError::Id { field: format!("{call}.container_id"), error })
}

fn validate_nested(id: &ContainerId, call: &str) -> Result<(), ContainerCallError> {
    validate_any(id, call)?;
    if id.parent.is_none() {
        return Err(ContainerCallError::Missing(format!("{call}.container_id.parent")));
    }
    Ok(())
}

fn validate_parts(
    field: &'static str,
    command: Option<&CommandInfo>,
    container: Option<&ContainerInfo>,
) -> Result<(), ContainerCallError> {
    if let Some(command) = command {
        validate_command(command).map_err(|error| ContainerCallError::Command { field, error })?;
    }
    if let Some(container) = container {
        validate_container(container).map_err(|error| ContainerCallError::Container { field, error })?;
    }
    Ok(())
}

fn is_deep(id: &ContainerId) -> bool {
    id.parent.as_ref().is_some_and(|parent| parent.parent.is_some())
}

fn deep_share_cgroups(field: &'static str) -> ContainerCallError {
    let whom = "containers at the second level of nesting or deeper";
    ContainerCallError::ShareCgroups { field, value: false, whom }
}

fn validate_launch(launch: &LaunchContainer) -> Result<(), ContainerCallError> {
    let name = "launch_container";
    validate_any(&launch.container_id, name)?;
    let resources = validate_resources(&launch.resources)?;
    let standalone = launch.container_id.parent.is_none();
    if standalone {
        // The master does not account for what standalone containers use: they have nothing of its promises.
        if resources.iter().any(Resource::is_reserved) {
            return Err(ContainerCallError::Standalone("unreserved"));
        }
        if resources.iter().any(Resource::is_persistent_volume) {
            return Err(ContainerCallError::Standalone("without persistent volumes"));
        }
        if resources.iter().any(Resource::is_revocable) {
            return Err(ContainerCallError::Standalone("non-revocable"));
        }
    }
    let container = launch.container.as_ref();
    validate_parts(name, launch.command.as_ref(), container)?;
    if is_deep(&launch.container_id) {
        if !launch.resources.is_empty() {
            return Err(ContainerCallError::Deep("resources"));
        }
        if !launch.limits.is_empty() {
            return Err(ContainerCallError::Deep("limits"));
        }
        if share_cgroups(container) == Some(false) {
            return Err(deep_share_cgroups(name));
        }
    }
    if standalone && asks_to_share_cgroups(container) {
        let whom = "containers without a parent";
        return Err(ContainerCallError::ShareCgroups { field: name, value: true, whom });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::Version;
    use messor_proto::Wire;

    fn check(json: &str) -> Result<(), String> {
        let call = Call::from_json(json.as_bytes(), Version::V1).expect("a call");
        validate_container_call(&call).map_err(|error| error.to_string())
    }

    #[test]
    fn each_call_names_the_field_that_is_missing() {
        for name in [
            "launch_nested_container",
            "wait_nested_container",
            "kill_nested_container",
            "remove_nested_container",
            "launch_nested_container_session",
        ] {
            let kind = name.to_uppercase();
            let expected = format!("expecting '{name}' to be present");
            assert_eq!(check(&format!(r#"{{"type":"{kind}"}}"#)), Err(expected));
            let flat = format!(r#"{{"type":"{kind}","{name}":{{"container_id":{{"value":"a"}}}}}}"#);
            assert_eq!(check(&flat), Err(format!("expecting '{name}.container_id.parent' to be present")));
            let nested = format!(
                r#"{{"type":"{kind}","{name}":{{"container_id":{{"value":"b","parent":{{"value":"a"}}}}}}}}"#
            );
            assert_eq!(check(&nested), Ok(()));
            let wrong = format!(
                r#"{{"type":"{kind}","{name}":{{"container_id":{{"value":"b","parent":{{"value":"a.b"}}}}}}}}"#
            );
            let error = check(&wrong).unwrap_err();
            assert!(error.contains(&format!("'{name}.container_id' is invalid: 'parent'")), "{error}");
        }
        for name in [
            "launch_container",
            "wait_container",
            "kill_container",
            "remove_container",
            "attach_container_output",
        ] {
            let kind = name.to_uppercase();
            let expected = format!("expecting '{name}' to be present");
            assert_eq!(check(&format!(r#"{{"type":"{kind}"}}"#)), Err(expected));
            let flat = format!(r#"{{"type":"{kind}","{name}":{{"container_id":{{"value":"a"}}}}}}"#);
            assert_eq!(check(&flat), Ok(()));
            let escape = format!(r#"{{"type":"{kind}","{name}":{{"container_id":{{"value":"../a"}}}}}}"#);
            assert!(check(&escape).unwrap_err().contains(&format!("'{name}.container_id' is invalid")));
        }
    }

    #[test]
    fn an_input_says_what_it_is() {
        let input = |rest: &str| {
            check(&format!(r#"{{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{{{rest}}}}}"#))
        };
        assert_eq!(input(""), Err("expecting 'attach_container_input.type' to be present".into()));
        assert_eq!(
            input(r#""type":"UNKNOWN""#),
            Err("'attach_container_input.type' is no known type".into())
        );
        let no_id = input(r#""type":"CONTAINER_ID""#);
        assert_eq!(no_id, Err("expecting 'attach_container_input.container_id' to be present".into()));
        assert_eq!(input(r#""type":"CONTAINER_ID","container_id":{"value":"a"}"#), Ok(()));
        assert_eq!(input(r#""type":"PROCESS_IO""#), Ok(()));
    }

    #[test]
    fn ids_fit_file_names_and_are_not_nested_without_end() {
        let id = |value: &str, parent: Option<ContainerId>| ContainerId {
            value: value.to_string(),
            parent: parent.map(Box::new),
        };
        assert_eq!(validate_container_id(&id(&"x".repeat(242), None)), Ok(()));
        assert_eq!(validate_container_id(&id(&"x".repeat(243), None)), Err(ContainerIdError::TooLong(243)));
        assert_eq!(validate_container_id(&id("a b", None)), Err(ContainerIdError::Character("a b".into())));
        let deep = (0..100).fold(id("a", None), |parent, _| id("b", Some(parent)));
        assert!(validate_container_id(&deep).unwrap_err().to_string().ends_with("at most 32 deep"));
    }

    #[test]
    fn cgroups_are_shared_where_they_must_be() {
        let at = |levels: usize, share: bool, rest: &str| {
            let mut id = r#"{"value":"a"}"#.to_string();
            for _ in 0..levels {
                id = format!(r#"{{"value":"b","parent":{id}}}"#);
            }
            check(&format!(
                r#"{{"type":"LAUNCH_CONTAINER","launch_container":{{"container_id":{id},{rest}
                "container":{{"type":"MESOS","linux_info":{{"share_cgroups":{share}}}}}}}}}"#
            ))
        };
        assert_eq!(at(1, true, ""), Ok(()));
        assert_eq!(at(1, false, ""), Ok(()));
        assert_eq!(at(2, true, ""), Ok(()));
        assert!(at(2, false, "").unwrap_err().contains("'share_cgroups' must not be false"));
        assert!(at(0, true, "").unwrap_err().contains("'share_cgroups' must not be true"));
        let limits = r#""limits":{"cpus":{"value":1}},"#;
        assert!(at(2, true, limits).unwrap_err().contains("'launch_container.limits'"));
        let cpus = r#""resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}],"#;
        assert!(at(2, true, cpus).unwrap_err().contains("'launch_container.resources'"));
        assert_eq!(at(1, false, cpus), Ok(()));
        let reserved = r#""resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"role":"x"}],"#;
        assert!(at(0, false, reserved).unwrap_err().contains("must be unreserved"));
        let gpus = r#""resources":[{"name":"gpus","type":"SCALAR","scalar":{"value":0.5}}],"#;
        assert!(at(0, false, gpus).unwrap_err().contains("whole number"));
    }

    #[test]
    fn a_session_shares_its_parents_cgroups() {
        let call = r#"{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{
            "container_id":{"value":"b","parent":{"value":"a"}},
            "container":{"type":"MESOS","linux_info":{"share_cgroups":false}}}}"#;
        assert!(check(call).unwrap_err().contains("sessions"));
    }
}
