//! Health checks and general checks.

use messor_proto::mesos::{CheckInfo, CommandInfo, HealthCheck, check_info, health_check};

use crate::command::{CommandError, validate_command};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("'type' must be set to COMMAND, HTTP or TCP")]
    Type,
    #[error("'{0}' must be set for a check of this type")]
    Missing(&'static str),
    #[error("'command.value' must be set: it is the {0}")]
    Value(&'static str),
    #[error("'command' is invalid: {0}")]
    Command(#[from] CommandError),
    #[error("'http.scheme' must be http or https, not '{0}'")]
    Scheme(String),
    #[error("'http.path' must start with '/': '{0}'")]
    Path(String),
    #[error("'{0}' must not be negative")]
    Negative(&'static str),
}

pub fn validate_health_check(check: &HealthCheck) -> Result<(), CheckError> {
    if check.r#type.is_none() {
        return Err(CheckError::Type);
    }
    match check.r#type() {
        health_check::Type::Command => {
            validate_check_command(check.command.as_ref().ok_or(CheckError::Missing("command"))?)?;
        }
        health_check::Type::Http => {
            let http = check.http.as_ref().ok_or(CheckError::Missing("http"))?;
            if let Some(scheme) = &http.scheme
                && scheme != "http"
                && scheme != "https"
            {
                return Err(CheckError::Scheme(scheme.clone()));
            }
            validate_path(http.path.as_deref())?;
        }
        health_check::Type::Tcp if check.tcp.is_none() => return Err(CheckError::Missing("tcp")),
        health_check::Type::Tcp => {}
        health_check::Type::Unknown => return Err(CheckError::Type),
    }
    validate_times(&[
        ("delay_seconds", check.delay_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

pub fn validate_check(check: &CheckInfo) -> Result<(), CheckError> {
    if check.r#type.is_none() {
        return Err(CheckError::Type);
    }
    match check.r#type() {
        check_info::Type::Command => {
            validate_check_command(&check.command.as_ref().ok_or(CheckError::Missing("command"))?.command)?;
        }
        check_info::Type::Http => {
            validate_path(check.http.as_ref().ok_or(CheckError::Missing("http"))?.path.as_deref())?;
        }
        check_info::Type::Tcp if check.tcp.is_none() => return Err(CheckError::Missing("tcp")),
        check_info::Type::Tcp => {}
        check_info::Type::Unknown => return Err(CheckError::Type),
    }
    validate_times(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

fn validate_check_command(command: &CommandInfo) -> Result<(), CheckError> {
    if command.value.is_none() {
        return Err(CheckError::Value(if command.shell() { "shell command" } else { "path of the program" }));
    }
    Ok(validate_command(command)?)
}

fn validate_path(path: Option<&str>) -> Result<(), CheckError> {
    match path {
        Some(path) if !path.starts_with('/') => Err(CheckError::Path(path.to_string())),
        _ => Ok(()),
    }
}

fn validate_times(times: &[(&'static str, Option<f64>)]) -> Result<(), CheckError> {
    match times.iter().find(|(_, time)| time.is_some_and(|time| time < 0.0)) {
        Some((field, _)) => Err(CheckError::Negative(field)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(value: Option<&str>) -> CommandInfo {
        CommandInfo { value: value.map(str::to_string), ..Default::default() }
    }

    #[test]
    fn health_checks() {
        let check =
            |kind: health_check::Type| HealthCheck { r#type: Some(kind as i32), ..Default::default() };
        let command =
            |value| HealthCheck { command: Some(shell(value)), ..check(health_check::Type::Command) };
        let http = |scheme: Option<&str>, path: Option<&str>| HealthCheck {
            http: Some(health_check::HttpCheckInfo {
                scheme: scheme.map(str::to_string),
                path: path.map(str::to_string),
                ..Default::default()
            }),
            ..check(health_check::Type::Http)
        };
        let tcp = HealthCheck { tcp: Some(Default::default()), ..check(health_check::Type::Tcp) };
        for (check, expected) in [
            (HealthCheck::default(), Err(CheckError::Type)),
            (check(health_check::Type::Unknown), Err(CheckError::Type)),
            (check(health_check::Type::Command), Err(CheckError::Missing("command"))),
            (check(health_check::Type::Http), Err(CheckError::Missing("http"))),
            (check(health_check::Type::Tcp), Err(CheckError::Missing("tcp"))),
            (command(None), Err(CheckError::Value("shell command"))),
            (command(Some("true")), Ok(())),
            (http(None, None), Ok(())),
            (http(Some("https"), Some("/health")), Ok(())),
            (http(Some("ftp"), None), Err(CheckError::Scheme("ftp".into()))),
            (http(None, Some("health")), Err(CheckError::Path("health".into()))),
            (tcp.clone(), Ok(())),
            (
                HealthCheck { delay_seconds: Some(-1.0), ..tcp.clone() },
                Err(CheckError::Negative("delay_seconds")),
            ),
            (
                HealthCheck { timeout_seconds: Some(-0.1), ..tcp.clone() },
                Err(CheckError::Negative("timeout_seconds")),
            ),
            (
                HealthCheck { interval_seconds: Some(-9.0), ..tcp.clone() },
                Err(CheckError::Negative("interval_seconds")),
            ),
            (
                HealthCheck { grace_period_seconds: Some(-9.0), ..tcp },
                Err(CheckError::Negative("grace_period_seconds")),
            ),
        ] {
            assert_eq!(validate_health_check(&check), expected, "{check:?}");
        }
    }

    #[test]
    fn general_checks() {
        let check = |kind: check_info::Type| CheckInfo { r#type: Some(kind as i32), ..Default::default() };
        let command = |command| CheckInfo {
            command: Some(check_info::Command { command }),
            ..check(check_info::Type::Command)
        };
        let program = CommandInfo { shell: Some(false), ..shell(None) };
        let http = |path: &str| CheckInfo {
            http: Some(check_info::Http { path: Some(path.into()), ..Default::default() }),
            ..check(check_info::Type::Http)
        };
        for (check, expected) in [
            (CheckInfo::default(), Err(CheckError::Type)),
            (check(check_info::Type::Unknown), Err(CheckError::Type)),
            (check(check_info::Type::Command), Err(CheckError::Missing("command"))),
            (check(check_info::Type::Http), Err(CheckError::Missing("http"))),
            (check(check_info::Type::Tcp), Err(CheckError::Missing("tcp"))),
            (command(program), Err(CheckError::Value("path of the program"))),
            (command(shell(Some("true"))), Ok(())),
            (http("/x"), Ok(())),
            (http("x"), Err(CheckError::Path("x".into()))),
            (
                CheckInfo { delay_seconds: Some(-1.0), ..http("/x") },
                Err(CheckError::Negative("delay_seconds")),
            ),
        ] {
            assert_eq!(validate_check(&check), expected, "{check:?}");
        }
    }
}
