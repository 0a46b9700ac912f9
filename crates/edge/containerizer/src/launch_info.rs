//! What isolators want done in the new process, merged, and the environment and directory it starts with.

use messor_proto::mesos::environment::{Variable, variable};
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_proto::mesos::{CommandInfo, Environment};
use messor_proto::{DecodeError, Wire};

/// Lists are put one after the other, and a single value of `more` takes the place of that of `info`: so protobuf
/// reads two messages that follow one another.
pub(crate) fn merge<M: Wire>(info: &M, more: &M) -> Result<M, DecodeError> {
    let mut bytes = info.encode_bytes();
    bytes.extend(more.encode_bytes());
    M::decode_checked(&bytes)
}

/// The whole environment, where a later variable of a name counts: what the agent gives, the sandbox, what isolators
/// say, and what the command says for itself. `parent` is that of a container whose session this is.
pub(crate) fn environment(
    parent: Option<&ContainerLaunchInfo>,
    given: &[(String, String)],
    sandbox: Option<&str>,
    isolators: Option<&Environment>,
    command: &CommandInfo,
) -> Vec<(String, String)> {
    let pairs = |environment: &Environment| {
        let plain = environment.variables.iter().filter(|one| one.r#type() != variable::Type::Secret);
        plain.map(|one| (one.name.clone(), one.value().to_string())).collect::<Vec<_>>()
    };
    let mut all = parent.and_then(|info| info.environment.as_ref()).map(pairs).unwrap_or_default();
    all.extend(given.iter().filter(|(name, _)| name != "MESOS_SANDBOX").cloned());
    all.extend(sandbox.map(|sandbox| ("MESOS_SANDBOX".to_string(), sandbox.to_string())));
    all.extend(isolators.map(pairs).unwrap_or_default());
    all.extend(command.environment.as_ref().map(pairs).unwrap_or_default());
    all
}

pub(crate) fn to_environment(pairs: &[(String, String)]) -> Environment {
    let variable = |(name, value): &(String, String)| Variable {
        name: name.clone(),
        value: Some(value.clone()),
        ..Variable::default()
    };
    Environment { variables: pairs.iter().map(variable).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::slave::ContainerMountInfo;

    #[test]
    fn lists_grow_and_single_values_are_replaced() {
        let mount =
            |target: &str| ContainerMountInfo { target: target.into(), ..ContainerMountInfo::default() };
        let info = ContainerLaunchInfo {
            mounts: vec![mount("/a")],
            rootfs: Some("/one".into()),
            clone_namespaces: vec![1],
            ..ContainerLaunchInfo::default()
        };
        let more = ContainerLaunchInfo {
            mounts: vec![mount("/b")],
            rootfs: Some("/two".into()),
            clone_namespaces: vec![2],
            no_new_privileges: Some(true),
            ..ContainerLaunchInfo::default()
        };
        let merged = merge(&info, &more).unwrap();
        assert_eq!(merged.mounts, [mount("/a"), mount("/b")]);
        assert_eq!((merged.rootfs.as_deref(), merged.clone_namespaces), (Some("/two"), vec![1, 2]));
        assert_eq!(merged.no_new_privileges, Some(true));
        assert_eq!(merge(&info, &ContainerLaunchInfo::default()).unwrap(), info);
    }

    #[test]
    fn the_command_has_the_last_word_and_secrets_are_not_shown() {
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        let mut of_command = to_environment(&[pair("A", "command")]);
        of_command.variables.push(Variable {
            name: "S".into(),
            r#type: Some(variable::Type::Secret as i32),
            ..Variable::default()
        });
        let command = CommandInfo { environment: Some(of_command), ..CommandInfo::default() };
        let isolators = to_environment(&[pair("A", "isolator"), pair("I", "1")]);
        let given = [pair("A", "agent"), pair("MESOS_SANDBOX", "/wrong")];
        let all = environment(None, &given, Some("/sandbox"), Some(&isolators), &command);
        let expected =
            [("A", "agent"), ("MESOS_SANDBOX", "/sandbox"), ("A", "isolator"), ("I", "1"), ("A", "command")];
        assert_eq!(all, expected.map(|(name, value)| pair(name, value)));
        let parent = ContainerLaunchInfo {
            environment: Some(to_environment(&[pair("MESOS_SANDBOX", "/parent")])),
            ..ContainerLaunchInfo::default()
        };
        let all = environment(Some(&parent), &[], None, None, &CommandInfo::default());
        assert_eq!(all, [pair("MESOS_SANDBOX", "/parent")]);
    }
}
