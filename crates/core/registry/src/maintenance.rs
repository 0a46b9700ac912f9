//! The maintenance schedule, and the modes of the machines in it: draining, then down, then up and forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use messor_proto::WireEnum;
use messor_proto::mesos::internal::registry;
use messor_proto::mesos::machine_info::Mode;
use messor_proto::mesos::maintenance::Schedule;
use messor_proto::mesos::{MachineId, MachineInfo, Unavailability};

use crate::kept::Kept;
use crate::state::State;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceError {
    #[error("a window of the schedule has no machines: 'machine_ids' must name some")]
    EmptyWindow,
    #[error("'unavailability.duration' is negative")]
    NegativeDuration,
    #[error("the list of machines is empty")]
    NoMachines,
    #[error("a machine has neither 'hostname' nor 'ip'")]
    Nameless,
    #[error("'{0}' is not an IPv4 address")]
    Address(String),
    #[error("machine {0} is named twice")]
    Twice(Name),
    #[error("machine {0} is down and cannot leave the schedule: stop its maintenance first")]
    Down(Name),
    #[error("machine {0} is not part of the maintenance schedule")]
    NotScheduled(Name),
    #[error("machine {0} is not draining, so that its maintenance cannot start")]
    NotDraining(Name),
    #[error("machine {0} is not down, so that its maintenance cannot stop")]
    NotDown(Name),
}

/// A machine as it is told apart: host names are the same in either case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    hostname: Option<String>,
    ip: Option<String>,
}

impl Name {
    pub fn new(hostname: &str, ip: &str) -> Name {
        Name { hostname: Some(hostname.to_lowercase()), ip: Some(ip.to_string()) }
    }
}

impl From<&MachineId> for Name {
    fn from(id: &MachineId) -> Name {
        Name { hostname: id.hostname.as_ref().map(|name| name.to_lowercase()), ip: id.ip.clone() }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.hostname, &self.ip) {
            (Some(hostname), Some(ip)) => write!(formatter, "{hostname} ({ip})"),
            (Some(name), None) | (None, Some(name)) => formatter.write_str(name),
            (None, None) => formatter.write_str("without a name"),
        }
    }
}

fn validate_machine(id: &MachineId) -> Result<(), MaintenanceError> {
    if id.hostname().is_empty() && id.ip().is_empty() {
        return Err(MaintenanceError::Nameless);
    }
    if !id.ip().is_empty() && id.ip().parse::<Ipv4Addr>().is_err() {
        return Err(MaintenanceError::Address(id.ip().to_string()));
    }
    Ok(())
}

/// Each machine once, with a name.
fn validate_machines<'a>(
    ids: impl Iterator<Item = &'a MachineId>,
) -> Result<BTreeSet<Name>, MaintenanceError> {
    let mut names = BTreeSet::new();
    for id in ids {
        validate_machine(id)?;
        if !names.insert(Name::from(id)) {
            return Err(MaintenanceError::Twice(Name::from(id)));
        }
    }
    Ok(names)
}

fn windows(schedule: &Schedule) -> impl Iterator<Item = (&MachineId, &Unavailability)> {
    schedule
        .windows
        .iter()
        .flat_map(|window| window.machine_ids.iter().map(move |machine| (machine, &window.unavailability)))
}

impl State {
    pub(crate) fn update_schedule(&mut self, schedule: &Schedule) -> Result<bool, MaintenanceError> {
        for window in &schedule.windows {
            if window.machine_ids.is_empty() {
                return Err(MaintenanceError::EmptyWindow);
            }
            if window.unavailability.duration.is_some_and(|duration| duration.nanoseconds < 0) {
                return Err(MaintenanceError::NegativeDuration);
            }
        }
        let names = validate_machines(windows(schedule).map(|(machine, _)| machine))?;
        let down = self.machines.iter().filter(|machine| machine.info.mode() == Mode::Down);
        if let Some(missing) =
            down.map(|machine| Name::from(&machine.info.id)).find(|name| !names.contains(name))
        {
            return Err(MaintenanceError::Down(missing));
        }

        self.machines.retain(|machine| names.contains(&Name::from(&machine.info.id)));
        // A schedule may name every machine of a large cluster.
        let places: BTreeMap<Name, usize> = self
            .machines
            .iter()
            .enumerate()
            .map(|(at, machine)| (Name::from(&machine.info.id), at))
            .collect();
        for (id, unavailability) in windows(schedule) {
            match places.get(&Name::from(id)) {
                Some(at) => {
                    self.machines[*at].change(|machine| machine.info.unavailability = Some(*unavailability));
                }
                None => {
                    let info = MachineInfo {
                        id: id.clone(),
                        mode: Some(Mode::Draining.number()),
                        unavailability: Some(*unavailability),
                    };
                    self.machines.push(Kept::new(registry::Machine { info }));
                }
            }
        }
        self.schedules = vec![Kept::new(schedule.clone())];
        Ok(true)
    }

    /// The machines of a call, each of which has to be in this mode.
    fn machines_in(
        &self,
        ids: &[MachineId],
        mode: Mode,
        otherwise: fn(Name) -> MaintenanceError,
    ) -> Result<BTreeSet<Name>, MaintenanceError> {
        if ids.is_empty() {
            return Err(MaintenanceError::NoMachines);
        }
        let names = validate_machines(ids.iter())?;
        let modes: BTreeMap<Name, Mode> =
            self.machines.iter().map(|machine| (Name::from(&machine.info.id), machine.info.mode())).collect();
        for name in &names {
            match modes.get(name).copied() {
                None => return Err(MaintenanceError::NotScheduled(name.clone())),
                Some(now) if now != mode => return Err(otherwise(name.clone())),
                Some(_) => {}
            }
        }
        Ok(names)
    }

    pub(crate) fn start_maintenance(&mut self, ids: &[MachineId]) -> Result<bool, MaintenanceError> {
        let names = self.machines_in(ids, Mode::Draining, MaintenanceError::NotDraining)?;
        for machine in self.machines.iter_mut().filter(|m| names.contains(&Name::from(&m.info.id))) {
            machine.change(|machine| machine.info.mode = Some(Mode::Down.number()));
        }
        Ok(true)
    }

    pub(crate) fn stop_maintenance(&mut self, ids: &[MachineId]) -> Result<bool, MaintenanceError> {
        let names = self.machines_in(ids, Mode::Down, MaintenanceError::NotDown)?;
        self.machines.retain(|machine| !names.contains(&Name::from(&machine.info.id)));
        for schedule in &mut self.schedules {
            schedule.change(|schedule| {
                for window in &mut schedule.windows {
                    window.machine_ids.retain(|id| !names.contains(&Name::from(id)));
                }
                schedule.windows.retain(|window| !window.machine_ids.is_empty());
            });
        }
        self.schedules.retain(|schedule| !schedule.windows.is_empty());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Operation, Refusal};
    use messor_proto::mesos::maintenance::Window;
    use messor_proto::mesos::{DurationInfo, TimeInfo};

    fn machine(hostname: &str, ip: &str) -> MachineId {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_string());
        MachineId { hostname: text(hostname), ip: text(ip) }
    }

    fn window(start: i64, machine_ids: &[MachineId]) -> Window {
        let unavailability = Unavailability {
            start: TimeInfo { nanoseconds: start },
            duration: Some(DurationInfo { nanoseconds: 60 }),
        };
        Window { machine_ids: machine_ids.to_vec(), unavailability }
    }

    fn update(windows: &[Window]) -> Operation {
        Operation::UpdateSchedule { schedule: Box::new(Schedule { windows: windows.to_vec() }) }
    }

    fn modes(state: &State) -> Vec<(String, Mode, i64)> {
        let start = |info: &MachineInfo| info.unavailability.unwrap().start.nanoseconds;
        state.machines().map(|info| (info.id.hostname().to_string(), info.mode(), start(info))).collect()
    }

    #[test]
    fn machines_drain_go_down_and_come_back() {
        let (a, b, c) = (machine("a", ""), machine("b", "10.0.0.2"), machine("c", ""));
        let mut state = State::default();
        state.apply(&update(&[window(1, &[a.clone(), b.clone()])])).unwrap();
        let draining = |name: &str, at| (name.to_string(), Mode::Draining, at);
        assert_eq!(modes(&state), [draining("a", 1), draining("b", 1)]);
        // Another schedule: one leaves it, one gets another time, one is new.
        state
            .apply(&update(&[window(5, std::slice::from_ref(&c)), window(6, &[machine("B", "10.0.0.2")])]))
            .unwrap();
        assert_eq!(modes(&state), [draining("b", 6), draining("c", 5)]);

        let start = |ids: &[MachineId]| Operation::StartMaintenance { machines: ids.to_vec() };
        let stop = |ids: &[MachineId]| Operation::StopMaintenance { machines: ids.to_vec() };
        let name = |id: &MachineId| Name::from(id);
        let refused = |error: MaintenanceError| Err(Refusal::Maintenance(error));
        assert_eq!(
            state.apply(&start(std::slice::from_ref(&a))),
            refused(MaintenanceError::NotScheduled(name(&a)))
        );
        assert_eq!(
            state.apply(&stop(std::slice::from_ref(&b))),
            refused(MaintenanceError::NotDown(name(&b)))
        );
        assert_eq!(state.apply(&start(std::slice::from_ref(&b))), Ok(true));
        assert_eq!(
            state.apply(&start(std::slice::from_ref(&b))),
            refused(MaintenanceError::NotDraining(name(&b)))
        );
        assert!(state.machines().any(|machine| machine.id == b && machine.mode() == Mode::Down));
        assert_eq!(state.apply(&update(&[window(5, &[c])])), refused(MaintenanceError::Down(name(&b))));
        assert_eq!(state.apply(&stop(&[b])), Ok(true));
        assert_eq!(modes(&state), [draining("c", 5)]);
        assert_eq!(state.schedules().next().unwrap().windows.len(), 1);
        state.apply(&start(&[machine("c", "")])).unwrap();
        state.apply(&stop(&[machine("c", "")])).unwrap();
        assert_eq!((state.machines().len(), state.schedules().len()), (0, 0));
    }

    #[test]
    fn schedules_that_make_no_sense_are_refused() {
        use MaintenanceError::{Address, EmptyWindow, Nameless, NegativeDuration, NoMachines, Twice};
        let mut state = State::default();
        let a = machine("a", "");
        let mut negative = window(1, std::slice::from_ref(&a));
        negative.unavailability.duration = Some(DurationInfo { nanoseconds: -1 });
        for (windows, error) in [
            (vec![window(1, &[])], EmptyWindow),
            (vec![negative], NegativeDuration),
            (vec![window(1, &[machine("", "")])], Nameless),
            (vec![window(1, &[machine("a", "::1")])], Address("::1".into())),
            (
                vec![window(1, std::slice::from_ref(&a)), window(2, &[machine("A", "")])],
                Twice(Name::from(&a)),
            ),
        ] {
            assert_eq!(state.apply(&update(&windows)), Err(Refusal::Maintenance(error)));
        }
        let nobody = Operation::StartMaintenance { machines: Vec::new() };
        assert_eq!(state.apply(&nobody), Err(Refusal::Maintenance(NoMachines)));
        assert_eq!(state, State::default());
        // An empty schedule is one: nothing is planned.
        assert_eq!(state.apply(&update(&[])), Ok(true));
        assert_eq!(state.schedules().len(), 1);
    }
}
