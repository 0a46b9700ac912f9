//! Any course of events keeps the promises: nothing is given twice, filters and suppression are respected, and nothing
//! that somebody wants is left lying about. What is promised is computed here anew and simply, from the events alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_allocator::{AgentDetails, Effect, Event, FrameworkDetails, Options, SorterKind, Sorters};
use messor_stdx::Time;
use messor_types::{
    AgentId, FrameworkId, Quota, Reservation, ReservationKind, Resource, Resources, Role, Scalar,
};
use proptest::prelude::*;

use crate::cluster::{Cluster, Offer, agent, framework, resources};

const ROLES: [&str; 4] = ["a", "a/b", "c", "*"];

/// Numbers choose among what there is at that time.
#[derive(Clone, Debug)]
enum Deed {
    AddAgent { number: u8, size: u8, reserved: u8 },
    RemoveAgent { number: u8 },
    ResizeAgent { number: u8, size: u8 },
    ToggleAgent { number: u8, active: bool },
    AddFramework { number: u8, roles: u8, suppressed: u8 },
    UpdateFramework { number: u8, roles: u8, suppressed: u8 },
    RemoveFramework { number: u8 },
    ToggleFramework { number: u8, active: bool },
    Recover { which: u8, part: bool, refuse: Option<u8> },
    Reserve { which: u8 },
    Suppress { number: u8, roles: u8 },
    Revive { number: u8, roles: u8 },
    Weight { role: u8, weight: u8 },
    Quota { role: u8, guarantee: u8, limit: Option<u8> },
    Allocate,
    Tick,
}

fn deed() -> impl Strategy<Value = Deed> {
    let number = 0u8..6;
    prop_oneof![
        3 => (number.clone(), 1u8..5, 0u8..4).prop_map(|(number, size, reserved)| Deed::AddAgent { number, size, reserved }),
        1 => number.clone().prop_map(|number| Deed::RemoveAgent { number }),
        1 => (number.clone(), 1u8..5).prop_map(|(number, size)| Deed::ResizeAgent { number, size }),
        1 => (number.clone(), any::<bool>()).prop_map(|(number, active)| Deed::ToggleAgent { number, active }),
        3 => (number.clone(), 1u8..16, 0u8..16).prop_map(|(number, roles, suppressed)| Deed::AddFramework { number, roles, suppressed }),
        1 => (number.clone(), 1u8..16, 0u8..16).prop_map(|(number, roles, suppressed)| Deed::UpdateFramework { number, roles, suppressed }),
        1 => number.clone().prop_map(|number| Deed::RemoveFramework { number }),
        1 => (number.clone(), any::<bool>()).prop_map(|(number, active)| Deed::ToggleFramework { number, active }),
        6 => (any::<u8>(), any::<bool>(), proptest::option::of(0u8..4)).prop_map(|(which, part, refuse)| Deed::Recover { which, part, refuse }),
        1 => any::<u8>().prop_map(|which| Deed::Reserve { which }),
        1 => (number.clone(), 0u8..16).prop_map(|(number, roles)| Deed::Suppress { number, roles }),
        1 => (number.clone(), 0u8..16).prop_map(|(number, roles)| Deed::Revive { number, roles }),
        1 => (0u8..4, 1u8..5).prop_map(|(role, weight)| Deed::Weight { role, weight }),
        1 => (0u8..3, 0u8..6, proptest::option::of(0u8..6)).prop_map(|(role, guarantee, limit)| Deed::Quota { role, guarantee, limit }),
        2 => Just(Deed::Allocate),
        5 => Just(Deed::Tick),
    ]
}

fn chosen(bits: u8) -> BTreeSet<Role> {
    ROLES.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, role)| Role::new(role)).collect()
}

struct Filter {
    framework: FrameworkId,
    role: Role,
    agent: AgentId,
    refused: Resources,
    deadline: Time,
}

struct Framework {
    details: FrameworkDetails,
    active: bool,
}

impl Framework {
    fn wants(&self, role: &Role) -> bool {
        self.active && self.details.roles.contains(role) && !self.details.suppressed_roles.contains(role)
    }
}

/// The simple truth beside the allocator.
#[derive(Default)]
struct Truth {
    agents: BTreeMap<AgentId, (Resources, bool)>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    held: Vec<Offer>,
    filters: Vec<Filter>,
    /// Of cpus: guarantee and limit.
    quotas: BTreeMap<Role, (f64, Option<f64>)>,
}

fn cpus(resources: &Resources) -> f64 {
    let counted = resources.filter(|resource| resource.is_unreserved());
    counted.cpus().map_or(0.0, |cpus| cpus.to_f64())
}

impl Truth {
    fn free(&self, agent: &AgentId) -> Resources {
        let mut free = self.agents[agent].0.clone();
        for offer in self.held.iter().filter(|offer| offer.agent == agent.as_str()) {
            free -= &offer.resources.clone().unallocated();
        }
        free
    }

    fn offered(&mut self, offer: Offer, now: Time) {
        let agent = AgentId::new(&offer.agent);
        let (framework_id, role) = (FrameworkId::new(&offer.framework), Role::new(&offer.role));
        let bare = offer.resources.clone().unallocated();
        assert!(self.agents[&agent].1, "no offer of an inactive agent");
        assert!(self.free(&agent).contains(&bare), "nothing is given twice: {offer:?}");
        assert!(
            bare.iter().all(|resource| resource.is_allocatable_to(&role)),
            "reservations bind: {offer:?}"
        );
        assert!(self.frameworks[&framework_id].wants(&role), "no offer to whom wants none: {offer:?}");
        assert!(worth_it(&bare), "no offer of too little: {offer:?}");
        let refused = self.filters.iter().any(|filter| {
            filter.framework == framework_id
                && filter.role == role
                && filter.agent == agent
                && filter.deadline > now
                && filter.refused.contains(&bare)
        });
        assert!(!refused, "filters are respected until their deadline: {offer:?}");
        let counted = cpus(&bare);
        self.held.push(offer);
        for (limited, (_, limit)) in self.quotas.iter().filter(|(other, _)| role.is_same_or_subrole_of(other))
        {
            let Some(limit) = limit.filter(|_| counted > 0.0) else { continue };
            let consumed = self.consumed(limited);
            assert!(consumed <= limit + 1e-6, "quota limits hold: {limited} has {consumed} of {limit}");
        }
    }

    /// What a role and all below it consume: what they hold of what is not reserved, and what is reserved for them.
    fn consumed(&self, role: &Role) -> f64 {
        let held = self.held.iter().filter(|offer| Role::new(&offer.role).is_same_or_subrole_of(role));
        let held: f64 = held.map(|offer| cpus(&offer.resources)).sum();
        let reserved = self.agents.values().flat_map(|(total, _)| total.iter()).filter(|resource| {
            resource.reservation_role().is_some_and(|other| other.is_same_or_subrole_of(role))
        });
        held + reserved
            .filter(|resource| resource.name().as_str() == "cpus")
            .map(|r| r.as_scalar().unwrap().to_f64())
            .sum::<f64>()
    }

    fn due(&self, role: &Role) -> f64 {
        self.quotas.get(role).map_or(0.0, |(guarantee, _)| (guarantee - self.consumed(role)).max(0.0))
    }

    /// What is free, and what has to remain so for guarantees. `a/b` is the only role below another.
    fn headroom(&self) -> (f64, f64) {
        let free = self.agents.iter().filter(|(_, (_, active))| *active).map(|(id, _)| cpus(&self.free(id)));
        let due = |role: &str| self.due(&Role::new(role));
        (free.sum(), due("a").max(due("a/b")) + due("c"))
    }

    /// After a tick nothing is left that somebody wants.
    fn complete(&self, now: Time) {
        if !self.quotas.is_empty() {
            return;
        }
        for (agent, (_, active)) in &self.agents {
            if !active {
                continue;
            }
            let free = self.free(agent);
            for (id, framework) in &self.frameworks {
                for role in framework.details.roles.iter().filter(|role| framework.wants(role)) {
                    let part = free.allocatable_to(role);
                    let refused = self.filters.iter().any(|filter| {
                        filter.framework == *id
                            && filter.role == *role
                            && filter.agent == *agent
                            && filter.deadline + Duration::from_secs(2) > now
                            && filter.refused.contains(&part)
                    });
                    assert!(
                        !worth_it(&part) || refused,
                        "{part} of {agent} is left, though {id} wants it for {role}"
                    );
                }
            }
        }
    }
}

fn worth_it(resources: &Resources) -> bool {
    let at_least = |name: &str, amount: f64| {
        let found = resources.scalar(&name.into()).map_or(0.0, |scalar| scalar.to_f64());
        found >= amount
    };
    at_least("cpus", 0.01) || at_least("mem", 32.0)
}

fn total(size: u8, reserved: u8) -> Resources {
    let mut result = resources(&format!("cpus:{size};mem:{};ports:[1-{size}]", u32::from(size) * 64));
    if let Some(role) = ["a", "a/b", "c"].get(usize::from(reserved)) {
        let reservation = Reservation::new(ReservationKind::Dynamic, role);
        result.insert(Resource::scalar("cpus", 1.0).with_reservation(reservation));
    }
    result
}

struct Run {
    cluster: Cluster,
    truth: Truth,
}

impl Run {
    fn hear(&mut self) {
        let (offers, rest) = self.cluster.said();
        let now = self.cluster.now;
        let (free, required) = self.truth.headroom();
        for offer in offers {
            self.truth.offered(offer, now);
        }
        let (free_now, required_now) = self.truth.headroom();
        assert!(
            free_now + 1e-6 >= required_now || free - free_now <= required - required_now + 1e-6,
            "headroom is kept: {free} for {required} became {free_now} for {required_now}"
        );
        assert!(rest.iter().all(|effect| *effect == Effect::Wake), "{rest:?}");
    }

    fn details(&self, agent: &AgentId) -> AgentDetails {
        AgentDetails { hostname: agent.to_string(), ..crate::cluster::agent() }
    }

    fn carry_out(&mut self, deed: Deed) {
        let agent_id = |number: u8| AgentId::new(&format!("s{number}"));
        let framework_id = |number: u8| FrameworkId::new(&format!("f{number}"));
        let truth = &mut self.truth;
        match deed {
            Deed::AddAgent { number, size, reserved } => {
                let (id, total) = (agent_id(number), total(size, reserved));
                if truth.agents.insert(id.clone(), (total.clone(), true)).is_some() {
                    truth.held.retain(|offer| offer.agent != id.as_str());
                    truth.filters.retain(|filter| filter.agent != id);
                    self.cluster.tell(Event::RemoveAgent { agent_id: id.clone() });
                }
                self.cluster.add_agent_with(id.as_str(), agent(), total, &[]);
            }
            Deed::RemoveAgent { number } => {
                let id = agent_id(number);
                if truth.agents.remove(&id).is_some() {
                    truth.held.retain(|offer| offer.agent != id.as_str());
                    truth.filters.retain(|filter| filter.agent != id);
                    self.cluster.tell(Event::RemoveAgent { agent_id: id });
                }
            }
            Deed::ResizeAgent { number, size } => {
                let id = agent_id(number);
                // Only agents with nothing held: an overcommitted agent has no simple truth.
                if !truth.agents.contains_key(&id)
                    || truth.held.iter().any(|offer| offer.agent == id.as_str())
                {
                    return;
                }
                let active = truth.agents[&id].1;
                truth.agents.insert(id.clone(), (total(size, 3), active));
                let details = self.details(&id);
                self.cluster.tell(Event::UpdateAgent { agent_id: id, details, total: Some(total(size, 3)) });
            }
            Deed::ToggleAgent { number, active } => {
                let agent_id = agent_id(number);
                if let Some(agent) = truth.agents.get_mut(&agent_id) {
                    agent.1 = active;
                    self.cluster.tell(match active {
                        true => Event::ActivateAgent { agent_id },
                        false => Event::DeactivateAgent { agent_id },
                    });
                }
            }
            Deed::AddFramework { number, roles, suppressed } => {
                let id = framework_id(number);
                if truth.frameworks.contains_key(&id) {
                    return;
                }
                let details = details(roles, suppressed);
                truth.frameworks.insert(id.clone(), Framework { details: details.clone(), active: true });
                self.cluster.add_framework_with(id.as_str(), details);
            }
            Deed::UpdateFramework { number, roles, suppressed } => {
                let framework_id = framework_id(number);
                let Some(framework) = truth.frameworks.get_mut(&framework_id) else { return };
                let details = details(roles, suppressed);
                let old = std::mem::replace(&mut framework.details, details.clone());
                truth.filters.retain(|filter| {
                    let revived = old.suppressed_roles.contains(&filter.role)
                        && !details.suppressed_roles.contains(&filter.role);
                    filter.framework != framework_id || (details.roles.contains(&filter.role) && !revived)
                });
                self.cluster.tell(Event::UpdateFramework { framework_id, details });
            }
            Deed::RemoveFramework { number } => {
                let framework_id = framework_id(number);
                if truth.frameworks.remove(&framework_id).is_some() {
                    truth.held.retain(|offer| offer.framework != framework_id.as_str());
                    truth.filters.retain(|filter| filter.framework != framework_id);
                    self.cluster.tell(Event::RemoveFramework { framework_id });
                }
            }
            Deed::ToggleFramework { number, active } => {
                let framework_id = framework_id(number);
                let Some(framework) = truth.frameworks.get_mut(&framework_id) else { return };
                framework.active = active;
                if active {
                    self.cluster.tell(Event::ActivateFramework { framework_id });
                } else {
                    truth.filters.retain(|filter| filter.framework != framework_id);
                    self.cluster.tell(Event::DeactivateFramework { framework_id });
                }
            }
            Deed::Recover { which, part, refuse } => {
                if truth.held.is_empty() {
                    return;
                }
                let at = usize::from(which) % truth.held.len();
                let mut offer = truth.held.swap_remove(at);
                let mut back = offer.resources.clone();
                if part {
                    back = back.filter(|resource| resource.name().as_str() == "cpus");
                    let rest = &offer.resources - &back;
                    if !rest.is_empty() {
                        truth.held.push(Offer { resources: rest, ..offer.clone() });
                    }
                }
                offer.resources = back;
                self.cluster.recover(&offer, refuse.map(f64::from));
                // A role that was left keeps no filters, as its filters went when it was left.
                let subscribed = truth.frameworks[&FrameworkId::new(&offer.framework)]
                    .details
                    .roles
                    .contains(offer.role.as_str());
                if let (Some(secs), true) =
                    (refuse.filter(|secs| *secs > 0), subscribed && !offer.resources.is_empty())
                {
                    truth.filters.push(Filter {
                        framework: FrameworkId::new(&offer.framework),
                        role: Role::new(&offer.role),
                        agent: AgentId::new(&offer.agent),
                        refused: offer.resources.unallocated(),
                        deadline: self.cluster.now + Duration::from_secs(u64::from(secs)),
                    });
                }
            }
            Deed::Reserve { which } => {
                let usable =
                    |offer: &&mut Offer| offer.role != "*" && offer.resources.unreserved().cpus().is_some();
                let mut candidates: Vec<&mut Offer> = truth.held.iter_mut().filter(usable).collect();
                if candidates.is_empty() {
                    return;
                }
                let at = usize::from(which) % candidates.len();
                let offer = &mut candidates[at];
                let consumed = offer.resources.unreserved().named(&"cpus".into());
                let reservation = Reservation::new(ReservationKind::Dynamic, &offer.role);
                let converted = consumed.push_reservation(&reservation);
                let conversion = messor_types::ResourceConversion { consumed, converted };
                let offered = offer.resources.clone();
                offer.resources = offered.convert([&conversion]).unwrap();
                let (agent_id, framework_id) =
                    (AgentId::new(&offer.agent), FrameworkId::new(&offer.framework));
                let bare = messor_types::ResourceConversion {
                    consumed: conversion.consumed.clone().unallocated(),
                    converted: conversion.converted.clone().unallocated(),
                };
                let total = &mut truth.agents.get_mut(&agent_id).unwrap().0;
                *total = total.convert([&bare]).unwrap();
                self.cluster.tell(Event::UpdateAllocation {
                    framework_id,
                    agent_id,
                    offered,
                    conversions: vec![conversion],
                });
            }
            Deed::Suppress { number, roles } => {
                let id = framework_id(number);
                let Some(framework) = truth.frameworks.get_mut(&id) else { return };
                let meant = if roles == 0 { framework.details.roles.clone() } else { chosen(roles) };
                let meant: Vec<Role> = meant.intersection(&framework.details.roles).cloned().collect();
                framework.details.suppressed_roles.extend(meant);
                self.cluster.tell(Event::SuppressOffers { framework_id: id, roles: chosen(roles) });
            }
            Deed::Revive { number, roles } => {
                let id = framework_id(number);
                let Some(framework) = truth.frameworks.get_mut(&id) else { return };
                let meant = if roles == 0 { framework.details.roles.clone() } else { chosen(roles) };
                let meant: BTreeSet<Role> = meant.intersection(&framework.details.roles).cloned().collect();
                framework.details.suppressed_roles.retain(|role| !meant.contains(role));
                truth.filters.retain(|filter| filter.framework != id || !meant.contains(&filter.role));
                self.cluster.tell(Event::ReviveOffers { framework_id: id, roles: chosen(roles) });
            }
            Deed::Weight { role, weight } => {
                let weights = [(Role::new(ROLES[usize::from(role)]), f64::from(weight))].into();
                self.cluster.tell(Event::UpdateWeights { weights });
            }
            Deed::Quota { role, guarantee, limit } => {
                let role = Role::new(ROLES[usize::from(role)]);
                let limit = limit.map(|limit| limit.max(guarantee));
                let amount = |units: u8| [("cpus", Scalar::from_units(i64::from(units)))];
                let quota = Quota {
                    guarantees: amount(guarantee).into_iter().collect(),
                    limits: limit.into_iter().flat_map(amount).collect(),
                };
                if quota.is_default() {
                    truth.quotas.remove(&role);
                } else {
                    truth.quotas.insert(role.clone(), (f64::from(guarantee), limit.map(f64::from)));
                }
                self.cluster.tell(Event::UpdateQuota { quotas: [(role, quota)].into() });
            }
            Deed::Allocate => self.cluster.tell(Event::Allocate),
            Deed::Tick => {
                self.cluster.pass(1.0);
                self.cluster.tell(Event::Tick);
                self.hear();
                self.truth.complete(self.cluster.now);
            }
        }
        self.hear();
    }
}

fn details(roles: u8, suppressed: u8) -> FrameworkDetails {
    let suppressed = chosen(suppressed).intersection(&chosen(roles)).cloned().collect();
    FrameworkDetails { roles: chosen(roles), suppressed_roles: suppressed, ..framework("") }
}

fn any_course(roles: SorterKind, frameworks: SorterKind, seed: u64, deeds: Vec<Deed>) {
    let cluster =
        Cluster::new(Options { sorters: Sorters { roles, frameworks }, seed, ..Options::default() });
    let mut run = Run { cluster, truth: Truth::default() };
    for deed in deeds {
        run.carry_out(deed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn promises_are_kept_with_drf(seed in 0u64..100, deeds in proptest::collection::vec(deed(), 1..80)) {
        any_course(SorterKind::Drf, SorterKind::Drf, seed, deeds);
    }

    #[test]
    fn promises_are_kept_at_random(seed in 0u64..100, deeds in proptest::collection::vec(deed(), 1..80)) {
        any_course(SorterKind::Random, SorterKind::Random, seed, deeds);
    }

    #[test]
    fn promises_are_kept_with_different_sorters(
        seed in 0u64..100,
        random_roles in any::<bool>(),
        deeds in proptest::collection::vec(deed(), 1..80),
    ) {
        let (roles, frameworks) = if random_roles {
            (SorterKind::Random, SorterKind::Drf)
        } else {
            (SorterKind::Drf, SorterKind::Random)
        };
        any_course(roles, frameworks, seed, deeds);
    }
}
