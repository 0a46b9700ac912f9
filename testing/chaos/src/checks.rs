//! What became of the tasks: the framework's journal against the files that the tasks wrote themselves.
//!
//! A task appends `start` and `end` to its file. The framework writes a line of JSON for each launch and each update.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::rounds::Deeds;

/// What was seen of all tasks, when nothing was found wrong.
#[derive(Debug, Default)]
pub struct Report {
    pub tasks: usize,
    pub finished: usize,
    /// By executors that were killed on purpose.
    pub failed: usize,
    /// Never started: the launch did not reach an agent, and the framework was told so.
    pub dropped: usize,
    pub updates: usize,
    pub kills: u32,
    pub cuts: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { tasks, finished, failed, dropped, updates, kills, cuts } = self;
        write!(
            out,
            "{kills} kills, {cuts} cut links; {tasks} tasks, {updates} updates: {finished} finished, {failed} failed \
             with their killed executors, {dropped} never started and said so; none lost, none run twice"
        )
    }
}

#[derive(Debug, Default)]
pub struct Journal {
    /// The states that were told of each task, in order.
    tasks: BTreeMap<String, Vec<String>>,
}

fn is_terminal(state: &str) -> bool {
    matches!(
        state,
        "TASK_FINISHED"
            | "TASK_FAILED"
            | "TASK_KILLED"
            | "TASK_ERROR"
            | "TASK_LOST"
            | "TASK_DROPPED"
            | "TASK_GONE"
    )
}

impl Journal {
    pub fn read(folder: &Path) -> Journal {
        let text = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap_or_default();
        let mut journal = Journal::default();
        for line in text.lines() {
            // The last line may be half written.
            let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let Some(task) = entry["task"].as_str() else { continue };
            let states = journal.tasks.entry(task.to_string()).or_default();
            let Some(state) = entry["state"].as_str() else { continue };
            // The framework asked what became of it, and before the answer came, it heard: the master, which has
            // forgotten a task whose end is acknowledged, answers that it knows of none. So does 1.11.0.
            let answers_late =
                entry["reason"] == "REASON_RECONCILIATION" && states.iter().any(|s| is_terminal(s));
            if !answers_late {
                states.push(state.to_string());
            }
        }
        journal
    }

    pub fn finished(&self) -> usize {
        self.tasks.values().filter(|states| states.iter().any(|state| state == "TASK_FINISHED")).count()
    }

    /// Tasks that were seen running.
    pub fn started(&self) -> usize {
        self.tasks.values().filter(|states| states.iter().any(|state| state == "TASK_RUNNING")).count()
    }

    pub fn is_settled(&self) -> bool {
        self.tasks.values().all(|states| states.iter().any(|state| is_terminal(state)))
    }
}

/// Every task came to one end, and the end that was told is the one that it had.
pub fn judge(folder: &Path, deeds: &Deeds) -> Result<Report, String> {
    let journal = Journal::read(folder);
    let mut report = Report {
        tasks: journal.tasks.len(),
        updates: journal.tasks.values().map(Vec::len).sum(),
        kills: deeds.kills,
        cuts: deeds.cuts,
        ..Report::default()
    };
    let mut found = Vec::new();
    for (task, states) in &journal.tasks {
        let own = std::fs::read_to_string(folder.join("tasks").join(task)).unwrap_or_default();
        let starts = own.lines().filter(|line| *line == "start").count();
        let ends = own.lines().filter(|line| *line == "end").count();
        let mut complain = |what: &str| {
            found.push(format!("{task}: {what}; told {}; wrote {:?}", states.join(" "), own));
        };
        if starts > 1 {
            complain("it ran twice");
        }
        let mut ending: Vec<&String> = states.iter().filter(|state| is_terminal(state)).collect();
        ending.dedup();
        match ending.as_slice() {
            [] => complain("nothing was ever told of its end"),
            [state] if state.as_str() == "TASK_FINISHED" => {
                report.finished += 1;
                if ends != 1 {
                    complain("it is said to have finished and did not");
                }
            }
            [_] if deeds.killed_executors.contains(task) => report.failed += 1,
            [_] if starts == 0 => report.dropped += 1,
            [_] => complain("it was lost"),
            _ => complain("it had two ends"),
        }
    }
    if found.is_empty() { Ok(report) } else { Err(found.join("\n")) }
}

/// Processes of this run's executors: the process, and the id of the task that a command executor has as its own.
fn executors(folder: &Path) -> Vec<(u32, String)> {
    let folder = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let variable = |name: &str| {
            let start = format!("{name}=");
            environment
                .split(|byte| *byte == 0)
                .filter_map(|variable| std::str::from_utf8(variable).ok())
                .find_map(|variable| variable.strip_prefix(&start).map(String::from))
        };
        let own = variable("MESOS_DIRECTORY").is_some_and(|path| path.starts_with(&folder));
        if own && String::from_utf8_lossy(&line).contains("mesos-executor") {
            found.push((pid, variable("MESOS_EXECUTOR_ID").unwrap_or_default()));
        }
    }
    found
}

pub fn kill_an_executor(folder: &Path, rng: &mut fastrand::Rng) -> Option<String> {
    let executors = executors(folder);
    let (pid, task) = executors.get(rng.usize(0..executors.len().max(1)))?;
    kill(*pid);
    Some(task.clone())
}

/// Executors outlive their agents, and tasks their executors: all that has this run's folder in its environment goes.
pub fn kill_what_is_left(folder: &Path) {
    let needle = format!("MESOS_DIRECTORY={}", folder.display());
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(needle.as_bytes())) {
            kill(pid);
        }
    }
}

fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_is_no_second_end_and_all_else_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tasks")).unwrap();
        let judged = |lines: &[(&str, &str)], own: &str| {
            let line = |(state, reason): &(&str, &str)| {
                format!("{{\"task\": \"t\", \"state\": \"{state}\", \"reason\": \"{reason}\"}}\n")
            };
            std::fs::write(folder.path().join("journal.jsonl"), lines.iter().map(line).collect::<String>())
                .unwrap();
            std::fs::write(folder.path().join("tasks/t"), own).unwrap();
            judge(folder.path(), &Deeds::default())
        };
        let finished = ("TASK_FINISHED", "");
        let unknown = ("TASK_LOST", "REASON_RECONCILIATION");
        let whole = "start\nend\n";
        assert_eq!(judged(&[finished, unknown], whole).unwrap().finished, 1);
        assert!(judged(&[unknown, finished], whole).unwrap_err().contains("two ends"));
        assert!(judged(&[finished, ("TASK_LOST", "REASON_AGENT_REMOVED")], whole).is_err());
        assert!(judged(&[unknown], whole).unwrap_err().contains("it was lost"));
        assert!(judged(&[finished], "start\n").unwrap_err().contains("did not"));
        assert!(judged(&[finished], "start\nstart\nend\n").unwrap_err().contains("ran twice"));
        assert!(judged(&[("TASK_RUNNING", "")], "start\n").unwrap_err().contains("nothing was ever told"));
    }
}
