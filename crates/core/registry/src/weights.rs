//! Weights of roles.

use messor_proto::mesos::WeightInfo;
use messor_proto::mesos::internal::registry;
use messor_types::{RoleError, validate_role};

use crate::kept::Kept;
use crate::state::State;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightError {
    #[error("the role '{role}' is not valid: {error}")]
    Role { role: String, error: RoleError },
    #[error("the weight {weight} of role '{role}' is not valid: a weight is a number over 0")]
    Weight { role: String, weight: String },
}

/// Refuses weights that are not numbers over 0, and roles that cannot be.
pub fn validate_weight(info: &WeightInfo) -> Result<(), WeightError> {
    let role = info.role();
    validate_role(role).map_err(|error| WeightError::Role { role: role.to_string(), error })?;
    if info.weight > 0.0 && info.weight.is_finite() {
        return Ok(());
    }
    Err(WeightError::Weight { role: role.to_string(), weight: info.weight.to_string() })
}

impl State {
    pub(crate) fn update_weights(&mut self, weights: &[WeightInfo]) -> Result<bool, WeightError> {
        weights.iter().try_for_each(validate_weight)?;
        let mut changed = false;
        for info in weights {
            match self.weights.iter_mut().find(|weight| weight.info.role() == info.role()) {
                Some(weight) if weight.info.weight == info.weight => {}
                Some(weight) => {
                    weight.change(|weight| weight.info = info.clone());
                    changed = true;
                }
                None => {
                    self.weights.push(Kept::new(registry::Weight { info: info.clone() }));
                    changed = true;
                }
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Operation, Refusal};

    fn update(list: &[(&str, f64)]) -> Operation {
        let info = |(role, weight): &(&str, f64)| WeightInfo { weight: *weight, role: Some((*role).into()) };
        Operation::UpdateWeights { weights: list.iter().map(info).collect() }
    }

    #[test]
    fn weights_are_set_and_changed() {
        let mut state = State::default();
        assert_eq!(state.apply(&update(&[("a", 2.0), ("b/c", 0.5)])), Ok(true));
        assert_eq!(state.apply(&update(&[("b/c", 0.5)])), Ok(false));
        assert_eq!(state.apply(&update(&[])), Ok(false));
        assert_eq!(state.apply(&update(&[("b/c", 3.0)])), Ok(true));
        let all: Vec<_> = state.weights().map(|info| (info.role(), info.weight)).collect();
        assert_eq!(all, [("a", 2.0), ("b/c", 3.0)]);
        let before = state.clone();
        for (role, weight) in [("a", 0.0), ("a", -1.0), ("a", f64::NAN), ("a", f64::INFINITY), ("a b", 1.0)] {
            let refused = state.apply(&update(&[("new", 1.0), (role, weight)]));
            assert!(matches!(refused, Err(Refusal::Weight(_))), "{role} {weight}");
        }
        assert_eq!(state, before);
    }
}
