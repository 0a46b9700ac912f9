//! A cluster as the allocator sees it: few words for adding many agents and frameworks, and for the offers made.

use std::collections::BTreeMap;
use std::time::Duration;

use messor_allocator::{AgentDetails, Allocator, Effect, Event, FrameworkDetails, Options};
use messor_stdx::Time;
use messor_types::{
    AgentCapabilities, AgentId, FrameworkCapabilities, FrameworkId, Resource, Resources, Role,
    parse_resources,
};

use super::ensure;
use crate::report::timed;

pub const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

pub struct Offer {
    pub framework_id: FrameworkId,
    pub role: Role,
    pub agent_id: AgentId,
    pub resources: Resources,
}

pub struct Cluster {
    pub allocator: Allocator,
    now: Time,
    effects: Vec<Effect>,
}

pub fn resources(text: &str) -> Resources {
    parse_resources(text, &Role::star()).expect("constants are valid")
}

/// So many single ports of 31000 to 32000, each apart from the next.
pub fn scattered_ports(count: u64) -> Resource {
    let step = 1000 / count;
    Resource::ranges("ports", (0..count).map(|number| (31000 + number * step, 31000 + number * step)))
}

pub fn agent_id(number: usize) -> AgentId {
    AgentId::numbered("bench", number as u64)
}

pub fn framework_id(number: usize) -> FrameworkId {
    FrameworkId::numbered("bench", number as u64)
}

pub fn add_agent(number: usize, total: Resources, used: BTreeMap<FrameworkId, Resources>) -> Event {
    let capabilities = AgentCapabilities {
        multi_role: true,
        hierarchical_role: true,
        reservation_refinement: true,
        ..Default::default()
    };
    let details = AgentDetails { hostname: format!("agent{number}"), capabilities, ..Default::default() };
    Event::AddAgent { agent_id: agent_id(number), details, total, used }
}

pub fn add_framework(number: usize, role: &Role) -> Event {
    let details = FrameworkDetails {
        roles: [role.clone()].into(),
        capabilities: FrameworkCapabilities {
            multi_role: true,
            reservation_refinement: true,
            ..Default::default()
        },
        ..Default::default()
    };
    Event::AddFramework { framework_id: framework_id(number), details, active: true, used: BTreeMap::new() }
}

impl Cluster {
    pub fn new() -> Cluster {
        Cluster {
            allocator: Allocator::new(Options::default()),
            now: Time::from_nanos(1_000_000_000),
            effects: Vec::new(),
        }
    }

    /// The time that these events take.
    pub fn tell(&mut self, events: impl IntoIterator<Item = Event>) -> Duration {
        let events: Vec<Event> = events.into_iter().collect();
        timed(|| {
            for event in events {
                self.allocator.handle(self.now, event, &mut self.effects);
            }
        })
        .0
    }

    /// One interval later: the time of the allocation.
    pub fn tick(&mut self) -> Duration {
        self.now = self.now + Duration::from_secs(1);
        self.tell([Event::Tick])
    }

    /// The offers made since the last time.
    pub fn offers(&mut self) -> Result<Vec<Offer>, String> {
        let mut result = Vec::new();
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Offer { framework_id, offers } => {
                    for (role, list) in offers {
                        result.extend(list.into_iter().map(|(agent_id, resources)| Offer {
                            framework_id: framework_id.clone(),
                            role: role.clone(),
                            agent_id,
                            resources,
                        }));
                    }
                }
                Effect::Wake => {}
                other => return Err(format!("the allocator said {other:?}")),
            }
        }
        Ok(result)
    }

    pub fn no_offers(&mut self) -> Result<(), String> {
        let made = self.offers()?.len();
        ensure(made == 0, || format!("{made} offers where none was expected"))
    }
}

impl Offer {
    pub fn returned(self, refuse: Option<Duration>) -> Event {
        Event::RecoverResources {
            framework_id: self.framework_id,
            agent_id: self.agent_id,
            resources: self.resources,
            refuse,
            allocated: false,
        }
    }
}
