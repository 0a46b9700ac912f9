//! Scalar quantities as thousandths in an integer (U081): sums are exact and never drift.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

/// A number with three decimals. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(i64);

impl Scalar {
    pub const ZERO: Scalar = Scalar(0);
    pub const MAX: Scalar = Scalar(i64::MAX);

    pub const fn from_millis(thousandths: i64) -> Scalar {
        Scalar(thousandths)
    }

    pub const fn from_units(units: i64) -> Scalar {
        Scalar(units.saturating_mul(1000))
    }

    /// The nearest number of thousandths; halves go away from zero. Not-a-number becomes zero.
    pub fn from_f64(value: f64) -> Scalar {
        Scalar((value * 1000.0).round() as i64)
    }

    /// As the wire and JSON carry it: whole units and thousandths are turned into floating point apart, so that equal
    /// scalars give equal doubles.
    pub fn to_f64(self) -> f64 {
        (self.0 / 1000) as f64 + (self.0 % 1000) as f64 / 1000.0
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole units, the fraction cut off.
    pub const fn units(self) -> i64 {
        self.0 / 1000
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub fn checked_add(self, other: Scalar) -> Option<Scalar> {
        self.0.checked_add(other.0).map(Scalar)
    }

    pub fn checked_sub(self, other: Scalar) -> Option<Scalar> {
        self.0.checked_sub(other.0).map(Scalar)
    }
}

impl Add for Scalar {
    type Output = Scalar;

    fn add(self, other: Scalar) -> Scalar {
        Scalar(self.0.saturating_add(other.0))
    }
}

impl Sub for Scalar {
    type Output = Scalar;

    fn sub(self, other: Scalar) -> Scalar {
        Scalar(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Scalar {
    fn add_assign(&mut self, other: Scalar) {
        *self = *self + other;
    }
}

impl SubAssign for Scalar {
    fn sub_assign(&mut self, other: Scalar) {
        *self = *self - other;
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        let (units, thousandths) = (value / 1000, value % 1000);
        write!(out, "{sign}{units}")?;
        match thousandths {
            0 => Ok(()),
            _ if thousandths % 100 == 0 => write!(out, ".{}", thousandths / 100),
            _ if thousandths % 10 == 0 => write!(out, ".{:02}", thousandths / 10),
            _ => write!(out, ".{thousandths:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// U081: three decimals, fixed point.
    #[test]
    fn three_decimals_and_no_drift() {
        let tenth = Scalar::from_f64(0.1);
        let sum = (0..10).fold(Scalar::ZERO, |sum, _| sum + tenth);
        assert_eq!(sum, Scalar::from_units(1));
        assert_eq!((sum - tenth).to_f64(), 0.9);
        assert_eq!(Scalar::from_f64(0.0004), Scalar::ZERO);
        assert_eq!(Scalar::from_f64(0.0005), Scalar::from_millis(1));
        assert_eq!(Scalar::from_f64(-1.5).to_f64(), -1.5);
        assert_eq!(Scalar::from_f64(f64::NAN), Scalar::ZERO);
        assert_eq!(Scalar::from_f64(f64::INFINITY), Scalar::MAX);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Scalar::MAX + Scalar::from_units(1), Scalar::MAX);
        assert_eq!(Scalar::MAX.checked_add(Scalar::from_millis(1)), None);
        assert_eq!(Scalar::ZERO.checked_sub(Scalar::from_millis(1)), Some(Scalar::from_millis(-1)));
    }

    #[test]
    fn scalars_print_without_trailing_zeros() {
        for (millis, text) in [(1000, "1"), (1500, "1.5"), (1050, "1.05"), (1, "0.001"), (-1500, "-1.5")] {
            assert_eq!(Scalar::from_millis(millis).to_string(), text);
        }
    }
}
