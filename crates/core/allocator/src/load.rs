//! What a client, or a role with all below it, has been offered and allocated, in the amounts that shares are
//! computed from.

use std::collections::BTreeMap;

use messor_types::{ResourceQuantities, Resources};

/// Resources prepared once for being added to several loads.
pub(crate) struct Portion {
    plain: ResourceQuantities,
    shared: Resources,
}

impl Portion {
    pub fn new(resources: &Resources) -> Portion {
        let shared = resources.filter(|resource| resource.is_shared());
        let plain =
            if shared.is_empty() { resources.quantities() } else { resources.non_shared().quantities() };
        Portion { plain, shared }
    }
}

/// Reserved and revocable resources count (U085); each shared resource counts once an agent, however often it
/// was given away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub amounts: ResourceQuantities,
    /// How often something was allocated: of equal shares the smaller number comes first.
    pub count: u64,
    /// By agent; resources are allocated to different roles here, and count as different.
    shared: BTreeMap<usize, Resources>,
}

impl Load {
    pub fn add(&mut self, agent: usize, portion: &Portion) {
        self.amounts += &portion.plain;
        if portion.shared.is_empty() {
            return;
        }
        let held = self.shared.entry(agent).or_default();
        for resource in &portion.shared {
            let new = !held.iter().any(|mine| mine.same_thing(resource));
            if let (true, Some(amount)) = (new, resource.as_scalar()) {
                self.amounts.add(resource.name(), amount);
            }
        }
        *held += &portion.shared;
    }

    pub fn subtract(&mut self, agent: usize, portion: &Portion) {
        self.amounts -= &portion.plain;
        if portion.shared.is_empty() {
            return;
        }
        let Some(held) = self.shared.get_mut(&agent) else { return };
        *held -= &portion.shared;
        for resource in &portion.shared {
            let gone = !held.iter().any(|mine| mine.same_thing(resource));
            if let (true, Some(amount)) = (gone, resource.as_scalar()) {
                self.amounts.subtract(resource.name(), amount);
            }
        }
        if held.is_empty() {
            self.shared.remove(&agent);
        }
    }
}
