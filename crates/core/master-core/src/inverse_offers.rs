//! Inverse offers: frameworks are asked to leave agents that are to be unavailable. What they answer binds nobody; it is
//! shown to operators, and keeps them from being asked again for a while.
//!
//! It must not know when a framework is asked: that is the allocator's.

use std::sync::Arc;
use std::time::Duration;

use messor_allocator::{Event as Allocation, refuse_duration};
use messor_proto::mesos::allocator::InverseOfferStatus;
use messor_proto::mesos::allocator::inverse_offer_status::Status;
use messor_proto::mesos::{self, Filters, InverseOffer, Unavailability};
use messor_types::{AgentId, FrameworkId, OfferId};

use crate::effect::Effect;
use crate::event::Timer;
use crate::master::Master;
use crate::notice::Notice;
use crate::offering::url_of;
use crate::publish::time_info;
use crate::state::InverseOfferRecord;
use crate::turn::Turn;

impl Master {
    /// The allocator asks a framework to leave these agents.
    pub(crate) fn inverse_offer(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        asked: Vec<(AgentId, Unavailability)>,
    ) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let listens = framework.connected() && framework.record.active;
        let (mut offers, mut pids) = (Vec::new(), Vec::new());
        for (agent_id, unavailability) in asked {
            // What changed since is on its way to the allocator.
            let Some(agent) = self.agents.get(&agent_id) else { continue };
            if !listens || !agent.active || agent.unavailability != Some(unavailability) {
                turn.info(format!(
                    "framework {id} is not asked to leave agent {agent_id}: it changed meanwhile"
                ));
                close(turn, id, &agent_id, None);
                continue;
            }
            let offer_id = OfferId::numbered(&self.info.id, self.next_offer);
            self.next_offer += 1;
            let offer = InverseOffer {
                id: (&offer_id).into(),
                url: Some(url_of(agent)),
                framework_id: id.into(),
                agent_id: Some((&agent_id).into()),
                unavailability,
                resources: Vec::new(),
            };
            offers.push(offer.clone());
            pids.push(agent.pid.to_string());
            let offer = Arc::new(offer);
            self.inverse_offers
                .add(offer_id.clone(), InverseOfferRecord { framework: id.clone(), agent: agent_id, offer });
            if let Some(timeout) = self.config.offer_timeout {
                turn.set_timer(Timer::Offer(offer_id), timeout);
            }
        }
        if !offers.is_empty() {
            turn.info(format!("sending {} inverse offers to framework {id}", offers.len()));
            self.tell(turn, id, Notice::InverseOffers { offers, pids });
        }
    }

    fn take_inverse_offer(&mut self, turn: &mut Turn<'_>, id: &OfferId) -> Option<InverseOfferRecord> {
        let record = self.inverse_offers.remove(id)?;
        if self.config.offer_timeout.is_some() {
            turn.push(Effect::CancelTimer { timer: Timer::Offer(id.clone()) });
        }
        Some(record)
    }

    /// Takes one back and tells the framework. Nothing, if the id is of no inverse offer.
    pub(crate) fn rescind_inverse_offer(&mut self, turn: &mut Turn<'_>, id: &OfferId) {
        let Some(record) = self.take_inverse_offer(turn, id) else { return };
        close(turn, &record.framework, &record.agent, None);
        self.tell(turn, &record.framework, Notice::RescindInverse(id.clone()));
    }

    pub(crate) fn rescind_inverse_offers_of_agent(&mut self, turn: &mut Turn<'_>, agent: &AgentId) {
        for id in self.inverse_offers.of_agent(agent) {
            self.rescind_inverse_offer(turn, &id);
        }
    }

    /// `told`: the framework hears of it; otherwise it knows by itself.
    pub(crate) fn withdraw_inverse_offers(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        told: bool,
    ) {
        for id in self.inverse_offers.of_framework(framework) {
            if told {
                self.rescind_inverse_offer(turn, &id);
            } else if let Some(record) = self.take_inverse_offer(turn, &id) {
                close(turn, &record.framework, &record.agent, None);
            }
        }
    }

    /// ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS. Those of others are left alone.
    pub(crate) fn answer_inverse_offers(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        ids: &[mesos::OfferId],
        filters: Option<Filters>,
        answer: Status,
    ) {
        let refuse = refuse_duration(&filters.unwrap_or_default());
        turn.info(format!(
            "framework {framework} says {} to {} inverse offers",
            answer.as_str_name(),
            ids.len()
        ));
        for id in ids.iter().map(OfferId::from) {
            let own = self.inverse_offers.get(&id).is_some_and(|record| record.framework == *framework);
            let Some(record) = own.then(|| self.take_inverse_offer(turn, &id)).flatten() else {
                turn.info(format!(
                    "inverse offer {id}, which framework {framework} answers, is no longer valid"
                ));
                continue;
            };
            let status = InverseOfferStatus {
                status: answer as i32,
                framework_id: framework.into(),
                timestamp: time_info(turn.now),
            };
            self.inverse_offers.answered(&record.agent, framework, status);
            close(turn, framework, &record.agent, Some(refuse));
        }
    }
}

/// The allocator may ask again; not for a while, if the framework answered.
fn close(turn: &mut Turn<'_>, framework: &FrameworkId, agent: &AgentId, refuse: Option<Duration>) {
    let (agent_id, framework_id) = (agent.clone(), framework.clone());
    turn.allocator(Allocation::UpdateInverseOffer { agent_id, framework_id, refuse });
}
