//! The allocator against the model, on random clusters: after every allocation the model has to find an order of the
//! agents that leads to just these offers. `MESSOR_SEED=N` replays one case and tells its course.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use messor_allocator::{AgentDetails, Effect, Event, FrameworkDetails, Options};
use messor_types::{
    AgentId, FrameworkId, Quota, Reservation, ReservationKind, Resource, ResourceConversion,
    ResourceQuantities, Resources, Role, Scalar,
};

use crate::cluster::{Cluster, agent, framework, resources};
use crate::model::{Agent, Framework, Model, Offers, refusal};

/// Three levels, with two roles side by side at each of the lower ones.
const ROLES: [&str; 7] = ["a", "a/b", "a/b/c", "a/b/f", "a/d", "e", "*"];
const CASES: u64 = 2_500;

struct Case {
    seed: u64,
    rng: Rng,
    cluster: Cluster,
    /// All that explains what was seen so far: they differ in who was served how often.
    models: Vec<Model>,
    is_told: bool,
}

/// Names the seed if the case fails.
impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("MESSOR_SEED={} replays this case", self.seed);
        }
    }
}

fn amounts(cpus: i64, mem: i64) -> [(&'static str, Scalar); 2] {
    [("cpus", Scalar::from_units(cpus)), ("mem", Scalar::from_units(mem))]
}

impl Case {
    fn new(seed: u64, is_told: bool) -> Case {
        let cluster = Cluster::new(Options { seed, ..Options::default() });
        Case { seed, rng: Rng::with_seed(seed), cluster, models: vec![Model::default()], is_told }
    }

    fn tell(&mut self, event: Event, change: impl Fn(&mut Model)) {
        if self.is_told {
            eprintln!("{event:?}");
        }
        // Without the allocator's audit of itself, which `random` has after every event: this is about the outcome.
        self.cluster.allocator.handle(self.cluster.now, event, &mut self.cluster.effects);
        for model in &mut self.models {
            change(model);
            model.forget();
        }
    }

    fn some_roles(&mut self, most: usize) -> BTreeSet<Role> {
        let count = self.rng.usize(1..=most);
        (0..count).map(|_| Role::new(self.rng.choice(ROLES).unwrap())).collect()
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.u32(0..count) == 0
    }

    fn total(&mut self) -> Resources {
        let (cpus, mem) = (self.rng.u32(1..5), self.rng.u32(0..4) * 40);
        let mut total = resources(&format!("cpus:{cpus};mem:{mem};ports:[1-{cpus}]"));
        for _ in 0..self.rng.usize(0..3) {
            let role = self.rng.choice(&ROLES[..6]).unwrap();
            let kind = if self.rng.bool() { ReservationKind::Dynamic } else { ReservationKind::Static };
            let name = if self.rng.bool() { "cpus" } else { "mem" };
            let amount = f64::from(self.rng.u32(1..3)) * if name == "mem" { 32.0 } else { 1.0 };
            let mut resource = Resource::scalar(name, amount).with_reservation(Reservation::new(kind, role));
            if *role == "a" && self.rng.bool() {
                resource = resource.with_reservation(Reservation::new(ReservationKind::Dynamic, "a/b"));
            }
            total.insert(resource);
        }
        if self.one_in(4) {
            total.insert(Resource::scalar("cpus", 1.0).with_revocable());
        }
        if self.one_in(8) {
            total.insert(Resource::scalar("gpus", 1.0));
        }
        total
    }

    fn framework_details(&mut self) -> FrameworkDetails {
        let mut details = FrameworkDetails { roles: self.some_roles(3), ..framework("") };
        details.suppressed_roles = if self.one_in(4) {
            details.roles.iter().filter(|_| self.rng.bool()).cloned().collect()
        } else {
            BTreeSet::new()
        };
        details.capabilities.revocable_resources = self.rng.bool();
        details.capabilities.gpu_resources = self.one_in(3);
        details.capabilities.reservation_refinement = !self.one_in(4);
        if self.one_in(6) {
            let sets = [vec![], vec![amounts(2, 0).into_iter().collect()]];
            let set: Vec<ResourceQuantities> = self.rng.choice(sets).unwrap();
            let role = details.roles.first().unwrap().clone();
            details.min_allocatable_resources = BTreeMap::from([(role, set)]);
        }
        details
    }

    fn any_agent(&mut self) -> Option<AgentId> {
        self.rng.choice(self.models[0].agents.keys().cloned().collect::<Vec<_>>())
    }

    fn any_framework(&mut self) -> Option<FrameworkId> {
        self.rng.choice(self.models[0].frameworks.keys().cloned().collect::<Vec<_>>())
    }

    fn any_held(&mut self) -> Option<((FrameworkId, Role, AgentId), Resources)> {
        let held = self.models[0].held.iter().map(|(key, held)| (key.clone(), held.clone()));
        self.rng.choice(held.collect::<Vec<_>>())
    }

    fn add_agent(&mut self) {
        let agent_id = AgentId::new(&format!("s{}", self.rng.u8(0..3)));
        if self.models[0].agents.contains_key(&agent_id) {
            return;
        }
        let mut details = AgentDetails { hostname: agent_id.to_string(), ..agent() };
        details.capabilities.hierarchical_role = !self.one_in(8);
        details.capabilities.multi_role = !self.one_in(12);
        let total = self.total();
        let added = Agent { details: details.clone(), total: total.clone(), active: true };
        let event = Event::AddAgent { agent_id: agent_id.clone(), details, total, used: BTreeMap::new() };
        self.tell(event, |model| drop(model.agents.insert(agent_id.clone(), added.clone())));
    }

    fn change_agent(&mut self) {
        let Some(agent_id) = self.any_agent() else { return };
        let id = agent_id.clone();
        match self.rng.u8(0..4) {
            0 => self.tell(Event::RemoveAgent { agent_id }, |model| {
                model.agents.remove(&id);
                model.held.retain(|(_, _, agent), _| *agent != id);
                model.filters.retain(|filter| filter.agent != id);
            }),
            1 => self.tell(Event::DeactivateAgent { agent_id }, |model| {
                model.agents.get_mut(&id).unwrap().active = false;
            }),
            2 => self.tell(Event::ActivateAgent { agent_id }, |model| {
                model.agents.get_mut(&id).unwrap().active = true;
            }),
            _ => {
                // An operator reserves what is free.
                let free = self.models[0].available(&agent_id).unreserved().non_revocable().scalars();
                let role = self.rng.choice(&ROLES[..6]).unwrap();
                let converted = free.push_reservation(&Reservation::new(ReservationKind::Dynamic, role));
                let conversions = vec![ResourceConversion { consumed: free, converted }];
                let total = self.models[0].agents[&id].total.convert(&conversions).unwrap();
                let event = Event::UpdateAvailable { ticket: 1, agent_id, conversions };
                self.tell(event, |model| model.agents.get_mut(&id).unwrap().total = total.clone());
            }
        }
    }

    fn add_framework(&mut self) {
        let framework_id = FrameworkId::new(&format!("f{}", self.rng.u8(0..5)));
        if self.models[0].frameworks.contains_key(&framework_id) {
            return;
        }
        let details = self.framework_details();
        let added = Framework { details: details.clone(), active: true };
        let id = framework_id.clone();
        let event = Event::AddFramework { framework_id, details, active: true, used: BTreeMap::new() };
        self.tell(event, |model| drop(model.frameworks.insert(id.clone(), added.clone())));
    }

    fn change_framework(&mut self) {
        let Some(framework_id) = self.any_framework() else { return };
        let id = framework_id.clone();
        let roles = if self.rng.bool() { BTreeSet::new() } else { self.some_roles(2) };
        let meant = |framework: &Framework| -> BTreeSet<Role> {
            let own = &framework.details.roles;
            if roles.is_empty() { own.clone() } else { own.intersection(&roles).cloned().collect() }
        };
        match self.rng.u8(0..6) {
            0 => self.tell(Event::RemoveFramework { framework_id }, |model| {
                model.frameworks.remove(&id);
                model.held.retain(|(framework, _, _), _| *framework != id);
            }),
            1 => self.tell(Event::DeactivateFramework { framework_id }, |model| {
                model.frameworks.get_mut(&id).unwrap().active = false;
                model.filters.retain(|filter| filter.framework != id);
            }),
            2 => self.tell(Event::ActivateFramework { framework_id }, |model| {
                model.frameworks.get_mut(&id).unwrap().active = true;
            }),
            3 => {
                let details = self.framework_details();
                let event = Event::UpdateFramework { framework_id, details: details.clone() };
                self.tell(event, |model| {
                    let framework = model.frameworks.get_mut(&id).unwrap();
                    let old = std::mem::replace(&mut framework.details, details.clone());
                    model.filters.retain(|filter| {
                        let is_revived = old.suppressed_roles.contains(&filter.role)
                            && !details.suppressed_roles.contains(&filter.role);
                        filter.framework != id || (details.roles.contains(&filter.role) && !is_revived)
                    });
                });
            }
            4 => self.tell(Event::SuppressOffers { framework_id, roles: roles.clone() }, |model| {
                let framework = model.frameworks.get_mut(&id).unwrap();
                framework.details.suppressed_roles.extend(meant(framework));
            }),
            _ => self.tell(Event::ReviveOffers { framework_id, roles: roles.clone() }, |model| {
                let framework = model.frameworks.get_mut(&id).unwrap();
                let meant = meant(framework);
                framework.details.suppressed_roles.retain(|role| !meant.contains(role));
                model.filters.retain(|filter| filter.framework != id || !meant.contains(&filter.role));
            }),
        }
    }

    /// Something that is held comes back, or a part of it.
    fn recover(&mut self) {
        let Some((key, held)) = self.any_held() else { return };
        let back = match self.rng.u8(0..4) {
            0 => held.filter(|resource| resource.name().as_str() == "cpus"),
            1 => held.shrunk_to(|_| Some(Scalar::from_units(1))).scalars(),
            _ => held,
        };
        if back.is_empty() {
            return;
        }
        let refuse = (!self.one_in(3)).then(|| self.rng.u64(0..5));
        let event = Event::RecoverResources {
            framework_id: key.0.clone(),
            agent_id: key.2.clone(),
            resources: back.clone().allocated_to(&key.1),
            refuse: refuse.map(Duration::from_secs),
            allocated: false,
        };
        let now = self.cluster.now;
        self.tell(event, |model| {
            *model.held.get_mut(&key).unwrap() -= &back;
            if let Some(seconds) = refuse.filter(|seconds| *seconds > 0) {
                model.refuse(key.clone(), back.clone(), now + refusal(seconds));
            }
        });
    }

    /// A framework reserves what it was offered.
    fn reserve(&mut self) {
        let Some((key, held)) = self.any_held() else { return };
        let consumed = held.unreserved().non_revocable().scalars();
        if consumed.is_empty() || key.1.is_star() {
            return;
        }
        let reservation = Reservation::new(ReservationKind::Dynamic, key.1.as_str());
        let converted = consumed.push_reservation(&reservation);
        let conversion = |role: Option<&Role>| {
            let of = |resources: &Resources| match role {
                Some(role) => resources.clone().allocated_to(role),
                None => resources.clone(),
            };
            ResourceConversion { consumed: of(&consumed), converted: of(&converted) }
        };
        let event = Event::UpdateAllocation {
            framework_id: key.0.clone(),
            agent_id: key.2.clone(),
            offered: held.clone().allocated_to(&key.1),
            conversions: vec![conversion(Some(&key.1))],
        };
        self.tell(event, |model| {
            let held = model.held.get_mut(&key).unwrap();
            *held = held.convert(&[conversion(None)]).unwrap();
            let agent = model.agents.get_mut(&key.2).unwrap();
            agent.total = agent.total.convert(&[conversion(None)]).unwrap();
        });
    }

    fn configure(&mut self) {
        let role = Role::new(self.rng.choice(ROLES).unwrap());
        match self.rng.u8(0..6) {
            0 => {
                let weight = self.rng.choice([0.5, 1.0, 2.0, 3.0]).unwrap();
                let event = Event::UpdateWeights { weights: BTreeMap::from([(role.clone(), weight)]) };
                self.tell(event, |model| {
                    model.weights.insert(role.clone(), weight);
                });
            }
            1 => {
                let list = (!self.one_in(2)).then(|| BTreeSet::from(["s0".to_string(), "s2".to_string()]));
                let event = Event::UpdateWhitelist { whitelist: list.clone() };
                self.tell(event, |model| model.whitelist = list.clone());
            }
            _ => {
                let (cpus, mem) = (self.rng.i64(0..5), self.rng.i64(0..3) * 50);
                let more = self.rng.i64(0..4);
                let quota = match self.rng.u8(0..4) {
                    0 => Quota::default(),
                    1 => Quota { guarantees: amounts(cpus, mem).into_iter().collect(), ..Quota::default() },
                    2 => Quota { limits: amounts(cpus, mem).into_iter().collect(), ..Quota::default() },
                    _ => Quota {
                        guarantees: amounts(cpus, mem).into_iter().collect(),
                        limits: amounts(cpus + more, mem + 40 * more).into_iter().collect(),
                    },
                };
                let event = Event::UpdateQuota { quotas: BTreeMap::from([(role.clone(), quota.clone())]) };
                self.tell(event, |model| {
                    if quota.is_default() {
                        model.quotas.remove(&role);
                    } else {
                        model.quotas.insert(role.clone(), quota.clone());
                    }
                });
            }
        }
    }

    /// What must be so whatever the order was.
    fn check_safety(model: &Model, made: &Offers) {
        let mut after = model.clone();
        for (key, offer) in made {
            let (framework, role, agent) = key;
            let wanting = &model.frameworks[framework];
            let is_wanted = wanting.active
                && wanting.details.roles.contains(role)
                && !wanting.details.suppressed_roles.contains(role);
            assert!(is_wanted, "no offer to whom wants none: {key:?}");
            let able = &wanting.details.capabilities;
            for resource in offer {
                let reserved = resource.reservation_role();
                let is_open = reserved.is_none_or(|other| role.is_same_or_subrole_of(other));
                assert!(is_open, "reservations bind: {resource} for {key:?}");
                let is_able = able.revocable_resources || !resource.is_revocable();
                assert!(is_able, "revocable resources are for whom can take them: {key:?}");
            }
            let refused = model.filters.iter().any(|filter| {
                (&filter.framework, &filter.role, &filter.agent) == (framework, role, agent)
                    && filter.refused.contains(offer)
            });
            assert!(!refused, "filters are respected: {key:?}");
            let free = after.available(agent);
            assert!(free.contains(offer), "nothing is given twice: {offer} of {free} to {key:?}");
            *after.held.entry(key.clone()).or_default() += offer;
        }
        for (role, quota) in &model.quotas {
            let (before, after) = (model.consumed(role), after.consumed(role));
            for (name, limit) in quota.limits.iter() {
                let (before, after) = (before.get(name), after.get(name));
                assert!(after <= limit || after == before, "{role} has {after} {name} of {limit}");
            }
        }
        // At every level: what is due below a role has room within its limits.
        for (role, quota) in &model.quotas {
            for (name, limit) in quota.limits.iter() {
                let lack = |model: &Model| {
                    model.needed_below(Some(role)).get(name) + model.consumed(role).get(name) - limit
                };
                let (before, after) = (lack(model), lack(&after));
                let is_kept = after <= Scalar::ZERO || after <= before;
                assert!(is_kept, "room for guarantees below {role}: {before} {name} lacked, {after} do now");
            }
        }
        let (free, needed) = (model.free(), model.needed_below(None));
        let (free_after, needed_after) = (after.free(), after.needed_below(None));
        for (name, amount) in needed_after.iter() {
            let is_kept = free_after.get(name) >= amount
                || free.get(name) - free_after.get(name) <= needed.get(name) - amount;
            assert!(is_kept, "room for guarantees: {free} for {needed} is {free_after} for {needed_after}");
        }
    }

    fn tick(&mut self) {
        self.cluster.pass(1.0);
        self.cluster.allocator.handle(self.cluster.now, Event::Tick, &mut self.cluster.effects);
        let (list, rest) = self.cluster.said();
        let is_expected =
            |effect: &Effect| matches!(effect, Effect::Wake | Effect::Available { outcome: Ok(()), .. });
        assert!(rest.iter().all(is_expected), "{rest:?}");
        let mut made = Offers::new();
        for offer in list {
            let key =
                (FrameworkId::new(&offer.framework), Role::new(&offer.role), AgentId::new(&offer.agent));
            let twice = made.insert(key, offer.resources.unallocated());
            assert!(twice.is_none(), "one offer of an agent to a framework in a role");
        }
        if self.is_told {
            eprintln!("{:?}: {made:#?}", self.cluster.now);
        }
        let mut found: Vec<Model> = Vec::new();
        for model in &mut self.models {
            model.expire(self.cluster.now);
            Case::check_safety(model, &made);
            for explanation in model.explain(&made) {
                if !found.iter().any(|other| other.served == explanation.served) {
                    found.push(explanation);
                }
            }
        }
        assert!(!found.is_empty(), "nothing explains {made:#?} on {:#?}", self.models[0]);
        found.truncate(64);
        self.models = found;
    }

    fn step(&mut self) {
        match self.rng.u8(0..20) {
            0..4 => self.add_agent(),
            4 => self.change_agent(),
            5..9 => self.add_framework(),
            9..11 => self.change_framework(),
            11..16 => self.recover(),
            16 => self.reserve(),
            17..19 => self.configure(),
            _ => {}
        }
        if self.rng.bool() {
            self.tick();
        }
    }
}

// The one place of the crate's tests that looks at the environment: for the seed.
#[allow(clippy::disallowed_methods)]
fn run(seeds: std::ops::Range<u64>) {
    let seeds = match std::env::var("MESSOR_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MESSOR_SEED is a number");
            if seeds.contains(&seed) { seed..seed + 1 } else { return }
        }
        Err(_) => seeds,
    };
    let is_told = seeds.end - seeds.start == 1;
    for seed in seeds {
        let mut case = Case::new(seed, is_told);
        for _ in 0..20 {
            case.step();
        }
        case.tick();
    }
}

// Four parts, so that they run side by side.

#[test]
fn random_clusters_1() {
    run(0..CASES);
}

#[test]
fn random_clusters_2() {
    run(CASES..2 * CASES);
}

#[test]
fn random_clusters_3() {
    run(2 * CASES..3 * CASES);
}

#[test]
fn random_clusters_4() {
    run(3 * CASES..4 * CASES);
}
