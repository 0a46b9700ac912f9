//! The machines of the maintenance schedule, as the registry has them, found by the names that agents have.

use std::collections::BTreeMap;

use messor_proto::mesos::machine_info::Mode;
use messor_proto::mesos::{AgentInfo, Unavailability};
use messor_registry::{MachineName, Operation, Refusal, State};
use messor_types::Pid;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Machine {
    pub mode: Mode,
    pub unavailability: Option<Unavailability>,
}

#[derive(Debug, Default)]
pub(crate) struct Machines {
    /// No more of the registry than maintenance.
    registry: State,
    by_name: BTreeMap<MachineName, Machine>,
}

impl Machines {
    pub fn of(registry: &State) -> Machines {
        let registry = registry.maintenance();
        let by_name = registry
            .machines()
            .map(|info| {
                let machine = Machine { mode: info.mode(), unavailability: info.unavailability };
                (MachineName::from(&info.id), machine)
            })
            .collect();
        Machines { registry, by_name }
    }

    /// The machines as they are after an operation, unless it is refused.
    pub fn after(&self, operation: &Operation) -> Result<Machines, Refusal> {
        let mut registry = self.registry.clone();
        registry.apply(operation)?;
        Ok(Machines::of(&registry))
    }

    /// What is planned for the machine that an agent is on. An agent has both a name and an address, and so must a
    /// machine to be its.
    pub fn machine_of(&self, info: &AgentInfo, pid: &Pid) -> Option<Machine> {
        if self.by_name.is_empty() {
            return None;
        }
        let name = MachineName::new(&info.hostname, &pid.address.ip().to_string());
        self.by_name.get(&name).copied()
    }

    pub fn is_down(&self, info: &AgentInfo, pid: &Pid) -> bool {
        self.machine_of(info, pid).is_some_and(|machine| machine.mode == Mode::Down)
    }
}
