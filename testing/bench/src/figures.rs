//! Figures of masters side by side: what was seen of each, how many times better one is, and what was aimed at.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::masters::Kind;
use crate::usage::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Less,
    More,
    /// It is no cost, or not the same of both: it says under what the rest was measured.
    Neither,
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
    /// What was published of Apache Mesos, in the same unit: in process, and on another machine.
    pub published: Option<f64>,
    pub samples: Vec<(Kind, f64)>,
}

/// Who was the limit of a workload, or of one part of it.
#[derive(Clone, Debug)]
pub struct Limit {
    pub workload: String,
    pub size: String,
    kind: Kind,
    spans: Vec<Span>,
}

/// A run that did not come to its end: its column has a sample less, and what was measured of the rest stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub workload: String,
    pub kind: Kind,
    /// From 1.
    pub run: usize,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, run {}: {}", self.workload, self.kind, self.run, self.what)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub lines: Vec<Line>,
    pub faults: Vec<Fault>,
    pub limits: Vec<Limit>,
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
    pub fn samples(&self, kind: Kind) -> Vec<f64> {
        self.samples.iter().filter(|(of, _)| *of == kind).map(|(_, value)| *value).collect()
    }

    pub fn median(&self, kind: Kind) -> Option<f64> {
        median(self.samples(kind))
    }

    /// The least and the most of each, where there is more than one sample.
    fn range(&self) -> String {
        let of = |kind| {
            let samples = self.samples(kind);
            let least = samples.iter().copied().reduce(f64::min)?;
            let most = samples.iter().copied().reduce(f64::max)?;
            Some(if samples.len() > 1 {
                format!("{} – {}", figure(least), figure(most))
            } else {
                figure(least)
            })
        };
        let is_repeated = [Kind::Real, Kind::Messor].into_iter().any(|kind| self.samples(kind).len() > 1);
        let both: Vec<String> = [Kind::Real, Kind::Messor].into_iter().filter_map(of).collect();
        if is_repeated { both.join("; ") } else { String::new() }
    }

    /// How many times better Messor is than 1.11.0.
    pub fn times(&self) -> Option<f64> {
        let (real, messor) = (self.median(Kind::Real)?, self.median(Kind::Messor)?);
        let times = match self.better {
            Better::Less => real / messor,
            Better::More => messor / real,
            Better::Neither => return None,
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
        let at = self.find(what).unwrap_or_else(|| {
            // Beside what is of the same, also where one master has lines that the other has not.
            let lines = &mut self.figures.lines;
            let beside = |line: &Line| line.workload == self.workload && line.size == self.size;
            let at = lines.iter().rposition(beside).map_or(lines.len(), |last| last + 1);
            let line = Line {
                workload: self.workload.to_string(),
                size: self.size.clone(),
                what: what.to_string(),
                unit,
                better,
                goal,
                published: None,
                samples: Vec::new(),
            };
            lines.insert(at, line);
            at
        });
        self.figures.lines[at].samples.push((self.kind, value));
    }

    fn find(&self, what: &str) -> Option<usize> {
        let same =
            |line: &Line| line.workload == self.workload && line.size == self.size && line.what == what;
        self.figures.lines.iter().position(same)
    }

    pub fn less(&mut self, what: &str, unit: &'static str, value: f64, goal: Option<Goal>) {
        self.put(what, unit, Better::Less, value, goal);
    }

    pub fn more(&mut self, what: &str, unit: &'static str, value: f64, goal: Option<Goal>) {
        self.put(what, unit, Better::More, value, goal);
    }

    /// What is told beside the costs, and compared with nothing.
    pub fn tell(&mut self, what: &str, unit: &'static str, value: f64) {
        self.put(what, unit, Better::Neither, value, None);
    }

    /// What was published of a line that is there.
    pub fn published(&mut self, what: &str, value: f64) {
        if let Some(at) = self.find(what) {
            self.figures.lines[at].published = Some(value);
        }
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
    /// Nothing was seen of this line, and a run of the workload went wrong.
    fn has_failed(&self, line: &Line, kind: Kind) -> bool {
        let faults = self.faults.iter().any(|fault| fault.workload == line.workload && fault.kind == kind);
        faults && line.median(kind).is_none()
    }

    /// One JSON document a line.
    pub fn to_json_lines(&self) -> String {
        let mut out = String::new();
        for line in &self.lines {
            let value = json!({
                "workload": line.workload,
                "size": line.size,
                "what": line.what,
                "unit": line.unit,
                "better": match line.better {
                    Better::Less => "less",
                    Better::More => "more",
                    Better::Neither => "neither",
                },
                "1.11.0": {
                    "median": line.median(Kind::Real),
                    "samples": line.samples(Kind::Real),
                    "failed": self.has_failed(line, Kind::Real),
                },
                "messor": {
                    "median": line.median(Kind::Messor),
                    "samples": line.samples(Kind::Messor),
                    "failed": self.has_failed(line, Kind::Messor),
                },
                "times": line.times(),
                "published": line.published,
                "goal": goal(line.goal),
                "met": line.met(),
            });
            let _ = writeln!(out, "{value}");
        }
        for limit in &self.limits {
            let _ = writeln!(out, "{}", limit.to_json("workload"));
        }
        for Fault { workload, kind, run, what } in &self.faults {
            let value = json!({ "workload": workload, "who": kind.to_string(), "run": run, "fault": what });
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

    /// The workload is named under this key.
    pub fn to_json(&self, key: &str) -> Value {
        json!({
            key: self.workload,
            "size": self.size,
            "who": self.kind.to_string(),
            "wall_seconds": self.of(|span| span.wall.as_secs_f64()),
            "master_cores": self.of(Span::master_cores),
            "bench_cores": self.of(Span::bench_cores),
            "others_cores": self.of(Span::others_cores),
            "limits": self.names(),
        })
    }

    /// Who it was, of each run.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.spans.iter().map(Span::limit).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| workload | size | what | unit | runs | 1.11.0 | Messor | times better | goal | published | from – to: 1.11.0; Messor |"
        )?;
        writeln!(f, "|{}", " --- |".repeat(11))?;
        for line in &self.lines {
            let runs = |kind| line.samples(kind).len();
            let optional = |value: Option<f64>| value.map(figure).unwrap_or_default();
            let column = |kind| match line.median(kind) {
                None if self.has_failed(line, kind) => "failed".to_string(),
                seen => optional(seen),
            };
            let runs = match (runs(Kind::Real), runs(Kind::Messor)) {
                (0, runs) | (runs, 0) => runs.to_string(),
                (real, messor) if real == messor => real.to_string(),
                (real, messor) => format!("{real}, {messor}"),
            };
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
                "| {} | {} | {} | {} | {} | {} | {} | {} | {goal}{met} | {} | {} |",
                line.workload,
                line.size,
                line.what,
                line.unit,
                runs,
                column(Kind::Real),
                column(Kind::Messor),
                optional(line.times()),
                optional(line.published),
                line.range(),
            )?;
        }
        writeln!(f, "\n| workload | size | who | s | cores: master (and agent) | bench | others | limit |")?;
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
        if !self.faults.is_empty() {
            writeln!(f, "\n| workload | who | run | what went wrong |\n| --- | --- | --- | --- |")?;
        }
        for Fault { workload, kind, run, what } in &self.faults {
            // A bar would be the end of a column.
            let what = what.replace('|', "/").replace('\n', " ");
            writeln!(f, "| {workload} | {kind} | {run} | {what} |")?;
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
            text.contains(
                "| w | 3 agents | time | s | 3 | 3.00 | 0.20 | 15.0 | 20 times: missed |  | 2.00 – 4.00; 0.10 – 0.30 |"
            ),
            "{text}"
        );
        assert_eq!(figures.to_json_lines().lines().count(), 2);
        let what = "its stream | ended".to_string();
        figures.faults.push(Fault { workload: "w".into(), kind: Kind::Real, run: 2, what });
        figures.lines[1].samples.retain(|(kind, _)| *kind == Kind::Messor);
        figures.lines[0].samples.remove(0);
        let text = figures.to_string();
        assert!(text.contains("| w | 3 agents | time | s | 2, 3 | 2.50 |"), "{text}");
        assert!(text.contains("| rate | tasks/s | 3 | failed | 0.20 |"), "{text}");
        assert!(text.contains("| w | 1.11.0 | 2 | its stream / ended |"), "{text}");
        assert!(figures.to_json_lines().contains("\"fault\":\"its stream | ended\""));
        assert_eq!(median(vec![1.0, 4.0]), Some(2.5));
    }

    #[test]
    fn what_is_no_cost_is_not_compared() {
        let mut figures = Figures::default();
        for (kind, value) in [(Kind::Real, 4.0), (Kind::Messor, 2.0)] {
            let size = "3 agents".to_string();
            let mut recorder = Recorder { figures: &mut figures, kind, workload: "w", size };
            recorder.tell("size", "MB", value);
            recorder.less("time", "s", value, None);
            recorder.published("time", 5.5);
        }
        assert_eq!((figures.lines[0].times(), figures.lines[1].times()), (None, Some(2.0)));
        let text = figures.to_string();
        assert!(text.contains("| size | MB | 1 | 4.00 | 2.00 |  |  |  |  |"), "{text}");
        assert!(text.contains("| time | s | 1 | 4.00 | 2.00 | 2.00 |  | 5.50 |  |"), "{text}");
    }
}
