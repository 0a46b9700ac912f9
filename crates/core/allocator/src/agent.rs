//! One agent as the allocator sees it: what it has, who holds how much of it, who refused it, and for which clients it
//! is settled that what is available is nothing for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, Resource, Resources};

use crate::bits::Bits;
use crate::event::AgentDetails;

/// No client has more filters on one agent than this; beyond it the one that expires soonest goes.
const MOST_FILTERS: usize = 32;

/// Resources that a client refused, until a deadline.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Many refuse the same: they share it.
    pub refused: Arc<Resources>,
    pub deadline: Time,
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub id: AgentId,
    pub details: AgentDetails,
    /// Whether it is offered; a draining or deactivated agent is not.
    pub active: bool,
    pub has_gpus: bool,
    /// Without allocation roles.
    total: Resources,
    /// What clients hold, offered or allocated, with its allocation role.
    pub held: BTreeMap<usize, Resources>,
    /// What frameworks hold that were not added yet.
    pub unclaimed: BTreeMap<FrameworkId, Resources>,
    /// The sum of `held` and `unclaimed`, without allocation roles.
    taken: Resources,
    available: Resources,
    /// What tasks and executors use (U006), with allocation roles.
    pub allocated: Resources,

    /// By client, and a number that keeps several of one client apart.
    filters: BTreeMap<(usize, u64), Filter>,
    filter_number: u64,
    /// The number of ticks when a filter was last added, and the number of the first one added since then.
    fresh: (u64, u64),
    /// Not after the deadline of any filter.
    pub earliest_deadline: Time,

    /// Clients that can use nothing of `reference`, and so nothing of what is less.
    pub settled: Bits,
    reference: Resources,

    /// Something changed since it was last looked at.
    pub changed: bool,
    /// The change asks for offers before the next tick.
    pub urgent: bool,
}

fn bare(resource: &Resource) -> Resource {
    resource.clone().without_allocation()
}

impl Agent {
    pub fn new(id: AgentId, details: AgentDetails, total: Resources) -> Agent {
        let mut agent = Agent {
            id,
            details,
            active: true,
            has_gpus: false,
            total: Resources::new(),
            held: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            taken: Resources::new(),
            available: Resources::new(),
            allocated: Resources::new(),
            filters: BTreeMap::new(),
            filter_number: 0,
            fresh: (0, 0),
            earliest_deadline: Time::NEVER,
            settled: Bits::default(),
            reference: Resources::new(),
            changed: false,
            urgent: false,
        };
        agent.set_total(total);
        agent
    }

    pub fn total(&self) -> &Resources {
        &self.total
    }

    pub fn available(&self) -> &Resources {
        &self.available
    }

    pub fn taken(&self) -> &Resources {
        &self.taken
    }

    pub fn set_total(&mut self, total: Resources) {
        self.has_gpus = total.gpus().is_some_and(|gpus| !gpus.is_zero());
        self.total = total;
        self.update_available();
    }

    /// Shared resources stay available however often they are taken.
    fn update_available(&mut self) {
        let mut available = self.total.clone();
        for resource in self.taken.iter().filter(|resource| !resource.is_shared()) {
            available.subtract(resource);
        }
        self.available = available;
    }

    pub fn hold(&mut self, client: usize, resources: &Resources) {
        if resources.is_empty() {
            return;
        }
        *self.held.entry(client).or_default() += resources;
        self.take(resources);
    }

    /// Gives back what a client holds; false, and nothing, if it does not hold that.
    pub fn release(&mut self, client: usize, resources: &Resources) -> bool {
        let Some(held) = self.held.get_mut(&client).filter(|held| held.contains(resources)) else {
            return false;
        };
        *held -= resources;
        if held.is_empty() {
            self.held.remove(&client);
        }
        self.give_back(resources);
        true
    }

    pub fn hold_unclaimed(&mut self, framework_id: FrameworkId, resources: &Resources) {
        *self.unclaimed.entry(framework_id).or_default() += resources;
        self.take(resources);
    }

    pub fn release_unclaimed(&mut self, framework_id: &FrameworkId, resources: &Resources) -> bool {
        let Some(held) = self.unclaimed.get_mut(framework_id).filter(|held| held.contains(resources)) else {
            return false;
        };
        *held -= resources;
        if held.is_empty() {
            self.unclaimed.remove(framework_id);
        }
        self.give_back(resources);
        true
    }

    fn take(&mut self, resources: &Resources) {
        for resource in resources {
            let resource = bare(resource);
            if !resource.is_shared() {
                self.available.subtract(&resource);
            }
            self.taken.insert(resource);
        }
    }

    fn give_back(&mut self, resources: &Resources) {
        for resource in resources {
            self.taken.subtract(&bare(resource));
        }
        self.update_available();
    }

    /// Forgets who was settled, if there is now something available that they were not asked about. Returns whether
    /// what is found out now holds for `reference`.
    pub fn settle_reference(&mut self) -> bool {
        if !self.reference.contains(&self.available) {
            self.reference = self.available.clone();
            self.settled.clear();
            return true;
        }
        self.available.contains(&self.reference)
    }

    pub fn reference(&self) -> &Resources {
        &self.reference
    }

    pub fn filters_of(&self, client: usize) -> impl Iterator<Item = &Filter> {
        self.filters.range((client, 0)..=(client, u64::MAX)).map(|(_, filter)| filter)
    }

    /// Adds a filter, in place of those that it makes superfluous. Returns how many more there are now.
    pub fn add_filter(&mut self, client: usize, refused: Resources, deadline: Time, ticks: u64) -> isize {
        if self.fresh.0 != ticks {
            self.fresh = (ticks, self.filter_number);
        }
        if self
            .filters_of(client)
            .any(|filter| filter.deadline >= deadline && filter.refused.contains(&refused))
        {
            return 0;
        }
        let mut removed: Vec<u64> = self
            .filters
            .range((client, 0)..=(client, u64::MAX))
            .filter(|(_, filter)| filter.deadline <= deadline && refused.contains(&filter.refused))
            .map(|((_, number), _)| *number)
            .collect();
        if removed.is_empty() && self.filters_of(client).count() >= MOST_FILTERS {
            let of_client = self.filters.range((client, 0)..=(client, u64::MAX));
            removed
                .extend(of_client.min_by_key(|(_, filter)| filter.deadline).map(|((_, number), _)| *number));
        }
        for number in &removed {
            self.filters.remove(&(client, *number));
        }
        let refused = self.shared_refusal(refused);
        self.filters.insert((client, self.filter_number), Filter { refused, deadline });
        self.filter_number += 1;
        self.earliest_deadline = self.earliest_deadline.min(deadline);
        1 - removed.len() as isize
    }

    /// Most refuse the whole of what is available: one copy of it does for all.
    fn shared_refusal(&self, refused: Resources) -> Arc<Resources> {
        let other = self.filters.last_key_value().map(|(_, filter)| &filter.refused);
        other.filter(|other| ***other == refused).cloned().unwrap_or_else(|| Arc::new(refused))
    }

    /// Removes a client's filters here, and returns how many these were.
    pub fn remove_filters(&mut self, client: usize) -> usize {
        let numbers: Vec<u64> =
            self.filters.range((client, 0)..=(client, u64::MAX)).map(|((_, number), _)| *number).collect();
        for number in &numbers {
            self.filters.remove(&(client, *number));
        }
        numbers.len()
    }

    /// Removes all filters, and returns the client of each.
    pub fn remove_all_filters(&mut self) -> Vec<usize> {
        self.earliest_deadline = Time::NEVER;
        std::mem::take(&mut self.filters).into_keys().map(|(client, _)| client).collect()
    }

    /// Removes the filters whose deadline has come and which have seen a tick, and returns the client of each.
    pub fn expire_filters(&mut self, now: Time, ticks: u64) -> Vec<usize> {
        let fresh_from = if self.fresh.0 == ticks { self.fresh.1 } else { u64::MAX };
        let mut expired = Vec::new();
        let mut earliest = Time::NEVER;
        self.filters.retain(|(client, number), filter| {
            let keep = filter.deadline > now || *number >= fresh_from;
            if keep {
                earliest = earliest.min(filter.deadline);
            } else {
                expired.push(*client);
            }
            keep
        });
        self.earliest_deadline = earliest;
        expired
    }
}
