//! How cost grows with size: the same at four sizes, each twice the one before, and the power that fits what all of it costs.

use std::fmt::{self, Write};

use serde_json::json;

use crate::compare::{Work, play};
use crate::figures::{Fault, Figures, Limit, Line, figure};
use crate::fleet::Life;
use crate::masters::{Kind, Programs};
use crate::scheduler::Api;
use crate::workloads::{frameworks, launch};

/// Four sizes, as parts of the largest.
const PARTS: [usize; 4] = [8, 4, 2, 1];
/// What a few tasks for many frameworks run on.
const FEW: usize = 20;

/// The largest of each.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub agents: usize,
    pub tasks: usize,
    pub frameworks: usize,
}

/// What grows while the rest stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Agents,
    Tasks,
    AgentsAndTasks,
    Frameworks,
}

pub const AXES: [(&str, Axis); 4] = [
    ("agents", Axis::Agents),
    ("tasks", Axis::Tasks),
    ("both", Axis::AgentsAndTasks),
    ("frameworks", Axis::Frameworks),
];

impl Axis {
    /// How large it is at a part of the largest size, and what is played then.
    fn at(self, largest: Size, part: usize) -> (Size, Work) {
        let of = |number: usize| (number / part).max(1);
        match self {
            Axis::Agents => {
                let agents = of(largest.agents);
                (Size { agents, tasks: 0, frameworks: 0 }, Work::Registration { agents })
            }
            Axis::Tasks => {
                let (agents, tasks) = ((largest.agents / PARTS[0]).max(1), of(largest.tasks));
                let work = launch::Size { agents, tasks, life: Life::Stay, api: Api::Http };
                (Size { agents, tasks, frameworks: 1 }, Work::Launch(work))
            }
            Axis::AgentsAndTasks => {
                let (agents, tasks) = (of(largest.agents), of(largest.tasks));
                (Size { agents, tasks, frameworks: 1 }, Work::Failover { agents, tasks })
            }
            Axis::Frameworks => {
                let (agents, frameworks) = (largest.frameworks, of(largest.frameworks));
                let tasks = largest.frameworks * FEW;
                let work = frameworks::Size { frameworks, agents, tasks };
                (Size { agents, tasks, frameworks }, Work::Frameworks(work))
            }
        }
    }

    fn length(self, size: Size) -> usize {
        match self {
            Axis::Agents | Axis::AgentsAndTasks => size.agents,
            Axis::Tasks => size.tasks,
            Axis::Frameworks => size.frameworks,
        }
    }

    fn describe(self, size: Size) -> String {
        let Size { agents, tasks, frameworks } = size;
        match self {
            Axis::Agents => format!("{agents} agents"),
            Axis::Tasks => format!("{tasks} tasks on {agents} agents"),
            Axis::AgentsAndTasks => format!("{agents} agents, {tasks} tasks"),
            Axis::Frameworks => format!("{frameworks} frameworks, {agents} agents, {tasks} tasks"),
        }
    }
}

/// What all of it cost, where the workload tells what each took.
fn total(unit: &str, value: f64, size: Size) -> Option<(&'static str, f64)> {
    let count = |count: usize| count as f64;
    Some(match unit {
        "s" => ("s", value),
        "ms" => ("s", value / 1e3),
        "ms/agent" => ("s", value / 1e3 * count(size.agents)),
        "ms/task" => ("s", value / 1e3 * count(size.tasks)),
        "agents/s" => ("s", count(size.agents) / value),
        "tasks/s" => ("s", count(size.tasks) / value),
        "KB/agent" => ("MB", value / 1024.0 * count(size.agents)),
        "KB/task" => ("MB", value / 1024.0 * count(size.tasks)),
        "KB/framework" => ("MB", value / 1024.0 * count(size.frameworks)),
        _ => return None,
    })
}

/// What was seen of a cost at one size.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    median: f64,
    samples: Vec<f64>,
}

/// A cost by size.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    unit: &'static str,
    /// None where nothing was seen of it.
    points: [Option<Seen>; PARTS.len()],
}

/// One of the four sizes of a workload.
#[derive(Clone, Debug)]
struct Step {
    /// How large it was, in words, and as a number.
    size: String,
    length: f64,
    limits: Vec<Limit>,
    faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
struct Section {
    workload: &'static str,
    steps: Vec<Step>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
pub struct Growth {
    kind: Kind,
    sections: Vec<Section>,
}

/// The power of the size that a cost grows with, by least squares over the logarithms: 0 stays, 1 is linear. What is nothing at one size
/// has none.
fn power(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(_, y)| *y <= 0.0) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|log| log.0), mean(|log| log.1));
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let common: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (logs.len() > 1 && spread > 0.0).then(|| common / spread)
}

impl Section {
    /// Takes what was seen at the next size.
    fn take(&mut self, axis: Axis, size: Size, kind: Kind, figures: Figures) {
        let at = self.steps.len();
        self.take_lines(at, (size, kind), &figures.lines);
        let Figures { limits, faults, .. } = figures;
        let (size, length) = (axis.describe(size), axis.length(size) as f64);
        self.steps.push(Step { size, length, limits, faults });
    }

    fn take_lines(&mut self, at: usize, (size, kind): (Size, Kind), lines: &[Line]) {
        for line in lines {
            let in_all = |value: f64| total(line.unit, value, size);
            let Some((unit, median)) = line.median(kind).and_then(in_all) else { continue };
            let samples = line.samples(kind).into_iter().filter_map(in_all).map(|(_, value)| value).collect();
            // A rate is told as the time that all of it took.
            let what = if line.what == "rate" { "time" } else { &line.what };
            let found = self.rows.iter().position(|row| row.what == what);
            let row = found.unwrap_or_else(|| {
                self.rows.push(Row { what: what.to_string(), unit, points: Default::default() });
                self.rows.len() - 1
            });
            self.rows[row].points[at] = Some(Seen { median, samples });
        }
    }

    /// Only where all sizes have a figure.
    fn power(&self, row: &Row) -> Option<f64> {
        let point = |(step, seen): (&Step, &Option<Seen>)| Some((step.length, seen.as_ref()?.median));
        let points: Option<Vec<_>> = self.steps.iter().zip(&row.points).map(point).collect();
        power(&points?)
    }
}

impl Step {
    /// Who was the limit, of each part and run.
    fn limits(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.limits.iter().flat_map(Limit::names).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The figures, and what went wrong.
pub fn run(
    programs: &Programs,
    kind: Kind,
    axes: &[Axis],
    largest: Size,
    runs: usize,
) -> (Growth, Vec<String>) {
    let mut growth = Growth { kind, sections: Vec::new() };
    let mut faults = Vec::new();
    for axis in axes {
        let workload = axis.at(largest, 1).1.name();
        let mut section = Section { workload, steps: Vec::new(), rows: Vec::new() };
        for part in PARTS {
            let (size, work) = axis.at(largest, part);
            let figures = play(programs, &[kind], &[(work, runs)], |_| {});
            faults.extend(figures.faults.iter().map(|fault| format!("{}: {fault}", axis.describe(size))));
            section.take(*axis, size, kind, figures);
        }
        growth.sections.push(section);
    }
    (growth, faults)
}

impl Growth {
    /// One JSON document a line: the costs, then who was the limit at each size, and what went wrong.
    pub fn to_json_lines(&self) -> String {
        let mut out = String::new();
        for section in &self.sections {
            for row in &section.rows {
                let point = |(step, seen): (&Step, &Option<Seen>)| {
                    json!({
                        "size": step.size,
                        "x": step.length,
                        "value": seen.as_ref().map(|seen| seen.median),
                        "samples": seen.as_ref().map_or(&[][..], |seen| &seen.samples),
                        "limits": step.limits(),
                        "failed": seen.is_none() && !step.faults.is_empty(),
                    })
                };
                let line = json!({
                    "growth": section.workload,
                    "who": self.kind.to_string(),
                    "what": row.what,
                    "unit": row.unit,
                    "points": section.steps.iter().zip(&row.points).map(point).collect::<Vec<_>>(),
                    "power": section.power(row),
                });
                let _ = writeln!(out, "{line}");
            }
            for step in &section.steps {
                for limit in &step.limits {
                    let _ = writeln!(out, "{}", limit.to_json("limit_of"));
                }
                for Fault { workload, kind, run, what } in &step.faults {
                    let (who, size) = (kind.to_string(), &step.size);
                    let line =
                        json!({ "fault_of": workload, "size": size, "who": who, "run": run, "fault": what });
                    let _ = writeln!(out, "{line}");
                }
            }
        }
        out
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            let (workload, steps) = (section.workload, &section.steps);
            let sizes: Vec<&str> = steps.iter().map(|step| step.size.as_str()).collect();
            writeln!(
                f,
                "| {}: {workload}, in all | unit | {} | grows with the power |",
                self.kind,
                sizes.join(" | ")
            )?;
            writeln!(f, "| --- | --- |{} --- |", " --- |".repeat(sizes.len()))?;
            for row in &section.rows {
                let value = |(step, seen): (&Step, &Option<Seen>)| match seen {
                    Some(seen) => figure(seen.median),
                    None if step.faults.is_empty() => String::new(),
                    None => "failed".to_string(),
                };
                let values: Vec<String> = steps.iter().zip(&row.points).map(value).collect();
                let power = section.power(row).map(|power| format!("{power:.2}")).unwrap_or_default();
                writeln!(f, "| {} | {} | {} | {power} |", row.what, row.unit, values.join(" | "))?;
            }
            let limits: Vec<String> = steps.iter().map(|step| step.limits().join(", ")).collect();
            writeln!(f, "| the limit |  | {} |  |", limits.join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Recorder;

    #[test]
    fn powers() {
        let of = |power: i32| [1.0, 2.0, 4.0, 8.0].map(|x: f64| (x, 3.0 * x.powi(power)));
        for expected in [0, 1, 2] {
            assert!((power(&of(expected)).unwrap() - f64::from(expected)).abs() < 1e-9);
        }
        assert_eq!(power(&[(1.0, 1.0)]), None);
        assert_eq!(power(&[(1.0, 0.0), (2.0, 1.0), (4.0, 2.0)]), None);
    }

    #[test]
    fn a_size_that_failed_is_told_and_has_no_power() {
        let kind = Kind::Messor;
        let largest = Size { agents: 80, tasks: 0, frameworks: 0 };
        let section = |failed: Option<usize>| {
            let mut section = Section { workload: "registration", steps: Vec::new(), rows: Vec::new() };
            for (at, part) in PARTS.into_iter().enumerate() {
                let (size, mut figures) = (Axis::Agents.at(largest, part).0, Figures::default());
                if failed == Some(at) {
                    let (workload, what) = ("registration".to_string(), "it ended".to_string());
                    figures.faults.push(Fault { workload, kind, run: 1, what });
                } else {
                    let size = size.agents.to_string();
                    let mut recorder =
                        Recorder { figures: &mut figures, kind, workload: "registration", size };
                    recorder.more("rate", "agents/s", 10.0, None);
                    recorder.more("rate", "agents/s", 20.0, None);
                    recorder.more("rate", "agents/s", 20.0, None);
                }
                section.take(Axis::Agents, size, kind, figures);
            }
            Growth { kind, sections: vec![section] }
        };
        let whole = section(None);
        assert!(whole.to_string().contains("| time | s | 0.50 | 1.00 | 2.00 | 4.00 | 1.00 |"), "{whole}");
        assert!(whole.to_json_lines().contains("\"samples\":[1.0,0.5,0.5]"), "{}", whole.to_json_lines());
        let failed = section(Some(1));
        assert!(failed.to_string().contains("| time | s | 0.50 | failed | 2.00 | 4.00 |  |"), "{failed}");
        let lines = failed.to_json_lines();
        assert!(lines.contains("\"power\":null") && lines.contains("\"fault\":\"it ended\""), "{lines}");
        assert_eq!(lines.lines().count(), 2);
    }

    #[test]
    fn costs_of_all_of_it() {
        let size = Size { agents: 10, tasks: 100, frameworks: 2 };
        assert_eq!(total("ms/task", 5.0, size), Some(("s", 0.5)));
        assert_eq!(total("tasks/s", 50.0, size), Some(("s", 2.0)));
        assert_eq!(total("KB/framework", 512.0, size), Some(("MB", 1.0)));
        assert_eq!(total("MB", 1.0, size), None);
    }

    #[test]
    fn one_thing_grows_at_a_time() {
        let largest = Size { agents: 80, tasks: 1600, frameworks: 8 };
        for (_, axis) in AXES {
            let lengths = PARTS.map(|part| axis.length(axis.at(largest, part).0));
            assert!(lengths.windows(2).all(|pair| pair[1] == 2 * pair[0]), "{axis:?}: {lengths:?}");
        }
        assert_eq!(Axis::Tasks.at(largest, 2).0.agents, Axis::Tasks.at(largest, 1).0.agents);
        assert_eq!(Axis::Frameworks.at(largest, 8).0.tasks, Axis::Frameworks.at(largest, 1).0.tasks);
    }
}
