//! Figures of masters side by side: what was seen of each, how many times better one is, and what was aimed at.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::masters::Kind;
use crate::usage::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Less,
    More,
}

/// What Messor is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// So many times better than 1.11.0.
    Times(f64),
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Clone, Debug)]
pub struct Line {
    pub workload: String,
    pub size: String,
    pub what: String,
    pub unit: &'static str,
    pub better: Better,
    pub goal: Option<Goal>,
    pub samples: Vec<(Kind, f64)>,
}

#[derive(Clone, Debug)]
struct Limit {
    workload: String,
    size: String,
    kind: Kind,
    spans: Vec<Span>,
}

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub lines: Vec<Line>,
    limits: Vec<Limit>,
}

/// The middle one; of an even number, the mean of the two in the middle.
pub fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    match (samples.len(), samples.len() / 2) {
        (0, _) => None,
        (count, half) if count % 2 == 1 => Some(samples[half]),
        (_, half) => Some((samples[half - 1] + samples[half]) / 2.0),
    }
}

impl Line {
    pub fn median(&self, kind: Kind) -> Option<f64> {
        median(self.samples.iter().filter(|(of, _)| *of == kind).map(|(_, value)| *value).collect())
    }

    /// How many times better Messor is than 1.11.0.
    pub fn times(&self) -> Option<f64> {
        let (real, messor) = (self.median(Kind::Real)?, self.median(Kind::Messor)?);
        let times = match self.better {
            Better::Less => real / messor,
            Better::More => messor / real,
        };
        times.is_finite().then_some(times)
    }

    pub fn met(&self) -> Option<bool> {
        match self.goal? {
            Goal::Times(goal) => Some(self.times()? >= goal),
            Goal::AtMost(goal) => Some(self.median(Kind::Messor)? <= goal),
            Goal::AtLeast(goal) => Some(self.median(Kind::Messor)? >= goal),
        }
    }
}

/// Takes the figures of one run.
pub struct Recorder<'a> {
    pub figures: &'a mut Figures,
    pub kind: Kind,
    pub workload: &'a str,
    pub size: String,
}

impl Recorder<'_> {
    pub fn put(&mut self, what: &str, unit: &'static str, better: Better, value: f64, goal: Option<Goal>) {
        let lines = &mut self.figures.lines;
        let same =
            |line: &Line| line.workload == self.workload && line.size == self.size && line.what == what;
        let at = lines.iter().position(same).unwrap_or_else(|| {
            lines.push(Line {
                workload: self.workload.to_string(),
                size: self.size.clone(),
                what: what.to_string(),
                unit,
                better,
                goal,
                samples: Vec::new(),
            });
            lines.len() - 1
        });
        lines[at].samples.push((self.kind, value));
    }

    pub fn less(&mut self, what: &str, unit: &'static str, value: f64, goal: Option<Goal>) {
        self.put(what, unit, Better::Less, value, goal);
    }

    pub fn more(&mut self, what: &str, unit: &'static str, value: f64, goal: Option<Goal>) {
        self.put(what, unit, Better::More, value, goal);
    }

    pub fn span(&mut self, span: Span) {
        self.span_of("", span);
    }

    /// Of one part of the workload.
    pub fn span_of(&mut self, part: &str, span: Span) {
        let size = if part.is_empty() { self.size.clone() } else { format!("{}: {part}", self.size) };
        let limits = &mut self.figures.limits;
        let same = |limit: &&mut Limit| {
            limit.workload == self.workload && limit.size == size && limit.kind == self.kind
        };
        match limits.iter_mut().find(same) {
            Some(limit) => limit.spans.push(span),
            None => limits.push(Limit {
                workload: self.workload.to_string(),
                size,
                kind: self.kind,
                spans: vec![span],
            }),
        }
    }
}

/// Some three digits, so that small and large figures stand in one column.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_string(),
        size if size < 0.1 => format!("{value:.4}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

impl Figures {
    /// One JSON document a line.
    pub fn to_json_lines(&self) -> String {
        let mut out = String::new();
        for line in &self.lines {
            let samples = |kind: Kind| -> Vec<f64> {
                line.samples.iter().filter(|(of, _)| *of == kind).map(|(_, value)| *value).collect()
            };
            let value = json!({
                "workload": line.workload,
                "size": line.size,
                "what": line.what,
                "unit": line.unit,
                "better": match line.better { Better::Less => "less", Better::More => "more" },
                "1.11.0": { "median": line.median(Kind::Real), "samples": samples(Kind::Real) },
                "messor": { "median": line.median(Kind::Messor), "samples": samples(Kind::Messor) },
                "times": line.times(),
                "goal": goal(line.goal),
                "met": line.met(),
            });
            let _ = writeln!(out, "{value}");
        }
        for limit in &self.limits {
            let value = json!({
                "workload": limit.workload,
                "size": limit.size,
                "who": limit.kind.to_string(),
                "wall_seconds": limit.of(|span| span.wall.as_secs_f64()),
                "master_cores": limit.of(Span::master_cores),
                "bench_cores": limit.of(Span::bench_cores),
                "others_cores": limit.of(Span::others_cores),
                "limits": limit.names(),
            });
            let _ = writeln!(out, "{value}");
        }
        out
    }
}

fn goal(goal: Option<Goal>) -> Value {
    match goal {
        None => Value::Null,
        Some(Goal::Times(times)) => json!({ "times": times }),
        Some(Goal::AtMost(value)) => json!({ "at_most": value }),
        Some(Goal::AtLeast(value)) => json!({ "at_least": value }),
    }
}

impl Limit {
    fn of(&self, what: impl Fn(&Span) -> f64) -> f64 {
        median(self.spans.iter().map(what).collect()).unwrap_or(f64::NAN)
    }

    /// Who it was, of each run.
    fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.spans.iter().map(Span::limit).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| workload | size | what | unit | runs | 1.11.0 | Messor | times better | goal |")?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for line in &self.lines {
            let runs = |kind| line.samples.iter().filter(|(of, _)| *of == kind).count();
            let optional = |value: Option<f64>| value.map(figure).unwrap_or_default();
            let goal = match line.goal {
                None => String::new(),
                Some(Goal::Times(times)) => format!("{times} times"),
                Some(Goal::AtMost(value)) => format!("at most {value}"),
                Some(Goal::AtLeast(value)) => format!("at least {value}"),
            };
            let met = match line.met() {
                None => "",
                Some(true) => ": met",
                Some(false) => ": missed",
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {goal}{met} |",
                line.workload,
                line.size,
                line.what,
                line.unit,
                runs(Kind::Messor).max(runs(Kind::Real)),
                optional(line.median(Kind::Real)),
                optional(line.median(Kind::Messor)),
                optional(line.times()),
            )?;
        }
        writeln!(f, "\n| workload | size | who | s | cores: master | bench | others | limit |")?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for limit in &self.limits {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                limit.workload,
                limit.size,
                limit.kind,
                figure(limit.of(|span| span.wall.as_secs_f64())),
                figure(limit.of(Span::master_cores)),
                figure(limit.of(Span::bench_cores)),
                figure(limit.of(Span::others_cores)),
                limit.names().join(", "),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_by_side() {
        let mut figures = Figures::default();
        for (kind, values) in [(Kind::Real, [4.0, 2.0, 3.0]), (Kind::Messor, [0.3, 0.2, 0.1])] {
            for value in values {
                let size = "3 agents".to_string();
                let mut recorder = Recorder { figures: &mut figures, kind, workload: "w", size };
                recorder.less("time", "s", value, Some(Goal::Times(20.0)));
                recorder.more("rate", "tasks/s", value, Some(Goal::AtLeast(0.1)));
            }
        }
        let line = &figures.lines[0];
        assert_eq!((line.median(Kind::Real), line.median(Kind::Messor)), (Some(3.0), Some(0.2)));
        assert!((line.times().unwrap() - 15.0).abs() < 1e-9);
        assert_eq!((line.met(), figures.lines[1].met()), (Some(false), Some(true)));
        let text = figures.to_string();
        assert!(
            text.contains("| w | 3 agents | time | s | 3 | 3.00 | 0.20 | 15.0 | 20 times: missed |"),
            "{text}"
        );
        assert_eq!(figures.to_json_lines().lines().count(), 2);
        assert_eq!(median(vec![1.0, 4.0]), Some(2.5));
    }
}
