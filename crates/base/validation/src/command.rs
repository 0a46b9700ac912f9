//! CommandInfo, its environment and the secrets in it.

use messor_proto::mesos::{CommandInfo, Environment, Secret, environment::variable, secret};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("a secret of type REFERENCE needs its 'reference' and no 'value'")]
    SecretReference,
    #[error("a secret of type VALUE needs its 'value' and no 'reference'")]
    SecretValue,
    #[error("environment variable '{0}' of type SECRET needs its 'secret' and no 'value'")]
    VariableSecret(String),
    #[error("environment variable '{0}' of type VALUE needs its 'value' and no 'secret'")]
    VariableValue(String),
    #[error("environment variable '{0}' has no known type: use VALUE or SECRET")]
    VariableType(String),
    #[error("environment variable '{0}' has a secret with a null byte, which no environment can hold")]
    NullByte(String),
    #[error("environment variable '{name}': {error}")]
    Secret { name: String, error: Box<CommandError> },
}

pub fn validate_command(command: &CommandInfo) -> Result<(), CommandError> {
    command.environment.as_ref().map_or(Ok(()), validate_environment)
}

fn validate_environment(environment: &Environment) -> Result<(), CommandError> {
    for variable in &environment.variables {
        let name = || variable.name.clone();
        match variable.r#type() {
            variable::Type::Secret => {
                let (Some(secret), None) = (&variable.secret, &variable.value) else {
                    return Err(CommandError::VariableSecret(name()));
                };
                validate_secret(secret)
                    .map_err(|error| CommandError::Secret { name: name(), error: Box::new(error) })?;
                if secret.value.as_ref().is_some_and(|value| value.data.contains(&0)) {
                    return Err(CommandError::NullByte(name()));
                }
            }
            variable::Type::Value if variable.value.is_none() || variable.secret.is_some() => {
                return Err(CommandError::VariableValue(name()));
            }
            variable::Type::Value => {}
            variable::Type::Unknown => return Err(CommandError::VariableType(name())),
        }
    }
    Ok(())
}

pub fn validate_secret(secret: &Secret) -> Result<(), CommandError> {
    let has = (secret.reference.is_some(), secret.value.is_some());
    match secret.r#type() {
        secret::Type::Reference if has != (true, false) => Err(CommandError::SecretReference),
        secret::Type::Value if has != (false, true) => Err(CommandError::SecretValue),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::environment::Variable;

    fn command(variable: Variable) -> CommandInfo {
        CommandInfo { environment: Some(Environment { variables: vec![variable] }), ..Default::default() }
    }

    fn secret(kind: secret::Type, reference: bool, value: Option<&[u8]>) -> Secret {
        Secret {
            r#type: Some(kind as i32),
            reference: reference.then(|| secret::Reference { name: "r".into(), key: None }),
            value: value.map(|data| secret::Value { data: data.to_vec() }),
        }
    }

    #[test]
    fn secrets_have_what_their_type_says() {
        use secret::Type::{Reference, Unknown, Value};
        for (kind, reference, value, expected) in [
            (Reference, true, None, Ok(())),
            (Reference, false, None, Err(CommandError::SecretReference)),
            (Reference, true, Some(&b"x"[..]), Err(CommandError::SecretReference)),
            (Value, false, Some(&b"x"[..]), Ok(())),
            (Value, true, Some(&b"x"[..]), Err(CommandError::SecretValue)),
            (Value, false, None, Err(CommandError::SecretValue)),
            (Unknown, false, None, Ok(())),
        ] {
            assert_eq!(
                validate_secret(&secret(kind, reference, value)),
                expected,
                "{kind:?} {reference} {value:?}"
            );
        }
    }

    #[test]
    fn variables_have_what_their_type_says() {
        let variable = |kind: Option<variable::Type>, value: Option<&str>, secret: Option<Secret>| Variable {
            name: "V".into(),
            r#type: kind.map(|kind| kind as i32),
            value: value.map(str::to_string),
            secret,
        };
        let good = secret(secret::Type::Value, false, Some(b"x"));
        let null = secret(secret::Type::Value, false, Some(b"x\0y"));
        let bad = secret(secret::Type::Value, false, None);
        let kind = |kind| Some(kind);
        assert_eq!(validate_command(&CommandInfo::default()), Ok(()));
        for (variable, expected) in [
            (variable(None, Some("v"), None), Ok(())),
            (variable(None, None, None), Err(CommandError::VariableValue("V".into()))),
            (
                variable(kind(variable::Type::Value), Some("v"), Some(good.clone())),
                Err(CommandError::VariableValue("V".into())),
            ),
            (variable(kind(variable::Type::Secret), None, Some(good.clone())), Ok(())),
            (
                variable(kind(variable::Type::Secret), None, None),
                Err(CommandError::VariableSecret("V".into())),
            ),
            (
                variable(kind(variable::Type::Secret), Some("v"), Some(good)),
                Err(CommandError::VariableSecret("V".into())),
            ),
            (
                variable(kind(variable::Type::Secret), None, Some(null)),
                Err(CommandError::NullByte("V".into())),
            ),
            (
                variable(kind(variable::Type::Secret), None, Some(bad)),
                Err(CommandError::Secret { name: "V".into(), error: Box::new(CommandError::SecretValue) }),
            ),
            (
                variable(kind(variable::Type::Unknown), Some("v"), None),
                Err(CommandError::VariableType("V".into())),
            ),
        ] {
            assert_eq!(validate_command(&command(variable.clone())), expected, "{variable:?}");
        }
    }
}
