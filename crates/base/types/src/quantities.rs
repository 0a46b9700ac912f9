//! Amounts by name, without metadata: what shares, quotas and minimal offers are counted in.

use std::fmt;
use std::ops::{AddAssign, SubAssign};

use smallvec::SmallVec;

use crate::{ResourceName, Scalar};

/// Positive amounts in the order of their names; what is not here is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceQuantities(SmallVec<[(ResourceName, Scalar); 4]>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantitiesError {
    #[error("'{0}' is no quantity: write it as in cpus:0.01;mem:32")]
    Pair(String),
    #[error("the quantity of '{0}' is no number that is zero or more")]
    Number(String),
    #[error("the quantity of '{0}' is given twice")]
    Twice(String),
}

impl ResourceQuantities {
    pub fn new() -> ResourceQuantities {
        ResourceQuantities::default()
    }

    /// Reads `cpus:0.01;mem:32`.
    pub fn parse(text: &str) -> Result<ResourceQuantities, QuantitiesError> {
        let mut result = ResourceQuantities::new();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, number) =
                pair.split_once(':').ok_or_else(|| QuantitiesError::Pair(pair.to_string()))?;
            let name = name.trim();
            if name.is_empty() {
                return Err(QuantitiesError::Pair(pair.to_string()));
            }
            let number: f64 = number
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite() && *number >= 0.0)
                .ok_or_else(|| QuantitiesError::Number(name.to_string()))?;
            let name = ResourceName::new(name);
            if !result.get(&name).is_zero() {
                return Err(QuantitiesError::Twice(name.to_string()));
            }
            result.add(&name, Scalar::from_f64(number));
        }
        Ok(result)
    }

    pub fn get(&self, name: &ResourceName) -> Scalar {
        self.0.iter().find(|(candidate, _)| candidate == name).map_or(Scalar::ZERO, |(_, amount)| *amount)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ResourceName, Scalar)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    pub fn add(&mut self, name: &ResourceName, amount: Scalar) {
        if amount <= Scalar::ZERO {
            return;
        }
        match self.0.iter().position(|(candidate, _)| candidate >= name) {
            Some(at) if self.0[at].0 == *name => self.0[at].1 += amount,
            Some(at) => self.0.insert(at, (name.clone(), amount)),
            None => self.0.push((name.clone(), amount)),
        }
    }

    /// Takes away; nothing goes below zero.
    pub fn subtract(&mut self, name: &ResourceName, amount: Scalar) {
        if let Some(at) = self.0.iter().position(|(candidate, _)| candidate == name) {
            self.0[at].1 -= amount;
            if self.0[at].1 <= Scalar::ZERO {
                self.0.remove(at);
            }
        }
    }

    pub fn contains(&self, other: &ResourceQuantities) -> bool {
        other.iter().all(|(name, amount)| self.get(name) >= amount)
    }
}

impl AddAssign<&ResourceQuantities> for ResourceQuantities {
    fn add_assign(&mut self, other: &ResourceQuantities) {
        for (name, amount) in other.iter() {
            self.add(name, amount);
        }
    }
}

impl SubAssign<&ResourceQuantities> for ResourceQuantities {
    fn sub_assign(&mut self, other: &ResourceQuantities) {
        for (name, amount) in other.iter() {
            self.subtract(name, amount);
        }
    }
}

impl<T: Into<ResourceName>> FromIterator<(T, Scalar)> for ResourceQuantities {
    fn from_iter<I: IntoIterator<Item = (T, Scalar)>>(pairs: I) -> ResourceQuantities {
        let mut result = ResourceQuantities::new();
        for (name, amount) in pairs {
            result.add(&name.into(), amount);
        }
        result
    }
}

impl fmt::Display for ResourceQuantities {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("{}");
        }
        for (i, (name, amount)) in self.iter().enumerate() {
            let comma = if i > 0 { "; " } else { "" };
            write!(out, "{comma}{name}:{amount}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_count() {
        let mut amounts = ResourceQuantities::parse("mem:32;cpus:0.01").unwrap();
        assert_eq!(amounts.to_string(), "cpus:0.01; mem:32");
        amounts += &ResourceQuantities::parse("disk:1;cpus:1").unwrap();
        assert_eq!(amounts.to_string(), "cpus:1.01; disk:1; mem:32");
        assert!(amounts.contains(&ResourceQuantities::parse("cpus:1").unwrap()));
        assert!(!amounts.contains(&ResourceQuantities::parse("gpus:1").unwrap()));
        amounts -= &ResourceQuantities::parse("cpus:5;mem:2;x:1").unwrap();
        assert_eq!(amounts.to_string(), "disk:1; mem:30");
        assert_eq!(ResourceQuantities::parse(""), Ok(ResourceQuantities::new()));
    }

    #[test]
    fn bad_quantities_are_named() {
        assert_eq!(ResourceQuantities::parse("cpus"), Err(QuantitiesError::Pair("cpus".into())));
        assert_eq!(ResourceQuantities::parse("cpus:x"), Err(QuantitiesError::Number("cpus".into())));
        assert_eq!(ResourceQuantities::parse("cpus:-1"), Err(QuantitiesError::Number("cpus".into())));
        assert_eq!(ResourceQuantities::parse("cpus:1;cpus:2"), Err(QuantitiesError::Twice("cpus".into())));
    }
}
