//! ACCEPT: offers become tasks, reservations and volumes, and what is left of them goes back (U097).

use messor_allocator::{Event as Allocation, refuse_duration};
use messor_proto::mesos::offer::{Operation, operation::Type};
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{
    ExecutorInfo, Resource, TaskInfo, TaskState, health_check, resource::AllocationInfo, task_status::Reason,
};
use messor_types::{
    AgentId, FrameworkId, OfferId, ResourceConversion, Resources, Role, TaskId, resource_to_post_refinement,
};
use messor_validation::{OfferError, validate_offers};

use crate::master::Master;
use crate::notice::Notice;
use crate::offering::recover;
use crate::state::OfferRecord;
use crate::tasks;
use crate::turn::Turn;

/// What is left of the accepted offers while the operations are carried out.
#[derive(Debug)]
pub(crate) struct Budget {
    pub offered: Resources,
    pub remaining: Resources,
    /// Shared resources, however often they are used meanwhile.
    pub shared: Resources,
    pub launched: Resources,
    /// What volumes became that changed their size: no other operation gets it.
    pub resized: Resources,
    /// What operations made of what was offered, and copies of shared resources that are used beyond those that were.
    pub conversions: Vec<ResourceConversion>,
}

impl Budget {
    fn new(offered: Resources) -> Budget {
        Budget {
            remaining: offered.clone(),
            shared: offered.shared(),
            offered,
            launched: Resources::new(),
            resized: Resources::new(),
            conversions: Vec::new(),
        }
    }

    /// Shared resources can be used any number of times, the others once.
    pub fn available(&self) -> Resources {
        if self.shared.is_empty() {
            self.remaining.non_shared()
        } else {
            self.remaining.non_shared() + &self.shared
        }
    }

    pub fn launch(&mut self, resources: &Resources) {
        let additional = resources.shared() - &self.remaining.shared();
        if !additional.is_empty() {
            self.conversions.push(ResourceConversion { consumed: Resources::new(), converted: additional });
        }
        self.remaining -= resources;
        self.launched += resources;
    }
}

impl Master {
    pub(crate) fn accept(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, accept: call::Accept) {
        for launch in accept.operations.iter().filter(|operation| operation.r#type() == Type::Launch) {
            if launch.launch.as_ref().is_some_and(|launch| !launch.task_infos.is_empty()) {
                self.counters.messages_launch_tasks.increment();
            } else {
                self.counters.messages_decline_offers.increment();
            }
        }
        let offers: Vec<OfferId> = accept.offer_ids.iter().map(OfferId::from).collect();
        let facts = validate_offers(&offers, id, |offer| self.offers.get(offer).map(OfferRecord::facts))
            .map(|facts| (facts.agent.clone(), facts.role.clone()));
        let (agent_id, role) = match facts {
            Ok(facts) => facts,
            Err(error) => return self.refuse_offers(turn, id, &offers, &accept.operations, &error),
        };
        turn.info(format!("framework {id} accepts {} offers of agent {agent_id}", offers.len()));
        let mut offered = Resources::new();
        for offer in &offers {
            if let Some(record) = self.take_offer(turn, offer) {
                offered += &record.resources;
            }
        }
        // Each is there, or the offers would have been refused.
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.counting.counts.offers_accepted += offers.len() as u64;
        }
        let mut budget = Budget::new(offered);
        for operation in accept.operations {
            self.carry_out(turn, id, &agent_id, &role, operation, &mut budget);
        }
        let Budget { offered, remaining, launched, resized, conversions, .. } = budget;
        // What operations made is free at once; what they left of the offers counts as declined.
        let left = remaining + &resized;
        let made = &left - &offered;
        let declined = left - &made;
        if !conversions.is_empty() {
            turn.allocator(Allocation::UpdateAllocation {
                framework_id: id.clone(),
                agent_id: agent_id.clone(),
                offered,
                conversions,
            });
        }
        if !made.is_empty() {
            recover(turn, id, &agent_id, made, None);
        }
        if !declined.is_empty() {
            let refuse = refuse_duration(&accept.filters.unwrap_or_default());
            recover(turn, id, &agent_id, declined, Some(refuse));
        }
        if !launched.is_empty() {
            turn.allocator(Allocation::TransitionOfferedToAllocated { agent_id, resources: launched });
        }
    }

    /// Nothing is launched with offers that are not there, or do not belong together.
    fn refuse_offers(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        offers: &[OfferId],
        operations: &[Operation],
        error: &OfferError,
    ) {
        turn.warning(format!("framework {id} accepts invalid offers: {error}"));
        for offer in offers {
            if self.offers.get(offer).is_some_and(|record| record.framework == *id) {
                self.discard(turn, offer, None);
            }
        }
        let aware = self.frameworks.get(id).is_some_and(|framework| framework.capabilities.partition_aware);
        let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
        for operation in operations {
            let tasks = tasks_of(operation);
            if tasks.is_empty() && !matches!(operation.r#type(), Type::Launch | Type::LaunchGroup) {
                self.drop_operation(turn, id, operation, &format!("the offers are invalid: {error}"));
            }
            let message = format!("task launched with invalid offers: {error}");
            // The offers of an ACCEPT that comes twice are gone, and its tasks run: to call them lost would be wrong.
            let runs = |task: &TaskInfo| {
                let tasks = self.frameworks.get(id).map(|framework| &framework.tasks);
                tasks.is_some_and(|tasks| tasks.contains_key(&TaskId::from(&task.task_id)))
            };
            let tasks: Vec<TaskInfo> = tasks.iter().filter(|task| !runs(task)).cloned().collect();
            self.refuse_tasks(turn, id, &tasks, state, Reason::InvalidOffers, &message);
        }
    }

    /// Tasks that never start: the framework hears why.
    pub(crate) fn refuse_tasks<'a>(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        list: impl IntoIterator<Item = &'a TaskInfo>,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        for task in list {
            let (agent, task_id) = (AgentId::from(&task.agent_id), TaskId::from(&task.task_id));
            let message = message.to_string();
            let update =
                tasks::update_of_master(turn.now, id, Some(&agent), &task_id, state, reason, message);
            self.counters.count_end(state);
            self.counters.count_reason(state, update.status.source.unwrap_or_default(), reason as i32);
            self.tell(turn, id, Notice::Update { update, acknowledgee: None });
        }
    }

    fn carry_out(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        agent: &AgentId,
        role: &Role,
        mut operation: Operation,
        budget: &mut Budget,
    ) {
        let kind = operation.r#type();
        let reason = match kind {
            Type::Launch => Reason::TaskInvalid,
            Type::LaunchGroup => Reason::TaskGroupInvalid,
            Type::Unknown => {
                return turn.warning(format!("ignoring an operation of framework {id} of unknown type"));
            }
            _ => return self.accept_operation(turn, id, agent, role, operation, budget),
        };
        let problem = if operation.id.is_some() {
            Some(format!("'id' cannot be set on {}", kind.as_str_name()))
        } else {
            // One bad resource fails the operation as a whole.
            operation_resources(&mut operation)
                .find_map(|resource| messor_types::Resource::from_proto(resource).err())
                .map(|error| error.to_string())
        };
        if let Some(problem) = problem {
            return self.refuse_tasks(turn, id, tasks_of(&operation), TaskState::TaskError, reason, &problem);
        }
        for resource in operation_resources(&mut operation) {
            resource_to_post_refinement(resource);
            if resource.allocation_info.is_none() {
                resource.allocation_info = Some(AllocationInfo { role: Some(role.to_string()) });
            }
        }
        if let Some(launch) = operation.launch.take() {
            for mut task in launch.task_infos {
                complete(&mut task, id);
                self.launch(turn, id, agent, task, budget);
            }
        } else if let Some(mut launch) = operation.launch_group.take() {
            for task in &mut launch.task_group.tasks {
                task.executor.get_or_insert_with(|| launch.executor.clone());
            }
            self.launch_group(turn, id, agent, launch, budget);
        }
    }
}

fn tasks_of(operation: &Operation) -> &[TaskInfo] {
    match operation.r#type() {
        Type::Launch => operation.launch.as_ref().map_or(&[], |launch| &launch.task_infos),
        Type::LaunchGroup => operation.launch_group.as_ref().map_or(&[], |launch| &launch.task_group.tasks),
        _ => &[],
    }
}

/// All resources of a LAUNCH or LAUNCH_GROUP.
fn operation_resources(operation: &mut Operation) -> impl Iterator<Item = &mut Resource> {
    fn of_executor(executor: &mut ExecutorInfo) -> impl Iterator<Item = &mut Resource> {
        executor.resources.iter_mut()
    }
    fn of_task(task: &mut TaskInfo) -> impl Iterator<Item = &mut Resource> {
        task.resources.iter_mut().chain(task.executor.iter_mut().flat_map(of_executor))
    }
    let launched =
        operation.launch.iter_mut().flat_map(|launch| launch.task_infos.iter_mut().flat_map(of_task));
    let grouped = operation.launch_group.iter_mut().flat_map(|launch| {
        of_executor(&mut launch.executor).chain(launch.task_group.tasks.iter_mut().flat_map(of_task))
    });
    launched.chain(grouped)
}

/// Fills in what older frameworks leave out.
fn complete(task: &mut TaskInfo, framework: &FrameworkId) {
    if let Some(executor) = &mut task.executor
        && executor.framework_id.is_none()
    {
        executor.framework_id = Some(framework.into());
    }
    if let Some(check) = &mut task.health_check
        && check.r#type.is_none()
    {
        check.r#type = match (&check.command, &check.http) {
            (Some(_), None) => Some(health_check::Type::Command as i32),
            (None, Some(_)) => Some(health_check::Type::Http as i32),
            _ => None,
        };
    }
}
