//! Sets of whole numbers as sorted, coalesced, inclusive ranges: ports, mostly.

use std::fmt;
use std::sync::Arc;

/// `begin` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    pub begin: u64,
    pub end: u64,
}

/// Ranges in ascending order, with a gap between any two of them: equal sets are equal values. One range stands here;
/// several are shared by all copies, which are many, and are compared by pointer first.
#[derive(Clone, Default)]
pub struct Ranges(Held);

#[derive(Clone, Default)]
enum Held {
    #[default]
    Nothing,
    One(Range),
    /// Two at least.
    Many(Arc<[Range]>),
}

impl Ranges {
    pub fn new() -> Ranges {
        Ranges::default()
    }

    /// From ranges in ascending order with gaps between them.
    fn from_sorted(ranges: Vec<Range>) -> Ranges {
        Ranges(match ranges[..] {
            [] => Held::Nothing,
            [one] => Held::One(one),
            _ => Held::Many(ranges.into()),
        })
    }

    /// The union of ranges in any order, which may touch and overlap. One whose begin lies behind its end is empty.
    pub fn from_unsorted(ranges: impl IntoIterator<Item = Range>) -> Ranges {
        let mut ranges: Vec<Range> = ranges.into_iter().filter(|range| range.begin <= range.end).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let joins = next.begin <= kept.end.saturating_add(1);
            if joins {
                kept.end = kept.end.max(next.end);
            }
            joins
        });
        Ranges::from_sorted(ranges)
    }

    fn as_slice(&self) -> &[Range] {
        match &self.0 {
            Held::Nothing => &[],
            Held::One(one) => std::slice::from_ref(one),
            Held::Many(many) => many,
        }
    }

    /// The same ranges in the same place: equal without a look.
    fn is_same(&self, other: &Ranges) -> bool {
        matches!((&self.0, &other.0), (Held::Many(mine), Held::Many(others)) if Arc::ptr_eq(mine, others))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range> + '_ {
        self.as_slice().iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        matches!(self.0, Held::Nothing)
    }

    /// How many numbers the ranges hold.
    pub fn count(&self) -> u64 {
        self.as_slice()
            .iter()
            .fold(0, |sum: u64, range| sum.saturating_add((range.end - range.begin).saturating_add(1)))
    }

    /// Every number of `other` is in here.
    pub fn contains(&self, other: &Ranges) -> bool {
        if self.is_same(other) {
            return true;
        }
        let mut mine = self.as_slice().iter().peekable();
        other.as_slice().iter().all(|range| {
            while mine.next_if(|candidate| candidate.end < range.begin).is_some() {}
            mine.peek().is_some_and(|candidate| candidate.begin <= range.begin && range.end <= candidate.end)
        })
    }

    pub fn contains_number(&self, number: u64) -> bool {
        let after = self.as_slice().partition_point(|range| range.end < number);
        self.as_slice().get(after).is_some_and(|range| range.begin <= number)
    }

    pub fn union(&self, other: &Ranges) -> Ranges {
        if other.is_empty() || self.is_same(other) {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        let mut result: Vec<Range> = Vec::with_capacity(self.as_slice().len() + other.as_slice().len());
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if b < a => right.next(),
                (Some(_), _) => left.next(),
                (None, _) => right.next(),
            };
            let Some(next) = next else { return Ranges::from_sorted(result) };
            match result.last_mut() {
                Some(last) if next.begin <= last.end.saturating_add(1) => last.end = last.end.max(next.end),
                _ => result.push(next),
            }
        }
    }

    pub fn difference(&self, other: &Ranges) -> Ranges {
        if self.is_same(other) {
            return Ranges::new();
        }
        let mut result = Vec::new();
        let mut cuts = other.as_slice().iter().peekable();
        'next: for range in self.as_slice() {
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
        Ranges::from_sorted(result)
    }

    pub fn intersection(&self, other: &Ranges) -> Ranges {
        let mut result = Vec::new();
        let (mut left, mut right) = (self.as_slice().iter().peekable(), other.as_slice().iter().peekable());
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
        Ranges::from_sorted(result)
    }
}

impl PartialEq for Ranges {
    fn eq(&self, other: &Ranges) -> bool {
        self.is_same(other) || self.as_slice() == other.as_slice()
    }
}

impl Eq for Ranges {}

impl std::hash::Hash for Ranges {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Ranges {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.as_slice()).finish()
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
        for (i, range) in self.as_slice().iter().enumerate() {
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
