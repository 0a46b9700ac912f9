//! `mesos framework`.

use std::time::Duration;

use messor_proto::mesos::FrameworkId;
use messor_proto::mesos::master::call::{self, Type};
use messor_proto::mesos::master::response::get_frameworks::Framework as Shown;
use messor_proto::mesos::master::{Call, response};
use messor_proto::{Version, WireEnum};

use super::arguments::Framework;
use super::roles::some;
use super::screen::{Rows, Tone, number, text, toned};
use super::tasks::hosts;
use super::watch::Watched;
use super::words::{amount, resources, summary, task_state, time_info};
use super::{Console, ConsoleError, one_of};

pub const NO_FRAMEWORKS: &str =
    "No frameworks are there; 'mesos framework list --all' shows those that ended.";

pub fn id(framework: &Shown) -> &str {
    framework.framework_info.id.as_ref().map_or("", |id| id.value.as_str())
}

pub fn roles(framework: &Shown) -> String {
    let info = &framework.framework_info;
    if info.roles.is_empty() {
        info.role.clone().unwrap_or_else(|| "*".to_string())
    } else {
        info.roles.join(",")
    }
}

pub fn state(framework: &Shown, ended: bool) -> (&'static str, Tone) {
    match (ended, framework.connected, framework.active) {
        (true, _, _) => ("completed", Tone::Faint),
        (_, true, true) => ("active", Tone::Good),
        (_, true, false) => ("inactive", Tone::Passing),
        _ if framework.recovered => ("recovered", Tone::Passing),
        _ => ("disconnected", Tone::Bad),
    }
}

impl Console<'_, '_> {
    pub fn frameworks(&mut self) -> Result<response::GetFrameworks, ConsoleError> {
        Ok(self.api.ask(Type::GetFrameworks)?.get_frameworks.unwrap_or_default())
    }

    pub fn find_framework(&mut self, name: &str) -> Result<Shown, ConsoleError> {
        let all = self.frameworks()?;
        let lists = [all.frameworks, all.completed_frameworks].concat();
        one_of(&lists, name, "framework", "framework list --all", id, |one| &one.framework_info.name).cloned()
    }

    pub fn framework(&mut self, command: &Framework) -> Result<(), ConsoleError> {
        match command {
            Framework::List { all } => self.list_frameworks(*all),
            Framework::Watch => self.watch(Watched::Frameworks),
            Framework::Inspect { framework } => {
                let framework = self.find_framework(framework)?;
                self.inspect_framework(&framework)
            }
            Framework::Teardown { framework, consent } => {
                let framework = self.find_framework(framework)?;
                let name = format!("framework {} ({})", id(&framework), framework.framework_info.name);
                self.consent(*consent, &format!("End {name} and all its tasks?"))?;
                self.api.call(&Call {
                    r#type: Some(Type::Teardown as i32),
                    teardown: Some(call::Teardown {
                        framework_id: FrameworkId { value: id(&framework).to_owned() },
                    }),
                    ..Call::default()
                })?;
                self.done(&format!("{name} is torn down"))
            }
        }
    }

    fn list_frameworks(&mut self, all: bool) -> Result<(), ConsoleError> {
        let mut answer = self.frameworks()?;
        if !all {
            answer.completed_frameworks.clear();
        }
        if self.screen.json {
            return Ok(self.screen.json(&answer)?);
        }
        let rows = self.framework_rows(&answer);
        Ok(self.screen.table(rows, NO_FRAMEWORKS)?)
    }

    pub fn framework_rows(&self, answer: &response::GetFrameworks) -> Rows {
        let mut rows = self.screen.rows(&[
            "ID",
            "NAME",
            "STATE",
            "ROLES",
            "CPUS",
            "GPUS",
            "MEM (MB)",
            "PRINCIPAL",
            "HOSTNAME",
        ]);
        let lists = [(&answer.frameworks, false), (&answer.completed_frameworks, true)];
        for (framework, ended) in
            lists.into_iter().flat_map(|(list, ended)| list.iter().map(move |one| (one, ended)))
        {
            let info = &framework.framework_info;
            let used = resources(&framework.allocated_resources);
            let (state, tone) = state(framework, ended);
            rows.push([
                self.screen.id(id(framework)),
                text(&info.name),
                toned(state, tone),
                text(roles(framework)),
                number(amount(&used, "cpus")),
                number(some(amount(&used, "gpus"))),
                number(amount(&used, "mem")),
                text(info.principal.as_deref().unwrap_or_default()),
                text(info.hostname.as_deref().unwrap_or_default()),
            ]);
        }
        rows
    }

    fn inspect_framework(&mut self, framework: &Shown) -> Result<(), ConsoleError> {
        if self.screen.json {
            return Ok(self.screen.json(framework)?);
        }
        let info = &framework.framework_info;
        let capabilities = info.capabilities.iter().map(|one| one.r#type().wire_name(Version::V1));
        let failover =
            Duration::try_from_secs_f64(info.failover_timeout.unwrap_or_default()).unwrap_or(Duration::MAX);
        self.screen.details(&[
            ("ID", id(framework).to_owned()),
            ("Name", info.name.clone()),
            ("State", state(framework, framework.unregistered_time.is_some()).0.to_owned()),
            ("User", info.user.clone()),
            ("Roles", roles(framework)),
            ("Principal", info.principal.clone().unwrap_or_default()),
            ("Hostname", info.hostname.clone().unwrap_or_default()),
            ("Page", info.webui_url.clone().unwrap_or_default()),
            ("Capabilities", capabilities.collect::<Vec<_>>().join(" ")),
            ("Checkpoint", info.checkpoint().to_string()),
            (
                "Failover timeout",
                if failover.is_zero() { "none".to_owned() } else { messor_stdx::format_duration(failover) },
            ),
            ("Registered", time_info(framework.registered_time.as_ref())),
            ("Reregistered", time_info(framework.reregistered_time.as_ref())),
            ("Ended", time_info(framework.unregistered_time.as_ref())),
            ("Allocated", summary(&resources(&framework.allocated_resources))),
            ("Offered", summary(&resources(&framework.offered_resources))),
        ])?;
        let all = self.tasks()?;
        let live = [all.pending_tasks, all.tasks, all.unreachable_tasks].concat();
        let own: Vec<_> = live
            .into_iter()
            .filter(|task| Some(&task.framework_id) == framework.framework_info.id.as_ref())
            .collect();
        self.screen.line(&format!("\nTasks: {}", own.len()))?;
        if own.is_empty() {
            return Ok(());
        }
        let hosts = hosts(&self.agents()?.agents);
        let mut rows = self.screen.rows(&["  TASK", "NAME", "STATE", "HOST", "RESOURCES"]);
        for task in &own {
            let (state, tone) = task_state(task.state());
            rows.push([
                text(format!("  {}", task.task_id.value)),
                text(&task.name),
                toned(state, tone),
                text(hosts.get(&task.agent_id.value).unwrap_or(&task.agent_id.value)),
                text(summary(&resources(&task.resources))),
            ]);
        }
        Ok(self.screen.table(rows, "")?)
    }
}
