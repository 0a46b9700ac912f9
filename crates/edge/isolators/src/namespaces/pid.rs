//! `namespaces/pid`: whose processes a container sees.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use messor_proto::mesos::slave::{ContainerLaunchInfo, ContainerMountInfo};
use messor_types::ContainerId;

use crate::isolator::{Container, Isolator, IsolatorError, Recovered};
use crate::kernel::{CLONE_NEWPID, MS_NODEV, MS_NOEXEC, MS_NOSUID};

#[derive(Debug)]
pub struct Pid {
    /// `--disallow_sharing_agent_pid_namespace`.
    never_the_agents: bool,
    /// Whether a container sees the processes of the host.
    sees_host: Mutex<BTreeMap<ContainerId, bool>>,
}

impl Pid {
    pub fn new(never_the_agents: bool) -> Pid {
        Pid { never_the_agents, sees_host: Mutex::default() }
    }

    fn sees_host(&self) -> MutexGuard<'_, BTreeMap<ContainerId, bool>> {
        self.sees_host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes and tells whether this container sees the processes of the host.
    fn note(&self, container: &Container) -> bool {
        let mut all = self.sees_host();
        let above = match container.id.parent() {
            Some(parent) => all.get(parent).copied().unwrap_or(false),
            None => true,
        };
        // A debug container is where its parent is.
        let sees = above && (shares(container) || container.is_debug());
        all.insert(container.id.clone(), sees);
        sees
    }
}

fn shares(container: &Container) -> bool {
    container.linux_info().and_then(|info| info.share_pid_namespace).unwrap_or(false)
}

impl Isolator for Pid {
    fn name(&self) -> &'static str {
        "namespaces/pid"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], _: &[ContainerId]) -> Result<(), IsolatorError> {
        for found in going_on {
            self.note(&found.container);
        }
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let (shares, nested) = (shares(container), container.is_nested());
        if !nested && shares && self.never_the_agents {
            let text = "LinuxInfo.share_pid_namespace: --disallow_sharing_agent_pid_namespace keeps containers out of \
                        the agent's pid namespace";
            return Err(IsolatorError::Invalid(text.to_string()));
        }
        let sees_host = self.note(container);
        let mut info = ContainerLaunchInfo::default();
        if nested {
            // Also before a new one is made: it is then below that of the parent.
            info.enter_namespaces.push(CLONE_NEWPID);
            if container.is_debug() {
                return Ok(Some(info));
            }
        }
        if !shares {
            info.clone_namespaces.push(CLONE_NEWPID);
        }
        // A root of its own has a /proc of its own, by who makes that.
        if !sees_host && container.config.rootfs.is_none() {
            info.mounts.push(ContainerMountInfo {
                source: Some("proc".to_string()),
                target: "/proc".to_string(),
                r#type: Some("proc".to_string()),
                flags: Some(MS_NOSUID | MS_NODEV | MS_NOEXEC),
                options: None,
            });
        }
        Ok(Some(info))
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        self.sees_host().remove(container);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::{container, nested};
    use messor_proto::mesos::slave::ContainerClass;
    use messor_proto::mesos::{ContainerInfo, LinuxInfo};

    fn sharing(mut container: Container) -> Container {
        let linux_info = Some(LinuxInfo { share_pid_namespace: Some(true), ..LinuxInfo::default() });
        container.config.container_info = Some(ContainerInfo { linux_info, ..ContainerInfo::default() });
        container
    }

    fn asked(isolator: &Pid, container: &Container) -> (Vec<i32>, Vec<i32>, usize) {
        let info = isolator.prepare(container).unwrap().unwrap();
        (info.enter_namespaces, info.clone_namespaces, info.mounts.len())
    }

    #[test]
    fn a_container_has_its_own_unless_it_shares() {
        let isolator = Pid::new(false);
        let (own, host) = (container("own"), sharing(container("host")));
        assert_eq!(asked(&isolator, &own), (vec![], vec![CLONE_NEWPID], 1));
        assert_eq!(asked(&isolator, &host), (vec![], vec![], 0));
        assert_eq!(asked(&isolator, &nested(&own, "n")), (vec![CLONE_NEWPID], vec![CLONE_NEWPID], 1));
        // It sees its parent's, which are not those of the host: /proc must say so.
        assert_eq!(asked(&isolator, &sharing(nested(&own, "s"))), (vec![CLONE_NEWPID], vec![], 1));
        assert_eq!(asked(&isolator, &sharing(nested(&host, "s"))), (vec![CLONE_NEWPID], vec![], 0));
        let mut debug = nested(&own, "d");
        debug.config.container_class = Some(ContainerClass::Debug as i32);
        assert_eq!(asked(&isolator, &debug), (vec![CLONE_NEWPID], vec![], 0));
        let next = Pid::new(false);
        next.recover(&[Recovered { container: host.clone(), pid: None }], &[]).unwrap();
        assert_eq!(asked(&next, &sharing(nested(&host, "s"))).2, 0);
    }

    #[test]
    fn the_agents_own_can_be_kept_from_containers() {
        let isolator = Pid::new(true);
        let error = isolator.prepare(&sharing(container("c"))).unwrap_err().to_string();
        assert!(error.contains("--disallow_sharing_agent_pid_namespace"), "{error}");
        // Of its parent it may.
        isolator.prepare(&container("p")).unwrap();
        isolator.prepare(&sharing(nested(&container("p"), "n"))).unwrap();
    }
}
