//! Resources as protobuf. The wire knows reservations in three forms; inside there is one (U044), and the others are
//! met here only.

use messor_proto::mesos::{self, resource::ReservationInfo, resource::reservation_info, value};

use crate::{
    Metadata, Range, Ranges, Reservation, ReservationKind, Resource, ResourceError, ResourceName, Role,
    Scalar, Value, validate_resource,
};

/// How the wire writes reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceFormat {
    /// `role` beside `reservation`, for peers without RESERVATION_REFINEMENT. It cannot say refined reservations,
    /// which such peers must not be shown; should one come here, its stack is left as it is.
    PreRefinement,
    /// The stack `reservations` alone.
    PostRefinement,
    /// Both, as endpoints show them.
    Endpoint,
}

/// Brings a protobuf resource from whatever form into the post-refinement form.
#[allow(deprecated)] // `Resource.role` is what the older form is made of.
pub fn resource_to_post_refinement(resource: &mut mesos::Resource) {
    let role = resource.role.take();
    let reservation = resource.reservation.take();
    if !resource.reservations.is_empty() {
        return;
    }
    if let Some(role) = role.filter(|role| role != "*") {
        let kind = match reservation {
            Some(_) => reservation_info::Type::Dynamic,
            None => reservation_info::Type::Static,
        };
        resource.reservations.push(ReservationInfo {
            r#type: Some(kind.into()),
            role: Some(role),
            ..reservation.map(|reservation| *reservation).unwrap_or_default()
        });
    }
}

impl From<&Reservation> for ReservationInfo {
    fn from(reservation: &Reservation) -> ReservationInfo {
        let kind = match reservation.kind {
            ReservationKind::Static => reservation_info::Type::Static,
            ReservationKind::Dynamic => reservation_info::Type::Dynamic,
        };
        ReservationInfo {
            r#type: Some(kind.into()),
            role: Some(reservation.role.to_string()),
            principal: reservation.principal.clone(),
            labels: reservation.labels.clone(),
        }
    }
}

impl From<&ReservationInfo> for Reservation {
    /// Of a reservation that was validated.
    fn from(info: &ReservationInfo) -> Reservation {
        let is_static = info.r#type == Some(reservation_info::Type::Static.into());
        Reservation {
            kind: if is_static { ReservationKind::Static } else { ReservationKind::Dynamic },
            role: Role::new(info.role.as_deref().unwrap_or("*")),
            principal: info.principal.clone(),
            labels: info.labels.clone(),
        }
    }
}

impl From<&Ranges> for value::Ranges {
    fn from(ranges: &Ranges) -> value::Ranges {
        let range = ranges.iter().map(|range| value::Range { begin: range.begin, end: range.end });
        value::Ranges { range: range.collect() }
    }
}

impl From<&value::Ranges> for Ranges {
    fn from(ranges: &value::Ranges) -> Ranges {
        Ranges::from_unsorted(ranges.range.iter().map(|range| Range { begin: range.begin, end: range.end }))
    }
}

impl Resource {
    /// Reads one resource in any form of reservations.
    pub fn from_proto(resource: &mesos::Resource) -> Result<Resource, ResourceError> {
        validate_resource(resource)?;
        let value = if let Some(scalar) = &resource.scalar {
            Value::Scalar(Scalar::from_f64(scalar.value))
        } else if let Some(ranges) = &resource.ranges {
            Value::Ranges(ranges.into())
        } else {
            Value::Set(resource.set.iter().flat_map(|set| &set.item).collect())
        };
        let mut result = Resource::new(ResourceName::new(&resource.name), value);
        if let Some(role) = resource.allocation_info.as_ref().and_then(|info| info.role.as_deref()) {
            result.set_allocation(Some(&Role::new(role)));
        }
        Ok(result.with_metadata(Metadata {
            reservations: reservations(resource),
            disk: resource.disk.as_deref().cloned(),
            revocable: resource.revocable.is_some(),
            shared: resource.shared.is_some(),
            provider_id: resource.provider_id.as_ref().map(Into::into),
        }))
    }

    #[allow(deprecated)] // `Resource.role` is what the older form is made of.
    pub fn to_proto(&self, format: ResourceFormat) -> mesos::Resource {
        let mut result = mesos::Resource {
            name: self.name().to_string(),
            allocation_info: self
                .allocation_role()
                .map(|role| mesos::resource::AllocationInfo { role: Some(role.to_string()) }),
            reservations: self.reservations().iter().map(Into::into).collect(),
            disk: self.disk().cloned().map(Box::new),
            revocable: self.is_revocable().then(mesos::resource::RevocableInfo::default),
            shared: self.is_shared().then(mesos::resource::SharedInfo::default),
            provider_id: self.provider_id().map(Into::into),
            ..Default::default()
        };
        match self.value() {
            Value::Scalar(scalar) => {
                result.r#type = value::Type::Scalar.into();
                result.scalar = Some(value::Scalar { value: scalar.to_f64() });
            }
            Value::Ranges(ranges) => {
                result.r#type = value::Type::Ranges.into();
                result.ranges = Some(ranges.into());
            }
            Value::Set(set) => {
                result.r#type = value::Type::Set.into();
                result.set = Some(value::Set { item: set.iter().map(String::from).collect() });
            }
        }
        if format == ResourceFormat::PostRefinement {
            return result;
        }
        match self.reservations() {
            [] => result.role = Some("*".to_string()),
            [only] => {
                result.role = Some(only.role.to_string());
                if only.kind == ReservationKind::Dynamic {
                    let info = ReservationInfo { r#type: None, role: None, ..ReservationInfo::from(only) };
                    result.reservation = Some(Box::new(info));
                }
                if format == ResourceFormat::PreRefinement {
                    result.reservations.clear();
                }
            }
            _ => {}
        }
        result
    }
}

#[allow(deprecated)] // `Resource.role` is what the older form is made of.
fn reservations(resource: &mesos::Resource) -> Vec<Reservation> {
    if !resource.reservations.is_empty() {
        return resource.reservations.iter().map(Into::into).collect();
    }
    let Some(role) = resource.role.as_deref().filter(|role| *role != "*") else { return Vec::new() };
    let info = resource.reservation.as_ref();
    vec![Reservation {
        kind: if info.is_some() { ReservationKind::Dynamic } else { ReservationKind::Static },
        role: Role::new(role),
        principal: info.and_then(|info| info.principal.clone()),
        labels: info.and_then(|info| info.labels.clone()),
    }]
}
