//! Weights of roles: from --weights or an operator to the registry, from the registry to the allocator.

use std::collections::BTreeMap;

use messor_proto::mesos::WeightInfo;
use messor_registry::{Operation, State, validate_weight};
use messor_types::{OfferId, Role};

use crate::effect::Outcome;
use crate::event::ReplyId;
use crate::master::Master;
use crate::registering::Pending;
use crate::turn::Turn;

impl Master {
    /// Weights of the registry win over those of --weights, which become the registry's where it has none.
    pub(crate) fn recover_weights(&mut self, turn: &mut Turn<'_>, registry: &State) {
        let given = std::mem::take(&mut self.config.weights);
        if registry.weights().len() > 0 {
            if !given.is_empty() {
                turn.warning("--weights has no effect: the registry has weights already".to_string());
            }
            let weights: Vec<WeightInfo> = registry.weights().cloned().collect();
            self.take_weights(turn, &weights);
        } else if !given.is_empty() {
            self.take_weights(turn, &given);
            let operation = Operation::UpdateWeights { weights: given };
            self.store(turn, operation, Pending::Weights { update: None });
        }
    }

    pub(crate) fn update_weights(
        &mut self,
        turn: &mut Turn<'_>,
        reply: ReplyId,
        mut weights: Vec<WeightInfo>,
    ) {
        for info in &mut weights {
            info.role = Some(info.role().trim().to_string());
            if let Err(error) = validate_weight(info) {
                return turn.reply(reply, Outcome::Invalid(error.to_string()));
            }
            if !self.config.allows_role(info.role()) {
                let text = format!("the role '{}' is not one of --roles", info.role());
                return turn.reply(reply, Outcome::Invalid(text));
            }
        }
        let operation = Operation::UpdateWeights { weights: weights.clone() };
        self.store(turn, operation, Pending::Weights { update: Some((reply, weights)) });
    }

    /// The registry has them.
    pub(crate) fn weights_stored(
        &mut self,
        turn: &mut Turn<'_>,
        reply: ReplyId,
        weights: &[WeightInfo],
        accepted: bool,
    ) {
        if !accepted {
            let text = "the registry refused the weights".to_string();
            return turn.reply(reply, Outcome::Conflict(text));
        }
        self.take_weights(turn, weights);
        // What is offered was shared out by the old weights.
        let in_use =
            |role: Role| self.frameworks.registered.values().any(|known| known.roles.contains(&role));
        if weights.iter().any(|info| in_use(Role::new(info.role()))) {
            let offers: Vec<OfferId> = self.offers.keys().cloned().collect();
            offers.iter().for_each(|offer| self.rescind(turn, offer));
        }
        turn.reply(reply, Outcome::Done);
    }

    fn take_weights(&mut self, turn: &mut Turn<'_>, weights: &[WeightInfo]) {
        let by_role: BTreeMap<Role, f64> =
            weights.iter().map(|info| (Role::new(info.role()), info.weight)).collect();
        self.weights.extend(by_role.iter().map(|(role, weight)| (role.to_string(), *weight)));
        turn.allocator(messor_allocator::Event::UpdateWeights { weights: by_role });
    }
}
