//! What an agent may say that it has: no more than can be added up, and what Mesos knows in the kind that Mesos knows.

use crate::{Resource, ResourceName, Resources, Scalar, Value};

/// Sums over agents end at nine thousand times as much: one agent that claims more would spoil what everybody's shares are
/// reckoned by.
pub const MOST_OF_A_RESOURCE: Scalar = Scalar::from_units(1_000_000_000_000);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("'{0}': more than {MOST_OF_A_RESOURCE} of a resource cannot be added up")]
    TooMuch(String),
    #[error("'{resource}': {name} has to be {kind}")]
    Kind { resource: String, name: ResourceName, kind: &'static str },
}

/// That no scalar is larger than [`MOST_OF_A_RESOURCE`].
pub fn validate_amounts(resources: &Resources) -> Result<(), AmountError> {
    let too_much = |resource: &&Resource| resource.as_scalar().is_some_and(|one| one > MOST_OF_A_RESOURCE);
    match resources.iter().find(too_much) {
        Some(resource) => Err(AmountError::TooMuch(resource.to_string())),
        None => Ok(()),
    }
}

/// That cpus, mem, disk and gpus are scalars, gpus whole ones, and ports ranges.
pub fn validate_kinds(resources: &Resources) -> Result<(), AmountError> {
    let scalars = [ResourceName::CPUS, ResourceName::MEM, ResourceName::DISK, ResourceName::GPUS];
    for resource in resources.iter() {
        let name = resource.name();
        let kind = match resource.value() {
            Value::Scalar(amount) if *name == ResourceName::GPUS && amount.millis() % 1000 != 0 => {
                "a whole number"
            }
            Value::Scalar(_) if *name == ResourceName::PORTS => "ranges, such as [31000-32000]",
            Value::Set(_) if *name == ResourceName::PORTS => "ranges, such as [31000-32000]",
            Value::Ranges(_) | Value::Set(_) if scalars.contains(name) => "a number",
            _ => continue,
        };
        return Err(AmountError::Kind { resource: resource.to_string(), name: name.clone(), kind });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, parse_resources};

    fn read(text: &str) -> Resources {
        parse_resources(text, &Role::new("*")).unwrap()
    }

    #[test]
    fn what_cannot_be_added_up_is_refused() {
        assert_eq!(validate_amounts(&read("cpus:1000000000000;ports:[1-9];x:{a}")), Ok(()));
        for wrong in ["cpus:1e300", "mem:1000000000000.001", "a:1;b:1e19"] {
            assert!(matches!(validate_amounts(&read(wrong)), Err(AmountError::TooMuch(_))), "{wrong}");
        }
    }

    #[test]
    fn what_mesos_knows_has_its_kind() {
        assert_eq!(
            validate_kinds(&read("cpus:0.5;mem:1;disk:2;gpus:3;ports:[1-2];bugs:{a};own:[1-2]")),
            Ok(())
        );
        for wrong in ["cpus:[1-2]", "mem:{a}", "disk:[1-2]", "gpus:1.5", "gpus:{a}", "ports:{a}", "ports:1"] {
            let name = wrong.split(':').next().unwrap();
            let told = validate_kinds(&read(wrong)).unwrap_err().to_string();
            assert!(told.contains(name) && told.contains("has to be"), "{wrong}: {told}");
        }
    }
}
