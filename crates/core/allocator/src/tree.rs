//! The order in which roles and frameworks are served. Roles form a tree; a role's own frameworks stand in it as one
//! leaf among the role's subroles. The order is kept as shares change, so that nobody sorts; whoever asks says which
//! clients do not matter to him, and if few remain only these are compared.
//!
//! It knows amounts and weights. Agents, filters and what may be offered to whom are not its affair.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use messor_types::{FrameworkId, ResourceName, ResourceQuantities, Role};
use slab::Slab;
use smallvec::SmallVec;

use crate::audit::ensure;
use crate::bits::Bits;
use crate::load::{Load, Portion};
use crate::options::{Priorities, SorterKind, Sorters};

/// With at most so many candidates, these are compared; with more, the whole order is walked.
const FEW: usize = 32;

/// Stands among the keys of subroles for the role's own frameworks.
const OWN: usize = usize::MAX;

/// A place among siblings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The bits of a share, which is never negative: they are in the order of the numbers.
    share: u64,
    count: u64,
    path: Arc<str>,
    target: usize,
    /// The only active client of a role and all below it, if that is known: whoever passes it over need not look
    /// further. No two keys differ in this alone.
    only: usize,
}

/// Not a client.
const NOBODY: usize = usize::MAX;

impl Key {
    fn new(path: Arc<str>, target: usize) -> Key {
        Key { share: 0, count: 0, path, target, only: NOBODY }
    }
}

/// A framework in one of its roles.
#[derive(Debug)]
pub(crate) struct Client {
    pub framework: usize,
    pub role: Role,
    /// Gets offers: the framework is active, subscribes to the role and has not suppressed it.
    pub active: bool,
    /// Has resources here, offered or allocated.
    pub agents: BTreeSet<usize>,
    pub filters: usize,
    node: usize,
    load: Load,
    key: Key,
}

#[derive(Debug)]
struct Node {
    role: Role,
    parent: Option<usize>,
    children: BTreeSet<usize>,
    clients: usize,
    weight: f64,
    /// Of the role and all roles below.
    whole: Load,
    /// Of the role's own frameworks.
    own: Load,
    key: Key,
    own_key: Key,
    /// Active clients of the role and all roles below.
    active: usize,
    /// Subroles with active clients, and the role's own frameworks if some are active.
    order: BTreeSet<Key>,
    own_order: BTreeSet<Key>,
}

/// What a visitor wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Next,
    NextRole,
    Stop,
}

#[derive(Debug)]
pub(crate) struct Tree {
    sorters: Sorters,
    excluded: BTreeSet<ResourceName>,
    nodes: Slab<Node>,
    root: usize,
    by_role: BTreeMap<Role, usize>,
    clients: Slab<Client>,
    active: Bits,
    priorities: Priorities,
    /// Active clients by the priority of their roles, the highest first. Empty without priorities.
    levels: BTreeMap<Reverse<i32>, Bits>,
    weights: BTreeMap<Role, f64>,
    total: ResourceQuantities,
    denominators: SmallVec<[(ResourceName, f64); 4]>,
    /// Total or weights changed: all shares are out of date until `refresh`.
    stale: bool,
}

impl Tree {
    pub fn new(sorters: Sorters, excluded: BTreeSet<ResourceName>, priorities: Priorities) -> Tree {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(Role::new(""), None, 1.0, usize::MAX));
        Tree {
            sorters,
            excluded,
            nodes,
            root,
            by_role: BTreeMap::new(),
            clients: Slab::new(),
            active: Bits::default(),
            priorities,
            levels: BTreeMap::new(),
            weights: BTreeMap::new(),
            total: ResourceQuantities::new(),
            denominators: SmallVec::new(),
            stale: false,
        }
    }

    pub fn client(&self, client: usize) -> &Client {
        &self.clients[client]
    }

    pub fn client_mut(&mut self, client: usize) -> &mut Client {
        &mut self.clients[client]
    }

    pub fn clients(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.clients.iter()
    }

    pub fn active(&self) -> &Bits {
        &self.active
    }

    pub fn total(&self) -> &ResourceQuantities {
        &self.total
    }

    pub fn change_total(&mut self, gone: &ResourceQuantities, come: &ResourceQuantities) {
        if gone != come {
            self.total -= gone;
            self.total += come;
            self.stale = true;
        }
    }

    pub fn set_weight(&mut self, role: &Role, weight: f64) {
        self.weights.insert(role.clone(), weight);
        if let Some(&node) = self.by_role.get(role) {
            self.nodes[node].weight = weight;
            self.stale = true;
        }
    }

    /// Adds an inactive client, and its role if that is new.
    pub fn add_client(&mut self, framework: usize, framework_id: &FrameworkId, role: &Role) -> usize {
        let node = self.node_of(role);
        self.nodes[node].clients += 1;
        let entry = self.clients.vacant_entry();
        let slot = entry.key();
        entry.insert(Client {
            framework,
            role: self.nodes[node].role.clone(),
            active: false,
            agents: BTreeSet::new(),
            filters: 0,
            node,
            load: Load::default(),
            key: Key::new(framework_id.as_str().into(), slot),
        });
        slot
    }

    /// Removes a client that has no resources, and its role if nothing is left in it.
    pub fn remove_client(&mut self, client: usize) {
        self.set_active(client, false);
        let removed = self.clients.remove(client);
        self.nodes[removed.node].clients -= 1;
        let mut node = removed.node;
        while let Some(parent) = self.nodes[node].parent {
            if self.nodes[node].clients > 0 || !self.nodes[node].children.is_empty() {
                break;
            }
            let removed = self.nodes.remove(node);
            self.by_role.remove(&removed.role);
            self.nodes[parent].children.remove(&node);
            node = parent;
        }
        self.stale |= self.sorters.roles == SorterKind::Random;
    }

    fn node_of(&mut self, role: &Role) -> usize {
        if let Some(&node) = self.by_role.get(role) {
            return node;
        }
        let parent = match role.parent() {
            Some(parent) => self.node_of(&parent),
            None => self.root,
        };
        let weight = self.weights.get(role).copied().unwrap_or(1.0);
        let entry = self.nodes.vacant_entry();
        let node = entry.key();
        entry.insert(Node::new(role.clone(), Some(parent), weight, node));
        self.nodes[parent].children.insert(node);
        self.by_role.insert(role.clone(), node);
        self.stale |= self.sorters.roles == SorterKind::Random;
        node
    }

    pub fn set_active(&mut self, client: usize, active: bool) {
        if self.clients[client].active == active {
            return;
        }
        self.clients[client].active = active;
        if !self.priorities.is_empty() {
            let level = Reverse(self.priorities.of(&self.clients[client].role));
            let clients = self.levels.entry(level).or_default();
            if active { clients.insert(client) } else { clients.remove(client) }
        }
        let start = self.clients[client].node;
        if active {
            self.active.insert(client);
            let key = self.client_key(client);
            self.nodes[start].own_order.insert(key.clone());
            self.clients[client].key = key;
        } else {
            self.active.remove(client);
            self.nodes[start].own_order.remove(&self.clients[client].key);
        }
        let mut next = Some(start);
        while let Some(node) = next {
            let count = &mut self.nodes[node].active;
            *count = if active { *count + 1 } else { *count - 1 };
            self.place(node);
            next = self.nodes[node].parent;
        }
    }

    /// Puts a role among its siblings, and its own frameworks among its subroles, where their loads say, or takes
    /// them out if none is active.
    fn place(&mut self, node: usize) {
        let own_key = Key {
            share: self.share(&self.nodes[node].own, 1.0),
            count: self.nodes[node].own.count,
            ..self.nodes[node].own_key.clone()
        };
        let here = &mut self.nodes[node];
        here.order.remove(&here.own_key);
        if !here.own_order.is_empty() {
            here.order.insert(own_key.clone());
        }
        here.own_key = own_key;
        let Some(parent) = self.nodes[node].parent else { return };
        let here = &self.nodes[node];
        let only = match (here.active, here.own_order.first(), here.order.first()) {
            (1, Some(own), _) => own.target,
            (1, None, Some(below)) => below.only,
            _ => NOBODY,
        };
        let share = self.share(&here.whole, here.weight);
        let key = Key { share, count: here.whole.count, only, ..here.key.clone() };
        let active = here.active > 0;
        let old = std::mem::replace(&mut self.nodes[node].key, key.clone());
        let siblings = &mut self.nodes[parent].order;
        siblings.remove(&old);
        if active {
            siblings.insert(key);
        }
    }

    fn client_key(&self, client: usize) -> Key {
        let client = &self.clients[client];
        Key { share: self.share(&client.load, 1.0), count: client.load.count, ..client.key.clone() }
    }

    fn share(&self, load: &Load, weight: f64) -> u64 {
        (self.dominant(load) / weight).to_bits()
    }

    fn dominant(&self, load: &Load) -> f64 {
        self.denominators
            .iter()
            .map(|(name, total)| load.amounts.get(name).to_f64() / total)
            .fold(0.0, f64::max)
    }

    /// The dominant share of a role over its weight, as the metric shows it.
    pub fn dominant_shares(&self) -> impl Iterator<Item = (&Role, f64)> {
        let listed = self.by_role.values().map(|node| &self.nodes[*node]).filter(|node| node.clients > 0);
        listed.map(|node| {
            let load = if node.children.is_empty() { &node.whole } else { &node.own };
            let weight = if node.children.is_empty() { node.weight } else { 1.0 };
            (&node.role, self.dominant(load) / weight)
        })
    }

    pub fn allocated(&mut self, client: usize, agent: usize, portion: &Portion) {
        self.change(client, |load| {
            load.add(agent, portion);
            load.count += 1;
        });
    }

    pub fn unallocated(&mut self, client: usize, agent: usize, portion: &Portion) {
        self.change(client, |load| load.subtract(agent, portion));
    }

    /// Puts one portion in the place of another, which does not count as being served.
    pub fn replaced(&mut self, client: usize, agent: usize, old: &Portion, new: &Portion) {
        self.change(client, |load| {
            load.subtract(agent, old);
            load.add(agent, new);
        });
    }

    fn change(&mut self, client: usize, change: impl Fn(&mut Load)) {
        change(&mut self.clients[client].load);
        let start = self.clients[client].node;
        change(&mut self.nodes[start].own);
        if self.clients[client].active && !self.stale {
            let key = self.client_key(client);
            let order = &mut self.nodes[start].own_order;
            order.remove(&self.clients[client].key);
            order.insert(key.clone());
            self.clients[client].key = key;
        }
        let mut next = Some(start);
        while let Some(node) = next {
            change(&mut self.nodes[node].whole);
            if !self.stale {
                self.place(node);
            }
            next = self.nodes[node].parent;
        }
    }

    /// Brings all shares up to date after totals or weights changed.
    pub fn refresh(&mut self) {
        if !self.stale {
            return;
        }
        self.denominators = self
            .total
            .iter()
            .filter(|(name, _)| !self.excluded.contains(*name))
            .map(|(name, amount)| (name.clone(), amount.to_f64()))
            .collect();
        let clients: Vec<usize> =
            self.clients.iter().filter(|(_, c)| c.active).map(|(slot, _)| slot).collect();
        for (_, node) in &mut self.nodes {
            node.own_order.clear();
            node.order.clear();
        }
        for client in clients {
            let key = self.client_key(client);
            self.nodes[self.clients[client].node].own_order.insert(key.clone());
            self.clients[client].key = key;
        }
        let nodes: Vec<usize> = self.nodes.iter().map(|(slot, _)| slot).collect();
        for node in nodes {
            self.place(node);
        }
        self.stale = false;
    }

    /// Visits the active clients that are not `settled`, in the order in which they are to be served: those of roles with
    /// more priority first, and among equals by share.
    pub fn visit(&self, settled: &Bits, rng: &mut Rng, mut step: impl FnMut(usize, &Client) -> Step) {
        debug_assert!(!self.stale, "refresh comes first");
        if self.levels.is_empty() {
            self.visit_equals(settled, rng, &mut step);
            return;
        }
        for level in self.levels.values().filter(|level| level.count_without(settled, 1) > 0) {
            let mut skip = settled.clone();
            skip.extend_without(&self.active, level);
            if !self.visit_equals(&skip, rng, &mut step) {
                return;
            }
        }
    }

    /// False once the visitor wants to stop.
    fn visit_equals(
        &self,
        settled: &Bits,
        rng: &mut Rng,
        step: &mut impl FnMut(usize, &Client) -> Step,
    ) -> bool {
        let by_share = self.by_share();
        if by_share && self.active.count_without(settled, FEW + 1) > FEW {
            return self.walk(self.root, settled, step);
        }
        let mut candidates: SmallVec<[usize; FEW]> = self.active.iter_without(settled).collect();
        if by_share {
            // Most often the first one takes everything: the others are sorted only if it does not.
            let first = (0..candidates.len()).min_by(|a, b| self.compare(candidates[*a], candidates[*b]));
            if let Some(first) = first {
                candidates.swap(0, first);
            }
        } else {
            self.shuffle(&mut candidates, rng);
        }
        let mut passed_over = None;
        for at in 0..candidates.len() {
            if at == 1 && by_share {
                self.sort(&mut candidates[1..]);
            }
            let client = candidates[at];
            let found = &self.clients[client];
            if passed_over == Some(found.node) {
                continue;
            }
            match step(client, found) {
                Step::Next => {}
                Step::NextRole => passed_over = Some(found.node),
                Step::Stop => return false,
            }
        }
        true
    }

    /// False once the visitor wants to stop.
    fn walk(&self, node: usize, settled: &Bits, step: &mut impl FnMut(usize, &Client) -> Step) -> bool {
        for key in &self.nodes[node].order {
            if key.only != NOBODY && settled.contains(key.only) {
                continue;
            }
            if key.target != OWN {
                if !self.walk(key.target, settled, step) {
                    return false;
                }
                continue;
            }
            for key in self.nodes[node].own_order.iter().filter(|key| !settled.contains(key.target)) {
                match step(key.target, &self.clients[key.target]) {
                    Step::Next => {}
                    Step::NextRole => break,
                    Step::Stop => return false,
                }
            }
        }
        true
    }

    /// The places on the way from the top to a role's own frameworks.
    fn places(&self, mut node: usize) -> SmallVec<[&Key; 4]> {
        let mut result = SmallVec::new();
        result.push(&self.nodes[node].own_key);
        while let Some(parent) = self.nodes[node].parent {
            result.push(&self.nodes[node].key);
            node = parent;
        }
        result.reverse();
        result
    }

    /// The same order as `walk`, by comparison.
    fn sort(&self, candidates: &mut [usize]) {
        candidates.sort_by(|a, b| self.compare(*a, *b));
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let (a, b) = (&self.clients[a], &self.clients[b]);
        if a.node == b.node {
            return a.key.cmp(&b.key);
        }
        let (x, y) = (&self.nodes[a.node], &self.nodes[b.node]);
        if x.parent == y.parent { x.key.cmp(&y.key) } else { self.places(a.node).cmp(&self.places(b.node)) }
    }

    /// Whether all order is by shares, so that it is kept in the tree.
    fn by_share(&self) -> bool {
        self.sorters == Sorters { roles: SorterKind::Drf, frameworks: SorterKind::Drf }
    }

    /// Roles in a weighted shuffle or by share, and within each its frameworks likewise.
    fn shuffle(&self, candidates: &mut [usize], rng: &mut Rng) {
        // Whoever waits for an exponential time of rate w comes first with a chance in proportion to w.
        let mut wait = |rate: f64| (-(1.0 - rng.f64()).ln() / rate).to_bits();
        let nodes: BTreeSet<usize> = candidates.iter().map(|client| self.clients[*client].node).collect();
        let mut nodes: Vec<usize> = nodes.into_iter().collect();
        match self.sorters.roles {
            SorterKind::Drf => nodes.sort_by(|a, b| self.places(*a).cmp(&self.places(*b))),
            SorterKind::Random => nodes.sort_by_cached_key(|node| wait(self.relative_weight(*node))),
        }
        let ranks: BTreeMap<usize, usize> = nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
        match self.sorters.frameworks {
            SorterKind::Drf => candidates.sort_by(|a, b| {
                let (a, b) = (&self.clients[*a], &self.clients[*b]);
                ranks[&a.node].cmp(&ranks[&b.node]).then_with(|| a.key.cmp(&b.key))
            }),
            SorterKind::Random => {
                candidates.sort_by_cached_key(|client| (ranks[&self.clients[*client].node], wait(1.0)))
            }
        }
    }

    /// The part of the whole that falls to a role's own frameworks when every role's weight is divided among its
    /// subroles by theirs.
    fn relative_weight(&self, node: usize) -> f64 {
        let among = |node: &Node| {
            let below: f64 = node.children.iter().map(|child| self.nodes[*child].weight).sum();
            below + if node.clients > 0 { 1.0 } else { 0.0 }
        };
        let mut result = 1.0 / among(&self.nodes[node]);
        let mut here = &self.nodes[node];
        while let Some(parent) = here.parent {
            result *= here.weight / among(&self.nodes[parent]);
            here = &self.nodes[parent];
        }
        result
    }
}

impl Tree {
    pub fn amounts(&self, client: usize) -> &ResourceQuantities {
        &self.clients[client].load.amounts
    }

    /// What holds between events.
    pub fn audit(&self) -> Result<(), String> {
        let mut active = 0;
        for (slot, client) in &self.clients {
            active += usize::from(client.active);
            ensure(client.active == self.active.contains(slot), || {
                "active clients have their bit".to_string()
            })?;
            let placed = self.nodes[client.node].own_order.contains(&client.key);
            ensure(client.active == placed, || "active clients have their place".to_string())?;
            let in_place = self.stale || !client.active || self.client_key(slot) == client.key;
            ensure(in_place, || format!("a client of {} stands where its share says", client.role))?;
        }
        ensure(self.nodes[self.root].active == active, || "active clients are counted".to_string())?;
        if self.stale || self.sorters.roles == SorterKind::Random {
            return Ok(());
        }
        let mut walked = Vec::new();
        self.walk(self.root, &Bits::default(), &mut |client, _| {
            walked.push(client);
            Step::Next
        });
        let mut sorted: Vec<usize> = self.active.iter_without(&Bits::default()).collect();
        self.sort(&mut sorted);
        ensure(walked == sorted, || "the order walked is the order by comparison".to_string())
    }
}

impl Node {
    fn new(role: Role, parent: Option<usize>, weight: f64, slot: usize) -> Node {
        let path: Arc<str> = role.as_str().into();
        let own_path: Arc<str> = format!("{role}/.").into();
        Node {
            role,
            parent,
            children: BTreeSet::new(),
            clients: 0,
            weight,
            whole: Load::default(),
            own: Load::default(),
            key: Key::new(path, slot),
            own_key: Key::new(own_path, OWN),
            active: 0,
            order: BTreeSet::new(),
            own_order: BTreeSet::new(),
        }
    }
}
