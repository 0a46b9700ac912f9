//! The environment of an executor. Nothing of the agent's own environment is in it (U062).

use std::collections::BTreeMap;

use messor_proto::mesos::{ExecutorInfo, environment};
use messor_stdx::{Duration, format_duration};
use messor_types::AgentId;

use crate::config::Config;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Later ones win: executor_environment_variables, what Mesos sets, what the framework sets. Secrets are left out: the
/// isolator that resolves them puts them into the container, and the rest of the agent does not know them.
pub(crate) fn executor_environment(
    config: &Config,
    agent: &AgentId,
    info: &ExecutorInfo,
    directory: &str,
    checkpoint: bool,
) -> Vec<(String, String)> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        variables.insert(name.to_string(), value.to_string());
    };
    set("PATH", DEFAULT_PATH);
    if let Some(library) = &config.native_library {
        set("MESOS_NATIVE_JAVA_LIBRARY", library);
        set("MESOS_NATIVE_LIBRARY", library);
    }
    if let Some(ip) = &config.libprocess_ip {
        set("LIBPROCESS_IP", ip);
    }
    for (name, value) in &config.executor_environment_variables {
        set(name, value);
    }

    set("LIBPROCESS_PORT", "0");
    set("MESOS_FRAMEWORK_ID", info.framework_id.as_ref().map_or("", |id| &id.value));
    set("MESOS_EXECUTOR_ID", &info.executor_id.value);
    set("MESOS_DIRECTORY", directory);
    set("MESOS_SLAVE_ID", agent.as_str());
    set("MESOS_SLAVE_PID", &config.pid.to_string());
    set("MESOS_AGENT_ENDPOINT", &config.pid.address.to_string());
    set("MESOS_CHECKPOINT", if checkpoint { "1" } else { "0" });
    if let Some(path) = &config.domain_socket {
        set("MESOS_DOMAIN_SOCKET", path);
    }
    // There is no other command executor here than the one of the HTTP API.
    set("MESOS_HTTP_COMMAND_EXECUTOR", "1");
    let grace = shutdown_grace_period(config, info);
    set("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", &format_duration(grace));
    if checkpoint {
        set("MESOS_RECOVERY_TIMEOUT", &format_duration(config.recovery_timeout));
        set("MESOS_SUBSCRIPTION_BACKOFF_MAX", &format_duration(config.executor_reregistration_timeout));
    }

    let own = info.command.as_ref().and_then(|command| command.environment.as_ref());
    for variable in own.map_or(&[][..], |own| &own.variables) {
        if variable.r#type() != environment::variable::Type::Secret {
            set(&variable.name, variable.value());
        }
    }
    variables.into_iter().collect()
}

/// How long an executor may take to end when it is asked to.
pub(crate) fn shutdown_grace_period(config: &Config, info: &ExecutorInfo) -> Duration {
    match &info.shutdown_grace_period {
        Some(period) => Duration::from_nanos(u64::try_from(period.nanoseconds).unwrap_or(0)),
        None => config.executor_shutdown_grace_period,
    }
}
