//! Role names: what makes one valid, and how one stands to another in the hierarchy (`a/b` is a subrole of `a`).

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A role by name. Cheap to clone, and compared by pointer first: most comparisons are of the same role.
#[derive(Clone, Eq)]
pub struct Role(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    #[error("a role cannot be the empty string")]
    Empty,
    #[error("role '{0}' begins with a slash: write it as in 'a/b'")]
    LeadingSlash(String),
    #[error("role '{0}' ends with a slash: write it as in 'a/b'")]
    TrailingSlash(String),
    #[error("role '{0}' has two slashes in a row: write it as in 'a/b'")]
    AdjacentSlashes(String),
    #[error("role '{role}' has '{component}' as a component: '.', '..' and '*' are not allowed there")]
    Component { role: String, component: String },
    #[error("role '{role}' has the component '{component}', which begins with a dash")]
    Dash { role: String, component: String },
    #[error("role '{role}' has the component '{component}', which contains whitespace or a backspace")]
    Character { role: String, component: String },
}

/// Whether `role` is a valid name of a role.
pub fn validate_role(role: &str) -> Result<(), RoleError> {
    if role == "*" {
        return Ok(());
    }
    if role.is_empty() {
        return Err(RoleError::Empty);
    }
    if role.starts_with('/') {
        return Err(RoleError::LeadingSlash(role.to_string()));
    }
    if role.ends_with('/') {
        return Err(RoleError::TrailingSlash(role.to_string()));
    }
    for component in role.split('/') {
        let owned = || (role.to_string(), component.to_string());
        match component {
            "" => return Err(RoleError::AdjacentSlashes(role.to_string())),
            "." | ".." | "*" => {
                let (role, component) = owned();
                return Err(RoleError::Component { role, component });
            }
            _ if component.starts_with('-') => {
                let (role, component) = owned();
                return Err(RoleError::Dash { role, component });
            }
            _ if component.bytes().any(|byte| matches!(byte, 0x09..=0x0d | b' ' | 0x7f)) => {
                let (role, component) = owned();
                return Err(RoleError::Character { role, component });
            }
            _ => {}
        }
    }
    Ok(())
}

impl Role {
    /// A role from its name, if that is valid.
    pub fn parse(name: &str) -> Result<Role, RoleError> {
        validate_role(name)?;
        Ok(Role::new(name))
    }

    /// A role whose name was validated before, or comes from a peer that did so.
    pub fn new(name: &str) -> Role {
        if name == "*" { Role::star() } else { Role(name.into()) }
    }

    /// The default role `*`.
    pub fn star() -> Role {
        static STAR: OnceLock<Role> = OnceLock::new();
        STAR.get_or_init(|| Role("*".into())).clone()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_star(&self) -> bool {
        &*self.0 == "*"
    }

    /// Whether this role stands below `other`: `a/b` below `a`, but not `a` below `a`, nor `ab` below `a`.
    pub fn is_strict_subrole_of(&self, other: &Role) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    pub fn is_same_or_subrole_of(&self, other: &Role) -> bool {
        self == other || self.is_strict_subrole_of(other)
    }

    /// The role above, of which there is none for a top-level role.
    pub fn parent(&self) -> Option<Role> {
        self.0.rsplit_once('/').map(|(parent, _)| Role::new(parent))
    }

    /// All roles above, nearest first: `a/b`, `a` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = Role> + use<> {
        std::iter::successors(self.parent(), Role::parent)
    }

    pub fn is_hierarchical(&self) -> bool {
        self.0.contains('/')
    }
}

impl PartialEq for Role {
    fn eq(&self, other: &Role) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl PartialOrd for Role {
    fn partial_cmp(&self, other: &Role) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Role {
    fn cmp(&self, other: &Role) -> std::cmp::Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { std::cmp::Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl std::hash::Hash for Role {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Borrow<str> for Role {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Role {
    fn from(name: &str) -> Role {
        Role::new(name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid_names() {
        for name in ["*", "a", "a/b/c", "web.prod", "a-b", "a\\b", "...", "ä", "a*"] {
            assert_eq!(validate_role(name), Ok(()), "{name}");
        }
        for name in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/../b", "a/*", "-a", "a/-b", "a b", "a\tb",
            "\x7f",
        ] {
            assert!(validate_role(name).is_err(), "{name:?}");
        }
        assert_eq!(
            validate_role("a/-b").unwrap_err().to_string(),
            "role 'a/-b' has the component '-b', which begins with a dash"
        );
    }

    #[test]
    fn the_hierarchy() {
        let role = Role::new("a/b/c");
        assert!(role.is_strict_subrole_of(&Role::new("a")));
        assert!(role.is_strict_subrole_of(&Role::new("a/b")));
        assert!(!role.is_strict_subrole_of(&role));
        assert!(role.is_same_or_subrole_of(&role));
        assert!(!Role::new("ab").is_strict_subrole_of(&Role::new("a")));
        assert_eq!(role.ancestors().collect::<Vec<_>>(), [Role::new("a/b"), Role::new("a")]);
        assert_eq!(Role::star().ancestors().count(), 0);
    }
}
