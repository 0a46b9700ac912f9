//! `posix/cpu` and `posix/mem`: the sums over the processes below a container's first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use messor_linux::procfs::{self, Process, Usage};
use messor_proto::mesos::ResourceStatistics;
use messor_proto::mesos::slave::ContainerLaunchInfo;
use messor_types::ContainerId;

use crate::isolator::{Container, Isolator, IsolatorError, Recovered};

/// One look at the processes of the host does for all containers that are asked about within this time.
const FRESH: Duration = Duration::from_millis(250);

/// The processes of the host, looked at once for many containers.
#[derive(Debug, Default)]
pub struct Processes {
    last: Mutex<Option<(Instant, Arc<Vec<Process>>)>>,
}

impl Processes {
    fn now(&self) -> Result<Arc<Vec<Process>>, IsolatorError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((time, processes)) = &*last
            && time.elapsed() < FRESH
        {
            return Ok(processes.clone());
        }
        let processes = procfs::processes().map_err(|error| {
            IsolatorError::Failed("cannot list the processes of the host".to_string(), error)
        })?;
        let processes = Arc::new(processes);
        *last = Some((Instant::now(), processes.clone()));
        Ok(processes)
    }
}

/// What both have in common: which process is which container's first.
#[derive(Debug, Default)]
struct Tree {
    processes: Arc<Processes>,
    pids: Mutex<BTreeMap<ContainerId, i32>>,
}

impl Tree {
    fn pids(&self) -> MutexGuard<'_, BTreeMap<ContainerId, i32>> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recover(&self, going_on: &[Recovered]) {
        let known = going_on.iter().filter_map(|found| Some((found.container.id.clone(), found.pid?)));
        self.pids().extend(known);
    }

    /// None: it has no process.
    fn usage(&self, container: &ContainerId) -> Result<Option<Usage>, IsolatorError> {
        let Some(pid) = self.pids().get(container).copied() else { return Ok(None) };
        Ok(Some(procfs::tree_usage(&self.processes.now()?, pid)))
    }
}

macro_rules! isolators {
    ($($(#[$doc:meta])* $type:ident is $name:literal, $fill:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $type(Tree);

        impl $type {
            pub fn new(processes: Arc<Processes>) -> $type {
                $type(Tree { processes, pids: Mutex::default() })
            }
        }

        impl Isolator for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn recover(&self, going_on: &[Recovered], _: &[ContainerId]) -> Result<(), IsolatorError> {
                self.0.recover(going_on);
                Ok(())
            }

            fn prepare(&self, _: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
                Ok(None)
            }

            fn isolate(&self, container: &Container, pid: i32) -> Result<(), IsolatorError> {
                self.0.pids().insert(container.id.clone(), pid);
                Ok(())
            }

            fn usage(&self, container: &Container) -> Result<ResourceStatistics, IsolatorError> {
                let mut statistics = ResourceStatistics::default();
                if let Some(usage) = self.0.usage(&container.id)? {
                    let fill: fn(&Usage, &mut ResourceStatistics) = $fill;
                    fill(&usage, &mut statistics);
                }
                Ok(statistics)
            }

            fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
                self.0.pids().remove(container);
                Ok(())
            }
        }
    )*};
}

isolators! {
    /// Processor time.
    Cpu is "posix/cpu", |usage, statistics| {
        statistics.cpus_user_time_secs = Some(usage.user_time.as_secs_f64());
        statistics.cpus_system_time_secs = Some(usage.system_time.as_secs_f64());
    };
    /// Resident memory.
    Mem is "posix/mem", |usage, statistics| {
        statistics.mem_rss_bytes = Some(usage.resident_bytes);
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;

    #[test]
    fn the_tree_of_a_container_is_measured() {
        let (processes, me) = (Arc::new(Processes::default()), i32::try_from(std::process::id()).unwrap());
        let (cpu, mem) = (Cpu::new(processes.clone()), Mem::new(processes));
        let container = container("c");
        assert_eq!(mem.usage(&container).unwrap(), ResourceStatistics::default());
        let recovered = Recovered { container: container.clone(), pid: Some(me) };
        cpu.recover(&[recovered], &[]).unwrap();
        mem.isolate(&container, me).unwrap();
        assert!(mem.usage(&container).unwrap().mem_rss_bytes.unwrap() > 0);
        let used = cpu.usage(&container).unwrap();
        assert!(used.cpus_user_time_secs.is_some() && used.mem_rss_bytes.is_none());
        mem.cleanup(&container.id).unwrap();
        mem.cleanup(&container.id).unwrap();
        assert_eq!(mem.usage(&container).unwrap(), ResourceStatistics::default());
    }
}
