//! From a ContainerLaunchInfo, in which isolators say what they want done in the new process, to the plan of that process.

use std::path::{Path, PathBuf};

use messor_linux::capabilities::{Capabilities, CapabilitySet};
use messor_linux::container::{
    Before, CapabilityRequest, Enter, FileOperation, Mount, Namespaces, Process, Seccomp,
};
use messor_linux::limits::LimitError;
use messor_linux::seccomp::{self, SeccompError};
use messor_linux::spawn::Session;
use messor_linux::users::{Identity, UserError};
use messor_proto::mesos::seccomp::ContainerSeccompProfile;
use messor_proto::mesos::slave::container_file_operation::{Operation, Parameters};
use messor_proto::mesos::slave::{ContainerFileOperation, ContainerLaunchInfo, ContainerMountInfo};
use messor_proto::mesos::{CapabilityInfo, CommandInfo};

use crate::launching;

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the command of the container has no value: give CommandInfo.value")]
    NoCommand,
    #[error("'{0}' of the container's launch info is missing")]
    Missing(&'static str),
    #[error("'{field}' of the container's launch info has an unknown value: {value}")]
    Unknown { field: &'static str, value: i64 },
    #[error("'enter_namespaces' of the container's launch info is for nested containers, whose parent runs")]
    NoParent,
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    #[error("'seccomp_profile' of the container's launch info: {0}")]
    Profile(#[from] messor_isolators::SeccompProfileError),
    #[error("the capabilities of the agent cannot be read: {0}")]
    Capabilities(#[source] std::io::Error),
}

/// The plan, without descriptors, cgroups and what is untrusted: these are of the caller. `parent` is the process whose
/// namespaces are entered. It runs in a session of its own.
pub(crate) fn process(info: &ContainerLaunchInfo, parent: Option<i32>) -> Result<Process, PlanError> {
    let command = info.command.as_ref().ok_or(PlanError::NoCommand)?;
    let directory = info.working_directory.as_ref().map(PathBuf::from);
    let rootfs = info.rootfs.as_ref().map(PathBuf::from);
    let (program, arguments) = program(command, rootfs.as_deref(), directory.as_deref())?;
    let pairs = info.environment.iter().flat_map(|environment| &environment.variables);
    let pairs: Vec<(String, String)> = pairs.map(|one| (one.name.clone(), one.value().to_owned())).collect();
    let capabilities = capability_request(info)?;
    let seccomp = match &info.seccomp_profile {
        Some(profile) => Some(compile(profile, capabilities.as_ref())?),
        None => None,
    };
    Ok(Process {
        program,
        arguments,
        environment: launching::environment(&pairs),
        directory,
        session: Session::New,
        enter: enter(info, parent)?,
        clone: namespaces("clone_namespaces", &info.clone_namespaces)?,
        mounts: info.mounts.iter().map(mount).collect(),
        masked_paths: info.masked_paths.iter().map(PathBuf::from).collect(),
        operations: info.file_operations.iter().map(operation).collect::<Result<_, _>>()?,
        before: info.pre_exec_commands.iter().map(before).collect::<Result<_, _>>()?,
        rootfs,
        limits: info.rlimits.as_ref().map(launching::limits).transpose()?.unwrap_or_default(),
        identity: info
            .user
            .as_deref()
            .map(|user| Identity::of(user, &info.supplementary_groups))
            .transpose()?,
        capabilities,
        no_new_privileges: info.no_new_privileges(),
        seccomp,
        ..Process::default()
    })
}

type Command = (std::ffi::OsString, Vec<std::ffi::OsString>);

/// A name that is found in the working directory means that file, which may lie in another root.
fn program(
    command: &CommandInfo,
    rootfs: Option<&Path>,
    directory: Option<&Path>,
) -> Result<Command, PlanError> {
    let (Some(rootfs), Some(directory)) = (rootfs, directory) else {
        return launching::program(command, directory).ok_or(PlanError::NoCommand);
    };
    let outside = rootfs.join(directory.strip_prefix("/").unwrap_or(directory));
    let (program, arguments) = launching::program(command, Some(&outside)).ok_or(PlanError::NoCommand)?;
    match Path::new(&program).strip_prefix(&outside) {
        Ok(name) => Ok((directory.join(name).into(), arguments)),
        Err(_) => Ok((program, arguments)),
    }
}

fn namespaces(field: &'static str, kinds: &[i32]) -> Result<Namespaces, PlanError> {
    let mut all = Namespaces::NONE;
    for kind in kinds {
        let one = u32::try_from(*kind).ok().and_then(Namespaces::from_flags);
        all = all | one.ok_or(PlanError::Unknown { field, value: (*kind).into() })?;
    }
    Ok(all)
}

fn enter(info: &ContainerLaunchInfo, parent: Option<i32>) -> Result<Option<Enter>, PlanError> {
    let namespaces = namespaces("enter_namespaces", &info.enter_namespaces)?;
    if namespaces.is_empty() {
        return Ok(None);
    }
    Ok(Some(Enter { pid: parent.ok_or(PlanError::NoParent)?, namespaces }))
}

fn mount(mount: &ContainerMountInfo) -> Mount {
    Mount {
        source: mount.source.as_ref().map(PathBuf::from),
        target: PathBuf::from(&mount.target),
        kind: mount.r#type.clone(),
        flags: mount.flags().into(),
        options: mount.options.clone(),
    }
}

fn operation(operation: &ContainerFileOperation) -> Result<FileOperation, PlanError> {
    let path = |path: &Option<String>, field: &'static str| -> Result<PathBuf, PlanError> {
        path.as_ref().map(PathBuf::from).ok_or(PlanError::Missing(field))
    };
    let missing = || PlanError::Missing("file_operations.operation");
    let kind = operation.operation.ok_or_else(missing)?;
    let unknown = PlanError::Unknown { field: "file_operations.operation", value: kind.into() };
    match (Operation::try_from(kind).map_err(|_| unknown)?, &operation.parameters) {
        (Operation::Symlink, Some(Parameters::Symlink(symlink))) => Ok(FileOperation::Symlink {
            to: path(&symlink.source, "file_operations.symlink.source")?,
            link: path(&symlink.target, "file_operations.symlink.target")?,
        }),
        (Operation::Rename, Some(Parameters::Rename(rename))) => Ok(FileOperation::Rename {
            from: path(&rename.source, "file_operations.rename.source")?,
            to: path(&rename.target, "file_operations.rename.target")?,
        }),
        (Operation::Mkdir, Some(Parameters::Mkdir(mkdir))) => Ok(FileOperation::MakeDirectory {
            path: path(&mkdir.target, "file_operations.mkdir.target")?,
            with_parents: mkdir.recursive(),
        }),
        (Operation::Mount, Some(Parameters::Mount(found))) => Ok(FileOperation::Mount(mount(found))),
        (Operation::Symlink, _) => Err(PlanError::Missing("file_operations.symlink")),
        (Operation::Rename, _) => Err(PlanError::Missing("file_operations.rename")),
        (Operation::Mkdir, _) => Err(PlanError::Missing("file_operations.mkdir")),
        (Operation::Mount, _) => Err(PlanError::Missing("file_operations.mount")),
    }
}

fn before(command: &CommandInfo) -> Result<Before, PlanError> {
    let missing = PlanError::Missing("pre_exec_commands.value");
    let (program, arguments) = launching::program(command, None).ok_or(missing)?;
    Ok(Before { program, arguments, environment: launching::environment(&[]) })
}

fn capability_set(
    info: Option<&CapabilityInfo>,
    field: &'static str,
) -> Result<Option<CapabilitySet>, PlanError> {
    let Some(info) = info else { return Ok(None) };
    let number = |value: &i32| {
        let number = value.checked_sub(1000).and_then(|number| u8::try_from(number).ok());
        let known = number.filter(|number| *number < 64);
        known.ok_or(PlanError::Unknown { field, value: (*value).into() })
    };
    Ok(Some(info.capabilities.iter().map(number).collect::<Result<CapabilitySet, _>>()?))
}

fn capability_request(info: &ContainerLaunchInfo) -> Result<Option<CapabilityRequest>, PlanError> {
    let effective = capability_set(info.effective_capabilities.as_ref(), "effective_capabilities")?;
    let bounding = capability_set(info.bounding_capabilities.as_ref(), "bounding_capabilities")?;
    let is_asked = effective.is_some() || bounding.is_some();
    Ok(is_asked.then_some(CapabilityRequest { effective, bounding }))
}

fn compile(
    profile: &ContainerSeccompProfile,
    request: Option<&CapabilityRequest>,
) -> Result<Seccomp, PlanError> {
    let asked = request.and_then(|request| request.bounding.or(request.effective));
    let bounding = match asked {
        Some(bounding) => bounding,
        None => Capabilities::current().map_err(PlanError::Capabilities)?.bounding,
    };
    let profile = messor_isolators::seccomp_profile(profile)?;
    Ok(seccomp::compile(&profile, bounding)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::{Version, Wire};

    fn plan(json: &str) -> Result<Process, PlanError> {
        process(&ContainerLaunchInfo::from_json(json.as_bytes(), Version::V0).unwrap(), Some(42))
    }

    fn error(field: &str) -> String {
        plan(&format!(r#"{{"command": {{"value": "true"}}, {field}}}"#)).unwrap_err().to_string()
    }

    #[test]
    fn every_field_has_its_place_in_the_plan() {
        let found = plan(
            r#"{
                "command": {"shell": false, "value": "/bin/tool", "arguments": ["tool", "-x"]},
                "environment": {"variables": [{"name": "A", "value": "b"}]},
                "working_directory": "/work",
                "rootfs": "/images/one",
                "enter_namespaces": [1073741824],
                "clone_namespaces": [131072, 536870912],
                "user": "root",
                "supplementary_groups": [7],
                "mounts": [{"source": "/a", "target": "/b", "type": "tmpfs", "flags": 4096, "options": "o"}],
                "masked_paths": ["/proc/kcore"],
                "file_operations": [
                    {"operation": "SYMLINK", "symlink": {"source": "s", "target": "/t"}},
                    {"operation": "RENAME", "rename": {"source": "/r", "target": "/u"}},
                    {"operation": "MKDIR", "mkdir": {"target": "/m", "recursive": true}},
                    {"operation": "MOUNT", "mount": {"target": "/n", "flags": 32}}
                ],
                "effective_capabilities": {"capabilities": ["NET_ADMIN"]},
                "bounding_capabilities": {"capabilities": ["NET_ADMIN", "KILL"]},
                "rlimits": {"rlimits": [{"type": "RLMT_NOFILE", "soft": 1, "hard": 2}]},
                "no_new_privileges": true,
                "pre_exec_commands": [{"value": "echo before"}]
            }"#,
        )
        .unwrap();
        assert_eq!((found.program.to_str(), found.arguments.len()), (Some("/bin/tool"), 2));
        assert_eq!(found.environment[0], ("A".into(), "b".into()));
        assert_eq!(found.directory, Some("/work".into()));
        assert_eq!(found.rootfs, Some("/images/one".into()));
        assert_eq!(found.enter, Some(Enter { pid: 42, namespaces: Namespaces::NET }));
        assert_eq!(found.clone, Namespaces::MOUNT | Namespaces::PID);
        assert!(found.identity.unwrap().groups.contains(&7));
        let mount = Mount {
            source: Some("/a".into()),
            target: "/b".into(),
            kind: Some("tmpfs".into()),
            flags: 4096,
            options: Some("o".into()),
        };
        assert_eq!(found.mounts, [mount]);
        assert_eq!(found.masked_paths, [Path::new("/proc/kcore")]);
        let operations = [
            FileOperation::Symlink { to: "s".into(), link: "/t".into() },
            FileOperation::Rename { from: "/r".into(), to: "/u".into() },
            FileOperation::MakeDirectory { path: "/m".into(), with_parents: true },
            FileOperation::Mount(Mount { target: "/n".into(), flags: 32, ..Mount::default() }),
        ];
        assert_eq!(found.operations, operations);
        let request = found.capabilities.unwrap();
        assert_eq!(request.effective.map(CapabilitySet::bits), Some(1 << 12));
        assert_eq!(request.bounding.map(CapabilitySet::bits), Some(1 << 12 | 1 << 5));
        assert_eq!((found.limits.len(), found.before.len()), (1, 1));
        assert!(found.no_new_privileges && found.seccomp.is_none());
    }

    #[test]
    fn a_program_is_looked_for_where_the_container_will_be() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("work");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("tool"), "").unwrap();
        std::fs::set_permissions(directory.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let json = |value: &str| {
            format!(
                r#"{{"command": {{"shell": false, "value": "{value}"}}, "rootfs": "{}", "working_directory": "/work"}}"#,
                root.path().display()
            )
        };
        assert_eq!(plan(&json("tool")).unwrap().program, "/work/tool");
        assert_eq!(plan(&json("sh")).unwrap().program, "sh");
        assert_eq!(plan(&json("/bin/sh")).unwrap().program, "/bin/sh");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(matches!(plan("{}").unwrap_err(), PlanError::NoCommand));
        assert!(error(r#""clone_namespaces": [256]"#).contains("'clone_namespaces'"));
        assert!(error(r#""file_operations": [{}]"#).contains("'file_operations.operation'"));
        assert!(error(r#""file_operations": [{"operation": "MKDIR"}]"#).contains("'file_operations.mkdir'"));
        assert!(error(r#""user": "no-such-user""#).contains("no-such-user"));
        let info = r#"{"command": {"value": "true"}, "enter_namespaces": [131072]}"#;
        let info = ContainerLaunchInfo::from_json(info.as_bytes(), Version::V0).unwrap();
        assert!(matches!(process(&info, None).unwrap_err(), PlanError::NoParent));
        let profile = r#""seccomp_profile": {"default_action": "UNKNOWN", "syscalls": []}"#;
        assert!(error(profile).contains("'default_action'"));
    }

    #[test]
    fn seccomp_profiles_are_compiled_u016() {
        let profile = r#"{"command": {"value": "true"}, "seccomp_profile": {
            "default_action": "ACT_ERRNO", "architectures": ["ARCH_X86_64", "ARCH_X86", "ARCH_S390X"],
            "syscalls": [
                {"names": ["read", "execve"], "action": "ACT_ALLOW"},
                {"names": ["personality"], "action": "ACT_ALLOW",
                 "args": [{"index": 0, "op": "CMP_EQ", "value": 8, "value_two": 0}],
                 "includes": {"capabilities": ["SYS_ADMIN"]}, "excludes": {"capabilities": ["SYS_BOOT"]}}
            ]}}"#;
        let compiled = plan(profile).unwrap().seccomp.unwrap();
        assert!(!compiled.programs.is_empty());
        let wrong = profile.replace("execve", "no_such_call");
        assert_eq!(plan(&wrong).unwrap_err().to_string(), "'no_such_call' is not the name of a system call");
    }
}
