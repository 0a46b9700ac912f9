//! Frameworks as the allocator sees them, and what is changed by what they do.

use std::collections::{BTreeMap, BTreeSet};

use messor_types::{AgentId, FrameworkId, Resources, Role};

use crate::allocator::Allocator;
use crate::event::FrameworkDetails;

#[derive(Debug)]
pub(crate) struct Framework {
    pub id: FrameworkId,
    pub details: FrameworkDetails,
    pub active: bool,
    /// Its client in each role that it subscribes to, or still has resources in.
    pub clients: BTreeMap<Role, usize>,
}

impl Framework {
    /// Whether it wants offers in that role now.
    pub fn wants(&self, role: &Role) -> bool {
        self.active && self.details.roles.contains(role) && !self.details.suppressed_roles.contains(role)
    }
}

impl Allocator {
    pub(crate) fn add_framework(
        &mut self,
        framework_id: FrameworkId,
        details: FrameworkDetails,
        active: bool,
        used: BTreeMap<AgentId, Resources>,
    ) -> Result<(), String> {
        if self.framework_slots.contains_key(&framework_id) {
            return Err(format!("framework {framework_id} is added already"));
        }
        let roles = details.roles.clone();
        let slot = self.frameworks.insert(Framework {
            id: framework_id.clone(),
            details,
            active,
            clients: BTreeMap::new(),
        });
        self.framework_slots.insert(framework_id.clone(), slot);
        for role in &roles {
            self.client_of(slot, role);
        }
        for (agent_id, resources) in used {
            // Agents that are not added yet will tell of these resources themselves.
            if let Some(&agent) = self.agent_slots.get(&agent_id) {
                let unclaimed = self.agents[agent].unclaimed.get(&framework_id).cloned().unwrap_or_default();
                self.agents[agent].release_unclaimed(&framework_id, &unclaimed);
                self.hold_all(slot, agent, &resources);
                self.count(agent);
            }
        }
        self.update_activity(slot);
        if active {
            self.mark_all(true);
        }
        Ok(())
    }

    /// Makes the framework's clients active or not, as its state says.
    fn update_activity(&mut self, framework: usize) {
        for (role, client) in self.frameworks[framework].clients.clone() {
            let wants = self.frameworks[framework].wants(&role);
            self.tree.set_active(client, wants);
        }
    }

    pub(crate) fn update_framework(
        &mut self,
        framework_id: &FrameworkId,
        details: FrameworkDetails,
    ) -> Result<(), String> {
        let slot = self.framework_slot(framework_id)?;
        let old = std::mem::replace(&mut self.frameworks[slot].details, details);
        let new = self.frameworks[slot].details.clone();
        for role in &new.roles {
            self.client_of(slot, role);
        }
        let revived: BTreeSet<Role> = old
            .suppressed_roles
            .difference(&new.suppressed_roles)
            .filter(|role| new.roles.contains(*role))
            .cloned()
            .collect();
        for role in &revived {
            self.remove_filters(self.frameworks[slot].clients[role]);
        }
        self.update_activity(slot);
        for role in old.roles.difference(&new.roles) {
            if let Some(&client) = self.frameworks[slot].clients.get(role) {
                self.remove_filters(client);
                self.forget_client_if_idle(client);
            }
        }
        for client in self.frameworks[slot].clients.clone().into_values() {
            self.unsettle(client);
        }
        self.mark_all(false);
        Ok(())
    }

    pub(crate) fn remove_framework(&mut self, framework_id: &FrameworkId) -> Result<(), String> {
        let slot = self.framework_slot(framework_id)?;
        self.forget_inverse_offers(slot);
        self.frameworks[slot].active = false;
        self.frameworks[slot].details.roles.clear();
        for client in self.frameworks[slot].clients.clone().into_values() {
            self.tree.set_active(client, false);
            for agent in self.tree.client(client).agents.clone() {
                let held = self.agents[agent].held[&client].clone();
                self.release(client, agent, &held);
                self.mark(agent, false);
            }
            self.forget_client_if_idle(client);
        }
        self.framework_slots.remove(framework_id);
        self.frameworks.remove(slot);
        Ok(())
    }

    pub(crate) fn activate_framework(&mut self, framework_id: &FrameworkId) -> Result<(), String> {
        let slot = self.framework_slot(framework_id)?;
        self.frameworks[slot].active = true;
        self.update_activity(slot);
        self.mark_all(true);
        Ok(())
    }

    pub(crate) fn deactivate_framework(&mut self, framework_id: &FrameworkId) -> Result<(), String> {
        let slot = self.framework_slot(framework_id)?;
        self.forget_refused_inverse_offers(slot);
        self.frameworks[slot].active = false;
        self.update_activity(slot);
        for client in self.frameworks[slot].clients.clone().into_values() {
            self.remove_filters(client);
            self.unsettle(client);
        }
        Ok(())
    }

    /// The named roles that the framework subscribes to; all of these if none is named.
    pub(crate) fn meant_roles(&self, framework: usize, roles: BTreeSet<Role>) -> BTreeSet<Role> {
        let subscribed = &self.frameworks[framework].details.roles;
        if roles.is_empty() { subscribed.clone() } else { roles.intersection(subscribed).cloned().collect() }
    }

    pub(crate) fn suppress(&mut self, framework: usize, roles: BTreeSet<Role>) {
        self.frameworks[framework].details.suppressed_roles.extend(roles);
        self.update_activity(framework);
    }

    pub(crate) fn revive(&mut self, framework: usize, roles: &BTreeSet<Role>) {
        self.frameworks[framework].details.suppressed_roles.retain(|role| !roles.contains(role));
        self.update_activity(framework);
        for role in roles {
            let client = self.frameworks[framework].clients[role];
            self.remove_filters(client);
            self.unsettle(client);
        }
    }
}
