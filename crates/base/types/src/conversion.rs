//! What an operation does to resources: some are consumed, others stand in their place.

use crate::Resources;

/// `consumed` becomes `converted`: unreserved disk a reservation, a reservation a volume. An empty `consumed` is one
/// more copy of something shared; an empty `converted` is a removal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceConversion {
    pub consumed: Resources,
    pub converted: Resources,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    #[error("{resources} does not contain {consumed}")]
    Missing { resources: String, consumed: String },
    #[error("the persistent volume {0} cannot be removed: there are more copies of it")]
    Copies(String),
}

impl Resources {
    /// Carries out conversions one after another; all of them or none.
    pub fn convert<'a>(
        &self,
        conversions: impl IntoIterator<Item = &'a ResourceConversion>,
    ) -> Result<Resources, ConversionError> {
        let mut result = self.clone();
        for conversion in conversions {
            if !result.contains(&conversion.consumed) {
                return Err(ConversionError::Missing {
                    resources: result.to_string(),
                    consumed: conversion.consumed.to_string(),
                });
            }
            result -= &conversion.consumed;
            // Something shared goes as a whole, or others would be left with what is not there.
            let mut gone = conversion.consumed.iter().filter(|consumed| consumed.is_shared());
            if let Some(left) = gone.find(|consumed| result.contains_resource(consumed)) {
                return Err(ConversionError::Copies(left.to_string()));
            }
            result += &conversion.converted;
        }
        Ok(result)
    }
}
