//! Maintenance as operators understand it: which machines are planned to be unavailable, from when on, and which are down. A
//! model of what the registry keeps, told apart from it on purpose.

use std::collections::{BTreeMap, BTreeSet};

use messor_proto::mesos::machine_info::Mode;
use messor_proto::mesos::{MachineId, maintenance};
use messor_registry::{Operation, State};

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plan {
    /// By name, with the nanosecond from which on.
    windows: BTreeMap<String, i64>,
    pub down: BTreeSet<String>,
}

/// In a run a machine has one agent, and is told by its host name.
fn name(id: &MachineId) -> String {
    id.hostname().to_string()
}

fn windows<'s>(schedules: impl Iterator<Item = &'s maintenance::Schedule>) -> BTreeMap<String, i64> {
    let windows = schedules.flat_map(|schedule| &schedule.windows);
    let of = |window: &'s maintenance::Window| {
        let start = window.unavailability.start.nanoseconds;
        window.machine_ids.iter().map(move |id| (name(id), start))
    };
    windows.flat_map(of).collect()
}

impl Plan {
    pub fn is_of(operation: &Operation) -> bool {
        matches!(
            operation,
            Operation::UpdateSchedule { .. }
                | Operation::StartMaintenance { .. }
                | Operation::StopMaintenance { .. }
        )
    }

    /// As it is in a registry.
    pub fn of(state: &State) -> Plan {
        let windows = windows(state.schedules());
        let known: BTreeMap<String, i64> = state
            .machines()
            .map(|machine| {
                let start =
                    machine.unavailability.map_or(0, |unavailability| unavailability.start.nanoseconds);
                (name(&machine.id), start)
            })
            .collect();
        assert!(known == windows, "the schedule and the machines agree: {windows:?} and {known:?}");
        let down = state.machines().filter(|machine| machine.mode() == Mode::Down);
        Plan { down: down.map(|machine| name(&machine.id)).collect(), windows }
    }

    /// Those that are planned to be unavailable, and are not yet.
    pub fn draining(&self) -> impl Iterator<Item = &String> {
        self.windows.keys().filter(|name| !self.down.contains(*name))
    }

    /// What it becomes by an operation, if that fits.
    pub fn change(&mut self, operation: &Operation) {
        match operation {
            Operation::UpdateSchedule { schedule } => {
                let planned = windows(std::iter::once(&**schedule));
                if self.down.iter().all(|name| planned.contains_key(name)) {
                    self.windows = planned;
                }
            }
            Operation::StartMaintenance { machines } => {
                let names: Vec<String> = machines.iter().map(name).collect();
                if names.iter().all(|name| self.windows.contains_key(name) && !self.down.contains(name)) {
                    self.down.extend(names);
                }
            }
            Operation::StopMaintenance { machines } => {
                let names: Vec<String> = machines.iter().map(name).collect();
                if names.iter().all(|name| self.down.contains(name)) {
                    self.down.retain(|down| !names.contains(down));
                    self.windows.retain(|window, _| !names.contains(window));
                }
            }
            _ => {}
        }
    }

    pub fn changed(mut self, operation: &Operation) -> Plan {
        self.change(operation);
        self
    }
}
