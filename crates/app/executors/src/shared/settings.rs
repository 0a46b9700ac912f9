//! What an executor is told by its flags and by the environment the agent gives it. It must not know what is done with
//! it.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use messor_flags::ExecutorFlags;
use messor_proto::mesos::{CommandInfo, Environment, ExecutorId, FrameworkId};
use messor_proto::{Version, Wire};
use messor_stdx::parse_duration;
use messor_types::Pid;

use super::link::Recovery;

const TOKEN: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";

/// The grace period where an agent does not say, as in the agent's own default.
const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A path of a Unix socket fits the kernel's address only if it is shorter.
const SOCKET_PATH_LIMIT_BYTES: usize = 108;

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{0} is not set: an executor is started by an agent, which sets it")]
    Missing(&'static str),
    #[error("{name} cannot be understood: {reason}")]
    Wrong { name: &'static str, reason: String },
    #[error("not supported yet: {0}")]
    NotYet(&'static str),
}

/// Where the agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Ip(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
pub struct Settings {
    pub framework: FrameworkId,
    pub executor: ExecutorId,
    pub address: Address,
    /// The target of the executor API at the agent.
    pub target: String,
    pub host: String,
    /// The target of the agent's own API.
    pub agent_target: String,
    /// MESOS_SANDBOX, where it is said.
    pub sandbox: Option<PathBuf>,
    /// Where this executor is reached, if it is told.
    pub ip: Option<IpAddr>,
    pub token: Option<String>,
    pub recovery: Option<Recovery>,
    pub shutdown_grace: Duration,
    /// The environment for tasks and checks: the executor's own, without its token.
    pub environment: Vec<(OsString, OsString)>,
    pub task_command: Option<CommandInfo>,
    pub task_environment: Option<Environment>,
    pub user: Option<String>,
    /// Standard input is the task's terminal.
    pub terminal: bool,
}

/// What the command executor is told: its flags, too.
pub fn read(flags: &ExecutorFlags, variables: Vec<(OsString, OsString)>) -> Result<Settings, SettingsError> {
    Ok(Settings {
        task_command: json("--task_command", flags.task_command.as_ref().map(|json| json.as_str()))?,
        task_environment: json(
            "--task_environment",
            flags.task_environment.as_ref().map(|json| json.as_str()),
        )?,
        user: flags.user.clone(),
        terminal: flags.tty_path.is_some(),
        ..read_environment(variables)?
    })
}

/// What every executor is told.
pub fn read_environment(variables: Vec<(OsString, OsString)>) -> Result<Settings, SettingsError> {
    let find = |name: &'static str| {
        let found = variables.iter().find(|(key, _)| key == OsStr::new(name));
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    };
    let need = |name: &'static str| find(name).ok_or(SettingsError::Missing(name));
    let duration = |name: &'static str, text: &str| {
        parse_duration(text).map_err(|error| SettingsError::Wrong { name, reason: error.to_string() })
    };

    let pid: Pid = need("MESOS_SLAVE_PID")?
        .parse()
        .map_err(|error| SettingsError::Wrong { name: "MESOS_SLAVE_PID", reason: format!("{error}") })?;
    let tls = find("LIBPROCESS_SSL_ENABLED").or_else(|| find("SSL_ENABLED"));
    let address = match find("MESOS_DOMAIN_SOCKET") {
        Some(path) => Address::Unix(socket_path(path.into())?),
        None if tls.is_some_and(|value| value == "1" || value == "true") => {
            return Err(SettingsError::NotYet("TLS between executor and agent (LIBPROCESS_SSL_ENABLED)"));
        }
        None => Address::Ip(pid.address),
    };
    let recovery = if find("MESOS_CHECKPOINT").as_deref() == Some("1") {
        Some(Recovery {
            timeout: duration("MESOS_RECOVERY_TIMEOUT", &need("MESOS_RECOVERY_TIMEOUT")?)?,
            longest_backoff: duration(
                "MESOS_SUBSCRIPTION_BACKOFF_MAX",
                &need("MESOS_SUBSCRIPTION_BACKOFF_MAX")?,
            )?,
        })
    } else {
        None
    };
    let shutdown_grace = match find("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD") {
        Some(text) => duration("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", &text)?,
        None => DEFAULT_SHUTDOWN_GRACE,
    };
    Ok(Settings {
        framework: FrameworkId { value: need("MESOS_FRAMEWORK_ID")? },
        executor: ExecutorId { value: need("MESOS_EXECUTOR_ID")? },
        address,
        target: format!("/{}/api/v1/executor", pid.id),
        host: pid.address.to_string(),
        token: find(TOKEN),
        recovery,
        shutdown_grace,
        agent_target: format!("/{}/api/v1", pid.id),
        sandbox: find("MESOS_SANDBOX").map(PathBuf::from),
        ip: find("LIBPROCESS_ADVERTISE_IP").or_else(|| find("LIBPROCESS_IP")).and_then(|ip| ip.parse().ok()),
        task_command: None,
        task_environment: None,
        user: None,
        terminal: false,
        environment: variables.into_iter().filter(|(name, _)| name != OsStr::new(TOKEN)).collect(),
    })
}

fn json<M: Wire>(name: &'static str, text: Option<&str>) -> Result<Option<M>, SettingsError> {
    let Some(text) = text else { return Ok(None) };
    M::from_json(text.as_bytes(), Version::V0)
        .map(Some)
        .map_err(|error| SettingsError::Wrong { name, reason: error.to_string() })
}

/// A path too long for an address may be short enough from the working directory, which is the sandbox.
fn socket_path(path: PathBuf) -> Result<PathBuf, SettingsError> {
    if path.as_os_str().len() < SOCKET_PATH_LIMIT_BYTES {
        return Ok(path);
    }
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(PathBuf::from));
    short.filter(|path| path.as_os_str().len() < SOCKET_PATH_LIMIT_BYTES).ok_or(SettingsError::Wrong {
        name: "MESOS_DOMAIN_SOCKET",
        reason: format!("the path of a socket is shorter than {SOCKET_PATH_LIMIT_BYTES} bytes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_flags::{Request, Source, parse};

    struct Nothing;

    impl Source for Nothing {
        fn variables(&self) -> Vec<(String, String)> {
            Vec::new()
        }

        fn read_file(&self, path: &str) -> Result<String, String> {
            Err(path.to_string())
        }
    }

    fn settings(words: &[&str], more: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        let Ok(Request::Run(parsed)) = parse::<ExecutorFlags>(&words, &Nothing) else { panic!("{words:?}") };
        let mut variables = vec![
            ("MESOS_FRAMEWORK_ID", "f"),
            ("MESOS_EXECUTOR_ID", "e"),
            ("MESOS_SLAVE_PID", "slave(1)@10.0.0.7:5051"),
        ];
        variables.extend(more);
        variables.retain(|(_, value)| *value != "(unset)");
        read(&parsed.flags, variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn what_the_agent_says() {
        let checkpointing = [
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "7secs"),
            ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "a.b.c"),
        ];
        let found =
            settings(&["--launcher_dir=/usr/libexec/mesos", "--user=nobody"], &checkpointing).unwrap();
        assert_eq!(found.target, "/slave(1)/api/v1/executor");
        assert_eq!(found.address, Address::Ip("10.0.0.7:5051".parse().unwrap()));
        let recovery = found.recovery.unwrap();
        assert_eq!(
            (recovery.timeout, recovery.longest_backoff),
            (Duration::from_secs(900), Duration::from_secs(2))
        );
        assert_eq!(found.shutdown_grace, Duration::from_secs(7));
        assert_eq!(found.token.as_deref(), Some("a.b.c"));
        assert!(found.environment.iter().all(|(name, _)| name != TOKEN), "tasks never see it");
        assert_eq!(found.user.as_deref(), Some("nobody"));
        let found = settings(&[], &[("MESOS_DOMAIN_SOCKET", "/run/agent.sock")]).unwrap();
        assert_eq!(found.address, Address::Unix("/run/agent.sock".into()));
        assert_eq!((found.recovery, found.shutdown_grace), (None, Duration::from_secs(5)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |more: &[(&str, &str)]| settings(&[], more).unwrap_err().to_string();
        assert!(wrong(&[("MESOS_CHECKPOINT", "1")]).contains("MESOS_RECOVERY_TIMEOUT"));
        assert!(wrong(&[("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "7")]).contains("unit of time"));
        assert!(wrong(&[("LIBPROCESS_SSL_ENABLED", "true")]).contains("not supported yet"));
        let long = format!("/{}", "x".repeat(120));
        assert!(wrong(&[("MESOS_DOMAIN_SOCKET", &long)]).contains("MESOS_DOMAIN_SOCKET"));
        assert!(settings(&["--task_command={\"value\": 7}"], &[]).is_err());
    }

    #[test]
    fn a_command_and_an_environment_as_json() {
        let words = [
            r#"--task_command={"shell":true,"value":"true"}"#,
            r#"--task_environment={"variables":[{"name":"A","value":"1"}]}"#,
        ];
        let found = settings(&words, &[]).unwrap();
        assert_eq!(found.task_command.unwrap().value.as_deref(), Some("true"));
        assert_eq!(found.task_environment.unwrap().variables[0].name, "A");
    }
}
