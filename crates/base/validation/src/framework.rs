//! FrameworkInfo: by itself, and against the one that a framework had before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_proto::mesos::{FrameworkInfo, OfferFilters};
use messor_types::{FrameworkCapabilities, RoleError, validate_role};

use crate::ids::{IdError, validate_id};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FrameworkError {
    #[error("'role' must not be set by a framework with the capability MULTI_ROLE: use 'roles'")]
    RoleWithMultiRole,
    #[error(
        "'roles' must not be set by a framework without the capability MULTI_ROLE: use 'role' or set the capability"
    )]
    RolesWithoutMultiRole,
    #[error("'roles' has '{0}' twice")]
    RoleTwice(String),
    #[error("invalid role: {0}")]
    Role(#[from] RoleError),
    #[error("invalid 'id': {0}")]
    Id(#[from] IdError),
    #[error(
        "'offer_filters' of role '{0}' has an entry without any quantity: give one, or leave the entry out"
    )]
    NoQuantity(String),
    #[error(
        "'offer_filters' of role '{role}' wants {value} of '{name}': use a number that is finite and not negative"
    )]
    Quantity { role: String, name: String, value: f64 },
    #[error("'failover_timeout' is {0}: use a number of seconds from -292 to 292 years")]
    FailoverTimeout(f64),
    #[error("'principal' must not change")]
    PrincipalChanged,
    #[error("'user' must not change (from '{from}' to '{to}')")]
    UserChanged { from: String, to: String },
    #[error("'checkpoint' must not change (from {from} to {to})")]
    CheckpointChanged { from: bool, to: bool },
    #[error("'suppressed_roles' has '{0}', which is none of the framework's roles")]
    SuppressedRole(String),
}

/// The roles of a framework, one or several (U048). Without MULTI_ROLE it is the one in 'role', '*' when not set.
pub fn framework_roles(info: &FrameworkInfo) -> BTreeSet<String> {
    if FrameworkCapabilities::from_proto(&info.capabilities).multi_role {
        info.roles.iter().cloned().collect()
    } else {
        BTreeSet::from([info.role().to_string()])
    }
}

/// How long a disconnected framework is waited for: not at all when it is negative; `None` when it is no valid time.
pub fn failover_timeout(info: &FrameworkInfo) -> Option<Duration> {
    const LONGEST_SECS: f64 = i64::MAX as f64 / 1e9;
    let seconds = info.failover_timeout();
    // Not-a-number compares false and is refused here too.
    (seconds.abs() <= LONGEST_SECS).then(|| Duration::from_secs_f64(seconds.max(0.0)))
}

pub fn validate_framework(info: &FrameworkInfo) -> Result<(), FrameworkError> {
    validate_roles(info)?;
    if let Some(id) = &info.id
        && !id.value.is_empty()
    {
        validate_id(&id.value)?;
    }
    validate_offer_filters(&info.offer_filters)?;
    failover_timeout(info).map(|_| ()).ok_or_else(|| FrameworkError::FailoverTimeout(info.failover_timeout()))
}

fn validate_roles(info: &FrameworkInfo) -> Result<(), FrameworkError> {
    if !FrameworkCapabilities::from_proto(&info.capabilities).multi_role {
        if !info.roles.is_empty() {
            return Err(FrameworkError::RolesWithoutMultiRole);
        }
        return Ok(validate_role(info.role())?);
    }
    if info.role.is_some() {
        return Err(FrameworkError::RoleWithMultiRole);
    }
    let mut seen = BTreeSet::new();
    for role in &info.roles {
        if !seen.insert(role) {
            return Err(FrameworkError::RoleTwice(role.clone()));
        }
        validate_role(role)?;
    }
    Ok(())
}

fn validate_offer_filters(filters: &BTreeMap<String, OfferFilters>) -> Result<(), FrameworkError> {
    for (role, filter) in filters {
        for entry in filter.min_allocatable_resources.iter().flat_map(|minimum| &minimum.quantities) {
            if entry.quantities.is_empty() {
                return Err(FrameworkError::NoQuantity(role.clone()));
            }
            for (name, quantity) in &entry.quantities {
                let value = quantity.value;
                if !(value == 0.0 || (value.is_normal() && value > 0.0)) {
                    return Err(FrameworkError::Quantity { role: role.clone(), name: name.clone(), value });
                }
            }
        }
    }
    Ok(())
}

/// Whether a framework may change its FrameworkInfo from `old` to `new` (UPDATE_FRAMEWORK and SUBSCRIBE with an id).
pub fn validate_framework_update(old: &FrameworkInfo, new: &FrameworkInfo) -> Result<(), FrameworkError> {
    if old.principal != new.principal {
        return Err(FrameworkError::PrincipalChanged);
    }
    if old.user != new.user {
        return Err(FrameworkError::UserChanged { from: old.user.clone(), to: new.user.clone() });
    }
    if old.checkpoint() != new.checkpoint() {
        return Err(FrameworkError::CheckpointChanged { from: old.checkpoint(), to: new.checkpoint() });
    }
    Ok(())
}

/// A SUBSCRIBE may carry other values for what must not change: the old ones stay. Tells which fields it put back.
pub fn preserve_immutable_fields(old: &FrameworkInfo, new: &mut FrameworkInfo) -> Vec<&'static str> {
    let mut fields = Vec::new();
    if new.user != old.user {
        new.user.clone_from(&old.user);
        fields.push("user");
    }
    if new.checkpoint() != old.checkpoint() {
        new.checkpoint = old.checkpoint;
        fields.push("checkpoint");
    }
    fields
}

pub fn validate_suppressed_roles(
    roles: &BTreeSet<String>,
    suppressed: &[String],
) -> Result<(), FrameworkError> {
    match suppressed.iter().find(|role| !roles.contains(*role)) {
        Some(role) => Err(FrameworkError::SuppressedRole(role.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::framework_info::{Capability, capability};
    use messor_proto::mesos::{FrameworkId, offer_filters, value};

    fn info() -> FrameworkInfo {
        FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() }
    }

    fn multi(roles: &[&str]) -> FrameworkInfo {
        FrameworkInfo {
            roles: roles.iter().map(|role| role.to_string()).collect(),
            capabilities: vec![Capability { r#type: Some(capability::Type::MultiRole as i32) }],
            ..info()
        }
    }

    /// U048: several roles by 'roles' and MULTI_ROLE; 'role' still works.
    #[test]
    fn roles_go_by_the_capability() {
        assert_eq!(validate_framework(&info()), Ok(()));
        assert_eq!(framework_roles(&info()), BTreeSet::from(["*".to_string()]));
        assert_eq!(validate_framework(&multi(&[])), Ok(()));
        assert_eq!(validate_framework(&multi(&["a", "b/c"])), Ok(()));
        assert_eq!(framework_roles(&multi(&["a", "b/c"])).len(), 2);
        let both = FrameworkInfo { role: Some("a".into()), ..multi(&[]) };
        assert_eq!(validate_framework(&both), Err(FrameworkError::RoleWithMultiRole));
        let old = FrameworkInfo { roles: vec!["a".into()], ..info() };
        assert_eq!(validate_framework(&old), Err(FrameworkError::RolesWithoutMultiRole));
        assert_eq!(validate_framework(&multi(&["a", "a"])), Err(FrameworkError::RoleTwice("a".into())));
        assert!(matches!(validate_framework(&multi(&["/a"])), Err(FrameworkError::Role(_))));
        let bad = FrameworkInfo { role: Some("".into()), ..info() };
        assert_eq!(validate_framework(&bad), Err(FrameworkError::Role(RoleError::Empty)));
    }

    #[test]
    fn ids_and_timeouts() {
        let with_id = |id: &str| FrameworkInfo { id: Some(FrameworkId { value: id.into() }), ..info() };
        assert_eq!(validate_framework(&with_id("")), Ok(()));
        assert_eq!(validate_framework(&with_id("f-0001")), Ok(()));
        assert!(matches!(validate_framework(&with_id("a/b")), Err(FrameworkError::Id(_))));
        let timeout = |seconds: f64| FrameworkInfo { failover_timeout: Some(seconds), ..info() };
        for seconds in [0.0, 1.5, -1.0, 1e9] {
            assert_eq!(validate_framework(&timeout(seconds)), Ok(()), "{seconds}");
        }
        for seconds in [f64::NAN, f64::INFINITY, 1e10, -1e11] {
            assert!(matches!(validate_framework(&timeout(seconds)), Err(FrameworkError::FailoverTimeout(_))));
        }
        assert_eq!(failover_timeout(&timeout(-5.0)), Some(Duration::ZERO));
    }

    #[test]
    fn offer_filters_have_sensible_quantities() {
        let filters = |values: &[f64]| {
            let quantities =
                values.iter().map(|v| ("cpus".to_string(), value::Scalar { value: *v })).collect();
            let quantities = vec![offer_filters::ResourceQuantities { quantities }];
            let minimum = offer_filters::MinAllocatableResources { quantities };
            let filters = OfferFilters { min_allocatable_resources: Some(minimum) };
            FrameworkInfo { offer_filters: BTreeMap::from([("r".to_string(), filters)]), ..info() }
        };
        assert_eq!(validate_framework(&filters(&[0.0])), Ok(()));
        assert_eq!(validate_framework(&filters(&[2.5])), Ok(()));
        assert_eq!(validate_framework(&filters(&[])), Err(FrameworkError::NoQuantity("r".into())));
        for value in [-1.0, f64::NAN, f64::INFINITY, 1e-310] {
            assert!(
                matches!(validate_framework(&filters(&[value])), Err(FrameworkError::Quantity { .. })),
                "{value}"
            );
        }
    }

    #[test]
    fn some_fields_stay() {
        let old = FrameworkInfo { principal: Some("p".into()), ..info() };
        assert_eq!(validate_framework_update(&old, &old), Ok(()));
        let renamed = FrameworkInfo { name: "other".into(), ..old.clone() };
        assert_eq!(validate_framework_update(&old, &renamed), Ok(()));
        assert_eq!(validate_framework_update(&old, &info()), Err(FrameworkError::PrincipalChanged));
        let mut changed = FrameworkInfo { user: "root".into(), checkpoint: Some(true), ..old.clone() };
        assert!(matches!(validate_framework_update(&old, &changed), Err(FrameworkError::UserChanged { .. })));
        assert_eq!(preserve_immutable_fields(&old, &mut changed), ["user", "checkpoint"]);
        assert_eq!(validate_framework_update(&old, &changed), Ok(()));
        let checkpoint = FrameworkInfo { checkpoint: Some(true), ..old.clone() };
        let error = validate_framework_update(&old, &checkpoint);
        assert_eq!(error, Err(FrameworkError::CheckpointChanged { from: false, to: true }));
    }

    #[test]
    fn suppressed_roles_are_the_frameworks() {
        let roles = framework_roles(&multi(&["a", "b"]));
        assert_eq!(validate_suppressed_roles(&roles, &["a".into()]), Ok(()));
        let error = validate_suppressed_roles(&roles, &["a".into(), "x".into()]);
        assert_eq!(error, Err(FrameworkError::SuppressedRole("x".into())));
    }
}
