//! Taking a view: pointers to what is, and the gauges.

use std::sync::Arc;

use messor_proto::mesos::TaskState;
use messor_stdx::Time;
use messor_types::{ResourceName, Scalar};

use crate::leading::Leadership;
use crate::master::Master;
use crate::state::Framework;
use crate::view::{AgentView, FrameworkView, View};

const MEASURED: [(&str, ResourceName); 4] = [
    ("cpus", ResourceName::CPUS),
    ("gpus", ResourceName::GPUS),
    ("mem", ResourceName::MEM),
    ("disk", ResourceName::DISK),
];

impl Master {
    /// The state of things for readers.
    pub fn view(&self, now: Time) -> View {
        let mut view = self.view_without_metrics(now);
        view.metrics = self.counters.list();
        view.metrics.extend(self.operations.counts.list());
        self.measure(now, &mut view.metrics);
        measure_resources(view.agents.iter().map(|agent| &***agent), &mut view.metrics);
        view
    }

    /// For who looks after every event, as the simulator does.
    pub fn view_without_metrics(&self, now: Time) -> View {
        let agents = self.agents.registered.values().map(|agent| agent.view()).collect();
        View {
            now,
            info: self.info.clone(),
            leader: self.leader.clone(),
            start_time: self.start_time,
            elected_time: self.elected_time,
            recovered: self.leadership == Leadership::Leading,
            agents,
            recovered_agents: self.agents.recovered.values().cloned().collect(),
            unreachable_agents: self
                .agents
                .unreachable
                .iter()
                .map(|(id, time)| (id.clone(), *time))
                .collect(),
            frameworks: self
                .frameworks
                .registered
                .values()
                .map(|framework| self.view_of(framework))
                .collect(),
            completed_frameworks: self
                .frameworks
                .completed
                .values()
                .map(|framework| self.view_of(framework))
                .collect(),
            operations: self.operations.iter().map(|entry| Arc::clone(&entry.operation)).collect(),
            allowed_roles: self.config.roles.clone(),
            weights: self.weights.iter().map(|(role, weight)| (role.clone(), *weight)).collect(),
            inverse_offer_statuses: self.inverse_offers.statuses(),
            registry: None,
            metrics: Vec::new(),
        }
    }

    fn view_of(&self, framework: &Framework) -> FrameworkView {
        let offers = || framework.offers.iter().filter_map(|id| self.offers.get(id));
        let executors = framework.executors.iter();
        FrameworkView {
            framework: Arc::clone(&framework.record),
            // No task waits for anything here any more (U005).
            pending_tasks: Vec::new(),
            tasks: framework.tasks.values().map(|entry| Arc::clone(&entry.task)).collect(),
            unreachable_tasks: framework.unreachable_tasks.values().cloned().collect(),
            completed_tasks: framework.completed_tasks.clone(),
            executors: executors.map(|((agent, _), info)| (agent.clone(), Arc::clone(info))).collect(),
            offers: offers().map(|record| Arc::clone(&record.offer)).collect(),
            inverse_offers: self.inverse_offers.offers_of(framework.id()),
            used: framework.total_used(),
            offered: framework.total_offered(offers().map(|record| &record.resources)),
            counts: Box::new(framework.counting.view()),
        }
    }

    fn measure(&self, now: Time, metrics: &mut Vec<(String, f64)>) {
        let mut gauge = |name: &str, value: usize| metrics.push((format!("master/{name}"), value as f64));
        let agents = || self.agents.registered.values();
        let connected = agents().filter(|agent| agent.connected).count();
        gauge("slaves_connected", connected);
        gauge("slaves_disconnected", self.agents.registered.len() - connected);
        let active = agents().filter(|agent| agent.active).count();
        gauge("slaves_active", active);
        gauge("slaves_inactive", self.agents.registered.len() - active);
        gauge("slaves_unreachable", self.agents.unreachable.len());

        let frameworks = || self.frameworks.registered.values();
        let connected = frameworks().filter(|framework| framework.connected()).count();
        gauge("frameworks_connected", connected);
        gauge("frameworks_disconnected", self.frameworks.registered.len() - connected);
        let active = frameworks().filter(|framework| framework.record.active).count();
        gauge("frameworks_active", active);
        gauge("frameworks_inactive", self.frameworks.registered.len() - active);

        gauge("outstanding_offers", self.offers.len());
        gauge("operator_event_stream_subscribers", self.operators.len());
        let tasks = |state| {
            self.task_states.get(&state).map_or(0, |count| usize::try_from(*count).unwrap_or(usize::MAX))
        };
        gauge("tasks_staging", tasks(TaskState::TaskStaging));
        gauge("tasks_starting", tasks(TaskState::TaskStarting));
        gauge("tasks_running", tasks(TaskState::TaskRunning));
        gauge("tasks_killing", tasks(TaskState::TaskKilling));
        gauge("tasks_unreachable", frameworks().map(|framework| framework.unreachable_tasks.len()).sum());
        gauge("elected", usize::from(self.leads()));
        metrics.push(("master/uptime_secs".to_string(), now.since(self.start_time).as_secs_f64()));
    }
}

/// Totals and what is used of them, the revocable ones apart.
fn measure_resources<'a>(agents: impl Iterator<Item = &'a AgentView>, metrics: &mut Vec<(String, f64)>) {
    // By resource, then regular and revocable, then total and used.
    let mut sums = [[[Scalar::ZERO; 2]; 2]; MEASURED.len()];
    for agent in agents {
        for (column, resources) in [&agent.total, &agent.used].into_iter().enumerate() {
            for resource in resources {
                let Some(scalar) = resource.as_scalar() else { continue };
                let Some(row) = MEASURED.iter().position(|(_, name)| name == resource.name()) else {
                    continue;
                };
                sums[row][usize::from(resource.is_revocable())][column] += scalar;
            }
        }
    }
    for ((name, _), kinds) in MEASURED.iter().zip(sums) {
        for (infix, [total, used]) in ["", "revocable_"].into_iter().zip(kinds) {
            let (total, used) = (total.to_f64(), used.to_f64());
            metrics.push((format!("master/{name}_{infix}total"), total));
            metrics.push((format!("master/{name}_{infix}used"), used));
            let share = if total == 0.0 { 0.0 } else { used / total };
            metrics.push((format!("master/{name}_{infix}percent"), share));
        }
    }
}
