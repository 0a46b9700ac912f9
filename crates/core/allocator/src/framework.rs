//! One framework as the allocator sees it.

use std::collections::BTreeMap;

use messor_types::{FrameworkId, Role};

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
