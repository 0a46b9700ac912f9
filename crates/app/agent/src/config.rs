//! From flags to what the machine is told.

use std::path::Path;
use std::sync::Arc;

use messor_agent_core::{CAPABILITIES, Config, ReconfigurationPolicy, Recover};
use messor_containerizer::{CacheDirectory, Launcher, Logger, discover};
use messor_flags::AgentFlags;
use messor_isolators::{Gpus, VolumeGroups};
use messor_logger::Settings;
use messor_oversubscription::Modules;
use messor_proto::mesos::agent_info::capability::Type as Capability;
use messor_proto::mesos::internal::AgentCapabilities;
use messor_proto::mesos::{AgentInfo, ContainerInfo, DomainInfo, container_info};
use messor_proto::{Version, Wire};
use messor_runtime::{Address, Failure, random_seed};
use messor_stdx::Duration;
use messor_types::{
    Pid, ResourceFormat, Resources, Role, parse_attributes, parse_resources, validate_amounts, validate_kinds,
};

pub fn address(flags: &AgentFlags) -> Address {
    Address {
        ip: flags.ip.clone(),
        port: flags.port,
        advertise_ip: flags.advertise_ip.clone(),
        advertise_port: flags.advertise_port,
        ip_discovery_command: flags.ip_discovery_command.clone(),
        hostname: flags.hostname.clone(),
        hostname_lookup: flags.hostname_lookup,
    }
}

pub fn wrong(flag: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Words(format!("--{flag}: {error}"))
}

/// Between two questions to a resource estimator or a QoS controller: each looks at every process of the host.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// Where the flag does not say which launcher there is, it is linux where that works, and the flag says so from then on.
pub fn choose_launcher(flags: &mut AgentFlags) {
    if flags.containers.launcher.is_some() {
        return;
    }
    let hierarchy = Path::new(flags.containers.cgroups_hierarchy.as_str());
    let chosen = match Launcher::probe_linux(hierarchy, &flags.containers.cgroups_root) {
        Ok(()) => "linux",
        Err(error) => {
            tracing::info!("The launcher is posix, as linux cannot be: {error}");
            "posix"
        }
    };
    flags.containers.launcher = Some(chosen.to_string());
}

/// The linux launcher has the warden, which is found or started here.
pub fn launcher(flags: &AgentFlags, runtime_dir: &Path) -> Result<Launcher, Failure> {
    if flags.containers.launcher.as_deref() != Some("linux") {
        return Ok(Launcher::Posix);
    }
    let warden = messor_warden::Config {
        runtime_dir: runtime_dir.to_path_buf(),
        program: std::env::current_exe()?,
        arguments: ["mesos-containerizer", "warden"].map(Into::into).to_vec(),
        cgroups: Vec::new(),
    };
    let hierarchy = Path::new(flags.containers.cgroups_hierarchy.as_str());
    Launcher::linux(&warden, hierarchy, &flags.containers.cgroups_root)
        .map_err(|error| wrong("launcher", error))
}

/// The fetcher's cache begins empty, in a directory without anything of these.
pub fn fetcher_cache(flags: &AgentFlags, precious: &[&Path]) -> Result<Option<Arc<CacheDirectory>>, Failure> {
    let directory =
        std::path::absolute(&flags.fetcher_cache_dir).map_err(|error| wrong("fetcher_cache_dir", error))?;
    let opened = CacheDirectory::open(&directory, flags.fetcher_cache_size.0, precious);
    Ok(opened.map_err(|error| wrong("fetcher_cache_dir", error))?.map(Arc::new))
}

/// The modules that are built in, with the parameters that `--modules` gives them.
pub fn modules(json: Option<&str>) -> Result<Modules, Failure> {
    let modules = json.map(|json| Modules::parse(json, &[messor_logger::MODULE]));
    Ok(modules.transpose().map_err(|error| Failure::Words(error.to_string()))?.unwrap_or_default())
}

/// Where what containers write goes.
pub fn logger(flags: &AgentFlags, modules: &Modules) -> Result<Logger, Failure> {
    let Some(name) = flags.container_logger.as_deref() else { return Ok(Logger::Sandbox) };
    if name != messor_logger::MODULE {
        let there = messor_logger::MODULE;
        return Err(wrong("container_logger", format!("'{name}' is not built in; there is {there}")));
    }
    let settings = Settings::of_parameters(modules.of(name).unwrap_or_default())
        .map_err(|error| wrong("modules", error))?;
    settings.check().map_err(|error| wrong("container_logger", error))?;
    Ok(Logger::Logrotate(settings))
}

fn parse(flags: &AgentFlags, text: &str) -> Result<Resources, Failure> {
    let role = Role::parse(&flags.default_role).map_err(|error| wrong("default_role", error))?;
    let resources = parse_resources(text, &role).map_err(|error| wrong("resources", error))?;
    validate_amounts(&resources)
        .and_then(|()| validate_kinds(&resources))
        .map_err(|error| wrong("resources", error))?;
    Ok(resources)
}

/// The GPUs that containers get, where the flags ask for the isolator that gives them.
pub fn gpus(flags: &AgentFlags) -> Result<Option<Gpus>, Failure> {
    let given = parse(flags, flags.resources.as_deref().unwrap_or_default())?;
    Gpus::find(flags, &given, messor_isolators::nvml).map_err(|error| Failure::Words(error.to_string()))
}

/// Groups for volumes, where the flag says of which there are some.
pub fn volume_groups(flags: &AgentFlags, work_dir: &Path) -> Result<Option<Arc<VolumeGroups>>, Failure> {
    let range = flags.containers.volume_gid_range.as_deref();
    let groups = range.map(|range| VolumeGroups::open(range, work_dir)).transpose();
    Ok(groups.map_err(|error| Failure::Words(error.to_string()))?.map(Arc::new))
}

/// What the flag says, and for what it leaves out, what the host has.
fn resources(flags: &AgentFlags, work_dir: &Path, gpus: Option<&Gpus>) -> Result<Resources, Failure> {
    let given = parse(flags, flags.resources.as_deref().unwrap_or_default())?;
    let named = given.names();
    let missing = discover(work_dir).missing(|name| named.iter().any(|n| n.as_str() == name));
    let mut all = given;
    all += &parse(flags, &missing)?;
    if let Some(discovered) = gpus.and_then(Gpus::discovered) {
        all += &parse(flags, &discovered)?;
    }
    Ok(all)
}

/// Those that the flag names, of those there are.
fn capabilities(json: &str) -> Result<Vec<Capability>, Failure> {
    let features = AgentCapabilities::from_json(json.as_bytes(), Version::V0)
        .map_err(|error| wrong("agent_features", error))?;
    let named = |kind: &Capability| features.capabilities.iter().any(|named| named.r#type() == *kind);
    Ok(CAPABILITIES.into_iter().filter(named).collect())
}

/// The container of executors that have none.
fn default_container(json: &str) -> Result<ContainerInfo, Failure> {
    let wrong = |error: &dyn std::fmt::Display| wrong("default_container_info", error);
    let container = ContainerInfo::from_json(json.as_bytes(), Version::V0).map_err(|error| wrong(&error))?;
    if container.r#type() == container_info::Type::Docker {
        return Err(wrong(&"not supported yet: containers of type DOCKER"));
    }
    if container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
        return Err(wrong(&"not supported yet: container images"));
    }
    Ok(container)
}

pub fn machine(
    flags: &AgentFlags,
    pid: Pid,
    hostname: &str,
    libprocess_ip: Option<String>,
    work_dir: &Path,
    gpus: Option<&Gpus>,
) -> Result<Config, Failure> {
    let attributes = parse_attributes(flags.attributes.as_deref().unwrap_or_default())
        .map_err(|error| wrong("attributes", error))?;
    let domain = match &flags.domain {
        Some(json) => Some(
            DomainInfo::from_json(json.as_str().as_bytes(), Version::V0)
                .map_err(|error| wrong("domain", error))?,
        ),
        None => None,
    };
    let info = AgentInfo {
        hostname: hostname.to_string(),
        port: Some(i32::from(pid.address.port())),
        resources: resources(flags, work_dir, gpus)?.to_proto(ResourceFormat::PostRefinement),
        attributes,
        domain,
        ..AgentInfo::default()
    };
    let text = |path: &Path| {
        path.to_str().map(str::to_string).ok_or_else(|| wrong("work_dir", "the path is no UTF-8"))
    };
    let launcher_dir =
        std::path::absolute(&flags.launcher_dir).map_err(|error| wrong("launcher_dir", error))?;
    let mut config = Config::new(pid, info, &text(work_dir)?, &text(&launcher_dir)?);
    config.sandbox_directory.clone_from(&flags.containers.sandbox_directory);
    config.switch_user = flags.switch_user;
    if let Some(json) = &flags.containers.default_container_info {
        config.default_container_info = Some(default_container(json.as_str())?);
    }
    config.isolation = flags.isolators().join(",");
    config.limits_memory = flags.isolators().iter().any(|name| ["cgroups/mem", "cgroups/all"].contains(name));
    config.cgroups_enable_cfs = flags.containers.cgroups_enable_cfs;
    config.executor_environment_variables =
        flags.executor_environment_variables.as_ref().map(|map| map.entries.clone()).unwrap_or_default();
    config.libprocess_ip = libprocess_ip;
    config.native_library = std::env::var("MESOS_NATIVE_JAVA_LIBRARY").ok();
    config.fetcher_stall_timeout = flags.fetcher_stall_timeout;
    config.registration_backoff_factor = flags.registration_backoff_factor;
    config.executor_registration_timeout = flags.executor_registration_timeout;
    config.executor_reregistration_timeout = flags.executor_reregistration_timeout;
    config.executor_reregistration_retry_interval = flags.executor_reregistration_retry_interval;
    // The flags are one of two words each, as was checked.
    config.reconfiguration_policy = match flags.reconfiguration_policy.as_str() {
        "additive" => ReconfigurationPolicy::Additive,
        _ => ReconfigurationPolicy::Equal,
    };
    config.recover = match flags.recover.as_str() {
        "cleanup" => Recover::Cleanup,
        _ => Recover::Reconnect,
    };
    if let Some(json) = &flags.agent_features {
        config.capabilities = capabilities(json.as_str())?;
    }
    config.executor_shutdown_grace_period = flags.executor_shutdown_grace_period;
    config.recovery_timeout = flags.recovery_timeout;
    config.max_completed_executors_per_framework =
        usize::try_from(flags.max_completed_executors_per_framework).unwrap_or(usize::MAX);
    let (estimates, corrections) =
        (flags.oversubscribed_resources_interval, flags.qos_correction_interval_min);
    config.oversubscribed_resources_interval =
        flags.resource_estimator.is_some().then_some(estimates.max(LEAST_INTERVAL));
    config.qos_correction_interval =
        flags.qos_controller.is_some().then_some(corrections.max(LEAST_INTERVAL));
    config.seed = random_seed();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_container_is_read_and_images_are_refused() {
        let volume = r#"{"container_path": "data", "host_path": "/srv/data", "mode": "RO"}"#;
        let container = default_container(&format!(r#"{{"type": "MESOS", "volumes": [{volume}]}}"#)).unwrap();
        assert_eq!(container.volumes[0].host_path.as_deref(), Some("/srv/data"));
        let refused = |json: &str| default_container(json).unwrap_err().to_string();
        let image = r#"{"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "a"}}}}"#;
        assert!(refused(image).contains("default_container_info") && refused(image).contains("images"));
        assert!(refused(r#"{"type": "DOCKER"}"#).contains("not supported yet"));
        assert!(refused(r#"{"type": "POD"}"#).contains("default_container_info"));
        assert!(refused("{}").contains("type"));
    }

    fn flags(resources: &str) -> AgentFlags {
        AgentFlags { resources: Some(resources.to_string()), ..AgentFlags::default() }
    }

    #[test]
    fn what_the_flag_leaves_out_is_found_out() {
        let found = resources(&flags("cpus:0.5;mem:64"), Path::new("/"), None).unwrap();
        assert_eq!(found.cpus().unwrap().to_f64(), 0.5);
        assert!(found.disk().unwrap().to_f64() > 0.0);
        assert_eq!(found.ports().unwrap().count(), 1001);
    }

    /// U003, U008: what is left out is not announced; only RESIZE_VOLUME can be.
    #[test]
    fn features_that_are_left_out_are_not_announced() {
        let list: Vec<String> =
            messor_flags::AGENT_FEATURES.iter().map(|name| format!("{{\"type\":\"{name}\"}}")).collect();
        let found = capabilities(&format!("{{\"capabilities\":[{}]}}", list.join(","))).unwrap();
        let expected: Vec<Capability> =
            CAPABILITIES.into_iter().filter(|kind| *kind != Capability::ResizeVolume).collect();
        assert_eq!(found, expected);
        let error = capabilities("{\"capabilities\":[{\"type\":{}}]}").unwrap_err().to_string();
        assert!(error.starts_with("--agent_features: "), "{error}");
    }

    #[test]
    fn the_logger_is_the_one_that_is_built_in() {
        let made = |name: &str, json: Option<&str>| {
            let flags = AgentFlags { container_logger: Some(name.to_string()), ..AgentFlags::default() };
            logger(&flags, &modules(json)?)
        };
        let error = made("com_example_Logger", None).unwrap_err().to_string();
        assert!(error.starts_with("--container_logger: 'com_example_Logger' is not built in"), "{error}");
        let name = messor_logger::MODULE;
        let parameters = |key: &str, value: &str| {
            format!(
                r#"{{"libraries": [{{"file": "/usr/lib/liblogrotate_container_logger.so", "modules":
                     [{{"name": "{name}", "parameters": [{{"key": "{key}", "value": "{value}"}}]}}]}}]}}"#
            )
        };
        let error = made(name, Some(&parameters("logrotate_path", "/none"))).unwrap_err().to_string();
        assert!(error.starts_with("--container_logger: '/none' is not there"), "{error}");
        let error = made(name, Some(&parameters("max_size", "1MB"))).unwrap_err().to_string();
        assert!(error.starts_with("--modules: ") && error.contains("max_size"), "{error}");
        let found = made(name, Some(&parameters("logrotate_path", "/bin/sh"))).unwrap();
        assert!(matches!(found, Logger::Logrotate(_)));
        assert!(matches!(logger(&AgentFlags::default(), &Modules::default()), Ok(Logger::Sandbox)));
    }

    #[test]
    fn wrong_values_name_their_flag() {
        let error = resources(&flags("cpus"), Path::new("/"), None).unwrap_err().to_string();
        assert!(error.starts_with("--resources: "), "{error}");
        for wrong in ["cpus:1e300", "mem:[1-2]", "gpus:1.5", "ports:{a}"] {
            let error = resources(&flags(wrong), Path::new("/"), None).unwrap_err().to_string();
            assert!(error.starts_with("--resources: "), "{wrong}: {error}");
        }
    }
}
