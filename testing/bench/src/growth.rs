//! How cost grows with size: the same at four sizes, each twice the one before, and the power that fits what all of it costs.

use std::fmt::{self, Write};

use serde_json::json;

use crate::compare::{Work, play};
use crate::figures::figure;
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

/// A cost by size.
#[derive(Clone, Debug)]
struct Row {
    workload: String,
    what: String,
    unit: &'static str,
    /// How large it was, in words; how large, and what was seen.
    points: Vec<(String, f64, f64)>,
}

#[derive(Clone, Debug)]
pub struct Growth {
    kind: Kind,
    rows: Vec<Row>,
}

/// The power of the size that a cost grows with, by least squares over the logarithms: 0 stays, 1 is linear.
fn power(points: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let positive = points.into_iter().filter(|(_, y)| *y > 0.0);
    let logs: Vec<(f64, f64)> = positive.map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|log| log.0), mean(|log| log.1));
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let common: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (logs.len() > 1 && spread > 0.0).then(|| common / spread)
}

impl Row {
    fn power(&self) -> Option<f64> {
        power(self.points.iter().map(|(_, x, y)| (*x, *y)))
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
    let mut growth = Growth { kind, rows: Vec::new() };
    let mut faults = Vec::new();
    for axis in axes {
        for part in PARTS {
            let (size, work) = axis.at(largest, part);
            let (figures, more) = play(programs, &[kind], &[work], runs);
            faults.extend(more);
            for line in figures.lines {
                let seen = line.median(kind).and_then(|value| total(line.unit, value, size));
                let Some((unit, value)) = seen else { continue };
                // A rate is told as the time that all of it took.
                let what = if line.what == "rate" { "time".to_string() } else { line.what };
                let point = (axis.describe(size), axis.length(size) as f64, value);
                let rows = &mut growth.rows;
                match rows.iter_mut().find(|row| row.workload == line.workload && row.what == what) {
                    Some(row) => row.points.push(point),
                    None => rows.push(Row { workload: line.workload, what, unit, points: vec![point] }),
                }
            }
        }
    }
    (growth, faults)
}

impl Growth {
    /// One JSON document a line.
    pub fn to_json_lines(&self) -> String {
        let mut out = String::new();
        for row in &self.rows {
            let points: Vec<_> = row
                .points
                .iter()
                .map(|(size, x, value)| json!({ "size": size, "x": x, "value": value }))
                .collect();
            let line = json!({
                "growth": row.workload,
                "who": self.kind.to_string(),
                "what": row.what,
                "unit": row.unit,
                "points": points,
                "power": row.power(),
            });
            let _ = writeln!(out, "{line}");
        }
        out
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut workload = "";
        for row in &self.rows {
            if row.workload != workload {
                workload = &row.workload;
                let sizes: Vec<&str> = row.points.iter().map(|(size, ..)| size.as_str()).collect();
                writeln!(
                    f,
                    "| {}: {workload}, in all | unit | {} | grows with the power |",
                    self.kind,
                    sizes.join(" | ")
                )?;
                writeln!(f, "| --- | --- |{} --- |", " --- |".repeat(sizes.len()))?;
            }
            let values: Vec<String> = row.points.iter().map(|(_, _, value)| figure(*value)).collect();
            let power = row.power().map(|power| format!("{power:.2}")).unwrap_or_default();
            writeln!(f, "| {} | {} | {} | {power} |", row.what, row.unit, values.join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        let of = |power: i32| [1.0, 2.0, 4.0, 8.0].map(|x: f64| (x, 3.0 * x.powi(power)));
        for expected in [0, 1, 2] {
            assert!((power(of(expected)).unwrap() - f64::from(expected)).abs() < 1e-9);
        }
        assert_eq!(power([(1.0, 1.0)]), None);
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
