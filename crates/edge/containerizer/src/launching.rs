//! From what a container is to be to a program that can be started: program, arguments, environment, limits, user.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use messor_containers::Kind;
use messor_linux::container::{Process, Stream};
use messor_linux::limits::{Limit, LimitError};
use messor_linux::spawn::{Launch as Start, Session, Stdio};
use messor_linux::users::Identity;
use messor_proto::mesos::slave::{ContainerConfig, ContainerLaunchInfo};
use messor_proto::mesos::{CommandInfo, ContainerInfo, RLimitInfo, Volume, container_info, volume};
use messor_proto::{Version, WireEnum};

use crate::containerizer::Config;
use crate::entry::Entry;
use crate::fetching::Program;
use crate::launch_info;
use crate::logging::{self, LoggingError};
use crate::plan::{self, PlanError};
use crate::sandbox::{self, SandboxError};
use crate::switchboard::Streams;

/// What a container's first process finds when nobody set PATH; Apache Mesos's own.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error("the command of the executor has no value: give CommandInfo.value")]
    NoCommand,
    #[error("not supported yet: '{0}', which an isolator asks for, by this launcher")]
    Launcher(&'static str),
    #[error("the container's standard streams cannot be copied: {0}")]
    Streams(#[source] std::io::Error),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Nothing in use holds a container to less than its host has.
pub(crate) const LIMITS: &str = "limits of CPUs or memory without the isolators cgroups/cpu and cgroups/mem";

/// The rest of what is known before the fork: command, environment, directory, user.
pub(crate) fn complete(entry: &Entry, sandbox: &Path) -> ContainerLaunchInfo {
    let state = entry.state();
    let mut info = state.launch_info.clone();
    let command = whole_command(&state.config, info.command.take());
    let plan = entry.plan.as_ref();
    // What is asked of the operator API says its environment in the command; an executor's is in the agent's part.
    let own = match entry.kind {
        Kind::Executor if info.environment.is_none() => CommandInfo::default(),
        _ => command.clone(),
    };
    let sandbox_path = sandbox.to_string_lossy();
    let debug = entry.kind == Kind::Debug;
    let pairs = launch_info::environment(
        plan.and_then(|plan| plan.parent.as_ref()).filter(|_| debug),
        plan.map(|plan| plan.environment.as_slice()).unwrap_or_default(),
        (!debug).then_some(&*sandbox_path),
        info.environment.as_ref(),
        &own,
    );
    info.environment = Some(launch_info::to_environment(&pairs));
    info.command = Some(CommandInfo { uris: Vec::new(), environment: None, user: None, ..command });
    let of_parent = plan.and_then(|plan| plan.parent.as_ref()?.working_directory.clone());
    info.working_directory =
        of_parent.filter(|_| debug).or_else(|| Some(sandbox.to_string_lossy().into_owned()));
    if info.user.is_none() {
        info.user.clone_from(&state.config.user);
    }
    info
}

/// From what is to be done in the new process to a program that can be started, with `sandbox` for its output.
pub(crate) fn start(
    info: &ContainerLaunchInfo,
    root: &Path,
    sandbox: &Path,
    identity: Option<Identity>,
    streams: Option<Streams>,
    config: &Config,
) -> Result<Start, LaunchError> {
    if let Some(field) = more_than_posix(info) {
        return Err(LaunchError::Launcher(field));
    }
    let controls_terminal = matches!(streams, Some(Streams::Terminal { controlling: true, .. }));
    let (stdin, stdout, stderr): (Stdio, Stdio, Stdio) = match streams {
        None => {
            let (stdout, stderr) = logging::outputs(info, root, sandbox, identity.as_ref(), config)?;
            (Stdio::Null, stdout.into(), stderr.into())
        }
        Some(Streams::Pipes { stdin, stdout, stderr }) => (stdin.into(), stdout.into(), stderr.into()),
        Some(Streams::Terminal { slave, .. }) => {
            let copy = || slave.try_clone().map_err(LaunchError::Streams);
            (copy()?.into(), copy()?.into(), slave.into())
        }
    };
    let limits = info.rlimits.as_ref().map(limits).transpose()?.unwrap_or_default();
    let directory = info.working_directory.as_ref().map(PathBuf::from);
    let command = info.command.as_ref().ok_or(LaunchError::NoCommand)?;
    let (program, arguments) = program(command, directory.as_deref()).ok_or(LaunchError::NoCommand)?;
    Ok(Start {
        program: installed(program, &config.launcher_dir),
        arguments,
        environment: variables(info),
        directory,
        stdin,
        stdout,
        stderr,
        session: Session::New,
        controls_terminal,
        identity,
        limits,
        no_new_privileges: info.no_new_privileges(),
        ..Start::default()
    })
}

/// What isolators say of the command is all of it, but for a command executor's: there it is more arguments.
fn whole_command(config: &ContainerConfig, of_isolators: Option<CommandInfo>) -> CommandInfo {
    let mut command = config.command_info.clone();
    match of_isolators {
        None => command,
        Some(more) if config.task_info.is_some() && more.value.is_none() => {
            command.arguments.extend(more.arguments);
            command
        }
        Some(all) => all,
    }
}

/// The first field that asks for more than the posix launcher does.
fn more_than_posix(info: &ContainerLaunchInfo) -> Option<&'static str> {
    let fields = [
        ("rootfs", info.rootfs.is_some()),
        ("enter_namespaces", !info.enter_namespaces.is_empty()),
        ("clone_namespaces", !info.clone_namespaces.is_empty()),
        ("mounts", !info.mounts.is_empty()),
        ("masked_paths", !info.masked_paths.is_empty()),
        ("file_operations", !info.file_operations.is_empty()),
        ("pre_exec_commands", !info.pre_exec_commands.is_empty()),
        ("seccomp_profile", info.seccomp_profile.is_some()),
        ("effective_capabilities", info.effective_capabilities.is_some()),
        ("bounding_capabilities", info.bounding_capabilities.is_some()),
    ];
    fields.iter().find(|(_, is_set)| *is_set).map(|(name, _)| *name)
}

/// The plan of a process for the linux launcher, with the sandbox for its output.
pub(crate) fn plan(
    info: &ContainerLaunchInfo,
    root: &Path,
    sandbox: &Path,
    identity: Option<Identity>,
    parent: Option<i32>,
    streams: Option<Streams>,
    config: &Config,
) -> Result<Process, LaunchError> {
    let process = plan::process(info, parent)?;
    let mut terminal = None;
    let (stdin, stdout, stderr): (Stream, Stream, Stream) = match streams {
        None => {
            let (stdout, stderr) = logging::outputs(info, root, sandbox, identity.as_ref(), config)?;
            (Stream::Null, stdout.into(), stderr.into())
        }
        Some(Streams::Pipes { stdin, stdout, stderr }) => (stdin.into(), stdout.into(), stderr.into()),
        Some(Streams::Terminal { slave, controlling: true }) => {
            terminal = Some(slave);
            (Stream::Terminal, Stream::Terminal, Stream::Terminal)
        }
        Some(Streams::Terminal { slave, controlling: false }) => {
            let copy = || slave.try_clone().map_err(LaunchError::Streams);
            (copy()?.into(), copy()?.into(), slave.into())
        }
    };
    Ok(Process {
        program: installed(process.program, &config.launcher_dir),
        stdin,
        stdout,
        stderr,
        terminal,
        untrusted: vec![root.to_path_buf(), config.work_dir.join("volumes")],
        ..process
    })
}

/// The environment as the program gets it.
pub(crate) fn variables(info: &ContainerLaunchInfo) -> Vec<(OsString, OsString)> {
    let pairs = info.environment.iter().flat_map(|environment| &environment.variables);
    environment(&pairs.map(|one| (one.name.clone(), one.value().to_owned())).collect::<Vec<_>>())
}

/// What a container asks for that would be missing without a word: it must not run on the host instead.
pub(crate) fn unsupported(info: &ContainerInfo) -> Option<&'static str> {
    if info.r#type() == container_info::Type::Docker {
        Some("containers of type DOCKER")
    } else if info.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
        Some("container images")
    } else if info.network_infos.iter().any(|network| network.name.is_some()) {
        Some("container networks")
    } else {
        info.volumes.iter().find_map(unsupported_volume)
    }
}

fn unsupported_volume(volume: &Volume) -> Option<&'static str> {
    use volume::source::Type;
    match volume.source.as_ref().map(|source| source.r#type()) {
        _ if volume.image.is_some() => Some("images as volumes"),
        Some(Type::DockerVolume) => Some("volumes of Docker's drivers"),
        Some(Type::CsiVolume) => Some("volumes of CSI"),
        _ => None,
    }
}

/// The program and the argument vector of a command. A name that is found in the working directory means that file,
/// before PATH is asked.
pub(crate) fn program(command: &CommandInfo, directory: Option<&Path>) -> Option<(OsString, Vec<OsString>)> {
    let value = command.value.as_deref().filter(|value| !value.is_empty())?;
    if command.shell() {
        return Some(("sh".into(), vec!["sh".into(), "-c".into(), value.into()]));
    }
    let mut arguments: Vec<OsString> = command.arguments.iter().map(OsString::from).collect();
    if arguments.is_empty() {
        arguments.push(value.into());
    }
    let local = directory.map(|directory| directory.join(value)).filter(|path| is_executable(path));
    Some((local.map_or_else(|| value.into(), Into::into), arguments))
}

/// A program of the launcher directory that is not installed there is this very binary, under that name.
pub(crate) fn installed(program: OsString, launcher_dir: &Path) -> OsString {
    let path = Path::new(&program);
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(parent), Some(name)) if parent == launcher_dir && name.starts_with("mesos-") => {
            Program::find(launcher_dir, name).map_or(program.clone(), |found| found.path.into())
        }
        _ => program,
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The last of several variables of one name counts.
pub(crate) fn environment(variables: &[(String, String)]) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(OsString, OsString)> = Vec::new();
    for (name, value) in variables {
        match environment.iter_mut().find(|(present, _)| present.as_os_str() == name.as_str()) {
            Some(present) => present.1 = value.into(),
            None => environment.push((name.into(), value.into())),
        }
    }
    if !environment.iter().any(|(name, _)| name == "PATH") {
        environment.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    environment
}

pub(crate) fn limits(info: &RLimitInfo) -> Result<Vec<Limit>, LimitError> {
    let limits = info
        .rlimits
        .iter()
        .map(|limit| Limit::new(limit.r#type().wire_name(Version::V0), limit.soft, limit.hard));
    limits.collect()
}

/// Output files of a fetch, emptied first: they are of this run alone.
pub(crate) fn fresh_outputs(
    root: &Path,
    sandbox: &Path,
    identity: Option<&Identity>,
) -> Result<(File, File), SandboxError> {
    let open = |name| -> Result<File, SandboxError> {
        let file = sandbox::open_output(root, sandbox, name, identity)?;
        file.set_len(0).map_err(|source| SandboxError::Prepare { path: name.to_owned(), source })?;
        Ok(file)
    };
    Ok((open("stdout")?, open("stderr")?))
}

#[cfg(test)]
mod tests {
    use messor_proto::Wire as _;

    use super::*;
    use messor_proto::mesos::r_limit_info::{RLimit, r_limit};

    fn texts(arguments: &[OsString]) -> Vec<&str> {
        arguments.iter().map(|argument| argument.to_str().unwrap()).collect()
    }

    #[test]
    fn commands_are_of_a_shell_unless_they_say_no() {
        let command = CommandInfo { value: Some("echo $HOME".into()), ..CommandInfo::default() };
        let (path, arguments) = program(&command, None).unwrap();
        assert_eq!((path.to_str(), texts(&arguments)), (Some("sh"), vec!["sh", "-c", "echo $HOME"]));
        let command = CommandInfo {
            shell: Some(false),
            value: Some("/bin/ls".into()),
            arguments: vec!["list".into(), "-l".into()],
            ..CommandInfo::default()
        };
        let (path, arguments) = program(&command, None).unwrap();
        assert_eq!((path.to_str(), texts(&arguments)), (Some("/bin/ls"), vec!["list", "-l"]));
        assert!(program(&CommandInfo::default(), None).is_none());
    }

    #[test]
    fn a_program_in_the_sandbox_goes_before_the_path() {
        use std::os::unix::fs::PermissionsExt;
        let sandbox = tempfile::tempdir().unwrap();
        let tool = sandbox.path().join("ls");
        std::fs::write(&tool, "").unwrap();
        let command = CommandInfo { shell: Some(false), value: Some("ls".into()), ..CommandInfo::default() };
        assert_eq!(program(&command, Some(sandbox.path())).unwrap().0, "ls");
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program(&command, Some(sandbox.path())).unwrap().0, tool);
    }

    #[test]
    fn the_last_variable_of_a_name_counts_and_a_path_is_there_always() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let found = environment(&pairs(&[("A", "1"), ("B", "2"), ("A", "3")]));
        assert_eq!(found[0], ("A".into(), "3".into()));
        assert_eq!(found[2], ("PATH".into(), DEFAULT_PATH.into()));
        assert_eq!(environment(&pairs(&[("PATH", "/x")])).len(), 1);
    }

    #[test]
    fn what_is_not_installed_is_this_binary() {
        let here = std::env::current_exe().unwrap();
        let directory = Path::new("/no/such/directory");
        assert_eq!(installed("/no/such/directory/mesos-executor".into(), directory), here);
        for other in ["/no/such/directory/tool", "/elsewhere/mesos-executor", "mesos-executor"] {
            assert_eq!(installed(other.into(), directory), other);
        }
    }

    #[test]
    fn what_a_container_would_miss_is_refused() {
        use messor_proto::mesos::{NetworkInfo, container_info::MesosInfo};
        let plain = ContainerInfo { r#type: container_info::Type::Mesos as i32, ..ContainerInfo::default() };
        assert_eq!(unsupported(&plain), None);
        let host = NetworkInfo::default();
        for (json, words) in [
            (r#"{"mode": "RW", "container_path": "p", "host_path": "/p"}"#, None),
            (
                r#"{"mode": "RW", "container_path": "p", "image": {"type": "DOCKER"}}"#,
                Some("images as volumes"),
            ),
            (
                r#"{"mode": "RW", "container_path": "p", "source": {"type": "DOCKER_VOLUME", "docker_volume": {"name": "v"}}}"#,
                Some("volumes of Docker's drivers"),
            ),
            (
                r#"{"mode": "RW", "container_path": "p", "source": {"type": "CSI_VOLUME"}}"#,
                Some("volumes of CSI"),
            ),
        ] {
            let volume = Volume::from_json(json.as_bytes(), Version::V0).unwrap();
            assert_eq!(unsupported(&ContainerInfo { volumes: vec![volume], ..plain.clone() }), words);
        }
        assert_eq!(unsupported(&ContainerInfo { network_infos: vec![host], ..plain.clone() }), None);
        let network = NetworkInfo { name: Some("net".into()), ..NetworkInfo::default() };
        let mesos = MesosInfo { image: Some(Default::default()) };
        for wrong in [
            ContainerInfo { r#type: container_info::Type::Docker as i32, ..plain.clone() },
            ContainerInfo { mesos: Some(mesos), ..plain.clone() },
            ContainerInfo { network_infos: vec![network], ..plain },
        ] {
            assert!(unsupported(&wrong).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn limits_come_by_their_wire_names() {
        let one = RLimit { r#type: Some(r_limit::Type::RlmtNofile as i32), soft: Some(10), hard: Some(20) };
        let found = limits(&RLimitInfo { rlimits: vec![one] }).unwrap();
        assert_eq!(found, [Limit::new("RLMT_NOFILE", Some(10), Some(20)).unwrap()]);
        let one = RLimit { r#type: Some(r_limit::Type::RlmtNofile as i32), soft: Some(10), hard: None };
        assert!(limits(&RLimitInfo { rlimits: vec![one] }).is_err());
    }
}
