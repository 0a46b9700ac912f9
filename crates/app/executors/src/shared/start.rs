//! From the description of a command to a program to start. It must not start it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use messor_linux::spawn::{Launch, Session, Stdio};
use messor_linux::users::{Identity, UserError};
use messor_proto::mesos::environment::variable;
use messor_proto::mesos::{CommandInfo, Environment, TaskInfo};

use super::settings::Settings;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the task has no command")]
    NoCommand,
    #[error("the task's command has no 'value'")]
    NoValue,
    #[error(transparent)]
    User(#[from] UserError),
}

/// The task: in a session of its own, with its terminal where it has one, with the executor's stdout, stderr and working directory (the sandbox).
pub fn task(settings: &Settings, info: &TaskInfo) -> Result<Launch, StartError> {
    let command = settings.task_command.as_ref().or(info.command.as_ref()).ok_or(StartError::NoCommand)?;
    let mut environment = settings.environment.clone();
    for more in [&settings.task_environment, &command.environment].into_iter().flatten() {
        add(&mut environment, more);
    }
    // A task's resources are all allocated to one role.
    let allocation = info.resources.first().and_then(|resource| resource.allocation_info.as_ref());
    let role = allocation.and_then(|allocation| allocation.role.as_deref()).unwrap_or_default();
    set(&mut environment, OsStr::new("MESOS_ALLOCATION_ROLE"), OsStr::new(role));
    let mut launch = program(command)?;
    launch.environment = environment;
    // An agent of Apache Mesos gives the terminal to the executor's own session; no other one can have it then.
    let taken = settings.terminal && std::fs::File::open("/dev/tty").is_ok();
    launch.session = if taken { Session::Same } else { Session::New };
    launch.controls_terminal = settings.terminal && !taken;
    if let Some(user) = &settings.user {
        launch.identity = Some(Identity::of(user, &[])?);
    }
    Ok(launch)
}

/// A check's command: with the environment of the executor and its own; what it writes goes to the sandbox's stderr.
pub fn check(settings: &Settings, command: &CommandInfo) -> Result<Launch, StartError> {
    let mut launch = program(command)?;
    launch.environment = settings.environment.clone();
    if let Some(more) = &command.environment {
        add(&mut launch.environment, more);
    }
    launch.session = Session::New;
    launch.stdin = Stdio::Null;
    Ok(launch)
}

/// The program and its arguments. Of a command without a shell the first argument is the name it is called by.
fn program(command: &CommandInfo) -> Result<Launch, StartError> {
    let value = command.value.as_ref().ok_or(StartError::NoValue)?;
    if command.shell.unwrap_or(true) {
        return Ok(Launch::shell(value));
    }
    let mut launch = Launch::new(value);
    launch.arguments = command.arguments.iter().map(OsString::from).collect();
    Ok(launch)
}

fn add(environment: &mut Vec<(OsString, OsString)>, more: &Environment) {
    for variable in &more.variables {
        // A secret that nobody resolved is left out, and does not hide a variable that is there.
        if variable.r#type == Some(variable::Type::Secret as i32) {
            continue;
        }
        let value = variable.value.as_deref().unwrap_or_default();
        set(environment, OsStr::new(&variable.name), OsStr::new(value));
    }
}

fn set(environment: &mut Vec<(OsString, OsString)>, name: &OsStr, value: &OsStr) {
    match environment.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => *old = value.to_os_string(),
        // What cannot be a variable's name cannot be passed on.
        None if name.is_empty() || name.as_bytes().contains(&b'=') => {}
        None => environment.push((name.to_os_string(), value.to_os_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::settings::Address;
    use messor_proto::mesos::resource::AllocationInfo;
    use messor_proto::mesos::{ExecutorId, FrameworkId, Resource};

    fn settings() -> Settings {
        Settings {
            framework: FrameworkId::default(),
            executor: ExecutorId::default(),
            address: Address::Unix("/x".into()),
            target: String::new(),
            host: String::new(),
            agent_target: String::new(),
            sandbox: None,
            ip: None,
            token: None,
            recovery: None,
            shutdown_grace: Default::default(),
            environment: vec![("PATH".into(), "/bin".into()), ("A".into(), "executor".into())],
            task_command: None,
            task_environment: None,
            user: None,
            terminal: false,
        }
    }

    fn variables(pairs: &[(&str, &str, variable::Type)]) -> Environment {
        let variable =
            |(name, value, kind): &(&str, &str, variable::Type)| messor_proto::mesos::environment::Variable {
                name: name.to_string(),
                value: Some(value.to_string()),
                r#type: Some(*kind as i32),
                ..Default::default()
            };
        Environment { variables: pairs.iter().map(variable).collect() }
    }

    fn info(command: CommandInfo) -> TaskInfo {
        let allocation_info = Some(AllocationInfo { role: Some("web".into()) });
        let resource = Resource { allocation_info, ..Resource::default() };
        TaskInfo { command: Some(command), resources: vec![resource], ..TaskInfo::default() }
    }

    #[test]
    fn the_environment_is_the_executors_then_the_isolators_then_the_commands() {
        let mut settings = settings();
        settings.task_environment = Some(variables(&[("A", "isolator", variable::Type::Value)]));
        let command = CommandInfo {
            value: Some("true".into()),
            environment: Some(variables(&[
                ("B", "task", variable::Type::Value),
                ("PATH", "hidden", variable::Type::Secret),
                ("A", "task", variable::Type::Value),
            ])),
            ..CommandInfo::default()
        };
        let launch = task(&settings, &info(command.clone())).unwrap();
        let expected = [("PATH", "/bin"), ("A", "task"), ("B", "task"), ("MESOS_ALLOCATION_ROLE", "web")];
        assert_eq!(launch.environment, expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(launch.session, Session::New);
        let launch = check(&settings, &command).unwrap();
        assert_eq!(launch.environment.len(), 3, "a check gets the executor's, not the task's");
    }

    #[test]
    fn shell_and_program() {
        let command = CommandInfo { value: Some("a b".into()), ..CommandInfo::default() };
        let launch = task(&settings(), &info(command.clone())).unwrap();
        assert_eq!((launch.program, launch.arguments.len()), ("sh".into(), 3));
        let arguments = vec!["name".into(), "x".into()];
        let plain = CommandInfo { shell: Some(false), arguments, ..command };
        let launch = task(&settings(), &info(plain)).unwrap();
        assert_eq!((launch.program, launch.arguments), ("a b".into(), vec!["name".into(), "x".into()]));
    }

    #[test]
    fn what_is_missing_is_told() {
        assert!(matches!(task(&settings(), &TaskInfo::default()), Err(StartError::NoCommand)));
        assert!(matches!(task(&settings(), &info(CommandInfo::default())), Err(StartError::NoValue)));
        let mut other = settings();
        other.user = Some("no-such-user".into());
        let command = CommandInfo { value: Some("true".into()), ..CommandInfo::default() };
        assert!(matches!(task(&other, &info(command)), Err(StartError::User(_))));
    }
}
