//! Scenarios in few words: a cluster that is told what happens and answers with the offers made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_allocator::{AgentDetails, Allocator, Effect, Event, FrameworkDetails, Options};
use messor_stdx::Time;
use messor_types::{
    AgentCapabilities, AgentId, FrameworkCapabilities, FrameworkId, Resources, Role, parse_resources,
};

#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub framework: String,
    pub role: String,
    pub agent: String,
    pub resources: Resources,
}

impl Offer {
    /// `framework/agent`, which is what most scenarios are about.
    pub fn to_whom(&self) -> String {
        format!("{} {}", self.framework, self.agent)
    }
}

pub struct Cluster {
    pub allocator: Allocator,
    pub now: Time,
    pub effects: Vec<Effect>,
    /// Whether the allocator checks itself after each event.
    pub is_audited: bool,
}

pub fn resources(text: &str) -> Resources {
    parse_resources(text, &Role::star()).unwrap()
}

pub fn roles(text: &str) -> BTreeSet<Role> {
    text.split(' ').filter(|role| !role.is_empty()).map(Role::new).collect()
}

pub fn framework(roles_text: &str) -> FrameworkDetails {
    FrameworkDetails {
        roles: roles(roles_text),
        capabilities: FrameworkCapabilities {
            multi_role: true,
            reservation_refinement: true,
            ..Default::default()
        },
        ..Default::default()
    }
}

pub fn agent() -> AgentDetails {
    AgentDetails {
        capabilities: AgentCapabilities {
            multi_role: true,
            hierarchical_role: true,
            reservation_refinement: true,
            ..Default::default()
        },
        ..Default::default()
    }
}

impl Cluster {
    pub fn new(options: Options) -> Cluster {
        let now = Time::from_nanos(1_000_000_000_000);
        Cluster { allocator: Allocator::new(options), now, effects: Vec::new(), is_audited: true }
    }

    /// Tells one event and checks everything that must hold after it.
    pub fn tell(&mut self, event: Event) {
        self.allocator.handle(self.now, event, &mut self.effects);
        if self.is_audited {
            self.allocator.audit().unwrap();
        }
    }

    pub fn add_agent(&mut self, id: &str, total: &str) {
        self.add_agent_with(id, agent(), resources(total), &[]);
    }

    pub fn add_agent_with(
        &mut self,
        id: &str,
        details: AgentDetails,
        total: Resources,
        used: &[(&str, Resources)],
    ) {
        let used = used.iter().map(|(id, resources)| (FrameworkId::new(id), resources.clone())).collect();
        let details = AgentDetails { hostname: id.to_string(), ..details };
        self.tell(Event::AddAgent { agent_id: AgentId::new(id), details, total, used });
    }

    pub fn add_framework(&mut self, id: &str, roles: &str) {
        self.add_framework_with(id, framework(roles));
    }

    pub fn add_framework_with(&mut self, id: &str, details: FrameworkDetails) {
        let framework_id = FrameworkId::new(id);
        self.tell(Event::AddFramework { framework_id, details, active: true, used: BTreeMap::new() });
    }

    pub fn recover(&mut self, offer: &Offer, refuse_secs: Option<f64>) {
        self.recover_part(offer, offer.resources.clone(), refuse_secs, false);
    }

    pub fn recover_part(
        &mut self,
        offer: &Offer,
        resources: Resources,
        refuse_secs: Option<f64>,
        allocated: bool,
    ) {
        self.tell(Event::RecoverResources {
            framework_id: FrameworkId::new(&offer.framework),
            agent_id: AgentId::new(&offer.agent),
            resources,
            refuse: refuse_secs.map(Duration::from_secs_f64),
            allocated,
        });
    }

    pub fn use_all(&mut self, offer: &Offer) {
        let agent_id = AgentId::new(&offer.agent);
        self.tell(Event::TransitionOfferedToAllocated { agent_id, resources: offer.resources.clone() });
    }

    pub fn revive(&mut self, id: &str, which: &str) {
        self.tell(Event::ReviveOffers { framework_id: FrameworkId::new(id), roles: roles(which) });
    }

    pub fn suppress(&mut self, id: &str, which: &str) {
        self.tell(Event::SuppressOffers { framework_id: FrameworkId::new(id), roles: roles(which) });
    }

    pub fn pass(&mut self, secs: f64) {
        self.now = self.now + Duration::from_secs_f64(secs);
    }

    /// The offers since the last time, and everything else that was said.
    pub fn said(&mut self) -> (Vec<Offer>, Vec<Effect>) {
        let (mut offers, mut rest) = (Vec::new(), Vec::new());
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Offer { framework_id, offers: by_role } => {
                    for (role, list) in by_role {
                        offers.extend(list.into_iter().map(|(agent, resources)| Offer {
                            framework: framework_id.to_string(),
                            role: role.to_string(),
                            agent: agent.to_string(),
                            resources,
                        }));
                    }
                }
                other => rest.push(other),
            }
        }
        (offers, rest)
    }

    /// One allocation interval later.
    pub fn tick(&mut self) -> Vec<Offer> {
        self.pass(1.0);
        self.tell(Event::Tick);
        self.offers()
    }

    /// What the app does when its queue is empty.
    pub fn settle(&mut self) -> Vec<Offer> {
        let woken = self.effects.contains(&Effect::Wake);
        if woken {
            self.tell(Event::Allocate);
        }
        self.offers()
    }

    fn offers(&mut self) -> Vec<Offer> {
        let (offers, rest) = self.said();
        let wrong: Vec<&Effect> = rest.iter().filter(|effect| **effect != Effect::Wake).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        offers
    }
}

/// The one offer that there is.
pub fn only(offers: Vec<Offer>) -> Offer {
    assert_eq!(offers.len(), 1, "{offers:?}");
    offers.into_iter().next().unwrap()
}

pub fn to_whom(offers: &[Offer]) -> Vec<String> {
    let mut result: Vec<String> = offers.iter().map(Offer::to_whom).collect();
    result.sort();
    result
}
