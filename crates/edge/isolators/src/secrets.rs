//! What a secret is. There is no resolver yet, so those by reference are an error, as they are in Apache Mesos without one.

use messor_proto::mesos::Secret;
use messor_proto::mesos::secret::Type;
use messor_validation::validate_secret;

use crate::isolator::IsolatorError;

/// The data of a secret; `field` says where it stands.
pub fn resolve<'a>(secret: &'a Secret, field: &str) -> Result<&'a [u8], IsolatorError> {
    validate_secret(secret).map_err(|error| IsolatorError::Invalid(format!("{field}: {error}")))?;
    match (secret.r#type(), &secret.value) {
        (Type::Value, Some(value)) => Ok(&value.data),
        (Type::Reference, _) => Err(IsolatorError::NotSupported(format!("{field}: secrets by reference"))),
        _ => Err(IsolatorError::Invalid(format!("{field}: a secret needs a known 'type'"))),
    }
}
