//! Quotas of roles.

use std::collections::BTreeMap;

use messor_proto::mesos::master_info::capability;
use messor_proto::mesos::quota::QuotaConfig;
use messor_proto::mesos::value;
use messor_types::{RoleError, Scalar, validate_role};

use crate::kept::Kept;
use crate::state::State;

/// One exabyte, in the megabytes of `mem` and `disk`.
const MOST_MEGABYTES: u64 = 1 << 40;

/// Of everything else.
const MOST_OTHERWISE: u64 = 1_000_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    #[error("the role of a quota ('{role}') is not valid: {error}")]
    Role { role: String, error: RoleError },
    #[error("'{field}' of the quota of role '{role}' has {value} {name}: more than {most} are not supported")]
    TooMuch { field: &'static str, role: String, name: String, value: String, most: u64 },
    #[error(
        "'{field}' of the quota of role '{role}' has {value} {name}: it must be a number that is not below 0"
    )]
    NoNumber { field: &'static str, role: String, name: String, value: String },
    #[error("the quota of role '{role}' guarantees more {name} than its limit allows")]
    OverLimit { role: String, name: String },
}

/// Not with hundreds of digits.
fn written(value: f64) -> String {
    if value.is_finite() && value.abs() >= 1e15 { format!("{value:e}") } else { value.to_string() }
}

/// Refuses quotas that no cluster could have.
pub fn validate_quota(config: &QuotaConfig) -> Result<(), QuotaError> {
    let role = || config.role.clone();
    validate_role(&config.role).map_err(|error| QuotaError::Role { role: role(), error })?;
    for (field, scalars) in [("guarantees", &config.guarantees), ("limits", &config.limits)] {
        for (name, scalar) in scalars {
            let most = if matches!(name.as_str(), "mem" | "disk") { MOST_MEGABYTES } else { MOST_OTHERWISE };
            let (name, value) = (name.clone(), written(scalar.value));
            if scalar.value > most as f64 {
                return Err(QuotaError::TooMuch { field, role: role(), name, value, most });
            }
            if !(scalar.value.is_normal() && scalar.value > 0.0 || scalar.value == 0.0) {
                return Err(QuotaError::NoNumber { field, role: role(), name, value });
            }
        }
    }
    let amount = |scalar: &value::Scalar| Scalar::from_f64(scalar.value);
    for (name, guarantee) in &config.guarantees {
        if config.limits.get(name).is_some_and(|limit| amount(guarantee) > amount(limit)) {
            return Err(QuotaError::OverLimit { role: role(), name: name.clone() });
        }
    }
    Ok(())
}

/// No guarantees and no limits: as if the role had no quota.
fn is_default(config: &QuotaConfig) -> bool {
    let nothing = |list: &BTreeMap<String, value::Scalar>| {
        list.values().all(|scalar| Scalar::from_f64(scalar.value) == Scalar::ZERO)
    };
    // A limit of 0 is a limit.
    nothing(&config.guarantees) && config.limits.is_empty()
}

impl State {
    pub(crate) fn update_quota(&mut self, configs: &[QuotaConfig]) -> Result<bool, QuotaError> {
        configs.iter().try_for_each(validate_quota)?;
        for config in configs {
            let at = self.quota_configs.iter().position(|old| old.role == config.role);
            match at {
                Some(at) if is_default(config) => drop(self.quota_configs.remove(at)),
                Some(at) => self.quota_configs[at].change(|old| *old = config.clone()),
                None if is_default(config) => {}
                None => self.quota_configs.push(Kept::new(config.clone())),
            }
            self.quotas.retain(|quota| quota.info.role() != config.role);
        }
        if self.quota_configs.is_empty() {
            self.need_no_more(capability::Type::QuotaV2);
        } else {
            self.need(capability::Type::QuotaV2);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Operation, Refusal};
    use messor_proto::mesos::internal::registry;
    use messor_proto::mesos::quota::QuotaInfo;

    fn config(role: &str, guarantees: &[(&str, f64)], limits: &[(&str, f64)]) -> QuotaConfig {
        let map = |list: &[(&str, f64)]| {
            list.iter().map(|(name, value)| ((*name).to_string(), value::Scalar { value: *value })).collect()
        };
        QuotaConfig { role: role.into(), guarantees: map(guarantees), limits: map(limits) }
    }

    fn update(configs: &[QuotaConfig]) -> Operation {
        Operation::UpdateQuota { configs: configs.to_vec() }
    }

    #[test]
    fn quotas_are_set_changed_and_removed() {
        let mut state = State::default();
        let old = QuotaInfo { role: Some("old".into()), ..Default::default() };
        state.quotas.push(Kept::new(registry::Quota { info: old }));
        let (a, b) = (config("a", &[("cpus", 1.0)], &[]), config("b", &[], &[("cpus", 0.0)]));
        assert_eq!(state.apply(&update(&[a, b.clone()])), Ok(true));
        let changed = config("a", &[("cpus", 2.0)], &[("cpus", 2.0)]);
        state.apply(&update(std::slice::from_ref(&changed))).unwrap();
        assert_eq!(state.quota_configs().collect::<Vec<_>>(), [&changed, &b]);
        assert_eq!(state.minimum_capabilities().collect::<Vec<_>>(), ["QUOTA_V2"]);
        // The older form is kept until the role gets a new quota.
        assert_eq!(state.quotas().len(), 1);
        state.apply(&update(&[config("old", &[("cpus", 1.0)], &[])])).unwrap();
        assert_eq!(state.quotas().len(), 0);
        state.apply(&update(&["a", "b", "old"].map(|role| config(role, &[("cpus", 0.0)], &[])))).unwrap();
        assert_eq!((state.quota_configs().len(), state.minimum_capabilities().len()), (0, 0));
    }

    #[test]
    fn quotas_that_cannot_be_are_refused() {
        let mut state = State::default();
        for (wrong, part) in [
            (config("a b", &[], &[]), "role"),
            (config("a", &[("mem", 1.1e12)], &[]), "more than 1099511627776"),
            (config("a", &[], &[("cpus", 1.1e12)]), "'limits'"),
            (config("a", &[], &[("cpus", 1e300)]), "has 1e300 cpus"),
            (config("a", &[("cpus", -1.0)], &[]), "not below 0"),
            (config("a", &[("cpus", f64::NAN)], &[]), "not below 0"),
            (config("a", &[("cpus", 2.0), ("mem", 1.0)], &[("cpus", 1.0)]), "more cpus than"),
        ] {
            match state.apply(&update(&[config("fine", &[("cpus", 1.0)], &[]), wrong.clone()])) {
                Err(Refusal::Quota(error)) => assert!(error.to_string().contains(part), "{error}"),
                other => panic!("{wrong:?}: {other:?}"),
            }
        }
        assert_eq!(state, State::default());
    }
}
