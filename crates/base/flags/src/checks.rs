//! Checks of single values that several flags share. A check gets the text and answers what is wrong with it.
//! Must not know the flag's name: the parser puts it in front.

use std::time::Duration;

use jiter::JsonValue;
use messor_stdx::{format_duration, parse_duration};

use crate::value::json;

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn one_of(text: &str, choices: &[&str]) -> Result<(), String> {
    if choices.contains(&text) {
        return Ok(());
    }
    Err(format!("'{text}' is none of: {}", choices.join(", ")))
}

fn between(text: &str, least: Duration, most: Duration) -> Result<(), String> {
    let value = duration(text)?;
    if value < least || value > most {
        return Err(format!(
            "{text} must be between {} and {}",
            format_duration(least),
            format_duration(most)
        ));
    }
    Ok(())
}

pub fn logging_level(text: &str) -> Result<(), String> {
    one_of(text, &["INFO", "WARNING", "ERROR"])
}

/// Origins as browsers send them, or `*` alone.
pub fn origins(text: &str) -> Result<(), String> {
    let list: Vec<&str> = text.split(',').filter(|origin| !origin.is_empty()).collect();
    for origin in &list {
        if *origin == "*" && list.len() > 1 {
            return Err("'*' is every origin: leave the others out".to_string());
        }
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let is_host = |host: &str| {
            let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
            !host.is_empty() && host.chars().all(named)
        };
        if *origin != "*" && !host.is_some_and(is_host) {
            return Err(format!("'{origin}' is not like https://host or https://host:port"));
        }
    }
    Ok(())
}

pub fn registry(text: &str) -> Result<(), String> {
    // log_storage is what replicated_log was called at first.
    one_of(text, &["replicated_log", "log_storage", "in_memory"])
}

pub fn sorter(text: &str) -> Result<(), String> {
    one_of(text, &["drf", "random"])
}

pub fn recover(text: &str) -> Result<(), String> {
    one_of(text, &["reconnect", "cleanup"])
}

pub fn reconfiguration_policy(text: &str) -> Result<(), String> {
    one_of(text, &["equal", "additive"])
}

pub fn launcher(text: &str) -> Result<(), String> {
    one_of(text, &["linux", "posix"])
}

/// Of a task.
pub fn containerizer(text: &str) -> Result<(), String> {
    match text {
        "mesos" | "docker" => Ok(()),
        other => Err(format!("'{other}' is no containerizer: mesos and docker are")),
    }
}

pub fn content_type(text: &str) -> Result<(), String> {
    one_of(text, &["json", "protobuf", "application/json", "application/x-protobuf"])
}

pub fn validation_scheme(text: &str) -> Result<(), String> {
    one_of(text, &["legacy", "openssl"])
}

pub fn log_data(text: &str) -> Result<(), String> {
    one_of(text, &["zero", "one", "random"])
}

pub fn agent_ping_timeout(text: &str) -> Result<(), String> {
    between(text, Duration::from_secs(1), Duration::from_secs(15 * 60))
}

pub fn agent_reregister_timeout(text: &str) -> Result<(), String> {
    if duration(text)? < Duration::from_secs(600) {
        return Err(format!("{text} is shorter than 10mins, the time that agents need to come back"));
    }
    Ok(())
}

pub fn executor_reregistration_timeout(text: &str) -> Result<(), String> {
    between(text, Duration::ZERO, Duration::from_secs(15))
}

pub fn registration_backoff_factor(text: &str) -> Result<(), String> {
    between(text, Duration::ZERO, Duration::from_secs(60))
}

pub fn more_than_nothing(text: &str) -> Result<(), String> {
    if duration(text)?.is_zero() {
        return Err("must be longer than nothing".to_string());
    }
    Ok(())
}

pub fn at_least_one(text: &str) -> Result<(), String> {
    match text.parse::<u64>() {
        Ok(number) if number >= 1 => Ok(()),
        _ => Err(format!("{text} must be at least 1")),
    }
}

pub fn fraction(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
        _ => Err(format!("{text} must be between 0.0 and 1.0")),
    }
}

pub fn percentage(text: &str) -> Result<(), String> {
    match text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok()) {
        Some(number) if (0.0..=100.0).contains(&number) => Ok(()),
        _ => Err(format!("'{text}' must be between 0% and 100%")),
    }
}

/// A number of things in a duration, such as `1/10mins`.
pub fn rate(text: &str) -> Result<(), String> {
    let wrong = || format!("'{text}' must be written NUMBER/DURATION, as in 1/10mins");
    let (number, per) = text.split_once('/').ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    if number == 0 || duration(per)?.is_zero() {
        return Err(wrong());
    }
    Ok(())
}

/// Log files are cut at whole pages of memory.
pub fn a_page(text: &str) -> Result<(), String> {
    match messor_stdx::parse_size(text) {
        Ok(size) if size >= 4096 => Ok(()),
        _ => Err(format!("{text} must be at least 4096B, a page of memory")),
    }
}

pub fn socket_path(text: &str) -> Result<(), String> {
    if text.len() >= 108 {
        return Err("a socket's path must have less than 108 characters".to_string());
    }
    Ok(())
}

/// A net_cls handle: `0xAAAA`, not zero.
pub fn net_cls_handle(text: &str) -> Result<(), String> {
    match text.strip_prefix("0x").and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
        Some(number) if number != 0 => Ok(()),
        _ => Err(format!("'{text}' must be written 0xAAAA, 16 bits and not zero")),
    }
}

/// `DomainInfo` may do without a fault domain, this flag may not.
pub fn domain(text: &str) -> Result<(), String> {
    match json(text)? {
        JsonValue::Object(object) if object.iter().any(|(key, _)| key == "fault_domain") => Ok(()),
        _ => Err("must be a JSON object with a 'fault_domain'".to_string()),
    }
}

/// What an agent of Apache Mesos 1.11.0 always has (U003, U008).
pub const AGENT_FEATURES: [&str; 7] = [
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "AGENT_OPERATION_FEEDBACK",
    "RESOURCE_PROVIDER",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
];

pub fn agent_features(text: &str) -> Result<(), String> {
    let wrong = || "must be a JSON object with a list of 'capabilities', each with a 'type'".to_string();
    let JsonValue::Object(object) = json(text)? else { return Err(wrong()) };
    let Some((_, JsonValue::Array(capabilities))) = object.iter().find(|(key, _)| *key == "capabilities")
    else {
        return Err(wrong());
    };
    let mut given = Vec::new();
    for capability in capabilities.iter() {
        let JsonValue::Object(capability) = capability else { return Err(wrong()) };
        let Some((_, JsonValue::Str(kind))) = capability.iter().find(|(key, _)| *key == "type") else {
            return Err(wrong());
        };
        given.push(kind.to_string());
    }
    let missing: Vec<&str> =
        AGENT_FEATURES.into_iter().filter(|feature| !given.iter().any(|given| given == feature)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("these features cannot be left out: {}", missing.join(", ")))
}
