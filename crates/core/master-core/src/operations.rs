//! Operations on the resources of agents: RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME, SHRINK_VOLUME, in an ACCEPT
//! or by an operator. They are counted as done at once; the agent is told.

use messor_allocator::{Event as Allocation, refuse_duration};
use messor_proto::mesos::Filters;
use messor_proto::mesos::internal::{ApplyOperationMessage, CheckpointResourcesMessage, ResourceVersionUuid};
use messor_proto::mesos::offer::{Operation, operation::Type};
use messor_types::{
    AgentId, FrameworkId, OfferId, Resource, ResourceConversion, ResourceFormat, Resources, Role,
    allocate_operation, operation_consumes, operation_conversions, operation_provider, unallocated_operation,
    upgrade_operation,
};
use messor_validation::{
    Asker, validate_create, validate_destroy, validate_grow_volume, validate_reserve, validate_shrink_volume,
    validate_unreserve,
};

use crate::accepting::Budget;
use crate::effect::Outcome;
use crate::event::ReplyId;
use crate::master::Master;
use crate::notice::Notice;
use crate::offering::recover;
use crate::state::Agent;
use crate::turn::Turn;

/// An operator's operation that waits for the allocator's word.
#[derive(Debug)]
pub(crate) struct Asked {
    reply: ReplyId,
    agent: AgentId,
    operation: Operation,
}

/// What an operation does to what was offered, and to its agent.
struct Change {
    conversions: Vec<ResourceConversion>,
    total: Resources,
}

impl Master {
    /// An operation of an ACCEPT.
    pub(crate) fn accept_operation(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        agent_id: &AgentId,
        role: &Role,
        mut operation: Operation,
        budget: &mut Budget,
    ) {
        if let Err(error) = upgrade_operation(&mut operation) {
            return self.drop_operation(turn, id, &operation, &format!("its resources are invalid: {error}"));
        }
        let source = operation.reserve.as_ref().is_some_and(|reserve| !reserve.source.is_empty());
        if operation.r#type() == Type::Reserve && source {
            let reason =
                "'reserve.source' is for operators: frameworks cannot change a reservation in one step";
            return self.drop_operation(turn, id, &operation, reason);
        }
        if operation.id.is_some() && !self.may_have_feedback(turn, id, agent_id, &operation) {
            return;
        }
        allocate_operation(&mut operation, role);
        let change = match self.check_operation(id, agent_id, &operation) {
            Ok(change) => change,
            Err(reason) => return self.drop_operation(turn, id, &operation, &reason),
        };
        let kind = operation.r#type();
        let remaining = match budget.remaining.convert(&change.conversions) {
            Ok(remaining) => remaining,
            Err(error) => return self.drop_operation(turn, id, &operation, &error.to_string()),
        };
        if kind == Type::Destroy {
            // Something shared may be offered to others too.
            self.rescind_offers_of(turn, agent_id, &change.conversions);
        }
        if matches!(kind, Type::GrowVolume | Type::ShrinkVolume) {
            // The result is for the next offer: no other operation of this ACCEPT gets it.
            for conversion in &change.conversions {
                budget.remaining -= &conversion.consumed;
                budget.resized += &conversion.converted;
            }
        } else {
            budget.remaining = remaining;
        }
        if matches!(kind, Type::Create | Type::Destroy) {
            budget.shared = budget.remaining.shared();
        }
        turn.info(format!("{} of framework {id} on agent {agent_id}", kind.as_str_name()));
        budget.conversions.extend(change.conversions);
        self.apply_operation(turn, Some(id), agent_id, operation, change.total);
    }

    /// Whether the operation can have the feedback that its id asks for; if not, that is told.
    fn may_have_feedback(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        agent_id: &AgentId,
        operation: &Operation,
    ) -> bool {
        let (Some(framework), Some(agent)) = (self.frameworks.get(id), self.agents.get(agent_id)) else {
            return false;
        };
        if framework.stream.is_none() {
            let text = "'id' of an operation asks for feedback, which drivers have not: use the HTTP API";
            turn.warning(format!("dropping an operation of framework {id}: {text}"));
            framework.tell(turn, Notice::Error(text.to_string()));
            return false;
        }
        let has = agent.capabilities;
        let lacks = match (has.resource_provider, has.agent_operation_feedback) {
            (false, _) => Some("RESOURCE_PROVIDER"),
            (true, false) if operation_provider(operation).is_none() => Some("AGENT_OPERATION_FEEDBACK"),
            _ => None,
        };
        if let Some(lacks) = lacks {
            let text = format!("'id' asks for feedback, and agent {agent_id} lacks the capability {lacks}");
            self.drop_operation(turn, id, operation, &text);
        }
        lacks.is_none()
    }

    fn check_operation(
        &self,
        id: &FrameworkId,
        agent_id: &AgentId,
        operation: &Operation,
    ) -> Result<Change, String> {
        let framework = self.frameworks.get(id).ok_or("the framework is not known")?;
        let agent = self.agents.get(agent_id).ok_or("the agent is not known")?;
        let info = framework.info();
        let asker = Asker { principal: info.principal.as_deref(), framework: Some(info) };
        validate(operation, asker, agent).map_err(|reason| format!("{reason}; on agent {agent_id}"))?;
        change(operation, agent)
    }

    /// Counts the operation as done, and tells the agent.
    fn apply_operation(
        &mut self,
        turn: &mut Turn<'_>,
        framework: Option<&FrameworkId>,
        agent_id: &AgentId,
        operation: Operation,
        total: Resources,
    ) {
        let Some(agent) = self.agents.registered.get_mut(agent_id) else { return };
        agent.checkpointed = total.filter(Resource::needs_checkpoint);
        agent.total = total;
        agent.changed();
        if let Some(framework) = framework.and_then(|id| self.frameworks.get_mut(id)) {
            framework.counting.counts.operations.add(operation.r#type(), 1);
        }
        if !agent.capabilities.resource_provider {
            return send_checkpointed(turn, agent);
        }
        let uuid = self.operations.add_pending(agent_id, framework, operation.clone());
        let version = agent.resource_version.clone().unwrap_or_default();
        turn.info(format!("sending operation {uuid} to agent {agent_id}"));
        turn.send(
            &agent.pid,
            &ApplyOperationMessage {
                framework_id: framework.map(Into::into),
                operation_info: operation,
                operation_uuid: uuid.into(),
                resource_version_uuid: ResourceVersionUuid { resource_provider_id: None, uuid: version },
            },
        );
    }

    fn rescind_offers_of(
        &mut self,
        turn: &mut Turn<'_>,
        agent_id: &AgentId,
        conversions: &[ResourceConversion],
    ) {
        let Some(agent) = self.agents.get(agent_id) else { return };
        let offered = |offer: &&OfferId| {
            self.offers.get(*offer).is_some_and(|record| {
                let resources = record.resources.clone().unallocated();
                conversions
                    .iter()
                    .any(|conversion| resources.contains(&conversion.consumed.clone().unallocated()))
            })
        };
        let offers: Vec<OfferId> = agent.offers.iter().filter(offered).cloned().collect();
        for offer in &offers {
            self.rescind(turn, offer);
        }
    }

    /// RESERVE_RESOURCES and the like, and their v0 endpoints (U070).
    pub(crate) fn operator_operation(
        &mut self,
        turn: &mut Turn<'_>,
        reply: ReplyId,
        principal: Option<&str>,
        agent_id: &AgentId,
        mut operation: Operation,
    ) {
        let kind = operation.r#type().as_str_name();
        let checked = self.check_operators(principal, agent_id, &mut operation);
        let conversions = match checked {
            Ok(conversions) => conversions,
            Err(reason) => {
                return turn.reply(reply, Outcome::Invalid(format!("{kind} is invalid: {reason}")));
            }
        };
        let consumed = match operation_consumes(&operation) {
            Ok(consumed) => consumed,
            Err(error) => return turn.reply(reply, Outcome::Invalid(error.to_string())),
        };
        turn.info(format!("{kind} of an operator on agent {agent_id}"));
        self.take_back(turn, agent_id, consumed, &conversions);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.asked.insert(ticket, Asked { reply, agent: agent_id.clone(), operation });
        turn.allocator(Allocation::UpdateAvailable { ticket, agent_id: agent_id.clone(), conversions });
    }

    fn check_operators(
        &self,
        principal: Option<&str>,
        agent_id: &AgentId,
        operation: &mut Operation,
    ) -> Result<Vec<ResourceConversion>, String> {
        let agent = self.agents.get(agent_id).ok_or_else(|| format!("agent {agent_id} is not registered"))?;
        upgrade_operation(operation).map_err(|error| error.to_string())?;
        validate(operation, Asker { principal, framework: None }, agent)?;
        operation_conversions(operation).map_err(|error| error.to_string())
    }

    /// Offers with what the operation needs are taken back, until it is enough. What seems free is not counted on: the
    /// allocator may be offering it just now.
    fn take_back(
        &mut self,
        turn: &mut Turn<'_>,
        agent_id: &AgentId,
        mut needed: Resources,
        conversions: &[ResourceConversion],
    ) {
        let offers: Vec<OfferId> =
            self.agents.get(agent_id).into_iter().flat_map(|agent| &agent.offers).cloned().collect();
        let mut taken = Resources::new();
        for offer in offers {
            let Some(record) = self.offers.get(&offer) else { continue };
            let offered = record.resources.clone().unallocated();
            let rest = &needed - &offered;
            if rest == needed {
                continue;
            }
            needed = rest;
            taken += &offered;
            let framework = record.framework.clone();
            if let Some(record) = self.take_offer(turn, &offer) {
                self.tell_rescinded(turn, &framework, &offer);
                // Refused for a while, or it would be offered before the operation gets it.
                let refuse = Some(refuse_duration(&Filters::default()));
                recover(turn, &record.framework, &record.agent, record.resources, refuse);
            }
            if taken.convert(conversions).is_ok() {
                return;
            }
        }
    }

    /// The allocator's word: the resources were free, and count as changed now, or they were not.
    pub(crate) fn available(&mut self, turn: &mut Turn<'_>, ticket: u64, outcome: Result<(), String>) {
        let Some(Asked { reply, agent: agent_id, operation }) = self.asked.remove(&ticket) else { return };
        if let Err(reason) = outcome {
            return turn.reply(reply, Outcome::Conflict(reason));
        }
        let changed = match self.agents.get(&agent_id) {
            None => Err("the agent was removed meanwhile".to_string()),
            Some(agent) => change(&operation, agent),
        };
        match changed {
            Ok(change) => {
                let destroys = operation.r#type() == Type::Destroy;
                self.apply_operation(turn, None, &agent_id, operation, change.total);
                if destroys {
                    // Something shared may have been offered meanwhile.
                    self.rescind_offers_of(turn, &agent_id, &change.conversions);
                }
                turn.reply(reply, Outcome::Accepted);
            }
            Err(reason) => turn.reply(reply, Outcome::Conflict(reason)),
        }
        // What the allocator counts on by now may be without the operation, if the master said what the agent has while this
        // was on its way; or with one that cannot be.
        if let Some(agent) = self.agents.get(&agent_id) {
            turn.allocator(Allocation::UpdateAgent {
                agent_id: agent_id.clone(),
                details: agent.details(),
                total: Some(agent.total.clone()),
            });
        }
    }
}

fn validate(operation: &Operation, asker: Asker<'_>, agent: &Agent) -> Result<(), String> {
    let kind = operation.r#type();
    let missing = || format!("{} needs the field of that name", kind.as_str_name());
    let outcome = match kind {
        Type::Reserve => {
            validate_reserve(operation.reserve.as_ref().ok_or_else(missing)?, asker, agent.capabilities)
        }
        Type::Unreserve => validate_unreserve(operation.unreserve.as_ref().ok_or_else(missing)?),
        Type::Create => {
            let create = operation.create.as_ref().ok_or_else(missing)?;
            validate_create(create, &agent.checkpointed, asker, agent.capabilities)
        }
        Type::Destroy => {
            let destroy = operation.destroy.as_ref().ok_or_else(missing)?;
            validate_destroy(destroy, &agent.checkpointed, agent.used.values())
        }
        Type::GrowVolume => {
            let grow = operation.grow_volume.as_ref().ok_or_else(missing)?;
            validate_grow_volume(grow, agent.capabilities)
        }
        Type::ShrinkVolume => {
            let shrink = operation.shrink_volume.as_ref().ok_or_else(missing)?;
            validate_shrink_volume(shrink, agent.capabilities)
        }
        _ => return Err(format!("not supported yet: {}", kind.as_str_name())),
    };
    outcome.map_err(|problem| problem.to_string())?;
    match operation_provider(operation) {
        Some(provider) => Err(format!("not supported yet: operations on resource provider {provider}")),
        None => Ok(()),
    }
}

fn change(operation: &Operation, agent: &Agent) -> Result<Change, String> {
    let conversions = operation_conversions(operation).map_err(|error| error.to_string())?;
    let of_agent =
        operation_conversions(&unallocated_operation(operation)).map_err(|error| error.to_string())?;
    let total = agent.total.convert(&of_agent).map_err(|error| error.to_string())?;
    Ok(Change { conversions, total })
}

/// What agents without RESOURCE_PROVIDER hear in place of operations: all that they are to keep.
pub(crate) fn send_checkpointed(turn: &mut Turn<'_>, agent: &Agent) {
    let format = if agent.capabilities.reservation_refinement {
        ResourceFormat::PostRefinement
    } else {
        ResourceFormat::PreRefinement
    };
    if format == ResourceFormat::PreRefinement
        && agent.checkpointed.iter().any(Resource::has_refined_reservations)
    {
        return turn.warning(format!(
            "not sending its checkpointed resources to agent {}: it does not know refined reservations",
            agent.id
        ));
    }
    let resources = agent.checkpointed.to_proto(format);
    turn.send(&agent.pid, &CheckpointResourcesMessage { resources });
}
