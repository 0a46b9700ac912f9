//! The names of containers' groups, as Apache Mesos has them.

use messor_types::ContainerId;

use crate::isolator::IsolatorError;

/// Between a container and those nested in it.
pub const SEPARATOR: &str = "mesos";

/// In version 2: where a container's processes are, in its group.
pub const LEAF: &str = "leaf";

/// `ROOT/ID`, or `ROOT/ID/mesos/NESTED`.
pub fn group(root: &str, id: &ContainerId) -> Result<String, IsolatorError> {
    let value = id.value();
    if matches!(value, "" | "." | "..") || value.contains(['/', '\0']) || value.len() > 255 {
        return Err(IsolatorError::Invalid(format!(
            "the container id '{value}' cannot be the name of a control group"
        )));
    }
    Ok(match id.parent() {
        Some(parent) => format!("{}/{SEPARATOR}/{value}", group(root, parent)?),
        None => format!("{root}/{value}"),
    })
}

/// What a group below the root is.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Container(ContainerId),
    Separator,
    /// Of the agent itself, or one that a container made.
    Other,
}

/// By the names of the groups from the root down.
pub fn meaning(names: &[String]) -> Meaning {
    // The agent's own: `slave` of --agent_subsystems, `agent` of Apache Mesos after 1.11.0.
    if names.len() == 1 && ["slave", "agent"].contains(&names[0].as_str()) {
        return Meaning::Other;
    }
    let mut id: Option<ContainerId> = None;
    for (index, name) in names.iter().enumerate() {
        if index % 2 == 1 {
            if name != SEPARATOR {
                return Meaning::Other;
            }
        } else {
            id = Some(match &id {
                Some(parent) => ContainerId::nested(parent, name),
                None => ContainerId::new(name),
            });
        }
    }
    match id {
        Some(id) if names.len() % 2 == 1 => Meaning::Container(id),
        _ => Meaning::Separator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_names_of_apache_mesos() {
        let parent = ContainerId::new("p");
        let child = ContainerId::nested(&parent, "c");
        assert_eq!(group("mesos", &parent).unwrap(), "mesos/p");
        assert_eq!(group("mesos", &child).unwrap(), "mesos/p/mesos/c");
        for wrong in ["", ".", "..", "a/b"] {
            assert!(group("mesos", &ContainerId::new(wrong)).is_err());
        }
        let names = |text: &str| text.split('/').map(str::to_string).collect::<Vec<_>>();
        assert_eq!(meaning(&names("p")), Meaning::Container(parent));
        assert_eq!(meaning(&names("p/mesos")), Meaning::Separator);
        assert_eq!(meaning(&names("p/mesos/c")), Meaning::Container(child));
        for other in ["slave", "agent", "p/leaf", "p/own/c", "p/mesos/c/leaf"] {
            assert_eq!(meaning(&names(other)), Meaning::Other, "{other}");
        }
    }
}
