//! What makes a protobuf resource valid. Every error names the resource.

use std::collections::BTreeSet;

use messor_proto::mesos::resource::{self, disk_info::source, reservation_info};
use messor_proto::mesos::{self, value};
use messor_proto::{Version, WireEnum};

use crate::{Range, RoleError, Scalar, validate_role};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resource '{name}' is invalid: {problem}")]
pub struct ResourceError {
    pub name: String,
    pub problem: ResourceProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceProblem {
    #[error("it has no name")]
    Name,
    #[error("its type is not SCALAR, RANGES or SET")]
    Type,
    #[error("a {0} resource must have the field '{1}' and no other value")]
    Value(&'static str, &'static str),
    #[error("a scalar must be zero or at least 0.001")]
    Scalar,
    #[error("the range {0}-{1} begins behind its end")]
    Inverted(u64, u64),
    #[error("the ranges overlap at {0}")]
    Overlap(u64),
    #[error("the set names '{0}' twice")]
    Duplicate(String),
    #[error("only the resource 'disk' can have the field 'disk'")]
    Disk,
    #[error("'disk.source.{field}' cannot be set for a source of type {kind}")]
    SourceField { field: &'static str, kind: &'static str },
    #[error("'disk.source.type' is not PATH, MOUNT, BLOCK or RAW")]
    SourceType,
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error("'reservation.{0}' must not be set: it belongs into 'reservations'")]
    OldReservation(&'static str),
    #[error("role '*' cannot have a reservation")]
    Star,
    #[error("'reservations' needs the field '{0}'")]
    Reservation(&'static str),
    #[error("'reservations.type' is not STATIC or DYNAMIC")]
    ReservationType,
    #[error("a refined reservation cannot be STATIC")]
    StaticRefinement,
    #[error("role '{finer}' is no subrole of '{wider}', so its reservation refines nothing")]
    Refinement { finer: String, wider: String },
    #[error("'{0}' contradicts 'reservations'")]
    Contradiction(&'static str),
    #[error("only persistent volumes can be shared")]
    Shared,
}

/// Whether a resource from the wire can be used, in whichever form its reservations are (U044).
pub fn validate_resource(resource: &mesos::Resource) -> Result<(), ResourceError> {
    check(resource).map_err(|problem| ResourceError { name: resource.name.clone(), problem })
}

fn check(resource: &mesos::Resource) -> Result<(), ResourceProblem> {
    if resource.name.is_empty() {
        return Err(ResourceProblem::Name);
    }
    check_value(resource)?;
    if let Some(disk) = &resource.disk {
        if resource.name != "disk" {
            return Err(ResourceProblem::Disk);
        }
        disk.source.as_ref().map_or(Ok(()), check_source)?;
    }
    if resource.reservations.is_empty() {
        check_old_reservation(resource)?;
    } else {
        check_reservations(&resource.reservations)?;
        check_both_forms(resource)?;
    }
    let persistent = resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some());
    if resource.shared.is_some() && !persistent {
        return Err(ResourceProblem::Shared);
    }
    Ok(())
}

fn check_value(resource: &mesos::Resource) -> Result<(), ResourceProblem> {
    let has = (resource.scalar.is_some(), resource.ranges.is_some(), resource.set.is_some());
    match value::Type::try_from(resource.r#type) {
        Ok(value::Type::Scalar) => {
            let Some(scalar) = &resource.scalar else {
                return Err(ResourceProblem::Value("SCALAR", "scalar"));
            };
            if has != (true, false, false) {
                return Err(ResourceProblem::Value("SCALAR", "scalar"));
            }
            let vanishes = scalar.value != 0.0 && Scalar::from_f64(scalar.value) <= Scalar::ZERO;
            if vanishes || !scalar.value.is_finite() {
                return Err(ResourceProblem::Scalar);
            }
        }
        Ok(value::Type::Ranges) => {
            let Some(ranges) = &resource.ranges else {
                return Err(ResourceProblem::Value("RANGES", "ranges"));
            };
            if has != (false, true, false) {
                return Err(ResourceProblem::Value("RANGES", "ranges"));
            }
            let mut sorted: Vec<Range> =
                ranges.range.iter().map(|range| Range { begin: range.begin, end: range.end }).collect();
            if let Some(range) = sorted.iter().find(|range| range.begin > range.end) {
                return Err(ResourceProblem::Inverted(range.begin, range.end));
            }
            sorted.sort_unstable();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[1].begin <= pair[0].end) {
                return Err(ResourceProblem::Overlap(pair[1].begin));
            }
        }
        Ok(value::Type::Set) => {
            let Some(set) = &resource.set else { return Err(ResourceProblem::Value("SET", "set")) };
            if has != (false, false, true) {
                return Err(ResourceProblem::Value("SET", "set"));
            }
            let mut seen = BTreeSet::new();
            if let Some(twice) = set.item.iter().find(|item| !seen.insert(item.as_str())) {
                return Err(ResourceProblem::Duplicate(twice.clone()));
            }
        }
        Ok(value::Type::Text) | Err(_) => return Err(ResourceProblem::Type),
    }
    Ok(())
}

fn check_source(found: &resource::disk_info::Source) -> Result<(), ResourceProblem> {
    let kind = match source::Type::try_from(found.r#type) {
        Ok(source::Type::Path | source::Type::Mount) => return Ok(()),
        Ok(kind @ (source::Type::Block | source::Type::Raw)) => kind.wire_name(Version::V0),
        Ok(source::Type::Unknown) | Err(_) => return Err(ResourceProblem::SourceType),
    };
    if found.mount.is_some() {
        return Err(ResourceProblem::SourceField { field: "mount", kind });
    }
    if found.path.is_some() {
        return Err(ResourceProblem::SourceField { field: "path", kind });
    }
    Ok(())
}

#[allow(deprecated)] // `Resource.role` is what the older form is made of.
fn check_old_reservation(resource: &mesos::Resource) -> Result<(), ResourceProblem> {
    let role = resource.role.as_deref().unwrap_or("*");
    validate_role(role)?;
    let Some(reservation) = &resource.reservation else { return Ok(()) };
    if reservation.r#type.is_some() {
        return Err(ResourceProblem::OldReservation("type"));
    }
    if reservation.role.is_some() {
        return Err(ResourceProblem::OldReservation("role"));
    }
    if role == "*" {
        return Err(ResourceProblem::Star);
    }
    Ok(())
}

fn check_reservations(stack: &[resource::ReservationInfo]) -> Result<(), ResourceProblem> {
    let mut wider: Option<&str> = None;
    for reservation in stack {
        let kind = reservation.r#type.ok_or(ResourceProblem::Reservation("type"))?;
        let role = reservation.role.as_deref().ok_or(ResourceProblem::Reservation("role"))?;
        validate_role(role)?;
        if role == "*" {
            return Err(ResourceProblem::Star);
        }
        let kind = match reservation_info::Type::try_from(kind) {
            Ok(kind @ (reservation_info::Type::Static | reservation_info::Type::Dynamic)) => kind,
            _ => return Err(ResourceProblem::ReservationType),
        };
        if let Some(wider) = wider {
            if kind == reservation_info::Type::Static {
                return Err(ResourceProblem::StaticRefinement);
            }
            if !role.strip_prefix(wider).is_some_and(|rest| rest.starts_with('/')) {
                return Err(ResourceProblem::Refinement {
                    finer: role.to_string(),
                    wider: wider.to_string(),
                });
            }
        }
        wider = Some(role);
    }
    Ok(())
}

/// The older form may stand beside a stack of one, if it says the same.
#[allow(deprecated)] // `Resource.role` is what the older form is made of.
fn check_both_forms(resource: &mesos::Resource) -> Result<(), ResourceProblem> {
    let (role, reservation) = (&resource.role, &resource.reservation);
    let [only] = resource.reservations.as_slice() else {
        return match (role, reservation) {
            (None, None) => Ok(()),
            (Some(_), _) => Err(ResourceProblem::Contradiction("role")),
            (None, Some(_)) => Err(ResourceProblem::Contradiction("reservation")),
        };
    };
    if role.is_some() && *role != only.role {
        return Err(ResourceProblem::Contradiction("role"));
    }
    let is_static = only.r#type == Some(reservation_info::Type::Static.into());
    let agrees = match reservation {
        Some(_) if is_static => false,
        Some(old) => {
            role.is_some()
                && old.principal.as_deref().unwrap_or("") == only.principal.as_deref().unwrap_or("")
                && old.labels.clone().unwrap_or_default() == only.labels.clone().unwrap_or_default()
        }
        None => is_static || role.is_none(),
    };
    if agrees { Ok(()) } else { Err(ResourceProblem::Contradiction("reservation")) }
}
