//! `mesos agent`.

use std::time::Duration;

use messor_proto::mesos::master::call::{self, Type};
use messor_proto::mesos::master::response::get_agents::Agent as Shown;
use messor_proto::mesos::master::{Call, response};
use messor_proto::mesos::{AgentId, DrainState, DurationInfo, Task, value};

use super::arguments::Agent;
use super::screen::{Rows, Tone, number, text, toned};
use super::watch::Watched;
use super::words::{self, resources, share, summary};
use super::{Console, ConsoleError, one_of};

/// Between two looks at how far an agent is.
const LOOK: Duration = Duration::from_millis(500);

pub const NO_AGENTS: &str = "No agents are registered.";

pub fn id(agent: &Shown) -> &str {
    agent.agent_info.id.as_ref().map_or("", |id| id.value.as_str())
}

pub fn state(agent: &Shown) -> (&'static str, Tone) {
    match agent.drain_info.as_ref().map(|info| info.state()) {
        Some(DrainState::Drained) => ("drained", Tone::Faint),
        Some(DrainState::Draining) => ("draining", Tone::Passing),
        _ if agent.deactivated() => ("deactivated", Tone::Passing),
        _ if agent.active => ("active", Tone::Good),
        _ => ("disconnected", Tone::Bad),
    }
}

impl Console<'_, '_> {
    pub fn agents(&mut self) -> Result<response::GetAgents, ConsoleError> {
        Ok(self.api.ask(Type::GetAgents)?.get_agents.unwrap_or_default())
    }

    /// The agent that is meant, of those that are registered.
    pub fn find_agent(&mut self, name: &str) -> Result<Shown, ConsoleError> {
        let all = self.agents()?.agents;
        one_of(&all, name, "agent", "agent list", id, |agent| &agent.agent_info.hostname).cloned()
    }

    pub fn agent(&mut self, command: &Agent) -> Result<(), ConsoleError> {
        match command {
            Agent::List => self.list_agents(),
            Agent::Watch => self.watch(Watched::Agents),
            Agent::Inspect { agent } => self.inspect_agent(agent),
            Agent::Drain { agent, max_grace_period, mark_gone, wait, consent } => {
                let agent = self.find_agent(agent)?;
                let name = named(&agent);
                let end = if *mark_gone { ", and mark it as gone for good" } else { "" };
                self.consent(*consent, &format!("Drain {name}, ending its tasks{end}?"))?;
                let agent_id = AgentId { value: id(&agent).to_owned() };
                let max_grace_period = max_grace_period.map(duration_info);
                self.api.call(&Call {
                    r#type: Some(Type::DrainAgent as i32),
                    drain_agent: Some(call::DrainAgent {
                        agent_id,
                        max_grace_period,
                        mark_gone: Some(*mark_gone),
                    }),
                    ..Call::default()
                })?;
                if *wait {
                    return self.wait_for_drain(id(&agent), *mark_gone);
                }
                self.done(&format!("{name} is draining; 'mesos agent list' shows when it is done"))
            }
            Agent::Deactivate { agent } => {
                let agent = self.find_agent(agent)?;
                self.api.call(&Call {
                    r#type: Some(Type::DeactivateAgent as i32),
                    deactivate_agent: Some(call::DeactivateAgent {
                        agent_id: AgentId { value: id(&agent).to_owned() },
                    }),
                    ..Call::default()
                })?;
                self.done(&format!("{} is offered no more; its tasks go on", named(&agent)))
            }
            Agent::Reactivate { agent } => {
                let agent = self.find_agent(agent)?;
                self.api.call(&Call {
                    r#type: Some(Type::ReactivateAgent as i32),
                    reactivate_agent: Some(call::ReactivateAgent {
                        agent_id: AgentId { value: id(&agent).to_owned() },
                    }),
                    ..Call::default()
                })?;
                self.done(&format!("{} is offered again", named(&agent)))
            }
            Agent::Gone { agent, consent } => {
                // One that is away for long is known to the registry alone.
                let (value, name) = match self.find_agent(agent) {
                    Ok(found) => (id(&found).to_owned(), named(&found)),
                    Err(ConsoleError::Unknown { .. }) => (agent.clone(), format!("agent {agent}")),
                    Err(error) => return Err(error),
                };
                self.consent(*consent, &format!("Mark {name} as gone for good, and end its tasks?"))?;
                self.api.call(&Call {
                    r#type: Some(Type::MarkAgentGone as i32),
                    mark_agent_gone: Some(call::MarkAgentGone { agent_id: AgentId { value } }),
                    ..Call::default()
                })?;
                self.done(&format!("{name} is gone"))
            }
        }
    }

    pub fn done(&mut self, what: &str) -> Result<(), ConsoleError> {
        if !self.screen.json {
            self.screen.line(what)?;
        }
        Ok(())
    }

    fn list_agents(&mut self) -> Result<(), ConsoleError> {
        let answer = self.agents()?;
        if self.screen.json {
            return Ok(self.screen.json(&answer)?);
        }
        let rows = self.agent_rows(&answer);
        Ok(self.screen.table(rows, NO_AGENTS)?)
    }

    pub fn agent_rows(&self, answer: &response::GetAgents) -> Rows {
        let mut rows = self.screen.rows(&[
            "ID",
            "HOSTNAME",
            "STATE",
            "CPUS",
            "GPUS",
            "MEM (MB)",
            "DISK (MB)",
            "VERSION",
        ]);
        for agent in &answer.agents {
            let total = resources(&agent.total_resources);
            let used = resources(&agent.allocated_resources);
            let (state, tone) = state(agent);
            rows.push([
                self.screen.id(id(agent)),
                text(&agent.agent_info.hostname),
                toned(state, tone),
                number(share(&used, &total, "cpus")),
                number(if words::amount(&total, "gpus").is_zero() {
                    String::new()
                } else {
                    share(&used, &total, "gpus")
                }),
                number(share(&used, &total, "mem")),
                number(share(&used, &total, "disk")),
                text(&agent.version),
            ]);
        }
        for agent in &answer.recovered_agents {
            let empty = || text("");
            rows.push([
                self.screen.id(agent.id.as_ref().map_or("", |id| id.value.as_str())),
                text(&agent.hostname),
                toned("recovered", Tone::Passing),
                empty(),
                empty(),
                empty(),
                empty(),
                empty(),
            ]);
        }
        rows
    }

    fn inspect_agent(&mut self, name: &str) -> Result<(), ConsoleError> {
        let agent = self.find_agent(name)?;
        if self.screen.json {
            return Ok(self.screen.json(&agent)?);
        }
        let info = &agent.agent_info;
        let domain = info.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
        self.screen.details(&[
            ("ID", id(&agent).to_owned()),
            ("Hostname", info.hostname.clone()),
            ("State", state(&agent).0.to_owned()),
            ("PID", agent.pid.clone().unwrap_or_default()),
            ("Version", agent.version.clone()),
            ("Registered", words::time_info(agent.registered_time.as_ref())),
            ("Reregistered", words::time_info(agent.reregistered_time.as_ref())),
            (
                "Domain",
                domain.map_or(String::new(), |found| format!("{}/{}", found.region.name, found.zone.name)),
            ),
            ("Attributes", info.attributes.iter().map(attribute).collect::<Vec<_>>().join(" ")),
        ])?;
        let total = resources(&agent.total_resources);
        let allocated = resources(&agent.allocated_resources);
        let offered = resources(&agent.offered_resources);
        self.screen.line("\nResources")?;
        self.screen.details(&[
            ("  total", summary(&total)),
            ("  allocated", summary(&allocated)),
            ("  offered", summary(&offered)),
        ])?;
        let reserved = total.reservations();
        if !reserved.is_empty() {
            self.screen.line("\nReserved")?;
            let lines: Vec<(String, String)> =
                reserved.iter().map(|(role, list)| (format!("  {role}"), summary(list))).collect();
            let lines: Vec<(&str, String)> =
                lines.iter().map(|(role, list)| (role.as_str(), list.clone())).collect();
            self.screen.details(&lines)?;
        }
        let volumes = total.persistent_volumes();
        if !volumes.is_empty() {
            self.screen.line("\nPersistent volumes")?;
            for volume in volumes.iter() {
                let role = volume.reservation_role().map_or("*", |role| role.as_str());
                let id = volume.persistence_id().unwrap_or_default();
                self.screen.line(&format!("  {id}  {} MB of {role}", volume.value()))?;
            }
        }
        let tasks: Vec<Task> = self.live_tasks()?;
        let here: Vec<&Task> = tasks.iter().filter(|task| task.agent_id.value == id(&agent)).collect();
        self.screen.line(&format!("\nTasks: {}", here.len()))?;
        let mut rows = self.screen.rows(&["  TASK", "STATE", "FRAMEWORK", "RESOURCES"]);
        for task in &here {
            let (state, tone) = words::task_state(task.state());
            rows.push([
                text(format!("  {}", task.task_id.value)),
                toned(state, tone),
                self.screen.id(&task.framework_id.value),
                text(summary(&resources(&task.resources))),
            ]);
        }
        if !here.is_empty() {
            self.screen.table(rows, "")?;
        }
        Ok(())
    }

    fn live_tasks(&mut self) -> Result<Vec<Task>, ConsoleError> {
        Ok(self.api.ask(Type::GetTasks)?.get_tasks.unwrap_or_default().tasks)
    }

    fn wait_for_drain(&mut self, agent: &str, mark_gone: bool) -> Result<(), ConsoleError> {
        let count = |tasks: &[Task]| tasks.iter().filter(|task| task.agent_id.value == agent).count() as u64;
        let first = count(&self.live_tasks()?);
        // It is drawn on a terminal alone.
        let bar = indicatif::ProgressBar::new(first);
        if let Ok(style) =
            indicatif::ProgressStyle::with_template("draining [{bar:30}] {pos} of {len} tasks ended")
        {
            bar.set_style(style);
        }
        loop {
            let all = self.agents()?.agents;
            bar.set_position(first.saturating_sub(count(&self.live_tasks()?)));
            match all.iter().find(|one| id(one) == agent) {
                Some(one) if state(one).0 == "drained" => {
                    bar.finish_and_clear();
                    return self.done(&format!("{} is drained", named(one)));
                }
                // Once it is drained it is marked as gone, and listed no more.
                None if mark_gone => {
                    bar.finish_and_clear();
                    return self.done(&format!("agent {agent} is drained, and gone"));
                }
                None => {
                    bar.finish_and_clear();
                    return Err(ConsoleError::Wrong(format!(
                        "agent {agent} cannot be reached; it goes on draining when it is back"
                    )));
                }
                Some(one) if one.drain_info.is_none() => {
                    bar.finish_and_clear();
                    return Err(ConsoleError::Wrong(format!("{} was reactivated meanwhile", named(one))));
                }
                Some(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

fn named(agent: &Shown) -> String {
    format!("agent {} at {}", id(agent), agent.agent_info.hostname)
}

fn duration_info(duration: Duration) -> DurationInfo {
    DurationInfo { nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX) }
}

fn attribute(attribute: &messor_proto::mesos::Attribute) -> String {
    let value = match attribute.r#type() {
        value::Type::Scalar => attribute.scalar.as_ref().map(|scalar| scalar.value.to_string()),
        value::Type::Text => attribute.text.as_ref().map(|text| text.value.clone()),
        value::Type::Set => attribute.set.as_ref().map(|set| format!("{{{}}}", set.item.join(","))),
        value::Type::Ranges => attribute.ranges.as_ref().map(|ranges| {
            let all = ranges.range.iter().map(|range| format!("{}-{}", range.begin, range.end));
            format!("[{}]", all.collect::<Vec<_>>().join(","))
        }),
    };
    format!("{}:{}", attribute.name, value.unwrap_or_default())
}
