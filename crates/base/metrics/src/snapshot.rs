//! All metrics of a process at one moment, in the order of their names.

use std::collections::BTreeMap;

use crate::{Counter, Timer};

/// Names and values as /metrics/snapshot shows them. A name set again has the later value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    values: BTreeMap<String, f64>,
}

impl Snapshot {
    pub fn new() -> Snapshot {
        Snapshot::default()
    }

    pub fn counter(&mut self, name: impl Into<String>, counter: Counter) {
        self.gauge(name, counter.get() as f64);
    }

    /// A value that goes up and down. What is not a number is left out: JSON has no way to say it.
    pub fn gauge(&mut self, name: impl Into<String>, value: f64) {
        if value.is_finite() {
            self.values.insert(name.into(), value);
        }
    }

    /// The last measurement in milliseconds as `NAME_ms` and, from the second one on, what is known of all of them.
    /// A timer that never measured shows nothing.
    pub fn timer(&mut self, name: &str, timer: &Timer) {
        let name = format!("{name}_ms");
        let Some(last) = timer.last_ms() else {
            return;
        };
        if let Some(statistics) = timer.statistics() {
            for (suffix, value) in statistics {
                self.gauge(format!("{name}/{suffix}"), value);
            }
        }
        self.gauge(name, last);
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// In the order of the names.
    pub fn into_values(self) -> Vec<(String, f64)> {
        self.values.into_iter().collect()
    }
}

impl Extend<(String, f64)> for Snapshot {
    fn extend<I: IntoIterator<Item = (String, f64)>>(&mut self, values: I) {
        for (name, value) in values {
            self.gauge(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_come_in_order_and_nothing_that_json_cannot_say() {
        let mut snapshot = Snapshot::new();
        snapshot.gauge("slave/registered", 1.0);
        snapshot.counter("slave/executors_terminated", Counter(3));
        snapshot.gauge("slave/odd", f64::NAN);
        snapshot.extend([("a".to_string(), 2.0)]);
        assert_eq!(
            snapshot.into_values(),
            [("a".into(), 2.0), ("slave/executors_terminated".into(), 3.0), ("slave/registered".into(), 1.0)]
        );
    }

    #[test]
    fn a_timer_shows_its_last_value_then_its_percentiles() {
        let mut timer = Timer::default();
        let mut snapshot = Snapshot::new();
        snapshot.timer("registrar/state_store", &timer);
        assert_eq!(snapshot.iter().count(), 0);

        timer.record(Duration::from_nanos(5_544_960));
        snapshot.timer("registrar/state_store", &timer);
        assert_eq!(snapshot.into_values(), [("registrar/state_store_ms".into(), 5.54496)]);

        timer.record(Duration::from_nanos(3_853_824));
        let mut snapshot = Snapshot::new();
        snapshot.timer("registrar/state_store", &timer);
        // The numbers that a running 1.11.0 showed for these two measurements.
        let close = |name: &str, value: f64| {
            let got = snapshot.get(&format!("registrar/state_store_ms{name}")).expect(name);
            assert!((got - value).abs() < 1e-9, "{name}: {got} is not {value}");
        };
        close("", 3.853824);
        close("/count", 2.0);
        close("/max", 5.54496);
        close("/min", 3.853824);
        close("/p50", 4.699392);
        close("/p90", 5.3758464);
        close("/p95", 5.4604032);
        close("/p99", 5.52804864);
        close("/p999", 5.543268864);
        close("/p9999", 5.5447908864);
        assert_eq!(snapshot.iter().count(), 10);
    }
}
