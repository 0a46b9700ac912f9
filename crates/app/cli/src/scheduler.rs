//! What `mesos-execute` does with offers and updates: a small machine without sockets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use messor_proto::mesos::scheduler::{Call, Event, call, event};
use messor_proto::mesos::{
    AgentId, ContainerInfo, ExecutorId, ExecutorInfo, FrameworkInfo, Offer, TaskGroupInfo, TaskInfo,
    TaskState, TaskStatus, executor_info, offer, task_status,
};
use messor_proto::{Version, Wire, WireEnum};
use messor_types::{Reservation, ReservationKind, ResourceFormat, Resources, is_terminal_task};

use crate::waiting::Wanted;

/// The executor of a group has this id in Apache Mesos, too.
const GROUP_EXECUTOR: &str = "default-executor";
const SAME_INTERRUPTION: Duration = Duration::from_millis(500);

/// What is to be done about an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Print(String),
    /// For the one who waits, not for scripts.
    Tell(String),
    Call(Box<Call>),
    End(End),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Task(TaskState),
    /// The master refuses the framework for good.
    Refused(String),
    Interrupted,
}

pub struct Scheduler {
    framework: FrameworkInfo,
    /// One, or those of a group.
    tasks: Vec<TaskInfo>,
    /// The resources of the executor, where the tasks are a group.
    executor: Option<Resources>,
    /// Of that executor.
    container: Option<ContainerInfo>,
    /// How the tasks ended that did.
    ended: BTreeMap<String, TaskState>,
    /// All that an offer must have.
    required: Resources,
    kill_after: Option<Duration>,
    kill_at: Option<Instant>,
    launched: Option<Launched>,
    interrupted_at: Option<Instant>,
    told_of_small_offers: bool,
}

/// Of what a task wrote, where it is: the executor, and in a group the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'s> {
    pub executor: &'s str,
    pub below: Option<&'s str>,
}

/// Where the task went.
#[derive(Clone, Debug)]
pub struct Launched {
    pub agent: AgentId,
    pub offer: Offer,
}

impl Scheduler {
    pub fn new(
        framework: FrameworkInfo,
        task: TaskInfo,
        required: Resources,
        kill_after: Option<Duration>,
    ) -> Scheduler {
        Scheduler {
            framework,
            tasks: vec![task],
            executor: None,
            container: None,
            ended: BTreeMap::new(),
            required,
            kill_after,
            kill_at: None,
            launched: None,
            interrupted_at: None,
            told_of_small_offers: false,
        }
    }

    /// Of a group of tasks, with what its executor needs and what each of its tasks needs.
    pub fn of_group(
        framework: FrameworkInfo,
        tasks: Vec<TaskInfo>,
        executor: Resources,
        required: Resources,
        kill_after: Option<Duration>,
    ) -> Scheduler {
        let scheduler = Scheduler::new(framework, TaskInfo::default(), required, kill_after);
        Scheduler { tasks, executor: Some(executor), ..scheduler }
    }

    /// What the executor of a group runs in.
    pub fn in_container(self, container: Option<ContainerInfo>) -> Scheduler {
        Scheduler { container, ..self }
    }

    pub fn subscribe(&self) -> Call {
        let subscribe =
            call::Subscribe { framework_info: self.framework.clone(), ..call::Subscribe::default() };
        Call { subscribe: Some(subscribe), ..self.call(call::Type::Subscribe) }
    }

    /// The framework, where its tasks wrote to, and where they went, once they were launched.
    pub fn outcome(&self) -> Option<(&str, Vec<Written<'_>>, &Launched)> {
        let framework = self.framework.id.as_ref()?;
        let ids = self.tasks.iter().map(|task| task.task_id.value.as_str());
        let written = match self.executor {
            // A command executor has the id of its task.
            None => ids.map(|id| Written { executor: id, below: None }).collect(),
            Some(_) => ids.map(|id| Written { executor: GROUP_EXECUTOR, below: Some(id) }).collect(),
        };
        Some((&framework.value, written, self.launched.as_ref()?))
    }

    pub fn has_launched(&self) -> bool {
        self.launched.is_some()
    }

    /// What is waited for, as long as no offer has come that is large enough.
    pub fn waits_for(&self) -> Option<Wanted> {
        let waits = self.framework.id.is_some() && !self.has_launched();
        waits.then(|| Wanted {
            framework: self.framework.clone(),
            required: self.required.clone(),
            was_offered: self.told_of_small_offers,
        })
    }

    /// When `tick` has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.kill_at
    }

    pub fn tick(&mut self, now: Instant) -> Vec<Action> {
        match self.kill_at {
            Some(at) if at <= now => {
                self.kill_at = None;
                self.kill()
            }
            _ => Vec::new(),
        }
    }

    /// Ctrl-C: the first asks for the task's end, if there is one; another waits for nothing. One that follows at once
    /// is the same one, as it comes to a process and to its group.
    pub fn interrupt(&mut self, now: Instant) -> Vec<Action> {
        match (&self.launched, self.interrupted_at) {
            (Some(_), Some(at)) if now.saturating_duration_since(at) < SAME_INTERRUPTION => Vec::new(),
            (Some(_), None) => {
                self.interrupted_at = Some(now);
                self.kill()
            }
            _ => vec![Action::End(End::Interrupted)],
        }
    }

    pub fn event(&mut self, now: Instant, event: Event) -> Vec<Action> {
        match event.r#type() {
            event::Type::Subscribed => match event.subscribed {
                Some(subscribed) => {
                    let line = format!("Subscribed with ID {}", subscribed.framework_id.value);
                    self.framework.id = Some(subscribed.framework_id);
                    vec![Action::Print(line)]
                }
                None => Vec::new(),
            },
            event::Type::Offers => {
                let offers = event.offers.map(|offers| offers.offers).unwrap_or_default();
                offers.into_iter().flat_map(|offer| self.offer(offer)).collect()
            }
            event::Type::Update => {
                event.update.map(|update| self.update(now, update.status)).unwrap_or_default()
            }
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                vec![Action::End(End::Refused(message))]
            }
            _ => Vec::new(),
        }
    }

    fn call(&self, kind: call::Type) -> Call {
        Call { framework_id: self.framework.id.clone(), r#type: Some(kind.into()), ..Call::default() }
    }

    fn send(&self, kind: call::Type, fill: impl FnOnce(&mut Call)) -> Action {
        let mut call = self.call(kind);
        fill(&mut call);
        Action::Call(Box::new(call))
    }

    fn offer(&mut self, offer: Offer) -> Vec<Action> {
        let offer_ids = vec![offer.id.clone()];
        if self.launched.is_none()
            && let Some((tasks, executor)) = self.taken_from(&offer)
        {
            let (operation, line) = self.launch(tasks, executor, &offer);
            let accept = call::Accept { offer_ids, operations: vec![operation], filters: None };
            let call = self.send(call::Type::Accept, |call| call.accept = Some(accept));
            self.launched = Some(Launched { agent: offer.agent_id.clone(), offer });
            return vec![call, Action::Print(line)];
        }
        let decline = call::Decline { offer_ids, filters: None };
        let mut actions = vec![self.send(call::Type::Decline, |call| call.decline = Some(decline))];
        if self.launched.is_some() {
            actions.push(self.send(call::Type::Suppress, |_| {}));
        } else if !std::mem::replace(&mut self.told_of_small_offers, true) {
            let offered =
                Resources::from_proto(&offer.resources).map(|resources| resources.unallocated().to_string());
            actions.push(Action::Tell(format!(
                "The task needs {}, and agent '{}' offers {}: waiting for a larger offer",
                self.required,
                offer.agent_id.value,
                offered.unwrap_or_else(|error| error.to_string()),
            )));
        }
        actions
    }

    fn launch(
        &self,
        mut tasks: Vec<TaskInfo>,
        executor: Option<Resources>,
        offer: &Offer,
    ) -> (offer::Operation, String) {
        let agent = &offer.agent_id.value;
        tasks.iter_mut().for_each(|task| task.agent_id = offer.agent_id.clone());
        let Some(executor) = executor else {
            let name = tasks.first().map(|task| task.name.clone()).unwrap_or_default();
            let operation = offer::Operation {
                r#type: Some(offer::operation::Type::Launch.into()),
                launch: Some(offer::operation::Launch { task_infos: tasks }),
                ..offer::Operation::default()
            };
            return (operation, format!("Submitted task '{name}' to agent '{agent}'"));
        };
        let names: Vec<&str> = tasks.iter().map(|task| task.task_id.value.as_str()).collect();
        let line = format!("Submitted task group with tasks [ {} ] to agent '{agent}'", names.join(", "));
        let executor = ExecutorInfo {
            r#type: Some(executor_info::Type::Default.into()),
            executor_id: ExecutorId { value: GROUP_EXECUTOR.to_string() },
            framework_id: self.framework.id.clone(),
            resources: executor.to_proto(ResourceFormat::PostRefinement),
            container: self.container.clone().map(Box::new),
            ..ExecutorInfo::default()
        };
        let group = offer::operation::LaunchGroup { executor, task_group: TaskGroupInfo { tasks } };
        let operation = offer::Operation {
            r#type: Some(offer::operation::Type::LaunchGroup.into()),
            launch_group: Some(group),
            ..offer::Operation::default()
        };
        (operation, line)
    }

    /// What of an offer the tasks and their executor get: first what is reserved for the framework's role. None if it is
    /// too little.
    fn taken_from(&self, offer: &Offer) -> Option<(Vec<TaskInfo>, Option<Resources>)> {
        let mut left = Resources::from_proto(&offer.resources).ok()?.unallocated();
        if !left.to_unreserved().contains(&self.required) {
            return None;
        }
        let mut take = |required: &Resources| -> Option<Resources> {
            let found = match self.framework.role.as_deref() {
                None | Some("*") => left.find(required),
                Some(role) => {
                    left.find(&required.push_reservation(&Reservation::new(ReservationKind::Static, role)))
                }
            }?;
            found.iter().for_each(|resource| left.subtract(resource));
            Some(found)
        };
        let executor = match &self.executor {
            Some(required) => Some(take(required)?),
            None => None,
        };
        let mut tasks = self.tasks.clone();
        for task in &mut tasks {
            let required = match self.executor {
                // Of one task it is known beforehand.
                None => self.required.clone(),
                Some(_) => Resources::from_proto(&task.resources).ok()?,
            };
            task.resources = take(&required)?.to_proto(ResourceFormat::PostRefinement);
        }
        Some((tasks, executor))
    }

    fn update(&mut self, now: Instant, status: TaskStatus) -> Vec<Action> {
        let state = status.state();
        let name = state.wire_name(Version::V1);
        let mut actions =
            vec![Action::Print(format!("Received status update {name} for task '{}'", status.task_id.value))];
        actions.extend(details(&status).into_iter().map(Action::Print));
        if let (Some(uuid), Some(agent)) = (&status.uuid, &status.agent_id) {
            let acknowledge = call::Acknowledge {
                agent_id: agent.clone(),
                task_id: status.task_id.clone(),
                uuid: uuid.clone(),
            };
            actions.push(self.send(call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge)));
        }
        if state == TaskState::TaskRunning
            && let Some(after) = self.kill_after.take()
        {
            self.kill_at = Some(now + after);
        }
        if is_terminal_task(state) {
            self.ended.insert(status.task_id.value.clone(), state);
            if self.ended.len() >= self.tasks.len() {
                let mut bad = self.ended.values().filter(|state| **state != TaskState::TaskFinished);
                let end = bad.next().copied().unwrap_or(TaskState::TaskFinished);
                actions.push(Action::End(End::Task(end)));
            }
        }
        actions
    }

    fn kill(&self) -> Vec<Action> {
        let Some(launched) = &self.launched else { return Vec::new() };
        let agent = &launched.agent;
        let mut actions = Vec::new();
        for task in self.tasks.iter().filter(|task| !self.ended.contains_key(&task.task_id.value)) {
            let id = &task.task_id;
            let line = format!("Asked to kill task '{}' on agent '{}'", id.value, agent.value);
            let kill = call::Kill { task_id: id.clone(), agent_id: Some(agent.clone()), kill_policy: None };
            actions.push(Action::Print(line));
            actions.push(self.send(call::Type::Kill, |call| call.kill = Some(kill)));
        }
        actions
    }
}

/// The lines below an update, those that it has something to say for.
fn details(status: &TaskStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(message) = &status.message {
        lines.push(format!("  message: '{message}'"));
    }
    if let Some(source) = status.source.and_then(task_status::Source::from_number) {
        lines.push(format!("  source: {}", source.wire_name(Version::V1)));
    }
    if let Some(reason) = status.reason.and_then(task_status::Reason::from_number) {
        lines.push(format!("  reason: {}", reason.wire_name(Version::V1)));
    }
    if let Some(healthy) = status.healthy {
        lines.push(format!("  healthy?: {}", u8::from(healthy)));
    }
    if let Some(check) = &status.check_status {
        lines.push(format!("  check status: {}", String::from_utf8_lossy(&check.to_json(Version::V1))));
    }
    if let Some(limitation) = status.limitation.as_ref().filter(|limitation| !limitation.resources.is_empty())
    {
        let shown = match Resources::from_proto(&limitation.resources) {
            Ok(resources) => resources.to_string(),
            Err(error) => error.to_string(),
        };
        lines.push(format!("  resource limit violation: {shown}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_types::{Role, parse_resources};

    fn launched() -> Scheduler {
        let resources = parse_resources("cpus:1;mem:32", &Role::star()).unwrap();
        let mut scheduler =
            Scheduler::new(FrameworkInfo::default(), TaskInfo::default(), resources.clone(), None);
        let offer =
            Offer { resources: resources.to_proto(ResourceFormat::PostRefinement), ..Offer::default() };
        let actions = scheduler.offer(offer);
        assert!(matches!(&actions[..], [Action::Call(call), Action::Print(_)] if call.accept.is_some()));
        scheduler
    }

    #[test]
    fn the_first_interruption_kills_the_task_and_a_later_one_ends_all() {
        let start = Instant::now();
        let mut scheduler = launched();
        let actions = scheduler.interrupt(start);
        assert!(
            matches!(&actions[..], [Action::Print(_), Action::Call(call)] if call.kill.is_some()),
            "{actions:?}"
        );
        assert_eq!(scheduler.interrupt(start + Duration::from_millis(1)), []);
        assert_eq!(scheduler.interrupt(start + Duration::from_secs(1)), [Action::End(End::Interrupted)]);
    }

    #[test]
    fn without_a_task_an_interruption_ends_all() {
        let mut scheduler =
            Scheduler::new(FrameworkInfo::default(), TaskInfo::default(), Resources::new(), None);
        assert_eq!(scheduler.interrupt(Instant::now()), [Action::End(End::Interrupted)]);
    }

    #[test]
    fn a_group_goes_together_and_ends_with_its_last_task() {
        let named = |id: &str, resources: &str| TaskInfo {
            task_id: messor_proto::mesos::TaskId { value: id.to_string() },
            resources: parse_resources(resources, &Role::star())
                .unwrap()
                .to_proto(ResourceFormat::PostRefinement),
            ..TaskInfo::default()
        };
        let all = |text: &str| parse_resources(text, &Role::star()).unwrap();
        let tasks = vec![named("a", "cpus:1;mem:32"), named("b", "cpus:2;mem:32")];
        let (executor, required) = (all("cpus:0.1;mem:32;disk:32"), all("cpus:3.1;mem:96;disk:32"));
        let mut scheduler = Scheduler::of_group(FrameworkInfo::default(), tasks, executor, required, None);
        let offer = |text: &str| Offer {
            resources: all(text).to_proto(ResourceFormat::PostRefinement),
            agent_id: AgentId { value: "S".to_string() },
            ..Offer::default()
        };
        assert!(matches!(&scheduler.offer(offer("cpus:3;mem:96;disk:32"))[0],
            Action::Call(call) if call.decline.is_some()));
        let actions = scheduler.offer(offer("cpus:4;mem:96;disk:32"));
        let [Action::Call(call), Action::Print(line)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(line, "Submitted task group with tasks [ a, b ] to agent 'S'");
        let operation = &call.accept.as_ref().unwrap().operations[0];
        let group = operation.launch_group.clone().unwrap();
        assert_eq!(group.executor.r#type(), executor_info::Type::Default);
        assert_eq!(
            (group.executor.executor_id.value.as_str(), group.executor.resources.len()),
            ("default-executor", 3)
        );
        assert!(group.task_group.tasks.iter().all(|task| task.agent_id.value == "S"));
        let kills = scheduler.kill();
        assert_eq!(kills.len(), 4);
        let status = |id: &str, state: TaskState| TaskStatus {
            task_id: messor_proto::mesos::TaskId { value: id.to_string() },
            state: state.into(),
            ..TaskStatus::default()
        };
        let ends = |actions: Vec<Action>| actions.into_iter().find(|action| matches!(action, Action::End(_)));
        let now = Instant::now();
        assert_eq!(ends(scheduler.update(now, status("a", TaskState::TaskFailed))), None);
        assert_eq!(scheduler.kill().len(), 2, "only what still runs");
        let end = ends(scheduler.update(now, status("b", TaskState::TaskFinished)));
        assert_eq!(end, Some(Action::End(End::Task(TaskState::TaskFailed))));
        // The test has no id of a framework, without which nothing can be found.
        assert!(scheduler.outcome().is_none());
        scheduler.framework.id = Some(messor_proto::mesos::FrameworkId { value: "F".to_string() });
        let (_, written, _) = scheduler.outcome().unwrap();
        assert_eq!(written[1], Written { executor: "default-executor", below: Some("b") });
    }

    #[test]
    fn what_is_reserved_for_the_role_is_taken_first() {
        let role = Role::new("web");
        let required = parse_resources("cpus:2", &Role::star()).unwrap();
        let framework = FrameworkInfo { role: Some("web".into()), ..FrameworkInfo::default() };
        let mut scheduler = Scheduler::new(framework, TaskInfo::default(), required, None);
        let mut offered = parse_resources("cpus:4", &Role::star()).unwrap();
        offered += &parse_resources("cpus:1", &role).unwrap();
        let offered = offered.allocated_to(&role).to_proto(ResourceFormat::PostRefinement);
        let actions = scheduler.offer(Offer { resources: offered, ..Offer::default() });
        let Action::Call(call) = &actions[0] else { panic!("{actions:?}") };
        let operation = &call.accept.as_ref().unwrap().operations[0];
        let taken =
            Resources::from_proto(&operation.launch.as_ref().unwrap().task_infos[0].resources).unwrap();
        assert_eq!(taken.reserved_to(&role).cpus().map(|cpus| cpus.to_string()).as_deref(), Some("1"));
        assert_eq!(taken.unreserved().cpus().map(|cpus| cpus.to_string()).as_deref(), Some("1"));
    }
}
