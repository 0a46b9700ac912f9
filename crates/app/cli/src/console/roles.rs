//! `mesos role`, `mesos quota`, `mesos weights`.

use std::collections::BTreeMap;

use messor_proto::mesos::master::Call;
use messor_proto::mesos::master::call::{self, Type};
use messor_proto::mesos::master::response::GetRoles;
use messor_proto::mesos::master::response::get_frameworks::Framework as Shown;
use messor_proto::mesos::quota::{QuotaConfig, QuotaStatus};
use messor_proto::mesos::{self, WeightInfo, value};
use messor_types::{ResourceQuantities, Scalar, validate_role};

use super::arguments::{Quota, Role, Weights};
use super::lists::{Listed, Look};
use super::screen::{number, text};
use super::words::{amount, quantities, resources};
use super::{Console, ConsoleError, exactly, frameworks};

/// The largest part that each role has of any resource of the cluster, and what it would be if it and its siblings had
/// what they have together by their weights.
fn shares(roles: &[mesos::Role], total: &BTreeMap<&str, f64>) -> BTreeMap<String, (f64, f64)> {
    let largest = |role: &mesos::Role| {
        let used = resources(&role.resources);
        let part =
            |(name, all): (&&str, &f64)| if *all > 0.0 { amount(&used, name).to_f64() / all } else { 0.0 };
        total.iter().map(part).fold(0.0, f64::max)
    };
    let parent = |name: &str| name.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    let mut siblings: BTreeMap<Option<String>, (f64, f64)> = BTreeMap::new();
    for role in roles {
        let all = siblings.entry(parent(&role.name)).or_default();
        *all = (all.0 + largest(role), all.1 + role.weight);
    }
    let of = |role: &mesos::Role| {
        let (parts, weights) = siblings.get(&parent(&role.name)).copied().unwrap_or_default();
        let fair = if weights > 0.0 { parts * role.weight / weights } else { 0.0 };
        (role.name.clone(), (largest(role), fair))
    };
    roles.iter().map(of).collect()
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

/// Nothing where there is none, so that a column of these is left out.
pub fn some(amount: Scalar) -> String {
    if amount.is_zero() { String::new() } else { amount.to_string() }
}

impl Console<'_, '_> {
    pub fn role(&mut self, command: &Role) -> Result<(), ConsoleError> {
        match command {
            Role::List => self.list(Listed::Roles),
            Role::Watch => self.watch_list(Listed::Roles),
            Role::Inspect { role } => self.inspect_role(role),
        }
    }

    fn roles(&mut self) -> Result<GetRoles, ConsoleError> {
        let mut roles = self.api.ask(Type::GetRoles)?.get_roles.unwrap_or_default();
        roles.roles.sort_by(|one, other| one.name.split('/').cmp(other.name.split('/')));
        Ok(roles)
    }

    /// What the cluster has, which the metrics of its master know: agents need not be listed for it.
    fn totals(&mut self) -> Result<BTreeMap<&'static str, f64>, ConsoleError> {
        let answer = self.api.call(&Call {
            r#type: Some(Type::GetMetrics as i32),
            get_metrics: Some(call::GetMetrics::default()),
            ..Call::default()
        })?;
        let metrics = answer.get_metrics.unwrap_or_default().metrics;
        let one = |name: &'static str| {
            let metric = format!("master/{name}_total");
            let found = metrics.iter().find(|one| one.name == metric);
            (name, found.and_then(|one| one.value).unwrap_or_default())
        };
        Ok(["cpus", "mem", "disk", "gpus"].into_iter().map(one).collect())
    }

    pub fn look_at_roles(&mut self) -> Result<Look, ConsoleError> {
        let roles = self.roles()?;
        let status = self.quotas()?;
        let shares = shares(&roles.roles, &self.totals()?);
        let configs: BTreeMap<&str, &QuotaConfig> =
            status.configs.iter().map(|config| (config.role.as_str(), config)).collect();
        let mut rows = self.screen.rows(&[
            "ROLE",
            "WEIGHT",
            "SHARE",
            "FAIR",
            "FRAMEWORKS",
            "CPUS",
            "GPUS",
            "MEM (MB)",
            "GUARANTEES",
            "LIMITS",
        ]);
        let is_wide = self.screen.is_wide();
        for role in &roles.roles {
            let used = resources(&role.resources);
            let config = configs.get(role.name.as_str());
            // As a tree: the parents stand above.
            let (depth, last) = (role.name.matches('/').count(), role.name.rsplit('/').next());
            let is_below = depth > 0
                && roles.roles.iter().any(|other| {
                    role.name.strip_prefix(&other.name).is_some_and(|rest| rest.starts_with('/'))
                });
            let name = match last {
                Some(last) if is_below && self.screen.is_for_people() => {
                    format!("{}{last}", "  ".repeat(depth))
                }
                _ => role.name.clone(),
            };
            let (share, fair) = shares.get(&role.name).copied().unwrap_or_default();
            rows.push([
                text(name),
                number(role.weight),
                number(percent(share)),
                number(percent(fair)),
                number(if is_wide { role.frameworks.len().to_string() } else { String::new() }),
                number(amount(&used, "cpus")),
                number(some(amount(&used, "gpus"))),
                number(amount(&used, "mem")),
                text(config.map_or(String::new(), |config| quantities(&config.guarantees))),
                text(config.map_or(String::new(), |config| quantities(&config.limits))),
            ]);
        }
        Ok(Look::new(rows, "No role is in use.", 1, &roles))
    }

    fn inspect_role(&mut self, name: &str) -> Result<(), ConsoleError> {
        check(name)?;
        let roles = self.roles()?;
        let role = exactly(&roles.roles, name, "role", "role list", |role| &role.name)?;
        if self.screen.json {
            return Ok(self.screen.json(role)?);
        }
        let (share, fair) = shares(&roles.roles, &self.totals()?).get(name).copied().unwrap_or_default();
        let own = self.read_role(name)?;
        let frameworks = self.frameworks()?.frameworks;
        let names: Vec<String> = role
            .frameworks
            .iter()
            .map(|id| {
                let is_it = |one: &&Shown| frameworks::id(one) == id.value;
                let known = frameworks.iter().find(is_it).map_or("", |one| one.framework_info.name.as_str());
                format!("{} {known}", id.value)
            })
            .collect();
        let below = roles.roles.iter().filter(|one| one.name.starts_with(&format!("{name}/")));
        self.screen.details(&[
            ("Role", name.to_owned()),
            ("Weight", role.weight.to_string()),
            ("Share", format!("{} of the cluster; {} would be fair", percent(share), percent(fair))),
            ("Allocated", amounts(&own["allocated"])),
            ("Offered", amounts(&own["offered"])),
            ("Reserved", amounts(&own["reserved"])),
            ("Guarantees", amounts(&own["quota"]["guarantee"])),
            ("Limits", amounts(&own["quota"]["limit"])),
            ("Consumed", amounts(&own["quota"]["consumed"])),
            ("Roles below", below.map(|one| one.name.as_str()).collect::<Vec<_>>().join(" ")),
        ])?;
        self.screen.line(&format!("\nFrameworks: {}", names.len()))?;
        for name in names {
            self.screen.line(&format!("  {}", name.trim_end()))?;
        }
        Ok(())
    }

    /// What /roles tells of a role beyond GET_ROLES.
    fn read_role(&mut self, name: &str) -> Result<serde_json::Value, ConsoleError> {
        let answer = self.api.read_json("/master/roles")?;
        let mut all = answer["roles"].as_array().into_iter().flatten();
        Ok(all.find(|one| one["name"] == name).cloned().unwrap_or_default())
    }

    fn quotas(&mut self) -> Result<QuotaStatus, ConsoleError> {
        Ok(self.api.ask(Type::GetQuota)?.get_quota.map(|answer| answer.status).unwrap_or_default())
    }

    pub fn quota(&mut self, command: &Quota) -> Result<(), ConsoleError> {
        match command {
            Quota::List => self.list(Listed::Quota),
            Quota::Watch => self.watch_list(Listed::Quota),
            Quota::Inspect { role } => {
                let config = self.quota_of(role)?;
                if self.screen.json {
                    return Ok(self.screen.json(&config)?);
                }
                let own = self.read_role(role)?;
                self.screen.details(&[
                    ("Role", role.clone()),
                    ("Guarantees", quantities(&config.guarantees)),
                    ("Limits", quantities(&config.limits)),
                    ("Consumed", amounts(&own["quota"]["consumed"])),
                    ("  allocated", amounts(&own["allocated"])),
                    ("  reserved", amounts(&own["reserved"])),
                ])?;
                Ok(())
            }
            Quota::Set { role, guarantees, limits, force } => {
                check(role)?;
                if guarantees.is_none() && limits.is_none() {
                    return Err(ConsoleError::Wrong(format!(
                        "give --guarantees or --limits; 'mesos quota remove {role}' takes both away"
                    )));
                }
                let config = QuotaConfig {
                    role: role.clone(),
                    guarantees: parse("--guarantees", guarantees.as_deref())?,
                    limits: parse("--limits", limits.as_deref())?,
                };
                self.set_quota(config, *force)?;
                self.done(&format!("the quota of {role} is set"))
            }
            Quota::Remove { role, consent } => {
                self.quota_of(role)?;
                self.consent(*consent, &format!("Take guarantees and limits from {role}?"))?;
                self.set_quota(QuotaConfig { role: role.clone(), ..QuotaConfig::default() }, false)?;
                self.done(&format!("{role} has no quota any more"))
            }
        }
    }

    pub fn look_at_quota(&mut self) -> Result<Look, ConsoleError> {
        let mut status = self.quotas()?;
        status.configs.sort_by(|one, other| one.role.cmp(&other.role));
        let mut rows = self.screen.rows(&["ROLE", "GUARANTEES", "LIMITS"]);
        for config in &status.configs {
            rows.push([
                text(&config.role),
                text(quantities(&config.guarantees)),
                text(quantities(&config.limits)),
            ]);
        }
        Ok(Look::new(rows, "No role has a quota.", 1, &status))
    }

    /// The quota that a role has.
    fn quota_of(&mut self, role: &str) -> Result<QuotaConfig, ConsoleError> {
        check(role)?;
        let status = self.quotas()?;
        exactly(&status.configs, role, "role with a quota", "quota list", |config| &config.role).cloned()
    }

    fn set_quota(&mut self, config: QuotaConfig, force: bool) -> Result<(), ConsoleError> {
        self.api.call(&Call {
            r#type: Some(Type::UpdateQuota as i32),
            update_quota: Some(call::UpdateQuota { force: Some(force), quota_configs: vec![config] }),
            ..Call::default()
        })?;
        Ok(())
    }

    pub fn look_at_weights(&mut self) -> Result<Look, ConsoleError> {
        let mut answer = self.api.ask(Type::GetWeights)?.get_weights.unwrap_or_default();
        answer.weight_infos.sort_by(|one, other| one.role.cmp(&other.role));
        let mut rows = self.screen.rows(&["ROLE", "WEIGHT"]);
        for info in &answer.weight_infos {
            rows.push([text(info.role.as_deref().unwrap_or("*")), number(info.weight)]);
        }
        Ok(Look::new(rows, "No weight is set: every role weighs 1.", 1, &answer))
    }

    pub fn weights(&mut self, command: &Weights) -> Result<(), ConsoleError> {
        match command {
            Weights::List => self.list(Listed::Weights),
            Weights::Watch => self.watch_list(Listed::Weights),
            Weights::Set { weights } => {
                let mut infos = Vec::new();
                for one in weights {
                    let wrong =
                        || ConsoleError::Wrong(format!("'{one}' is not ROLE=WEIGHT with a weight above 0"));
                    let (role, weight) = one.rsplit_once('=').ok_or_else(wrong)?;
                    let weight: f64 = weight.parse().map_err(|_| wrong())?;
                    if !weight.is_finite() || weight <= 0.0 {
                        return Err(wrong());
                    }
                    check(role)?;
                    infos.push(WeightInfo { role: Some(role.to_owned()), weight });
                }
                self.api.call(&Call {
                    r#type: Some(Type::UpdateWeights as i32),
                    update_weights: Some(call::UpdateWeights { weight_infos: infos }),
                    ..Call::default()
                })?;
                self.done("the weights are set")
            }
        }
    }
}

pub fn check(role: &str) -> Result<(), ConsoleError> {
    validate_role(role).map_err(|error| ConsoleError::Wrong(error.to_string()))
}

fn parse(flag: &str, text: Option<&str>) -> Result<BTreeMap<String, value::Scalar>, ConsoleError> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    let all = ResourceQuantities::parse(text);
    let all = all.map_err(|error| ConsoleError::Wrong(format!("{flag}: {error}")))?;
    let entry = |(name, amount): (&messor_types::ResourceName, Scalar)| {
        (name.as_str().to_owned(), value::Scalar { value: amount.to_f64() })
    };
    Ok(all.iter().map(entry).collect())
}

/// `cpus:1 mem:64` of an object of amounts; what is 0 is left out, and what is no amount, too.
fn amounts(object: &serde_json::Value) -> String {
    let all = object.as_object().into_iter().flatten();
    let some = all.filter_map(|(name, value)| Some((name, value.as_f64().filter(|value| *value != 0.0)?)));
    let words = some.map(|(name, value)| format!("{name}:{}", Scalar::from_f64(value)));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fair_among_siblings_by_weight() {
        let role = |name: &str, weight: f64, list: &str| mesos::Role {
            name: name.to_owned(),
            weight,
            resources: messor_types::parse_resources(list, &messor_types::Role::star())
                .unwrap()
                .to_proto(messor_types::ResourceFormat::PostRefinement),
            ..mesos::Role::default()
        };
        let total = BTreeMap::from([("cpus", 10.0), ("mem", 1000.0), ("gpus", 0.0)]);
        let roles = [role("a", 3.0, "cpus:4;mem:100"), role("b", 1.0, "mem:200"), role("a/x", 1.0, "cpus:4")];
        let found = shares(&roles, &total);
        // What two have together, six tenths, is by weight 0.45 and 0.15.
        let close = |name: &str, share: f64, fair: f64| {
            let (is, would) = found[name];
            assert!((is - share).abs() < 1e-9 && (would - fair).abs() < 1e-9, "{name}: {is} {would}");
        };
        close("a", 0.4, 0.45);
        close("b", 0.2, 0.15);
        close("a/x", 0.4, 0.4);
        assert_eq!(percent(0.4), "40.0 %");
    }

    #[test]
    fn amounts_of_json_are_written_as_those_of_messages() {
        let object = serde_json::json!({"cpus": 1.5, "gpus": 0.0, "mem": 64.0, "ports": "[1-2]"});
        assert_eq!(amounts(&object), "cpus:1.5 mem:64");
        assert_eq!(amounts(&serde_json::Value::Null), "");
    }
}
