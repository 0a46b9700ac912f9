//! Deadlines by name. Setting one again moves it.

use std::collections::{BTreeMap, BTreeSet};

use messor_stdx::Time;

/// As many timers as the machine has names for: its agents, frameworks, offers and tasks.
#[derive(Debug)]
pub struct Timers<K> {
    by_time: BTreeSet<(Time, K)>,
    by_name: BTreeMap<K, Time>,
}

impl<K: Ord + Clone> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_time: BTreeSet::new(), by_name: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    pub fn set(&mut self, name: K, at: Time) {
        if let Some(before) = self.by_name.insert(name.clone(), at) {
            self.by_time.remove(&(before, name.clone()));
        }
        self.by_time.insert((at, name));
    }

    pub fn cancel(&mut self, name: &K) {
        if let Some(at) = self.by_name.remove(name) {
            self.by_time.remove(&(at, name.clone()));
        }
    }

    /// When the first is due.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The first that is due, taken out.
    pub fn take_due(&mut self, now: Time) -> Option<K> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, name) = self.by_time.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_move_and_go() {
        let time = Time::from_nanos;
        let mut timers = Timers::default();
        timers.set("a", time(10));
        timers.set("b", time(5));
        timers.set("b", time(20));
        timers.set("c", time(7));
        timers.cancel(&"c");
        timers.cancel(&"never");
        assert_eq!(timers.next(), Some(time(10)));
        assert_eq!(timers.take_due(time(9)), None);
        assert_eq!(timers.take_due(time(30)), Some("a"));
        assert_eq!(timers.take_due(time(30)), Some("b"));
        assert_eq!(timers.next(), None);
    }
}
