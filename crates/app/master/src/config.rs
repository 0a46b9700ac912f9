//! From flags to what the machines are told.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use messor_allocator::{Priorities, RegexLimits};
use messor_flags::MasterFlags;
use messor_master_core::{Config, RateLimit};
use messor_proto::Wire;
use messor_proto::mesos::{Address as MasterAddress, DomainInfo, MasterInfo, WeightInfo, master_info};
use messor_registry::RegistrarConfig;
use messor_runtime::{Address, Failure};
use messor_stdx::parse_duration;
use messor_types::{ResourceQuantities, Role};
use messor_zk::Url;

/// --preemption_delay, where it is not given.
const PREEMPTION_DELAY: Duration = Duration::from_secs(30);

/// The version of Apache Mesos whose behaviour this master has, as it tells agents and frameworks.
pub const VERSION: &str = "1.11.0";

pub fn address(flags: &MasterFlags) -> Address {
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

fn wrong(flag: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Words(format!("--{flag}: {error}"))
}

/// Who this master is. `ip` of a MasterInfo is the IPv4 address as its bytes lie in memory; 0 for IPv6.
pub fn master_info(
    id: &str,
    address: SocketAddr,
    hostname: &str,
    flags: &MasterFlags,
) -> Result<MasterInfo, Failure> {
    use master_info::capability::Type;
    let ip = match address.ip() {
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    let domain = match &flags.domain {
        Some(json) => Some(
            DomainInfo::from_json(json.as_str().as_bytes(), messor_proto::Version::V0)
                .map_err(|error| wrong("domain", error))?,
        ),
        None => None,
    };
    Ok(MasterInfo {
        id: id.to_string(),
        ip,
        port: u32::from(address.port()),
        pid: Some(format!("master@{address}")),
        hostname: Some(hostname.to_string()),
        version: Some(VERSION.to_string()),
        address: Some(MasterAddress {
            hostname: Some(hostname.to_string()),
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        }),
        domain,
        // What a 1.11.0 master says of itself, since frameworks and agents see it.
        capabilities: [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
            .map(|kind| master_info::Capability { r#type: Some(kind.into()) })
            .into(),
    })
}

pub fn machine(flags: &MasterFlags, info: MasterInfo) -> Result<Config, Failure> {
    let mut config = Config::new(info);
    config.agent_ping_timeout = flags.agent_ping_timeout;
    config.max_agent_ping_timeouts = flags.max_agent_ping_timeouts;
    config.agent_reregister_timeout = flags.agent_reregister_timeout;
    config.agent_removal_rate_limit = flags.agent_removal_rate_limit.as_deref().map(rate).transpose()?;
    config.recovery_agent_removal_limit = percentage(&flags.recovery_agent_removal_limit)?;
    config.registry_gc_interval = flags.registry_gc_interval;
    config.registry_max_agent_age = flags.registry_max_agent_age;
    config.registry_max_agent_count = count(flags.registry_max_agent_count);
    config.weights = weights(flags)?;
    config.offer_timeout = flags.offer_timeout;
    config.max_completed_frameworks = count(flags.max_completed_frameworks);
    config.max_completed_tasks_per_framework = count(flags.max_completed_tasks_per_framework);
    config.max_unreachable_tasks_per_framework = count(flags.max_unreachable_tasks_per_framework);
    config.max_operator_event_stream_subscribers = flags.max_operator_event_stream_subscribers as usize;
    config.root_submissions = flags.root_submissions;
    config.require_agent_domain = flags.require_agent_domain;
    config.max_executors_per_agent = flags.max_executors_per_agent.map(|most| most as usize);
    config.regex_limits = RegexLimits {
        max_mem_bytes: flags.offer_constraints_re2_max_mem.0,
        max_program_size: flags.offer_constraints_re2_max_program_size,
    };
    config.roles = match &flags.roles {
        Some(text) => {
            let names: BTreeSet<String> = text.split(',').map(str::trim).map(String::from).collect();
            for name in &names {
                Role::parse(name).map_err(|error| wrong("roles", error))?;
            }
            Some(names)
        }
        None => None,
    };
    Ok(config)
}

/// `50%` as 0.5.
fn percentage(text: &str) -> Result<f64, Failure> {
    match text.trim().strip_suffix('%').unwrap_or(text).trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(wrong("recovery_agent_removal_limit", format!("'{text}' is not like 50%"))),
    }
}

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// `1/10mins`: so many in so long.
fn rate(text: &str) -> Result<RateLimit, Failure> {
    let parse = || {
        let (times, per) = text.split_once('/')?;
        Some(RateLimit { times: times.trim().parse().ok()?, per: parse_duration(per.trim()).ok()? })
    };
    parse().ok_or_else(|| wrong("agent_removal_rate_limit", format!("'{text}' is not like 1/10mins")))
}

pub fn registrar(flags: &MasterFlags, seed: u64) -> RegistrarConfig {
    RegistrarConfig {
        registry_fetch_timeout: flags.registry_fetch_timeout,
        registry_store_timeout: flags.registry_store_timeout,
        seed,
    }
}

/// Where ZooKeeper is, if --zk says so. Errors do not repeat credentials.
pub fn zookeeper(flags: &MasterFlags) -> Result<Option<Url>, Failure> {
    let parse = |text: &str| Url::parse(text.trim()).map_err(|error| wrong("zk", error));
    flags.zk.as_ref().map(|secret| parse(&secret.value)).transpose()
}

/// Where the replica of the log is kept; the directory above it is made. None for a registry in memory.
pub fn replica(flags: &MasterFlags) -> Result<Option<messor_replica::Options>, Failure> {
    if flags.registry == "in_memory" {
        return Ok(None);
    }
    let work_dir = flags.work_dir.as_deref().unwrap_or_default();
    std::fs::create_dir_all(work_dir).map_err(|error| wrong("work_dir", format!("'{work_dir}': {error}")))?;
    // Alone, a replica is a majority, whatever --quorum says.
    let quorum = flags.quorum.filter(|_| flags.zk.is_some()).unwrap_or(1);
    Ok(Some(messor_replica::Options {
        path: std::path::Path::new(work_dir).join("replicated_log"),
        quorum: usize::try_from(quorum).unwrap_or(usize::MAX),
        auto_initialize: flags.log_auto_initialize,
    }))
}

pub fn allocator(
    flags: &MasterFlags,
    info: &MasterInfo,
    seed: u64,
) -> Result<messor_allocator::Options, Failure> {
    use messor_allocator::{SorterKind, Sorters};
    let sorter = |name: &str| if name == "random" { SorterKind::Random } else { SorterKind::Drf };
    let quantities =
        |text: &str| ResourceQuantities::parse(text).map_err(|e| wrong("min_allocatable_resources", e));
    let excluded = flags.fair_sharing_excluded_resource_names.as_ref();
    Ok(messor_allocator::Options {
        allocation_interval: flags.allocation_interval,
        sorters: Sorters { roles: sorter(&flags.role_sorter), frameworks: sorter(&flags.framework_sorter) },
        seed,
        min_allocatable_resources: match flags.min_allocatable_resources.trim() {
            "" => Vec::new(),
            sets => sets.split('|').map(quantities).collect::<Result<_, _>>()?,
        },
        fair_sharing_excluded_resource_names: excluded
            .map(|list| list.0.iter().map(|name| messor_types::ResourceName::new(name)).collect())
            .unwrap_or_default(),
        filter_gpu_resources: flags.filter_gpu_resources,
        agent_recovery_factor: flags.allocator_agent_recovery_factor,
        recovery_timeout: flags.allocator_recovery_timeout,
        role_priorities: role_priorities(flags)?,
        preemption_delay: flags.preemption_delay.unwrap_or(PREEMPTION_DELAY),
        region: info.domain.as_ref().and_then(|d| d.fault_domain.as_ref()).map(|f| f.region.name.clone()),
    })
}

fn role_priorities(flags: &MasterFlags) -> Result<Priorities, Failure> {
    let entries = flags.role_priorities.iter().flat_map(|map| &map.entries);
    let priority = |(role, priority): &(String, i32)| match Role::parse(role) {
        Ok(role) => Ok((role, *priority)),
        Err(error) => Err(wrong("role_priorities", format!("'{role}': {error}"))),
    };
    entries.map(priority).collect()
}

/// `ROLE=WEIGHT,ROLE=WEIGHT`.
fn weights(flags: &MasterFlags) -> Result<Vec<WeightInfo>, Failure> {
    let Some(text) = &flags.weights else { return Ok(Vec::new()) };
    text.split(',')
        .map(|pair| {
            let (role, weight) = pair
                .split_once('=')
                .ok_or_else(|| wrong("weights", format!("'{pair}' is not like ROLE=WEIGHT")))?;
            let role = Role::parse(role.trim()).map_err(|error| wrong("weights", error))?;
            match weight.trim().parse::<f64>() {
                Ok(weight) if weight > 0.0 && weight.is_finite() => {
                    Ok(WeightInfo { weight, role: Some(role.to_string()) })
                }
                _ => Err(wrong("weights", format!("the weight of '{role}' must be a number over 0"))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_lists_are_read() {
        let flags =
            |weights: &str| MasterFlags { weights: Some(weights.to_string()), ..MasterFlags::default() };
        let read = weights(&flags("a=2,b/c=0.5")).unwrap();
        let read: Vec<_> = read.iter().map(|info| (info.role(), info.weight)).collect();
        assert_eq!(read, [("a", 2.0), ("b/c", 0.5)]);
        assert_eq!(percentage("12.5%").unwrap(), 0.125);
        assert!(percentage("101%").is_err() && percentage("x").is_err());
        assert!(weights(&flags("a")).is_err());
        assert!(weights(&flags("a=-1")).unwrap_err().to_string().contains("--weights"));
        assert_eq!(
            rate("1/10mins").unwrap(),
            RateLimit { times: 1, per: std::time::Duration::from_secs(600) }
        );
        assert!(rate("10mins").is_err());
    }

    #[test]
    fn priorities_are_of_roles() {
        use messor_flags::{FlagValue, NumberMap};
        let flags = |text: &str| MasterFlags {
            role_priorities: Some(NumberMap::read(text).unwrap()),
            ..MasterFlags::default()
        };
        let read = role_priorities(&flags(r#"{"production": 100, "batch/night": -10}"#)).unwrap();
        let of = |role: &str| read.of(&Role::new(role));
        assert_eq!((of("production/web"), of("batch"), of("batch/night/x")), (100, 0, -10));
        assert!(role_priorities(&MasterFlags::default()).unwrap().is_empty());
        let error = role_priorities(&flags(r#"{"a b": 1}"#)).unwrap_err().to_string();
        assert!(error.contains("--role_priorities: 'a b'"), "{error}");
        for (wrong, part) in [
            ("[]", "not a JSON object"),
            (r#"{"a": 1.5}"#, "'a' must be a whole number"),
            (r#"{"a": 3000000000}"#, "'a' must be a whole number"),
            (r#"{"a": "1"}"#, "'a' must be a whole number"),
            (r#"{"a": 1, "a": 2}"#, "'a' is listed twice"),
        ] {
            assert!(NumberMap::read(wrong).unwrap_err().contains(part), "{wrong}");
        }
    }

    #[test]
    fn master_info_has_the_address_as_mesos_writes_it() {
        let info = master_info("id", "127.0.0.1:5050".parse().unwrap(), "localhost", &MasterFlags::default())
            .unwrap();
        assert_eq!(info.ip, 16_777_343);
        assert_eq!(info.pid(), "master@127.0.0.1:5050");
    }
}
