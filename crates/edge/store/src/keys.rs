//! The keys of the log's records, as Apache Mesos has them: digits, so that LevelDB's order is that of the positions.

/// The replica's metadata.
pub(crate) const METADATA: &str = "0000000000";

/// What ten digits hold.
const SHORT: u64 = 9_999_999_999;

/// The key of a position, which is one more than it; `None` for the last number, which is no position.
pub(crate) fn key_of(position: u64) -> Option<String> {
    let number = position.checked_add(1)?;
    // Ten digits were all there was once; 'A' sorts behind every digit (MESOS-10186).
    Some(if number <= SHORT { format!("{number:010}") } else { format!("A{number:020}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_those_of_apache_mesos() {
        assert_eq!(key_of(0).as_deref(), Some("0000000001"));
        assert_eq!(key_of(9_999_999_998).as_deref(), Some("9999999999"));
        assert_eq!(key_of(9_999_999_999).as_deref(), Some("A00000000010000000000"));
        assert_eq!(key_of(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn keys_sort_as_positions(a in 0..u64::MAX, b in 0..u64::MAX, shift in 0u32..64) {
            let (a, b) = (a >> shift, b >> shift);
            prop_assert_eq!(key_of(a).cmp(&key_of(b)), a.cmp(&b));
            prop_assert!(key_of(a).as_deref() > Some(METADATA));
        }
    }
}
