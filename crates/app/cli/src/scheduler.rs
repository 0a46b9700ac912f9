//! What `mesos-execute` does with offers and updates: a small machine without sockets.

use std::time::{Duration, Instant};

use messor_proto::mesos::scheduler::{Call, Event, call, event};
use messor_proto::mesos::{
    AgentId, FrameworkInfo, Offer, TaskInfo, TaskState, TaskStatus, offer, task_status,
};
use messor_proto::{Version, Wire, WireEnum};
use messor_types::{Reservation, ReservationKind, ResourceFormat, Resources, is_terminal_task};

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
    task: TaskInfo,
    required: Resources,
    kill_after: Option<Duration>,
    kill_at: Option<Instant>,
    launched: Option<Launched>,
    interrupted_at: Option<Instant>,
    told_of_small_offers: bool,
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
            task,
            required,
            kill_after,
            kill_at: None,
            launched: None,
            interrupted_at: None,
            told_of_small_offers: false,
        }
    }

    pub fn subscribe(&self) -> Call {
        let subscribe =
            call::Subscribe { framework_info: self.framework.clone(), ..call::Subscribe::default() };
        Call { subscribe: Some(subscribe), ..self.call(call::Type::Subscribe) }
    }

    /// The framework, the task, and where it went, once it was launched.
    pub fn outcome(&self) -> (Option<&str>, &str, Option<&Launched>) {
        let framework = self.framework.id.as_ref().map(|id| id.value.as_str());
        (framework, &self.task.task_id.value, self.launched.as_ref())
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
            && let Some(resources) = self.taken_from(&offer)
        {
            let mut task = self.task.clone();
            task.agent_id = offer.agent_id.clone();
            task.resources = resources.to_proto(ResourceFormat::PostRefinement);
            let line = format!("Submitted task '{}' to agent '{}'", task.name, offer.agent_id.value);
            let launch = offer::operation::Launch { task_infos: vec![task] };
            let operation = offer::Operation {
                r#type: Some(offer::operation::Type::Launch.into()),
                launch: Some(launch),
                ..offer::Operation::default()
            };
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

    /// What of an offer the task gets: first what is reserved for the framework's role. None if it is too little.
    fn taken_from(&self, offer: &Offer) -> Option<Resources> {
        let offered = Resources::from_proto(&offer.resources).ok()?.unallocated();
        if !offered.to_unreserved().contains(&self.required) {
            return None;
        }
        match self.framework.role.as_deref() {
            None | Some("*") => offered.find(&self.required),
            Some(role) => offered
                .find(&self.required.push_reservation(&Reservation::new(ReservationKind::Static, role))),
        }
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
            actions.push(Action::End(End::Task(state)));
        }
        actions
    }

    fn kill(&self) -> Vec<Action> {
        let Some(launched) = &self.launched else { return Vec::new() };
        let (task, agent) = (&self.task.task_id, &launched.agent);
        let line = format!("Asked to kill task '{}' on agent '{}'", task.value, agent.value);
        let kill = call::Kill { task_id: task.clone(), agent_id: Some(agent.clone()), kill_policy: None };
        vec![Action::Print(line), self.send(call::Type::Kill, |call| call.kill = Some(kill))]
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
