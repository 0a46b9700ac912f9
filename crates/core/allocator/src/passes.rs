//! Whom quota leaves nothing, in one run: they are passed over without being asked, 64 at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use messor_types::{ResourceQuantities, Role};
use slab::Slab;

use crate::agent::Agent;
use crate::bits::Bits;
use crate::framework::Framework;
use crate::judge::minimum;
use crate::ledger::{Ledger, Stage, is_counted, top};
use crate::options::Options;
use crate::tree::Tree;

#[derive(Debug, Default)]
pub(crate) struct Passes {
    /// Active clients whose roles have quota, by the first part of the role's name.
    families: BTreeMap<Role, Vec<usize>>,
    /// Active clients to whom nothing is due.
    not_due: Bits,
    /// Clients whose limits leave no offer that is large enough.
    at_limit: Bits,
    /// What offers must hold at least; empty where that depends on the framework.
    minimum: Vec<ResourceQuantities>,
}

/// Who is passed over though this agent has something that he could use if quota were otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    Nobody,
    Some,
    Everybody,
}

/// What clients are judged by.
pub(crate) struct Standing<'a> {
    pub tree: &'a Tree,
    pub ledger: &'a Ledger,
    pub frameworks: &'a Slab<Framework>,
    pub options: &'a Options,
}

impl Passes {
    pub fn new(standing: &Standing<'_>) -> Passes {
        let mut passes = Passes::default();
        for client in standing.tree.active().iter_without(&Bits::default()) {
            passes.not_due.insert(client);
            let family = top(&standing.tree.client(client).role);
            if standing.ledger.has_family(&family) {
                passes.families.entry(family).or_default().push(client);
            }
        }
        let families: BTreeSet<Role> = passes.families.keys().cloned().collect();
        passes.update(standing, families);
        if standing
            .frameworks
            .iter()
            .all(|(_, framework)| framework.details.min_allocatable_resources.is_empty())
        {
            passes.minimum = standing.options.min_allocatable_resources.clone();
        }
        passes
    }

    /// Something of these families was given away.
    pub fn update(&mut self, standing: &Standing<'_>, families: BTreeSet<Role>) {
        let Standing { tree, ledger, frameworks, options } = standing;
        for family in families {
            for client in self.families.get(&family).into_iter().flatten() {
                let found = tree.client(*client);
                if ledger.due(&found.role).is_empty() {
                    self.not_due.insert(*client);
                } else {
                    self.not_due.remove(*client);
                }
                let minimum = minimum(options, &frameworks[found.framework], &found.role);
                let allowance = ledger.allowance(&found.role);
                if !minimum.is_empty() && minimum.iter().all(|amounts| !allowance.allows(amounts)) {
                    self.at_limit.insert(*client);
                } else {
                    self.at_limit.remove(*client);
                }
            }
        }
    }

    /// Adds to `skip` who need not be asked about this agent.
    pub fn skip(&self, ledger: &Ledger, agent: &Agent, stage: Stage, skip: &mut Cow<'_, Bits>) -> Skipped {
        if stage == Stage::Guarantees {
            skip.to_mut().extend(&self.not_due);
        }
        // Reserved and revocable resources are not limited.
        if !agent.available().iter().all(|resource| !resource.is_scalar() || is_counted(resource)) {
            return Skipped::Nobody;
        }
        if !self.at_limit.is_empty() {
            skip.to_mut().extend(&self.at_limit);
        }
        let spare = ledger.spare().filter(|_| stage == Stage::Shares && !self.minimum.is_empty());
        if spare.is_some_and(|spare| self.minimum.iter().all(|amounts| !spare.contains(amounts))) {
            return Skipped::Everybody;
        }
        if stage == Stage::Shares && !self.at_limit.is_empty() { Skipped::Some } else { Skipped::Nobody }
    }
}
