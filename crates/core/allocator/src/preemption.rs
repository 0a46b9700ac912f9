//! Preemption: what roles of lower priority have to give back for what a role is guaranteed and lacks.
//!
//! It happens in two steps, as the allocator knows amounts and the master knows offers and tasks. A tick finds roles that
//! lack something of their guarantees for longer than --preemption_delay, and asks for what is held below them; of the
//! answer it is decided what has to go. Nothing is remembered of a decision: what is being killed is told as leaving, and
//! counts as free. So nothing is killed twice for one need, and a new master decides anew.
//!
//! What holds: nobody loses anything to a role of no more priority; no role, nor one above it, falls below what it is
//! guaranteed (but a role that is above both sides, whose guarantee is for all below it); nothing goes while what is
//! free suffices; and nothing goes without which the need would be met as well.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, OfferId, ResourceQuantities, Role, TaskId};

use crate::allocator::Allocator;
use crate::bits::Bits;
use crate::event::Effect;
use crate::judge::Judge;
use crate::ledger::{Ledger, raise};
use crate::run::is_listed;

/// Something that can be taken back at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocable {
    Offer(OfferId),
    /// Tasks that end together.
    Tasks(Vec<TaskId>),
}

/// Something that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub what: Revocable,
    pub framework_id: FrameworkId,
    pub agent_id: AgentId,
    pub role: Role,
    /// What quota counts of it, which comes free with it.
    pub amounts: ResourceQuantities,
    /// It is being killed, for whatever reason.
    pub leaving: bool,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// For whom.
    pub role: Role,
    pub priority: i32,
    /// What it lacks of what it, and the roles above it, are guaranteed.
    pub lacking: ResourceQuantities,
    /// What goes, each with the priority of its role.
    pub victims: Vec<(Held, i32)>,
}

/// Who waits, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Wanting {
    /// Roles that lack something, and since when; or when nothing was found to take for them.
    since: BTreeMap<Role, Time>,
    /// `Effect::AskHeld` has no answer yet.
    asked: bool,
    decisions: u64,
    offers: u64,
    tasks: u64,
}

impl Wanting {
    pub fn metrics(&self) -> [(&'static str, f64); 4] {
        [
            ("preemptions", self.decisions as f64),
            ("preempted_offers", self.offers as f64),
            ("preempted_tasks", self.tasks as f64),
            ("preemption_waiting_roles", self.since.len() as f64),
        ]
    }
}

/// What a role can use: agents, and what is free there.
struct Reach {
    agents: Bits,
    free: ResourceQuantities,
}

impl Allocator {
    /// Notes who lacks something of a guarantee, and asks what is held if somebody lacks it for too long.
    pub(crate) fn look_for_lack(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.options.role_priorities.is_empty() {
            return;
        }
        let lacking = self.lacking();
        self.wanting.since.retain(|role, _| lacking.contains(role));
        for role in lacking {
            self.wanting.since.entry(role).or_insert(now);
        }
        let Some((Reverse(highest), _)) = self.overdue(now).into_iter().next() else { return };
        let priorities = &self.options.role_priorities;
        let holders = self.tree.clients().filter(|(_, client)| !client.agents.is_empty());
        let roles: BTreeSet<Role> = holders.map(|(_, client)| client.role.clone()).collect();
        let roles: BTreeSet<Role> = roles.into_iter().filter(|role| priorities.of(role) < highest).collect();
        if !roles.is_empty() && !self.wanting.asked {
            self.wanting.asked = true;
            effects.push(Effect::AskHeld { roles });
        }
    }

    /// Roles whose frameworks want offers, and which what is free does not give what is due to them.
    fn lacking(&self) -> BTreeSet<Role> {
        if !self.ledger.has_guarantees() {
            return BTreeSet::new();
        }
        let clients = self.tree.clients().filter(|(_, client)| client.active);
        let roles: BTreeSet<&Role> = clients.map(|(_, client)| &client.role).collect();
        let due = roles.into_iter().filter(|role| !self.ledger.due(role).is_empty());
        due.filter(|role| {
            let reach = self.reach(role);
            reach.is_some_and(|reach| !is_nothing(&self.ledger.lacks(role, &reach.free)))
        })
        .cloned()
        .collect()
    }

    /// Roles that waited for long enough, those of the highest priority first.
    fn overdue(&self, now: Time) -> BTreeSet<(Reverse<i32>, Role)> {
        let delay = self.options.preemption_delay;
        let overdue = self.wanting.since.iter().filter(|(_, since)| now >= **since + delay);
        overdue.map(|(role, _)| (Reverse(self.options.role_priorities.of(role)), role.clone())).collect()
    }

    /// None if no framework of the role wants offers now.
    fn reach(&self, role: &Role) -> Option<Reach> {
        let clients = self.tree.clients().map(|(_, client)| client);
        let clients: Vec<_> = clients.filter(|client| client.active && client.role == *role).collect();
        if clients.is_empty() {
            return None;
        }
        let mut reach = Reach { agents: Bits::default(), free: ResourceQuantities::new() };
        for (slot, agent) in &self.agents {
            let judge = Judge { options: &self.options, agent };
            let can_use = agent.active
                && is_listed(self.whitelist.as_ref(), agent)
                && clients.iter().any(|client| judge.is_capable(client, &self.frameworks[client.framework]));
            if can_use {
                reach.agents.insert(slot);
                reach.free += &self.ledger.free_of(slot);
            }
        }
        Some(reach)
    }

    /// Decides what has to go, of what is held.
    pub(crate) fn preempt(&mut self, now: Time, held: Vec<Held>, effects: &mut Vec<Effect>) {
        self.wanting.asked = false;
        let priorities = self.options.role_priorities.clone();
        let slots: Vec<Option<usize>> =
            held.iter().map(|held| self.agent_slots.get(&held.agent_id).copied()).collect();
        let mut books = self.ledger.sketch();
        let mut gone: Vec<bool> = held.iter().map(|held| held.leaving).collect();
        for held in held.iter().filter(|held| held.leaving) {
            books.lose(&held.role, &held.amounts);
        }
        let is_task = |at: usize| matches!(held[at].what, Revocable::Tasks(_));
        let mut order: Vec<usize> = (0..held.len()).filter(|at| !gone[*at] && slots[*at].is_some()).collect();
        order.sort_by_key(|at| (is_task(*at), priorities.of(&held[*at].role), *at));
        for (Reverse(priority), role) in self.overdue(now) {
            let Some(reach) = self.reach(&role) else { continue };
            let frees = |at: usize| slots[at].is_some_and(|slot| reach.agents.contains(slot));
            let mut free = reach.free.clone();
            (0..held.len()).filter(|at| gone[*at] && frees(*at)).for_each(|at| free += &held[at].amounts);
            let lacking = books.lacks(&role, &free);
            if is_nothing(&lacking) {
                continue;
            }
            let mut most = ResourceQuantities::new();
            lacking.iter().for_each(|lacking| raise(&mut most, lacking));
            let mut need = Need { books: &mut books, role: &role, free, lacking };
            let mut chosen: Vec<usize> = Vec::new();
            let lower = || order.iter().copied().filter(|at| priorities.of(&held[*at].role) < priority);
            loop {
                let before = chosen.len();
                for at in lower() {
                    if is_nothing(&need.lacking) {
                        break;
                    }
                    if !gone[at] && need.is_helped_by(&held[at], frees(at)) {
                        gone[at] = true;
                        chosen.push(at);
                    }
                }
                if chosen.len() == before {
                    break;
                }
                // What was chosen last is what is rather spared, if what was chosen before it turns out to be enough.
                for place in (0..chosen.len()).rev() {
                    let at = chosen[place];
                    if need.is_met_without(&held[at], frees(at)) {
                        gone[at] = false;
                        chosen.remove(place);
                    }
                }
                // With what is spared something else may help now: each time less is lacking, so this ends.
            }
            if chosen.is_empty() {
                self.wanting.since.insert(role, now);
                continue;
            }
            self.wanting.decisions += 1;
            let victims: Vec<(Held, i32)> =
                chosen.into_iter().map(|at| (held[at].clone(), priorities.of(&held[at].role))).collect();
            for (victim, _) in &victims {
                match &victim.what {
                    Revocable::Offer(_) => self.wanting.offers += 1,
                    Revocable::Tasks(tasks) => self.wanting.tasks += tasks.len() as u64,
                }
            }
            effects.push(Effect::Preempt(Preemption { role, priority, lacking: most, victims }));
        }
    }
}

/// What one role lacks, while it is tried out what would help.
struct Need<'a> {
    books: &'a mut Ledger,
    role: &'a Role,
    free: ResourceQuantities,
    /// Of each guarantee.
    lacking: Vec<ResourceQuantities>,
}

fn is_nothing(lacking: &[ResourceQuantities]) -> bool {
    lacking.iter().all(ResourceQuantities::is_empty)
}

fn is_no_more(lacking: &[ResourceQuantities], than: &[ResourceQuantities]) -> bool {
    lacking.iter().zip(than).all(|(lacking, than)| than.contains(lacking))
}

impl Need<'_> {
    /// Takes something away, if that may be and leaves less lacking.
    fn is_helped_by(&mut self, held: &Held, frees: bool) -> bool {
        let is_lacking = |name| self.lacking.iter().any(|lacking| !lacking.get(name).is_zero());
        let matters = held.amounts.iter().any(|(name, _)| is_lacking(name));
        if !matters || self.books.is_guaranteed(&held.role, &held.amounts, self.role) {
            return false;
        }
        self.lose(held, frees);
        let lacking = self.books.lacks(self.role, &self.free);
        if lacking != self.lacking && is_no_more(&lacking, &self.lacking) {
            self.lacking = lacking;
            return true;
        }
        self.regain(held, frees);
        false
    }

    /// Gives something back, if that leaves no more lacking.
    fn is_met_without(&mut self, held: &Held, frees: bool) -> bool {
        self.regain(held, frees);
        if is_no_more(&self.books.lacks(self.role, &self.free), &self.lacking) {
            return true;
        }
        self.lose(held, frees);
        false
    }

    fn lose(&mut self, held: &Held, frees: bool) {
        self.books.lose(&held.role, &held.amounts);
        if frees {
            self.free += &held.amounts;
        }
    }

    fn regain(&mut self, held: &Held, frees: bool) {
        self.books.regain(&held.role, &held.amounts);
        if frees {
            self.free -= &held.amounts;
        }
    }
}
