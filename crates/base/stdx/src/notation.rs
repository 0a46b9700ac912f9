//! Durations (`15secs`, `1mins`, `2weeks`) and sizes (`4KB`) as Mesos flags and JSON write them.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    #[error("'{0}' has no number in front of its unit")]
    Number(String),
    #[error("'{0}' has no known unit of time: use ns, us, ms, secs, mins, hrs, days or weeks, as in 15secs")]
    TimeUnit(String),
    #[error("'{0}' has no known unit of size: use B, KB, MB, GB or TB, as in 4KB")]
    SizeUnit(String),
    #[error("'{0}' is out of range")]
    Range(String),
}

const TIME_UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60_000_000_000),
    ("hrs", 3_600_000_000_000),
    ("days", 86_400_000_000_000),
    ("weeks", 604_800_000_000_000),
];

const SIZE_UNITS: [(&str, u64); 5] =
    [("B", 1), ("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

fn split(text: &str) -> Result<(&str, &str), NotationError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    if end == 0 {
        return Err(NotationError::Number(text.to_string()));
    }
    Ok(text.split_at(end))
}

/// Reads a duration: a number, perhaps with a fraction, and a unit with nothing in between.
pub fn parse_duration(text: &str) -> Result<Duration, NotationError> {
    let (number, unit) = split(text)?;
    let nanos = TIME_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, nanos)| *nanos)
        .ok_or_else(|| NotationError::TimeUnit(text.to_string()))?;
    let number: f64 = number.parse().map_err(|_| NotationError::Number(text.to_string()))?;
    let total = number * nanos as f64;
    if total > i64::MAX as f64 {
        return Err(NotationError::Range(text.to_string()));
    }
    Ok(Duration::from_nanos(total as u64))
}

/// Writes a duration in the largest unit of which it has at least one, with a fraction where it needs one.
pub fn format_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (name, unit) =
        TIME_UNITS.iter().rev().find(|(_, unit)| nanos >= *unit).copied().unwrap_or(TIME_UNITS[0]);
    // A whole number of a smaller unit reads better than a fraction that is not exact.
    if nanos.is_multiple_of(unit) {
        return format!("{}{name}", nanos / unit);
    }
    format!("{}{name}", nanos as f64 / unit as f64)
}

/// Reads a size in bytes: a whole number and a unit with nothing in between.
pub fn parse_size(text: &str) -> Result<u64, NotationError> {
    let (number, unit) = split(text)?;
    let factor = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
        .ok_or_else(|| NotationError::SizeUnit(text.to_string()))?;
    let number: u64 = number.parse().map_err(|_| NotationError::Number(text.to_string()))?;
    number.checked_mul(factor).ok_or_else(|| NotationError::Range(text.to_string()))
}

/// Writes a size in the largest unit that divides it.
pub fn format_size(bytes: u64) -> String {
    let (name, unit) = SIZE_UNITS
        .iter()
        .rev()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .copied()
        .unwrap_or(SIZE_UNITS[0]);
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, nanos) in [
            ("15secs", 15_000_000_000),
            ("1mins", 60_000_000_000),
            ("2weeks", 1_209_600_000_000_000),
            ("0ns", 0),
            ("1.5secs", 1_500_000_000),
            ("250ms", 250_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(format_duration(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "1.5mins");
    }

    #[test]
    fn bad_durations_say_what_is_wrong() {
        assert_eq!(parse_duration("secs"), Err(NotationError::Number("secs".into())));
        assert_eq!(parse_duration("15"), Err(NotationError::TimeUnit("15".into())));
        assert_eq!(parse_duration("15 secs"), Err(NotationError::TimeUnit("15 secs".into())));
        assert_eq!(parse_duration("1.2.3secs"), Err(NotationError::Number("1.2.3secs".into())));
        assert!(matches!(parse_duration("99999999999weeks"), Err(NotationError::Range(_))));
        assert!(parse_duration("").is_err());
        assert!(parse_duration("-1secs").is_err());
    }

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes) in [("4KB", 4096), ("2GB", 2 << 30), ("10B", 10), ("0B", 0)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), text);
        }
        assert!(parse_size("4").is_err());
        assert!(parse_size("4kb").is_err());
        assert!(parse_size("99999999999999TB").is_err());
    }
}
