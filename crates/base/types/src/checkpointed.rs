//! Reservations and persistent volumes that an agent made at run time and keeps over restarts: they stand in place of
//! a part of the resources that it was started with.

use crate::{ReservationKind, Resource, ResourceConversion, Resources};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointedError {
    #[error("the checkpointed resource {0} is neither reserved dynamically nor a persistent volume")]
    Unexpected(String),
    #[error("the agent's resources do not have what was checkpointed: {0}")]
    Incompatible(#[from] crate::ConversionError),
}

/// The agent's resources with the checkpointed ones in place.
pub fn apply_checkpointed(own: &Resources, checkpointed: &Resources) -> Result<Resources, CheckpointedError> {
    let mut conversions = Vec::new();
    for resource in checkpointed {
        if !resource.needs_checkpoint() {
            return Err(CheckpointedError::Unexpected(resource.to_string()));
        }
        let consumed = Resources::from(as_started(resource));
        conversions.push(ResourceConversion { consumed, converted: Resources::from(resource.clone()) });
    }
    Ok(own.convert(&conversions)?)
}

/// The resource as the agent was started with it: without dynamic reservations and without a volume.
fn as_started(resource: &Resource) -> Resource {
    resource.clone().without_volume().with_changed(|metadata| {
        metadata.reservations.retain(|reservation| reservation.kind != ReservationKind::Dynamic);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reservation;

    #[test]
    fn reservations_replace_what_they_are_made_of() {
        let own = Resources::from(Resource::scalar("cpus", 4.0));
        let reserved =
            Resource::scalar("cpus", 1.0).with_reservation(Reservation::new(ReservationKind::Dynamic, "r"));
        let total = apply_checkpointed(&own, &Resources::from(reserved.clone())).unwrap();
        let expected: Resources = [Resource::scalar("cpus", 3.0), reserved.clone()].into_iter().collect();
        assert_eq!(total, expected);
        let few = Resources::from(Resource::scalar("cpus", 0.5));
        assert!(matches!(
            apply_checkpointed(&few, &Resources::from(reserved)),
            Err(CheckpointedError::Incompatible(_))
        ));
        assert!(matches!(apply_checkpointed(&own, &own), Err(CheckpointedError::Unexpected(_))));
    }

    #[test]
    fn a_static_reservation_stays_below_a_dynamic_one() {
        let fixed =
            Resource::scalar("disk", 8.0).with_reservation(Reservation::new(ReservationKind::Static, "r"));
        let refined = fixed.clone().with_reservation(Reservation::new(ReservationKind::Dynamic, "r/s"));
        let total = apply_checkpointed(&fixed.into(), &Resources::from(refined.clone())).unwrap();
        assert_eq!(total, Resources::from(refined));
    }
}
