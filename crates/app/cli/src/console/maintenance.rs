//! `mesos maintenance`.

use std::io::Read;
use std::path::Path;

use messor_proto::mesos::MachineId;
use messor_proto::mesos::maintenance::Schedule;
use messor_proto::mesos::master::Call;
use messor_proto::mesos::master::call::{self, Type};
use messor_proto::{Version, Wire};

use super::arguments::Maintenance;
use super::screen::{Tone, text, toned};
use super::words;
use super::{Console, ConsoleError};

impl Console<'_, '_> {
    pub fn maintenance(&mut self, command: &Maintenance) -> Result<(), ConsoleError> {
        match command {
            Maintenance::Status => {
                let answer = self.api.ask(Type::GetMaintenanceStatus)?.get_maintenance_status;
                let status = answer.map(|answer| answer.status).unwrap_or_default();
                if self.screen.json {
                    return Ok(self.screen.json(&status)?);
                }
                let mut rows = self.screen.rows(&["HOSTNAME", "IP", "MODE", "ANSWERS OF FRAMEWORKS"]);
                for machine in &status.draining_machines {
                    let count = machine.statuses.len();
                    rows.push(cells(&machine.id, "draining", Tone::Passing, &count.to_string()));
                }
                for machine in &status.down_machines {
                    rows.push(cells(machine, "down", Tone::Bad, ""));
                }
                Ok(self.screen.table(rows, "No machine is in maintenance.")?)
            }
            Maintenance::Schedule => {
                let answer = self.api.ask(Type::GetMaintenanceSchedule)?.get_maintenance_schedule;
                let schedule = answer.map(|answer| answer.schedule).unwrap_or_default();
                if self.screen.json {
                    return Ok(self.screen.json(&schedule)?);
                }
                let mut rows = self.screen.rows(&["HOSTNAME", "IP", "FROM", "FOR"]);
                for window in &schedule.windows {
                    let for_ =
                        window.unavailability.duration.as_ref().map_or("ever".to_string(), |duration| {
                            let nanoseconds = u64::try_from(duration.nanoseconds).unwrap_or_default();
                            messor_stdx::format_duration(std::time::Duration::from_nanos(nanoseconds))
                        });
                    for machine in &window.machine_ids {
                        rows.push([
                            text(machine.hostname.as_deref().unwrap_or_default()),
                            text(machine.ip.as_deref().unwrap_or_default()),
                            text(words::time(window.unavailability.start.nanoseconds)),
                            text(&for_),
                        ]);
                    }
                }
                Ok(self.screen.table(rows, "Nothing is scheduled.")?)
            }
            Maintenance::Plan { file } => {
                let schedule = Schedule::from_json(&read(file)?, Version::V0)
                    .map_err(|error| ConsoleError::Wrong(format!("{}: {error}", file.display())))?;
                let count = schedule.windows.len();
                self.api.call(&Call {
                    r#type: Some(Type::UpdateMaintenanceSchedule as i32),
                    update_maintenance_schedule: Some(call::UpdateMaintenanceSchedule { schedule }),
                    ..Call::default()
                })?;
                self.done(&format!("the schedule has {count} windows"))
            }
            Maintenance::Down { machines, consent } => {
                let list = machines.join(", ");
                self.consent(*consent, &format!("Take down {list}, ending all tasks there?"))?;
                self.api.call(&Call {
                    r#type: Some(Type::StartMaintenance as i32),
                    start_maintenance: Some(call::StartMaintenance { machines: ids(machines)? }),
                    ..Call::default()
                })?;
                self.done(&format!("down: {list}"))
            }
            Maintenance::Up { machines } => {
                self.api.call(&Call {
                    r#type: Some(Type::StopMaintenance as i32),
                    stop_maintenance: Some(call::StopMaintenance { machines: ids(machines)? }),
                    ..Call::default()
                })?;
                self.done(&format!("up: {}", machines.join(", ")))
            }
        }
    }
}

fn cells(machine: &MachineId, mode: &str, tone: Tone, answers: &str) -> [comfy_table::Cell; 4] {
    [
        text(machine.hostname.as_deref().unwrap_or_default()),
        text(machine.ip.as_deref().unwrap_or_default()),
        toned(mode, tone),
        text(answers),
    ]
}

/// A file, or standard input.
fn read(file: &Path) -> Result<Vec<u8>, ConsoleError> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|all| bytes = all)
    };
    read.map_err(|source| ConsoleError::File { path: file.to_path_buf(), source })?;
    Ok(bytes)
}

/// `HOSTNAME`, `IP` or `HOSTNAME/IP`.
fn ids(machines: &[String]) -> Result<Vec<MachineId>, ConsoleError> {
    let one = |text: &String| {
        let is_ip = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
        let (hostname, ip) = match text.split_once('/') {
            Some((hostname, ip)) => (Some(hostname), Some(ip)),
            None if is_ip(text) => (None, Some(text.as_str())),
            None => (Some(text.as_str()), None),
        };
        if hostname == Some("") || ip.is_some_and(|ip| !is_ip(ip)) {
            return Err(ConsoleError::Wrong(format!("'{text}' is not HOSTNAME, IP or HOSTNAME/IP")));
        }
        Ok(MachineId { hostname: hostname.map(str::to_owned), ip: ip.map(str::to_owned) })
    };
    machines.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_as_people_write_them() {
        let read = |text: &str| ids(&[text.to_string()]).map(|mut list| list.remove(0));
        let id = |hostname: Option<&str>, ip: Option<&str>| MachineId {
            hostname: hostname.map(str::to_owned),
            ip: ip.map(str::to_owned),
        };
        assert_eq!(read("node").unwrap(), id(Some("node"), None));
        assert_eq!(read("10.0.0.1").unwrap(), id(None, Some("10.0.0.1")));
        assert_eq!(read("node/10.0.0.1").unwrap(), id(Some("node"), Some("10.0.0.1")));
        for wrong in ["", "/10.0.0.1", "node/x"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
