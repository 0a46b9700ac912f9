//! How much of its host a container may use at most, where its tasks say so; how much it is promised is in `resources`.
//!
//! It must not know who enforces a limit.

use std::collections::BTreeMap;

use messor_proto::mesos::{Resource, value::Scalar};

/// By name: `cpus` and `mem`. A limit may be infinite. What has no name has no limit of its own: what is promised counts.
pub type Limits = BTreeMap<String, f64>;

/// What one task brings.
pub(crate) struct Part<'t> {
    pub resources: &'t [Resource],
    pub limits: &'t BTreeMap<String, Scalar>,
}

/// The limits of an executor's container, for all its tasks together. There is one only where a task has one: then it
/// leaves room for the executor and for the tasks that have none.
///
/// Where CPUs are not limited to what is promised (`cfs`), a task without a limit must not get one from another's.
pub(crate) fn executor_limits(executor: &[Resource], tasks: &[Part<'_>], cfs: bool) -> Limits {
    let mut limits = Limits::new();
    for name in ["cpus", "mem"] {
        let given: Vec<f64> =
            tasks.iter().filter_map(|task| task.limits.get(name)).map(|limit| limit.value).collect();
        let unlimited = tasks.iter().filter(|task| !task.limits.contains_key(name));
        let requested: f64 = unlimited.map(|task| amount(task.resources, name)).sum();
        if given.is_empty() || (name == "cpus" && requested > 0.0 && !cfs) {
            continue;
        }
        let sum = given.iter().sum::<f64>() + amount(executor, name) + requested;
        // Mesos counts in thousandths.
        limits.insert(name.to_string(), (sum * 1_000.0).round() / 1_000.0);
    }
    limits
}

fn amount(resources: &[Resource], name: &str) -> f64 {
    let named = resources.iter().filter(|resource| resource.name == name);
    named.filter_map(|resource| resource.scalar).map(|scalar| scalar.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(list: &[(&str, f64)]) -> Vec<Resource> {
        let resource = |(name, value): &(&str, f64)| Resource {
            name: (*name).to_string(),
            scalar: Some(Scalar { value: *value }),
            ..Resource::default()
        };
        list.iter().map(resource).collect()
    }

    /// Tasks as pairs of what is promised and what is the limit; `None` where there is no limit.
    fn limits(name: &str, tasks: &[(f64, Option<f64>)], cfs: bool) -> Option<f64> {
        let resources: Vec<Vec<Resource>> = tasks.iter().map(|(has, _)| scalars(&[(name, *has)])).collect();
        let given: Vec<BTreeMap<String, Scalar>> = tasks
            .iter()
            .map(|(_, limit)| {
                limit.iter().map(|value| (name.to_string(), Scalar { value: *value })).collect()
            })
            .collect();
        let parts: Vec<Part<'_>> =
            resources.iter().zip(&given).map(|(resources, limits)| Part { resources, limits }).collect();
        executor_limits(&scalars(&[("cpus", 0.1), ("mem", 32.0)]), &parts, cfs).remove(name)
    }

    #[test]
    fn a_limit_leaves_room_for_the_others() {
        assert_eq!(limits("mem", &[(64.0, None)], false), None);
        assert_eq!(limits("mem", &[], true), None);
        assert_eq!(limits("mem", &[(64.0, Some(128.0))], false), Some(160.0));
        assert_eq!(limits("mem", &[(64.0, Some(128.0)), (16.0, None)], false), Some(176.0));
        assert_eq!(limits("mem", &[(64.0, Some(f64::INFINITY)), (16.0, None)], false), Some(f64::INFINITY));
        assert_eq!(limits("cpus", &[(0.2, Some(0.4)), (0.1, Some(0.1))], false), Some(0.6));
    }

    /// U002.
    #[test]
    fn a_limit_of_cpus_holds_without_cfs_unless_it_would_bind_another_task() {
        assert_eq!(limits("cpus", &[(0.2, Some(0.4))], false), Some(0.5));
        assert_eq!(limits("cpus", &[(0.2, Some(0.4)), (1.0, None)], false), None);
        assert_eq!(limits("cpus", &[(0.2, Some(0.4)), (1.0, None)], true), Some(1.5));
    }
}
