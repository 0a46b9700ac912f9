//! Offers that are outstanding.

use std::collections::BTreeMap;
use std::sync::Arc;

use messor_proto::mesos::Offer;
use messor_types::{AgentId, FrameworkId, OfferId, Resources, Role};
use messor_validation::OfferFacts;

#[derive(Clone, Debug)]
pub(crate) struct OfferRecord {
    pub framework: FrameworkId,
    pub agent: AgentId,
    pub role: Role,
    pub resources: Resources,
    /// In the form that the master works with; frameworks may be sent another.
    pub offer: Arc<Offer>,
}

pub(crate) type Offers = BTreeMap<OfferId, OfferRecord>;

impl OfferRecord {
    pub fn facts(&self) -> OfferFacts<'_> {
        OfferFacts { framework: &self.framework, agent: &self.agent, role: &self.role }
    }
}
