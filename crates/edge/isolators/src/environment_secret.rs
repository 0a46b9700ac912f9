//! `environment_secret`: variables of the environment that are secrets. It is always there.

use messor_proto::mesos::Environment;
use messor_proto::mesos::environment::{Variable, variable::Type};
use messor_proto::mesos::slave::ContainerLaunchInfo;

use crate::isolator::{Container, Isolator, IsolatorError};
use crate::secrets;

#[derive(Debug)]
pub struct EnvironmentSecret;

impl Isolator for EnvironmentSecret {
    fn name(&self) -> &'static str {
        "environment_secret"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let variables = container.config.command_info.environment.as_ref().map(|all| &all.variables);
        let mut resolved = Environment::default();
        for variable in variables.into_iter().flatten().filter(|variable| variable.r#type() == Type::Secret) {
            let field = format!("environment variable '{}'", variable.name);
            let Some(secret) = &variable.secret else {
                return Err(IsolatorError::Invalid(format!("{field} is of type SECRET and needs 'secret'")));
            };
            let value = String::from_utf8(secrets::resolve(secret, &field)?.to_vec());
            let value = value.ok().filter(|value| !value.contains('\0')).ok_or_else(|| {
                IsolatorError::Invalid(format!(
                    "{field}: the secret is not a text that an environment can hold"
                ))
            })?;
            resolved.variables.push(Variable {
                name: variable.name.clone(),
                value: Some(value),
                ..Variable::default()
            });
        }
        if resolved.variables.is_empty() {
            return Ok(None);
        }
        Ok(Some(ContainerLaunchInfo {
            environment: Some(resolved.clone()),
            task_environment: Some(resolved),
            ..ContainerLaunchInfo::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use messor_proto::mesos::{Secret, secret};

    fn with(secret: Option<Secret>) -> Container {
        let mut container = container("c");
        let variable = Variable {
            name: "KEY".to_string(),
            r#type: Some(Type::Secret as i32),
            secret,
            ..Variable::default()
        };
        let plain = Variable { name: "A".to_string(), value: Some("b".to_string()), ..Variable::default() };
        container.config.command_info.environment = Some(Environment { variables: vec![plain, variable] });
        container
    }

    #[test]
    fn secrets_by_value_are_resolved() {
        let value = |data: &[u8]| Secret {
            r#type: Some(secret::Type::Value as i32),
            value: Some(secret::Value { data: data.to_vec() }),
            ..Secret::default()
        };
        let info = EnvironmentSecret.prepare(&with(Some(value(b"hidden")))).unwrap().unwrap();
        let environment = info.environment.unwrap();
        assert_eq!(environment.variables.len(), 1);
        assert_eq!(environment.variables[0].value.as_deref(), Some("hidden"));
        assert_eq!(info.task_environment.unwrap(), environment);
        assert_eq!(EnvironmentSecret.prepare(&container("c")).unwrap(), None);
        assert!(EnvironmentSecret.prepare(&with(Some(value(b"\xff")))).is_err());
    }

    #[test]
    fn secrets_by_reference_are_not_supported_yet() {
        let reference = Secret {
            r#type: Some(secret::Type::Reference as i32),
            reference: Some(secret::Reference { name: "n".to_string(), key: None }),
            ..Secret::default()
        };
        let error = EnvironmentSecret.prepare(&with(Some(reference))).unwrap_err().to_string();
        assert_eq!(error, "not supported yet: environment variable 'KEY': secrets by reference");
        assert!(EnvironmentSecret.prepare(&with(None)).is_err());
    }
}
