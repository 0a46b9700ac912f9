//! The workloads: each starts a master, loads it, checks what came of it, and records what it took.

pub mod agents;
pub mod commands;
pub mod executors;
pub mod failover;
pub mod frameworks;
pub mod idle;
pub mod launch;
pub mod offers;
pub mod reads;
pub mod registration;
pub mod subscribers;
pub mod updates;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::board::{Board, Count};
use crate::fleet::{Fleet, Life};
use crate::masters::Master;
use crate::scheduler::STEP_TIME;

/// `12,000`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn kilobytes(more: u64, less: u64, each: usize) -> f64 {
    more.saturating_sub(less) as f64 / 1024.0 / each.max(1) as f64
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

pub(crate) fn json(master: &Master, path: &str) -> Result<Value, String> {
    let answer = master.client()?.get(path)?;
    if answer.status != 200 {
        return Err(format!("{path} was answered {}", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("{path}: {error}"))
}

/// A counter or gauge of the master.
pub(crate) fn metric(master: &Master, name: &str) -> Result<f64, String> {
    let metrics = json(master, "/metrics/snapshot")?;
    metrics[name].as_f64().ok_or_else(|| format!("there is no metric {name}"))
}

pub(crate) fn expect_metric(master: &Master, name: &str, expected: usize) -> Result<(), String> {
    let value = metric(master, name)?;
    if value != expected as f64 {
        return Err(format!("{name} is {value}, not {expected}"));
    }
    Ok(())
}

/// A fleet that has registered.
pub(crate) fn registered(
    master: &Master,
    board: &Arc<Board>,
    agents: usize,
    tasks: usize,
    life: Life,
) -> Result<Fleet, String> {
    let fleet = Fleet::listen(board, agents, tasks, life)?;
    fleet.connect(master.address)?;
    fleet.register()?;
    board.wait(Count::Registered, agents as u64, STEP_TIME, "agents register")?;
    Ok(fleet)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_in_groups() {
        for (number, text) in [(7, "7"), (700, "700"), (7000, "7,000"), (1_234_567, "1,234,567")] {
            assert_eq!(super::grouped(number), text);
        }
    }
}
