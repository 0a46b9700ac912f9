//! Sets of whole numbers as sorted, coalesced, inclusive ranges: ports, mostly.

use std::fmt;

use smallvec::SmallVec;

/// `begin` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    pub begin: u64,
    pub end: u64,
}

/// Ranges in ascending order, with a gap between any two of them: equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranges(SmallVec<[Range; 1]>);

impl Ranges {
    pub fn new() -> Ranges {
        Ranges::default()
    }

    /// The union of ranges in any order, which may touch and overlap. One whose begin lies behind its end is empty.
    pub fn from_unsorted(ranges: impl IntoIterator<Item = Range>) -> Ranges {
        let mut ranges: SmallVec<[Range; 1]> =
            ranges.into_iter().filter(|range| range.begin <= range.end).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let joins = next.begin <= kept.end.saturating_add(1);
            if joins {
                kept.end = kept.end.max(next.end);
            }
            joins
        });
        Ranges(ranges)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range> + '_ {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers the ranges hold.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum: u64, range| sum.saturating_add((range.end - range.begin).saturating_add(1)))
    }

    /// Every number of `other` is in here.
    pub fn contains(&self, other: &Ranges) -> bool {
        let mut mine = self.0.iter().peekable();
        other.0.iter().all(|range| {
            while mine.next_if(|candidate| candidate.end < range.begin).is_some() {}
            mine.peek().is_some_and(|candidate| candidate.begin <= range.begin && range.end <= candidate.end)
        })
    }

    pub fn contains_number(&self, number: u64) -> bool {
        let after = self.0.partition_point(|range| range.end < number);
        self.0.get(after).is_some_and(|range| range.begin <= number)
    }

    pub fn union(&self, other: &Ranges) -> Ranges {
        Ranges::from_unsorted(self.iter().chain(other.iter()))
    }

    pub fn difference(&self, other: &Ranges) -> Ranges {
        let mut result = SmallVec::new();
        let mut cuts = other.0.iter().peekable();
        'next: for range in &self.0 {
            let mut begin = range.begin;
            while let Some(cut) = cuts.peek() {
                if cut.end < begin {
                    cuts.next();
                    continue;
                }
                if cut.begin > range.end {
                    break;
                }
                if begin < cut.begin {
                    result.push(Range { begin, end: cut.begin - 1 });
                }
                if cut.end >= range.end {
                    continue 'next;
                }
                begin = cut.end + 1;
            }
            result.push(Range { begin, end: range.end });
        }
        Ranges(result)
    }

    pub fn intersection(&self, other: &Ranges) -> Ranges {
        let mut result = SmallVec::new();
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (begin, end) = (a.begin.max(b.begin), a.end.min(b.end));
            if begin <= end {
                result.push(Range { begin, end });
            }
            if a.end <= b.end {
                left.next()
            } else {
                right.next()
            };
        }
        Ranges(result)
    }
}

impl FromIterator<(u64, u64)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(pairs: I) -> Ranges {
        Ranges::from_unsorted(pairs.into_iter().map(|(begin, end)| Range { begin, end }))
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[")?;
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(out, "{comma}{}-{}", range.begin, range.end)?;
        }
        out.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Ranges {
        pairs.iter().copied().collect()
    }

    #[test]
    fn fixed_examples() {
        assert_eq!(ranges(&[(5, 9), (1, 4), (20, 30), (8, 12)]), ranges(&[(1, 12), (20, 30)]));
        assert_eq!(ranges(&[(1, 10)]).difference(&ranges(&[(3, 4), (8, 20)])), ranges(&[(1, 2), (5, 7)]));
        assert_eq!(ranges(&[(31000, 32000), (33000, 34000)]).to_string(), "[31000-32000, 33000-34000]");
        assert_eq!(ranges(&[(5, 4)]), Ranges::new());
        let all = ranges(&[(0, u64::MAX)]);
        assert_eq!(all.count(), u64::MAX);
        assert_eq!(all.difference(&ranges(&[(0, u64::MAX)])), Ranges::new());
        assert_eq!(all.union(&ranges(&[(u64::MAX, u64::MAX)])), all);
    }

    fn small() -> impl Strategy<Value = Ranges> {
        proptest::collection::vec((0u64..40, 0u64..6), 0..6)
            .prop_map(|pairs| pairs.into_iter().map(|(begin, length)| (begin, begin + length)).collect())
    }

    fn numbers(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.iter().flat_map(|range| range.begin..=range.end).collect()
    }

    proptest! {
        #[test]
        fn ranges_are_sets_of_numbers(a in small(), b in small()) {
            let (x, y) = (numbers(&a), numbers(&b));
            prop_assert_eq!(numbers(&a.union(&b)), &x | &y);
            prop_assert_eq!(numbers(&a.difference(&b)), &x - &y);
            prop_assert_eq!(numbers(&a.intersection(&b)), &x & &y);
            prop_assert_eq!(a.contains(&b), y.is_subset(&x));
            prop_assert_eq!(a.count() as usize, x.len());
            prop_assert!((0..50).all(|n| a.contains_number(n) == x.contains(&n)));
            prop_assert_eq!(a == b, x == y);
        }
    }
}
