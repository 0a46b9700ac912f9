//! `mesos reserve` and `mesos volume`.

use messor_proto::mesos::master::Call;
use messor_proto::mesos::master::call::{self, Type};
use messor_proto::mesos::resource::{DiskInfo, ReservationInfo, SharedInfo, disk_info, reservation_info};
use messor_proto::mesos::{self, AgentId, value, volume};
use messor_proto::{Version, WireEnum};
use messor_types::{ResourceFormat, ResourceName, Role, parse_resources};

use super::arguments::{Reserve, Volume};
use super::lists::{Listed, Look};
use super::roles::check;
use super::screen::{number, text};
use super::words::{resources, summary};
use super::{Console, ConsoleError, agents};

impl Console<'_, '_> {
    pub fn reserve(&mut self, command: &Reserve) -> Result<(), ConsoleError> {
        match command {
            Reserve::List => self.list(Listed::Reservations),
            Reserve::Watch => self.watch_list(Listed::Reservations),
            Reserve::Inspect { agent } => self.inspect_reservations(agent),
            Reserve::Add { agent, resources: list, role, refine, principal } => {
                let (agent_id, total, hostname) = self.of_agent(agent)?;
                let wanted = reserved(list, role, *refine, self.who(principal.as_ref()), &total)?;
                self.api.call(&Call {
                    r#type: Some(Type::ReserveResources as i32),
                    reserve_resources: Some(call::ReserveResources {
                        agent_id,
                        resources: wanted,
                        source: Vec::new(),
                    }),
                    ..Call::default()
                })?;
                self.done(&format!("{list} of {hostname} is reserved to {role}"))
            }
            Reserve::Remove { agent, resources: list, role, principal } => {
                let (agent_id, total, hostname) = self.of_agent(agent)?;
                let given = held(list, role, principal.as_deref(), &total)?;
                self.api.call(&Call {
                    r#type: Some(Type::UnreserveResources as i32),
                    unreserve_resources: Some(call::UnreserveResources { agent_id, resources: given }),
                    ..Call::default()
                })?;
                self.done(&format!("{list} of {hostname} is reserved to {role} no more"))
            }
        }
    }

    pub fn volume(&mut self, command: &Volume) -> Result<(), ConsoleError> {
        match command {
            Volume::List => self.list(Listed::Volumes),
            Volume::Watch => self.watch_list(Listed::Volumes),
            Volume::Inspect { agent, id } => self.inspect_volume(agent, id),
            Volume::Create { agent, id, size, role, principal, shared } => {
                let (agent_id, total, hostname) = self.of_agent(agent)?;
                let disk = held(&format!("disk:{size}"), role, None, &total)?;
                let [disk] = disk.as_slice() else {
                    return Err(ConsoleError::Wrong(format!(
                        "{hostname} has no {size} MB of one kind of disk reserved to {role}"
                    )));
                };
                let mut volume = disk.clone();
                let source = volume.disk.take().and_then(|disk| disk.source);
                volume.disk = Some(Box::new(DiskInfo {
                    persistence: Some(disk_info::Persistence {
                        id: id.clone(),
                        principal: self.who(principal.as_ref()),
                    }),
                    volume: Some(mesos::Volume {
                        mode: volume::Mode::Rw as i32,
                        container_path: id.clone(),
                        ..mesos::Volume::default()
                    }),
                    source,
                }));
                volume.shared = shared.then(SharedInfo::default);
                self.api.call(&Call {
                    r#type: Some(Type::CreateVolumes as i32),
                    create_volumes: Some(call::CreateVolumes { agent_id, volumes: vec![volume] }),
                    ..Call::default()
                })?;
                self.done(&format!("volume {id} of {size} MB is made at {hostname}"))
            }
            Volume::Destroy { agent, id, consent } => {
                let (agent_id, volume, hostname) = self.volume_of(agent, id)?;
                self.consent(*consent, &format!("Destroy volume {id} at {hostname} and all that is in it?"))?;
                self.api.call(&Call {
                    r#type: Some(Type::DestroyVolumes as i32),
                    destroy_volumes: Some(call::DestroyVolumes { agent_id, volumes: vec![volume] }),
                    ..Call::default()
                })?;
                self.done(&format!("volume {id} is destroyed"))
            }
            Volume::Grow { agent, id, by } => {
                let (agent_id, volume, _) = self.volume_of(agent, id)?;
                let mut addition = volume.clone();
                addition.scalar = Some(value::Scalar { value: *by });
                // Of the same disk, without what makes it a volume.
                addition.shared = None;
                addition.disk = addition
                    .disk
                    .and_then(|disk| disk.source)
                    .map(|source| Box::new(DiskInfo { source: Some(source), ..DiskInfo::default() }));
                self.api.call(&Call {
                    r#type: Some(Type::GrowVolume as i32),
                    grow_volume: Some(call::GrowVolume { agent_id: Some(agent_id), volume, addition }),
                    ..Call::default()
                })?;
                self.done(&format!("volume {id} has {by} MB more"))
            }
            Volume::Shrink { agent, id, by } => {
                let (agent_id, volume, _) = self.volume_of(agent, id)?;
                self.api.call(&Call {
                    r#type: Some(Type::ShrinkVolume as i32),
                    shrink_volume: Some(call::ShrinkVolume {
                        agent_id: Some(agent_id),
                        volume,
                        subtract: value::Scalar { value: *by },
                    }),
                    ..Call::default()
                })?;
                self.done(&format!("volume {id} has {by} MB less"))
            }
        }
    }

    pub fn look_at_reservations(&mut self) -> Result<Look, ConsoleError> {
        let answer = self.agents()?;
        let mut rows = self.screen.rows(&["AGENT", "HOSTNAME", "ROLE", "KIND", "RESOURCES"]);
        for agent in &answer.agents {
            for (role, list) in resources(&agent.total_resources).reservations() {
                for (kind, dynamic) in [("static", false), ("dynamic", true)] {
                    let part = list.filter(|one| one.is_dynamically_reserved() == dynamic);
                    if part.is_empty() {
                        continue;
                    }
                    rows.push([
                        self.screen.id(agents::id(agent)),
                        text(&agent.agent_info.hostname),
                        text(&role),
                        text(kind),
                        text(summary(&part)),
                    ]);
                }
            }
        }
        Ok(Look::new(rows, "Nothing is reserved.", 4, &answer))
    }

    fn inspect_reservations(&mut self, name: &str) -> Result<(), ConsoleError> {
        let agent = self.find_agent(name)?;
        if self.screen.json {
            return Ok(self.screen.json(&agent)?);
        }
        self.screen.details(&[
            ("Agent", agents::id(&agent).to_owned()),
            ("Hostname", agent.agent_info.hostname.clone()),
        ])?;
        self.screen.line("")?;
        let mut rows =
            self.screen.rows(&["RESOURCE", "ROLE", "REFINED OF", "KIND", "PRINCIPAL", "VOLUME", "LABELS"]);
        for one in resources(&agent.total_resources).reserved().iter() {
            let mut stack = one.to_proto(ResourceFormat::PostRefinement).reservations;
            let Some(last) = stack.pop() else { continue };
            let above: Vec<&str> = stack.iter().filter_map(|of| of.role.as_deref()).collect();
            let labels = last.labels.iter().flat_map(|labels| &labels.labels);
            let labels =
                labels.map(|one| format!("{}={}", one.key, one.value.as_deref().unwrap_or_default()));
            let is_dynamic = last.r#type() == reservation_info::Type::Dynamic;
            rows.push([
                text(format!("{}:{}", one.name().as_str(), one.value())),
                text(last.role.as_deref().unwrap_or_default()),
                text(above.join(" ")),
                text(if is_dynamic { "dynamic" } else { "static" }),
                text(last.principal.as_deref().unwrap_or_default()),
                text(one.persistence_id().unwrap_or_default()),
                text(labels.collect::<Vec<_>>().join(" ")),
            ]);
        }
        Ok(self.screen.table(rows, "Nothing of it is reserved.")?)
    }

    pub fn look_at_volumes(&mut self) -> Result<Look, ConsoleError> {
        let answer = self.agents()?;
        let mut rows = self.screen.rows(&["AGENT", "HOSTNAME", "VOLUME", "ROLE", "SIZE (MB)", "SHARED"]);
        for agent in &answer.agents {
            for one in resources(&agent.total_resources).persistent_volumes().iter() {
                rows.push([
                    self.screen.id(agents::id(agent)),
                    text(&agent.agent_info.hostname),
                    text(one.persistence_id().unwrap_or_default()),
                    text(one.reservation_role().map_or("*", |role| role.as_str())),
                    number(one.value()),
                    text(if one.is_shared() { "yes" } else { "" }),
                ]);
            }
        }
        Ok(Look::new(rows, "No persistent volume is there.", 3, &answer))
    }

    fn inspect_volume(&mut self, agent: &str, id: &str) -> Result<(), ConsoleError> {
        let (agent_id, volume, hostname) = self.volume_of(agent, id)?;
        if self.screen.json {
            return Ok(self.screen.json(&volume)?);
        }
        let disk = volume.disk.as_deref().cloned().unwrap_or_default();
        let reservation = volume.reservations.last().cloned().unwrap_or_default();
        let source = disk.source.as_ref().map(|source| {
            let kind = source.r#type().wire_name(Version::V1).to_lowercase();
            let root = match source.r#type() {
                disk_info::source::Type::Path => source.path.as_ref().and_then(|path| path.root.clone()),
                _ => source.mount.as_ref().and_then(|mount| mount.root.clone()),
            };
            format!("{kind} {}", root.unwrap_or_default()).trim_end().to_owned()
        });
        let persistence = disk.persistence.unwrap_or_default();
        self.screen.details(&[
            ("Volume", id.to_owned()),
            ("Agent", format!("{} at {hostname}", agent_id.value)),
            ("Role", reservation.role.unwrap_or_default()),
            ("Size", format!("{} MB", volume.scalar.as_ref().map_or(0.0, |scalar| scalar.value))),
            ("Disk", source.unwrap_or_else(|| "that of the agent's work_dir".to_owned())),
            ("Made by", persistence.principal.unwrap_or_default()),
            ("Reserved by", reservation.principal.unwrap_or_default()),
            ("Shared", if volume.shared.is_some() { "yes" } else { "no" }.to_owned()),
        ])?;
        let all = self.tasks()?;
        let uses = |task: &&mesos::Task| {
            let disks = task.resources.iter().filter_map(|one| one.disk.as_ref()?.persistence.as_ref());
            task.agent_id == agent_id && disks.into_iter().any(|found| found.id == id)
        };
        let users: Vec<&mesos::Task> = all.tasks.iter().filter(uses).collect();
        self.screen.line(&format!("\nTasks that use it: {}", users.len()))?;
        for task in users {
            self.screen
                .line(&format!("  {}  of framework {}", task.task_id.value, task.framework_id.value))?;
        }
        Ok(())
    }

    /// Who is said to reserve: by flag, or by the configuration.
    fn who(&self, principal: Option<&String>) -> Option<String> {
        principal.cloned().or_else(|| self.principal.clone())
    }

    fn of_agent(&mut self, name: &str) -> Result<(AgentId, Vec<mesos::Resource>, String), ConsoleError> {
        let agent = self.find_agent(name)?;
        let id = agent.agent_info.id.unwrap_or_default();
        Ok((id, agent.total_resources, agent.agent_info.hostname))
    }

    fn volume_of(
        &mut self,
        agent: &str,
        id: &str,
    ) -> Result<(AgentId, mesos::Resource, String), ConsoleError> {
        let (agent_id, total, hostname) = self.of_agent(agent)?;
        let is_it = |one: &messor_types::Resource| one.persistence_id() == Some(id);
        let found = resources(&total).filter(is_it);
        match found.iter().next() {
            Some(volume) => {
                let volume = volume.clone().without_allocation().to_proto(ResourceFormat::PostRefinement);
                Ok((agent_id, volume, hostname))
            }
            None => {
                let known = resources(&total).persistent_volumes();
                let known =
                    known.iter().filter_map(|one| Some(one.persistence_id()?.to_owned())).take(5).collect();
                Err(ConsoleError::Unknown { what: "volume", name: id.to_owned(), known, list: "volume list" })
            }
        }
    }
}

/// What is asked for, with the reservation that it gets. To refine, it is added to what ancestors of the role have.
fn reserved(
    list: &str,
    role: &str,
    refine: bool,
    principal: Option<String>,
    total: &[mesos::Resource],
) -> Result<Vec<mesos::Resource>, ConsoleError> {
    check(role)?;
    let plain = parse_resources(list, &Role::star());
    let plain = plain.map_err(|error| ConsoleError::Wrong(error.to_string()))?;
    let mut below = Vec::new();
    if refine {
        let role = Role::new(role);
        let held = resources(total);
        let found =
            held.iter().find(|one| one.reservation_role().is_some_and(|of| role.is_strict_subrole_of(of)));
        let found = found.ok_or_else(|| {
            ConsoleError::Wrong(format!(
                "nothing there is reserved to an ancestor of '{role}'; leave --refine out"
            ))
        })?;
        below = found.to_proto(ResourceFormat::PostRefinement).reservations;
    }
    below.push(ReservationInfo {
        r#type: Some(reservation_info::Type::Dynamic as i32),
        role: Some(role.to_owned()),
        principal,
        labels: None,
    });
    let with = |one: &messor_types::Resource| mesos::Resource {
        reservations: below.clone(),
        ..one.to_proto(ResourceFormat::PostRefinement)
    };
    Ok(plain.iter().map(with).collect())
}

/// So much of what is reserved to a role, as the agent has it: with its principal, labels and sources.
fn held(
    list: &str,
    role: &str,
    principal: Option<&str>,
    total: &[mesos::Resource],
) -> Result<Vec<mesos::Resource>, ConsoleError> {
    check(role)?;
    let plain = parse_resources(list, &Role::star());
    let plain = plain.map_err(|error| ConsoleError::Wrong(error.to_string()))?;
    let role = Role::new(role);
    let of_role = resources(total).unallocated().filter(|one| {
        let of = one.to_proto(ResourceFormat::PostRefinement).reservations.pop();
        one.is_reserved_to(&role)
            && one.persistence_id().is_none()
            && principal.is_none_or(|name| of.is_some_and(|of| of.principal.as_deref() == Some(name)))
    });
    let mut found = Vec::new();
    for wanted in plain.iter() {
        let name: &ResourceName = wanted.name();
        let one = of_role.iter().find(|one| {
            let same = one.name() == name && one.value().same_type(wanted.value());
            same && one.value().contains(wanted.value())
        });
        let one = one.ok_or_else(|| {
            ConsoleError::Wrong(format!(
                "the agent has no {name}:{} reserved to '{role}' in one piece",
                wanted.value()
            ))
        })?;
        found.push(one.clone().with_value(wanted.value().clone()).to_proto(ResourceFormat::PostRefinement));
    }
    Ok(found)
}
