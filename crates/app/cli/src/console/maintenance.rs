//! `mesos maintenance`.

use std::io::Read;
use std::path::Path;

use messor_proto::mesos::allocator::inverse_offer_status::Status as Answer;
use messor_proto::mesos::maintenance::{ClusterStatus, Schedule};
use messor_proto::mesos::master::Call;
use messor_proto::mesos::master::call::{self, Type};
use messor_proto::mesos::{MachineId, Unavailability};
use messor_proto::{Version, Wire};

use super::arguments::Maintenance;
use super::lists::{Listed, Look};
use super::screen::{Tone, number, text, toned};
use super::words;
use super::{Console, ConsoleError, frameworks};

const NOTHING: &str = "Nothing is scheduled.";

impl Console<'_, '_> {
    pub fn maintenance(&mut self, command: &Maintenance) -> Result<(), ConsoleError> {
        match command {
            Maintenance::List => self.list(Listed::Maintenance),
            Maintenance::Watch => self.watch_list(Listed::Maintenance),
            Maintenance::Inspect { machine } => self.inspect_machine(machine),
            Maintenance::Status => {
                let status = self.maintenance_status()?;
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
                let schedule = self.maintenance_schedule()?;
                if self.screen.json {
                    return Ok(self.screen.json(&schedule)?);
                }
                let mut rows = self.screen.rows(&["HOSTNAME", "IP", "FROM", "FOR"]);
                for window in &schedule.windows {
                    let for_ = length(&window.unavailability);
                    for machine in &window.machine_ids {
                        rows.push([
                            text(machine.hostname.as_deref().unwrap_or_default()),
                            text(machine.ip.as_deref().unwrap_or_default()),
                            text(words::time(window.unavailability.start.nanoseconds)),
                            text(&for_),
                        ]);
                    }
                }
                Ok(self.screen.table(rows, NOTHING)?)
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
                let windows = if count == 1 { "window" } else { "windows" };
                self.done(&format!("the schedule has {count} {windows}"))
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

impl Console<'_, '_> {
    fn maintenance_status(&mut self) -> Result<ClusterStatus, ConsoleError> {
        let answer = self.api.ask(Type::GetMaintenanceStatus)?.get_maintenance_status;
        Ok(answer.map(|answer| answer.status).unwrap_or_default())
    }

    fn maintenance_schedule(&mut self) -> Result<Schedule, ConsoleError> {
        let answer = self.api.ask(Type::GetMaintenanceSchedule)?.get_maintenance_schedule;
        Ok(answer.map(|answer| answer.schedule).unwrap_or_default())
    }

    pub fn look_at_maintenance(&mut self) -> Result<Look, ConsoleError> {
        let (schedule, status) = (self.maintenance_schedule()?, self.maintenance_status()?);
        let mut rows = self.screen.rows(&["HOSTNAME", "IP", "FROM", "FOR", "MODE", "ACCEPTED", "DECLINED"]);
        for window in &schedule.windows {
            for machine in &window.machine_ids {
                let (mode, tone) = mode(&status, machine);
                let answered = |status: &ClusterStatus, which: Answer| {
                    let of = status.draining_machines.iter().find(|one| one.id == *machine);
                    of.map_or(0, |one| one.statuses.iter().filter(|one| one.status() == which).count())
                };
                let some = |count: usize| if count == 0 { String::new() } else { count.to_string() };
                rows.push([
                    text(machine.hostname.as_deref().unwrap_or_default()),
                    text(machine.ip.as_deref().unwrap_or_default()),
                    text(words::time(window.unavailability.start.nanoseconds)),
                    text(length(&window.unavailability)),
                    toned(mode, tone),
                    number(some(answered(&status, Answer::Accept))),
                    number(some(answered(&status, Answer::Decline))),
                ]);
            }
        }
        Ok(Look::new(rows, NOTHING, 2, &status))
    }

    fn inspect_machine(&mut self, name: &str) -> Result<(), ConsoleError> {
        let wanted = ids(&[name.to_owned()])?.remove(0);
        let (schedule, status) = (self.maintenance_schedule()?, self.maintenance_status()?);
        // A machine may be named by one of its two names.
        let is_it = |machine: &&MachineId| {
            let same = |one: &Option<String>, other: &Option<String>| one.is_none() || one == other;
            same(&wanted.hostname, &machine.hostname) && same(&wanted.ip, &machine.ip)
        };
        let found = schedule
            .windows
            .iter()
            .find_map(|window| Some((window.machine_ids.iter().find(is_it)?, &window.unavailability)));
        let Some((machine, unavailability)) = found else {
            return Err(ConsoleError::Unknown {
                what: "machine in the schedule",
                name: name.to_owned(),
                known: Vec::new(),
                list: "maintenance list",
            });
        };
        let draining = status.draining_machines.iter().find(|one| one.id == *machine);
        if self.screen.json {
            match draining {
                Some(draining) => self.screen.json(draining)?,
                None => self.screen.json(machine)?,
            }
            return Ok(());
        }
        self.screen.details(&[
            ("Hostname", machine.hostname.clone().unwrap_or_default()),
            ("IP", machine.ip.clone().unwrap_or_default()),
            ("Mode", mode(&status, machine).0.to_owned()),
            ("From", words::time(unavailability.start.nanoseconds)),
            ("For", length(unavailability)),
        ])?;
        let frameworks = self.frameworks()?.frameworks;
        let mut rows = self.screen.rows(&["FRAMEWORK", "NAME", "ANSWER", "AT"]);
        for one in draining.map(|one| one.statuses.as_slice()).unwrap_or_default() {
            let id = &one.framework_id.value;
            let named = frameworks.iter().find(|framework| frameworks::id(framework) == id);
            let (answer, tone) = match one.status() {
                Answer::Accept => ("accepted", Tone::Good),
                Answer::Decline => ("declined", Tone::Bad),
                Answer::Unknown => ("unknown", Tone::Faint),
            };
            rows.push([
                self.screen.id(id),
                text(named.map_or("", |found| found.framework_info.name.as_str())),
                toned(answer, tone),
                text(words::time(one.timestamp.nanoseconds)),
            ]);
        }
        self.screen.line("")?;
        Ok(self.screen.table(rows, "No framework has answered.")?)
    }
}

fn mode(status: &ClusterStatus, machine: &MachineId) -> (&'static str, Tone) {
    if status.down_machines.contains(machine) {
        ("down", Tone::Bad)
    } else if status.draining_machines.iter().any(|one| one.id == *machine) {
        ("draining", Tone::Passing)
    } else {
        ("up", Tone::Good)
    }
}

/// How long a machine is not there.
fn length(unavailability: &Unavailability) -> String {
    unavailability.duration.as_ref().map_or("ever".to_string(), |duration| {
        let nanoseconds = u64::try_from(duration.nanoseconds).unwrap_or_default();
        messor_stdx::format_duration(std::time::Duration::from_nanos(nanoseconds))
    })
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
