//! `org_apache_mesos_LoadQoSController`: every executor with a revocable resource ends while the host has too much to do.

use std::io;

use messor_linux::host::{self, Load};
use messor_proto::mesos::ResourceUsage;
use messor_proto::mesos::slave::QoSCorrection;
use messor_proto::mesos::slave::qo_s_correction::{Kill, Type};

use crate::{QosController, UsageError};

/// The load of the host; another function in tests.
type LoadSource = fn() -> io::Result<Load>;

#[derive(Clone, Debug)]
pub struct LoadController {
    five_minutes: Option<f64>,
    fifteen_minutes: Option<f64>,
    load: LoadSource,
}

impl LoadController {
    /// With the load averages that are too much.
    pub fn new(five_minutes: Option<f64>, fifteen_minutes: Option<f64>) -> LoadController {
        LoadController { five_minutes, fifteen_minutes, load: host::load }
    }

    fn is_overloaded(&self, load: Load) -> bool {
        let averages = [("5", load.five, self.five_minutes), ("15", load.fifteen, self.fifteen_minutes)];
        let mut overloaded = false;
        for (minutes, average, threshold) in averages {
            if let Some(threshold) = threshold.filter(|threshold| average > *threshold) {
                tracing::info!(
                    "The load of the last {minutes} minutes, {average}, is above the threshold of {threshold}"
                );
                overloaded = true;
            }
        }
        overloaded
    }
}

impl QosController for LoadController {
    fn corrections(&mut self, usage: &ResourceUsage) -> Result<Vec<QoSCorrection>, UsageError> {
        if !self.is_overloaded((self.load)().map_err(UsageError::Load)?) {
            return Ok(Vec::new());
        }
        let revocable = usage
            .executors
            .iter()
            .filter(|executor| executor.allocated.iter().any(|r| r.revocable.is_some()));
        let kill = |executor: &messor_proto::mesos::resource_usage::Executor| Kill {
            framework_id: executor.executor_info.framework_id.clone(),
            executor_id: Some(executor.executor_info.executor_id.clone()),
            // The run that was looked at, not one that comes after it.
            container_id: Some(executor.container_id.clone()),
        };
        Ok(revocable
            .map(|executor| QoSCorrection { r#type: Type::Kill.into(), kill: Some(kill(executor)) })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::resource::RevocableInfo;
    use messor_proto::mesos::resource_usage::Executor;
    use messor_proto::mesos::{ExecutorId, ExecutorInfo, FrameworkId, Resource};

    fn executor(id: &str, revocable: &[bool]) -> Executor {
        let resource =
            |is: &bool| Resource { revocable: is.then_some(RevocableInfo {}), ..Resource::default() };
        Executor {
            executor_info: ExecutorInfo {
                executor_id: ExecutorId { value: id.to_string() },
                framework_id: Some(FrameworkId { value: "f".to_string() }),
                ..ExecutorInfo::default()
            },
            allocated: revocable.iter().map(resource).collect(),
            ..Executor::default()
        }
    }

    fn killed(five: Option<f64>, fifteen: Option<f64>) -> Vec<String> {
        let load = || Ok(Load { one: 100.0, five: 6.5, fifteen: 4.0 });
        let mut controller = LoadController { five_minutes: five, fifteen_minutes: fifteen, load };
        let executors =
            vec![executor("firm", &[false]), executor("both", &[false, true]), executor("r", &[true])];
        let usage = ResourceUsage { executors, total: Vec::new() };
        let corrections = controller.corrections(&usage).unwrap().into_iter();
        corrections.map(|correction| correction.kill.unwrap().executor_id.unwrap().value).collect()
    }

    #[test]
    fn revocable_executors_end_above_a_threshold() {
        assert!(killed(None, None).is_empty());
        assert!(killed(Some(6.5), Some(4.0)).is_empty(), "as much as the threshold is not too much");
        assert_eq!(killed(Some(6.0), None), ["both", "r"]);
        assert_eq!(killed(Some(7.0), Some(3.9)), ["both", "r"]);
    }

    #[test]
    fn a_load_that_is_not_known_ends_nothing() {
        let load = || Err(io::Error::other("no /proc"));
        let mut controller = LoadController { five_minutes: Some(0.0), fifteen_minutes: None, load };
        assert!(controller.corrections(&ResourceUsage::default()).is_err());
    }
}
