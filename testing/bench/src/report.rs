//! Figures: samples of what was timed, and the table or JSON that is made of them.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One thing that was measured, again and again.
#[derive(Clone, Debug)]
pub struct Line {
    pub shape: String,
    pub what: String,
    /// In milliseconds.
    pub samples: Vec<f64>,
    /// What it is to be at most, in milliseconds.
    pub target: Option<f64>,
    /// What was published of Apache Mesos, in milliseconds: on another machine.
    pub published: Option<f64>,
}

impl Line {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub fn best(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    pub fn worst(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }

    /// How many times less the median is than what was published.
    pub fn times(&self) -> Option<f64> {
        let times = self.published? / self.median();
        times.is_finite().then_some(times)
    }

    /// The middle one; of an even number, the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        match (sorted.len(), sorted.len() / 2) {
            (0, _) => f64::NAN,
            (count, half) if count % 2 == 1 => sorted[half],
            (_, half) => (sorted[half - 1] + sorted[half]) / 2.0,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    pub fn record(&mut self, shape: &str, what: &str, time: Duration) -> &mut Line {
        let millis = time.as_secs_f64() * 1e3;
        let found = self.lines.iter().position(|line| line.shape == shape && line.what == what);
        let at = found.unwrap_or_else(|| {
            self.lines.push(Line {
                shape: shape.to_string(),
                what: what.to_string(),
                samples: Vec::new(),
                target: None,
                published: None,
            });
            self.lines.len() - 1
        });
        let line = &mut self.lines[at];
        line.samples.push(millis);
        line
    }

    pub fn line(&self, shape: &str, what: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.shape == shape && line.what == what)
    }

    pub fn to_json(&self) -> Value {
        let line = |line: &Line| {
            json!({
                "shape": line.shape,
                "what": line.what,
                "samples": line.samples.len(),
                "best_ms": line.best(),
                "median_ms": line.median(),
                "worst_ms": line.worst(),
                "target_ms": line.target,
                "published_ms": line.published,
                "published_to_median": line.times(),
            })
        };
        json!({ "lines": self.lines.iter().map(line).collect::<Vec<_>>() })
    }
}

/// Some three digits, so that short and long times stand in one column.
fn figure(millis: f64) -> String {
    match millis {
        millis if millis < 1.0 => format!("{millis:.4}"),
        millis if millis < 100.0 => format!("{millis:.2}"),
        millis => format!("{millis:.0}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| shape | what, in ms | samples | best | median | worst | target | published | times the median |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for line in &self.lines {
            let optional = |value: Option<f64>| value.map(figure).unwrap_or_default();
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                line.shape,
                line.what,
                line.samples.len(),
                figure(line.best()),
                figure(line.median()),
                figure(line.worst()),
                optional(line.target),
                optional(line.published),
                line.times().map(|times| format!("{times:.1}")).unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_samples() {
        let mut report = Report::default();
        for millis in [4, 1, 3, 2] {
            report.record("s", "w", Duration::from_millis(millis));
        }
        let line = report.line("s", "w").unwrap();
        assert_eq!((line.best(), line.median(), line.worst()), (1.0, 2.5, 4.0));
        report.record("s", "w", Duration::from_millis(200)).target = Some(50.0);
        assert_eq!(report.line("s", "w").unwrap().median(), 3.0);
        assert!(report.to_string().contains("| s | w | 5 | 1.00 | 3.00 | 200 | 50.00 |  |  |"), "{report}");
        report.lines[0].published = Some(7.5);
        assert!(report.to_string().contains("| 50.00 | 7.50 | 2.5 |"), "{report}");
        assert_eq!(report.to_json()["lines"][0]["target_ms"], 50.0);
    }
}
