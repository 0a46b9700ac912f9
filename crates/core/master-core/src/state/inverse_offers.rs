//! Inverse offers that are outstanding, at most one for an agent and a framework, and what frameworks answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use messor_proto::mesos::InverseOffer;
use messor_proto::mesos::allocator::InverseOfferStatus;
use messor_types::{AgentId, FrameworkId, OfferId};

use crate::view::InverseOfferStatuses;

#[derive(Clone, Debug)]
pub(crate) struct InverseOfferRecord {
    pub framework: FrameworkId,
    pub agent: AgentId,
    pub offer: Arc<InverseOffer>,
}

#[derive(Debug, Default)]
pub(crate) struct InverseOffers {
    records: BTreeMap<OfferId, InverseOfferRecord>,
    by_agent: BTreeMap<AgentId, BTreeSet<OfferId>>,
    by_framework: BTreeMap<FrameworkId, BTreeSet<OfferId>>,
    /// Shared with readers.
    statuses: Arc<InverseOfferStatuses>,
}

impl InverseOffers {
    pub fn add(&mut self, id: OfferId, record: InverseOfferRecord) {
        self.by_agent.entry(record.agent.clone()).or_default().insert(id.clone());
        self.by_framework.entry(record.framework.clone()).or_default().insert(id.clone());
        self.records.insert(id, record);
    }

    pub fn remove(&mut self, id: &OfferId) -> Option<InverseOfferRecord> {
        let record = self.records.remove(id)?;
        forget(&mut self.by_agent, &record.agent, id);
        forget(&mut self.by_framework, &record.framework, id);
        Some(record)
    }

    pub fn get(&self, id: &OfferId) -> Option<&InverseOfferRecord> {
        self.records.get(id)
    }

    pub fn of_agent(&self, agent: &AgentId) -> Vec<OfferId> {
        self.by_agent.get(agent).into_iter().flatten().cloned().collect()
    }

    pub fn of_framework(&self, framework: &FrameworkId) -> Vec<OfferId> {
        self.by_framework.get(framework).into_iter().flatten().cloned().collect()
    }

    pub fn offers_of(&self, framework: &FrameworkId) -> Vec<Arc<InverseOffer>> {
        let ids = self.by_framework.get(framework).into_iter().flatten();
        ids.filter_map(|id| self.records.get(id)).map(|record| Arc::clone(&record.offer)).collect()
    }

    pub fn statuses(&self) -> Arc<InverseOfferStatuses> {
        Arc::clone(&self.statuses)
    }

    pub fn answered(&mut self, agent: &AgentId, framework: &FrameworkId, status: InverseOfferStatus) {
        let statuses = Arc::make_mut(&mut self.statuses);
        statuses.entry(agent.clone()).or_default().insert(framework.clone(), status);
    }

    /// What was answered was about another plan, or the agent is not there.
    pub fn forget_agent(&mut self, agent: &AgentId) {
        if self.statuses.contains_key(agent) {
            Arc::make_mut(&mut self.statuses).remove(agent);
        }
    }

    pub fn forget_framework(&mut self, framework: &FrameworkId) {
        if self.statuses.values().any(|given| given.contains_key(framework)) {
            Arc::make_mut(&mut self.statuses).retain(|_, given| {
                given.remove(framework);
                !given.is_empty()
            });
        }
    }
}

fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<OfferId>>, key: &K, id: &OfferId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
