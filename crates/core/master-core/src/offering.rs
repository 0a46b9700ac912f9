//! Offers: made of what the allocator gives, told to frameworks, taken back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use messor_allocator::{Event::RecoverResources, refuse_duration};
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{self, Address, Offer, Url, resource};
use messor_types::{AgentId, FrameworkId, OfferId, Resource, ResourceFormat, Resources, Role, TaskId};

use crate::effect::Effect;
use crate::event::Timer;
use crate::master::Master;
use crate::notice::Notice;
use crate::state::{Agent, Framework, OfferRecord};
use crate::tasks::is_over;
use crate::turn::Turn;

/// Whether the agent has what the allocator gives. It may not, where reservations and volumes changed while that was on
/// its way: an operator destroyed something shared, or the agent registered again with others.
fn has_room(agent: &Agent, resources: &Resources) -> bool {
    let given = resources.clone().unallocated();
    if !agent.total.contains(&given) {
        return false;
    }
    if agent.checkpointed.is_empty() {
        return true;
    }
    let mut taken: Resources = agent.used.values().sum();
    taken += &agent.offered;
    let (own, given, taken) =
        (agent.total.non_shared(), given.non_shared(), taken.unallocated().non_shared());
    // Tasks may count that rest on what the agent does not have (any more): what is theirs is set right by others, and the
    // rest of the agent can be offered, but not twice.
    own.contains(&(taken.clone() + &given))
        || given.iter().all(|part| {
            let same = |other: &Resource| other.name() == part.name() && other.metadata() == part.metadata();
            own.contains(&(taken.filter(same) + &Resources::from(part.clone())))
        })
}

impl Master {
    /// The allocator gives resources to a framework.
    pub(crate) fn offer(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        given: BTreeMap<Role, Vec<(AgentId, Resources)>>,
    ) {
        let (mut offers, mut pids) = (Vec::new(), Vec::new());
        let listens =
            self.frameworks.get(id).is_some_and(|framework| framework.connected() && framework.record.active);
        for (role, list) in given {
            for (agent_id, resources) in list {
                let agent = self.agents.get(&agent_id).filter(|agent| agent.active);
                let why = match agent {
                    _ if !listens => Some(format!("framework {id} is not active")),
                    None => Some(format!("agent {agent_id} is not active")),
                    Some(agent) => (!has_room(agent, &resources))
                        .then(|| format!("it is not on agent {agent_id} any more, or not free")),
                };
                if let Some(why) = why {
                    turn.info(format!("returning what was to be offered to framework {id}: {why}"));
                    recover(turn, id, &agent_id, resources, None);
                    continue;
                }
                if self.has_enough_executors(&agent_id) {
                    turn.info(format!(
                        "returning what was to be offered to framework {id}: agent {agent_id} has as many executors as --max_executors_per_agent allows"
                    ));
                    // For as long as a framework refuses that says nothing of it: an executor may have ended by then.
                    let refuse = refuse_duration(&mesos::Filters::default());
                    recover(turn, id, &agent_id, resources, Some(refuse));
                    continue;
                }
                if let Some((offer, pid)) = self.make_offer(turn, id, &role, &agent_id, resources) {
                    offers.push(offer);
                    pids.push(pid);
                }
            }
        }
        if !offers.is_empty() {
            turn.info(format!("sending {} offers to framework {id}", offers.len()));
            if let Some(framework) = self.frameworks.get_mut(id) {
                framework.counting.counts.offers_sent += offers.len() as u64;
            }
            self.tell(turn, id, Notice::Offers { offers, pids });
        }
    }

    /// Whether --max_executors_per_agent keeps the agent from being offered. A task without an executor of its own has one
    /// to itself.
    fn has_enough_executors(&self, id: &AgentId) -> bool {
        let Some(most) = self.config.max_executors_per_agent else { return false };
        let Some(agent) = self.agents.get(id) else { return false };
        let named: usize = agent.executors.values().map(BTreeMap::len).sum();
        let alone = agent.tasks.iter().filter_map(|(framework, tasks)| {
            let known = &self.frameworks.get(framework)?.tasks;
            let runs = |task: &&TaskId| {
                known.get(*task).is_some_and(|task| task.task.executor_id.is_none() && !is_over(task.state()))
            };
            Some(tasks.iter().filter(runs).count())
        });
        named + alone.sum::<usize>() >= most
    }

    /// One offer, as the framework is told of it, and the PID of its agent.
    fn make_offer(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        role: &Role,
        agent_id: &AgentId,
        resources: Resources,
    ) -> Option<(Offer, String)> {
        let framework = self.frameworks.registered.get_mut(id)?;
        let agent = self.agents.registered.get_mut(agent_id)?;
        let offer_id = OfferId::numbered(&self.info.id, self.next_offer);
        self.next_offer += 1;
        let offer = new_offer(&offer_id, framework, agent, role, &resources);
        let told = as_told(&offer, framework, &resources);
        let pid = agent.pid.to_string();

        framework.add_offer(offer_id.clone(), &resources);
        agent.offers.insert(offer_id.clone());
        agent.offered += &resources;
        agent.changed();
        let record = OfferRecord {
            framework: id.clone(),
            agent: agent_id.clone(),
            role: role.clone(),
            resources,
            offer: Arc::new(offer),
        };
        self.offers.insert(offer_id.clone(), record);
        if let Some(timeout) = self.config.offer_timeout {
            turn.set_timer(Timer::Offer(offer_id), timeout);
        }
        Some((told, pid))
    }

    /// Takes an offer out of the books; what becomes of its resources is the caller's affair.
    pub(crate) fn take_offer(&mut self, turn: &mut Turn<'_>, id: &OfferId) -> Option<OfferRecord> {
        let record = self.offers.remove(id)?;
        if let Some(framework) = self.frameworks.get_mut(&record.framework) {
            framework.remove_offer(id, &record.resources);
        }
        if let Some(agent) = self.agents.get_mut(&record.agent) {
            agent.offers.remove(id);
            agent.offered -= &record.resources;
            agent.changed();
        }
        if self.config.offer_timeout.is_some() {
            turn.push(Effect::CancelTimer { timer: Timer::Offer(id.clone()) });
        }
        Some(record)
    }

    /// Takes an offer back and tells the framework.
    pub(crate) fn rescind(&mut self, turn: &mut Turn<'_>, id: &OfferId) {
        let Some(record) = self.take_offer(turn, id) else { return };
        self.tell_rescinded(turn, &record.framework, id);
        recover(turn, &record.framework, &record.agent, record.resources, None);
    }

    pub(crate) fn tell_rescinded(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, offer: &OfferId) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.counting.counts.offers_rescinded += 1;
            framework.tell(turn, Notice::Rescind(offer.clone()));
        }
    }

    /// The framework does not want an offer, or cannot have it any more and knows so.
    pub(crate) fn discard(&mut self, turn: &mut Turn<'_>, id: &OfferId, refuse: Option<Duration>) {
        let Some(record) = self.take_offer(turn, id) else { return };
        recover(turn, &record.framework, &record.agent, record.resources, refuse);
    }

    /// DECLINE. Offers of others are left alone.
    pub(crate) fn decline(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, decline: call::Decline) {
        self.counters.messages_decline_offers.increment();
        let refuse = refuse_duration(&decline.filters.unwrap_or_default());
        turn.info(format!("framework {id} declines {} offers for {refuse:?}", decline.offer_ids.len()));
        for offer in decline.offer_ids {
            let offer = OfferId::from(offer);
            if self.offers.get(&offer).is_some_and(|record| record.framework == *id) {
                self.discard(turn, &offer, Some(refuse));
                if let Some(framework) = self.frameworks.get_mut(id) {
                    framework.counting.counts.offers_declined += 1;
                }
            } else {
                turn.info(format!("offer {offer}, which framework {id} declines, is no longer valid"));
            }
        }
    }
}

pub(crate) fn recover(
    turn: &mut Turn<'_>,
    framework: &FrameworkId,
    agent: &AgentId,
    resources: Resources,
    refuse: Option<Duration>,
) {
    turn.allocator(RecoverResources {
        framework_id: framework.clone(),
        agent_id: agent.clone(),
        resources,
        refuse,
        allocated: false,
    });
}

/// Where an agent is.
pub(crate) fn url_of(agent: &Agent) -> Url {
    let address = Address {
        hostname: Some(agent.info.hostname.clone()),
        ip: Some(agent.pid.address.ip().to_string()),
        port: i32::from(agent.pid.address.port()),
    };
    let path = Some(format!("/{}", agent.pid.id));
    Url { scheme: "http".to_string(), address, path, ..Default::default() }
}

fn new_offer(
    id: &OfferId,
    framework: &Framework,
    agent: &Agent,
    role: &Role,
    resources: &Resources,
) -> Offer {
    let executors = agent.executors.get(framework.id()).into_iter().flat_map(BTreeMap::keys);
    Offer {
        id: id.into(),
        framework_id: framework.id().into(),
        agent_id: (&agent.id).into(),
        hostname: agent.info.hostname.clone(),
        url: Some(url_of(agent)),
        domain: agent.info.domain.clone(),
        resources: resources.to_proto(ResourceFormat::PostRefinement),
        attributes: agent.info.attributes.clone(),
        executor_ids: executors.map(Into::into).collect(),
        unavailability: agent.unavailability,
        allocation_info: Some(resource::AllocationInfo { role: Some(role.to_string()) }),
    }
}

/// The offer in the form that the framework understands (U044, U048).
fn as_told(offer: &Offer, framework: &Framework, resources: &Resources) -> Offer {
    let mut told = offer.clone();
    if !framework.capabilities.reservation_refinement {
        told.resources = resources.to_proto(ResourceFormat::PreRefinement);
    }
    // These are the port mapping's own.
    told.resources.retain(|resource| resource.name != "ephemeral_ports");
    if !framework.capabilities.multi_role {
        told.allocation_info = None;
        for resource in &mut told.resources {
            resource.allocation_info = None;
        }
    }
    told
}
