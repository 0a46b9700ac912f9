//! The ids of the cluster's things: newtypes that are cheap to clone, ordered and printable. They say nothing about
//! how an id looks; the few that Mesos composes (agents, frameworks, offers) are composed here, from numbers told.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use messor_proto::mesos;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(value: &str) -> $name {
                $name(value.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> $name {
                $name(value.into())
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> $name {
                $name(value.into())
            }
        }

        impl From<&mesos::$name> for $name {
            fn from(id: &mesos::$name) -> $name {
                $name(id.value.as_str().into())
            }
        }

        impl From<mesos::$name> for $name {
            fn from(id: mesos::$name) -> $name {
                $name(id.value.into())
            }
        }

        impl From<&$name> for mesos::$name {
            fn from(id: &$name) -> mesos::$name {
                mesos::$name { value: id.0.to_string() }
            }
        }

        impl From<$name> for mesos::$name {
            fn from(id: $name) -> mesos::$name {
                mesos::$name { value: id.0.to_string() }
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, out)
            }
        }
    )*};
}

ids! {
    FrameworkId;
    AgentId;
    ExecutorId;
    TaskId;
    OfferId;
    OperationId;
    ResourceProviderId;
}

impl AgentId {
    /// The id of the `number`th agent that a master admitted: `MASTER-S0`.
    pub fn numbered(master_id: &str, number: u64) -> AgentId {
        AgentId(format!("{master_id}-S{number}").into())
    }
}

impl FrameworkId {
    /// The id of the `number`th framework that a master admitted: `MASTER-0000`.
    pub fn numbered(master_id: &str, number: u64) -> FrameworkId {
        FrameworkId(format!("{master_id}-{number:04}").into())
    }
}

impl OfferId {
    /// The id of the `number`th offer that a master made: `MASTER-O0`.
    pub fn numbered(master_id: &str, number: u64) -> OfferId {
        OfferId(format!("{master_id}-O{number}").into())
    }
}

/// The id of a container, which may be nested in a parent. Printed from the root down, with dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    parent: Option<Arc<ContainerId>>,
    value: Arc<str>,
}

impl ContainerId {
    pub fn new(value: &str) -> ContainerId {
        ContainerId { parent: None, value: value.into() }
    }

    pub fn nested(parent: &ContainerId, value: &str) -> ContainerId {
        ContainerId { parent: Some(Arc::new(parent.clone())), value: value.into() }
    }

    /// This container's own part of the id.
    pub fn value(&self) -> &str {
        &self.value
    }

    pub fn parent(&self) -> Option<&ContainerId> {
        self.parent.as_deref()
    }

    /// The outermost container: itself where it is not nested.
    pub fn root(&self) -> &ContainerId {
        let mut id = self;
        while let Some(parent) = id.parent() {
            id = parent;
        }
        id
    }
}

impl From<&mesos::ContainerId> for ContainerId {
    fn from(id: &mesos::ContainerId) -> ContainerId {
        ContainerId {
            parent: id.parent.as_deref().map(|parent| Arc::new(parent.into())),
            value: id.value.as_str().into(),
        }
    }
}

impl From<&ContainerId> for mesos::ContainerId {
    fn from(id: &ContainerId) -> mesos::ContainerId {
        mesos::ContainerId {
            value: id.value.to_string(),
            parent: id.parent().map(|parent| Box::new(parent.into())),
        }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent() {
            write!(out, "{parent}.")?;
        }
        out.write_str(&self.value)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_ids_look_as_in_mesos() {
        assert_eq!(AgentId::numbered("m", 0).as_str(), "m-S0");
        assert_eq!(FrameworkId::numbered("m", 7).as_str(), "m-0007");
        assert_eq!(FrameworkId::numbered("m", 12345).as_str(), "m-12345");
        assert_eq!(OfferId::numbered("m", 12).as_str(), "m-O12");
    }

    #[test]
    fn ids_pass_through_protobuf() {
        let id = FrameworkId::new("m-0001");
        let wire = mesos::FrameworkId::from(&id);
        assert_eq!(wire.value, "m-0001");
        assert_eq!(FrameworkId::from(wire), id);
    }

    #[test]
    fn nested_containers_print_from_the_root_down() {
        let id = ContainerId::nested(&ContainerId::nested(&ContainerId::new("a"), "b"), "c");
        assert_eq!(id.to_string(), "a.b.c");
        assert_eq!(id.root(), &ContainerId::new("a"));
        let wire = mesos::ContainerId::from(&id);
        assert_eq!(ContainerId::from(&wire), id);
    }
}
