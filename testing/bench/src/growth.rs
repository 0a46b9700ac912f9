//! How cost grows with size: the same at four sizes, each twice the one before, and the power that fits them.

use std::fmt::Write;

use crate::compare::{Work, play};
use crate::fleet::Life;
use crate::masters::{Kind, Programs};
use crate::scheduler::Api;
use crate::workloads::launch;

/// Four sizes, as parts of the largest.
const PARTS: [usize; 4] = [8, 4, 2, 1];

struct Row {
    workload: String,
    what: String,
    unit: &'static str,
    /// By size: how large it was, and what was seen.
    points: Vec<(f64, f64)>,
}

/// The power of the size that a figure grows with, by least squares over the logarithms: 0 stays, 1 is linear.
fn power(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(_, y)| *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|log| log.0), mean(|log| log.1));
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let common: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (logs.len() > 1 && spread > 0.0).then(|| common / spread)
}

/// The table, and what went wrong.
pub fn run(
    programs: &Programs,
    kind: Kind,
    (agents, tasks): (usize, usize),
    runs: usize,
) -> (String, Vec<String>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut faults = Vec::new();
    for part in PARTS {
        let (agents, tasks) = ((agents / part).max(1), (tasks / part).max(1));
        let works = [
            Work::Registration { agents },
            Work::Launch(launch::Size { agents, tasks, life: Life::Stay, api: Api::Http }),
            Work::Failover { agents, tasks },
        ];
        let (figures, more) = play(programs, &[kind], &works, runs);
        faults.extend(more);
        for line in figures.lines {
            let Some(value) = line.median(kind) else { continue };
            let point = (agents as f64, value);
            match rows.iter_mut().find(|row| row.workload == line.workload && row.what == line.what) {
                Some(row) => row.points.push(point),
                None => rows.push(Row {
                    workload: line.workload,
                    what: line.what,
                    unit: line.unit,
                    points: vec![point],
                }),
            }
        }
    }
    let mut table = format!("| {kind}: workload | what | unit |");
    for part in PARTS {
        let _ = write!(table, " {} agents, {} tasks |", agents / part, tasks / part);
    }
    table.push_str(" grows with the power |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for row in rows {
        let _ = write!(table, "| {} | {} | {} |", row.workload, row.what, row.unit);
        for (_, value) in &row.points {
            let _ = write!(table, " {value:.4} |");
        }
        let _ = writeln!(
            table,
            " {} |",
            power(&row.points).map(|power| format!("{power:.2}")).unwrap_or_default()
        );
    }
    (table, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        let of = |power: i32| [1.0, 2.0, 4.0, 8.0].map(|x: f64| (x, 3.0 * x.powi(power)));
        for expected in [0, 1, 2] {
            assert!((power(&of(expected)).unwrap() - f64::from(expected)).abs() < 1e-9);
        }
        assert_eq!(power(&[(1.0, 1.0)]), None);
    }
}
