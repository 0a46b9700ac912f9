//! Whether something of an agent can be offered to a client, and what: the rules of capabilities, reservations, minimal
//! offers and filters, in one place. It decides and changes nothing.

use messor_types::{Resource, ResourceQuantities, Resources, Role};

use crate::agent::Agent;
use crate::framework::Framework;
use crate::options::Options;
use crate::tree::Client;

#[derive(Debug)]
pub(crate) enum Verdict {
    /// These can be offered; they do not carry their allocation role yet.
    Offer(Resources),
    /// There is nothing for this client.
    Nothing,
    /// There is nothing for any client of this role.
    NothingForRole,
}

pub(crate) struct Judge<'a> {
    pub options: &'a Options,
    pub agent: &'a Agent,
}

impl Judge<'_> {
    /// `offered` are shared resources that were offered in this run already: once a run is enough.
    pub fn judge(
        &self,
        slot: usize,
        client: &Client,
        framework: &Framework,
        available: &Resources,
        offered: &Resources,
    ) -> Verdict {
        let role = &client.role;
        let mine = |resource: &Resource| {
            resource.is_allocatable_to(role)
                && !(resource.is_shared() && offered.iter().any(|other| other.same_thing(resource)))
        };
        if !available.iter().any(mine) {
            return Verdict::NothingForRole;
        }
        if !self.is_capable(client, framework) {
            return Verdict::Nothing;
        }
        let able = &framework.details.capabilities;
        let offer = available.filter(|resource| {
            mine(resource)
                && (able.shared_resources || !resource.is_shared())
                && (able.revocable_resources || !resource.is_revocable())
                && (able.reservation_refinement || !resource.has_refined_reservations())
        });
        if self.is_offered(slot, client, framework, &offer) {
            Verdict::Offer(offer)
        } else {
            Verdict::Nothing
        }
    }

    /// Whether these are enough to be offered, and not refused.
    pub fn is_offered(&self, slot: usize, client: &Client, framework: &Framework, offer: &Resources) -> bool {
        let refused = || self.agent.filters_of(slot).iter().any(|filter| filter.refused.contains(offer));
        !offer.is_empty() && self.is_enough(offer, client, framework) && (client.filters == 0 || !refused())
    }

    /// Whether the framework may see this agent at all in that role.
    pub fn is_capable(&self, client: &Client, framework: &Framework) -> bool {
        let able = &framework.details.capabilities;
        let agent = &self.agent.details;
        if self.options.filter_gpu_resources && self.agent.has_gpus && !able.gpu_resources {
            return false;
        }
        if !able.region_aware && self.is_remote() {
            return false;
        }
        if able.multi_role && !agent.capabilities.multi_role {
            return false;
        }
        if framework.details.offer_constraints.exclude(&client.role, agent) {
            return false;
        }
        agent.capabilities.hierarchical_role || !client.role.is_hierarchical()
    }

    /// An agent without a region is nowhere else.
    fn is_remote(&self) -> bool {
        match (&self.agent.details.region, &self.options.region) {
            (Some(agent), Some(master)) => agent != master,
            _ => false,
        }
    }

    fn is_enough(&self, offer: &Resources, client: &Client, framework: &Framework) -> bool {
        let minimum = minimum(self.options, framework, &client.role);
        minimum.is_empty() || minimum.iter().any(|quantities| offer.contains_quantities(quantities))
    }
}

/// What an offer to the framework in that role holds at least one of; none at all allows everything.
pub(crate) fn minimum<'a>(
    options: &'a Options,
    framework: &'a Framework,
    role: &Role,
) -> &'a [ResourceQuantities] {
    let own = framework.details.min_allocatable_resources.get(role);
    own.unwrap_or(&options.min_allocatable_resources)
}
