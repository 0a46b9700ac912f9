//! One agent as the allocator sees it: what it has, who holds how much of it, who refused it, and for which clients it
//! is settled that what is available is nothing for them.

use std::collections::BTreeMap;

use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, Resource, Resources};
use smallvec::SmallVec;

use crate::bits::Bits;
use crate::event::AgentDetails;

/// No client has more filters on one agent than this; beyond it the one that expires soonest goes.
const MOST_FILTERS: usize = 32;

/// Resources that a client refused, until a deadline.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub refused: Resources,
    pub deadline: Time,
    /// Ascending in the order in which an agent's filters were made.
    number: u64,
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
    /// What was last held, with its allocation role and without: often it is that which comes back.
    last_held: (Resources, Resources),
    /// What tasks and executors use (U006), with allocation roles.
    pub allocated: Resources,

    /// By client; most have one.
    filters: BTreeMap<usize, SmallVec<[Filter; 1]>>,
    filter_number: u64,
    last_refused: Resources,
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
            last_held: Default::default(),
            allocated: Resources::new(),
            filters: BTreeMap::new(),
            filter_number: 0,
            last_refused: Resources::new(),
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
        self.hold_both(client, resources, &resources.clone().unallocated());
    }

    /// `bare` is the same without allocation role.
    pub fn hold_both(&mut self, client: usize, resources: &Resources, bare: &Resources) {
        if resources.is_empty() {
            return;
        }
        *self.held.entry(client).or_default() += resources;
        self.last_held = (resources.clone(), bare.clone());
        self.take(bare);
    }

    /// Without allocation role.
    pub fn bare(&self, resources: &Resources) -> Resources {
        let (held, bare) = &self.last_held;
        if held.is_copy_of(resources) { bare.clone() } else { resources.clone().unallocated() }
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
        let bare = self.bare(resources);
        self.give_back(&bare);
        true
    }

    pub fn hold_unclaimed(&mut self, framework_id: FrameworkId, resources: &Resources) {
        *self.unclaimed.entry(framework_id).or_default() += resources;
        self.take(&resources.clone().unallocated());
    }

    pub fn release_unclaimed(&mut self, framework_id: &FrameworkId, resources: &Resources) -> bool {
        let Some(held) = self.unclaimed.get_mut(framework_id).filter(|held| held.contains(resources)) else {
            return false;
        };
        *held -= resources;
        if held.is_empty() {
            self.unclaimed.remove(framework_id);
        }
        self.give_back(&resources.clone().unallocated());
        true
    }

    fn take(&mut self, bare: &Resources) {
        if bare.is_copy_of(&self.available) && !bare.iter().any(Resource::is_shared) {
            self.available = Resources::new();
        } else {
            for resource in bare.iter().filter(|resource| !resource.is_shared()) {
                self.available.subtract(resource);
            }
        }
        self.taken += bare;
    }

    fn give_back(&mut self, bare: &Resources) {
        if self.held.is_empty() && self.unclaimed.is_empty() {
            self.taken = Resources::new();
            self.available = self.total.clone();
            return;
        }
        self.taken -= bare;
        self.update_kinds(bare.iter());
    }

    /// As `update_available`, where nothing changed but resources that are like these in all but their values.
    fn update_kinds<'a>(&mut self, kinds: impl Iterator<Item = &'a Resource>) {
        for kind in kinds {
            let of_kind = |resource: &Resource| resource.same_kind(kind);
            let mut left = self.total.filter(of_kind);
            for resource in self.taken.iter().filter(|resource| !resource.is_shared() && of_kind(resource)) {
                left.subtract(resource);
            }
            self.available.retain(|resource| !of_kind(resource));
            for resource in left {
                self.available.insert(resource);
            }
        }
    }

    /// A total in which nothing changed but what is like these in all but their values.
    pub fn convert_total(&mut self, total: Resources, kinds: &[Resource]) {
        self.has_gpus = total.gpus().is_some_and(|gpus| !gpus.is_zero());
        self.total = total;
        self.update_kinds(kinds.iter());
    }

    /// Makes what is available the reference for whoever is settled from now on. Those who were settled with no less
    /// remain so.
    pub fn settle_reference(&mut self) {
        if self.reference == self.available {
            // One copy of long ranges, which are compared by pointer first, does for all.
            self.available = self.reference.clone();
            return;
        }
        if !self.reference.contains(&self.available) {
            self.settled.clear();
        }
        self.reference = self.available.clone();
    }

    pub fn reference(&self) -> &Resources {
        &self.reference
    }

    pub fn filters_of(&self, client: usize) -> &[Filter] {
        self.filters.get(&client).map_or(&[], |filters| filters)
    }

    /// Adds a filter, in place of those that it makes superfluous. Returns how many more there are now.
    pub fn add_filter(&mut self, client: usize, refused: Resources, deadline: Time, ticks: u64) -> isize {
        if self.fresh.0 != ticks {
            self.fresh = (ticks, self.filter_number);
        }
        let fresh_from = self.fresh.1;
        let filters = self.filters.entry(client).or_default();
        // One that was made before the last tick may go at the next one, which this one has to outlive.
        let covers = |filter: &Filter| {
            filter.number >= fresh_from && filter.deadline >= deadline && filter.refused.contains(&refused)
        };
        if filters.iter().any(covers) {
            return 0;
        }
        let before = filters.len() as isize;
        filters.retain(|filter| filter.deadline > deadline || !refused.contains(&filter.refused));
        if filters.len() >= MOST_FILTERS
            && let Some(soonest) = (0..filters.len()).min_by_key(|at| filters[*at].deadline)
        {
            filters.remove(soonest);
        }
        // Most refuse the whole of what is available: one copy of it does for all.
        if self.last_refused != refused {
            self.last_refused = refused;
        }
        let refused = self.last_refused.clone();
        filters.push(Filter { refused, deadline, number: self.filter_number });
        self.filter_number += 1;
        self.earliest_deadline = self.earliest_deadline.min(deadline);
        filters.len() as isize - before
    }

    /// Removes a client's filters here, and returns how many these were.
    pub fn remove_filters(&mut self, client: usize) -> usize {
        self.filters.remove(&client).map_or(0, |filters| filters.len())
    }

    /// Removes all filters, and returns their clients with the number of each.
    pub fn remove_all_filters(&mut self) -> Vec<(usize, usize)> {
        self.earliest_deadline = Time::NEVER;
        std::mem::take(&mut self.filters)
            .into_iter()
            .map(|(client, filters)| (client, filters.len()))
            .collect()
    }

    /// Removes the filters whose deadline has come and which have seen a tick, and returns their clients with the
    /// number of each.
    pub fn expire_filters(&mut self, now: Time, ticks: u64) -> Vec<(usize, usize)> {
        let fresh_from = if self.fresh.0 == ticks { self.fresh.1 } else { u64::MAX };
        let mut expired = Vec::new();
        let mut earliest = Time::NEVER;
        self.filters.retain(|client, filters| {
            let before = filters.len();
            filters.retain(|filter| {
                let keep = filter.deadline > now || filter.number >= fresh_from;
                if keep {
                    earliest = earliest.min(filter.deadline);
                }
                keep
            });
            if filters.len() < before {
                expired.push((*client, before - filters.len()));
            }
            !filters.is_empty()
        });
        self.earliest_deadline = earliest;
        expired
    }
}
