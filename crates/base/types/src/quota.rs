//! Quota: what a role is guaranteed at least, and limited to at most.

use std::collections::BTreeMap;

use messor_proto::mesos::quota::QuotaConfig;
use messor_proto::mesos::value;

use crate::{ResourceName, ResourceQuantities, Resources, Scalar};

/// Most amounts by name. What is not named is not limited: the opposite of [`ResourceQuantities`], where it is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceLimits(BTreeMap<ResourceName, Scalar>);

impl ResourceLimits {
    pub fn new() -> ResourceLimits {
        ResourceLimits::default()
    }

    /// None: there is no limit.
    pub fn get(&self, name: &ResourceName) -> Option<Scalar> {
        self.0.get(name).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, Scalar)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    /// Lowers the limit of a name to `amount` if it is not lower already.
    pub fn restrict(&mut self, name: &ResourceName, amount: Scalar) {
        let amount = amount.max(Scalar::ZERO);
        let limit = self.0.entry(name.clone()).or_insert(amount);
        *limit = (*limit).min(amount);
    }

    /// Whether so much is within the limits.
    pub fn allows(&self, quantities: &ResourceQuantities) -> bool {
        quantities.iter().all(|(name, amount)| self.get(name).is_none_or(|limit| amount <= limit))
    }
}

impl<T: Into<ResourceName>> FromIterator<(T, Scalar)> for ResourceLimits {
    fn from_iter<I: IntoIterator<Item = (T, Scalar)>>(pairs: I) -> ResourceLimits {
        ResourceLimits(pairs.into_iter().map(|(name, amount)| (name.into(), amount)).collect())
    }
}

/// The quota of a role. No guarantees and no limits are as no quota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    pub guarantees: ResourceQuantities,
    pub limits: ResourceLimits,
}

impl Quota {
    pub fn is_default(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

impl From<&QuotaConfig> for Quota {
    fn from(config: &QuotaConfig) -> Quota {
        let amounts = |list: &BTreeMap<String, value::Scalar>| -> Vec<(ResourceName, Scalar)> {
            let amount = |(name, scalar): (&String, &value::Scalar)| {
                (ResourceName::new(name), Scalar::from_f64(scalar.value))
            };
            list.iter().map(amount).collect()
        };
        Quota {
            guarantees: amounts(&config.guarantees).into_iter().collect(),
            limits: amounts(&config.limits).into_iter().collect(),
        }
    }
}

impl Resources {
    /// The most of these scalars that `most` says of their names: None is all, and what is not a scalar stays. What
    /// cannot be divided is left out if it does not fit.
    pub fn shrunk_to(&self, most: impl Fn(&ResourceName) -> Option<Scalar>) -> Resources {
        let mut left: BTreeMap<ResourceName, Scalar> = BTreeMap::new();
        let mut result = Resources::new();
        for resource in self {
            let name = resource.name();
            let (Some(amount), Some(most)) = (resource.as_scalar(), most(name)) else {
                result.insert(resource.clone());
                continue;
            };
            let left = left.entry(name.clone()).or_insert(most);
            let part = amount.min(*left);
            if part <= Scalar::ZERO || (part < amount && resource.is_indivisible()) {
                continue;
            }
            *left -= part;
            result.insert(resource.clone().with_value(crate::Value::Scalar(part)));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Resource, Role, parse_resources};

    fn resources(text: &str) -> Resources {
        parse_resources(text, &Role::star()).unwrap()
    }

    #[test]
    fn quota_is_read_from_its_config() {
        let one = |name: &str, value| BTreeMap::from([(name.to_string(), value::Scalar { value })]);
        let config = QuotaConfig { role: "r".into(), guarantees: one("cpus", 1.0), limits: one("mem", 0.0) };
        let quota = Quota::from(&config);
        assert_eq!(quota.guarantees, ResourceQuantities::parse("cpus:1").unwrap());
        assert_eq!(quota.limits.get(&ResourceName::MEM), Some(Scalar::ZERO));
        assert_eq!(quota.limits.get(&ResourceName::CPUS), None);
        assert!(!quota.is_default() && Quota::from(&QuotaConfig::default()).is_default());
    }

    #[test]
    fn limits_only_fall() {
        let mut limits = ResourceLimits::new();
        limits.restrict(&ResourceName::CPUS, Scalar::from_units(3));
        limits.restrict(&ResourceName::CPUS, Scalar::from_units(5));
        limits.restrict(&ResourceName::MEM, Scalar::from_units(-1));
        assert!(limits.allows(&ResourceQuantities::parse("cpus:3;disk:9").unwrap()));
        assert!(!limits.allows(&ResourceQuantities::parse("cpus:3.001").unwrap()));
        assert!(!limits.allows(&ResourceQuantities::parse("mem:1").unwrap()));
    }

    #[test]
    fn resources_shrink_by_name() {
        let all = resources("cpus:4;mem:100;disk:9;ports:[1-5]");
        let most = |name: &ResourceName| match name.as_str() {
            "cpus" => Some(Scalar::from_units(1)),
            "mem" => Some(Scalar::from_units(500)),
            "disk" => Some(Scalar::ZERO),
            _ => None,
        };
        assert_eq!(all.shrunk_to(most), resources("cpus:1;mem:100;ports:[1-5]"));
        assert_eq!(all.shrunk_to(|_| None), all);
        let reserved: Resources =
            [Resource::scalar("cpus", 2.0), Resource::scalar("cpus", 2.0).with_revocable()]
                .into_iter()
                .collect();
        assert_eq!(reserved.shrunk_to(|_| Some(Scalar::from_units(3))).quantities().to_string(), "cpus:3");
    }
}
