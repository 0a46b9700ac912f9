//! Resources as operators write them in flags: `cpus:4;mem:1024;ports:[31000-32000]`, or a JSON array of Resource.

use std::collections::BTreeMap;

use messor_proto::{Version, Wire, mesos};

use crate::{
    Reservation, ReservationKind, Resource, ResourceError, ResourceName, Resources, Role, RoleError,
    ValueError, parse_value,
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesTextError {
    #[error("'{0}' is no resource: write it as in cpus:4 or cpus(role):4, with ';' between resources")]
    Pair(String),
    #[error("'{0}' has parentheses that do not match: write it as in cpus(role):4")]
    Parentheses(String),
    #[error("the value of resource '{name}' cannot be read: {error}")]
    Value { name: String, error: ValueError },
    #[error("the role of resource '{name}' is invalid: {error}")]
    Role { name: String, error: RoleError },
    #[error("the JSON of the resources cannot be read: {0}")]
    Json(String),
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error(
        "resource '{0}' is a persistent volume: these are created by frameworks and operators at run time"
    )]
    PersistentVolume(String),
    #[error("resource '{0}' is revocable: remove its key 'revocable'")]
    Revocable(String),
    #[error("resource '{0}' has a DYNAMIC reservation: only STATIC ones can be given here")]
    Dynamic(String),
    #[error("resource '{0}' is given with different types")]
    Types(String),
}

/// Reads resources from text or JSON. Those that name no role are reserved for `default_role`, unless it is `*`.
pub fn parse_resources(text: &str, default_role: &Role) -> Result<Resources, ResourcesTextError> {
    let list = if text.trim_start().starts_with('[') {
        from_json(text, default_role)?
    } else {
        from_pairs(text, default_role)?
    };
    check(&list)?;
    Ok(list.into_iter().collect())
}

fn from_pairs(text: &str, default_role: &Role) -> Result<Vec<Resource>, ResourcesTextError> {
    let mut result = Vec::new();
    for token in text.split(';').filter(|token| !token.trim().is_empty()) {
        let wrong = || ResourcesTextError::Pair(token.trim().to_string());
        let (left, right) = token.split_once(':').ok_or_else(wrong)?;
        if right.contains(':') {
            return Err(wrong());
        }
        let (name, role) = match left.split_once('(') {
            None => (left.trim(), default_role.clone()),
            Some((name, rest)) => {
                let role = rest
                    .trim()
                    .strip_suffix(')')
                    .ok_or_else(|| ResourcesTextError::Parentheses(token.trim().to_string()))?;
                let role = Role::parse(role.trim())
                    .map_err(|error| ResourcesTextError::Role { name: name.trim().to_string(), error })?;
                (name.trim(), role)
            }
        };
        if name.is_empty() {
            return Err(wrong());
        }
        let value = parse_value(right)
            .map_err(|error| ResourcesTextError::Value { name: name.to_string(), error })?;
        let mut resource = Resource::new(ResourceName::new(name), value);
        if !role.is_star() {
            resource = resource.with_reservation(Reservation {
                kind: ReservationKind::Static,
                role,
                principal: None,
                labels: None,
            });
        }
        result.push(resource);
    }
    Ok(result)
}

#[allow(deprecated)] // `Resource.role` is what the older form is made of.
fn from_json(text: &str, default_role: &Role) -> Result<Vec<Resource>, ResourcesTextError> {
    let list = mesos::Resource::list_from_json(text.as_bytes(), Version::V0)
        .map_err(|error| ResourcesTextError::Json(error.to_string()))?;
    list.into_iter()
        .map(|mut resource| {
            if resource.role.is_none() && resource.reservations.is_empty() {
                resource.role = Some(default_role.to_string());
            }
            Ok(Resource::from_proto(&resource)?)
        })
        .collect()
}

/// Some things exist only once a cluster runs, and cannot be given by flags.
fn check(list: &[Resource]) -> Result<(), ResourcesTextError> {
    let mut kinds = BTreeMap::new();
    for resource in list {
        let name = resource.name().to_string();
        if resource.is_persistent_volume() {
            return Err(ResourcesTextError::PersistentVolume(name));
        }
        if resource.is_revocable() {
            return Err(ResourcesTextError::Revocable(name));
        }
        if resource.is_dynamically_reserved() {
            return Err(ResourcesTextError::Dynamic(name));
        }
        let kind = std::mem::discriminant(resource.value());
        if *kinds.entry(name.clone()).or_insert(kind) != kind {
            return Err(ResourcesTextError::Types(name));
        }
    }
    Ok(())
}
