//! UpdateSlaveMessage: what an agent has besides the resources it registered with.

use std::collections::BTreeMap;

use messor_allocator::Event as Allocation;
use messor_proto::mesos::internal::UpdateAgentMessage;
use messor_types::{AgentId, OfferId, Resource, ResourceError, ResourceProviderId, Resources};

use crate::master::Master;
use crate::state::Provider;
use crate::turn::Turn;

impl Master {
    pub(crate) fn update_agent(&mut self, turn: &mut Turn<'_>, message: UpdateAgentMessage) {
        self.counters.messages_update_slave.increment();
        let id = AgentId::from(&message.agent_id);
        let read = read_update(&message);
        let Some(agent) = self.agents.get_mut(&id) else {
            return turn.warning(format!("ignoring an update of agent {id}: it is not known"));
        };
        let (oversubscribed, providers) = match read {
            Ok(read) => read,
            Err(error) => return turn.warning(format!("ignoring an update of agent {id}: {error}")),
        };
        let (speaks_of_oversubscribed, speaks_of_providers) = (oversubscribed.is_some(), providers.is_some());
        let own = |revocable: bool| {
            agent
                .total
                .filter(|resource| resource.provider_id().is_none() && resource.is_revocable() == revocable)
        };
        let of_providers: Resources = match &providers {
            Some(providers) => providers.values().map(|provider| &provider.total).sum(),
            None => agent.total.filter(|resource| resource.provider_id().is_some()),
        };
        let total = own(false) + &oversubscribed.unwrap_or_else(|| own(true)) + &of_providers;
        if let Some(version) = message.resource_version_uuid {
            agent.resource_version = Some(version);
        }
        if let Some(providers) = providers
            && providers != agent.providers
        {
            agent.providers = providers;
            agent.changed();
        }
        // An update of oversubscribed resources alone says nothing of operations.
        let told = message.operations.map(|list| list.operations);
        agent.operations_known |= told.is_some();
        if total == agent.total {
            if let Some(told) = told {
                self.compare_operations(turn, &id, told);
            }
            return self.check_drained(turn, &id);
        }
        agent.total = total;
        agent.changed();
        let (details, total) = (agent.details(), agent.total.clone());
        turn.info(format!("agent {id} has {total} now"));
        // What is offered of that may be gone: those offers are taken back.
        let changed = |resources: &Resources| {
            speaks_of_providers || (speaks_of_oversubscribed && resources.iter().any(Resource::is_revocable))
        };
        let offered = agent
            .offers
            .iter()
            .filter(|offer| self.offers.get(*offer).is_some_and(|record| changed(&record.resources)));
        let offers: Vec<OfferId> = offered.cloned().collect();
        turn.allocator(Allocation::UpdateAgent { agent_id: id.clone(), details, total: Some(total) });
        for offer in &offers {
            self.rescind(turn, offer);
        }
        if let Some(told) = told {
            self.compare_operations(turn, &id, told);
        }
        self.check_drained(turn, &id);
    }
}

type Providers = BTreeMap<ResourceProviderId, Provider>;

/// The oversubscribed resources and the resource providers, if the update speaks of them.
fn read_update(
    message: &UpdateAgentMessage,
) -> Result<(Option<Resources>, Option<Providers>), ResourceError> {
    // Older agents do not say that they send oversubscribed resources: they send nothing else.
    let has_oversubscribed = message.update_oversubscribed_resources.unwrap_or(true);
    let oversubscribed = Resources::from_proto(&message.oversubscribed_resources)?;
    let mut providers = None;
    if let Some(list) = &message.resource_providers {
        let mut read = Providers::new();
        for provider in &list.providers {
            let Some(info) = &provider.info else { continue };
            let Some(id) = &info.id else { continue };
            let total = Resources::from_proto(&provider.total_resources)?;
            let version = provider.resource_version_uuid.clone();
            read.insert(id.into(), Provider { info: info.clone(), total, version });
        }
        providers = Some(read);
    }
    Ok((has_oversubscribed.then_some(oversubscribed), providers))
}
