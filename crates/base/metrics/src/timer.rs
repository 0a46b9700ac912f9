//! How long something takes: the last measurement, and percentiles over a bounded window of the latest ones.

use std::collections::VecDeque;
use std::time::Duration;

/// Measurements that a timer keeps; the oldest goes when one more comes.
const WINDOW: usize = 1_000;

const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999)];

#[derive(Clone, Debug, Default)]
pub struct Timer {
    /// Milliseconds, oldest first; at most `WINDOW`.
    latest: VecDeque<f64>,
}

impl Timer {
    pub fn record(&mut self, duration: Duration) {
        if self.latest.len() == WINDOW {
            self.latest.pop_front();
        }
        self.latest.push_back(duration.as_nanos() as f64 / 1e6);
    }

    pub fn last_ms(&self) -> Option<f64> {
        self.latest.back().copied()
    }

    /// Name and value of each figure; None before the second measurement.
    pub fn statistics(&self) -> Option<Vec<(&'static str, f64)>> {
        if self.latest.len() < 2 {
            return None;
        }
        let mut sorted: Vec<f64> = self.latest.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let mut figures =
            vec![("count", sorted.len() as f64), ("max", sorted[sorted.len() - 1]), ("min", sorted[0])];
        figures.extend(PERCENTILES.map(|(name, part)| (name, percentile(&sorted, part))));
        Some(figures)
    }
}

/// Between the two neighbours of the wanted place, on a straight line.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let position = part * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_bounded_and_forgets_the_oldest() {
        let mut timer = Timer::default();
        for millis in 0..WINDOW as u64 + 10 {
            timer.record(Duration::from_millis(millis));
        }
        let statistics = timer.statistics().unwrap();
        assert_eq!(statistics[..3], [("count", 1000.0), ("max", 1009.0), ("min", 10.0)]);
        assert_eq!(timer.last_ms(), Some(1009.0));
    }

    #[test]
    fn one_measurement_has_no_percentiles() {
        let mut timer = Timer::default();
        assert_eq!(timer.last_ms(), None);
        timer.record(Duration::from_millis(4));
        assert_eq!(timer.statistics(), None);
    }
}
