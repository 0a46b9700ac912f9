//! `mesos-ps`: the tasks that go on, with what their executors use, which their agents tell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use messor_proto::mesos::ResourceStatistics;
use messor_proto::mesos::agent::Call;
use messor_proto::mesos::agent::call::{GetContainers, Type};

use crate::console::screen::{number, text};
use crate::console::{AgentPlace, Api, ApiError, Console, ConsoleError};

/// So many agents are asked at the same time.
const AT_ONCE: usize = 16;
const MEGABYTE: f64 = 1024.0 * 1024.0;
/// What nobody could tell.
const UNKNOWN: &str = "-";

/// By framework and executor.
type Statistics = BTreeMap<(String, String), ResourceStatistics>;

impl Console<'_, '_> {
    pub fn processes(&mut self) -> Result<(), ConsoleError> {
        let frameworks = self.frameworks()?.frameworks;
        let tasks = self.tasks()?.tasks;
        let agents = self.agents()?.agents;
        let id_of = |agent: &_| agent_id(agent).to_owned();
        let hosts: BTreeMap<String, &str> =
            agents.iter().map(|one| (id_of(one), one.agent_info.hostname.as_str())).collect();
        let busy: BTreeSet<&str> = tasks.iter().map(|task| task.agent_id.value.as_str()).collect();
        let asked = agents.iter().filter(|one| busy.contains(agent_id(one)));
        let addresses = asked.filter_map(|one| AgentPlace::of_pid(one.pid.as_deref())).collect();
        let (statistics, silent) = measure(&self.api, addresses);

        let mut rows = self.screen.rows(&["USER", "FRAMEWORK", "TASK", "SLAVE", "MEM", "TIME"]);
        for framework in &frameworks {
            let info = &framework.framework_info;
            let Some(id) = &info.id else { continue };
            for task in tasks.iter().filter(|task| task.framework_id == *id) {
                // A command executor has the id of its task.
                let executor = task.executor_id.as_ref().map_or(&task.task_id.value, |id| &id.value);
                let used = statistics.get(&(id.value.clone(), executor.clone()));
                rows.push([
                    text(&info.user),
                    text(&info.name),
                    text(&task.name),
                    text(hosts.get(&task.agent_id.value).copied().unwrap_or(&task.agent_id.value)),
                    number(used.and_then(|used| used.mem_rss_bytes).map_or(UNKNOWN.to_owned(), memory)),
                    number(used.and_then(cpu_time).map_or(UNKNOWN.to_owned(), time)),
                ]);
            }
        }
        self.screen.table(rows, "No tasks.")?;
        self.screen.out.flush()?;
        for error in silent {
            eprintln!("mesos-ps: what is used there is not known: {error}");
        }
        Ok(())
    }
}

fn agent_id(agent: &messor_proto::mesos::master::response::get_agents::Agent) -> &str {
    agent.agent_info.id.as_ref().map_or("", |id| id.value.as_str())
}

/// What the executors of all these agents use, and why some did not tell.
fn measure(api: &Api, addresses: VecDeque<AgentPlace>) -> (Statistics, Vec<ApiError>) {
    let workers = addresses.len().min(AT_ONCE);
    let left = Mutex::new(addresses);
    let found = Mutex::new((Statistics::new(), Vec::new()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(address) = next() {
                    let answer = of_agent(api, &address);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Ok(statistics) => found.0.extend(statistics),
                        Err(error) => found.1.push(error),
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn of_agent(api: &Api, agent: &AgentPlace) -> Result<Statistics, ApiError> {
    let call = Call {
        r#type: Some(Type::GetContainers as i32),
        get_containers: Some(GetContainers::default()),
        ..Call::default()
    };
    let containers = api.ask_agent(agent, &call)?.get_containers.unwrap_or_default().containers;
    let one = |container: messor_proto::mesos::agent::response::get_containers::Container| {
        let key = (container.framework_id?.value, container.executor_id?.value);
        Some((key, container.resource_statistics?))
    };
    Ok(containers.into_iter().filter_map(one).collect())
}

fn memory(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / MEGABYTE)
}

fn cpu_time(used: &ResourceStatistics) -> Option<Duration> {
    let seconds = used.cpus_user_time_secs? + used.cpus_system_time_secs?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// `00:01:02.500000`; hours go on after a day.
fn time(used: Duration) -> String {
    let seconds = used.as_secs();
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60, used.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_as_mesos_ps_writes_them() {
        assert_eq!(memory(3 * 1024 * 1024 / 2), "1.5 MB");
        assert_eq!(time(Duration::from_millis(62_500)), "00:01:02.500000");
        assert_eq!(time(Duration::from_secs(26 * 3_600)), "26:00:00.000000");
        assert_eq!(cpu_time(&ResourceStatistics::default()), None);
    }
}
