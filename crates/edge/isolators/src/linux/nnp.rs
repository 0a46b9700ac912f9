//! `linux/nnp` (U009): no program that a container executes gains rights by being setuid or by file capabilities.

use messor_proto::mesos::slave::ContainerLaunchInfo;

use crate::isolator::{Container, Isolator, IsolatorError};

#[derive(Debug)]
pub struct Nnp;

impl Isolator for Nnp {
    fn name(&self) -> &'static str {
        "linux/nnp"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn prepare(&self, _: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        Ok(Some(ContainerLaunchInfo { no_new_privileges: Some(true), ..ContainerLaunchInfo::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;

    /// U009.
    #[test]
    fn every_container_has_no_new_privileges() {
        let info = Nnp.prepare(&container("c")).unwrap().unwrap();
        assert_eq!(info.no_new_privileges, Some(true));
        assert!(Nnp.supports_nesting() && Nnp.supports_standalone());
    }
}
