//! A set of positions as ranges: memory grows with gaps, not with positions.

use std::collections::BTreeMap;

/// Ranges that neither overlap nor touch: first position to last position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<u64, u64>);

impl Positions {
    pub fn range(first: u64, last: u64) -> Positions {
        let mut positions = Positions::default();
        positions.insert(first, last);
        positions
    }

    /// Adds `first..=last`; nothing where first is after last.
    pub fn insert(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let (mut first, mut last) = (first, last);
        // The ranges that overlap or touch it: the last that begins before it ends, backwards.
        while let Some((&start, &end)) = self.0.range(..=last.saturating_add(1)).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            self.0.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    /// Takes `first..=last` away; nothing where first is after last.
    pub fn remove(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        while let Some((&start, &end)) = self.0.range(..=last).next_back() {
            if end < first {
                break;
            }
            self.0.remove(&start);
            if end > last {
                self.0.insert(last + 1, end);
            }
            if start < first {
                self.0.insert(start, first - 1);
            }
        }
    }

    pub fn contains(&self, position: u64) -> bool {
        self.0.range(..=position).next_back().is_some_and(|(_, &end)| position <= end)
    }

    /// The lowest of them that is not before `from`.
    pub fn first_from(&self, from: u64) -> Option<u64> {
        if self.contains(from) {
            return Some(from);
        }
        self.0.range(from..).next().map(|(&start, _)| start)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many positions.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |count: u64, (start, end)| count.saturating_add((end - start).saturating_add(1)))
    }

    /// The ranges, lowest first.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(&start, &end)| (start, end))
    }
}
