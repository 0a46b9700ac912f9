//! Priority between roles, and preemption: what has to go, for whom, and what may stay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use messor_allocator::{Effect, Event, Held, Options, Preemption, Revocable};
use messor_types::{
    AgentId, FrameworkId, OfferId, Quota, ResourceLimits, ResourceName, ResourceQuantities, Role, Scalar,
    TaskId,
};

use crate::cluster::{Cluster, Offer, agent, resources, to_whom};
use crate::model::{Agent, Model, with_ancestors};

/// An offer that is outstanding, or a task.
#[derive(Clone, Debug)]
struct Unit {
    number: u64,
    is_task: bool,
    leaving: bool,
    offer: Offer,
}

/// A cluster with what a master knows of offers and tasks.
struct Market {
    cluster: Cluster,
    units: Vec<Unit>,
    next: u64,
}

fn options(priorities: &[(&str, i32)]) -> Options {
    Options {
        role_priorities: priorities.iter().map(|(role, priority)| (Role::new(role), *priority)).collect(),
        preemption_delay: Duration::from_secs(5),
        ..Options::default()
    }
}

impl Market {
    fn new(priorities: &[(&str, i32)]) -> Market {
        Market { cluster: Cluster::new(options(priorities)), units: Vec::new(), next: 0 }
    }

    fn quota(&mut self, role: &str, guarantees: &str, limits: &str) {
        let limits = ResourceQuantities::parse(limits).unwrap();
        let quota = Quota {
            guarantees: ResourceQuantities::parse(guarantees).unwrap(),
            limits: limits.iter().map(|(name, amount)| (name.clone(), amount)).collect::<ResourceLimits>(),
        };
        self.cluster.tell(Event::UpdateQuota { quotas: BTreeMap::from([(Role::new(role), quota)]) });
    }

    fn add(&mut self, is_task: bool, offer: Offer) -> u64 {
        self.next += 1;
        self.units.push(Unit { number: self.next, is_task, leaving: false, offer });
        self.next
    }

    /// One interval later: the offers made, and what was decided.
    fn tick(&mut self) -> (Vec<Offer>, Vec<Preemption>) {
        self.cluster.pass(1.0);
        self.cluster.tell(Event::Tick);
        let (mut offers, mut decided) = (Vec::new(), Vec::new());
        loop {
            let (more, rest) = self.cluster.said();
            offers.extend(more);
            let asked = rest.iter().find_map(|effect| match effect {
                Effect::AskHeld { roles } => Some(roles.clone()),
                _ => None,
            });
            for effect in rest {
                match effect {
                    Effect::Preempt(preemption) => decided.push(preemption),
                    Effect::Wake | Effect::AskHeld { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            match asked {
                // Offers of this tick are known by then.
                Some(roles) => {
                    for offer in std::mem::take(&mut offers) {
                        self.add(false, offer);
                    }
                    let held = self.held(&roles);
                    self.cluster.tell(Event::Held { held });
                }
                None => return (offers, decided),
            }
        }
    }

    fn held(&self, roles: &BTreeSet<Role>) -> Vec<Held> {
        let asked = |unit: &&Unit| unit.leaving || roles.contains(unit.offer.role.as_str());
        let held = self.units.iter().rev().filter(asked).map(|unit| Held {
            what: match unit.is_task {
                true => Revocable::Tasks(vec![TaskId::new(&unit.number.to_string())]),
                false => Revocable::Offer(OfferId::new(&unit.number.to_string())),
            },
            framework_id: FrameworkId::new(&unit.offer.framework),
            agent_id: AgentId::new(&unit.offer.agent),
            role: Role::new(&unit.offer.role),
            amounts: unit.offer.resources.quantities(),
            leaving: unit.leaving,
        });
        held.collect()
    }

    /// Takes the offers that are made and uses each for as many tasks of this size as fit. Returns their numbers.
    fn launch(&mut self, size: &str) -> Vec<u64> {
        let mut numbers = Vec::new();
        for offer in self.tick().0 {
            let part = resources(size).allocated_to(&Role::new(&offer.role));
            let mut rest = offer.resources.clone();
            while rest.contains(&part) {
                rest -= &part;
                numbers.push(self.add(true, Offer { resources: part.clone(), ..offer.clone() }));
            }
            if !rest.is_empty() {
                self.cluster.recover_part(&offer, rest, None, false);
            }
        }
        numbers
    }

    fn end(&mut self, number: u64) {
        let at = self.units.iter().position(|unit| unit.number == number).unwrap();
        let unit = self.units.remove(at);
        self.cluster.recover(&unit.offer, None);
    }

    /// What the master does: offers end at once, tasks after a while.
    fn carry_out(&mut self, preemption: &Preemption) {
        for number in victims(preemption) {
            let unit = self.units.iter_mut().find(|unit| unit.number == number).unwrap();
            unit.leaving = true;
            if !unit.is_task {
                self.end(number);
            }
        }
    }

    /// Ticks until something is decided, which has to be so within a minute.
    fn decision(&mut self) -> Preemption {
        for _ in 0..60 {
            if let Some(decided) = self.tick().1.pop() {
                return decided;
            }
        }
        panic!("nothing is decided");
    }

    fn nothing_is_decided(&mut self) {
        for _ in 0..15 {
            let decided = self.tick().1;
            assert!(decided.is_empty(), "{decided:?}");
        }
    }
}

fn victims(preemption: &Preemption) -> Vec<u64> {
    let number = |text: &str| text.parse().unwrap();
    let of = |(held, _): &(Held, i32)| match &held.what {
        Revocable::Offer(id) => number(id.as_str()),
        Revocable::Tasks(ids) => number(ids[0].as_str()),
    };
    preemption.victims.iter().map(of).collect()
}

const PRIORITIES: [(&str, i32); 2] = [("production", 100), ("batch", -10)];

/// Batch fills two agents with eight tasks; production is guaranteed three cpus.
fn full(priorities: &[(&str, i32)]) -> (Market, Vec<u64>) {
    let mut market = Market::new(priorities);
    market.cluster.add_framework("b", "batch");
    market.cluster.add_agent("s1", "cpus:4;mem:400");
    market.cluster.add_agent("s2", "cpus:4;mem:400");
    let tasks = market.launch("cpus:1;mem:100");
    assert_eq!(tasks.len(), 8);
    market.quota("production", "cpus:3;mem:250", "");
    (market, tasks)
}

#[test]
fn roles_of_higher_priority_are_offered_first() {
    let order = |priorities: &[(&str, i32)]| {
        let mut cluster = Cluster::new(options(priorities));
        cluster.add_framework("p", "a/production");
        cluster.add_framework("o", "other");
        // Shares say that it is the other's turn.
        let used = resources("cpus:4").allocated_to(&Role::new("a/production"));
        cluster.add_agent_with("s0", agent(), resources("cpus:4"), &[("p", used)]);
        cluster.add_agent("s1", "cpus:1");
        to_whom(&cluster.settle())
    };
    assert_eq!(order(&[]), ["o s1"]);
    assert_eq!(order(&[("a/production", 1)]), ["p s1"]);
    assert_eq!(order(&[("a", 1)]), ["p s1"], "a role has the priority of the one above");
    assert_eq!(order(&[("other", -1)]), ["p s1"], "no priority is 0");
    assert_eq!(order(&[("a", 1), ("other", 1)]), ["o s1"], "among equals shares decide");
}

#[test]
fn the_newest_tasks_go_and_no_more_than_are_needed() {
    let (mut market, tasks) = full(&PRIORITIES);
    // Nobody wants it yet.
    market.nothing_is_decided();
    market.cluster.add_framework("p", "production");
    let before = market.cluster.now;
    let decided = market.decision();
    let waited = market.cluster.now.since(before);
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(8), "{waited:?}");
    assert_eq!(victims(&decided), [tasks[7], tasks[6], tasks[5]], "newest first");
    assert_eq!((decided.role.as_str(), decided.priority), ("production", 100));
    assert_eq!(decided.lacking.to_string(), "cpus:3; mem:250");
    assert!(decided.victims.iter().all(|(_, priority)| *priority == -10));
    market.carry_out(&decided);
    // What is being killed counts as free, however long it takes.
    market.nothing_is_decided();
    for number in victims(&decided) {
        market.end(number);
    }
    let (offers, decided) = market.tick();
    assert!(decided.is_empty() && offers.iter().all(|offer| offer.framework == "p"), "{offers:?}");
    let cpus: f64 = offers.iter().map(|offer| offer.resources.cpus().unwrap().to_f64()).sum();
    assert_eq!(cpus, 3.0);
    let metrics: BTreeMap<String, f64> = market.cluster.allocator.metrics().into_iter().collect();
    let metric = |name: &str| metrics[&format!("allocator/mesos/{name}")];
    assert_eq!(
        (metric("preemptions"), metric("preempted_tasks"), metric("preempted_offers")),
        (1.0, 3.0, 0.0)
    );
    assert_eq!(metric("preemption_waiting_roles"), 0.0);
}

#[test]
fn without_the_flag_nothing_is_asked_and_nothing_told() {
    let (mut market, _) = full(&[]);
    market.cluster.add_framework("p", "production");
    for _ in 0..20 {
        market.cluster.pass(1.0);
        market.cluster.tell(Event::Tick);
        assert!(market.cluster.said().1.iter().all(|effect| *effect == Effect::Wake));
    }
    assert!(market.cluster.allocator.metrics().iter().all(|(name, _)| !name.contains("preempt")));
}

#[test]
fn who_does_not_want_offers_gets_nothing_killed() {
    let (mut market, _) = full(&PRIORITIES);
    market.cluster.add_framework("p", "production");
    market.cluster.suppress("p", "");
    market.nothing_is_decided();
    market.cluster.revive("p", "");
    market.cluster.tell(Event::DeactivateFramework { framework_id: FrameworkId::new("p") });
    market.nothing_is_decided();
}

#[test]
fn nobody_loses_to_an_equal() {
    let (mut market, _) = full(&[("production", 1), ("batch", 1)]);
    market.cluster.add_framework("p", "production");
    market.nothing_is_decided();
}

#[test]
fn nothing_goes_while_what_is_free_suffices() {
    let (mut market, tasks) = full(&PRIORITIES);
    for number in &tasks[..3] {
        market.end(*number);
    }
    // Three are free; production declines them again and again, and holds nothing.
    market.cluster.add_framework("p", "production");
    for _ in 0..30 {
        let (offers, decided) = market.tick();
        assert!(decided.is_empty(), "{decided:?}");
        for offer in offers {
            market.cluster.recover(&offer, Some(5.0));
        }
    }
}

#[test]
fn offers_go_before_tasks() {
    let (mut market, tasks) = full(&PRIORITIES);
    market.quota("production", "", "");
    market.end(tasks[0]);
    market.end(tasks[1]);
    let offers = market.tick().0;
    let held: Vec<u64> = offers.into_iter().map(|offer| market.add(false, offer)).collect();
    market.quota("production", "cpus:3", "");
    market.cluster.add_framework("p", "production");
    let decided = market.decision();
    let gone = victims(&decided);
    assert_eq!(gone.iter().filter(|number| held.contains(number)).count(), held.len(), "{gone:?}");
    assert_eq!(gone.last(), Some(&tasks[7]));
    assert_eq!(gone.len(), held.len() + 1);
}

#[test]
fn the_lowest_priority_goes_first_and_what_is_guaranteed_stays() {
    let mut market = Market::new(&[("production", 100), ("batch", -10), ("scratch", -20)]);
    market.cluster.add_framework("s", "scratch/x");
    market.cluster.add_agent("s1", "cpus:4");
    let scratch = market.launch("cpus:1");
    market.cluster.add_framework("b", "batch");
    market.cluster.suppress("s", "");
    market.cluster.add_agent("s2", "cpus:4");
    let batch = market.launch("cpus:1");
    // Of what is guaranteed to the role above scratch/x, three have to stay; of batch two.
    market.quota("scratch", "cpus:3", "");
    market.quota("batch", "cpus:2", "");
    market.quota("production", "cpus:8", "");
    market.cluster.add_framework("p", "production");
    let decided = market.decision();
    assert_eq!(victims(&decided), [scratch[3], batch[3], batch[2]]);
    market.carry_out(&decided);
    // There is nothing left to take.
    market.nothing_is_decided();
}

/// What stands in the way may be a limit of a role above, and not that nothing is free.
#[test]
fn room_below_a_limit_is_made_where_it_is_used() {
    let mut market = Market::new(&[("team/production", 1)]);
    market.cluster.add_framework("b", "team/batch");
    market.cluster.add_framework("o", "other");
    market.quota("team", "", "cpus:4");
    market.cluster.suppress("o", "");
    market.cluster.add_agent("s1", "cpus:4");
    let batch = market.launch("cpus:1");
    market.cluster.suppress("b", "");
    market.cluster.revive("o", "");
    market.cluster.add_agent("s2", "cpus:2");
    market.launch("cpus:1");
    market.cluster.suppress("o", "");
    // The other's tasks are newer, but it is the team's limit that is in the way.
    market.quota("team", "cpus:2", "cpus:4");
    market.quota("team/production", "cpus:2", "");
    market.cluster.add_framework("p", "team/production");
    let decided = market.decision();
    assert_eq!(victims(&decided), [batch[3], batch[2]]);
}

#[test]
fn agents_that_the_role_cannot_use_are_spared() {
    let mut market = Market::new(&PRIORITIES);
    market.cluster.add_framework("b", "batch");
    let mut far = agent();
    far.capabilities.hierarchical_role = false;
    market.cluster.add_agent("near", "cpus:2");
    let near = market.launch("cpus:1");
    market.cluster.add_agent_with("far", far, resources("cpus:2"), &[]);
    market.launch("cpus:1");
    market.quota("production", "cpus:3", "");
    market.cluster.add_framework("p", "production/web");
    let decided = market.decision();
    assert_eq!(victims(&decided), [near[1], near[0]], "the newer ones are where it cannot go");
}

// Any course of events.

const ROLES: [&str; 6] = ["a", "a/b", "a/c", "a/c/d", "e", "*"];

struct Case {
    seed: u64,
    rng: Rng,
    market: Market,
    priorities: BTreeMap<Role, i32>,
    model: Model,
    decisions: usize,
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.seed);
        }
    }
}

impl Case {
    fn new(seed: u64) -> Case {
        let mut rng = Rng::with_seed(seed);
        let mut priorities = vec![("a/c", 5)];
        for role in ["a", "a/b", "e", "*"] {
            if rng.bool() {
                priorities.push((role, rng.i32(-2..3)));
            }
        }
        let mut market = Market::new(&priorities);
        market.cluster =
            Cluster::new(Options { seed, preemption_delay: Duration::from_secs(1), ..options(&priorities) });
        // This is about the outcome, and about many cases.
        market.cluster.is_audited = seed.is_multiple_of(16);
        let priorities = priorities.into_iter().map(|(role, at)| (Role::new(role), at)).collect();
        Case { seed, rng, market, priorities, model: Model::default(), decisions: 0 }
    }

    fn priority(&self, role: &Role) -> i32 {
        with_ancestors(role).iter().find_map(|role| self.priorities.get(role).copied()).unwrap_or(0)
    }

    /// The model with what is held, but for what is leaving and these.
    fn without(&self, gone: &[u64]) -> Model {
        let mut model = self.model.clone();
        for unit in self.market.units.iter().filter(|unit| !unit.leaving && !gone.contains(&unit.number)) {
            let offer = &unit.offer;
            let key =
                (FrameworkId::new(&offer.framework), Role::new(&offer.role), AgentId::new(&offer.agent));
            *model.held.entry(key).or_default() += &offer.resources.clone().unallocated();
        }
        model
    }

    fn set_quota(&mut self, role: &str) {
        let (cpus, mem) = (self.rng.u32(0..10), self.rng.u32(0..4) * 100);
        let limited = self.rng.u8(0..3) == 0;
        let guarantees = format!("cpus:{cpus};mem:{mem}");
        let limits = if limited { format!("cpus:{}", cpus + 1) } else { String::new() };
        self.market.quota(role, &guarantees, &limits);
        let limits = ResourceQuantities::parse(&limits).unwrap();
        let quota = Quota {
            guarantees: ResourceQuantities::parse(&guarantees).unwrap(),
            limits: limits.iter().map(|(name, amount)| (name.clone(), amount)).collect(),
        };
        if quota.is_default() {
            self.model.quotas.remove(&Role::new(role));
        } else {
            self.model.quotas.insert(Role::new(role), quota);
        }
    }

    /// Everybody takes what there is, and then some are guaranteed something.
    fn fill_and_guarantee(&mut self) {
        for role in self.model.quotas.keys().cloned().collect::<Vec<_>>() {
            self.market.quota(role.as_str(), "", "");
        }
        self.model.quotas.clear();
        for _ in 0..4 {
            self.tick();
        }
        for role in &ROLES[..5] {
            if self.rng.bool() {
                self.set_quota(role);
            }
        }
    }

    fn step(&mut self) {
        let id = self.rng.u8(0..4);
        match self.rng.u8(0..24) {
            0 | 1 => {
                let (agent_id, cpus) = (AgentId::new(&format!("s{id}")), self.rng.u32(2..7));
                if !self.model.agents.contains_key(&agent_id) {
                    let total = format!("cpus:{cpus};mem:{}", self.rng.u32(2..7) * 100);
                    self.market.cluster.add_agent(agent_id.as_str(), &total);
                    let added = Agent { details: agent(), total: resources(&total), active: true };
                    self.model.agents.insert(agent_id, added);
                }
            }
            2 | 3 => {
                let framework_id = FrameworkId::new(&format!("f{id}"));
                if !self.model.frameworks.contains_key(&framework_id) {
                    let role = self.rng.choice(ROLES).unwrap();
                    self.market.cluster.add_framework(framework_id.as_str(), role);
                    let details = crate::cluster::framework(role);
                    let added = crate::model::Framework { details, active: true };
                    self.model.frameworks.insert(framework_id, added);
                }
            }
            4 => {
                let framework_id = FrameworkId::new(&format!("f{id}"));
                let Some(framework) = self.model.frameworks.get_mut(&framework_id) else { return };
                if framework.details.suppressed_roles.is_empty() {
                    framework.details.suppressed_roles = framework.details.roles.clone();
                    self.market.cluster.suppress(framework_id.as_str(), "");
                } else {
                    framework.details.suppressed_roles.clear();
                    self.market.cluster.revive(framework_id.as_str(), "");
                }
            }
            5 => {
                let role = self.rng.choice(&ROLES[..5]).unwrap();
                self.set_quota(role);
            }
            6 | 7 => {
                let tasks: Vec<u64> = self.market.units.iter().map(|unit| unit.number).collect();
                if let Some(number) = self.rng.choice(tasks) {
                    self.market.end(number);
                }
            }
            8 => {
                let leaving = self.market.units.iter().filter(|unit| unit.leaving);
                for number in leaving.map(|unit| unit.number).collect::<Vec<_>>() {
                    self.market.end(number);
                }
            }
            _ => {}
        }
        self.tick();
    }

    fn tick(&mut self) {
        let (offers, decided) = self.market.tick();
        // Each decision is judged with those before it done.
        for preemption in decided {
            self.check(&preemption);
            for number in victims(&preemption) {
                self.market.units.iter_mut().find(|unit| unit.number == number).unwrap().leaving = true;
            }
            self.decisions += 1;
        }
        let gone = self.market.units.iter().filter(|unit| unit.leaving && !unit.is_task);
        for number in gone.map(|unit| unit.number).collect::<Vec<_>>() {
            self.market.end(number);
        }
        // Offers of before are used or declined, and so are those of now.
        let pending: Vec<Unit> = self.market.units.iter().filter(|unit| !unit.is_task).cloned().collect();
        for unit in pending {
            self.market.units.retain(|other| other.number != unit.number);
            self.answer(unit.offer);
        }
        for offer in offers {
            if self.rng.u8(0..4) == 0 {
                self.market.add(false, offer);
            } else {
                self.answer(offer);
            }
        }
    }

    fn answer(&mut self, offer: Offer) {
        let (cpus, mem) = (self.rng.u32(1..4), self.rng.u32(0..3) * 100);
        let part = resources(&format!("cpus:{cpus};mem:{mem}")).allocated_to(&Role::new(&offer.role));
        let mut rest = offer.resources.clone();
        if rest.contains(&part) && self.rng.u8(0..5) > 0 {
            rest -= &part;
            self.market.add(true, Offer { resources: part, ..offer.clone() });
        }
        if !rest.is_empty() {
            let refuse = self.rng.bool().then_some(3.0);
            self.market.cluster.recover_part(&offer, rest, refuse, false);
        }
    }

    /// What is promised, computed by the model.
    fn check(&self, preemption: &Preemption) {
        let role = &preemption.role;
        let gone = victims(preemption);
        assert!(!gone.is_empty(), "a decision takes something");
        let wanted = self.model.frameworks.values().any(|framework| framework.wants(role));
        assert!(wanted, "for whom wants something: {preemption:?}");
        let unit = |number: u64| self.market.units.iter().find(|unit| unit.number == number).unwrap();
        let (before, after) = (self.without(&[]), self.without(&gone));
        for (number, (held, priority)) in gone.iter().zip(&preemption.victims) {
            let unit = unit(*number);
            let victim = Role::new(&unit.offer.role);
            assert!(!unit.leaving, "nothing goes twice: {preemption:?}");
            assert_eq!(*priority, self.priority(&victim));
            assert!(*priority < self.priority(role), "only of lower priority: {preemption:?}");
            for level in
                with_ancestors(&victim).into_iter().filter(|level| !role.is_same_or_subrole_of(level))
            {
                let short = after.unsatisfied(&level);
                let is_short = held.amounts.iter().any(|(name, _)| !short.get(name).is_zero());
                assert!(!is_short, "{level} keeps what it is guaranteed: {preemption:?}");
            }
        }
        let lacked = lacks(&before, role);
        assert!(!is_nothing(&lacked), "nothing goes while what is free suffices: {preemption:?}");
        let lacking = lacks(&after, role);
        assert!(is_no_more(&lacking, &lacked) && lacking != lacked, "it helps: {preemption:?}");
        for spared in &gone {
            let others: Vec<u64> = gone.iter().copied().filter(|number| number != spared).collect();
            let more = lacks(&self.without(&others), role);
            assert!(!is_no_more(&more, &lacking), "as few as are needed: {preemption:?}");
        }
        if is_nothing(&lacking) {
            return;
        }
        for unit in self.market.units.iter().filter(|unit| !unit.leaving && !gone.contains(&unit.number)) {
            let victim = Role::new(&unit.offer.role);
            if self.priority(&victim) >= self.priority(role) {
                continue;
            }
            let even = self.without(&[gone.clone(), vec![unit.number]].concat());
            let amounts = unit.offer.resources.quantities();
            let levels =
                with_ancestors(&victim).into_iter().filter(|level| !role.is_same_or_subrole_of(level));
            let mut guaranteed = levels.filter(|level| {
                let short = even.unsatisfied(level);
                amounts.iter().any(|(name, _)| !short.get(name).is_zero())
            });
            if guaranteed.next().is_none() {
                let then = lacks(&even, role);
                let helps = is_no_more(&then, &lacking) && then != lacking;
                assert!(
                    !helps,
                    "all that helps goes: {unit:?} beside {preemption:?}, {lacked:?} {lacking:?} {then:?} {:#?}",
                    (&before.quotas, before.free(), &self.market.units)
                );
            }
        }
    }
}

/// What of each guarantee, of the role and those above, it could not be given of what is free.
fn lacks(model: &Model, role: &Role) -> Vec<ResourceQuantities> {
    let (due, free) = (model.due(role), model.free());
    let given = |name: &ResourceName| {
        let most = due.get(name).min(free.get(name));
        model.allowance(role, name).map_or(most, |allowance| most.min(allowance))
    };
    let line = with_ancestors(role);
    let guaranteeing = line.iter().filter(|level| model.quotas.contains_key(*level));
    let lack = |level: &Role| {
        let mut own = model.unsatisfied(level);
        own -= &model.needed_beside(&line, level);
        own.iter().map(|(name, amount)| (name.clone(), (amount - given(name)).max(Scalar::ZERO))).collect()
    };
    guaranteeing.map(lack).collect()
}

fn is_nothing(lacking: &[ResourceQuantities]) -> bool {
    lacking.iter().all(ResourceQuantities::is_empty)
}

fn is_no_more(lacking: &[ResourceQuantities], than: &[ResourceQuantities]) -> bool {
    lacking.iter().zip(than).all(|(lacking, than)| than.contains(lacking))
}

#[test]
fn whatever_happens_preemption_keeps_its_promises() {
    let mut decisions = 0;
    for seed in 0..600 {
        let mut case = Case::new(seed);
        for number in 0..80 {
            if number % 20 == 19 {
                case.fill_and_guarantee();
            }
            case.step();
        }
        decisions += case.decisions;
    }
    assert!(decisions > 100, "the cases are about something: {decisions}");
}
