//! `org_apache_mesos_FixedResourceEstimator`: always the same resources, whatever is really free.

use messor_proto::mesos::ResourceUsage;
use messor_types::{Resource, Resources};

use crate::{ResourceEstimator, UsageError};

#[derive(Clone, Debug)]
pub struct FixedEstimator {
    all: Resources,
}

impl FixedEstimator {
    /// `all` becomes revocable.
    pub fn new(all: Resources) -> FixedEstimator {
        FixedEstimator { all: all.into_iter().map(Resource::with_revocable).collect() }
    }
}

impl ResourceEstimator for FixedEstimator {
    fn oversubscribable(&mut self, usage: &ResourceUsage) -> Result<Resources, UsageError> {
        let mut free = self.all.clone();
        for executor in &usage.executors {
            free -= &Resources::from_proto(&executor.allocated)?.revocable().unallocated();
        }
        Ok(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::resource_usage::Executor;
    use messor_types::{ResourceFormat, Role, parse_resources};

    fn resources(text: &str) -> Resources {
        parse_resources(text, &Role::parse("*").unwrap()).unwrap()
    }

    fn revocable(text: &str) -> Resources {
        resources(text).into_iter().map(Resource::with_revocable).collect()
    }

    fn used(list: &[Resources]) -> ResourceUsage {
        let executor = |resources: &Resources| Executor {
            allocated: resources
                .clone()
                .allocated_to(&Role::new("web"))
                .to_proto(ResourceFormat::PostRefinement),
            ..Executor::default()
        };
        ResourceUsage { executors: list.iter().map(executor).collect(), total: Vec::new() }
    }

    #[test]
    fn what_is_used_of_the_fixed_resources_is_not_free() {
        let mut estimator = FixedEstimator::new(resources("cpus:4;mem:64"));
        assert_eq!(estimator.oversubscribable(&used(&[])).unwrap(), revocable("cpus:4;mem:64"));
        let executors =
            [resources("cpus:8"), revocable("cpus:1.5"), revocable("cpus:1") + &resources("mem:8")];
        assert_eq!(estimator.oversubscribable(&used(&executors)).unwrap(), revocable("cpus:1.5;mem:64"));
        let all = estimator.oversubscribable(&used(&[revocable("cpus:5;mem:64")])).unwrap();
        assert!(all.is_empty(), "{all}");
    }
}
