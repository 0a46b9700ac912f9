//! `mesos role`, `mesos quota`, `mesos weights`.

use std::collections::BTreeMap;

use messor_proto::mesos::master::Call;
use messor_proto::mesos::master::call::{self, Type};
use messor_proto::mesos::quota::{QuotaConfig, QuotaStatus};
use messor_proto::mesos::{WeightInfo, value};
use messor_types::{ResourceQuantities, validate_role};

use super::arguments::{Quota, Role, Weights};
use super::screen::{number, text};
use super::words::{amount, quantities, resources};
use super::{Console, ConsoleError};

impl Console<'_, '_> {
    pub fn role(&mut self, command: &Role) -> Result<(), ConsoleError> {
        let Role::List = command;
        let mut roles = self.api.ask(Type::GetRoles)?.get_roles.unwrap_or_default();
        if self.screen.json {
            return Ok(self.screen.json(&roles)?);
        }
        let status = self.quotas()?;
        let configs: BTreeMap<&str, &QuotaConfig> =
            status.configs.iter().map(|config| (config.role.as_str(), config)).collect();
        roles.roles.sort_by(|one, other| one.name.split('/').cmp(other.name.split('/')));
        let mut rows = self.screen.rows(&[
            "ROLE",
            "WEIGHT",
            "FRAMEWORKS",
            "CPUS",
            "GPUS",
            "MEM (MB)",
            "GUARANTEES",
            "LIMITS",
        ]);
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
                Some(last) if is_below => format!("{}{last}", "  ".repeat(depth)),
                _ => role.name.clone(),
            };
            rows.push([
                text(name),
                number(role.weight),
                number(role.frameworks.len()),
                number(amount(&used, "cpus")),
                number(amount(&used, "gpus")),
                number(amount(&used, "mem")),
                text(config.map_or(String::new(), |config| quantities(&config.guarantees))),
                text(config.map_or(String::new(), |config| quantities(&config.limits))),
            ]);
        }
        Ok(self.screen.table(rows, "No role is in use.")?)
    }

    fn quotas(&mut self) -> Result<QuotaStatus, ConsoleError> {
        Ok(self.api.ask(Type::GetQuota)?.get_quota.map(|answer| answer.status).unwrap_or_default())
    }

    pub fn quota(&mut self, command: &Quota) -> Result<(), ConsoleError> {
        match command {
            Quota::List => {
                let mut status = self.quotas()?;
                if self.screen.json {
                    return Ok(self.screen.json(&status)?);
                }
                status.configs.sort_by(|one, other| one.role.cmp(&other.role));
                let mut rows = self.screen.rows(&["ROLE", "GUARANTEES", "LIMITS"]);
                for config in &status.configs {
                    rows.push([
                        text(&config.role),
                        text(quantities(&config.guarantees)),
                        text(quantities(&config.limits)),
                    ]);
                }
                Ok(self.screen.table(rows, "No role has a quota.")?)
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
                check(role)?;
                self.consent(*consent, &format!("Take guarantees and limits from {role}?"))?;
                self.set_quota(QuotaConfig { role: role.clone(), ..QuotaConfig::default() }, false)?;
                self.done(&format!("{role} has no quota any more"))
            }
        }
    }

    fn set_quota(&mut self, config: QuotaConfig, force: bool) -> Result<(), ConsoleError> {
        self.api.call(&Call {
            r#type: Some(Type::UpdateQuota as i32),
            update_quota: Some(call::UpdateQuota { force: Some(force), quota_configs: vec![config] }),
            ..Call::default()
        })?;
        Ok(())
    }

    pub fn weights(&mut self, command: &Weights) -> Result<(), ConsoleError> {
        match command {
            Weights::List => {
                let mut answer = self.api.ask(Type::GetWeights)?.get_weights.unwrap_or_default();
                if self.screen.json {
                    return Ok(self.screen.json(&answer)?);
                }
                answer.weight_infos.sort_by(|one, other| one.role.cmp(&other.role));
                let mut rows = self.screen.rows(&["ROLE", "WEIGHT"]);
                for info in &answer.weight_infos {
                    rows.push([text(info.role.as_deref().unwrap_or("*")), number(info.weight)]);
                }
                Ok(self.screen.table(rows, "No weight is set: every role weighs 1.")?)
            }
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
    let entry = |(name, amount): (&messor_types::ResourceName, messor_types::Scalar)| {
        (name.as_str().to_owned(), value::Scalar { value: amount.to_f64() })
    };
    Ok(all.iter().map(entry).collect())
}
