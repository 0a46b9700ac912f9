//! `posix/rlimits`: the limits of `ContainerInfo.rlimit_info` for the container's first process.

use messor_linux::limits::Limit;
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_proto::{Version, WireEnum};

use crate::isolator::{Container, Isolator, IsolatorError};

#[derive(Debug)]
pub struct Rlimits;

impl Isolator for Rlimits {
    fn name(&self) -> &'static str {
        "posix/rlimits"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let Some(info) = container.config.container_info.as_ref().and_then(|info| info.rlimit_info.as_ref())
        else {
            return Ok(None);
        };
        for limit in &info.rlimits {
            let name = limit.r#type().wire_name(Version::V0);
            Limit::new(name, limit.soft, limit.hard)
                .map_err(|error| IsolatorError::Invalid(format!("ContainerInfo.rlimit_info: {error}")))?;
        }
        Ok(Some(ContainerLaunchInfo { rlimits: Some(info.clone()), ..ContainerLaunchInfo::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use messor_proto::mesos::r_limit_info::{RLimit, r_limit};
    use messor_proto::mesos::{ContainerInfo, RLimitInfo};

    #[test]
    fn limits_are_passed_on_when_they_are_whole() {
        let limit = |soft, hard| RLimit { r#type: Some(r_limit::Type::RlmtNofile as i32), soft, hard };
        let with = |limit| {
            let mut container = container("c");
            let rlimit_info = Some(RLimitInfo { rlimits: vec![limit] });
            container.config.container_info = Some(ContainerInfo { rlimit_info, ..ContainerInfo::default() });
            container
        };
        assert_eq!(Rlimits.prepare(&container("c")).unwrap(), None);
        let info = Rlimits.prepare(&with(limit(Some(1), Some(2)))).unwrap().unwrap();
        assert_eq!(info.rlimits.unwrap().rlimits, [limit(Some(1), Some(2))]);
        let error = Rlimits.prepare(&with(limit(Some(1), None))).unwrap_err().to_string();
        assert!(error.starts_with("ContainerInfo.rlimit_info: the limit 'RLMT_NOFILE'"), "{error}");
    }
}
