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
#[error("{resources} does not contain {consumed}")]
pub struct ConversionError {
    pub resources: String,
    pub consumed: String,
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
                return Err(ConversionError {
                    resources: result.to_string(),
                    consumed: conversion.consumed.to_string(),
                });
            }
            result -= &conversion.consumed;
            result += &conversion.converted;
        }
        Ok(result)
    }
}
