//! `mesos task`: what there is of tasks. What they wrote is in `sandbox`.

use std::collections::BTreeMap;

use messor_proto::mesos::master::call::Type;
use messor_proto::mesos::master::response::GetTasks;
use messor_proto::mesos::master::response::get_agents::Agent;
use messor_proto::mesos::{TaskState, TaskStatus};
use messor_proto::{Version, WireEnum, mesos};

use super::arguments::Task;
use super::screen::{Rows, text, toned};
use super::watch::Watched;
use super::words::{moment, resources, summary, task_state, timestamp};
use super::{Console, ConsoleError, agents, frameworks, one_of};

/// Hostnames of agents by their ids.
pub type Hosts = BTreeMap<String, String>;

pub fn hosts(agents: &[Agent]) -> Hosts {
    let one = |agent: &Agent| (agents::id(agent).to_owned(), agent.agent_info.hostname.clone());
    agents.iter().map(one).collect()
}

impl Console<'_, '_> {
    pub fn task(&mut self, command: &Task) -> Result<(), ConsoleError> {
        match command {
            Task::List { all, framework, agent } => {
                self.list_tasks(*all, framework.as_deref(), agent.as_deref())
            }
            Task::Watch => self.watch(Watched::Tasks),
            Task::Inspect { task } => {
                let task = self.find_task(task)?;
                self.inspect_task(&task)
            }
            Task::Wait { task, timeout } => {
                let task = self.find_task(task)?;
                self.wait_for_task(&task, *timeout)
            }
            Task::Kill { task } => {
                let task = self.find_task(task)?;
                Err(ConsoleError::Wrong(format!(
                    "the API has no call by which an operator kills a task: framework {0} alone can kill {1}. 'mesos framework \
                     teardown {0}' ends it with all its tasks, 'mesos agent drain {2}' moves the tasks of the agent away",
                    task.framework_id.value, task.task_id.value, task.agent_id.value
                )))
            }
            Task::Logs { task, file, follow, lines, pod } => {
                let task = self.find_task(task)?;
                if *pod {
                    return self.pod_logs(&task, file, *follow, *lines);
                }
                self.logs(&task, file, *follow, *lines)
            }
            Task::Exec { interactive, tty, task, command } => {
                let task = self.find_task(task)?;
                self.exec(&task, *interactive, *tty, command)
            }
            Task::Attach { task, no_stdin } => {
                let task = self.find_task(task)?;
                self.attach(&task, !no_stdin)
            }
            Task::Cp { source, target } => {
                let (task, path) = source.split_once(':').ok_or_else(|| {
                    ConsoleError::Wrong(format!("'{source}' is not TASK:PATH, such as my-task:stdout"))
                })?;
                let task = self.find_task(task)?;
                self.copy(&task, path, target)
            }
        }
    }

    pub fn tasks(&mut self) -> Result<GetTasks, ConsoleError> {
        Ok(self.api.ask(Type::GetTasks)?.get_tasks.unwrap_or_default())
    }

    /// The task that is meant; one that goes on is meant before those that ended, and the latest of these.
    pub fn find_task(&mut self, name: &str) -> Result<mesos::Task, ConsoleError> {
        let answer = self.tasks()?;
        let live = [answer.pending_tasks, answer.tasks, answer.unreachable_tasks].concat();
        let of = |list: &[mesos::Task]| {
            let found =
                one_of(list, name, "task", "task list --all", |task| &task.task_id.value, |task| &task.name);
            found.cloned()
        };
        match of(&live) {
            Err(ConsoleError::Unknown { .. }) => {
                let mut ended = answer.completed_tasks;
                ended.reverse();
                if let Some(latest) =
                    ended.iter().find(|task| task.task_id.value == name || task.name == name)
                {
                    return Ok(latest.clone());
                }
                of(&[live, ended].concat())
            }
            found => found,
        }
    }

    fn list_tasks(
        &mut self,
        all: bool,
        framework: Option<&str>,
        agent: Option<&str>,
    ) -> Result<(), ConsoleError> {
        let framework = match framework {
            Some(name) => {
                let known = self.frameworks()?;
                let lists = [known.frameworks, known.completed_frameworks].concat();
                let found =
                    one_of(&lists, name, "framework", "framework list --all", frameworks::id, |one| {
                        &one.framework_info.name
                    })?;
                Some(frameworks::id(found).to_owned())
            }
            None => None,
        };
        let agent = match agent {
            Some(name) => self.find_agent(name)?.agent_info.id.map(|id| id.value),
            None => None,
        };
        let mut answer = self.tasks()?;
        if !all {
            answer.completed_tasks.clear();
        }
        let is_meant = |task: &mesos::Task| {
            framework.as_ref().is_none_or(|id| *id == task.framework_id.value)
                && agent.as_ref().is_none_or(|id| *id == task.agent_id.value)
        };
        for list in [
            &mut answer.pending_tasks,
            &mut answer.tasks,
            &mut answer.unreachable_tasks,
            &mut answer.completed_tasks,
        ] {
            list.retain(is_meant);
        }
        if self.screen.json {
            return Ok(self.screen.json(&answer)?);
        }
        let hosts = hosts(&self.agents()?.agents);
        let lists =
            [&answer.pending_tasks, &answer.tasks, &answer.unreachable_tasks, &answer.completed_tasks];
        let rows = self.task_rows(lists.into_iter().flatten(), &hosts);
        let nothing =
            if all { "No tasks." } else { "No tasks; 'mesos task list --all' shows those that ended." };
        Ok(self.screen.table(rows, nothing)?)
    }

    pub fn task_rows<'t>(&self, tasks: impl Iterator<Item = &'t mesos::Task>, hosts: &Hosts) -> Rows {
        let mut rows = self.screen.rows(&["ID", "NAME", "STATE", "FRAMEWORK", "HOST", "SINCE", "RESOURCES"]);
        for task in tasks {
            let (state, tone) = task_state(task.state());
            let last = task.statuses.last().and_then(|status| status.timestamp);
            rows.push([
                text(&task.task_id.value),
                text(&task.name),
                toned(state, tone),
                self.screen.id(&task.framework_id.value),
                text(hosts.get(&task.agent_id.value).unwrap_or(&task.agent_id.value)),
                text(moment(last)),
                text(summary(&resources(&task.resources))),
            ]);
        }
        rows
    }

    fn inspect_task(&mut self, task: &mesos::Task) -> Result<(), ConsoleError> {
        if self.screen.json {
            return Ok(self.screen.json(task)?);
        }
        let limits = super::words::quantities(&task.limits);
        let container = task.statuses.iter().rev().find_map(|status| {
            let status = status.container_status.as_ref()?;
            Some(status.container_id.as_ref()?.value.clone())
        });
        let addresses = task.statuses.last().and_then(|status| status.container_status.as_ref());
        let addresses = addresses.into_iter().flat_map(|status| &status.network_infos);
        let addresses =
            addresses.flat_map(|info| &info.ip_addresses).filter_map(|one| one.ip_address.clone());
        let labels = task.labels.iter().flat_map(|labels| &labels.labels);
        let labels = labels.map(|one| format!("{}={}", one.key, one.value.as_deref().unwrap_or_default()));
        self.screen.details(&[
            ("ID", task.task_id.value.clone()),
            ("Name", task.name.clone()),
            ("State", task_state(task.state()).0.to_owned()),
            ("Framework", task.framework_id.value.clone()),
            ("Executor", task.executor_id.as_ref().map(|id| id.value.clone()).unwrap_or_default()),
            ("Agent", task.agent_id.value.clone()),
            ("Container", container.unwrap_or_default()),
            ("Addresses", addresses.collect::<Vec<_>>().join(" ")),
            ("User", task.user.clone().unwrap_or_default()),
            ("Resources", summary(&resources(&task.resources))),
            ("Limits", limits),
            ("Labels", labels.collect::<Vec<_>>().join(" ")),
        ])?;
        self.screen.line("")?;
        let mut rows = self.screen.rows(&["TIME", "STATE", "SOURCE", "REASON", "MESSAGE"]);
        for status in &task.statuses {
            let (state, tone) = task_state(status.state());
            rows.push([
                text(timestamp(status.timestamp)),
                toned(state, tone),
                text(source(status)),
                text(reason(status)),
                text(status.message.as_deref().unwrap_or_default()),
            ]);
        }
        Ok(self.screen.table(rows, "Nothing was heard of it yet.")?)
    }
}

fn source(status: &TaskStatus) -> &'static str {
    let name = status.source.map_or("", |_| status.source().wire_name(Version::V1));
    name.strip_prefix("SOURCE_").unwrap_or(name)
}

fn reason(status: &TaskStatus) -> &'static str {
    let name = status.reason.map_or("", |_| status.reason().wire_name(Version::V1));
    name.strip_prefix("REASON_").unwrap_or(name)
}

/// Whether nothing more comes of it.
pub fn has_ended(state: TaskState) -> bool {
    messor_types::is_terminal_task(state)
}
